"""Tests hold their level where the null is true, intervals their coverage, and units follow the values."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import neurointerp as ni
from neurointerp import split, statistics
from neurointerp.errors import AnalysisError

QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)
PROBABILITIES = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1) | st.just(np.nan))


def _labelled(values, dims=("unit",)):
    coords = {"unit": [f"u{i}" for i in range(values.shape[-1])], "region": ("unit", ["r"] * values.shape[-1])}
    return xr.DataArray(values, dims=dims, coords=coords)


# --- standard scores and variances ---


def test_a_zscore_has_mean_0_variance_1_and_units_1(recordings):
    for rec in recordings.values():
        before = ni.digest(rec)
        out = statistics.zscore(rec)
        ni.check(out)
        flat = out.values.reshape(-1, out.sizes["unit"]).astype(np.float64)
        np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(flat.std(axis=0), 1.0, rtol=1e-5)
        assert out.attrs["units"] == "1"
        assert out.dtype == (np.float32 if rec.dtype == np.float32 else np.float64)
        assert out.attrs["history"][-1]["function"] == "statistics.zscore"
        assert ni.digest(rec) == before


def test_a_zscore_is_the_same_in_any_units(recordings):
    rec = recordings["eeg"]
    np.testing.assert_allclose(statistics.zscore(ni.to_units(rec, "uV")), statistics.zscore(rec), rtol=1e-9)
    np.testing.assert_allclose(statistics.zscore(rec + 1e9).values, statistics.zscore(rec).values, atol=1e-5)


def test_a_zscore_fitted_on_training_samples_knows_nothing_of_the_test(recordings):
    rec = recordings["fmri"]
    train, test = split.blocked(rec, 3)[1]
    other = rec.copy(deep=True)
    other[test] = 1e3
    one, two = (statistics.zscore(each, fit=train) for each in (rec, other))
    np.testing.assert_array_equal(one.values[train], two.values[train])
    np.testing.assert_allclose(one.values[train].std(axis=0), 1.0)
    assert one.attrs["history"][-1]["parameters"] == {"samples_fitted": 80, "of": 120}


def test_missing_values_stay_missing_and_out_of_the_zscore():
    values = np.array([[np.nan, 1.0], [1.0, 2.0], [3.0, np.nan], [5.0, 3.0]])
    rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    np.testing.assert_allclose(statistics.zscore(rec).values, stats.zscore(values, axis=0, nan_policy="omit"))
    np.testing.assert_allclose(statistics.variance(rec).values, np.nanvar(values, axis=0))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1, np.nan])
def test_units_that_do_not_vary_have_no_zscore(constant):
    values = np.random.default_rng(0).standard_normal((20, 3))
    values[:, 1] = constant
    rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0, unit=["a", "b", "c"])
    with pytest.raises(AnalysisError, match="zscore: 1 of 3 units do not vary, first 'b'; drop them first"):
        statistics.zscore(rec)


@pytest.mark.parametrize("fit", [[], [20], [-1], [0.0], [True] * 20])
def test_a_fit_is_positions_of_samples(fit):
    rec = ni.recording(np.arange(20.0)[:, None], modality="calcium", units="1", sampling_rate=1.0)
    with pytest.raises(AnalysisError, match="fit must hold int positions within the 20 stacked samples"):
        statistics.zscore(rec, fit=fit)


def test_a_variance_has_squared_units_that_convert_as_squares(recordings):
    rec = recordings["eeg"]
    out = statistics.variance(rec)
    np.testing.assert_allclose(out.values, rec.values.var(axis=0), rtol=1e-12)
    assert out.attrs["units"] == "V**2"
    assert "sampling_rate" not in out.attrs
    micro = statistics.variance(ni.to_units(rec, "uV"))
    assert micro.attrs["units"] == "uV**2"
    np.testing.assert_allclose(ni.to_units(out, "uV**2").values, micro.values, rtol=1e-9)
    assert [step["function"] for step in out.attrs["history"]][-1] == "statistics.variance"


def test_a_variance_over_trials_is_a_recording_again(recordings):
    rec = recordings["stimulus"]
    out = statistics.variance(rec, dim="trial")
    ni.check(out)
    assert out.dims == ("time", "unit")
    np.testing.assert_allclose(out.values, rec.values.var(axis=0), rtol=1e-12)
    assert out.attrs["units"] == "1"
    with pytest.raises(AnalysisError, match="no sample dim 'unit'; there are: trial, time"):
        statistics.variance(rec, dim="unit")


def test_degrees_celsius_have_a_zscore_and_no_variance():
    rec = ni.recording(np.arange(4.0)[:, None], modality="behavior", units="degC", sampling_rate=1.0)
    assert statistics.zscore(rec).attrs["units"] == "1"
    with pytest.raises(ni.RecordingError, match="a power of values in 'degC' has no unit"):
        statistics.variance(rec)


# --- permutation tests ---


def test_p_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 12)) + np.array([[0.5], [0.0]])

    def difference(a, b, axis):
        return a.mean(axis=axis) - b.mean(axis=axis)

    for tail in ("greater", "less", "two-sided"):
        reference = stats.permutation_test(
            (x, y), difference, n_resamples=500, alternative=tail, vectorized=True, random_state=1
        )
        found = statistics.permutation_p(
            np.array([reference.statistic]), reference.null_distribution[:, None], tail=tail
        )
        assert found == pytest.approx(reference.pvalue)


def test_p_is_uniform_where_the_null_is_true_and_small_where_it_is_not():
    rng = np.random.default_rng(0)
    null = rng.standard_normal((199, 4000))
    for tail in ("greater", "less", "two-sided"):
        p = statistics.permutation_p(rng.standard_normal(4000), null, tail=tail)
        assert p.min() >= 0.005
        for level in (0.05, 0.2, 0.5):
            assert (p <= level + 1e-12).mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 4000))
    assert (statistics.permutation_p(np.full(4000, 10.0), null) == 0.005).all()
    assert (statistics.permutation_p(np.full(4000, 10.0), null, tail="less") == 1.0).all()
    assert (statistics.permutation_p(np.full(4000, -10.0), null, tail="two-sided") == 0.01).all()


def test_surrogates_of_independent_series_give_uniform_p_of_their_correlation():
    """Smooth series that share nothing: their own surrogates know how much chance correlates them."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((400, 160)), axis=0)
    smooth = smooth[20:] - smooth[:-20]
    rec = ni.recording(smooth, modality="calcium", units="1", sampling_rate=1.0)

    def pairs(one):
        z = statistics.zscore(one).values
        return (z[:, ::2] * z[:, 1::2]).mean(axis=0)

    draws = np.stack([pairs(ni.surrogate.phase_randomize(rec, seed=seed)) for seed in range(99)])
    p = statistics.permutation_p(pairs(rec), draws, tail="two-sided")
    naive = 2 * stats.norm.sf(np.abs(pairs(rec)) * np.sqrt(380))
    assert (naive <= 0.05).mean() > 0.4
    assert (p <= 0.05).mean() < 0.15
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_ties_up_to_rounding_count_as_ties():
    observed = np.array([0.1 + 0.2])
    assert statistics.permutation_p(observed, np.full((9, 1), 0.3)) == 1.0
    assert statistics.permutation_p(observed, np.full((9, 1), 0.3), tail="less") == 1.0
    assert statistics.max_statistic_p(observed, np.full((9, 1), 0.3)) == 1.0


