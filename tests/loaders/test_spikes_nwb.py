"""NWB units: links resolved, scale applied once, times and time zones as written, and files written equal."""

import datetime

import h5py
import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.loaders import spikes

pynwb = pytest.importorskip("pynwb")
START = "2024-05-01T10:00:00+02:00"
REAL = "spikes/pynapple_nwb/A8604-211122.nwb"
PATCH = "spikes/intracellular_lantyer2018/LantyerEtAl2018_171220_NC_156_ST100_C.nwb"


@pytest.fixture
def made(tmp_path):
    """Write a file with two units on ragged electrodes, a signal with its three scales, and two clocks."""
    start = datetime.datetime.fromisoformat(START)
    nwb = pynwb.NWBFile("s", "id", start, timestamps_reference_time=start - datetime.timedelta(hours=1))
    nwb.subject = pynwb.file.Subject(subject_id="m1", species="Mus musculus")
    group = nwb.create_electrode_group("g", "d", "CA1", nwb.create_device("probe"))
    for i, region in enumerate(("CA1", "CA1", "CA3", "DG")):
        nwb.add_electrode(x=100.0 * i, y=10.0, z=0.0, location=region, group=group)
    nwb.add_unit_column("quality", "text")
    nwb.add_unit_column("time", "a name with a meaning of its own")
    nwb.add_unit(
        id=4, spike_times=[0.5, 0.1], electrodes=[0, 1], obs_intervals=[[0.0, 1.0], [2.0, 3.0]], quality="good", time=1
    )
    nwb.add_unit(id=9, spike_times=[], electrodes=[1, 2, 3], obs_intervals=[[0.0, 3.0]], quality="mua", time=2)
    series = pynwb.ecephys.ElectricalSeries(
        name="raw",
        data=np.array([[1, 2], [3, 4], [5, 6]], dtype=np.int16),
        electrodes=nwb.create_electrode_table_region([3, 0], "two"),
        rate=10.0,
        starting_time=2.0,
        conversion=1e-3,
        offset=0.5,
        channel_conversion=[1.0, 10.0],
    )
    nwb.add_acquisition(series)
    nwb.add_trial(start_time=0.2, stop_time=0.7)
    path = tmp_path / "made.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
    return path


def test_electrode_links_are_resolved(made):
    tree = spikes.load_session(made, bin_width=0.1)
    rec, links = tree["recordings/spikes/recording"], tree["structure/electrodes/structure"]
    np.testing.assert_array_equal(links, [[1, 1, 0, 0], [0, 1, 1, 1]])
    assert links["region"].values.tolist() == ["CA1", "CA1", "CA3", "DG"]
    np.testing.assert_allclose(links["x"], [0, 1e-4, 2e-4, 3e-4])
    assert rec["n_electrodes"].values.tolist() == [2, 3]
    np.testing.assert_allclose(rec["x"], [0.5e-4, 2e-4])
    assert rec["region"].values.tolist() == ["CA1", ""]
    assert rec["x"].attrs == {
        "units": "m",
        "frame": "nwb (x posterior, y inferior, z right)",
        "of": "centroid of the unit's electrodes",
    }
    assert rec["quality"].values.tolist() == ["good", "mua"]
    assert rec.attrs["history"][-1]["parameters"]["columns_left_out"] == ["time"]
    seen = tree["structure/obs_intervals/structure"]
    np.testing.assert_array_equal(seen, [[0, 1], [2, 3], [0, 3]])
    assert seen["interval_unit"].values.tolist() == ["unit4", "unit4", "unit9"]
    assert rec.attrs["history"][-1]["parameters"]["spikes_out_of_order"] == 1
    assert rec.attrs["history"][-1]["parameters"]["units_without_spikes"] == ["unit9"]
    np.testing.assert_array_equal(tree["events/onset"], [0.2])


