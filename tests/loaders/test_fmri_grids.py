"""Masks, atlases and affines: what must agree does, what is asked for is in history, images come back."""

import json
import pickle

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.loaders import fmri

HAXBY = "fmri/haxby2001_pymvpa/sub001"
AFFINE = np.array([[-3.0, 0.1, 0, 40], [0, 3, 0.2, -50], [0.1, 0, 4, -20], [0, 0, 0, 1]])


def _image(values=None, affine=AFFINE, tr=2.0, unit="sec", seed=0, shape=(4, 5, 3, 8)):
    values = np.random.default_rng(seed).normal(size=shape) if values is None else values
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", unit)
    if values.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    return image


def _atlas(dtype=np.int16, shape=(4, 5, 3)):
    labels = np.zeros(shape, dtype=dtype)
    labels[:2, :2], labels[2:, :3], labels[0, 4, 0] = 7, 3, 12
    return labels


def _step(rec):
    return rec.attrs["history"][-1]["parameters"]


def test_parcels_are_what_nilearn_averages():
    from nilearn.maskers import NiftiLabelsMasker

    image, atlas = _image(), _image(_atlas())
    rec = fmri.load(image, atlas=atlas, labels={3: "motor", 7: "visual"})
    masker = NiftiLabelsMasker(atlas, resampling_target=None, standardize=None, keep_masked_labels=False)
    np.testing.assert_allclose(rec.values, masker.fit_transform(image), rtol=1e-6)
    assert list(rec.unit.values) == ["motor", "visual", "p12"]
    assert list(rec["index"].values) == [3, 7, 12]
    assert list(rec.region.values) == ["motor", "visual", ""]
    assert list(rec.members.values) == [18, 12, 1]
    centre = nibabel.affines.apply_affine(AFFINE, np.argwhere(_atlas() == 7)).mean(axis=0) / 1000
    np.testing.assert_allclose([rec.x[1], rec.y[1], rec.z[1]], centre, atol=1e-9)
    assert rec.identical(fmri.load(image, atlas=masker.fit(), labels={3: "motor", 7: "visual"}))


def test_parcels_of_real_runs_agree_with_nilearn_and_stay_lazy(mirror):
    from nilearn.maskers import NiftiLabelsMasker

    run, atlas = mirror / HAXBY / "BOLD/task001_run001/bold_25mm.nii.gz", mirror / HAXBY / "masks/25mm/hoc.nii.gz"
    rec = fmri.load(run, atlas=atlas)
    masker = NiftiLabelsMasker(atlas, resampling_target=None, standardize=None)
    np.testing.assert_allclose(rec.values, masker.fit_transform(run), rtol=1e-5)
    assert _step(rec) == {"tr": 2.5, "atlas": "hoc.nii.gz"}
    part = fmri.load(run, atlas=atlas).isel(time=slice(5, 9), unit=[2, 0])
    np.testing.assert_array_equal(part.values, rec.values[5:9][:, [2, 0]])


def test_missing_voxels_do_not_enter_a_parcel_and_the_lost_are_named():
    values = _image().get_fdata().copy()
    values[0, 0, 0], values[2, 0, 0, 3] = np.nan, np.nan
    mask = np.ones((4, 5, 3))
    mask[0, 4, 0] = 0
    rec = fmri.load(_image(values), atlas=_image(_atlas()), mask=mask)
    assert list(rec["index"].values) == [3, 7]
    expected = np.nanmean(values[_atlas() == 3], axis=0)
    np.testing.assert_allclose(rec.sel(unit="p3"), expected)
    assert _step(rec) == {
        "tr": 2.0, "atlas": "Nifti1Image", "mask": "array", "parcels_without_voxels": [12],
    }  # fmt: skip


def test_labels_saved_as_floats_are_whole_or_refused():
    np.testing.assert_array_equal(
        fmri.load(_image(), atlas=_image(_atlas(np.float32))), fmri.load(_image(), atlas=_image(_atlas()))
    )
    wrong = _atlas(np.float32)
    wrong[0, 0, 0] = 6.5
    with pytest.raises(ni.LoaderError, match=r"holds 6\.5, which is no label; a label image holds whole numbers"):
        fmri.load(_image(), atlas=_image(wrong))
    labels = _image(_atlas(np.float32))
    labels.header.set_intent("label")
    rec = fmri.load(labels)
    assert rec.dtype == np.int32
    assert sorted(set(rec.values[0].tolist())) == [3, 7, 12]
    kept = fmri.load(_image(_atlas()))
    assert kept.dtype == np.int16


