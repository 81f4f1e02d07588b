"""Ridge on recordings in chunks: the answer of memory, in bounded memory, with threads and on a cluster."""

import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.analyses.encoding import _blocks
from neurointerp.errors import AnalysisError

dask = pytest.importorskip("dask", reason="dask is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")

SAMPLES, FEATURES, UNITS = 600, 12, 7
FLOATS = ("weights", "intercept", "score", "correlation", "prediction")


def _rec(values, modality="fmri", **options):
    return ni.recording(values, modality=modality, units="1", sampling_rate=1.0, **options)


def _pair(dtype=np.float64, samples=SAMPLES, features=FEATURES, units=UNITS, **options):
    """Features of unequal variance and large means, one constant; responses with and without signal, one constant."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, features)) * rng.uniform(0.2, 3, features) + 5
    y = x @ rng.standard_normal((features, units)) / 3 + 3 * rng.standard_normal((samples, units))
    x[:, 3], y[:, 2] = 7.0, 4.0
    return _rec(x.astype(dtype), "stimulus", **options), _rec(y.astype(dtype), **options)


def _chunked(features, responses):
    return features.chunk(time=101), responses.chunk(time=70, unit=3)


def _assert_equal(found, expected, rtol=1e-7, atol=1e-9):
    assert set(found) == set(expected)
    assert found.attrs == expected.attrs
    for name in expected.data_vars:
        assert found[name].dims == expected[name].dims
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=atol, err_msg=str(name))
        assert found[name].attrs == expected[name].attrs
        for coord in expected[name].coords:
            xr.testing.assert_identical(found[name][coord].variable, expected[name][coord].variable)


KERNELS = xr.DataArray(
    [[0.5, 0.0], [1.0, -1.0], [0.2, 1.0]], dims=("lag", "basis"), coords={"lag": [0, 1, 3], "basis": ["a", "b"]}
)
SEGMENTS = {"coords": {"segment": ("time", np.repeat([0, 1, 2], [250, 30, 320]))}}
WAYS = {
    "plain": ({}, {}),
    "not standardised": ({}, {"standardize": False, "cv": 3}),
    "lags in segments": (SEGMENTS, {"lags": (0, 1, -2), "cv": 4}),
    "kernels": (SEGMENTS, {"lags": KERNELS}),
    "one alpha": ({}, {"alphas": 30.0, "gap": 5}),
    "given folds that overlap": (
        {}, {"cv": [(np.arange(300, 600), np.arange(200)), (np.arange(300), np.arange(350, 500)),
                    (np.arange(300), np.arange(450, 590))]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_is_that_of_memory(way):
    labels, options = WAYS[way]
    features, responses = _pair(**labels)
    expected = encoding.ridge(features, responses, **options)
    _assert_equal(encoding.ridge(*_chunked(features, responses), **options), expected)


def test_one_side_in_chunks_is_enough():
    features, responses = _pair()
    expected = encoding.ridge(features, responses)
    _assert_equal(encoding.ridge(features.chunk(time=50), responses), expected)
    _assert_equal(encoding.ridge(features, responses.chunk(unit=2)), expected)
    empty = responses.copy(data=da.from_array(responses.values, chunks=((0, 250, 0, 350), (0, UNITS))))
    _assert_equal(encoding.ridge(features, empty), expected)


def test_float32_differs_by_rounding():
    features, responses = _pair(np.float32)
    alphas = np.logspace(0, 5, 9)
    expected = encoding.ridge(features, responses, alphas=alphas)
    found = encoding.ridge(*_chunked(features, responses), alphas=alphas)
    np.testing.assert_allclose(found.alpha, expected.alpha, rtol=1e-5)
    for name in FLOATS:
        assert found[name].dtype == np.float32
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(found[name], expected[name], atol=2e-5 * scale, err_msg=name)


@pytest.mark.parametrize("where", ["in chunks", "in memory", "in memory, lags", "torch", "in bands"])
def test_float32_predictions_keep_their_digits_far_from_zero(where):
    features, responses = (rec.astype(np.float32) for rec in _pair())
    away = (features + np.float32(3000)).assign_coords(half=("unit", list("aaabbbcccddd")))
    away.attrs = features.attrs
    away[:, 5] = 3000.0
    call = encoding.banded_ridge if where == "in bands" else encoding.ridge
    options = {"bands": "half", "draws": 3} if where == "in bands" else {"lags": (0, 1)} if "lags" in where else {}
    exact = call(*(rec.astype(np.float64) for rec in (away, responses)), **options)
    away[::2, 5] = np.nextafter(np.float32(3000), np.float32(0))  # rounding is no feature
    if where == "torch":
        pytest.importorskip("torch", reason="torch is not installed")
        options["device"] = "cpu"
    found = call(*(_chunked(away, responses) if where == "in chunks" else (away, responses)), **options)
    assert found.prediction.dtype == found.intercept.dtype == np.float32
    np.testing.assert_allclose(found.alpha, exact.alpha, rtol=1e-6)
    largest = float(np.abs(exact.prediction).max())
    np.testing.assert_allclose(found.prediction, exact.prediction, atol=2e-6 * largest)
    known = np.flatnonzero(found.feature_unit != str(away.unit.values[5]))
    weights, expected = (one.weights.values[known] for one in (found, exact))
    np.testing.assert_allclose(weights, expected, atol=1e-5 * float(np.abs(expected).max()))
    if "lags" in options:
        return
    refitted, expected = (away.values.astype(float) @ one.weights.values + one.intercept.values
                          for one in (found, exact))  # fmt: skip
    rounding = 2e-7 * float(np.abs(exact.intercept).max())  # of the intercept, far from zero as the features are
    np.testing.assert_allclose(refitted, expected, atol=2e-6 * largest + rounding)


def test_trials_and_what_predicts_itself():
    rng = np.random.default_rng(1)
    trials = ni.recording(
        rng.standard_normal((40, 12, 5)).cumsum(axis=1), modality="eeg", units="V", sampling_rate=10.0,
        dims=("trial", "time", "unit"), coords={"stimulus": ("trial", np.arange(40) // 2)},
    )  # fmt: skip
    expected = encoding.ridge(trials, lags=(1, 2))
    _assert_equal(encoding.ridge(trials.chunk(trial=7, time=5), lags=(1, 2)), expected)
    assert "grouped" in expected.score.fold.attrs["split"]


def _bands():
    rng = np.random.default_rng(2)
    values = {"a": rng.standard_normal((SAMPLES, 8)), "b": rng.standard_normal((SAMPLES, 20))}
    y = rng.standard_normal((SAMPLES, 5)) + np.linspace(0, 3, SAMPLES)[:, None]
    for number, one in enumerate(values.values()):
        y += one @ rng.standard_normal((one.shape[1], 5)) / np.sqrt(one.shape[1]) * [1, number, 0, 1, 0.5]
    return {name: _rec(one, "stimulus") for name, one in values.items()}, _rec(y)


@pytest.mark.parametrize("lags", [None, (0, 2)])
def test_bands_have_the_shares_and_scores_of_memory(lags):
    bands, responses = _bands()
    options = {"draws": 7, "lags": lags, "alphas": np.logspace(0, 4, 7)}
    expected = encoding.banded_ridge(bands, responses, **options)
    chunked = {"a": bands["a"], "b": bands["b"].chunk(time=77)}
    _assert_equal(encoding.banded_ridge(chunked, responses.chunk(time=100, unit=2), **options), expected)


def test_variance_is_divided_as_in_memory():
    bands, responses = _bands()
    options = {"draws": 3, "alphas": [10.0, 100.0], "cv": 3}
    expected = encoding.variance_partition(bands, responses, **options)
    found = encoding.variance_partition(bands, responses.chunk(time=100), **options)
    np.testing.assert_allclose(found.part, expected.part, atol=1e-9)


def test_scores_are_evaluated_a_few_units_at_a_time():
    features, responses = _pair()
    expected = encoding.evaluate(encoding.ridge(features, responses), responses, draws=30, resamples=50)
    chunked = _chunked(features, responses)
    found = encoding.evaluate(encoding.ridge(*chunked), chunked[1], draws=30, resamples=50)
    _assert_equal(found, expected)


def test_a_prediction_stays_lazy_and_is_saved_chunk_by_chunk(tmp_path):
    found = encoding.ridge(*_chunked(*_pair()))
    assert found.prediction.chunks is not None
    ni.save(found, tmp_path / "fit")
    xr.testing.assert_allclose(ni.open(tmp_path / "fit").load(), found.load())


def test_no_more_than_a_few_chunks_are_held_at_a_time(monkeypatch):
    from dask.callbacks import Callback

    for name in ("BLOCK_BYTES", "CHUNKED_BYTES"):  # of the digest in the result
        monkeypatch.setattr(ni.store.content, name, 2**18)
    monkeypatch.setattr(_blocks, "SMALL", 2**18)  # 4 MiB else

    draw, held, rows = da.random.default_rng(0), [], []
    features = _rec(draw.standard_normal((10_000, 64), chunks=(250, 64)))
    responses = _rec(features.data[:, :16] + draw.standard_normal((10_000, 16), chunks=(250, 16)))

    def after(key, value, graph, state, worker):
        arrays = [one for one in state["cache"].values() if isinstance(one, np.ndarray)]
        held.append(sum(one.nbytes for one in arrays))
        rows.append(max([len(one) for one in arrays], default=0))

    with Callback(posttask=after):
        encoding.ridge(features, responses, alphas=[1.0, 100.0], cv=2)
    assert 250 * 64 * 8 <= max(held) < features.nbytes / 4
    assert 250 <= max(rows) < 10_000 / 4


REFUSED = {
    "ridge": ({"high_pass": 50.0}, "high_pass needs whole runs of samples.*load"),
    "banded_ridge": ({"steps": 3}, "steps need .*load"),
    "kernel_ridge": ({}, r"needs all samples at once: \.load\(\) them.*encoding.ridge"),
    "pls": ({}, r"needs all samples at once: \.load\(\) them.*encoding.ridge"),
    "feature_importance": ({}, r"needs all samples at once: \.load\(\) them.*encoding.ridge"),
    "poisson_glm": ({}, r"needs all samples at once: \.load\(\) them.*encoding.ridge"),
}


@pytest.mark.parametrize("method", REFUSED)
def test_what_needs_all_samples_is_refused_before_any_is_read(method):
    options, message = REFUSED[method]
    features, responses = _pair()
    unread = features.chunk(time=100)
    unread = unread.copy(data=unread.data.map_blocks(_fail, dtype=float, meta=np.zeros((0, 0))))
    with pytest.raises(AnalysisError, match=message):
        getattr(encoding, method)(unread, responses, **options)


def _fail(block):
    raise RuntimeError("a chunk was read")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused_with_their_unit(value):
    features, responses = _pair()
    responses.values[[3, 590], 4] = value
    with pytest.raises(AnalysisError, match="2 values in 1 of 7 units are missing or infinite, first in unit 'u4'"):
        encoding.ridge(*_chunked(features, responses), lags=(0, 1))


def test_penalties_below_rounding_are_refused():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 6))
    pair = [_rec(one).chunk(time=50) for one in (x, x[:, :2])]
    with pytest.raises(AnalysisError, match="lost in the rounding"):
        encoding.ridge(*pair, alphas=1e-12)


LIMITED = """
import resource, sys
import dask, numpy as np, neurointerp as ni
from neurointerp.analyses import encoding
pair = [ni.open(path).chunk(time=2048) for path in sys.argv[1:3]]
small = [rec[:200].chunk(time=100) for rec in pair]
dask.config.set(scheduler="threads", num_workers=2)
encoding.ridge(*small, alphas=[1.0, 1e3], cv=2)  # what is imported on the way is not counted
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[3]), -1))
found = encoding.ridge(*pair, alphas=[1.0, 1e3], cv=3)
print(float(found.score.min()))
try:
    pair[0].values