def test_scales_are_applied_once(made):
    tree = spikes.load_session(made, bin_width=0.1, signals=["raw"])
    rec = tree["recordings/acquisition_raw/recording"]
    with h5py.File(made) as file:
        stored = file["acquisition/raw/data"][()]
    np.testing.assert_allclose(rec, stored * 1e-3 * np.array([1.0, 10.0]) + 0.5, rtol=1e-12)
    assert (rec.attrs["units"], rec.attrs["modality"], rec["unit"].values.tolist()) == ("V", "ieeg", ["ch3", "ch0"])
    np.testing.assert_allclose(rec["time"], [2.0, 2.1, 2.2])
    assert rec["region"].values.tolist() == ["DG", "CA1"]
    with pytest.raises(ni.LoaderError, match=r"has no series 'lfp'; it has acquisition/raw"):
        spikes.load_session(made, bin_width=0.1, signals="lfp")


def test_the_two_time_references_stay_apart(made):
    tree = spikes.load_session(made, bin_width=0.1)
    assert tree.attrs["session_start_time"] == "2024-05-01T10:00:00+02:00"
    assert tree.attrs["timestamps_reference_time"] == "2024-05-01T09:00:00+02:00"
    np.testing.assert_array_equal(tree["structure/spike_times/structure"], [0.1, 0.5])  # not moved by the hour
    assert (tree.attrs["subject"], tree.attrs["system"]) == ("m1", "Mus musculus")


def test_no_time_zone_is_invented(made):
    with h5py.File(made, "r+") as file:
        for name in ("session_start_time", "timestamps_reference_time"):
            del file[name]
            file[name] = "2024-05-01T10:00:00"
    tree = spikes.load_session(made, bin_width=0.1)
    assert tree.attrs["session_start_time"] == tree.attrs["timestamps_reference_time"] == "2024-05-01T10:00:00"
    with pytest.raises(ni.LoaderError, match=r"session_start_time is '2024-05-01T10:00:00': NWB needs a date and time"):
        spikes.to_nwb(tree, made.with_name("out.nwb"))


def test_open_file_and_path_agree(made):
    with pynwb.NWBHDF5IO(str(made), "r") as io:
        from_object = spikes.load(io.read(), bin_width=0.1)
    from_path = spikes.load(made, bin_width=0.1)
    assert from_object.drop_attrs(deep=False).identical(from_path.drop_attrs(deep=False))
    assert from_object.attrs["timestamps_reference_time"] == from_path.attrs["timestamps_reference_time"]


def test_zero_spikes_and_no_units(tmp_path):
    nwb = pynwb.NWBFile("s", "id", datetime.datetime.fromisoformat(START))
    for _ in range(2):
        nwb.add_unit(spike_times=[])
    with pytest.raises(ni.LoaderError, match=r"NWBFile: none of its 2 units has a spike; pass stop= \(s\), its end"):
        spikes.load(nwb, bin_width=0.1)
    rec = spikes.load(nwb, bin_width=0.5, stop=2.0)
    assert rec.shape == (4, 2)
    assert not rec.values.any()
    assert spikes.load_session(nwb, bin_width=0.5, stop=2.0)["structure/spike_times/structure"].size == 0
    empty = pynwb.NWBFile("s", "id", datetime.datetime.fromisoformat(START))
    with pytest.raises(ni.LoaderError, match="NWBFile: holds no units table with spike times"):
        spikes.load(empty, bin_width=0.1)


def test_bad_times_and_ids():
    nwb = pynwb.NWBFile("s", "id", datetime.datetime.fromisoformat(START))
    nwb.add_unit(spike_times=[0.1, np.nan, np.inf])
    with pytest.raises(ni.LoaderError, match="unit 'unit0' has 2 times that are not finite"):
        spikes.load(nwb, bin_width=0.1)
    nwb = pynwb.NWBFile("s", "id", datetime.datetime.fromisoformat(START))
    for _ in range(2):
        nwb.add_unit(id=3, spike_times=[0.1], enforce_unique_id=False)
    with pytest.raises(ni.LoaderError, match="unit ids are not unique: 1 of 2 differ"):
        spikes.load(nwb, bin_width=0.1)


def test_index_that_does_not_fit_the_times(made):
    with h5py.File(made, "r+") as file:
        file["units/spike_times_index"][...] = [1, 1]
    with pytest.raises(ni.LoaderError, match="spike_times_index ends at 1 and must rise to the 2 spike times"):
        spikes.load(made, bin_width=0.1)


