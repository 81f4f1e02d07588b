"""Scores against scikit-learn and numpy, and what they say about constants and missing values."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from neurointerp import score
from neurointerp.errors import AnalysisError


def _pair(samples=50, units=4, noise=0.7):
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((samples, units)) * [1e-3, 1.0, 5.0, 1e4] + [0.0, 3.0, -1e3, 1e4]
    return observed, observed + noise * observed.std(axis=0) * rng.standard_normal(observed.shape)


def test_r2_equals_scikit_learn():
    observed, predicted = _pair()
    expected = r2_score(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(score.r2(observed, predicted), expected, rtol=1e-10)


def test_correlation_equals_numpy():
    observed, predicted = _pair()
    expected = [np.corrcoef(observed[:, i], predicted[:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(score.correlation(observed, predicted), expected, rtol=1e-10)


def test_predicting_the_held_out_mean_scores_zero_and_the_data_score_one():
    observed, _ = _pair()
    mean = np.broadcast_to(observed.mean(axis=0), observed.shape)
    np.testing.assert_allclose(score.r2(observed, mean), 0.0, atol=1e-12)
    np.testing.assert_array_equal(score.r2(observed, observed), 1.0)
    np.testing.assert_allclose(score.correlation(observed, -3 * observed + 1), -1.0, atol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_unit_has_no_score(constant):
    observed, predicted = _pair()
    observed[:, 1] = constant
    assert np.isnan(score.r2(observed, predicted)).tolist() == [False, True, False, False]
    assert np.isnan(score.correlation(observed, predicted)).tolist() == [False, True, False, False]
    assert np.isnan(score.correlation(predicted, observed)).tolist() == [False, True, False, False]
    assert np.isfinite(score.r2(predicted, observed)).all()


def test_missing_values_leave_their_unit_without_a_score():
    observed, predicted = _pair()
    observed[3, 0] = predicted[4, 2] = np.nan
    for measure in (score.r2, score.correlation):
        assert np.isnan(measure(observed, predicted)).tolist() == [True, False, True, False]


def test_leading_axes_are_pooled_and_integers_counted_as_float64():
    rng = np.random.default_rng(1)
    observed, predicted = rng.poisson(3.0, (5, 8, 2)), rng.uniform(0, 5, (5, 8, 2)).astype(np.float32)
    for measure in (score.r2, score.correlation):
        flat = measure(observed.reshape(40, 2).astype(float), predicted.reshape(40, 2))
        np.testing.assert_array_equal(measure(observed, predicted), flat)
        assert measure(observed, predicted).dtype == np.float64


@pytest.mark.parametrize("measure", [score.r2, score.correlation])
def test_torch_agrees_with_numpy(measure):
    torch = pytest.importorskip("torch")
    observed, predicted = _pair()
    observed[:, 2] = 0.1
    found = measure(torch.tensor(observed), torch.tensor(predicted))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), measure(observed, predicted), rtol=1e-12)


@pytest.mark.parametrize("measure", [score.r2, score.correlation])
def test_shapes_that_cannot_be_scored_are_refused(measure):
    with pytest.raises(AnalysisError, match=r"observed has shape \(3, 2\) and predicted \(2, 2\)"):
        measure(np.zeros((3, 2)), np.zeros((2, 2)))
    for shape in ((4,), (0, 2)):
        with pytest.raises(AnalysisError, match="holds no samples"):
            measure(np.zeros(shape), np.zeros(shape))