def test_the_largest_statistic_controls_any_false_positive_and_keeps_power():
    rng = np.random.default_rng(0)
    false, correct, naive, runs, units = 0, 0, 0, 300, 20
    mix = np.linalg.cholesky(0.6 + 0.4 * np.eye(units))
    for _ in range(runs):
        observed, null = rng.standard_normal(units) @ mix.T, rng.standard_normal((99, units)) @ mix.T
        false += (statistics.max_statistic_p(observed, null, tail="two-sided") <= 0.05).any()
        naive += (statistics.permutation_p(observed, null, tail="two-sided") <= 0.05).any()
        observed[0] += 5.0
        correct += statistics.max_statistic_p(observed, null, tail="two-sided")[0] <= 0.05
    limit = 3 * np.sqrt(0.05 * 0.95 / runs)
    assert abs(false / runs - 0.05) < limit
    assert naive / runs > 0.2
    assert correct / runs > 0.9


@given(
    hnp.arrays(np.float64, (7, 5), elements=st.integers(-6, 6).map(lambda n: n / 2)),
    st.sampled_from(["greater", "less", "two-sided"]),
)
@QUICK
def test_the_largest_statistic_is_counted_by_hand(values, tail):
    observed, null = values[0], values[1:]
    sign = {"greater": lambda x: x, "less": lambda x: -x, "two-sided": np.abs}[tail]
    expected = [(1 + sum(sign(draw).max() >= sign(one) - 1e-13 for draw in null)) / 7 for one in observed]
    np.testing.assert_allclose(statistics.max_statistic_p(observed, null, tail=tail), expected)
    assert (statistics.max_statistic_p(observed, null) >= statistics.permutation_p(observed, null) - 1e-12).all()


