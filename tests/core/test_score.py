"""Scores against scikit-learn and numpy, and what they say about constants and missing values."""

import numpy as np
import pytest
from sklearn.metrics import explained_variance_score, r2_score

import neurointerp as ni
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
    for measure in (score.r2, score.correlation, score.explained_variance):
        assert np.isnan(measure(observed, predicted)).tolist() == [True, False, True, False]


def test_leading_axes_are_pooled_and_integers_counted_as_float64():
    rng = np.random.default_rng(1)
    observed, predicted = rng.poisson(3.0, (5, 8, 2)), rng.uniform(0, 5, (5, 8, 2)).astype(np.float32)
    for measure in (score.r2, score.correlation, score.explained_variance):
        flat = measure(observed.reshape(40, 2).astype(float), predicted.reshape(40, 2))
        np.testing.assert_array_equal(measure(observed, predicted), flat)
        assert measure(observed, predicted).dtype == np.float64


@pytest.mark.parametrize("measure", [score.r2, score.correlation, score.explained_variance])
def test_torch_agrees_with_numpy(measure):
    torch = pytest.importorskip("torch")
    observed, predicted = _pair()
    observed[:, 2] = 0.1
    found = measure(torch.tensor(observed), torch.tensor(predicted))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), measure(observed, predicted), rtol=1e-12)


@pytest.mark.parametrize("measure", [score.r2, score.correlation, score.explained_variance])
def test_shapes_that_cannot_be_scored_are_refused(measure):
    with pytest.raises(AnalysisError, match=r"observed has shape \(3, 2\) and predicted \(2, 2\)"):
        measure(np.zeros((3, 2)), np.zeros((2, 2)))
    for shape in ((4,), (0, 2)):
        with pytest.raises(AnalysisError, match="holds no samples"):
            measure(np.zeros(shape), np.zeros(shape))


# --- explained variance ---


def test_explained_variance_equals_scikit_learn_and_forgives_the_mean():
    observed, predicted = _pair()
    expected = explained_variance_score(observed, predicted, multioutput="raw_values")
    np.testing.assert_allclose(score.explained_variance(observed, predicted), expected, rtol=1e-10)
    np.testing.assert_allclose(score.explained_variance(observed, predicted + 1e3), expected, rtol=1e-6)
    assert (score.explained_variance(observed, predicted) >= score.r2(observed, predicted) - 1e-12).all()
    np.testing.assert_array_equal(score.explained_variance(observed, observed), 1.0)


# --- noise ceiling ---


