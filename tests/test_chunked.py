"""Every analysis of four families on a chunked (dask) recording: the answer in memory, a few chunks at a time."""

import importlib
import inspect
import multiprocessing
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity, factorization, geometry, tensor

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
from dask.callbacks import Callback  # noqa: E402

TOLERANCE = 1e-8
"""Largest difference from the answer in memory, over the largest value of a variable; float64."""
SAMPLES, UNITS, CHUNK = 480, 6, 24
CHUNKS = SAMPLES // CHUNK
BYTES = CHUNK * UNITS * 8
THREADS = 2


def continuous(chunked):
    return maker(values(), chunked, sampling_rate=20.0)


def counts(chunked):
    return maker(np.floor(3 * np.abs(values())), chunked, sampling_rate=20.0)


def epochs(chunked):
    return maker(values().reshape(CHUNKS * 3, -1, UNITS), chunked, sampling_rate=20.0, dims=("trial", "time", "unit"))


def positive(chunked):
    shape = (CHUNKS * 3, CHUNK // 3, UNITS)
    return maker(np.abs(values()).reshape(shape), chunked, sampling_rate=20.0, dims=("trial", "time", "unit"))


def stimuli(chunked, change=lambda x: x):
    half = np.arange(SAMPLES) % 2
    coords = {
        "stimulus": ("trial", np.arange(SAMPLES) % 12),
        "repeat": ("trial", np.arange(SAMPLES) // 240),
        "half": ("trial", half),
        "third": ("trial", np.arange(SAMPLES) // 2 % 3),
    }
    return maker(change(values() + half[:, None]), chunked, dims=("trial", "unit"), coords=coords)


def several(chunked):
    bent = partial(stimuli, chunked)
    return {"one": bent(), "two": bent(np.sin), "three": bent(lambda x: x**3)}


def values():
    rng = np.random.default_rng(0)
    x = rng.laplace(size=(SAMPLES, 3)) @ rng.standard_normal((3, UNITS)) + rng.standard_normal((SAMPLES, UNITS))
    x[1:, 1] += 0.7 * x[:-1, 0]
    return x + 3


def maker(x, chunked, **options):
    rec = ni.recording(x, modality="eeg", units="V", **options)
    return rec.copy(data=chunked(x)) if chunked else rec


def aligned(chunked):
    space = geometry.hyperalignment(several(None), 2)
    return geometry.aligned(space, several(chunked))


def audited(chunked):
    likeness = geometry.cka(several(None), permutations=0)
    return geometry.audit(likeness, {"one": stimuli(chunked)}, ["half", "third"])


def matched(chunked):
    fits = [factorization.semi_nmf(continuous(chunked), 2, max_iter=15, seed=seed) for seed in (0, 1)]
    return factorization.match(*fits)


SPECTRAL = {
    name: partial(lambda name, chunked: getattr(connectivity, name)(continuous(chunked), window=20, step=15), name)
    for name in ("coherence", "imaginary_coherence", "psi", "plv", "ciplv", "pli", "wpli", "wpli2_debiased", "spectral")
}
STREAMED = {
    "connectivity": {
        **SPECTRAL,
        "communities": lambda c: connectivity.communities(continuous(c), runs=2),
        "correlation": lambda c: connectivity.correlation(continuous(c)),
        "covariance": lambda c: connectivity.covariance(continuous(c), method="ledoit_wolf"),
        "dynamic": lambda c: connectivity.dynamic(continuous(c), window=30, step=7),
        "effective": lambda c: connectivity.effective(continuous(c), order=2),
        "granger": lambda c: connectivity.granger(continuous(c), order=2),
        "lagged": lambda c: connectivity.lagged(continuous(c), max_lag=5),
        "partial_correlation": lambda c: connectivity.partial_correlation(continuous(c)),
        "spectral_granger": lambda c: connectivity.spectral_granger(continuous(c), order=2),
        "states": lambda c: connectivity.states(continuous(c), 2, restarts=2),
        "transfer_entropy": lambda c: connectivity.transfer_entropy(counts(c), order=2, levels=3),
    },
    "factorization": {
        "hierarchical_semi_nmf": lambda c: factorization.hierarchical_semi_nmf(
            continuous(c), (3, 2), max_iter=10, tuning_steps=2
        ),
        "ica": lambda c: factorization.ica(continuous(c), 2),
        "match": matched,
        "nmf": lambda c: factorization.nmf(positive(c), 2, max_iter=15),
        "pca": lambda c: factorization.pca(continuous(c), 2),
        "semi_nmf": lambda c: factorization.semi_nmf(continuous(c), 2, max_iter=15),
        "stability": lambda c: factorization.stability(
            continuous(c), 2, method=partial(factorization.semi_nmf, max_iter=9), restarts=2, bootstraps=0
        ),
    },
    "tensor": {
        "cp": lambda c: tensor.cp(epochs(c), 2, max_iter=8),
        "nonnegative_cp": lambda c: tensor.nonnegative_cp(positive(c), 2, max_iter=8),
        "rank": lambda c: tensor.rank(positive(c), (1, 2, 3), restarts=2, max_iter=4),
        "stability": lambda c: tensor.stability(
            positive(c), 2, method=partial(tensor.nonnegative_cp, max_iter=4), restarts=2
        ),
    },
    "geometry": {
        "aligned": aligned,
        "cca": lambda c: geometry.cca(several(c), penalty=1.0, permutations=3),
        "cka": lambda c: geometry.cka(several(c), permutations=3),
        "drift": lambda c: geometry.drift(several(c), permutations=3),
        "gcca": lambda c: geometry.gcca(several(c), 2),
        "hyperalignment": lambda c: geometry.hyperalignment(several(c), 2),
        "procrustes": lambda c: geometry.procrustes(several(c), permutations=3),
        "rdm": lambda c: geometry.rdm(stimuli(c), metric="correlation"),
        "rsa": lambda c: geometry.rsa(several(c), permutations=3),
        "rsa_ceiling": lambda c: geometry.rsa_ceiling(several(c)),
    },
}
WHOLE = {
    "connectivity": {
        "affinity": lambda c: connectivity.affinity(continuous(c)),
        "dynamic_connectome": lambda c: connectivity.dynamic_connectome(
            continuous(c), 2, restarts=1, starts=1, bin_size=40
        ),
        "mutual_information": lambda c: connectivity.mutual_information(continuous(c)),
        "null": lambda c: connectivity.null(continuous(c), draws=3),
    },
    "factorization": {
        "rank": lambda c: factorization.rank(
            continuous(c), (1, 2), method=partial(factorization.semi_nmf, max_iter=5), folds=2, restarts=2
        )
    },
    "tensor": {
        "parafac2": lambda c: tensor.parafac2(positive(c), 2, max_iter=5),
        "tucker": lambda c: tensor.tucker(epochs(c), 2, max_iter=5),
    },
    "geometry": {
        "audit": audited,
        "feature_variance": lambda c: geometry.feature_variance(stimuli(c), ["half", "third"]),
    },
}
"""What needs all values in memory at once: it says so, and refuses where there is no room."""
OPTIONS = {
    "spearman": lambda c: connectivity.correlation(continuous(c), method="spearman"),
    "phase": lambda c: connectivity.dynamic(continuous(c), method="phase"),
    "graphical_lasso": lambda c: connectivity.partial_correlation(continuous(c), method="graphical_lasso"),
    "kmeans": lambda c: factorization.semi_nmf(continuous(c), 2, init="kmeans", max_iter=3),
    "svd": lambda c: tensor.cp(epochs(c), 2, init="svd", max_iter=3),
    "bootstraps": lambda c: factorization.stability(continuous(c), 2, method=factorization.pca, restarts=2),
    "mahalanobis": lambda c: geometry.rdm(stimuli(c), metric="mahalanobis"),
}
"""Options of streaming analyses that need the same."""


def cases(table):
    return [
        pytest.param(call, id=f"{family}-{name}") for family, methods in table.items() for name, call in methods.items()
    ]


class Loads:
    """A dask array of which every chunk is made anew when it is read; counts those read, and those alive at a time."""

    def __init__(self):
        self.lock, self.read, self.alive, self.peak = threading.Lock(), 0, 0, 0

    def __call__(self, x):
        edge = len(x) // CHUNKS
        shape = (edge, *x.shape[1:])
        chunks = ((edge,) * CHUNKS, *((size,) for size in x.shape[1:]))
        return da.map_blocks(partial(self.load, x, shape), chunks=chunks, dtype=x.dtype, meta=np.empty((0,) * x.ndim))

    def load(self, x, shape, block_info=None):
        start = block_info[None]["array-location"][0][0]
        made = x[start : start + shape[0]].copy()
        with self.lock:
            self.read += 1
            self.alive += 1
            self.peak = max(self.peak, self.alive)
        weakref.finalize(made, self.gone)
        return made

    def gone(self):
        with self.lock:
            self.alive -= 1

    def __reduce__(self):  # a task that is hashed or sent away counts nothing
        return Loads, ()


def chunks(x):
    return da.from_array(x, chunks=(max(1, len(x) // 9), *x.shape[1:-1], 4))


def require_same(found, wanted):
    for name, variable in wanted.data_vars.items():
        other = found[name]
        assert (other.dims, other.dtype, other.attrs) == (variable.dims, variable.dtype, variable.attrs)
        if variable.dtype.kind != "f":
            np.testing.assert_array_equal(other.values, variable.values)
            continue
        size = np.nanmax(np.abs(variable.values), initial=0.0)
        np.testing.assert_allclose(other.values, variable.values, rtol=0, atol=TOLERANCE * max(size, 1e-6))
    assert set(found.data_vars) == set(wanted.data_vars)
    assert found.attrs == wanted.attrs


@pytest.mark.parametrize("family", ["connectivity", "factorization", "geometry", "tensor"])
def test_every_analysis_of_the_families_is_below(family):
    module = importlib.import_module(f"neurointerp.analyses.{family}")
    public = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    assert public == set(STREAMED[family]) | set(WHOLE[family])


@pytest.mark.parametrize("call", [*cases(STREAMED), *cases(WHOLE), *cases({"option": OPTIONS})])
def test_chunks_do_not_change_the_answer(call):
    require_same(call(chunks), call(None))


PASSES = {
    "connectivity": {
        **dict.fromkeys(SPECTRAL, 2), "communities": 2, "correlation": 2, "covariance": 3, "dynamic": 2, "effective": 3,
        "granger": 3, "lagged": 3, "partial_correlation": 3, "spectral_granger": 3, "states": 2, "transfer_entropy": 4,
    },
    "factorization": {
        "hierarchical_semi_nmf": 20, "ica": 6, "match": 2 * 19, "nmf": 23, "pca": 3, "semi_nmf": 19,
        "stability": 1 + 2 * 14,
    },
    "tensor": {"cp": 4 + 2 * 8, "nonnegative_cp": 4 + 2 * 8, "rank": 81, "stability": 26},
    "geometry": {"rdm": 1, "rsa": 3, "rsa_ceiling": 3} | dict.fromkeys(
        ("aligned", "cca", "cka", "drift", "gcca", "hyperalignment", "procrustes"), 6
    ),
}  # fmt: skip
"""How often all values are read by the calls above, as `docs/scale.md` says, beside the digest of each recording."""
DIGESTS = {"match": 2, **dict.fromkeys(set(PASSES["geometry"]) - {"rdm"}, 3)}
FEW = 8
"""Tasks a chunk of any one graph."""


@pytest.mark.parametrize("call", cases(STREAMED))
def test_a_few_chunks_are_in_memory_at_a_time(call, monkeypatch, request):
    for name in ("BLOCK_BYTES", "CHUNKED_BYTES"):  # the digest reads chunk by chunk too
        monkeypatch.setattr(f"neurointerp.store.content.{name}", BYTES)
    monkeypatch.setattr("neurointerp.streaming.available", lambda: 0)  # so that what asks for all is refused
    monkeypatch.setattr("neurointerp.analyses.geometry._patterns.require_room", lambda size, analysis: None)
    loads, graphs = Loads(), []
    with (
        dask.config.set(scheduler="threads", num_workers=THREADS),
        Callback(start=lambda graph: graphs.append(len(graph))),
    ):
        call(loads)
    family, name = request.node.callspec.id.split("-")
    assert loads.read >= CHUNKS
    assert loads.peak <= 5 * THREADS < CHUNKS
    passes = PASSES[family][name] + DIGESTS.get(name, 1)
    assert loads.read <= passes * CHUNKS + 4  # a few chunks are looked at beforehand
    assert max(graphs) <= FEW * CHUNKS


@pytest.mark.parametrize("call", [*cases(WHOLE), *cases({"option": OPTIONS})])
def test_what_needs_all_values_is_refused_where_there_is_no_room(call, monkeypatch):
    monkeypatch.setattr("neurointerp.streaming.available", lambda: 2 * SAMPLES * UNITS * 8)
    with pytest.raises(ni.AnalysisError, match=r"needs all values in memory at once: [0-9.]+ MiB, and 3 times that"):
        call(chunks)


def test_missing_values_segments_and_subjects_in_chunks():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 150, 5)) + 4
    segment = np.repeat([0, 1, 2], [60, 50, 40])
    clock = np.arange(150) / 10 + 50 * segment
    rec = ni.recording(x, modality="eeg", units="V", sampling_rate=10.0, time=clock, dims=("subject", "time", "unit"),
                       coords={"segment": ("time", segment)})  # fmt: skip
    some = rec.copy(deep=True)
    some[0, 3:30, 1], some[1, 140, 2] = np.nan, np.nan
    absent = rec.copy(deep=True)
    absent[0, :, 3] = np.nan
    one = some.isel(subject=0)
    calls = [
        (connectivity.correlation, some, {}),
        (connectivity.correlation, some, {"centre": "segment"}),
        (connectivity.correlation, some, {"method": "ledoit_wolf"}),
        (connectivity.correlation, rec, {"method": "ledoit_wolf"}),
        (connectivity.covariance, some, {"method": "oas"}),
        (connectivity.partial_correlation, some, {"method": "ledoit_wolf"}),
        (connectivity.lagged, absent, {"max_lag": 30}),
        (connectivity.granger, absent, {"order": 3, "conditional": True}),
        (connectivity.effective, absent, {}),
        (connectivity.coherence, absent, {"window": 20, "step": 6}),
        (connectivity.dynamic, absent, {"window": 25, "step": 4, "method": "tapered"}),
        (factorization.semi_nmf, one, {"rank": 2, "max_iter": 10}),
        (factorization.semi_nmf, one, {"rank": 2, "max_iter": 10, "keep_fraction": 0.5}),
        (tensor.cp, some, {"rank": 2, "max_iter": 6}),
    ]
    for call, given, options in calls:
        for size in (17,):
            require_same(call(given.chunk({"time": size, "unit": 3}), **options), call(given, **options))


def test_a_block_sums_the_segments_that_it_touches_alone(monkeypatch):
    segment = np.repeat(np.arange(CHUNKS * 2), CHUNK // 2)
    clock = np.arange(SAMPLES) / 20 + segment
    rec = ni.recording(values(), modality="eeg", units="V", time=clock, coords={"segment": ("time", segment)})
    module, many = importlib.import_module("neurointerp.analyses.connectivity._streamed"), []
    by_part = module._by_part

    def counted(*given, **options):
        found = by_part(*given, **options)
        many.append(len(found[1]))
        return found

    monkeypatch.setattr(module, "_by_part", counted)
    found = connectivity.correlation(rec.chunk(time=CHUNK), centre="segment")
    require_same(found, connectivity.correlation(rec, centre="segment"))
    assert many == [2] * CHUNKS
    uneven = connectivity.correlation(rec.chunk(time=7), centre="segment")
    require_same(uneven, found)


def test_faults_are_found_in_chunks_too():
    x = values()
    x[7, 2] = np.inf
    endless = continuous(None).copy(data=chunks(x))
    for call in (factorization.pca, factorization.semi_nmf):
        with pytest.raises(ni.RecordingError, match="1 infinite values: a missing value is NaN"):
            call(endless, 2)
    x[7, 2] = np.nan
    for call in (connectivity.lagged, partial(factorization.ica, rank=2), partial(factorization.pca, rank=2)):
        with pytest.raises(ni.AnalysisError, match=r"1 missing values in 1 of 6 units .* first in unit 'u2'"):
            call(continuous(None).copy(data=chunks(x)))


BAD = {
    "pca": lambda c: factorization.pca(continuous(c), UNITS + 1),
    "ica": lambda c: factorization.ica(continuous(c), 2, contrast="nothing"),
    "nmf": lambda c: factorization.nmf(positive(c), 2, max_iter=0),
    "nmf rank": lambda c: factorization.nmf(positive(c), UNITS + 1),
    "semi_nmf": lambda c: factorization.semi_nmf(continuous(c), 2, keep_fraction=2.0),
    "hierarchical_semi_nmf": lambda c: factorization.hierarchical_semi_nmf(continuous(c), (2, 3)),
    "cp": lambda c: tensor.cp(epochs(c), 2, max_iter=0),
    "correlation": lambda c: connectivity.correlation(continuous(c), method="nothing"),
    "dynamic": lambda c: connectivity.dynamic(continuous(c), window=30, method="nothing"),
    "rdm": lambda c: geometry.rdm(stimuli(c), metric="nothing"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_before_anything_is_read(name):
    loads = Loads()
    with pytest.raises(ni.AnalysisError):
        BAD[name](loads)
    assert not loads.read


@pytest.mark.slow
def test_processes_give_the_same():
    calls = [STREAMED["connectivity"][name] for name in ("correlation", "coherence")]
    calls += [STREAMED["factorization"]["semi_nmf"], STREAMED["tensor"]["cp"]]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool, dask.config.set(scheduler="processes", pool=pool):
        for call in calls:
            require_same(call(lambda x: da.from_array(x, chunks=(len(x) // 2, *x.shape[1:]))), call(None))


def test_wide_recordings_and_empty_chunks():
    x = np.random.default_rng(2).standard_normal((20, 90))
    rec = ni.recording(x, modality="fmri", units="1", dims=("trial", "unit"))
    require_same(factorization.pca(rec.chunk({"trial": 7, "unit": 40}), 3), factorization.pca(rec, 3))
    uneven = rec.copy(data=da.from_array(x, chunks=((0, 3, 0, 17), (90,))))
    for call in (connectivity.correlation, partial(factorization.semi_nmf, rank=2, max_iter=3)):
        require_same(call(uneven), call(rec))
