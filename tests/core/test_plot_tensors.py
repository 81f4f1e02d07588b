"""Pictures of tensor components show the numbers of the result, and refuse what they cannot draw."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.errors import AnalysisError

figure = pytest.importorskip("matplotlib.figure", reason="matplotlib is not installed")
plot = pytest.importorskip("neurointerp.plot")


@pytest.fixture(scope="module")
def result():
    from neurointerp.analyses import tensor

    tree = ni.synthetic.tensor_trials(rank=2, n_trials=10, n_samples=20, n_units=8)
    rec = tree["recordings/tensor_trials/recording"]
    rec = rec.assign_coords(condition=("trial", np.array(["go", "stop"] * 5, dtype=object)))
    return tensor.nonnegative_cp(rec, 2)


def test_every_panel_shows_its_factor(result):
    axes = figure.Figure().subplots(2, 3)
    assert plot.tensor_components(result, axes, colour={"trial": "condition"}) is axes
    for k in range(2):
        points = axes[k, 0].collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 1], result["factor_trial"].values[:, k])
        assert len({tuple(colour) for colour in axes[k, 0].collections[0].get_facecolors()}) == 2
        line = axes[k, 1].lines[0]
        np.testing.assert_allclose(line.get_xdata(), result["time"].values)
        np.testing.assert_allclose(line.get_ydata(), result["factor_time"].values[:, k])
        np.testing.assert_allclose([bar.get_height() for bar in axes[k, 2].patches], result["factor_unit"].values[:, k])
        for column in range(3):
            assert axes[k, column].get_ylim() == axes[0, column].get_ylim()
    assert [text.get_text() for text in axes[0, 0].get_legend().get_texts()] == ["go", "stop"]
    assert axes[1, 1].get_xlabel() == "time (s)"


def test_signed_factors_have_a_zero_line_and_fit_in(result):
    signed = result.assign(factor_unit=result["factor_unit"] - 0.2)
    axes = plot.tensor_components(signed, figure.Figure().subplots(2, 3))
    low, high = axes[0, 2].get_ylim()
    assert low < float(signed["factor_unit"].min()) < float(signed["factor_unit"].max()) < high
    assert any((np.asarray(line.get_ydata()) == 0).all() for line in axes[0, 2].lines)


def test_what_cannot_be_drawn_is_refused(result):
    with pytest.raises(AnalysisError, match=r"axes of shape \(2, 2\); \(2, 3\) is needed, for trial, time, unit"):
        plot.tensor_components(result, figure.Figure().subplots(2, 2))
    with pytest.raises(AnalysisError, match="no coordinate 'region' on 'unit'"):
        plot.tensor_components(result, figure.Figure().subplots(2, 3), colour={"unit": "region"})
    with pytest.raises(AnalysisError, match=r"the result has no factors; factor_<dim> \(dim, component\)"):
        plot.tensor_components(result[["weight"]], figure.Figure().subplots(2, 3))
    own = result.assign(factor_time=result["factor_time"].expand_dims(trial=10))
    with pytest.raises(AnalysisError, match=r"factor_time \('trial', 'time', 'component'\)"):
        plot.tensor_components(own, figure.Figure().subplots(2, 2))
