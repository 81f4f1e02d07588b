"""CIFTI and GIFTI against nibabel: grayordinates, vertices, labels, parcels, surfaces, and what is missing."""

import nibabel
import numpy as np
import pytest
from nibabel import cifti2

import neurointerp as ni
from neurointerp.loaders import fmri

AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = [-4, -6, -8]


def _models(*, right=True, thalamus=True, size=6):
    """Left cortex without vertex 2 (a medial wall), right cortex, and three voxels of the left thalamus."""
    left = np.ones(size, dtype=bool)
    left[2] = False
    parts = [cifti2.BrainModelAxis.from_mask(left, name="cortex_left")]
    if right:
        parts.append(cifti2.BrainModelAxis.from_mask(np.ones(4, dtype=bool), name="cortex_right"))
    if thalamus:
        voxels = np.zeros((4, 5, 6), dtype=bool)
        voxels[1, 2, 3:6] = True
        parts.append(cifti2.BrainModelAxis.from_mask(voxels, affine=AFFINE, name="thalamus_left"))
    out = parts[0]
    for part in parts[1:]:
        out = out + part
    return out


def _series(axis, volumes=5, step=2.0, start=0.0, unit="SECOND"):
    values = np.random.default_rng(0).normal(size=(volumes, len(axis))).astype(np.float32)
    return cifti2.Cifti2Image(values, (cifti2.SeriesAxis(start, step, volumes, unit), axis))


def _labels(axis, numbers, names):
    table = {0: ("???", (0, 0, 0, 0))} | {number: (name, (1, 0, 0, 1)) for number, name in names.items()}
    return cifti2.Cifti2Image(np.array([numbers], dtype=np.float32), (cifti2.LabelAxis(["atlas"], [table]), axis))