def test_scale_factors_are_applied_once(tmp_path):
    stored = np.arange(480, dtype=np.int16).reshape(4, 5, 3, 8)
    scaled = _image(stored)
    scaled.header.set_slope_inter(0.5, 2.0)
    scaled.to_filename(tmp_path / "scaled.nii")
    rec = fmri.load(tmp_path / "scaled.nii", mask="all")
    np.testing.assert_array_equal(rec.values, (stored * 0.5 + 2).reshape(-1, 8).T)
    np.testing.assert_array_equal(fmri.to_nifti(rec).get_fdata(), nibabel.load(tmp_path / "scaled.nii").get_fdata())


def test_names_of_parcels_stand_beside_the_atlas(tmp_path):
    _image(_atlas()).to_filename(tmp_path / "atlas_dseg.nii.gz")
    (tmp_path / "atlas_dseg.tsv").write_text("index\tname\n3\tA\n7\tA\n12\tB\n")
    assert list(fmri.load(_image(), atlas=tmp_path / "atlas_dseg.nii.gz").unit.values) == ["A_3", "A_7", "B"]
    (tmp_path / "atlas_dseg.tsv").write_text("number\tname\n3\tA\n")
    with pytest.raises(ni.LoaderError, match="columns 'index' and 'name' are needed, found number, name"):
        fmri.load(_image(), atlas=tmp_path / "atlas_dseg.nii.gz")


def test_a_grid_that_differs_is_refused_and_resampled_only_when_asked():
    from nilearn.image import resample_to_img

    image, coarse = (
        _image(),
        _image(_atlas(shape=(4, 5, 2)), np.diag([-3.0, 3, 5, 1]) + AFFINE - np.diag(AFFINE.diagonal())),
    )
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(image, mask=coarse)
    assert str(caught.value) == (
        "Nifti1Image: its grid (4, 5, 2) or affine differs from that of Nifti1Image (4, 5, 3); "
        "pass resample='mask' to move it onto the data (nearest), or resample='data'"
    )
    moved = fmri.load(image, mask=coarse, resample="mask")
    inside = resample_to_img(coarse, image, interpolation="nearest").get_fdata() != 0
    np.testing.assert_array_equal(moved.values, image.get_fdata()[inside].T)
    history = _step(moved)
    assert (history["resample"], history["interpolation"]) == ("mask", "nearest")
    assert (history["grid_before"]["shape"], history["grid_after"]["shape"]) == ([4, 5, 2], [4, 5, 3])
    other = fmri.load(image, atlas=coarse, resample="data")
    data = resample_to_img(image, coarse, interpolation="continuous").get_fdata()
    np.testing.assert_allclose(other.sel(unit="p7"), data[coarse.get_fdata() == 7].mean(axis=0), rtol=1e-6)
    assert _step(other)["grid_after"]["affine"] == coarse.affine.tolist()
    same = fmri.load(image, mask=_image(_atlas()), resample="mask")
    assert "resample" not in _step(same)  # nothing was moved
    with pytest.raises(ni.LoaderError, match="resample='both': one of 'mask', 'data' or None is needed"):
        fmri.load(image, mask=coarse, resample="both")
    with pytest.raises(ni.LoaderError, match="resample= needs a mask or an atlas with an affine"):
        fmri.load(image, resample="data")


def test_resampled_integers_are_not_rounded():
    image = _image((_image().get_fdata() * 10).astype(np.int16))
    target = nibabel.Nifti1Image(
        np.ones((3, 4, 2), dtype=np.int16), AFFINE @ nibabel.affines.from_matvec(np.eye(3), [0.5] * 3)
    )
    rec = fmri.load(image, mask=target, resample="data", tr=2.0)
    assert not np.array_equal(rec.values, np.rint(rec.values))
    places = nibabel.affines.apply_affine(target.affine, np.argwhere(np.ones((3, 4, 2)))) / 1000
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1), places, atol=1e-9)


def test_images_overlay_the_original(mirror, tmp_path):
    run, mask = mirror / HAXBY / "BOLD/task001_run001/bold_25mm.nii.gz", mirror / HAXBY / "masks/25mm/brain.nii.gz"
    rec = fmri.load(run, mask=mask)
    original, inside = nibabel.load(run), nibabel.load(mask).get_fdata() != 0
    fmri.to_nifti(rec).to_filename(tmp_path / "back.nii.gz")
    back = nibabel.load(tmp_path / "back.nii.gz")
    np.testing.assert_allclose(back.affine, original.affine, atol=1e-6)
    np.testing.assert_array_equal(back.get_fdata()[inside], original.get_fdata()[inside])
    assert not back.get_fdata()[~inside].any()
    assert (back.header.get_zooms()[3], back.header.get_xyzt_units()) == (2.5, ("mm", "sec"))
    assert int(back.header["sform_code"]) == int(original.header["sform_code"])


