"""Larger than memory, and on several processes of which one dies: slow tests with real limits and real workers."""

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import comparison, connectivity, factorization, tensor

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

ALLOWED = 448 * 2**20
"""Bytes that the small process may ever have resident, Python and libraries (some 210 MiB) among them; the recording
has four times as many."""
TRIALS, TIME, UNITS, BLOCK = 14336, 128, 256, 256
CHILD = Path(__file__).parent / "small_process.py"


class Large:
    """A recording of two non-negative components and noise on disk, and what was known of it while it was written."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.time = np.stack([np.exp(-(((np.arange(TIME) - at) / 9) ** 2)) for at in (40, 80)])
        self.unit = rng.gamma(0.4, size=(2, UNITS))
        products, total = np.zeros((UNITS, UNITS)), np.zeros(UNITS)
        nothing = np.zeros((0, TIME, UNITS), np.float32)
        labels = ni.recording(
            nothing, modality="calcium", units="1", sampling_rate=128.0, dims=("trial", "time", "unit")
        )
        self.path = str(folder / "large.zarr")
        noise = rng.random((BLOCK, TIME, UNITS), dtype=np.float32)
        with ni.store.writer(self.path, labels) as writer:
            for start in range(0, TRIALS, BLOCK):
                strength = rng.gamma(0.5, 4, size=(BLOCK, 2))
                block = np.einsum("kr,rt,ru->ktu", strength, self.time, self.unit, optimize=True).astype(np.float32)
                block += np.roll(noise, start + 7, axis=(0, 2)) * np.float32(0.2)
                writer.append(block, coords={"trial": np.arange(start, start + BLOCK)})
                flat = block.reshape(-1, UNITS).astype(np.float64)
                products += flat.T @ flat
                total += flat.sum(axis=0)
            writer.commit()
        self.covariance = products / (TRIALS * TIME) - np.outer(total, total) / (TRIALS * TIME) ** 2


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Give a large recording. What the small process calls is compiled before, on some of it; that takes 100 MB."""
    made = Large(tmp_path_factory.mktemp("large"))
    child = runpy.run_path(str(CHILD))
    some = ni.open(made.path)[: 16 * child["TRIALS"]].chunk({"trial": child["TRIALS"]})
    for name in child["CALLS"]:
        child["result_of"](some, name)
    return made


def analysed(large, name):
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return subprocess.run(
        [sys.executable, str(CHILD), name, large.path], capture_output=True, text=True, check=False,
        env={**os.environ, **threads, "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576"},
    )  # fmt: skip


def result_of(large, name):
    assert ni.open(large.path).nbytes >= 4 * ALLOWED
    run = analysed(large, name)
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.split()[-1]) <= ALLOWED
    return ni.open(f"{large.path}.{name}.zarr").load()


