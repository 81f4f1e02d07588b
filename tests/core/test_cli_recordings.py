"""`convert` and `info` on every kind of EEG, MEG and fMRI file: equal recordings, a bar while it runs, a table."""

import json
import os
import pty
import re
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

import neurointerp as ni
from neurointerp.cli import app
from neurointerp.loaders import raw
from neurointerp.recordings import add_history

FILES = {
    "eeg/physionet_eegmmidb/S001R03.edf": [], "eeg/mne_bdf/test.bdf": [], "eeg/mne_brainvision/test.vhdr": [],
    "eeg/eeglab/eeglab_data.set": [], "meg/mne_ctf/somMDYO-18av.ds_raw.fif": [],
    "meg/mne_sample/sample_audvis_trunc_raw_sss.fif": ["--modality", "meg"], "fmri/nibabel/functional.nii": [],
    "fmri/haxby2001_pymvpa/sub001/BOLD/task001_run001/bold_25mm.nii.gz": ["--rate", "0.4"],
    "fmri/nibabel/task.func.gii": ["--rate", "0.5"], "fmri/cifti/ColeAnticevic_parcels_LR.dlabel.nii": [],
    "fmri/nitime/fmri_timeseries.csv": ["--modality", "fmri", "--rate", "0.529100529"],
}  # fmt: skip


def run(*arguments):
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("file", FILES)
def test_convert_serves_every_format(mirror, tmp_path, file):
    out, options = tmp_path / "out.zarr", FILES[file]
    about = json.loads(run("convert", mirror / file, out, *options, "--json"))
    named = {"--modality": "modality", "--rate": "sampling_rate"}
    given = {named[key]: value for key, value in zip(options[::2], options[1::2], strict=True)}
    if "sampling_rate" in given:
        given["sampling_rate"] = float(given["sampling_rate"])
    rec = raw.load(mirror / file, **given)
    assert ni.open(out).identical(rec)
    assert about["sizes"] == dict(rec.sizes)
    shown = dict(line.split("  ", 1) for line in run("info", out).splitlines())
    assert shown["modality"].strip() == rec.attrs["modality"]
    assert shown["sizes"].strip() == " x ".join(f"{dim} {size}" for dim, size in rec.sizes.items())


def test_info_is_a_table_of_what_there_is_to_know(mirror):
    text = run("info", mirror / "meg/mne_sample/sample_audvis_trunc_raw_sss.fif", "--modality", "eeg")
    lines = text.splitlines()
    assert len({re.match(r"\S+( \S+)*  +", line).end() for line in lines}) == 1  # values stand below each other
    for what, value in (
        ("sizes", "time 301 x unit 60"), ("values", "float64, 144 kB, in V"),
        ("time", "0 to 0.998976066 s, 300.307495 Hz"), ("unit: channel_type", "eeg (60)"),
        ("unit: x", "-0.08759 to 0.08235 m (head)"), ("measured_at", "2002-12-03T19:01:53.676071+00:00"),
        ("left out", "meg (102), meg_grad (204), eog (1), stim (9)"),
        ("history", "loaders.eeg.load, loaders.raw.load"),
    ):  # fmt: skip
        assert re.search(rf"^{re.escape(what)}  +{re.escape(value)}$", text, flags=re.MULTILINE), text
    assert "loc3" not in text
    edf = run("info", mirror / "eeg/physionet_eegmmidb/S001R03.edf")
    assert re.search(r"^annotations  +30: T0 \(15\), T1 \(8\), T2 \(7\)$", edf, flags=re.MULTILINE)
    volumes = run("info", mirror / "fmri/nitime/fmri1.nii.gz")
    assert re.search(r"^time  +0 to 52\.65 s, 0\.740740741 Hz$", volumes, flags=re.MULTILINE)


def test_info_names_what_was_left_out_one_by_one(tmp_path):
    rec = ni.load("demo-calcium")
    ni.save(add_history(rec, "loaders.objects.pynapple.load", left_out=["odd", "notes"]), tmp_path / "rec.zarr")
    assert re.search(r"^left out  +odd, notes$", run("info", tmp_path / "rec.zarr"), flags=re.MULTILINE)


@pytest.fixture
def study(tmp_path):
    root = tmp_path / "study"
    for subject in ("01", "02"):
        folder = root / f"sub-{subject}" / "func"
        folder.mkdir(parents=True)
        values = np.random.default_rng(int(subject)).normal(size=(4, 4, 3, 10))
        image = nibabel.Nifti1Image(values, np.diag([3, 3, 4, 1.0]))
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((3, 3, 4, 2.0))
        for name in ("task-rest_run-1_bold", "task-rest_run-1_space-MNI_bold", "task-face_bold"):
            image.to_filename(folder / f"sub-{subject}_{name}.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "made", "BIDSVersion": "1.10.0"}))
    return root


def test_a_recording_of_a_bids_root(study, tmp_path):
    out = tmp_path / "out.zarr"
    run("convert", study, out, "--subject", "02", "--task", "face")
    assert (ni.open(out).attrs["subject"], ni.open(out).attrs["task"]) == ("02", "face")
    text = run("info", study, "--subject", "01", "--task", "rest", "--run", "1", "--entity", "space=MNI")
    assert re.search(r"^source  +sub-01_task-rest_run-1_space-MNI_bold\.nii\.gz$", text, flags=re.MULTILINE)
    for options, message in (
        (["--subject", "01"], "3 bold images have sub-01"),
        (["--subject", "01", "--entity", "space"], "name=value is needed"),
        (["--subject", "01", "--modality", "eeg"], "0 recordings have the entities"),
    ):
        with pytest.raises(ni.LoaderError, match=message):
            run("convert", study, tmp_path / "other.zarr", *options)
    assert not (tmp_path / "other.zarr").exists()


def test_a_bar_follows_the_conversion_on_a_terminal_and_nowhere_else(study, tmp_path):
    image = study / "sub-01/func/sub-01_task-face_bold.nii.gz"
    command = [sys.executable, "-m", "neurointerp", "convert", str(image)]
    silent = subprocess.run([*command, str(tmp_path / "a.zarr")], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"wrote .*a\.zarr; next: .*\n", silent.stderr)  # one line, and no bar
    ours, theirs = pty.openpty()
    done = subprocess.run([*command, str(tmp_path / "b.zarr")], stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.decode())
    size = ni.open(tmp_path / "b.zarr").nbytes
    assert "converting sub-01_task-face_bold" in text
    assert re.search(rf"{size / 1000:.1f}/{size / 1000:.1f} kB", text), text  # all of it was read, once
    assert done.stdout.decode() == silent.stdout
    assert ni.open(tmp_path / "b.zarr").identical(ni.open(tmp_path / "a.zarr"))
