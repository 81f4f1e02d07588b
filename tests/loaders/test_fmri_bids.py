"""A BIDS dataset made in the test: entities, inheritance, events, confounds and physiology on their own clocks."""

import gzip
import json

import nibabel
import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.loaders import fmri

VOLUMES = 6


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode())) if path.suffix == ".gz" else path.write_text(text)


def _bold(path, seed, tr=2.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.random.default_rng(seed).normal(size=(3, 3, 2, VOLUMES)), np.diag([3, 3, 4, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 4, tr))
    image.to_filename(path)


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "study"
    _write(root / "dataset_description.json", {"Name": "made in a test", "BIDSVersion": "1.10.0"})
    _write(root / "task-rest_bold.json", {"RepetitionTime": 2.0, "SliceTiming": [0.0, 1.0]})
    _write(root / "task-rest_events.tsv", "onset\tduration\ttrial_type\n1.5\t2\tface\n5\tn/a\tn/a\n")
    _write(root / "task-rest_physio.json", {"SamplingFrequency": 10, "StartTime": -0.5, "Columns": ["cardiac", "resp"]})
    func = root / "sub-01" / "func"
    for run in (1, 2):
        _bold(func / f"sub-01_task-rest_run-0{run}_bold.nii.gz", run)
    _bold(root / "sub-02/ses-a/func/sub-02_ses-a_task-rest_bold.nii.gz", 3)
    _write(func / "sub-01_task-rest_run-02_events.tsv", "onset\tduration\ttrial_type\n3\t1\thouse\n")
    _write(func / "sub-01_task-rest_run-01_physio.tsv.gz", "1\t2\n3\t4\n5\tn/a\n")
    _write(func / "sub-01_task-rest_run-01_recording-eye_physio.tsv.gz", "1\t2\n")
    header = "csf\tmotion_outlier00\n"
    _write(
        func / "sub-01_task-rest_run-01_desc-confounds_timeseries.tsv", header + "n/a\t0\n" + "1\t1\n" * (VOLUMES - 1)
    )
    _write(func / "sub-01_task-rest_run-01_desc-confounds_timeseries.json", {"csf": {"Method": "Mean"}})
    return root


def test_entities_choose_one_image(root):
    rec = fmri.load(root, entities={"subject": "01", "run": 2})
    expected = nibabel.load(root / "sub-01/func/sub-01_task-rest_run-02_bold.nii.gz").get_fdata()
    np.testing.assert_array_equal(rec.values, expected.reshape(-1, VOLUMES).T)
    assert (rec.attrs["subject"], rec.attrs["task"]) == ("01", "rest")
    assert fmri.load(root, entities={"ses": "a"}).attrs["session"] == "a"
    assert fmri.find(root, {"run": None}).name == "sub-02_ses-a_task-rest_bold.nii.gz"
    np.testing.assert_array_equal(rec.slice_time, np.array([0.0, 1.0])[rec.k])  # inherited from the root
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(root, entities={"sub": "01"})
    assert str(caught.value) == (
        f"{root}: 2 bold images have sub-01; name one of sub-01_task-rest_run-01_bold.nii.gz, "
        "sub-01_task-rest_run-02_bold.nii.gz in entities="
    )
    with pytest.raises(ni.LoaderError, match="no bold image has sub-03; there are sub-01_task-rest_run-01_bold"):
        fmri.load(root, entities={"sub": "03"})
    with pytest.raises(ni.LoaderError, match="3 bold images have no entities; name one of"):
        fmri.load(root)
    with pytest.raises(ni.LoaderError, match="entities= choose an image of a BIDS root; this is one already"):
        fmri.load(fmri.find(root, {"ses": "a"}), entities={"sub": "02"})


def test_a_run_brings_what_lies_beside_it(root, tmp_path):
    tree = fmri.load_session(root, entities={"sub": "01", "run": "1"})
    assert set(tree["recordings"].children) == {"fmri", "confounds", "physio", "physio_eye"}
    np.testing.assert_array_equal(tree["events/onset"], [1.5, 5.0])
    np.testing.assert_array_equal(tree["events/duration"], [2.0, np.nan])
    assert list(tree["events/trial_type"].values) == ["face", "n/a"]
    physio = tree["recordings/physio/recording"]
    np.testing.assert_allclose(physio.time, [-0.5, -0.4, -0.3])
    np.testing.assert_array_equal(physio.values, [[1, 2], [3, 4], [5, np.nan]])
    assert (physio.attrs["sampling_rate"], list(physio.unit.values)) == (10.0, ["cardiac", "resp"])
    confounds = tree["recordings/confounds/recording"]
    np.testing.assert_array_equal(confounds.time, tree["recordings/fmri/recording"].time)
    assert list(confounds["method"].values) == ["Mean", ""]
    assert np.isnan(confounds.values[0, 0])
    ni.save(tree, tmp_path / "session.zarr")
    assert ni.open(tmp_path / "session.zarr").identical(tree)


def test_the_nearest_file_wins_and_runs_join(root):
    second = fmri.load_session(root, entities={"sub": "01", "run": 2})
    assert list(second["events/trial_type"].values) == ["house"]
    assert set(second["recordings"].children) == {"fmri"}
    runs = [fmri.find(root, {"sub": "01", "run": run}) for run in (1, 2)]
    tree = fmri.load_session(runs)
    np.testing.assert_array_equal(tree["events/onset"], [1.5, 5.0, VOLUMES * 2.0 + 3])
    np.testing.assert_array_equal(tree["events/segment"], [0, 0, 1])


def test_what_does_not_fit_is_refused(root, tmp_path):
    run = fmri.find(root, {"sub": "01", "run": 1})
    _write(root / "sub-01/func/sub-01_task-rest_bold.json", {"RepetitionTime": 3.0})
    with pytest.raises(
        ni.LoaderError, match=r"TR = 2 s, its sidecar sub-01_task-rest_bold\.json 3 s; one of them is wrong"
    ):
        fmri.load(run)
    short = tmp_path / "short_confounds.tsv"
    short.write_text("a\tb\n1\t2\n")
    with pytest.raises(ni.LoaderError, match=f"1 rows of confounds for {VOLUMES} volumes"):
        fmri.load_session(run, tr=2.0, confounds=short)
    broken = tmp_path / "broken_physio.tsv"
    broken.write_text("1\t2\n3\n")
    with pytest.raises(ni.LoaderError, match=r"row 2 is not 2 numbers \(a, b\)"):
        fmri.physio(broken, sampling_rate=1.0, columns=["a", "b"])
    with pytest.raises(ni.LoaderError, match="confounds= and physio= are for one run; load the runs apart"):
        fmri.load_session([run, run], tr=2.0, confounds=short)


def test_given_tables_replace_those_beside(root):
    run = fmri.find(root, {"sub": "01", "run": 1})
    tree = fmri.load_session(run, events=pd.DataFrame({"onset": [9.0]}), physio=False)
    np.testing.assert_array_equal(tree["events/onset"], [9.0])
    assert set(tree["recordings"].children) == {"fmri", "confounds"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub-01_ses-2_task-x_run-3_space-MNI_desc-preproc_bold.nii.gz",
         ({"sub": "01", "ses": "2", "task": "x", "run": "3", "space": "MNI", "desc": "preproc"}, "bold")),
        ("sub-01_hemi-L_bold.func.gii", ({"sub": "01", "hemi": "L"}, "bold")),
        ("sub-01_space-fsLR_bold.dtseries.nii", ({"sub": "01", "space": "fsLR"}, "bold")),
        ("bold_25mm.nii.gz", ({}, "bold_25mm")),
    ],
)  # fmt: skip
def test_entities_of_names(name, found):
    assert fmri.entities(name) == found