def cosine(a, b):
    a, b = (one.astype(np.float64) for one in (a, b))  # a norm in float32 is known to 6e-8 alone
    return np.abs(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_correlation_in_a_quarter_of_the_memory(large):
    scale = np.sqrt(np.diag(large.covariance))
    found = result_of(large, "correlation").connectivity.values
    np.testing.assert_allclose(found, large.covariance / np.outer(scale, scale), atol=2e-5)


def test_pca_in_a_quarter_of_the_memory(large):
    vectors = np.linalg.eigh(large.covariance)[1][:, ::-1][:, :2].T
    found = result_of(large, "pca").features.values
    assert found.dtype == np.float32
    assert min(cosine(*pair) for pair in zip(found, vectors, strict=True)) > 1 - 1e-9


def test_semi_nmf_in_a_quarter_of_the_memory(large):
    found = result_of(large, "semi_nmf")
    planted = np.linalg.qr(large.unit.T)[0]
    patterns = found.features.values / np.linalg.norm(found.features.values, axis=1, keepdims=True)
    assert (np.linalg.norm(patterns @ planted, axis=1) > 0.98).all()  # in the plane of the two planted patterns
    assert (np.diff(found.loss) <= 0).all()
    assert found.relative_error < 0.3


def test_nonnegative_cp_in_a_quarter_of_the_memory(large):
    found = result_of(large, "nonnegative_cp")
    for planted, factor in ((large.time, found.factor_time), (large.unit, found.factor_unit)):
        alike = [[cosine(one, other) for other in factor.values.T] for one in planted]
        assert np.max(alike, axis=1).min() > 0.95


def test_coherence_in_a_quarter_of_the_memory(large):
    found = result_of(large, "coherence").connectivity.mean("frequency").values
    some = ni.open(large.path)[:400].load()
    wanted = connectivity.coherence(some, mode="fourier", fmin=20.0, fmax=22.0).connectivity.mean("frequency").values
    assert np.abs(found - wanted).mean() < 0.05  # of 400 trials of 14,336
    np.testing.assert_array_equal(np.diag(found), 1)


def test_partial_correlation_in_a_quarter_of_the_memory(large):
    scale = np.sqrt(np.diag(large.covariance))
    found = result_of(large, "partial_correlation")
    amount = float(found.shrinkage)
    C = large.covariance / np.outer(scale, scale)
    P = np.linalg.inv((1 - amount) * C + amount * np.trace(C) / UNITS * np.eye(UNITS))
    wanted = -P / np.sqrt(np.outer(np.diag(P), np.diag(P)))
    np.fill_diagonal(wanted, 1)
    assert 0 <= amount < 1e-3  # of 1.8 million samples
    np.testing.assert_allclose(found.connectivity.values, wanted, atol=1e-3)


def test_ica_in_a_quarter_of_the_memory(large):
    vectors = np.linalg.eigh(large.covariance)[1][:, ::-1][:, :2]
    patterns = result_of(large, "ica").features.values
    inside = patterns @ vectors @ vectors.T
    assert np.linalg.norm(patterns - inside) < 1e-4 * np.linalg.norm(patterns)  # components of the leading two


def test_compare_reads_a_window_of_a_recording_four_times_the_memory(large):
    run = analysed(large, "compare")
    assert run.returncode == 0, run.stderr[-2000:]
    assert int(run.stdout.split()[-1]) <= ALLOWED
    found = ni.open(f"{large.path}.compare.zarr").load()
    assert (found["summary"].sizes["recording"], found["matched/large"].sizes["time"]) == (1, 200)


def test_what_needs_all_is_refused_before_it_is_read(large):
    run = analysed(large, "tucker")
    assert run.returncode == 1
    assert "tensor.tucker: needs all values in memory at once: 1.75 GiB" in run.stderr


@pytest.fixture(scope="module")
def cluster():
    with (
        dask.config.set({"distributed.admin.system-monitor.gil.enabled": False, "distributed.worker.daemon": True}),
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, memory_limit="1GiB", dashboard_address=None,
            silence_logs=50,
        ) as made,
        distributed.Client(made) as client,
    ):  # fmt: skip
        client.wait_for_workers(3)
        yield client


def signal_values(samples=6000, units=12):
    rng = np.random.default_rng(0)
    x = rng.laplace(size=(samples, 3)) @ rng.standard_normal((3, units)) + rng.standard_normal((samples, units))
    return ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)


def killing(block, folder):
    """Kill the process that comes here first, once, while it works on a block; slow enough to be in the midst."""
    time.sleep(0.05)
    try:
        Path(folder, "killed").touch(exist_ok=False)
    except FileExistsError:
        return block
    os.kill(os.getpid(), signal.SIGKILL)
    return block


def slowly(block):
    time.sleep(0.02)
    return block


CALLS = {
    "semi_nmf": partial(factorization.semi_nmf, rank=3, max_iter=5),
    "pca": partial(factorization.pca, rank=3),
    "correlation": connectivity.correlation,
    "coherence": partial(connectivity.coherence, window=64),
    "granger": partial(connectivity.granger, order=2),
    "nonnegative_cp": lambda rec: tensor.nonnegative_cp(trials_of(rec), 2, max_iter=4),
}


def trials_of(rec):
    """Give 60 trials without negative values, chunked as the recording is."""
    values = abs(rec.data).reshape(60, 100, 12)
    like = ni.recording(np.zeros(values.shape), modality="eeg", units="V", sampling_rate=100.0,
                        dims=("trial", "time", "unit"))  # fmt: skip
    return like.copy(data=values)


@pytest.mark.parametrize("name", CALLS)
def test_a_worker_is_killed_and_the_answer_is_right(name, cluster, tmp_path):
    rec = signal_values()
    wanted = CALLS[name](rec)
    chunked = rec.chunk({"time": 200})
    dying = rec.copy(data=chunked.data.map_blocks(killing, str(tmp_path), dtype=rec.dtype, meta=np.empty((0, 0))))
    found = CALLS[name](dying)
    assert (tmp_path / "killed").exists()
    for key, variable in wanted.data_vars.items():
        if variable.dtype.kind == "f":
            size = float(np.nanmax(np.abs(variable)))
            np.testing.assert_allclose(found[key], variable, rtol=0, atol=1e-8 * size)
    assert found.attrs["recording"] == wanted.attrs["recording"]