@pytest.mark.parametrize("test", [statistics.permutation_p, statistics.max_statistic_p])
def test_labels_are_kept_and_units_without_a_statistic_take_no_part(test):
    rng = np.random.default_rng(0)
    observed, null = rng.standard_normal((2, 4)), rng.standard_normal((19, 2, 4))
    observed[0, 1] = np.nan
    null[3, 0, 1] = np.nan
    found = test(
        _labelled(observed, ("fold", "unit")), _labelled(null, ("draw", "fold", "unit")).transpose("unit", ...)
    )
    np.testing.assert_array_equal(found.values, test(observed, null))
    assert found.dims == ("fold", "unit")
    assert found["region"].values.tolist() == ["r"] * 4
    assert found.attrs == {"units": "1"}
    assert np.isnan(found.values).sum() == 1
    renamed = _labelled(null, ("null", "fold", "unit"))
    xr.testing.assert_identical(test(_labelled(observed, ("fold", "unit")), renamed, dim="null"), found)


@pytest.mark.parametrize("test", [statistics.permutation_p, statistics.max_statistic_p])
@pytest.mark.parametrize(
    ("observed", "null", "options", "message"),
    [
        (np.zeros(3), np.zeros((5, 2)), {}, r"observed has shape \(3,\) and null \(5, 2\): \(draw, ...\) is needed"),
        (np.zeros(3), np.zeros((0, 3)), {}, r"null \(0, 3\)"),
        (np.zeros(3), np.zeros(3), {}, r"null \(3,\)"),
        (np.zeros(3), np.full((5, 3), np.nan), {}, "15 of 15 null draws are missing where there is a statistic"),
        (np.zeros(3), np.zeros((5, 3)), {"tail": "both"}, "tail 'both': 'greater', 'less' or 'two-sided' is needed"),
        (_labelled(np.zeros(3)), np.zeros((5, 3)), {}, "must both be DataArrays or both plain arrays"),
        (_labelled(np.zeros(3)), _labelled(np.zeros((5, 3)), ("b", "unit")), {}, r"null has dims \('b', 'unit'\)"),
        (
            _labelled(np.zeros(3)),
            _labelled(np.zeros((5, 4)), ("draw", "unit"))[:, 1:],
            {},
            "observed and null have different labels",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(test, observed, null, options, message):
    with pytest.raises(AnalysisError, match=message):
        test(observed, null, **options)


# --- false discovery rate ---


def _by_hand(p, dependent):
    """Step up: the smallest of p * m / rank from each rank on."""
    m = np.sum(~np.isnan(p))
    out = np.full(p.shape, np.nan)
    harmonic = sum(1 / i for i in range(1, m + 1)) if dependent else 1.0
    for i, one in enumerate(p):
        if not np.isnan(one):
            reached = [other * m * harmonic / np.sum(p <= other) for other in p if other >= one]
            out[i] = min(1.0, *reached) if len(reached) > 1 else min(1.0, reached[0])
    return out


@given(PROBABILITIES, st.booleans())
@QUICK
def test_fdr_equals_an_independent_implementation(p, dependent):
    found = statistics.fdr(p, method="by" if dependent else "bh")
    np.testing.assert_allclose(found, _by_hand(p, dependent), rtol=1e-12)
    there = ~np.isnan(p)
    assert (found[there] >= p[there]).all()
    order = np.random.default_rng(0).permutation(p.size)
    np.testing.assert_array_equal(statistics.fdr(p[order], method="by" if dependent else "bh"), found[order])


def test_fdr_holds_its_rate_over_simulations():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        z = rng.standard_normal(100)
        z[:20] += 3.0
        chosen = statistics.fdr(stats.norm.sf(z)) <= 0.1
        shares.append(chosen[20:].sum() / max(chosen.sum(), 1))
    assert 0.04 < np.mean(shares) < 0.1
    assert chosen[:20].mean() > 0.5


def test_fdr_keeps_labels_and_takes_all_axes_as_one_family():
    p = np.random.default_rng(0).uniform(size=(3, 4)) ** 3
    found = statistics.fdr(_labelled(p, ("fold", "unit")))
    np.testing.assert_allclose(found.values.ravel(), stats.false_discovery_control(p.ravel()))
    assert found["region"].values.tolist() == ["r"] * 4
    assert np.isnan(statistics.fdr(np.full(3, np.nan))).all()
    for bad, method in ((np.array([0.1, 1.5]), "bh"), (np.array([0.1]), "holm")):
        with pytest.raises(AnalysisError, match=rf"fdr: {int(method == 'bh')} values outside \[0, 1\], method"):
            statistics.fdr(bad, method=method)


# --- bootstrap ---


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_cover_the_mean_about_as_often_as_they_say(method):
    """300 samples of 40 at once: coverage of 90% intervals of the mean, whose binomial error is 1.7%."""
    values = np.random.default_rng(0).normal(2.0, 1.0, (40, 300))
    low, high = statistics.bootstrap_interval(values, dim=0, level=0.9, method=method, resamples=800)
    covered = ((low <= 2.0) & (high >= 2.0)).mean()
    assert 0.83 < covered < 0.94
    width = 2 * stats.norm.isf(0.05) / np.sqrt(40)
    assert np.mean(high - low) == pytest.approx(width, rel=0.05)


def test_bca_covers_a_skewed_statistic_better_than_percentiles():
    values = np.random.default_rng(0).exponential(1.0, (25, 400))

    def deviation(sample, axis):
        return sample.std(axis=axis, ddof=1)

    missed = {}
    for method in ("bca", "percentile"):
        low, high = statistics.bootstrap_interval(values, deviation, dim=0, level=0.9, method=method, resamples=600)
        missed[method] = 1 - ((low <= 1.0) & (high >= 1.0)).mean()
    assert missed["bca"] < missed["percentile"] - 0.02


def test_intervals_are_those_of_scipy_and_the_seed_decides():
    values = np.random.default_rng(0).exponential(1.0, (30, 2))
    for method, name in (("bca", "BCa"), ("percentile", "percentile")):
        expected = stats.bootstrap(
            (values.T,), np.median, axis=-1, n_resamples=2000, method=name, random_state=np.random.default_rng(3)
        ).confidence_interval
        found = statistics.bootstrap_interval(values, np.median, dim=0, method=method, seed=3)
        np.testing.assert_array_equal(found, np.stack([expected.low, expected.high]))
    other = statistics.bootstrap_interval(values, np.median, dim=0, method="percentile", seed=4)
    assert not np.array_equal(other, found)


def test_intervals_do_not_depend_on_the_batch(monkeypatch):
    values = np.random.default_rng(0).standard_normal((30, 2))
    whole = statistics.bootstrap_interval(values, dim=0, resamples=200)
    monkeypatch.setattr(statistics, "BATCH", 100)
    np.testing.assert_array_equal(statistics.bootstrap_interval(values, dim=0, resamples=200), whole)


def test_intervals_of_a_recording_keep_its_labels(recordings):
    rec = recordings["stimulus"].assign_coords(region=("unit", list("abcdefgh")))
    found = statistics.bootstrap_interval(rec, dim="trial", resamples=50)
    assert found.dims == ("bound", "time", "unit")
    assert found["bound"].values.tolist() == ["low", "high"]
    assert set(found.coords) == {"bound", "time", "unit", "region"}
    assert (found.sel(bound="low") <= found.sel(bound="high")).all()
    expected = statistics.bootstrap_interval(rec.values, dim=0, resamples=50)
    np.testing.assert_array_equal(found.values, expected)
    assert "units" not in found.attrs


def test_a_constant_has_an_interval_of_no_width():
    values = np.random.default_rng(0).standard_normal((20, 3))
    values[:, 1] = 0.1
    for method in ("bca", "percentile"):
        low, high = statistics.bootstrap_interval(values, dim=0, method=method, resamples=100)
        assert low[1] == high[1] == pytest.approx(0.1)
        assert np.isfinite(low).all()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((5, 2)), {"dim": 2}, r"dim 2 is no axis of an array of shape \(5, 2\)"),
        (np.zeros((5, 2)), {"dim": "trial"}, "dim 'trial' is no axis"),
        (np.zeros((1, 2)), {"dim": 0}, "1 samples and 0 missing values: two samples or more"),
        (np.array([[np.nan, 1.0]] * 3), {"dim": 0}, "3 samples and 3 missing values"),
        (_labelled(np.zeros((5, 2)), ("time", "unit")), {"dim": "time"}, "name one whose samples are independent"),
        (_labelled(np.zeros((5, 2)), ("trial", "unit")), {"dim": "fold"}, "cannot resample 'fold' of dims"),
        (np.zeros((5, 2)), {"dim": 0, "level": 95}, "level 95, resamples 2000"),
        (np.zeros((5, 2)), {"dim": 0, "method": "basic"}, "method 'basic'"),
        (np.zeros((5, 2)), {"dim": 0, "resamples": 0}, "resamples 0"),
    ],
)
def test_what_cannot_be_resampled_is_refused(values, options, message):
    with pytest.raises(AnalysisError, match=message):
        statistics.bootstrap_interval(values, **options)
