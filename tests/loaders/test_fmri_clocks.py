"""Repetition times, times of sparse volumes and of slices: what header and sidecar say, and where they disagree."""

import json

import nibabel
import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import fmri


def _image(tr=2.0, unit="sec"):
    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(4, 5, 3, 8)), np.diag([3.0, 3, 4, 1]))
    image.header.set_xyzt_units("mm", unit)
    image.header.set_zooms((3, 3, 4, tr))
    return image


def test_header_and_sidecar_must_state_one_tr(tmp_path):
    path, beside = tmp_path / "run.nii.gz", tmp_path / "run.json"
    _image(tr=1500.0, unit="msec").to_filename(path)
    beside.write_text(json.dumps({"RepetitionTime": 1.5}))
    assert fmri.load(path).attrs["sampling_rate"] == 1 / 1.5
    beside.write_text(json.dumps({"RepetitionTime": 2}))
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(path)
    assert str(caught.value) == (
        f"{path}: the header says TR = 1.5 s, its sidecar run.json 2 s; one of them is wrong: pass tr= in seconds"
    )
    assert fmri.load(path, tr=1.5).attrs["sampling_rate"] == 1 / 1.5
    _image(unit="unknown").to_filename(path)
    assert fmri.load(path).attrs["sampling_rate"] == 0.5
    beside.write_text(json.dumps({"RepetitionTime": "2 s"}))
    with pytest.raises(ni.LoaderError, match=r"RepetitionTime of run\.json is '2 s'; a number of seconds is needed"):
        fmri.load(path)
    beside.write_text("{")
    with pytest.raises(ni.LoaderError, match=r"run\.json: cannot be read as a JSON sidecar"):
        fmri.load(path)


def test_sparse_volumes_have_their_own_times(tmp_path):
    _image().to_filename(tmp_path / "run.nii.gz")
    times = [0.0, 2.0, 10.0, 12.0, 20.0, 22.0, 30.0, 32.0]
    (tmp_path / "run.json").write_text(json.dumps({"VolumeTiming": times}))
    rec = fmri.load(tmp_path / "run.nii.gz")
    np.testing.assert_array_equal(rec.time, times)
    assert "sampling_rate" not in rec.attrs


def test_slice_times_from_sidecar_and_header(tmp_path):
    path, beside = tmp_path / "run.nii.gz", tmp_path / "run.json"
    image = _image()
    image.to_filename(path)
    assert "slice_time" not in fmri.load(path).coords
    fields = {"RepetitionTime": 2.0, "SliceTiming": [0.0, 1.2, 0.6]}
    beside.write_text(json.dumps(fields))
    rec = fmri.load(path, mask="all")
    np.testing.assert_array_equal(rec.slice_time, np.array([0.0, 1.2, 0.6])[rec.k])
    assert rec.slice_time.attrs["units"] == "s"
    beside.write_text(json.dumps({**fields, "SliceEncodingDirection": "k-"}))
    np.testing.assert_array_equal(fmri.load(path, mask="all").slice_time, np.array([0.6, 1.2, 0.0])[rec.k])
    beside.write_text(json.dumps({**fields, "SliceTimingCorrected": True}))
    assert "slice_time" not in fmri.load(path).coords
    beside.write_text(json.dumps({**fields, "SliceEncodingDirection": "j"}))
    with pytest.raises(ni.LoaderError, match="SliceTiming has 3 times, the image 5 slices along j"):
        fmri.load(path)
    beside.write_text(json.dumps({**fields, "SliceTiming": [0, 600, 1200]}))
    with pytest.raises(ni.LoaderError, match="SliceTiming goes to 1200, beyond the TR of 2 s; it must be in seconds"):
        fmri.load(path)
    image.header.set_xyzt_units("mm", "msec")
    image.header.set_zooms((*image.header.get_zooms()[:3], 2000.0))
    image.header.set_dim_info(slice=2)
    image.header.set_slice_duration(500.0)
    image.header["slice_code"] = 2  # sequential decreasing
    np.testing.assert_allclose(fmri.load(image, mask="all").slice_time, np.array([1.0, 0.5, 0.0])[rec.k])


def test_a_resampled_image_has_no_slices(tmp_path):
    path = tmp_path / "sub-01_task-rest_space-MNI_bold.nii.gz"
    _image().to_filename(path)
    path.with_name("sub-01_task-rest_space-MNI_bold.json").write_text(json.dumps({"SliceTiming": [0.0, 1.2, 0.6]}))
    assert "slice_time" not in fmri.load(path).coords