def test_grayordinates_of_a_dtseries(tmp_path):
    image = _series(_models(), start=1.0, step=0.72)
    image.to_filename(tmp_path / "run.dtseries.nii")
    rec = fmri.load(tmp_path / "run.dtseries.nii")
    np.testing.assert_array_equal(rec.values, image.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(rec.time, 1 + 0.72 * np.arange(5))
    assert rec.attrs["sampling_rate"] == 1 / 0.72
    assert list(rec.unit.values[[0, 2, 5, 9]]) == ["CORTEX_LEFT_0", "CORTEX_LEFT_3", "CORTEX_RIGHT_0", "v1_2_3"]
    assert list(rec.hemisphere.values) == ["L"] * 5 + ["R"] * 4 + ["L"] * 3
    assert set(rec.structure.values) == {"CORTEX_LEFT", "CORTEX_RIGHT", "THALAMUS_LEFT"}
    np.testing.assert_array_equal(rec.vertex, [0, 1, 3, 4, 5, 0, 1, 2, 3, -1, -1, -1])
    np.testing.assert_array_equal(rec.k, [-1] * 9 + [3, 4, 5])
    np.testing.assert_allclose([rec.x[9], rec.y[9], rec.z[9]], [-0.002, -0.002, -0.002])
    assert np.isnan(rec.x.values[:9]).all()
    np.testing.assert_array_equal(rec.isel(time=[3, 1], unit=[10, 0]).values, rec.values[[3, 1]][:, [10, 0]])
    ni.save(rec, tmp_path / "rec.zarr")
    assert ni.open(tmp_path / "rec.zarr").identical(rec)


def test_a_missing_structure_is_not_invented():
    rec = fmri.load(_series(_models(right=False, thalamus=False)))
    assert list(rec.unit.values) == [f"CORTEX_LEFT_{n}" for n in (0, 1, 3, 4, 5)]
    assert "i" not in rec.coords
    assert "x" not in rec.coords
    atlas = _labels(_models(), [1, 1, 2, 0, 2, 3, 3, 3, 3, 4, 4, 4], {1: "V1", 2: "M1", 3: "right", 4: "thalamus"})
    parcels = fmri.load(_series(_models(right=False, thalamus=False)), atlas=atlas)
    assert list(parcels.unit.values) == ["V1", "M1"]
    history = parcels.attrs["history"][-1]["parameters"]
    assert history["parcels_without_grayordinates"] == ["right", "thalamus"]
    assert history["grayordinates_left_out"] == 1
    small = _labels(_models(right=False), [1] * 8, {1: "all"})
    whole = fmri.load(_series(_models()), atlas=small)
    assert whole.attrs["history"][-1]["parameters"]["structures_not_in_atlas"] == ["CORTEX_RIGHT"]
    assert int(whole.members[0]) == 8


def test_parcels_of_grayordinates_are_means_matched_by_place():
    image = _series(_models())
    numbers = [1, 1, 2, 0, 2, 3, 3, 3, 3, 4, 4, 4]
    rec = fmri.load(image, atlas=_labels(_models(), numbers, {1: "V1", 2: "M1", 3: "right", 4: "thalamus"}))
    data = image.get_fdata()
    expected = np.stack([data[:, np.array(numbers) == number].mean(axis=1) for number in (1, 2, 3, 4)], axis=1)
    np.testing.assert_allclose(rec.values, expected, rtol=1e-5)
    assert list(rec.hemisphere.values) == ["L", "L", "R", "L"]
    assert list(rec.members.values) == [2, 2, 4, 3]
    other = _labels(_models(size=7, right=False, thalamus=False), [1] * 6, {1: "V1"})
    with pytest.raises(
        ni.LoaderError, match="its CORTEX_LEFT has 7 vertices, that of Cifti2Image 6; resample one with"
    ):
        fmri.load(image, atlas=other)
    with pytest.raises(ni.LoaderError, match="grayordinates are parcellated by a CIFTI dlabel file"):
        fmri.load(image, atlas=nibabel.Nifti1Image(np.ones((4, 5, 6)), AFFINE))


def test_voxels_of_grayordinates_go_back_to_their_volume():
    rec = fmri.load(_series(_models()))
    with pytest.raises(ni.LoaderError, match="9 units are vertices of a surface, which a volume cannot hold"):
        fmri.to_nifti(rec)
    image = fmri.to_nifti(rec.isel(unit=(rec.i >= 0).values))
    np.testing.assert_array_equal(image.get_fdata()[1, 2, 3:6], rec.values[:, 9:].T)
    np.testing.assert_allclose(image.affine, AFFINE)


def test_ptseries():
    axis = cifti2.ParcelsAxis.from_brain_models([("left", _models(right=False, thalamus=False)), ("all", _models())])
    values = np.arange(10.0, dtype=np.float32).reshape(5, 2)
    rec = fmri.load(cifti2.Cifti2Image(values, (cifti2.SeriesAxis(0, 2.0, 5, "SECOND"), axis)))
    np.testing.assert_array_equal(rec.values, values)
    assert list(rec.unit.values) == ["left", "all"]
    assert list(rec.members.values) == [5, 12]
    assert list(rec.hemisphere.values) == ["L", ""]


def test_cifti_that_is_no_recording():
    axis = _models()
    with pytest.raises(ni.LoaderError, match="a connectivity matrix is a result, not a recording"):
        fmri.load(cifti2.Cifti2Image(np.ones((12, 12), dtype=np.float32), (axis, axis)))
    with pytest.raises(ni.LoaderError, match="its series counts in hertz, not in seconds"):
        fmri.load(_series(axis, unit="HERTZ"))
    with pytest.raises(ni.LoaderError, match="a mask of CIFTI is an array of 12 grayordinates or parcels, found"):
        fmri.load(_series(axis), mask=np.ones(3))
    rec = fmri.load(_series(axis), mask=np.arange(12) == 4)
    assert list(rec.unit.values) == ["CORTEX_LEFT_5"]
    with pytest.raises(ni.LoaderError, match="resample= is for volumes; surfaces are never resampled here"):
        fmri.load(_series(axis), resample="mask")


def test_a_real_dlabel_keeps_integers_and_names(mirror):
    path = mirror / "fmri/cifti/ColeAnticevic_parcels_LR.dlabel.nii"
    rec = fmri.load(path)
    image = nibabel.load(path)
    assert rec.dims == ("trial", "unit")
    assert rec.sizes == {"trial": 1, "unit": 91282}
    assert rec.dtype == np.int32
    np.testing.assert_array_equal(rec.values, image.get_fdata())
    table = image.header.get_axis(0).label[0]
    assert list(rec.region.values[:50]) == [table[number][0] for number in rec.values[0, :50].tolist()]
    axis = image.header.get_axis(1)
    np.testing.assert_array_equal(rec.vertex, axis.vertex)
    np.testing.assert_array_equal(np.stack([rec.i, rec.j, rec.k], axis=1), axis.voxel)
    inside = rec.vertex.values < 0
    places = nibabel.affines.apply_affine(axis.affine, axis.voxel[inside]) / 1000
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1)[inside], places, atol=1e-12)


def test_real_gifti_files(mirror):
    series = mirror / "fmri/nibabel/task.func.gii"
    with pytest.raises(ni.LoaderError, match=r"the header states no time unit \(no TimeStep\); pass tr= in seconds"):
        fmri.load(series)
    rec = fmri.load(series, tr=2.0)
    np.testing.assert_array_equal(rec.values, np.stack([array.data for array in nibabel.load(series).darrays]))
    assert (rec.sizes["time"], rec.sizes["unit"], rec.attrs["sampling_rate"]) == (10, 642, 0.5)
    assert (float(rec.time[0]), float(rec.time[-1]), str(rec.unit[3].values)) == (0.0, 18.0, "vertex_3")
    curv = fmri.load(mirror / "fmri/nibabel/rh.shape.curv.gii")
    np.testing.assert_array_equal(
        curv.values, nibabel.load(mirror / "fmri/nibabel/rh.shape.curv.gii").darrays[0].data.T
    )
    assert (curv.dims, curv.sizes["unit"], set(curv.hemisphere.values)) == (("trial", "unit"), 133764, {"R"})
    annot = fmri.load(mirror / "fmri/nibabel/rh.aparc.annot.gii")
    image = nibabel.load(mirror / "fmri/nibabel/rh.aparc.annot.gii")
    np.testing.assert_array_equal(annot.values[0], image.darrays[0].data)
    names = image.labeltable.get_labels_as_dict()
    assert annot.dtype == np.int32
    assert list(annot.region.values[:100]) == [names[number] for number in annot.values[0, :100].tolist()]
    assert str(annot.unit[0].values) == "CORTEX_RIGHT_0"