def _repeats(count=6, samples=4000, power=(0.0, 0.25, 1.0, 4.0), seed=0):
    """Signal of known power plus noise of variance 1: (repeat, sample, unit), and the signal."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((samples, len(power))) * np.sqrt(power)
    return signal + rng.standard_normal((count, *signal.shape)), signal


@pytest.mark.parametrize("estimator", ["signal_power", "split_half"])
@pytest.mark.parametrize("count", [2, 5, 6])
def test_the_ceiling_is_the_share_of_the_planted_signal(estimator, count):
    power = np.array([0.0, 0.25, 1.0, 4.0])
    repeats, _ = _repeats(count)
    for of, noise in (("mean", 1 / count), ("single", 1.0)):
        found = score.noise_ceiling(repeats, estimator=estimator, of=of)
        np.testing.assert_allclose(found, power / (power + noise), atol=0.06)


def test_a_perfect_model_reaches_the_ceiling_and_no_model_of_the_stimulus_passes_it():
    repeats, signal = _repeats()
    ceiling = score.noise_ceiling(repeats)
    np.testing.assert_allclose(score.r2(repeats.mean(axis=0), signal)[1:], ceiling[1:], atol=0.03)
    single = score.noise_ceiling(repeats, of="single")
    np.testing.assert_allclose(score.r2(repeats[0], signal)[1:], single[1:], atol=0.03)
    np.testing.assert_allclose(score.correlation(repeats[0], signal)[1:], np.sqrt(single[1:]), atol=0.03)


def test_signal_power_is_that_of_the_published_code():
    """`calc_CCnorm` of Schoppe et al. (2016): CCmax = sqrt(SP / Vy), SP with T - 1 and Vy with T."""
    repeats, _ = _repeats(power=(0.5, 2.0), samples=50)
    count, samples = repeats.shape[:2]
    signal = (np.var(repeats.sum(axis=0), axis=0, ddof=1) - np.var(repeats, axis=1, ddof=1).sum(axis=0)) / (
        count * (count - 1)
    )
    published = np.sqrt(signal / np.var(repeats.mean(axis=0), axis=0))
    np.testing.assert_allclose(np.sqrt(score.noise_ceiling(repeats) * samples / (samples - 1)), published, rtol=1e-12)


def test_two_repeats_have_one_split_and_spearman_browns_formula():
    repeats, _ = _repeats(count=2, samples=60)
    r = np.array([np.corrcoef(repeats[0, :, unit], repeats[1, :, unit])[0, 1] for unit in range(4)])
    for of, expected in (("mean", 2 * r / (1 + r)), ("single", r)):
        np.testing.assert_allclose(score.noise_ceiling(repeats, estimator="split_half", of=of), expected, rtol=1e-12)


def test_the_ceiling_of_a_recording_is_that_of_its_repeats_in_any_order():
    repeats, _ = _repeats(count=3, samples=20)
    stimulus, repeat = (np.tile(np.arange(20), 3), np.repeat(np.arange(3), 20))
    order = np.random.default_rng(1).permutation(60)
    names = np.array([f"s{i}" for i in stimulus], dtype=object)
    rec = ni.recording(
        repeats.reshape(60, 4)[order], modality="spikes", units="Hz", dims=("trial", "unit"),
        coords={"stimulus": ("trial", names[order]), "repeat": ("trial", repeat[order]),
                "region": ("unit", list("abcd"))},
    )  # fmt: skip
    found = score.noise_ceiling(rec)
    np.testing.assert_allclose(found.values, score.noise_ceiling(repeats), rtol=1e-10)
    assert found.attrs == {"units": "1"}
    assert found["region"].values.tolist() == list("abcd")
    # without the coordinate, repeats of a stimulus are counted as they come
    in_order = [rec.values[names[order] == name] for name in dict.fromkeys(names)]
    expected = score.noise_ceiling(np.stack(in_order, axis=1))
    np.testing.assert_allclose(score.noise_ceiling(rec.drop_vars("repeat")).values, expected, rtol=1e-10)


def test_repeats_of_movies_are_trials_with_time_or_marked_on_time():
    repeats, _ = _repeats(count=3, samples=40)
    labels = {"stimulus": ("trial", ["m", "n", "m", "n", "m", "n"])}
    trials = repeats.reshape(3, 2, 20, 4).reshape(6, 20, 4)
    epochs = ni.recording(
        trials, modality="spikes", units="1", sampling_rate=10.0, dims=("trial", "time", "unit"), coords=labels
    )
    marks = {"stimulus": ("time", np.tile(np.repeat(["m", "n"], 20), 3)), "repeat": ("time", np.repeat([0, 1, 2], 40))}
    flat = ni.recording(repeats.reshape(120, 4), modality="spikes", units="1", sampling_rate=10.0, coords=marks)
    for rec in (epochs, flat):
        np.testing.assert_allclose(score.noise_ceiling(rec).values, score.noise_ceiling(repeats), rtol=1e-10)
    with pytest.raises(AnalysisError, match="a coordinate 'repeat' is needed on a recording without trials"):
        score.noise_ceiling(flat.drop_vars("repeat"))


def test_torch_gives_the_same_ceiling():
    torch = pytest.importorskip("torch")
    repeats, _ = _repeats(samples=50)
    for estimator in ("signal_power", "split_half"):
        found = score.noise_ceiling(torch.tensor(repeats), estimator=estimator)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_allclose(found.numpy(), score.noise_ceiling(repeats, estimator=estimator), rtol=1e-10)


def test_the_seed_decides_the_halves():
    repeats, _ = _repeats(samples=30)
    one, again, other = (score.noise_ceiling(repeats, estimator="split_half", splits=3, seed=s) for s in (1, 1, 3))
    np.testing.assert_array_equal(one, again)
    assert (one != other).all()


def test_a_constant_unit_has_no_ceiling():
    repeats, _ = _repeats(samples=30)
    repeats[:, :, 1] = 0.1
    for estimator in ("signal_power", "split_half"):
        assert np.isnan(score.noise_ceiling(repeats, estimator=estimator)).tolist() == [False, True, False, False]


def _recording(stimulus):
    values = np.random.default_rng(0).standard_normal((len(stimulus), 2))
    return ni.recording(
        values, modality="fmri", units="1", dims=("trial", "unit"), coords={"stimulus": ("trial", list(stimulus))}
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score.noise_ceiling(np.zeros((1, 5, 2))), r"shape \(1, 5, 2\) is not \(repeat, ..., unit\) with two"),
        (lambda: score.noise_ceiling(np.zeros((4, 2))), r"shape \(4, 2\) is not \(repeat"),
        (lambda: score.noise_ceiling(np.full((2, 3, 1), np.nan)), "6 missing values"),
        (lambda: score.noise_ceiling(np.zeros((2, 3, 1)), estimator="best"), "estimator 'best' of 'mean'"),
        (lambda: score.noise_ceiling(np.zeros((2, 3, 1)), of="median"), "of 'median'"),
        (lambda: score.noise_ceiling(np.zeros((2, 3, 1)), estimator="split_half", splits=0), "splits is 0"),
        (lambda: score.noise_ceiling(_recording("aab")), "2 stimuli are repeated 1 to 2 times, with 1 to 1 samples"),
        (lambda: score.noise_ceiling(_recording("abc")), "not .repeat, ..., unit. with two repeats"),
        (lambda: score.noise_ceiling(_recording("aabb").drop_vars("stimulus")), "no groups 'stimulus'"),
        (lambda: score.noise_ceiling(_recording("aabb").expand_dims(subject=2)), "subjects are not repeats"),
    ],
)
def test_what_has_no_ceiling_is_refused(call, message):
    with pytest.raises(AnalysisError, match=message):
        call()
