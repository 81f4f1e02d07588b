"""Searchlight: agreement with nilearn on real fMRI, planted places, layers and graphs as neighbourhoods."""

import warnings

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurointerp as ni
from neurointerp import split
from neurointerp.analyses.decoding import linear, searchlight
from neurointerp.loaders.datasets import haxby2001


@pytest.fixture
def blocks(mirror):
    """Give the mean volume of each block of faces and houses, twelve runs, of Haxby's first subject."""
    folder = mirror / "fmri/pymvpa_bold"
    tree = haxby2001.load_session(folder / "bold.nii.gz", attributes=folder / "attributes_literal.txt")
    rec = tree["recordings/fmri/recording"]
    cut = ni.align.epoch(rec, tree, 5.0, 25.0).rename(event_condition="kind", event_segment="run")
    cut = cut.isel(trial=np.isin(cut["kind"].values, ["face", "house"]))
    mean = cut.drop_vars("condition").mean("time", keep_attrs=True)
    mean.attrs.pop("sampling_rate")
    return mean


def test_scores_on_real_fmri_are_those_of_nilearn(blocks, mirror):
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    decoding = pytest.importorskip("nilearn.decoding", reason="nilearn is not installed")
    folds = split.grouped(blocks, 4, by="run")
    found = searchlight(blocks, "kind", 8.0, cv=folds, by="run")
    assert int(found.members.max()) == 17  # voxels of 3.1 x 3.75 mm within 8 mm, in one slice
    image = nibabel.load(mirror / "fmri/pymvpa_bold/bold.nii.gz")
    place = tuple(blocks[axis].values for axis in "ijk")
    data, mask = (
        np.zeros((*image.shape[:3], blocks.sizes["trial"]), dtype=np.float32),
        np.zeros(image.shape[:3], np.int8),
    )
    data[place], mask[place] = blocks.values.T, 1
    centres = np.zeros_like(mask)
    some = slice(0, 530, 9)
    centres[tuple(axis[some] for axis in place)] = 1
    as_image = [nibabel.Nifti1Image(one, image.affine) for one in (data, mask, centres)]
    light = decoding.SearchLight(
        as_image[1], process_mask_img=as_image[2], radius=8.0, cv=folds, scoring="balanced_accuracy",
        estimator=make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        light.fit(as_image[0], blocks["kind"].values.astype(str))
    expected = light.scores_[place][some]
    np.testing.assert_allclose(found.balanced_accuracy.mean("fold").values[some], expected, atol=1e-6)
    assert found.balanced_accuracy.mean("fold").max() > 0.9


def test_the_planted_place_is_found_and_corrected_for_all_centres():
    rng = np.random.default_rng(0)
    x, y = (np.array(axis, dtype=float).ravel() * 3e-3 for axis in np.meshgrid(np.arange(6), np.arange(6)))
    label = np.array(["a", "b"] * 30, dtype=object)
    values = rng.standard_normal((60, 36))
    hot = np.hypot(x - 3e-3, y - 3e-3) <= 3.1e-3
    values[:, hot] += 1.2 * (label == "b")[:, None]
    rec = ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
                       coords={"condition": ("trial", label), "x": ("unit", x), "y": ("unit", y)})  # fmt: skip
    found = searchlight(rec, "condition", 3.0, method="ridge", penalty=1.0, permutations=99)
    mean = found.balanced_accuracy.mean("fold")
    assert found["unit"].values[mean.values.argmax()] == rec["unit"].values[np.argmin(np.hypot(x - 3e-3, y - 3e-3))]
    assert (found.p_corrected.values[hot] < 0.05).mean() >= 0.8
    far = np.hypot(x - 3e-3, y - 3e-3) > 7e-3
    assert (found.p_corrected.values[far] > 0.05).all()
    assert found.members.values.tolist() == [
        int((np.hypot(x - a, y - b) <= 3.01e-3).sum()) for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_array_equal(found["x"], x)


def test_layers_and_lists_of_neighbours_give_what_linear_gives_of_their_units(patterns):
    rec = patterns(units=6).assign_coords(layer=("unit", [0, 0, 1, 1, 1, 2]))
    found = searchlight(rec, "condition", "layer")
    for layer in (0, 1, 2):
        units = rec["layer"].values == layer
        alone = linear(rec.isel(unit=units), "condition")
        for unit in np.flatnonzero(units):
            np.testing.assert_array_equal(found.auc.values[:, unit], alone.auc)
    assert found.members.values.tolist() == [2, 2, 3, 3, 3, 1]
    names = [str(name) for name in rec["unit"].values]
    listed = searchlight(rec, "condition", {names[4]: names[2:5], names[0]: names[:2]})
    assert listed["unit"].values.tolist() == [names[4], names[0]]
    np.testing.assert_array_equal(listed.auc, found.auc.isel(unit=[4, 0]))


def test_bad_neighbourhoods_are_refused(patterns):
    rec = patterns(units=3)
    placed = rec.assign_coords(x=("unit", [0.0, 0.001, np.nan]))
    for one, neighbours, message in [
        (rec, 5.0, "units have no positions"),
        (placed, 5.0, "1 of 3 units have no position"),
        (placed, 0.0, "a radius above 0"),
        (placed, float("nan"), "a radius above 0"),
        (rec, "layer", "no coordinate 'layer' on unit"),
        (rec, {"u0": ["u0", "u9"]}, "1 of 3 units named in neighbours are not in the recording, first 'u9'"),
        (rec, {"u0": []}, "1 units have no neighbours"),
        (rec, {}, "0 of 0 units"),
    ]:
        with pytest.raises(ni.AnalysisError, match=message):
            searchlight(one, "condition", neighbours)