def test_intracellular_recording(mirror):
    with pytest.raises(ni.LoaderError, match=r"its time series are acquisition/VoltageClampSeries_01, .*signals="):
        spikes.load(mirror / PATCH, bin_width=0.1)
    names = ("VoltageClampSeries_01", "stimulus/VoltageClampStimulusSeries_01")
    tree = spikes.load_session(mirror / PATCH, signals=names)
    current = tree["recordings/acquisition_VoltageClampSeries_01/recording"]
    command = tree["recordings/stimulus_VoltageClampStimulusSeries_01/recording"]
    with h5py.File(mirror / PATCH) as file:
        group = file["acquisition/VoltageClampSeries_01"]
        np.testing.assert_array_equal(current.values[:, 0], group["data"][()] * group["data"].attrs["conversion"])
        rate = group["starting_time"].attrs["rate"]
        zone = file["session_start_time"][()].decode()
    assert current.sizes == {"time": 55_000, "unit": 1}
    assert (current.attrs["units"], command.attrs["units"]) == ("A", "V")
    assert (current.attrs["modality"], command.attrs["modality"]) == ("ieeg", "stimulus")
    assert current.attrs["sampling_rate"] == pytest.approx(rate)
    assert tree.attrs["session_start_time"] == zone


class TestToNwb:
    def test_real_session_reads_back_equal(self, mirror, tmp_path):
        tree = spikes.load_session(mirror / REAL, bin_width=0.1)
        path = spikes.to_nwb(tree, tmp_path / "out.nwb")
        assert pynwb.validate(path=str(path)) == []
        back = spikes.load_session(path, bin_width=0.1)
        xr.testing.assert_identical(back["structure"].to_dataset(), tree["structure"].to_dataset())
        assert back["structure/spike_times/structure"].identical(tree["structure/spike_times/structure"])
        one, two = (t["recordings/spikes/recording"] for t in (tree, back))
        assert one.drop_attrs(deep=False).identical(two.drop_attrs(deep=False))
        for name in ("session_start_time", "timestamps_reference_time"):
            assert back.attrs[name] == tree.attrs[name]

    def test_everything_a_session_knows_of_its_units(self, tmp_path):
        tree = session()
        path = spikes.to_nwb(tree, tmp_path / "out.nwb", session_start_time=START)
        back = spikes.load_session(path, bin_width=0.1, stop=1.0)
        one, two = (t["recordings/spikes/recording"] for t in (tree, back))
        assert one.drop_attrs(deep=False).identical(two.drop_attrs(deep=False))
        assert two["x"].attrs == {"units": "m", "frame": "probe"}
        assert back["events"].to_dataset().identical(tree["events"].to_dataset())
        np.testing.assert_array_equal(back["structure/spike_times/structure"], tree["structure/spike_times/structure"])
        with h5py.File(path) as file:  # what any other reader sees
            assert file["units/spike_times_index"][()].tolist() == [2, 2, 3]
            np.testing.assert_array_equal(file["units/spike_times"][()], [0.1, 0.3, 0.2])
            assert file["units/spike_times"].attrs["resolution"] == 1e-3
            assert file["units/neurointerp_unit"].asstr()[()].tolist() == ["a", "stumm ä", "c"]

    def test_units_known_by_number_keep_it(self, tmp_path):
        np.save(tmp_path / "spikes.times.npy", np.array([0.1, 0.2]))
        np.save(tmp_path / "spikes.clusters.npy", np.array([70, 8]))
        tree = spikes.load_session(tmp_path, bin_width=0.1)
        path = spikes.to_nwb(tree, tmp_path / "out.nwb", session_start_time=START)
        with h5py.File(path) as file:
            assert file["units/id"][()].tolist() == [8, 70]
        rec = spikes.load(path, bin_width=0.1)
        assert rec.drop_attrs().identical(tree["recordings/spikes/recording"].drop_attrs().rename("spikes"))

    @pytest.mark.parametrize("smooth", [False, True])
    def test_recording_reads_back_identical(self, tmp_path, smooth):
        rec = session()["recordings/spikes/recording"].rename("spikes")
        rec = spikes.smooth(rec, 0.1) if smooth else rec
        path = spikes.to_nwb(rec, tmp_path / "out.nwb", session_start_time=START)
        assert pynwb.validate(path=str(path)) == []
        assert spikes.load(path, bin_width=0.1).identical(rec)
        assert (
            spikes.load_session(path, bin_width=0.1)["recordings/spikes/recording"]
            .drop_attrs()
            .identical(rec.drop_attrs().rename("recording"))
        )
        with pytest.raises(ni.LoaderError, match=r"holds bins of 0\.1 s and no spike times; pass bin_width=0\.1"):
            spikes.load(path, bin_width=0.2)

    def test_an_existing_file_stays_whole(self, tmp_path):
        path = tmp_path / "out.nwb"
        path.write_bytes(b"mine")
        with pytest.raises(ni.LoaderError, match="exists already; choose another path or pass overwrite=True"):
            spikes.to_nwb(session(), path, session_start_time=START)
        broken = spikes.load({"a": [0.1]}, bin_width=0.1).assign_coords({"odd/name": ("unit", [1])})
        with pytest.raises(ni.LoaderError, match=r"out\.nwb: cannot be written as NWB \(.*odd/name"):
            spikes.to_nwb(broken, path, session_start_time=START, overwrite=True)
        assert path.read_bytes() == b"mine"
        assert [item.name for item in tmp_path.iterdir()] == ["out.nwb"]
        spikes.to_nwb(session(), path, session_start_time=START, overwrite=True)
        assert int(spikes.load(path, bin_width=0.1).sum()) == 3

    def test_refusals(self, tmp_path, recordings):
        path = tmp_path / "out.nwb"
        with pytest.raises(
            ni.LoaderError, match="session_start_time is None: NWB needs a date and time with a time zone"
        ):
            spikes.to_nwb(session(), path)
        with pytest.raises(ni.LoaderError, match="'yesterday' is no ISO date and time"):
            spikes.to_nwb(session(), path, session_start_time="yesterday")
        with pytest.raises(ni.LoaderError, match=r"a path that ends in \.nwb is needed"):
            spikes.to_nwb(session(), tmp_path / "out.h5", session_start_time=START)
        with pytest.raises(
            ni.LoaderError, match=r"spikes \(time, unit\) on a clock in seconds are needed, found calcium"
        ):
            spikes.to_nwb(recordings["calcium"], path, session_start_time=START)
        with pytest.raises(ni.LoaderError, match="the session needs recordings/spikes and structure/spike_times"):
            spikes.to_nwb(ni.session({"spikes": recordings["spikes"]}), path, session_start_time=START)
        segments = recordings["spikes"].assign_coords(segment=("time", np.zeros(120, dtype=int)))
        with pytest.raises(ni.LoaderError, match="coordinate 'segment' has no place in a units table"):
            spikes.to_nwb(segments, path, session_start_time=START)
        assert list(tmp_path.iterdir()) == []


def session():
    """Give a session in samples of 1 ms: a silent unit, coordinates of every kind, events."""
    tree = spikes.load_session(
        {"a": [300, 100], "stumm ä": np.empty(0, dtype=int), "c": [200]},
        bin_width=0.1,
        stop=1.0,
        time_units="samples",
        sampling_rate=1000.0,
    )
    rec = (
        tree["recordings/spikes"]
        .to_dataset()["recording"]
        .assign_coords(
            x=("unit", [0.0, np.nan, 1e-4], {"units": "m", "frame": "probe"}),
            group=("unit", np.array(["good", "", "µ"], dtype=object)),
            is_labeled=("unit", [True, False, True]),
            index=("unit", [4, 9, 2]),
            name=("unit", [1, 2, 3]),
        )
    )
    return ni.session(
        {"spikes": rec},
        events={"onset": [0.1, 0.5], "duration": [0.25, 0.25], "trial_type": ["go", "stop"], "contrast": [0.5, 1.0]},
        structure={"spike_times": tree["structure/spike_times"].to_dataset()["structure"]},
    )
