"""Files of any kind to a recording: which loader reads them, BIDS roots, and rates that contradict a header."""

import json

import mne
import nibabel
import numpy as np
import pytest
from nibabel import cifti2

import neurointerp as ni
from neurointerp.loaders import fmri, raw


def _bold(path, *, tr=1.35, unit="sec", sidecar=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(3, 3, 2, 6)), np.diag([3, 3, 4, 1.0]))
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((3, 3, 4, tr))
    image.to_filename(path)
    if sidecar is not None:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
    return path


def test_a_good_repetition_time_is_not_overridden(tmp_path):
    path = _bold(tmp_path / "run.nii.gz")
    with pytest.raises(ni.LoaderError) as caught:
        raw.load(path, sampling_rate=0.5)
    assert str(caught.value) == (
        f"{path}: it states TR = 1.35 s (0.740741 Hz), the rate given is 0.5 Hz (2 s); leave the rate out (--rate) or, "
        "if the file is wrong, load it with loaders.fmri.load(..., tr=)"
    )
    for rate in (None, 1 / 1.35, 0.7407, 0.741):  # a rate in decimals means the TR of the header
        assert raw.load(path, sampling_rate=rate).attrs["sampling_rate"] == 1 / 1.35


@pytest.mark.parametrize(
    ("header", "sidecar", "told"),
    [
        ({"unit": "unknown"}, None, {}),
        ({"tr": 2000.0}, None, {"tr_of_header": 2000.0}),
        ({"tr": 0.0}, None, {"tr_of_header": 0.0}),
        ({"tr": 2.0}, {"RepetitionTime": 3.0}, {"tr_of_sidecar": 3.0}),
    ],
)
def test_a_rate_settles_what_the_file_does_not(tmp_path, header, sidecar, told):
    path = _bold(tmp_path / "run.nii.gz", **header, sidecar=sidecar)
    with pytest.raises(ni.LoaderError, match="pass tr= in seconds"):
        raw.load(path)
    rec = raw.load(path, sampling_rate=0.5)
    assert rec.attrs["sampling_rate"] == 0.5
    step = rec.attrs["history"][0]["parameters"]
    assert {key: value for key, value in step.items() if key.startswith("tr_of")} == told


def test_the_rate_of_eeg_is_not_overridden(tmp_path):
    _eeg(tmp_path / "run_raw.fif")
    assert raw.load(tmp_path / "run_raw.fif", sampling_rate=100.0).attrs["sampling_rate"] == 100.0
    with pytest.raises(
        ni.LoaderError, match=r"it states 100 Hz, the rate given is 160 Hz; leave the rate out \(--rate\)"
    ):
        raw.load(tmp_path / "run_raw.fif", sampling_rate=160.0)


