"""A recording written to NWB is valid and reads back equal; what does not fit is refused whole."""

import datetime

import numpy as np
import pynwb
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.loaders import calcium
from neurointerp.loaders.datasets import dag2023

START = datetime.datetime(2022, 7, 26, 12, tzinfo=datetime.UTC)
WORM = "calcium/flavell_dag2023/2022-07-26-31"


def labelled(**extra):
    rng = np.random.default_rng(0)
    return ni.recording(
        rng.normal(size=(12, 3)), modality="calcium", units="1", sampling_rate=3.0, unit=["AVAL", "RIM?", "u2"],
        name="traces", attrs={"subject": "w1", "system": "worm"},
        coords={
            "is_labeled": ("unit", np.array([True, False, False])),
            "cell_type": ("unit", ["interneuron", "", ""]),
            "pixel_x": ("unit", [1.5, np.nan, 2.0]),
            "pixel_y": ("unit", [1.5, np.nan, 2.0]),
            "index": ("unit", np.array([4, 5, 6])),
            **extra,
        },
    )  # fmt: skip


def same(back, rec):
    xr.testing.assert_equal(back, rec)
    assert back.dtype == rec.dtype
    assert {str(k): v.dtype for k, v in back.coords.items()} == {str(k): v.dtype for k, v in rec.coords.items()}
    attrs = {key: value for key, value in back.attrs.items() if key != "history"}
    assert attrs == {key: value for key, value in rec.attrs.items() if key != "history"} | {"source": attrs["source"]}
    assert back.attrs["history"][:-1] == rec.attrs["history"]


def test_a_regular_clock_is_a_rate(tmp_path):
    rec = labelled()
    path = calcium.to_nwb(rec, tmp_path / "w.nwb", session_start_time=START)
    same(calcium.load(path), rec)
    with pynwb.NWBHDF5IO(path, "r") as file:
        assert pynwb.validate(io=file) == []
        held = file.read()
        series = held.processing["ophys"]["Fluorescence"]["traces"]
        assert (series.rate, series.timestamps, held.session_start_time) == (3.0, None, START)
        assert list(series.rois.table["unit_name"].data[:]) == ["AVAL", "RIM?", "u2"]


def test_segments_and_nan_come_back(tmp_path):
    rec = labelled(segment=("time", np.repeat([0, 1], 6)))
    rec = rec.where(rec > -1)
    same(calcium.load(calcium.to_nwb(rec, tmp_path / "w.nwb", session_start_time=START)), rec)


def test_float32_of_suite2p_comes_back(tmp_path, mirror):
    rec = calcium.load(mirror / "calcium/suite2p_pynapple", sampling_rate=30.0)
    back = calcium.load(calcium.to_nwb(rec, tmp_path / "w.nwb", session_start_time=START))
    xr.testing.assert_equal(back, rec)
    assert back.dtype == np.float32


def test_a_real_worm_comes_back(tmp_path, mirror):
    rec = dag2023.load(mirror / f"{WORM}-data.h5", labels=mirror / f"{WORM}-labels.csv")
    same(calcium.load(calcium.to_nwb(rec, tmp_path / "w.nwb", session_start_time=START)), rec)


def test_nothing_is_made_up_or_left_half_written(tmp_path):
    rec, path = labelled(), tmp_path / "w.nwb"
    with pytest.raises(ni.LoaderError, match="has no time zone, which NWB needs; none is made up"):
        calcium.to_nwb(rec, path, session_start_time=datetime.datetime(2022, 1, 1))
    with pytest.raises(ni.LoaderError, match="the coordinate 'state' has no place in an ROI table"):
        calcium.to_nwb(rec.assign_coords(state=("time", np.zeros(12))), path, session_start_time=START)
    frames = ni.recording(np.eye(3), modality="calcium", units="1", time=np.arange(3))
    with pytest.raises(ni.LoaderError, match=r"on a clock in seconds, found dims \('time', 'unit'\)"):
        calcium.to_nwb(frames, path, session_start_time=START)
    eeg = ni.recording(np.eye(3), modality="eeg", units="V", sampling_rate=1.0)
    with pytest.raises(ni.LoaderError, match="the modality is 'eeg', not calcium"):
        calcium.to_nwb(eeg, path, session_start_time=START)
    assert list(tmp_path.iterdir()) == []
    calcium.to_nwb(rec, path, session_start_time=START)
    with pytest.raises(ni.LoaderError, match=r"is there already; pass overwrite=True"):
        calcium.to_nwb(rec, path, session_start_time=START)
    calcium.to_nwb(rec[:5], path, session_start_time=START, overwrite=True)
    assert calcium.load(path).sizes["time"] == 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.nwb"]


def foreign(path):
    """Write NWB as another tool does: raw and dF/F series of one name, a conversion, a subset of the ROIs."""
    nwbfile = pynwb.NWBFile(session_description="d", identifier="i", session_start_time=START)
    channel = pynwb.ophys.OpticalChannel(name="c", description="d", emission_lambda=510.0)
    plane = nwbfile.create_imaging_plane(
        name="plane", optical_channel=channel, description="d", device=nwbfile.create_device("m"),
        excitation_lambda=488.0, indicator="GCaMP", location="V1",
    )  # fmt: skip
    table = pynwb.ophys.PlaneSegmentation(name="cells", description="d", imaging_plane=plane)
    for roi in range(4):
        table.add_roi(pixel_mask=[(roi, roi, 1.0)])
    table.add_column(name="depth", description="um", data=[10.0, 20.0, 30.0, 40.0])
    module = nwbfile.create_processing_module("ophys", "d")
    module.add(pynwb.ophys.ImageSegmentation(plane_segmentations=[table]))
    values = np.arange(10).reshape(5, 2).astype(np.int16)
    for kind in (pynwb.ophys.Fluorescence, pynwb.ophys.DfOverF):
        held = kind()
        module.add(held)
        held.add_roi_response_series(
            pynwb.ophys.RoiResponseSeries(
                name="traces",
                data=values,
                rois=table.create_roi_table_region(region=[3, 1], description="d"),
                unit="n.a.",
                rate=20.0,
                starting_time=4.0,
                conversion=0.5,
                offset=1.0,
            )
        )
    with pynwb.NWBHDF5IO(path, "w") as file:
        file.write(nwbfile)
    return values


def test_dff_of_another_tool(tmp_path):
    values = foreign(tmp_path / "o.nwb")
    with pytest.raises(ni.LoaderError, match=r"pass signal= one of DfOverF/traces, Fluorescence/traces"):
        calcium.load(tmp_path / "o.nwb")
    rec = calcium.load(tmp_path / "o.nwb", signal="DfOverF/traces")
    np.testing.assert_array_equal(rec.values, values * 0.5 + 1.0)
    assert list(rec.unit.values) == ["roi3", "roi1"]
    np.testing.assert_array_equal(rec.depth, [40.0, 20.0])
    np.testing.assert_array_equal(rec.time, 4.0 + np.arange(5) / 20.0)
    assert (rec.attrs["units"], rec.attrs["history"][-1]["parameters"]["stated_units"]) == ("1", "n.a.")
    assert list(calcium.load_session(tmp_path / "o.nwb")["recordings"]) == ["DfOverF_traces", "Fluorescence_traces"]
