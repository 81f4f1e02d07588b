"""Nulls: levels that hold where nothing is there, planted pairs that are found, and every measure through one call."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import statistics
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity.null import MEASURES, SURROGATES
from neurointerp.errors import AnalysisError


def _slow(samples=300, units=4, seed=0):
    """Draw autocorrelated units, which correlate by chance."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, units))
    for t in range(1, samples):
        x[t] += 0.95 * x[t - 1]
    return x


def _recording(values, **options):
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": 100.0} | options))


@pytest.mark.parametrize("surrogate", ["circular_shift", "phase_randomize"])
def test_the_level_holds_for_slow_units_and_a_planted_pair_is_found(surrogate):
    from scipy.stats import pearsonr

    false, naive = 0, 0
    for seed in range(12):
        values = _slow(seed=seed)
        found = connectivity.null(_recording(values), surrogate=surrogate, draws=19)
        false += float(found.p_value.min()) <= 0.05
        naive += pearsonr(values[:, 0], values[:, 1]).pvalue <= 0.05
    assert false <= 3  # 12 x 0.05 = 0.6 expected
    assert naive > 4
    values = _slow(1000)
    values[:, 1] += 2 * values[:, 0]
    found = connectivity.null(_recording(values), surrogate=surrogate, draws=99)
    assert float(found.p_value[0, 1]) == 0.01
    assert float(found.q_value[0, 1]) <= 0.2
    assert float(found.z_score[0, 1]) > 3
    assert float(found.p_value[2, 3]) > 0.05


def test_numbers_are_those_of_the_statistics_of_all_draws():
    recording = _recording(_slow())
    found = connectivity.null(recording, draws=30, seed=3)
    seeds = np.random.SeedSequence(3).generate_state(30, np.uint32)
    draws = np.stack(
        [
            connectivity.correlation(ni.surrogate.circular_shift(recording, seed=int(s))).connectivity.values
            for s in seeds
        ]
    )
    observed = connectivity.correlation(recording).connectivity.values
    off = ~np.eye(4, dtype=bool)
    expected = statistics.max_statistic_p(observed[off], draws[:, off], tail="two-sided")
    np.testing.assert_allclose(found.p_value.values[off], expected)
    own = statistics.permutation_p(observed[off], draws[:, off], tail="two-sided")
    np.testing.assert_allclose(found.p_uncorrected.values[off], own)
    np.testing.assert_allclose(found.q_value.values[off], statistics.fdr(own))
    np.testing.assert_allclose(found.null_mean.values[off], draws[:, off].mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.null_std.values[off], draws[:, off].std(axis=0, ddof=1), atol=1e-12)
    np.testing.assert_allclose(found.null_max, np.abs(draws[:, off]).max(axis=1))
    assert np.isnan(found.p_value.values[~off]).all()
    assert found.attrs["parameters"]["tail"] == "two-sided"


OTHERS = ("dynamic", "affinity", "states", "communities", "dynamic_connectome")


@pytest.mark.parametrize("measure", [name for name in MEASURES if name not in OTHERS])
def test_every_measure_goes_through_and_finds_the_planted_pair(measure):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1203, 3))
    x[:, 1] = 0.3 * x[:, 1] + np.concatenate([np.zeros(3), x[:-3, 0]])  # 30 ms behind the first
    options, variable = {}, "connectivity"
    if measure in ("correlation", "covariance", "partial_correlation", "mutual_information"):
        x[:-3, 1] = x[3:, 1]
    if measure in ("spectral", "coherence", "imaginary_coherence", "plv", "ciplv", "pli", "wpli", "wpli2_debiased"):
        options = {"fmin": 6.0, "fmax": 10.0, "window": 50, "mode": "fourier"}
    options |= {
        "spectral": {"measures": ["wpli"]},
        "lagged": {"max_lag": 5},
        "granger": {"order": 4},
        "spectral_granger": {"order": 4, "n_frequencies": 9},
        "effective": {"order": 4, "alpha": 0.01},
        "transfer_entropy": {"threshold": 0.0, "source_order": 3},
    }.get(measure, {})
    variable = {"spectral": "wpli"}.get(measure, "connectivity")
    found = connectivity.null(_recording(x), measure, draws=39, variable=variable, options=options)
    p = found.p_value.min([dim for dim in found.p_value.dims if dim not in ("source", "target")])
    assert float(p[0, 1]) == 0.025
    assert float(p[0, 2]) > 0.025
    assert set(found.p_value.dims) == set(found.connectivity.dims)


