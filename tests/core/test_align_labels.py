"""Joins by label, words on a slower clock, haemodynamic kernels."""

import numpy as np
import pytest
from scipy.stats import gamma

import neurointerp as ni
from neurointerp.errors import AlignmentError, AnalysisError


def _trials(labels, values=None, modality="fmri", name="stimulus"):
    values = np.arange(2.0 * len(labels)).reshape(-1, 2) if values is None else values
    coords = {name: ("trial", np.array(labels, dtype=object))}
    return ni.recording(values, modality=modality, units="1", dims=("trial", "unit"), coords=coords)


def test_features_follow_labels_and_not_positions():
    features, responses = _trials(["c", "a", "b"], modality="activations"), _trials(["b", "c", "b", "a"])
    found, kept = ni.align.join(features, responses)
    assert found.values.tolist() == [[4, 5], [0, 1], [4, 5], [2, 3]]
    assert found.stimulus.values.tolist() == kept.stimulus.values.tolist() == ["b", "c", "b", "a"]
    order = np.random.default_rng(0).permutation(3)
    again, _ = ni.align.join(features.isel(trial=order), responses)
    np.testing.assert_array_equal(again, found)
    assert ni.split.grouped(kept, 3)


def test_what_is_missing_or_there_twice_is_refused_with_its_count():
    responses = _trials(["a", "b", "z", "z"])
    with pytest.raises(AlignmentError, match="2 of 4 responses have no features: 1 labels 'stimulus', first 'z'"):
        ni.align.join(_trials(["a", "b", "c"]), responses)
    found, kept = ni.align.join(_trials(["a", "b", "c"]), responses, missing="drop")
    assert found.sizes["trial"] == kept.sizes["trial"] == 2
    assert '"dropped": 2' in kept.attrs["history"] or "2" in str(kept.attrs["history"])
    with pytest.raises(AlignmentError, match="1 of 2 labels 'stimulus' return among the features, first 'a'"):
        ni.align.join(_trials(["a", "a", "b"]), _trials(["a", "b"]))
    with pytest.raises(AlignmentError, match="responses need dims"):
        ni.align.join(_trials(["a"]), _trials(["a"]).drop_vars("stimulus"))
    with pytest.raises(AlignmentError, match="no features"):
        ni.align.join(_trials(["a"]), _trials(["y"]), missing="drop")


def test_tokens_of_a_text_are_pooled_by_their_label():
    tokens = ni.recording(
        np.array([[1.0], [3.0], [10.0], [20.0], [5.0]]), modality="activations", units="1", time=np.arange(5),
        coords={"stimulus": ("time", np.array(["s1", "s1", "s0", "s0", "s1"], dtype=object))},
    )  # fmt: skip
    shown = _trials(["s0", "s1"])
    assert ni.align.join(tokens, shown, pool="mean")[0].values.ravel().tolist() == [15.0, 3.0]
    assert ni.align.join(tokens, shown, pool="last")[0].values.ravel().tolist() == [20.0, 5.0]
    holes = tokens.copy(deep=True)
    holes[0, 0] = np.nan
    with pytest.raises(AnalysisError, match="1 missing"):
        ni.align.join(holes, shown, pool="mean")


def test_lanczos_is_the_written_sum_and_damps_what_the_slow_clock_cannot_hold():
    rng = np.random.default_rng(0)
    at = np.sort(rng.uniform(0, 100, 300))
    words = ni.recording(rng.standard_normal((300, 2)), modality="stimulus", units="1", time=at)
    scans = ni.recording(np.zeros((50, 1)), modality="fmri", units="1", sampling_rate=0.5)
    found = ni.align.lanczos(words, scans)
    for t in (0, 20, 49):
        s = 0.5 * (2.0 * t - at)
        kernel = np.where(np.abs(s) < 3, np.sinc(s) * np.sinc(s / 3), 0)
        np.testing.assert_allclose(found.values[t], kernel @ words.values, atol=1e-12)
    even = np.arange(0, 100, 0.25)
    power = {}
    for hertz in (0.05, 0.9):
        tone = ni.recording(np.cos(2 * np.pi * hertz * even)[:, None], modality="stimulus", units="1", time=even)
        power[hertz] = float(ni.align.lanczos(tone, scans, mean=True)[5:-5].std())
    assert power[0.05] > 0.5
    assert power[0.9] < 0.02


def test_lanczos_knows_silence_and_refuses_what_it_cannot_place():
    words = ni.recording(np.ones((3, 1)), modality="stimulus", units="1", time=np.array([0.0, 1.0, 2.0]))
    scans = ni.recording(np.zeros((50, 1)), modality="fmri", units="1", sampling_rate=0.5)
    assert (ni.align.lanczos(words, scans).values[10:] == 0).all()
    assert np.isnan(ni.align.lanczos(words, scans, mean=True).values[10:]).all()
    apart = words.assign_coords(segment=("time", [0, 0, 1]))
    with pytest.raises(AlignmentError, match="words have 2 segments"):
        ni.align.lanczos(apart, scans)
    late = words.assign_coords(time=("time", words.time.values + 1e4, words.time.attrs))
    with pytest.raises(AlignmentError, match="none of 3 words"):
        ni.align.lanczos(late, scans)
    tokens = ni.recording(np.ones((3, 1)), modality="stimulus", units="1", time=np.arange(3))
    with pytest.raises(AlignmentError, match="one clock unit"):
        ni.align.lanczos(tokens, scans)


def test_the_haemodynamic_response_is_the_double_gamma_and_its_derivatives():
    kernel = ni.align.hrf(2.0, basis="derivatives")
    t = np.arange(65) / 2
    expected = gamma.pdf(t, 6) - gamma.pdf(t, 16) / 6
    np.testing.assert_allclose(kernel.sel(basis="canonical"), expected / expected.sum())
    shifted = gamma.pdf(t - 1, 6) - gamma.pdf(t - 1, 16) / 6
    np.testing.assert_allclose(kernel.sel(basis="temporal"), (expected - shifted) / expected.sum())
    assert kernel.basis.values.tolist() == ["canonical", "temporal", "dispersion"]
    with pytest.raises(AlignmentError, match="basis 'gamma'"):
        ni.align.hrf(1.0, basis="gamma")


def test_kernels_expand_features_within_segments():
    from neurointerp.analyses import encoding

    rng = np.random.default_rng(0)
    events, segment = (rng.random((400, 1)) < 0.1).astype(float), np.repeat([0, 1], 200)
    kernel = ni.align.hrf(1.0)
    own = [np.convolve(part[:, 0], kernel.values[:, 0])[:200] for part in (events[:200], events[200:])]
    coords = {"segment": ("time", segment)}
    stimulus = ni.recording(events, modality="stimulus", units="1", sampling_rate=1.0, coords=coords)
    bold = ni.recording(np.concatenate(own)[:, None], modality="fmri", units="1", sampling_rate=1.0, coords=coords)
    found = encoding.ridge(stimulus, bold, lags=kernel, alphas=1e-6)
    assert list(found.feature.values) == ["u0@canonical"]
    np.testing.assert_allclose(found.weights.values, 1.0, atol=1e-6)
    assert float(found.score.min()) > 0.9999
    missing = np.flatnonzero(np.isnan(found.prediction.values[:, 0]))
    assert missing.tolist() == [*range(32), *range(200, 232)]
