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