def test_a_worker_is_killed_from_outside(cluster):
    rec = signal_values(20_000)
    slow = rec.copy(data=rec.chunk({"time": 200}).data.map_blocks(slowly, dtype=rec.dtype, meta=np.empty((0, 0))))
    victim = cluster.submit(os.getpid, pure=False).result()
    timer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
    timer.start()
    found = factorization.semi_nmf(slow, 3, max_iter=3)
    timer.join()
    wanted = factorization.semi_nmf(rec, 3, max_iter=3)
    np.testing.assert_allclose(found.features, wanted.features, atol=1e-8 * float(np.abs(wanted.features).max()))


def test_compare_runs_on_the_cluster_keeps_what_is_done_and_goes_on(cluster, tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    recs = {
        f"r{i}": ni.recording(rng.standard_normal((80, 5)) @ rng.standard_normal((5, 5)), modality="eeg", units="V",
                              sampling_rate=10.0)
        for i in range(4)
    }  # fmt: skip
    options = {"units": 5, "samples": 80, "nulls": 2}
    found = comparison.compare(recs, cache=tmp_path, **options)
    kept = sorted(path.name for path in tmp_path.glob("*.zarr"))
    assert len(kept) == 4
    with monkeypatch.context() as alone:
        alone.setattr("neurointerp.cluster.client", lambda: None)
        here = comparison.compare(recs, **options)
    np.testing.assert_allclose(found["summary"], here["summary"], rtol=1e-6, equal_nan=True)
    assert set(found.groups) == set(here.groups)
    dates = {name: (tmp_path / name).stat().st_mtime_ns for name in kept}
    again = comparison.compare(recs | {"r4": recs["r0"] + 1 * recs["r1"].values}, cache=tmp_path, **options)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == dates
    assert len(list(tmp_path.glob("*.zarr"))) == 5
    np.testing.assert_array_equal(again["summary"].sel(recording=list(recs)).values, found["summary"].values)


CLIENT = """
import logging, sys
import numpy as np
import neurointerp as ni
from distributed import Client
from neurointerp.analyses import comparison

logging.basicConfig(level="INFO", format="%(message)s")
logging.getLogger("distributed").setLevel("ERROR")
recs = {f"r{i}": rec for i, rec in enumerate(ni.open(path) for path in sys.argv[3:])}
with Client(sys.argv[1]):
    comparison.compare(recs, cache=sys.argv[2], units=5, samples=80, nulls=2, resamples=0)
"""


def test_a_killed_client_of_compare_goes_on_where_it_was(cluster, tmp_path):
    rng = np.random.default_rng(5)
    paths, cache = [str(tmp_path / f"r{i}.zarr") for i in range(8)], tmp_path / "cache"
    for path in paths:
        values = rng.standard_normal((80, 5)) @ rng.standard_normal((5, 5))
        ni.save(ni.recording(values, modality="eeg", units="V", sampling_rate=10.0), path)
    asked = subprocess.Popen(
        [sys.executable, "-c", CLIENT, cluster.scheduler.address, str(cache), *paths], stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in asked.stderr:  # what it says of its progress, until three are done
        lines.append(line)
        if "3 of 8" in line:
            break
    os.kill(asked.pid, signal.SIGKILL)
    asked.communicate()
    told = [line for line in lines if line.startswith("comparing: r") and " is done (" in line]
    assert [line.split("(")[1] for line in told] == [f"{i} of 8)\n" for i in (1, 2, 3)], lines
    time.sleep(5)  # what workers were at when it died, they may still finish
    before = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.zarr")}
    assert 3 <= len(before) < 8
    recs, options = {f"r{i}": ni.open(path) for i, path in enumerate(paths)}, {"units": 5, "samples": 80, "nulls": 2}
    found = comparison.compare(recs, cache=cache, resamples=0, **options)
    after = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.zarr")}
    assert len(after) == 8
    assert {name: after[name] for name in before} == before  # taken from where they were kept
    whole = comparison.compare(recs, resamples=0, **options)
    for path in whole.groups:
        assert found[path].to_dataset(inherit=False).identical(whole[path].to_dataset(inherit=False)), path


def test_a_dataset_is_homogenised_by_the_workers(cluster):
    (found,) = ni.load_all("demo-eeg").values()
    assert found.identical(ni.load("demo-eeg"))