except MemoryError:
    print("refused")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's RLIMIT_DATA")
def test_a_recording_four_times_larger_than_the_memory_allowed(tmp_path):
    rng, noise = np.random.default_rng(0), np.random.default_rng(1)
    own = rng.standard_normal((512, 16), dtype=np.float32) / 22
    empty = [_rec(np.zeros((0, units), dtype=np.float32)) for units in (512, 16)]
    with ni.store.writer(tmp_path / "x", empty[0]) as one, ni.store.writer(tmp_path / "y", empty[1]) as other:
        for start in range(0, 160 * 2048, 2048):
            clock = {"time": np.arange(start, start + 2048, dtype=np.float64)}
            x = rng.standard_normal((2048, 512), dtype=np.float32)
            one.append(x, clock)
            other.append(x @ own + noise.standard_normal((2048, 16), dtype=np.float32), clock)
        one.commit()
        other.commit()
    allowed = 160 * 2048 * 512 * 4 // 4
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "x"), str(tmp_path / "y"), str(allowed)],
        capture_output=True, text=True, check=False, env=os.environ | {"MALLOC_ARENA_MAX": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    score, refused = done.stdout.split()
    assert 0.3 < float(score) < 0.7
    assert refused == "refused"


@pytest.mark.slow
def test_processes_give_the_same_answer():
    features, responses = _pair()
    expected = encoding.ridge(features, responses, alphas=[1.0, 100.0], cv=2)
    chunked = features.chunk(time=300), responses.chunk(time=300)
    with dask.config.set(scheduler="processes", num_workers=2):
        found = encoding.ridge(*chunked, alphas=[1.0, 100.0], cv=2)
        _assert_equal(found.load(), expected)


@pytest.mark.slow
def test_a_cluster_gives_the_same_answer_also_when_a_worker_dies():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    import signal
    import threading

    features, responses = _pair(samples=20_000, features=40)
    expected = encoding.ridge(features, responses, cv=4)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pair = features.chunk(time=500), responses.chunk(time=500)
        _assert_equal(encoding.ridge(*pair, cv=4), expected)
        assert len(client.run(os.getpid)) == 2
        victim = next(iter(client.run(os.getpid).values()))
        timer = threading.Timer(1.0, os.kill, (victim, signal.SIGKILL))
        timer.start()
        _assert_equal(encoding.ridge(*pair, cv=4), expected)
        timer.join()
