"""Matching of rates and of signal quality, recorded in history and attrs."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses.comparison._matched import matched
from neurointerp.analyses.comparison._quality import shared_variance

SIZES = {"units": None, "samples": None, "seed": 0}


def shared(noise, rate=20.0, units=16, samples=1200, seed=0, **changes):
    """Three slow latents read by all units, and noise of a known share."""
    rng = np.random.default_rng(seed)
    smooth = np.ones(20) / np.sqrt(20)
    latent = np.stack([np.convolve(rng.standard_normal(samples + 19), smooth, "valid") for _ in range(3)])
    weights = rng.standard_normal((3, units))
    values = latent.T @ (weights / np.linalg.norm(weights, axis=0)) + noise * rng.standard_normal((samples, units))
    return ni.recording(values, **({"modality": "eeg", "units": "V", "sampling_rate": rate} | changes))


def steps(rec):
    return {step["function"]: step["parameters"] for step in rec.attrs["history"]}


def test_rates_are_brought_to_the_slowest_of_those_in_seconds():
    counted = ni.recording(
        shared(0.5).values, modality="activations", units="1", time=("time", np.arange(1200), {"units": "token"})
    )
    recs = {"fast": shared(0.5), "slow": shared(0.5, rate=5.0, samples=300), "model": counted}
    out = matched(recs, rate="slowest", **SIZES)
    assert {name: rec.attrs.get("sampling_rate") for name, rec in out.items()} == {
        "fast": 5.0,
        "slow": 5.0,
        "model": 1.0,
    }
    assert len(out["fast"]) == 300
    assert steps(out["fast"])["comparison.at_one_rate"] == {"rate": 5.0, "rate_before": 20.0}
    assert "align.resample" in steps(out["fast"])
    assert "align.resample" not in steps(out["slow"])
    assert steps(out["model"])["comparison.at_one_rate"] == {"rate": None, "left": "the clock does not count seconds"}
    direct = ni.align.resample(recs["fast"], 5.0)
    unit = out["fast"]["unit"].values
    expected = direct.sel(unit=unit).values
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(out["fast"].values, expected)


def test_counts_of_spikes_are_added_up_within_segments():
    counts = np.random.default_rng(0).poisson(1.0, (405, 6))
    segment = ("time", np.repeat([0, 1], [201, 204]))
    spikes = ni.recording(counts, modality="spikes", units="1", sampling_rate=20.0, coords={"segment": segment})
    out = matched({"a": spikes, "b": shared(0.5, rate=5.0, samples=300)}, rate="slowest", **SIZES)["a"]
    assert len(out) == 50 + 51
    whole = np.concatenate([counts[:200].reshape(50, 4, 6), counts[201:].reshape(51, 4, 6)]).sum(axis=1)
    kept = [int(str(name)[1:]) for name in out["unit"].values]
    np.testing.assert_allclose(out.values, ((whole - whole.mean(0)) / whole.std(0))[:, kept])
    with pytest.raises(ni.AnalysisError, match="recording 'a': counts of spikes at 20 Hz do not add up to 3 Hz"):
        matched({"a": spikes}, rate=3.0, **SIZES)


@pytest.mark.parametrize("noises", [(0.3, 1.0)])
def test_quality_by_units_makes_the_better_as_noisy_as_the_worse(noises):
    recs = {"good": shared(noises[0]), "poor": shared(noises[1], seed=1)}
    before = matched(recs, **SIZES)
    after = matched(recs, quality="units", **SIZES)
    found = {name: shared_variance(rec.values, 0) for name, rec in after.items()}
    assert shared_variance(before["good"].values, 0) > found["poor"] + 0.2
    assert found["good"] == pytest.approx(found["poor"], abs=0.01)
    np.testing.assert_array_equal(after["poor"], before["poor"])
    step = steps(after["good"])["comparison.of_equal_quality"]
    # the planted share of noise in "poor" is 1/2, so "good" needs about that: 1 = 0.09 + (1.09) x added
    assert step["noise_variance"] == pytest.approx((1.0 - 0.09) / 1.09, rel=0.25)
    stated = matched(recs, quality="units", reliability=0.2, **SIZES)
    assert shared_variance(stated["poor"].values, 0) == pytest.approx(0.2, abs=0.01)


def test_quality_by_repeats_gives_what_a_ceiling_measures():
    """Noise of variance 0.25 and of 1 about a signal of variance 1: shares of signal 0.8 and 0.5."""
    recs = {}
    for name, noise in (("good", 0.5), ("poor", 1.0)):
        rng = np.random.default_rng(len(name))
        signal = np.tile(rng.standard_normal((100, 8)), (6, 1))
        recs[name] = ni.recording(
            signal + noise * rng.standard_normal(signal.shape), modality="fmri", units="1", dims=("trial", "unit"),
            coords={"stimulus": ("trial", np.tile(np.arange(100), 6))},
        )  # fmt: skip
    out = matched(recs, quality="repeats", **SIZES)
    step = steps(out["good"])["comparison.of_equal_quality"]
    assert step["reliability_before"] == pytest.approx(0.8, abs=0.03)
    assert step["reliability"] == pytest.approx(0.5, abs=0.04)
    labelled = out["good"].assign_coords(stimulus=("trial", np.tile(np.arange(100), 6)))
    measured = float(ni.score.noise_ceiling(labelled, of="single").mean())
    assert measured == pytest.approx(step["reliability"], abs=0.03)


def test_units_whose_mean_response_is_constant_are_not_reliable():
    """Repeats that are each other's opposite: no share can be told, and that is none."""
    values = np.repeat([1.0, -1.0], 40)[:, None] * np.arange(1, 6)
    rec = ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
                       coords={"stimulus": ("trial", np.tile(np.arange(40), 2))})  # fmt: skip
    with pytest.raises(ni.AnalysisError, match=r"'a' has a reliability of 0\.000 by repeats; leave it out"):
        matched({"a": rec}, quality="repeats", units=5, samples=80, seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 40.0}, r"recording 'slow' has 5 Hz; a higher rate cannot be made up"),
        ({"rate": "fastest"}, "'slowest' is needed"),
        ({"rate": 0.0}, "a number of samples per second"),
        ({"rate": np.pi}, "recording 'fast': no ratio of whole numbers"),
        ({"quality": "eyes"}, "'repeats' or 'units'"),
        ({"quality": "repeats"}, "recording 'fast' has no sample coordinate 'stimulus'"),
        ({"reliability": 0.5}, "reliability needs quality"),
        ({"quality": "units", "reliability": 0.99}, "below the 0.99 asked for"),
        ({"quality": "units", "reliability": 2.0}, "a number from 0.01 to 1"),
    ],
)
def test_what_cannot_be_matched_is_named(options, message):
    recs = {"fast": shared(0.5), "slow": shared(0.5, rate=5.0, samples=300)}
    with pytest.raises(ni.AnalysisError, match=message):
        matched(recs, **SIZES, **options)


