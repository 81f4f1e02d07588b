"""Dask arrays: written in whole chunks by any scheduler or refused, read back lazily, never all at once."""

import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni

dask = pytest.importorskip("dask")
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # fork beside threads, 3.12 on


def recording(samples=10_000, units=12):
    values = np.random.default_rng(0).standard_normal((samples, units))
    return ni.recording(values, modality="eeg", units="V", sampling_rate=100.0)


@pytest.fixture(scope="module")
def pool():
    """Processes that stay: starting them takes longer than all that they do."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as made:
        yield made


def scheduled(scheduler, request):
    found = {"scheduler": scheduler, "num_workers": 4}
    return dask.config.set(found | ({"pool": request.getfixturevalue("pool")} if scheduler == "processes" else {}))


@pytest.mark.parametrize("scheduler", ["threads", "processes", "synchronous"])
@pytest.mark.parametrize("options", [{}, {"shards": True}, {"compression": "lz4"}], ids=["plain", "shards", "lz4"])
def test_every_scheduler_writes_every_cell(scheduler, options, tmp_path, request):
    rec = recording()
    with scheduled(scheduler, request):
        path = ni.save(rec.chunk({"time": 1100, "unit": 5}), tmp_path / "r.zarr", **options)
    assert ni.open(path, verify=True).identical(rec)
    assert ni.digest(rec.chunk({"time": 1100, "unit": 5})) == ni.digest(rec)


@pytest.mark.parametrize("options", [{}, {"shards": True}])
def test_uneven_pieces_are_refused_by_name(options, tmp_path):
    rec = recording()
    for sizes in ((3000, 7000), (4000, 2000, 4000)):
        with pytest.raises(ni.StoreError, match=rf"'recording' has uneven dask chunks along axis 0 \({sizes[0]}, "):
            ni.save(rec.chunk({"time": sizes}), tmp_path / "r.zarr", **options)
    assert list(tmp_path.iterdir()) == []


def test_no_piece_shares_a_chunk_or_shard_with_another(tmp_path, monkeypatch):
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 2**14)
    rec = recording()
    for size in (997, 1000, 1024, 4096, 9999):
        for options in ({}, {"shards": True}):
            path = ni.save(rec.chunk({"time": size}), tmp_path / "r.zarr", overwrite=True, **options)
            back = ni.open(path)
            chunk = (back.encoding["shards"] or back.encoding["chunks"])[0]
            assert size % chunk == 0
            assert back.identical(rec)


def test_what_lies_about_its_type_is_refused(tmp_path):
    lazy = recording().chunk({"time": 1000})
    wrong = lazy.copy(data=lazy.data.map_blocks(lambda block: block.astype("f4"), dtype="f8"))
    with pytest.raises(ni.StoreError, match=r"recording got a block of float32 .* where float64 .* was announced"):
        ni.save(wrong, tmp_path / "r.zarr")
    assert list(tmp_path.iterdir()) == []


def test_opened_stores_go_through_dask_and_back(tmp_path, request):
    rec = recording()
    path = ni.save(rec, tmp_path / "r.zarr.zip")
    for scheduler in ("threads", "processes"):
        with scheduled(scheduler, request):
            lazy = ni.open(path).chunk({"time": 2500})
            np.testing.assert_allclose((lazy * 2).mean("time"), (rec * 2).mean("time"), rtol=1e-9)


def test_what_is_lazy_is_written_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("neurointerp.store.chunks.BLOCK_BYTES", 2**22)
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 2**20)
    values = np.zeros((500_000, 16))
    values[:, 3] = np.arange(500_000)
    path = ni.save(ni.recording(values, modality="eeg", units="V", time=np.arange(500_000)), tmp_path / "a.zarr")
    lazy = ni.open(path)
    tracemalloc.start()
    ni.save(lazy, tmp_path / "b.zarr")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 2
    assert ni.open(tmp_path / "b.zarr").identical(lazy)
    with dask.config.set(scheduler="threads", num_workers=2):
        tracemalloc.start()
        ni.save(ni.open(path).chunk({"time": 65536}), tmp_path / "c.zarr")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < values.nbytes
    xr.testing.assert_identical(ni.open(tmp_path / "c.zarr"), lazy)


def test_a_recording_of_chunks_is_what_it_is_in_memory():
    values = np.random.default_rng(0).standard_normal((500, 7))
    about = {"modality": "eeg", "units": "V", "sampling_rate": 10.0}
    whole = ni.recording(values, **about)
    chunked = ni.recording(dask.array.from_array(values, chunks=(90, 3)), **about)
    assert chunked.name is None  # not that of the task, which xarray takes
    assert ni.digest(chunked) == ni.digest(whole)


@pytest.mark.parametrize("chunks", [(7, 64), (300, 64), (1000, 10), (1000, 64)])
def test_a_digest_reads_a_few_chunks_at_a_time(chunks, monkeypatch):
    monkeypatch.setattr(ni.store.content, "BLOCK_BYTES", 2**16)
    monkeypatch.setattr(ni.store.content, "CHUNKED_BYTES", 2**14)
    values = np.random.default_rng(0).standard_normal((1000, 64))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=10.0)
    lazy = rec.chunk(time=chunks[0], unit=chunks[1])
    sizes = [block.nbytes for block in ni.store.content._blocks(lazy.variable)]
    assert sum(sizes) == values.nbytes
    assert max(sizes) <= max(2**16, chunks[0] * chunks[1] * 8)  # a chunk that is computed is there anyway
    assert ni.digest(lazy) == ni.digest(rec)


def test_a_digest_of_an_empty_first_chunk(monkeypatch):
    monkeypatch.setattr(ni.store.content, "BLOCK_BYTES", 2**10)
    values = np.random.default_rng(0).standard_normal((100, 8))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=10.0)
    assert ni.digest(rec.copy(data=dask.array.from_array(values, chunks=((0, 30, 70), (8,))))) == ni.digest(rec)