def _gifti(columns, intent="time series", meta=None, dtype=np.float32):
    arrays = [
        nibabel.gifti.GiftiDataArray(np.asarray(column, dtype=dtype), intent=intent, datatype=np.dtype(dtype).name)
        for column in columns
    ]
    return nibabel.gifti.GiftiImage(darrays=arrays, meta=nibabel.gifti.GiftiMetaData(meta or {}))


def _sphere(points):
    points = np.asarray(points, dtype=np.float32)
    triangles = np.array([[0, 1, 2], [1, 2, 3]], dtype=np.int32)
    return nibabel.gifti.GiftiImage(
        darrays=[
            nibabel.gifti.GiftiDataArray(points, intent="pointset", datatype="float32"),
            nibabel.gifti.GiftiDataArray(triangles, intent="triangle", datatype="int32"),
        ]
    )


def test_vertices_lie_on_their_surface(tmp_path):
    points = np.arange(12.0).reshape(4, 3)
    surface = tmp_path / "lh.pial.surf.gii"
    _sphere(points).to_filename(surface)
    data = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    path = tmp_path / "sub-01_task-rest_hemi-L_bold.func.gii"
    _gifti(data, meta={"TimeStep": "1500.0"}).to_filename(path)
    rec = fmri.load(path, surface=surface)
    np.testing.assert_array_equal(rec.values, data)
    assert rec.attrs["sampling_rate"] == 1 / 1.5
    np.testing.assert_allclose(np.stack([rec.x, rec.y, rec.z], axis=1), points / 1000)
    assert set(rec.structure.values) == {"CORTEX_LEFT"}
    assert (rec.attrs["subject"], rec.attrs["task"]) == ("01", "rest")
    structure = fmri.load_session(path, surface=surface)["structure"]
    np.testing.assert_allclose(structure["points/structure"], points / 1000)
    np.testing.assert_array_equal(structure["triangles/structure"], [[0, 1, 2], [1, 2, 3]])
    read, triangles, frame = fmri.mesh(surface)
    np.testing.assert_allclose(read, points / 1000)
    assert (triangles.shape, frame) == ((2, 3), "unknown")
    with pytest.raises(ni.LoaderError, match="a surface without data; pass it as surface= with the file of the data"):
        fmri.load(surface)
    with pytest.raises(ni.LoaderError, match="4 vertices, the data's CORTEX_LEFT has 6"):
        fmri.load(_series(_models()), surface={"L": surface})
    whole = fmri.load(_series(_models()), surface={"R": surface})
    np.testing.assert_allclose(whole.x.values[5:9], points[:, 0] / 1000)
    with pytest.raises(ni.LoaderError, match=r"surface= is for vertices; an image of voxels has its affine"):
        fmri.load(nibabel.Nifti1Image(np.ones((2, 2, 2, 3)), np.eye(4)), surface=surface, tr=2.0)


def test_vertices_within_masks_and_parcels(tmp_path):
    data = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    labels = _gifti([[0, 2, 2, 1]], intent="label", dtype=np.int32)
    for key, name in ((0, "???"), (1, "V1"), (2, "M1")):
        entry = nibabel.gifti.GiftiLabel(key)
        entry.label = name
        labels.labeltable.labels.append(entry)
    labels.to_filename(tmp_path / "lh.label.gii")
    rec = fmri.load(_gifti(data), tr=2.0, atlas=tmp_path / "lh.label.gii")
    assert list(rec.unit.values) == ["V1", "M1"]
    np.testing.assert_allclose(rec.values, np.stack([data[:, 3], data[:, 1:3].mean(axis=1)], axis=1), rtol=1e-6)
    kept = fmri.load(_gifti(data), tr=2.0, mask=tmp_path / "lh.label.gii")
    np.testing.assert_array_equal(kept.values, data[:, 1:])
    with pytest.raises(ni.LoaderError, match=r"the mask \(array\) has shape \(3,\), there are 4 vertices"):
        fmri.load(_gifti(data), tr=2.0, mask=np.ones(3))
    joined = fmri.load([_gifti(data), _gifti(data[:2])], tr=2.0)
    np.testing.assert_array_equal(joined.segment, [0] * 5 + [1] * 2)
