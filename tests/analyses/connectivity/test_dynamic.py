"""Windows against numpy one by one, planted changes, and states against the truth."""

import numpy as np
import pytest
from scipy.signal import hilbert
from sklearn.metrics import adjusted_rand_score

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result


def rec_of(values, **options):
    return ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, **options)


@pytest.mark.parametrize(("window", "step"), [(20, 3), (20, 20), (15, 40), (50, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_window_is_that_of_numpy(window, step, dtype):
    values = np.random.default_rng(0).standard_normal((300, 5)).cumsum(axis=0) * [1, 1e6, 1e-6, 1, 1] + [
        0,
        0,
        0,
        1e4,
        0,
    ]
    rec = rec_of(values.astype(dtype))
    found = connectivity.dynamic(rec, window=window, step=step).connectivity
    starts = range(0, 300 - window + 1, step)
    expected = np.stack([np.corrcoef(rec.values[s : s + window].astype(float), rowvar=False) for s in starts])
    assert found.dtype == dtype
    np.testing.assert_allclose(found.values, expected, atol=2e-7 if dtype == np.float32 else 1e-9)
    assert list(found["time"].values) == [rec.time.values[s : s + window].mean() for s in starts]


def test_rounding_does_not_add_up():
    values = np.random.default_rng(0).standard_normal((6000, 3)) + 1e5
    found = connectivity.dynamic(rec_of(values), window=100, step=1).connectivity.values
    np.testing.assert_allclose(found[-1], np.corrcoef(values[-100:], rowvar=False), atol=1e-9)


def test_an_artefact_and_a_jump_leave_later_windows_exact():
    """Both are so large that running sums would keep a few digits of what comes after."""
    values = np.random.default_rng(0).standard_normal((600, 3))
    values[:, 1] += values[:, 0]
    values[50, 0] = 1e6
    values[300:, 2] += 1e5
    found = connectivity.dynamic(rec_of(values), window=40, step=1).connectivity.values
    expected = np.stack([np.corrcoef(values[s : s + 40], rowvar=False) for s in range(561)])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_tapers_weigh_samples():
    """Compare with numpy's weighted covariance."""
    from scipy.ndimage import gaussian_filter1d

    values = np.random.default_rng(1).standard_normal((60, 4))
    weight = gaussian_filter1d(np.ones(30), 3.0, mode="constant")
    found = connectivity.dynamic(rec_of(values), method="tapered", window=30, step=10).connectivity.values
    for w, start in enumerate(range(0, 31, 10)):
        S = np.cov(values[start : start + 30], rowvar=False, aweights=weight)
        np.testing.assert_allclose(found[w], S / np.sqrt(np.outer(np.diag(S), np.diag(S))), atol=1e-12)


def test_phases_of_sinusoids():
    t = np.arange(400) / 0.5
    rec = rec_of(np.stack([np.sin(2 * np.pi * t / 50), np.sin(2 * np.pi * t / 50 - 1.0)], axis=1))
    found = connectivity.dynamic(rec, method="phase").connectivity
    assert found.shape == (400, 2, 2)
    np.testing.assert_allclose(found[50:-50, 0, 1], np.cos(1.0), atol=0.01)
    noise = np.random.default_rng(0).standard_normal((100, 3))
    angle = np.angle(hilbert(noise - noise.mean(0), axis=0))
    found = connectivity.dynamic(rec_of(noise), method="phase", window=10, step=10).connectivity
    expected = np.cos(angle[:10, 0] - angle[:10, 1]).mean()
    assert float(found[0, 0, 1]) == pytest.approx(expected, abs=1e-12)


def test_windows_stay_within_segments_and_trials():
    rng = np.random.default_rng(0)
    rec = rec_of(rng.standard_normal((90, 3)), coords={"segment": ("time", np.repeat([0, 1], [50, 40]))})
    found = connectivity.dynamic(rec, window=30, step=10)
    assert list(found.segment.values) == [0, 0, 0, 1, 1]
    whole = connectivity.dynamic(rec.isel(time=slice(50, None)), window=30, step=10)
    np.testing.assert_allclose(found.connectivity.values[3:], whole.connectivity.values, atol=1e-12)
    trials = rec_of(rng.standard_normal((2, 40, 3)), dims=("trial", "time", "unit"), coords={"trial": [7, 9]})
    found = connectivity.dynamic(trials, window=30, step=10)
    assert list(found.trial.values) == [7, 7, 9, 9]
    assert list(found.time.values) == [29.0, 49.0] * 2


@pytest.mark.parametrize("method", ["sliding", "tapered"])
def test_a_unit_constant_in_a_window_is_missing_there(method):
    values = np.random.default_rng(0).standard_normal((60, 3))
    values[:30, 1] = 0.1
    found = connectivity.dynamic(rec_of(values), method=method, window=20, step=20).connectivity.values
    assert np.isnan(found[0, 1]).all()
    assert np.isnan(found[0, :, 1]).all()
    assert not np.isnan(found[1:]).any()
    assert not np.isnan(found[0][np.ix_([0, 2], [0, 2])]).any()


def planted_states(seed=0, visits=(0, 1, 2, 0, 2, 1, 0), length=120):
    """Give a recording whose covariance switches among three, and the state of each sample."""
    rng = np.random.default_rng(seed)
    groups = [np.repeat([0, 1], 4), np.tile([0, 1], 4), np.zeros(8, int)]
    parts, state = [], []
    for visit in visits:
        shared = rng.standard_normal((length, 2))[:, groups[visit]]
        parts.append(1.5 * shared + rng.standard_normal((length, 8)))
        state += [visit] * length
    return rec_of(np.concatenate(parts)), np.array(state)


@pytest.mark.parametrize("method", ["kmeans", "hmm"])
def test_planted_states_come_back(method, tmp_path):
    if method == "hmm":
        pytest.importorskip("hmmlearn")
    rec, state = planted_states()
    windows = connectivity.dynamic(rec, window=40, step=10)
    found = connectivity.states(windows, 3, method=method, restarts=5)
    label = found.state_of_window.values
    starts = np.arange(len(label)) * 10
    pure = np.array([len(set(state[s : s + 40])) == 1 for s in starts])
    assert adjusted_rand_score(state[starts][pure], label[pure]) > 0.95
    assert found.occupancy.values.argmax() == 0
    assert float(found.occupancy.sum()) == pytest.approx(1)
    np.testing.assert_allclose(found.transition.sum("state2"), 1)
    assert float(found.explained) > 0.5
    check_result(found)
    assert found.identical(connectivity.states(windows, 3, method=method, restarts=5))
    assert ni.open(ni.save(found, tmp_path / "s.zarr")).identical(found)


def test_more_variance_than_in_a_stationary_surrogate():
    rec, _ = planted_states()
    still = ni.surrogate.phase_randomize(rec, independent=False, seed=1)
    options = {"window": 40, "step": 10}
    explained = [float(connectivity.states(connectivity.dynamic(r, **options), 3).explained) for r in (rec, still)]
    assert explained[0] > explained[1] + 0.15


def test_transitions_do_not_cross_stretches():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((2, 100, 1))
    values = rng.standard_normal((2, 100, 6)) + np.array([3.0, 0.0])[:, None, None] * shared
    rec = rec_of(values, dims=("trial", "time", "unit"))
    found = connectivity.states(connectivity.dynamic(rec, window=25, step=5), 2)
    np.testing.assert_array_equal(found.transition.values, np.eye(2))
    assert found.dwell.values.tolist() == [16, 16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "kalman"}, "method is 'kalman'; one of sliding, tapered, phase"),
        ({"window": 1}, "window is 1; a whole number of at least 2"),
        ({"window": 61}, "no stretch has 61 samples, the longest has 60; shorten the window"),
        ({"step": 0}, "step is 0; a whole number of at least 1"),
        ({"taper": 0}, "taper is 0; a number above 0"),
    ],
)
def test_bad_arguments_of_dynamic(options, message):
    with pytest.raises(AnalysisError, match=message):
        connectivity.dynamic(rec_of(np.random.default_rng(0).standard_normal((60, 3))), **options)


def test_bad_input_of_states():
    rec = rec_of(np.random.default_rng(0).standard_normal((60, 3)))
    with pytest.raises(AnalysisError, match="count is 1; a whole number of at least 2"):
        connectivity.states(rec, 1)
    with pytest.raises(AnalysisError, match=r"100 states of \d+ windows"):
        connectivity.states(rec, 100)
    with pytest.raises(AnalysisError, match=r"connectivity \(window, source, target\) is needed, found \('source', 't"):
        connectivity.states(connectivity.correlation(rec), 2)
    still = rec.copy(deep=True)
    still[:20, 1] = 0
    partly = connectivity.states(connectivity.dynamic(still, window=10), 2)
    assert int(partly.pairs) == 1  # of three, the two with the still unit are left out
    assert np.isnan(partly.connectivity.sel(source=rec.unit.values[1])).any()
    still[:20, 2] = 0
    with pytest.raises(AnalysisError, match="every connection is missing in some window"):
        connectivity.states(connectivity.dynamic(still, window=10), 2)
