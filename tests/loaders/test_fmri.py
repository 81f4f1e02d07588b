"""fMRI images and tables against nibabel itself, and the traps: time units, masks, what is not an image."""

import zlib

import nibabel
import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.loaders import fmri

HAXBY = "fmri/haxby2001_pymvpa/sub001"


def _image(shape=(2, 3, 2, 6), tr=2.0, unit="sec", seed=0, space="mm"):
    image = nibabel.Nifti1Image(np.random.default_rng(seed).normal(size=shape), np.diag([3.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(space, unit)
    image.header.set_zooms((3.0, 3.0, 4.0, tr)[: len(shape)])
    return image


@pytest.mark.parametrize(("path", "tr"), [("fmri/nibabel/functional.nii", 2.0), ("fmri/nitime/fmri1.nii.gz", 1.35)])
def test_voxels_are_what_nibabel_reads(mirror, path, tr):
    rec = fmri.load(mirror / path)
    image = nibabel.load(mirror / path)
    data = image.get_fdata()
    varies = data.std(axis=-1) > 0
    np.testing.assert_allclose(rec.values, data[varies].T, rtol=1e-6)
    assert rec.attrs["sampling_rate"] == 1 / tr
    np.testing.assert_allclose(rec.time, np.arange(data.shape[-1]) * tr)
    voxels = np.argwhere(varies)
    assert list(rec.unit.values) == [f"v{i}_{j}_{k}" for i, j, k in voxels]
    places = nibabel.affines.apply_affine(image.affine, voxels) / 1000
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1), places, atol=1e-12)
    assert rec.x.attrs["units"] == "m"
    assert rec.attrs["units"] == "1"


def test_mask_keeps_its_voxels_and_precision(mirror):
    run, mask = mirror / HAXBY / "BOLD/task001_run001/bold_25mm.nii.gz", mirror / HAXBY / "masks/25mm/brain.nii.gz"
    rec = fmri.load(run, mask=mask)
    inside = nibabel.load(mask).get_fdata() != 0
    np.testing.assert_array_equal(rec.values, nibabel.load(run).get_fdata()[inside].T)
    assert rec.dtype == np.float32
    assert rec.attrs["history"][-1]["parameters"] == {
        "tr": 2.5, "mask": "brain.nii.gz", "voxels_left_out": int(inside.size - inside.sum()),
    }  # fmt: skip
    assert rec.identical(fmri.load(run, mask=nibabel.load(mask)))
    assert rec.drop_attrs().identical(fmri.load(run, mask=inside).drop_attrs())


def test_runs_are_joined_with_segments_and_events_move_along(mirror):
    folders = [mirror / HAXBY / f"BOLD/task001_run00{number}" for number in (1, 2)]
    runs = [folder / "bold_25mm.nii.gz" for folder in folders]
    tree = fmri.load_session(
        runs, mask=mirror / HAXBY / "masks/25mm/vt.nii.gz", events=[folder / "bold_events.tsv" for folder in folders]
    )
    rec = tree["recordings/fmri/recording"]
    np.testing.assert_array_equal(rec.segment, np.repeat([0, 1], 121))
    second = fmri.load(runs[1], mask=mirror / HAXBY / "masks/25mm/vt.nii.gz")
    np.testing.assert_array_equal(rec.values[121:], second.values)
    events = pd.read_csv(folders[1] / "bold_events.tsv", sep="\t")
    late = tree["events"].to_dataset().isel(event=slice(8, None))
    np.testing.assert_allclose(late["onset"], events["onset"] + 121 * 2.5)
    assert list(late["trial_type"].values) == list(events["trial_type"])
    assert set(late["segment"].values) == {1}


def test_wrong_time_unit_is_refused_unless_tr_is_given(mirror):
    path = mirror / "fmri/nibabel/example4d.nii.gz"
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(path)
    assert str(caught.value) == (
        f"{path}: a repetition time of 2000 s is not plausible (0.05 to 30 s); pass tr= in seconds"
    )
    rec = fmri.load(path, tr=2.0)
    assert rec.attrs["sampling_rate"] == 0.5
    assert rec.attrs["history"][-1]["parameters"]["tr_of_header"] == 2000.0


def test_time_units_of_the_header():
    assert fmri.load(_image(tr=1500.0, unit="msec")).attrs["sampling_rate"] == 1 / 1.5
    with pytest.raises(ni.LoaderError, match=r"the header states no time unit \(it says 2\); pass tr="):
        fmri.load(_image(unit="unknown"))
    with pytest.raises(ni.LoaderError, match="a repetition time of 0 s is not plausible"):
        fmri.load(_image(tr=0.0))


def test_unknown_space_gives_no_positions():
    assert "x" not in fmri.load(_image(space="unknown"), tr=2.0).coords


def test_default_mask_drops_constant_and_all_missing_voxels():
    image = _image()
    data = image.get_fdata().copy()
    data[0, 0, 0], data[0, 1, 0], data[1, 0, 0, 2] = 7.0, np.nan, np.nan
    rec = fmri.load(nibabel.Nifti1Image(data, image.affine, image.header))
    assert {"v0_0_0", "v0_1_0"}.isdisjoint(rec.unit.values)
    assert rec.sizes["unit"] == 10
    assert int(np.isnan(rec.sel(unit="v1_0_0")).sum()) == 1
    assert rec.attrs["history"][-1]["parameters"]["mask"] == "voxels whose series varies"
    with pytest.raises(ni.LoaderError, match="no voxel is left inside the mask"):
        fmri.load(nibabel.Nifti1Image(np.ones((2, 2, 2, 3)), image.affine), tr=2.0)


def test_what_is_no_image_is_refused(mirror, tmp_path):
    with pytest.raises(ni.LoaderError, match=r"3 or 4 axes are needed, found shape \(2, 2, 2, 3, 2\)"):
        fmri.load(nibabel.Nifti1Image(np.ones((2, 2, 2, 3, 2)), np.eye(4)))
    with pytest.raises(ni.LoaderError, match="a NIfTI, MGH or AFNI image is needed, found AnalyzeImage"):
        fmri.load(nibabel.AnalyzeImage(np.ones((2, 2, 2), dtype=np.int16), np.eye(4)))
    text = tmp_path / "text.nii"
    text.write_text("this is a text file\n" * 50)
    with pytest.raises(ni.LoaderError, match=r"text\.nii: cannot be read as NIfTI \(ImageFileError: Cannot work out"):
        fmri.load(text)
    whole = (mirror / "fmri/nitime/fmri1.nii.gz").read_bytes()
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(cut)
    there = len(zlib.decompressobj(wbits=31).decompress(cut.read_bytes()))
    promised = 352 + 10 * 10 * 18 * 40 * 2
    assert str(caught.value) == (
        f"{cut}: is truncated: its header promises {promised} bytes, {there} are there after unpacking, "
        f"{promised - there} are missing; copy the file again"
    )
    with pytest.raises(ni.LoaderError, match=r"gone\.nii: no such file"):
        fmri.load(tmp_path / "gone.nii")


def test_grids_and_tr_must_agree():
    with pytest.raises(ni.LoaderError, match=r"its grid \(3, 3, 2\) or affine differs"):
        fmri.load([_image(), _image((3, 3, 2, 6))])
    with pytest.raises(ni.LoaderError, match=r"TR is 2\.5 s, that of Nifti1Image is 2 s; load them apart"):
        fmri.load([_image(), _image(tr=2.5)])
    moved = nibabel.Nifti1Image(np.ones((2, 3, 2)), np.eye(4))
    with pytest.raises(ni.LoaderError, match="affine differs"):
        fmri.load(_image(), mask=moved)
    with pytest.raises(ni.LoaderError, match=r"the mask has shape \(2, 2\), the image \(2, 3, 2\)"):
        fmri.load(_image(), mask=np.ones((2, 2)))


def test_runs_within_one_image():
    rec = fmri.load(_image(), runs=[3, 3, 3, 4, 4, 4])
    np.testing.assert_array_equal(rec.segment, [3, 3, 3, 4, 4, 4])
    with pytest.raises(ni.LoaderError, match="runs has 2 numbers for 6 volumes"):
        fmri.load(_image(), runs=[0, 1])
    with pytest.raises(ni.LoaderError, match="a list numbers its own"):
        fmri.load([_image(), _image()], runs=[0] * 12)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
def test_tables(tmp_path, suffix):
    separator = {".csv": ",", ".tsv": "\t", ".txt": "  "}[suffix]
    rows = [["1.5", "2"], ["n/a", "4e1"], ["5", "6"]]
    named = tmp_path / f"named{suffix}"
    named.write_text("\n".join(separator.join(row) for row in [["V1", "V2"], *rows]))
    rec = fmri.load(named, tr=2.0)
    np.testing.assert_array_equal(rec, [[1.5, 2], [np.nan, 40], [5, 6]])
    assert list(rec.unit.values) == ["V1", "V2"]
    unnamed = tmp_path / f"unnamed{suffix}"
    unnamed.write_text("\n".join(separator.join(row) for row in rows[::2]))
    assert list(fmri.load(unnamed, tr=2.0).unit.values) == ["u0", "u1"]
    with pytest.raises(ni.LoaderError, match="a table states no repetition time; pass tr="):
        fmri.load(named)


def test_tables_that_are_not_numbers(mirror, tmp_path):
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    with pytest.raises(ni.LoaderError, match="row 3 has 1 cells, the first has 2"):
        fmri.load(ragged, tr=2.0)
    with pytest.raises(ni.LoaderError, match="'node' is not a number"):
        fmri.load(mirror / "fmri/seaborn/brain_networks.csv", tr=2.0)
    empty = tmp_path / "empty.tsv"
    empty.write_text("")
    with pytest.raises(ni.LoaderError, match="holds no row of numbers"):
        fmri.load(empty, tr=2.0)


def test_confounds_of_fmriprep(mirror):
    path = mirror / "fmri/nilearn/test_desc-confounds_regressors.tsv"
    rec = fmri.load(path, tr=2.0)
    table = pd.read_csv(path, sep="\t")
    np.testing.assert_array_equal(rec.values, table.to_numpy())
    assert list(rec.unit.values) == list(table.columns)


def test_events_need_an_onset(tmp_path):
    with pytest.raises(ni.LoaderError, match="events need a column 'onset'"):
        fmri.load_session(_image(), events=pd.DataFrame({"start": [1.0]}))
    with pytest.raises(ni.LoaderError, match="2 event tables for 1 runs"):
        fmri.load_session([_image()], events=[pd.DataFrame({"onset": [1.0]})] * 2)


def test_survives_the_store(mirror, tmp_path):
    rec = fmri.load(mirror / "fmri/nibabel/functional.nii")
    ni.save(rec, tmp_path / "fmri.zarr")
    assert ni.open(tmp_path / "fmri.zarr").identical(rec)