def _together_for_a_while(samples=400, units=5):
    """Give units of which the first two go together in the third quarter alone."""
    x = np.random.default_rng(2).standard_normal((samples, units))
    part = slice(samples // 2, 3 * samples // 4)
    x[part, 1] = x[part, 0] + 0.1 * x[part, 1]
    return _recording(x)


def test_windows_of_a_dynamic_measure_are_tested_together():
    rec = _together_for_a_while()
    found = connectivity.null(rec, "dynamic", draws=39, options={"window": 50, "step": 50})
    assert found.p_value.dims == ("window", "source", "target")
    significant = found.p_value[:, 0, 1].values <= 0.05
    assert significant.tolist() == [False] * 4 + [True] * 2 + [False] * 2
    assert not (found.p_value[:, 2:, 2:] <= 0.05).any()
    assert np.isnan(found.p_value.values[:, np.arange(5), np.arange(5)]).all()


def test_moments_of_an_affinity_are_tested_together():
    rec = _together_for_a_while()
    found = connectivity.null(rec, "affinity", variable="affinity", draws=39, options={"bin_size": 50, "smooth": 1})
    assert found.p_value.dims == ("time", "subject", "pair")
    assert found.p_value.values[4:6, 0, 0].min() <= 0.05
    assert not (found.p_value.values[[0, 1, 2, 3, 6, 7], 0, 0] <= 0.05).any()
    assert not (found.p_value.values[:, 0, 1:] <= 0.05).any()


def test_changes_are_told_from_steady_correlation():
    """Keep what units share and lose its changes: states of what changes explain more, those of the steady do not."""
    options = {"count": 2, "restarts": 3}
    given = {"variable": "explained", "surrogate": "phase_randomize", "surrogate_options": {"independent": False}}
    changing = _together_for_a_while(800)
    steady = changing.copy(deep=True)
    rng = np.random.default_rng(3)
    steady[:] = rng.standard_normal(steady.shape)
    steady[:, 1] += steady[:, 0].values
    p = [
        float(connectivity.null(rec, "states", draws=19, options=options, **given).p_value)
        for rec in (changing, steady)
    ]
    assert p[0] == 0.05
    assert p[1] > 0.05


def test_a_number_of_a_whole_graph_is_tested():
    x = np.random.default_rng(0).standard_normal((300, 8))
    noise = connectivity.null(_recording(x), "communities", variable="modularity", draws=19)
    assert float(noise.p_value) > 0.05
    assert float(noise.null_mean) > 0.1  # noise has communities too
    x += np.repeat(np.random.default_rng(1).standard_normal((300, 2)), 4, axis=1)
    found = connectivity.null(_recording(x), "communities", variable="modularity", draws=19)
    assert float(found.p_value) == 0.05
    assert found.p_value.dims == ()


def test_a_connectome_that_changes_is_tested_by_its_error():
    tree = ni.synthetic.dynamic_motifs(n_units=16, n_motifs=2, motif_size=6, gain=3, n_subjects=4, carriers=3, seed=1)
    rec = tree["recordings/dynamic_motifs/recording"]
    options = {"rank": 3, "restarts": 1, "starts": 1}
    found = connectivity.null(
        rec, "dynamic_connectome", variable="relative_error", tail="less", draws=19, options=options
    )
    assert float(found.p_value) == 0.05
    with pytest.raises(AnalysisError, match="'community' holds int64, labels or counts"):
        connectivity.null(rec, "dynamic_connectome", variable="community", draws=2, options=options)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate_goes_through(surrogate):
    epochs = np.random.default_rng(0).standard_normal((12, 30, 3))
    epochs[:, :, 1] += epochs[:, :, 0]
    recording = _recording(epochs, dims=("trial", "time", "unit"))
    found = connectivity.null(recording, surrogate=surrogate, draws=19)
    assert float(found.p_value[0, 1]) == 0.05


def test_missing_values_travel_with_their_unit():
    values = _slow(400)
    values[:, 1] += 3 * values[:, 0]
    values[20:60, 0], values[300:310, 2] = np.nan, np.nan
    found = connectivity.null(_recording(values), draws=39)
    assert float(found.p_value[0, 1]) == 0.025
    assert np.isfinite(found.p_value[0, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measure": "null"}, "measure is 'null'; one of correlation, covariance"),
        ({"surrogate": "bootstrap"}, "surrogate is 'bootstrap'; one of circular_shift, phase_randomize"),
        ({"variable": "peak"}, "variable is 'peak'; one of connectivity, samples is needed"),
        ({"tail": "upper"}, "tail is 'upper'; one of greater, less, two-sided"),
        ({"draws": 0}, "draws is 0; at least 1 is needed"),
        ({"surrogate": "shuffle_trials"}, "without trials to shuffle"),
        ({"measure": "communities"}, "variable is 'connectivity'; one of community, modularity"),
    ],
)
def test_what_is_not_there_is_refused(options, message):
    with pytest.raises(AnalysisError, match=message):
        connectivity.null(_recording(_slow()), **{"draws": 2, **options})
    constant = _slow()
    constant[:, :] = 1.0
    with pytest.raises(AnalysisError, match="the measure is undefined for every pair"):
        connectivity.null(_recording(constant), draws=2)
