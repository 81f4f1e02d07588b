"""Partial correlation against residuals, scikit-learn and nilearn, and on planted graphs."""

import numpy as np
import pandas as pd
import pytest
import sklearn.covariance as peer

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity.partial_correlation import _partial
from neurointerp.errors import AnalysisError

PEERS = {"empirical": peer.EmpiricalCovariance, "ledoit_wolf": peer.LedoitWolf, "oas": peer.OAS}


def _chain(samples=400, units=6, seed=0):
    """Draw units of which each is a noisy copy of the one before: only neighbours are partially correlated."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((samples, units))
    for i in range(1, units):
        values[:, i] += values[:, i - 1]
    return values * 10.0 ** rng.uniform(-6, 3, units)


def _recording(values):
    return ni.recording(values, modality="fmri", units="1", sampling_rate=0.5)


def _zscored(values):
    return (values - values.mean(0)) / values.std(0)


def _from_precision(precision):
    scale = 1 / np.sqrt(np.diag(precision))
    expected = -precision * scale[:, None] * scale
    np.fill_diagonal(expected, 1.0)
    return expected


@pytest.mark.parametrize("method", PEERS)
def test_equals_scikit_learn_on_scaled_units(method):
    values = _chain()
    found = connectivity.partial_correlation(_recording(values), method=method).connectivity.values
    expected = _from_precision(PEERS[method]().fit(_zscored(values)).precision_)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_equals_the_correlation_of_residuals():
    values = _chain()
    found = connectivity.partial_correlation(_recording(values), method="empirical").connectivity.values
    rest = np.column_stack([np.ones(len(values)), values[:, 2:]])
    residual = values[:, :2] - rest @ np.linalg.lstsq(rest, values[:, :2])[0]
    assert found[0, 1] == pytest.approx(np.corrcoef(residual.T)[0, 1], abs=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_equals_nilearn(dtype, tolerance):
    connectome = pytest.importorskip("nilearn.connectome")
    values = _zscored(_chain(100, 30))
    measure = connectome.ConnectivityMeasure(kind="partial correlation", standardize=None)
    found = connectivity.partial_correlation(_recording(values.astype(dtype))).connectivity
    assert found.dtype == dtype
    np.testing.assert_allclose(found.values, measure.fit_transform([values])[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize("alpha", [0.1, None])
def test_the_graphical_lasso_equals_scikit_learn_and_finds_the_chain(alpha):
    values = _chain(2000)
    found = connectivity.partial_correlation(_recording(values), method="graphical_lasso", alpha=alpha)
    z = _zscored(values)
    model = peer.GraphicalLassoCV(cv=5) if alpha is None else peer.GraphicalLasso(alpha=alpha)
    model.fit(z)
    np.testing.assert_allclose(found.connectivity.values, _from_precision(model.precision_), rtol=0, atol=1e-4)
    assert float(found.alpha) == pytest.approx(model.alpha_ if alpha is None else alpha)
    distance = np.abs(np.subtract.outer(range(6), range(6)))
    size = np.abs(found.connectivity.values)
    assert size[distance == 1].min() > 0.2 > size[distance > 1].max()


def test_scales_of_units_do_not_matter():
    values = _chain()
    one = connectivity.partial_correlation(_recording(values)).connectivity.values
    two = connectivity.partial_correlation(_recording(values * np.logspace(-3, 3, 6) + 4)).connectivity.values
    np.testing.assert_allclose(one, two, atol=1e-7)


def test_a_constant_unit_is_left_out_and_counted():
    values = _chain()
    values[:, 2] = 3.0
    found = connectivity.partial_correlation(_recording(values)).connectivity
    keep = [0, 1, 3, 4, 5]
    alone = connectivity.partial_correlation(_recording(values[:, keep])).connectivity.values
    assert found.attrs["undefined_units"] == 1
    assert np.isnan(found.values[2]).all()
    np.testing.assert_allclose(found.values[np.ix_(keep, keep)], alone, atol=1e-12)


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    values = _chain() + 5.0
    found, amount, _ = _partial(torch.tensor(values), "ledoit_wolf", None)
    expected, same, _ = _partial(values, "ledoit_wolf", None)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    assert amount == pytest.approx(same, abs=1e-10)


def test_fewer_samples_than_units_need_shrinkage():
    values = _chain(20, 40)
    with pytest.raises(AnalysisError, match=r"covariance of 40 units is singular .* use method='ledoit_wolf'"):
        connectivity.partial_correlation(_recording(values), method="empirical")
    assert np.isfinite(connectivity.partial_correlation(_recording(values)).connectivity).all()


@pytest.mark.parametrize("options", [{"alpha": 0.1}, {"method": "graphical_lasso", "alpha": 0.0}])
def test_a_penalty_out_of_place_is_refused(options):
    with pytest.raises(AnalysisError, match="it is the penalty of 'graphical_lasso', above 0"):
        connectivity.partial_correlation(_recording(_chain()), **options)


def test_resting_parcels_equal_nilearn_and_are_closest_to_their_twin(mirror):
    connectome = pytest.importorskip("nilearn.connectome")
    table = pd.read_csv(mirror / "fmri/seaborn/brain_networks.csv", header=[0, 1, 2], index_col=0)
    recording = ni.recording(
        table.values, modality="fmri", units="1", sampling_rate=0.5, unit=["-".join(k) for k in table]
    )
    found = connectivity.partial_correlation(recording).connectivity.values
    measure = connectome.ConnectivityMeasure(kind="partial correlation", standardize=None)
    np.testing.assert_allclose(found, measure.fit_transform([_zscored(table.values)])[0], rtol=0, atol=1e-10)
    size = np.where(np.eye(len(found), dtype=bool), -1.0, found)
    place = {key: i for i, key in enumerate(table)}
    twins = [(place[key], place[(*key[:2], "rh")]) for key in table if key[2] == "lh" and (*key[:2], "rh") in place]
    assert np.mean([size[left].argmax() == right for left, right in twins]) > 0.5


def _with_holes(samples=3000, units=6, share=0.15):
    values = _chain(samples, units)
    values[np.random.default_rng(5).random(values.shape) < share] = np.nan
    return values


@pytest.mark.parametrize("options", [{}, {"method": "empirical"}, {"method": "graphical_lasso", "alpha": 0.05}])
def test_the_chain_is_found_where_values_are_missing(options):
    values = _with_holes()
    found = connectivity.partial_correlation(_recording(values), **options)
    distance = np.abs(np.subtract.outer(range(6), range(6)))
    size = np.abs(found.connectivity.values)
    assert size[distance == 1].min() > 0.2
    assert size[distance > 1].max() < 0.15
    assert int(found.samples.min()) == (~np.isnan(values)).astype(int).T.dot(~np.isnan(values)).min()


def test_missing_values_are_left_out_pair_by_pair():
    values = _with_holes(500)
    there = (~np.isnan(values)).astype(int)
    samples = there.T @ there
    covariance = pd.DataFrame(values).cov().values * (samples - 1) / samples  # pandas divides by one less
    scale = np.sqrt(np.diag(covariance))
    expected = _from_precision(np.linalg.inv(covariance / np.outer(scale, scale)))
    found = connectivity.partial_correlation(_recording(values), method="empirical").connectivity
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-9)


def test_what_pairs_cannot_say_is_refused():
    values = _chain(30, 6)
    values[:15, 0], values[15:, 1] = np.nan, np.nan
    with pytest.raises(AnalysisError, match="1 pairs of units have fewer than 2 samples in common"):
        connectivity.partial_correlation(_recording(values))
    with pytest.raises(AnalysisError, match="cross-validation of the penalty needs whole samples; pass alpha"):
        connectivity.partial_correlation(_recording(_with_holes(200)), method="graphical_lasso")
    x = np.random.default_rng(0).standard_normal((60, 3))
    x[:20, 1], x[20:40, 2], x[40:, 1] = x[:20, 0], x[20:40, 0], -x[40:, 2]  # r = 1, 1 and -1: no such three units
    x[:20, 2], x[20:40, 1], x[40:, 0] = np.nan, np.nan, np.nan
    with pytest.raises(AnalysisError, match=r"is singular .* pairs with different samples"):
        connectivity.partial_correlation(_recording(x), method="empirical")


def test_subjects_are_averaged_on_fishers_z():
    values = np.stack([_chain(200, 5, seed) for seed in range(3)])
    rec = ni.recording(values, modality="fmri", units="1", dims=("subject", "time", "unit"), sampling_rate=0.5)
    found = connectivity.partial_correlation(rec)
    each = [connectivity.partial_correlation(_recording(one)) for one in values]
    np.testing.assert_allclose(found.by_subject, [one.connectivity for one in each], atol=1e-12)
    np.testing.assert_allclose(found.shrinkage, [one.shrinkage for one in each], atol=1e-12)
    z = np.arctanh(found.by_subject.values[:, 0, 1:])
    np.testing.assert_allclose(found.connectivity[0, 1:], np.tanh(z.mean(axis=0)), atol=1e-12)
