"""Intervals of figures: their coverage on simulated systems of known answer, and what they are made of."""

import numpy as np
import pytest
from scipy.stats import binom

import neurointerp as ni
from neurointerp.analyses.comparison import _figures, _intervals
from neurointerp.analyses.comparison._figures import FIGURES, figures
from neurointerp.analyses.comparison._intervals import intervals, on_rows, time_blocks


def system(seed, units=32, samples=400, timescale=5.0, noise=1.0):
    """Record new units and a new stretch of time of one system: four slow latents that units read unequally."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-1 / timescale)
    latent = np.zeros((samples + 100, 4))
    shocks = rng.standard_normal(latent.shape)
    for t in range(1, len(latent)):
        latent[t] = decay * latent[t - 1] + np.sqrt(1 - decay**2) * shocks[t]
    weights = rng.standard_normal((4, units)) * rng.gamma(1.0, 1.0, units)
    values = latent[100:] * [1.5, 1.2, 0.8, 0.5] @ weights
    values += noise * rng.gamma(4.0, 0.25, units) * rng.standard_normal(values.shape)
    return recorded((values - values.mean(axis=0)) / values.std(axis=0))


def recorded(values, **changes):
    return ni.recording(values, **({"modality": "calcium", "units": "1", "sampling_rate": 10.0} | changes))


def coverage(repeats, resamples=10, **options):
    """Give the share of intervals that hold each figure's mean over all recordings of the system, (metric)."""
    found, bounds = [], []
    for seed in range(repeats):
        rec = system(seed, **options)
        values = figures(rec, 0)[0]
        data = np.array([values.get(figure.name, np.nan) for figure in FIGURES])
        found.append(data)
        bounds.append(intervals("one", rec, data, resamples=resamples, seed=seed)[0])
    truth = np.mean(found, axis=0)
    low, high = np.moveaxis(bounds, -1, 0)
    held = ((low <= truth) & (truth <= high)).mean(axis=0)
    return {figure.name: share for figure, share in zip(FIGURES, held, strict=True)}


def test_the_interval_of_what_needs_no_fit_holds_that_of_the_system(monkeypatch):
    """Only the three figures without a fit are computed, on 120 recordings; bound: the 1% quantile of 95% coverage."""

    def quick(rec, seed):
        return {"effective_dimension": _figures.effective_dimension(rec.values)}, {}

    def density(rec, seed):
        r = np.corrcoef(rec.values.T)[np.triu_indices(rec.sizes["unit"], k=1)]
        return {"connectivity_density": float((np.abs(r) > _figures.DENSITY_THRESHOLD).mean())}, {}

    def timescale(rec, seed):
        return {"intrinsic_timescale": _figures.intrinsic_timescale(rec)}, {}

    families = {"factorization": quick, "connectivity": density, "encoding": timescale}
    monkeypatch.setattr(_figures, "FAMILIES", families)
    found = coverage(120)
    least = binom.ppf(0.01, 120, 0.95) / 120
    assert found["effective_dimension"] >= least
    assert found["connectivity_density"] >= least
    assert found["intrinsic_timescale"] >= least


def test_the_timescale_may_be_any_lag_at_which_its_autocorrelation_may_be_at_the_threshold():
    """A curve that falls by 0.1 a lag, known to 0.05: half a lag either way, and NaN where it may not fall."""
    curve = 1 - 0.1 * np.arange(9)
    flat = np.concatenate([[1.0], np.full(8, 0.4)])
    draws = [curve + shift for shift in (-0.05, 0.05)]
    spread = np.std([-0.05, 0.05], ddof=1)
    low, high = _intervals._crossings(curve, draws, 0.05 / spread)
    crossing = (1 - np.exp(-1)) / 0.1
    np.testing.assert_allclose([low, high], [crossing - 0.5, crossing + 0.5])
    assert np.isnan(_intervals._crossings(flat, [flat - 0.05, flat + 0.05], 0.05 / spread)).all()
    assert _figures.below_threshold(curve) == pytest.approx(crossing)


def test_units_drawn_twice_would_give_another_dimension_and_units_left_out_do_not():
    """Of independent units: twins of a bootstrap halve the dimension, far outside the interval made here."""
    rng = np.random.default_rng(0)
    rec = recorded(rng.standard_normal((2000, 40)))
    dimension = _figures.effective_dimension(rec.values)
    twins = _figures.effective_dimension(rec.values[:, rng.integers(0, 40, 40)])
    left_out = _figures.effective_dimension(rec.values[:, :34])
    assert twins < 0.65 * dimension
    assert left_out / 34 == pytest.approx(dimension / 40, rel=0.02)


@pytest.mark.parametrize("samples", [100, 250, 400, 1000])
def test_blocks_part_the_samples_and_grow_with_the_timescale(samples):
    rec = recorded(np.zeros((samples, 4)))
    short, long, unknown = (time_blocks(rec, tau) for tau in (0.1, samples / 10 / 15, np.nan))
    for blocks in (short, long, unknown):
        assert np.array_equal(np.concatenate(blocks), np.arange(samples))
        assert len(blocks) >= 5
    assert len(short) >= len(long) >= len(unknown) == 5
    assert len(short) == {100: 10, 250: 12, 400: 20, 1000: 20}[samples]
    assert min(map(len, long)) >= 3 * samples / 15 - 10


def test_blocks_hold_whole_short_segments_and_no_two_halves_of_long_ones():
    segment = np.concatenate([np.repeat(np.arange(20), 7), np.repeat([20, 21], [95, 65])])
    rec = recorded(np.zeros((300, 4)), coords={"segment": ("time", segment)})
    for block in time_blocks(rec, 0.1):
        held = np.unique(segment[block])
        assert len(held) == 1 or held.max() < 20
        for one in held[held < 20]:
            assert (segment[block] == one).sum() == 7
    trials = recorded(np.zeros((60, 4)), dims=("trial", "unit"), sampling_rate=None)
    assert [len(block) for block in time_blocks(trials, np.nan)] == [3] * 20


def test_where_a_block_is_left_out_a_segment_ends():
    rec = recorded(np.arange(40.0).reshape(20, 2), coords={"segment": ("time", np.repeat([3, 4], 10))})
    part = on_rows(rec, np.array([0, 1, 2, 5, 6, 9, 10, 11]))
    assert part["segment"].values.tolist() == [0, 0, 0, 1, 1, 2, 3, 3]
    ni.check(part)


def test_an_interval_stays_within_what_a_figure_can_be_and_says_when_there_is_none():
    rec = system(3, units=12, samples=120)
    values = figures(rec, 0)[0]
    data = np.array([values.get(figure.name, np.nan) for figure in FIGURES])
    bounds, freedom = intervals("one", rec, data, resamples=10, seed=0)
    for (low, high), figure, value in zip(bounds, FIGURES, data, strict=True):
        assert figure.low <= low < value < high <= figure.high, figure.name
    assert 2 < freedom < 9
    again = intervals("one", rec, data, resamples=10, seed=0)[0]
    np.testing.assert_array_equal(again, bounds)
    few = rec.isel(unit=slice(0, 4))  # four units are needed for the figures: none can be left out
    assert np.isnan(intervals("one", few, data, resamples=10, seed=0)[0]).all()
    assert _intervals._bounded(0.0, 0.1, FIGURES[1]) == (0.0, 0.1)


@pytest.mark.slow
def test_coverage_of_every_figure_is_at_least_nominal_within_a_binomial_margin():
    repeats = 60
    found = coverage(repeats, units=24, samples=300)
    least = binom.ppf(0.01, repeats, 0.95) / repeats
    assert {name: share for name, share in found.items() if share < least} == {}