def test_components_of_a_result_become_images(tmp_path):
    rec = fmri.load(_image(), mask=_image(_atlas()))
    ni.save(rec, tmp_path / "rec.zarr")
    features = factorization.pca(ni.open(tmp_path / "rec.zarr"), 2)["features"]
    images = fmri.to_nifti(features)
    assert images.shape == (4, 5, 3, 2)
    np.testing.assert_allclose(images.affine, AFFINE, rtol=1e-6)
    np.testing.assert_array_equal(images.get_fdata()[_atlas() != 0], features.values.T)
    one = fmri.to_nifti(features.isel(component=1), fill=np.nan)
    assert one.shape == (4, 5, 3)
    np.testing.assert_array_equal(np.isnan(one.get_fdata()), _atlas() == 0)
    bare = features.isel(component=0).drop_vars(["i", "j", "k"])
    np.testing.assert_array_equal(fmri.to_nifti(bare[::-1], like=rec).get_fdata(), images.get_fdata()[..., 0])
    with pytest.raises(
        ni.LoaderError, match=r"units have no voxel indices i, j, k; pass like= \(the recording they are of\)"
    ):
        fmri.to_nifti(bare)
    with pytest.raises(ni.LoaderError, match="1 units are not in like=, the first is 'elsewhere'"):
        fmri.to_nifti(xr.DataArray([1.0], dims="unit", coords={"unit": ["elsewhere"]}), like=rec)
    with pytest.raises(ni.LoaderError, match="'unit' and at most one other are needed"):
        fmri.to_nifti(rec.expand_dims("subject"))


def test_parcels_become_images_through_their_atlas(tmp_path):
    atlas = _image(_atlas())
    rec = fmri.load(_image(), atlas=atlas).isel(unit=[2, 0])
    image = fmri.to_nifti(rec.isel(time=4), atlas=atlas).get_fdata()
    assert image[0, 4, 0] == rec.values[4, 0]
    assert (image[2:, :3] == rec.values[4, 1]).all()
    assert not image[:2, :2].any()
    tree = fmri.load_session(_image(), atlas=atlas)
    ni.save(tree, tmp_path / "session.zarr")
    travelled = ni.open(tmp_path / "session.zarr")["structure/atlas/structure"]
    again = fmri.to_nifti(rec.isel(time=4), atlas=travelled)
    np.testing.assert_array_equal(again.get_fdata(), image)
    np.testing.assert_allclose(again.affine, AFFINE, rtol=1e-6)
    with pytest.raises(ni.LoaderError, match="pass atlas= for parcels"):
        fmri.to_nifti(rec)
    with pytest.raises(ni.LoaderError, match="holds no parcel 3; pass the atlas that was averaged over"):
        fmri.to_nifti(rec, atlas=_image(np.full((4, 5, 3), 12, dtype=np.int16)))


def test_slices_are_drawn_from_our_recordings():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    from nilearn import plotting

    pyplot.switch_backend("agg")
    grid = np.diag([3.0, 3, 4, 1])
    rec = fmri.load(_image(affine=grid), mask=_image(_atlas(), affine=grid))
    values = rec.isel(time=0)
    display = plotting.plot_stat_map(
        fmri.to_nifti(values), bg_img=fmri.to_nifti(rec.mean("time")), cut_coords=[3.0], display_mode="x"
    )
    drawn = np.ma.compressed(next(iter(display.axes.values())).ax.images[-1].get_array())
    expected = values.values[(rec.i == 1).values]  # the slice at x = 3 mm
    np.testing.assert_allclose(sorted(set(drawn.round(6))), sorted(set(expected.round(6))), atol=1e-6)
    pyplot.close("all")


def test_integers_and_booleans_become_images():
    rec = fmri.load(_image(), mask="all").isel(time=0)
    assert fmri.to_nifti(rec > 0).get_data_dtype() == np.uint8
    assert fmri.to_nifti((rec * 100).astype(np.int64)).get_data_dtype() == np.int32
    with pytest.raises(ni.LoaderError, match="integers beyond 32 bits do not go into NIfTI"):
        fmri.to_nifti((rec * 0).astype(np.int64) + 2**40)


def test_sform_and_qform_that_contradict_each_other():
    image = _image(affine=np.diag([3.0, 3, 4, 1]))
    shifted = np.diag([3.0, 3, 4, 1])
    shifted[0, 3] = 9
    image.set_sform(shifted, code="mni")
    image.set_qform(np.diag([3.0, 3, 4, 1]), code="scanner")
    rec = fmri.load(image)
    assert _step(rec)["affine"] == "sform (mni); the qform (scanner) lies up to 9 mm away"
    assert rec.x.attrs["frame"] == "mni"
    assert float(rec.x[0]) == pytest.approx(0.009)
    image.set_qform(np.diag([3.0, 3, 4, 1]), code="mni")
    with pytest.raises(ni.LoaderError) as caught:
        fmri.load(image)
    assert str(caught.value) == (
        "Nifti1Image: sform and qform both claim the mni space and lie 9 mm apart; switch one off "
        "(image.set_sform or set_qform of nibabel, with code=0) and pass the image"
    )
    image.set_sform(None, code=0)
    assert float(fmri.load(image).x[0]) == 0.0
    nearly = _image(affine=np.diag([3.0, 3, 4, 1]))
    nearly.set_sform(np.diag([3.0001, 3, 4, 1]), code="scanner")
    nearly.set_qform(np.diag([3.0, 3, 4, 1]), code="scanner")
    assert "affine" not in _step(fmri.load(nearly))