def test_nothing_shared_and_no_clock_are_refused():
    alone = ni.recording(
        np.random.default_rng(0).standard_normal((500, 8)), modality="eeg", units="V", sampling_rate=9.0
    )
    with pytest.raises(ni.AnalysisError, match=r"recording 'alone' has a reliability of 0\.000 by units; leave it out"):
        matched({"a": shared(0.5), "alone": alone}, quality="units", **SIZES)
    trials = ni.recording(alone.values, modality="fmri", units="1", dims=("trial", "unit"))
    with pytest.raises(ni.AnalysisError, match="no recording has a clock in seconds"):
        matched({"trials": trials}, rate="slowest", **SIZES)
    irregular = ni.recording(
        alone.values, modality="eeg", units="V", time=np.cumsum(1 + np.arange(500) % 2).astype(float)
    )
    with pytest.raises(ni.AnalysisError, match="'i' has an irregular clock"):
        matched({"i": irregular}, rate="slowest", **SIZES)


def test_of_chunked_trials_a_window_alone_is_read(monkeypatch):
    pytest.importorskip("dask")
    monkeypatch.setattr("neurointerp.streaming.available", lambda: 0)  # so that what asks for all is refused
    rng = np.random.default_rng(9)
    trials = rng.standard_normal((40, 20, 8)) @ rng.standard_normal((8, 8))
    rec = ni.recording(trials, modality="eeg", units="V", sampling_rate=10.0, dims=("trial", "time", "unit"))
    found = matched({"one": rec.chunk(trial=2)}, units=5, samples=80, seed=0)["one"]
    assert found.identical(matched({"one": rec}, units=5, samples=80, seed=0)["one"])
    assert not found.chunks


def test_segments_shorter_than_a_bin_give_none_chunked_or_not():
    pytest.importorskip("dask.array")
    counts = np.random.default_rng(0).poisson(1.0, (405, 6))
    segment = ("time", np.repeat([0, 1, 2], [201, 3, 201]))
    spikes = ni.recording(counts, modality="spikes", units="1", sampling_rate=20.0, coords={"segment": segment})
    whole = matched({"a": spikes}, rate=5.0, **SIZES)["a"]
    assert len(whole) == 50 + 50
    for chunks in ({"time": 7, "unit": 4}, {"time": 405}):
        assert matched({"a": spikes.chunk(chunks)}, rate=5.0, **SIZES)["a"].identical(whole)
    with pytest.raises(ni.AnalysisError, match=r"'a': no segment is as long as one bin of 0.05 Hz \(400 samples\)"):
        matched({"a": spikes}, rate=0.05, **SIZES)


def test_a_chunked_recording_is_brought_to_a_rate_by_block():
    da = pytest.importorskip("dask.array")
    import dask

    whole = shared(0.5, samples=40_000, rate=200.0, units=8)
    read = []

    def block(x):
        read.append(x.nbytes)
        return x

    counts = whole.copy(data=np.random.default_rng(0).poisson(1.0, whole.shape))
    counts.attrs |= {"modality": "spikes", "units": "1"}
    slow = shared(0.5, rate=10.0, samples=300)
    # passes for what is missing and for the mean, of counts none; and the window
    for rec, least, most in ((whole, 2.0, 2.5), (counts, 0.0, 0.5)):
        lazy = da.from_array(rec.values, chunks=(1000, 8)).map_blocks(block, dtype=rec.dtype, meta=rec.values[:0])
        wanted = matched({"a": rec, "slow": slow}, rate="slowest", **SIZES)["a"]
        with dask.config.set(scheduler="synchronous"):
            read.clear()
            found = matched({"a": rec.copy(data=lazy), "slow": slow}, rate="slowest", **SIZES)["a"]
        np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=1e-10)
        assert found.attrs["sampling_rate"] == 10.0
        assert least <= sum(read) / rec.nbytes < most
