"""Granger causality against statsmodels, and on a planted autoregression."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def _chain(samples=800, seed=0):
    """Draw 0 -> 1 -> 2, each two samples later, and 3 apart."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, 4))
    for t in range(2, samples):
        x[t] += 0.5 * x[t - 1]
        x[t, 1] += 0.6 * x[t - 2, 0]
        x[t, 2] += 0.6 * x[t - 2, 1]
    return x


def _recording(values, **options):
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 100.0} | options))


@pytest.mark.parametrize("order", [1, 3])
def test_pairwise_equals_statsmodels(order):
    tools = pytest.importorskip("statsmodels.tsa.stattools")
    values = _chain(300) * 1e-6 + 4.0
    found = connectivity.granger(_recording(values), order=order)
    z = (values - values.mean(axis=0)) / values.std(axis=0)  # on the values themselves statsmodels loses digits
    for source, target in [(0, 1), (1, 0), (3, 2)]:
        tests, (short, full, _) = tools.grangercausalitytests(z[:, [target, source]], [order])[order]
        assert float(found.f_statistic[source, target]) == pytest.approx(tests["ssr_ftest"][0], rel=1e-6)
        assert float(found.p_value[source, target]) == pytest.approx(tests["ssr_ftest"][1], rel=1e-6)
        assert float(found.connectivity[source, target]) == pytest.approx(np.log(short.ssr / full.ssr), abs=1e-9)


def test_conditional_equals_regressions_and_statsmodels():
    api = pytest.importorskip("statsmodels.tsa.api")
    values = _chain(300)
    found = connectivity.granger(_recording(values), order=2, conditional=True)
    past = np.concatenate([np.ones((298, 1)), values[1:-1], values[:-2]], axis=1)
    for source, target in [(0, 1), (0, 2), (2, 3)]:
        keep = [0, *(i for i in range(1, 9) if (i - 1) % 4 != source)]
        short, full = (np.linalg.lstsq(x, values[2:, target])[1][0] for x in (past[:, keep], past))
        assert float(found.connectivity[source, target]) == pytest.approx(np.log(short / full), abs=1e-10)
    assert int(connectivity.granger(_recording(values), conditional=True).order) == api.VAR(values).select_order(10).bic


def test_planted_directions_and_the_indirect_one():
    direct = [(0, 1), (1, 2)]
    recording = _recording(_chain(2000))
    pairwise = connectivity.granger(recording)
    conditional = connectivity.granger(recording, conditional=True)
    assert int(conditional.order) == 2
    others = [(i, j) for i in range(4) for j in range(4) if i != j and (i, j) not in [*direct, (0, 2)]]
    for found in (pairwise, conditional):
        size, p = found.connectivity.values, found.p_value.values
        assert min(size[pair] for pair in direct) > 10 * max(size[pair] for pair in others)
        assert max(p[pair] for pair in direct) < 1e-10
        assert min(p[pair] for pair in others) > 1e-3
        assert np.isnan(np.diag(size)).all()
    assert float(pairwise.p_value[0, 2]) < 1e-10
    assert float(conditional.p_value[0, 2]) > 1e-3


def test_the_past_stays_within_segments_and_trials():
    values = _chain(300)
    segment = np.repeat([0, 1, 2], 100)
    pieces = connectivity.granger(_recording(values, coords={"segment": ("time", segment)}), order=2)
    trials = _recording(values.reshape(3, 100, 4), dims=("trial", "time", "unit"))
    np.testing.assert_allclose(pieces.connectivity, connectivity.granger(trials, order=2).connectivity, atol=1e-14)
    rows = np.concatenate([np.arange(a + 2, a + 100) for a in (0, 100, 200)])
    own = np.stack([np.ones(294), values[rows - 1, 1], values[rows - 2, 1]], axis=1)
    both = np.column_stack([own, values[rows - 1, 0], values[rows - 2, 0]])
    short, full = (np.linalg.lstsq(x, values[rows, 1])[1][0] for x in (own, both))
    assert float(pieces.connectivity[0, 1]) == pytest.approx(np.log(short / full), abs=1e-12)


def test_what_cannot_be_fitted_is_refused_and_constant_units_are_nan():
    values = _chain(100)
    with pytest.raises(AnalysisError, match="order is 0; at least 1 sample of past is needed"):
        connectivity.granger(_recording(values), order=0)
    with pytest.raises(AnalysisError, match=r"order 20 of 4 units together has too few samples .* take fewer units"):
        connectivity.granger(_recording(values), order=20, conditional=True)
    twins = values[:, [0, 1, 2, 0]]
    for options in ({"order": 2}, {"order": 2, "conditional": True}, {}, {"conditional": True}):
        with pytest.raises(AnalysisError, match="granger: the pasts of units are linearly dependent"):
            connectivity.granger(_recording(twins), **options)
    values[:, 2] = 1.0
    found = connectivity.granger(_recording(values))
    assert found.connectivity.attrs["undefined_units"] == 1
    assert np.isnan(found.connectivity.values[2]).all()
    assert np.isfinite(found.connectivity.values[0, [1, 3]]).all()