@pytest.mark.parametrize("rate", [0.0, -2.0, float("nan"), float("inf")])
def test_a_rate_is_a_positive_number(tmp_path, rate):
    (tmp_path / "regions.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(ni.LoaderError, match=r"regions\.csv: the rate given is .*: a positive number of Hz is needed"):
        raw.load(tmp_path / "regions.csv", modality="fmri", sampling_rate=rate)
    with pytest.raises(ni.LoaderError, match=r"pass tr= in seconds, or the rate, 1 / TR in Hz \(--rate\)"):
        raw.load(tmp_path / "regions.csv", modality="fmri")


def test_units_that_would_have_no_effect_are_refused(tmp_path, study, mirror):
    told = r"units 'percent' were given; fmri is read as '1': leave the units out \(--units\)"
    with pytest.raises(ni.LoaderError, match=told):
        raw.load(_bold(tmp_path / "run.nii.gz"), units="percent")
    with pytest.raises(ni.LoaderError, match=told):
        raw.load(study, units="percent", entities={"subject": "02", "task": "face"})
    assert raw.load(tmp_path / "run.nii.gz", units="1").attrs["units"] == "1"
    with pytest.raises(ni.LoaderError, match="units= is for plain matrices"):
        raw.load(mirror / "calcium/suite2p_pynapple/suite2p", sampling_rate=30.0, units="percent")


def test_a_modality_is_one_that_there_is(tmp_path):
    path = _bold(tmp_path / "run.nii.gz")
    with pytest.raises(ni.LoaderError, match=r"modality 'brain': one of activations, .* is needed \(--modality\)"):
        raw.load(path, modality="brain")
    with pytest.raises(ni.LoaderError, match="no loader reads a file of stimulus; make a recording of its values"):
        raw.load(path, modality="stimulus")


def test_what_tr_overrides_is_in_history_of_surfaces_too(tmp_path):
    axes = cifti2.SeriesAxis(0, 0.72, 5), cifti2.BrainModelAxis.from_mask(np.ones(4, dtype=bool), name="cortex_left")
    image = cifti2.Cifti2Image(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32), axes)
    step = fmri.load(image, tr=2.0).attrs["history"][-1]["parameters"]
    assert (step["tr"], step["tr_of_header"]) == (2.0, 0.72)
    assert "tr_of_header" not in fmri.load(image, tr=0.72).attrs["history"][-1]["parameters"]
    arrays = [nibabel.gifti.GiftiDataArray(np.ones(4, dtype=np.float32) * n, intent="time series") for n in range(3)]
    surface = nibabel.gifti.GiftiImage(darrays=arrays, meta=nibabel.gifti.GiftiMetaData({"TimeStep": "1500"}))
    assert fmri.load(surface, tr=2.0).attrs["history"][-1]["parameters"]["tr_of_header"] == 1.5
    image.to_filename(tmp_path / "run.dtseries.nii")
    with pytest.raises(ni.LoaderError, match=r"states TR = 0\.72 s \(1\.38889 Hz\), the rate given is 0\.5 Hz"):
        raw.load(tmp_path / "run.dtseries.nii", sampling_rate=0.5)


def _eeg(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).normal(scale=1e-5, size=(2, 500))
    made = mne.io.RawArray(values, mne.create_info(["Fz", "Oz"], 100.0, "eeg"), verbose="error")
    made.save(path, fmt="double", verbose="error")
    return values


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "study"
    for subject in ("01", "02"):
        for task in ("rest", "face"):
            _bold(root / f"sub-{subject}/func/sub-{subject}_task-{task}_bold.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "made", "BIDSVersion": "1.10.0"}))
    return root


def test_a_bids_root_takes_entities(study):
    rec = raw.load(study, entities={"subject": "02", "task": "face"})
    assert (rec.attrs["subject"], rec.attrs["task"], rec.attrs["modality"]) == ("02", "face", "fmri")
    with pytest.raises(ni.LoaderError, match="2 bold images have sub-01; name one of"):
        raw.load(study, entities={"subject": "01"})
    with pytest.raises(ni.LoaderError, match="4 bold images have no entities"):
        raw.load(study)
    with pytest.raises(ni.LoaderError, match="no folder eeg, meg, ieeg, func in sub-09"):
        raw.load(study, entities={"subject": "09"})
    with pytest.raises(ni.LoaderError, match="entities choose a recording of a BIDS root; this is a file"):
        raw.load(study / "sub-01/func/sub-01_task-rest_bold.nii.gz", entities={"subject": "01"})


def test_modalities_of_a_bids_root_are_told_apart(study):
    values = _eeg(study / "sub-01/eeg/sub-01_task-rest_eeg.fif")
    with pytest.raises(ni.LoaderError, match=r"holds recordings of eeg, fmri; pass the modality \(--modality eeg\)"):
        raw.load(study, entities={"subject": "01", "task": "rest"})
    assert raw.load(study, entities={"subject": "02", "task": "rest"}).attrs["modality"] == "fmri"
    rec = raw.load(study, modality="eeg", entities={"subject": "01", "task": "rest"})
    np.testing.assert_allclose(rec.values, values.T)
    assert rec.attrs["modality"] == "eeg"
    assert raw.load(study, modality="fmri", entities={"subject": "01", "task": "rest"}).attrs["modality"] == "fmri"