def test_nan_voxels_stay_missing(tmp_path):
    values = _image().get_fdata().astype(np.float32)
    values[1, 1, 1, 2], values[3, 3, 2] = np.nan, np.nan
    _image(values).to_filename(tmp_path / "nan.nii")
    rec = fmri.load(tmp_path / "nan.nii")
    assert "v3_3_2" not in rec.unit.values
    assert int(np.isnan(rec).sum()) == 1
    assert bool(np.isnan(rec.sel(unit="v1_1_1")[2]))
    np.testing.assert_array_equal(fmri.load(tmp_path / "nan.nii", mask="all").values, values.reshape(-1, 8).T)


def test_lazy_recordings_survive_the_store(tmp_path):
    _image().to_filename(tmp_path / "run.nii.gz")
    (tmp_path / "run.json").write_text(json.dumps({"SliceTiming": [0.0, 1.2, 0.6]}))
    for options in ({}, {"mask": "all"}, {"atlas": _image(_atlas())}):
        rec = fmri.load(tmp_path / "run.nii.gz", **options)
        ni.save(rec, tmp_path / "rec.zarr", overwrite=True)
        back = ni.open(tmp_path / "rec.zarr")
        assert back.identical(rec)
        assert ni.digest(back) == ni.digest(rec)


def test_probabilistic_maps_are_what_nilearn_fits():
    from nilearn.maskers import NiftiMapsMasker

    image = _image()
    maps = _image(np.random.default_rng(1).uniform(size=(4, 5, 3, 2)))
    rec = fmri.load(image, atlas=maps, labels=["default", "motor"])
    masker = NiftiMapsMasker(maps, resampling_target=None, standardize=None)
    np.testing.assert_allclose(rec.values, masker.fit_transform(image), rtol=1e-6)
    assert list(rec.unit.values) == ["default", "motor"]
    assert _step(rec) == {"tr": 2.0, "atlas": "Nifti1Image", "weights": "least squares"}
    with pytest.raises(ni.LoaderError, match="a mask has 3 axes, an atlas 3"):
        fmri.load(image, mask=maps)
    with pytest.raises(ni.LoaderError, match="only parcels of a 3-D label image can be painted, found 4 axes"):
        fmri.to_nifti(rec, atlas=maps)


def test_lazy_recordings_can_be_sent_to_another_process(tmp_path):
    path = tmp_path / "run.nii.gz"
    _image().to_filename(path)
    for options in ({"mask": "all"}, {"atlas": _image(_atlas())}):
        rec = fmri.load(path, **options)
        sent = pickle.dumps(rec)
        assert len(sent) < 100_000
        assert pickle.loads(sent).identical(rec)
    gone = fmri.load(path)
    path.unlink()
    with pytest.raises(ni.LoaderError, match=r"run\.nii\.gz: cannot be read as an image \(FileNotFoundError"):
        gone.values  # noqa: B018 - reading is what fails


def test_one_volume_has_no_clock_for_events():
    volume = _image(_atlas())
    with pytest.raises(ni.LoaderError, match="events need a series of volumes, found one volume"):
        fmri.load_session(volume, events=pd.DataFrame({"onset": [1.0]}))
    with pytest.raises(ni.LoaderError, match="runs of one volume each have no clock to join on; load them apart"):
        fmri.load([volume, volume])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": 5}, "int: a mask or an atlas of voxels is an image or an array, found int"),
        ({"mask": [1, 2]}, "list: a mask or an atlas of voxels is an image or an array, found list"),
        ({"mask": "gone.nii"}, r"gone\.nii: no such file"),
        ({"atlas": "all"}, "all: no such file"),
        ({"atlas": np.zeros((4, 5, 3), dtype=int)}, r"no voxel is left inside the atlas \(array\)"),
        ({"atlas": np.ones((4, 5))}, r"the atlas has shape \(4, 5\), the image \(4, 5, 3\)"),
        ({"mask": _image()}, r"a mask has 3 axes, an atlas 3 \(labels\) or 4 \(maps\); found shape \(4, 5, 3, 8\)"),
    ],
)
def test_what_is_no_mask_and_no_atlas(options, message):
    with pytest.raises(ni.LoaderError, match=message):
        fmri.load(_image(), **options)
