"""Pictures of encoding models: what is drawn, read back from the artists."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import encoding
from neurointerp.errors import AnalysisError


@pytest.fixture(scope="module")
def pair():
    """Give features and responses."""
    tree = ni.synthetic.linear_responses(n_samples=150, n_features=4, n_units=5, snr=3.0)
    return [tree[f"recordings/{name}/recording"] for name in ("features", "responses")]


def test_the_score_map_shows_each_model_and_unit(pair):
    results = {"a": encoding.ridge(*pair), "b": encoding.ridge(pair[0].isel(unit=[0]), pair[1])}
    ax = plot.score_map(results, Figure().add_subplot())
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown[1], results["b"].correlation.mean("fold"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    with pytest.raises(AnalysisError, match="same units"):
        plot.score_map({**results, "c": encoding.ridge(pair[0], pair[1].isel(unit=[1]))}, Figure().add_subplot())


def test_bars_of_bands_add_up_to_the_dot_of_the_whole(pair):
    bands = {"one": pair[0].isel(unit=[0, 1]), "two": pair[0].isel(unit=[2, 3])}
    found = encoding.banded_ridge(bands, pair[1], draws=3)
    ax = plot.band_scores(found, Figure().add_subplot())
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(2, 5).sum(axis=0)
    whole = np.sort(found.score.mean("fold").values)[::-1]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), whole)
    np.testing.assert_allclose(heights, whole, atol=0.05)  # the rest is the share of the mean


def test_the_receptive_field_has_lags_in_order(pair):
    found = encoding.ridge(*pair, lags=(3, 0, 1))
    unit = str(found.unit.values[2])
    image = plot.receptive_field(found, unit, Figure().add_subplot()).images[0].get_array()
    expected = found.weights.sel(unit=unit).values.reshape(3, 4)[[1, 2, 0]].T
    np.testing.assert_allclose(image, expected)
    line = plot.receptive_field(
        encoding.ridge(pair[0].isel(unit=[0]), pair[1], lags=(0, 1)), unit, Figure().add_subplot()
    )
    assert line.lines[0].get_xdata().tolist() == [0, 1]
    with pytest.raises(AnalysisError, match="weights with lags and a unit"):
        plot.receptive_field(found, "nobody", Figure().add_subplot())


@pytest.fixture
def stack():
    """Give a recording of twelve units: two layers by three positions, but one cell without any."""
    layer, position = np.repeat([0, 1], 6), np.tile([0, 0, 1, 1, 2, 2], 2)
    rec = ni.recording(
        np.zeros((4, 12)), modality="activations", units="1", sampling_rate=1.0,
        coords={"layer": ("unit", layer), "position": ("unit", position)},
    )  # fmt: skip
    return rec.isel(unit=~((layer == 1) & (position == 2)))


def test_the_stack_of_layers_holds_means_and_leaves_empty_cells_empty(stack):
    values = np.arange(10.0)
    values[1] = np.nan
    ax = plot.layer_map(values, stack, Figure().add_subplot(), across="position")
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, [[0, 2.5, 4.5], [6.5, 8.5, np.nan]])
    assert ax.images[0].origin == "lower"  # the first layer at the bottom
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("position", "layer")
    with pytest.raises(AnalysisError, match="'head' is no coordinate of the units"):
        plot.layer_map(values, stack, Figure().add_subplot(), across="head")
    with pytest.raises(AnalysisError, match=r"\(3,\) values for 10 units"):
        plot.layer_map(values[:3], stack, Figure().add_subplot(), across="position")


def placed(frame, **changes):
    """Give four units of a brain, in metres, of which the last has no place."""
    places = {"x": [-0.04, 0.04, 0.0, np.nan], "y": [0.02, 0.02, -0.08, 0.0], "z": [0.03, 0.03, 0.01, 0.0]}
    coords = {axis: ("unit", held, {"units": "m", "frame": frame}) for axis, held in places.items()}
    return ni.recording(np.zeros((3, 4)), modality="fmri", units="1", sampling_rate=0.5, coords=coords, **changes)


def test_parcels_are_dots_on_a_glass_brain_where_they_lie():
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    from matplotlib import pyplot

    figure = Figure(figsize=(6, 2))
    ax = figure.add_axes((0, 0, 1, 1))
    assert plot.brain_map(np.array([1.0, -0.5, 0.25, 9.0]), placed("mni"), ax, views="z") is ax
    dots = [one for panel in figure.axes for one in panel.collections if len(one.get_offsets()) == 3]
    np.testing.assert_allclose(dots[0].get_offsets(), [[-40, 20], [40, 20], [0, -80]])
    np.testing.assert_allclose(dots[0].norm([-1, 1]) if dots[0].get_array() is not None else [0, 1], [0, 1])
    assert pyplot.get_fignums() == []


def test_voxels_are_an_image_on_a_glass_brain(mirror):
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    import nibabel

    from neurointerp.loaders import fmri

    path = mirror / "fmri/nilearn/image_10426.nii.gz"
    image = nibabel.load(path)
    image.header.set_xyzt_units("mm", "sec")
    image.header["sform_code"] = 4
    four = nibabel.Nifti1Image(
        np.stack([image.get_fdata(), 2 * image.get_fdata()], axis=-1), image.affine, image.header
    )
    four.header.set_zooms((3, 3, 3, 2.0))
    rec = fmri.load(four)
    figure = Figure(figsize=(6, 2))
    plot.brain_map(rec.values[0], rec, figure.add_axes((0, 0, 1, 1)), views="z")
    drawn = [np.ma.filled(one.get_array(), 0) for panel in figure.axes for one in panel.images]
    found = max(float(np.nanmax(np.abs(one))) for one in drawn)
    assert found == pytest.approx(float(np.abs(image.get_fdata()).max()), rel=0.05)


def test_units_beside_voxels_have_no_place_on_their_grid():
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    rec = placed("mni")
    about = {"affine": [[4.0, 0, 0, -80], [0, 4, 0, -100], [0, 0, 4, -60], [0, 0, 0, 1]], "shape": [40, 50, 40]}
    index = {"i": [10.0, 30.0, 20.0, np.nan], "j": [30.0, 30.0, 5.0, np.nan], "k": [22.0, 22.0, 17.0, np.nan]}
    rec = rec.assign_coords({axis: ("unit", held, about) for axis, held in index.items()})
    figure = Figure(figsize=(6, 2))
    plot.brain_map(np.ones(4), rec, figure.add_axes((0, 0, 1, 1)), views="z")
    assert max(len(panel.images) for panel in figure.axes)
    rec["i"].values[2] = np.nan  # a parcel among them: all are dots
    figure = Figure(figsize=(6, 2))
    plot.brain_map(np.ones(4), rec, figure.add_axes((0, 0, 1, 1)), views="z")
    assert max(len(one.get_offsets()) for panel in figure.axes for one in panel.collections) == 3


@pytest.mark.parametrize("frame", ["scanner", "head"])
def test_a_glass_brain_is_refused_where_its_outline_would_be_wrong(frame):
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    with pytest.raises(AnalysisError, match=f"the frame is '{frame}'; one of mni, template, talairach"):
        plot.brain_map(np.ones(4), placed(frame), Figure().add_subplot())
    with pytest.raises(AnalysisError, match="0 of 4 units have a place and a value"):
        plot.brain_map(np.full(4, np.nan), placed("mni"), Figure().add_subplot())
    with pytest.raises(AnalysisError, match="units need places"):
        plot.brain_map(np.ones(4), placed("mni").drop_vars("x"), Figure().add_subplot())


def test_the_field_of_bands_that_stand_one_behind_the_other_is_drawn_feature_by_lag(pair):
    bands = {"one": pair[0].isel(unit=[0, 1]), "two": pair[0].isel(unit=[2])}
    found = encoding.banded_ridge(bands, pair[1], lags=(0, 1, 2), draws=3)
    unit = str(found["unit"].values[0])
    ax = plot.receptive_field(found, unit, Figure().add_subplot())
    shown = ax.images[0].get_array()
    names = [label.get_text() for label in ax.get_yticklabels()]
    weights = found.weights.sel(unit=unit)
    for row, name in enumerate(names):
        own = weights[(found.feature_unit == name).values]
        np.testing.assert_allclose(shown[row], own.values[np.argsort(own.feature_lag.values)])
    assert len(names) == 3
