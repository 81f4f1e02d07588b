"""Stores that are filled row after row, and go on where a killed run was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import store

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 128)


def tokens(count, units=4):
    values = np.random.default_rng(0).standard_normal((count, units)).astype(np.float32)
    labels = {"token": ("time", [f"t{i}" for i in range(count)]), "layer": ("unit", np.arange(units))}
    return ni.recording(values, modality="activations", units="1", time=np.arange(count), coords=labels, name="mlp")


def hollow(rec):
    return rec.copy(data=np.broadcast_to(np.float32(0), rec.shape))


@pytest.mark.parametrize("cuts", [[60], [1] * 60, [7, 30, 0, 23]])
@pytest.mark.parametrize("compression", [None, "lz4"])
def test_rows_give_the_same_store_as_the_whole(cuts, compression, tmp_path):
    whole = tokens(60)
    with store.filler(tmp_path / "r.zarr", hollow(whole), key="k", compression=compression) as out:
        start = 0
        for count in cuts:
            out.put(whole.values[start : start + count])
            start += count
        assert not (tmp_path / "r.zarr").exists()
        assert out.commit() == tmp_path / "r.zarr"
    assert ni.open(tmp_path / "r.zarr", verify=True).identical(whole)
    saved = ni.save(whole, tmp_path / "saved.zarr", compression=compression)
    assert ni.verify(saved) == ni.verify(tmp_path / "r.zarr")
    listed = [(path / "digests.json").read_bytes() for path in (saved, tmp_path / "r.zarr")]
    assert listed[0] == listed[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.zarr", "saved.zarr"]


@pytest.mark.parametrize("compression", [None, "lz4"])
def test_work_that_was_left_goes_on_after_the_last_whole_chunk(compression, tmp_path):
    whole = tokens(60)
    path = tmp_path / "r.zarr"
    options = {"key": "k", "compression": compression}
    with store.filler(path, hollow(whole), **options) as out:
        chunk = out.chunk
        assert 1 < chunk < 20
        out.put(whole.values[: 2 * chunk + 1])
    with store.filler(path, hollow(whole), **options) as out:
        assert out.rows == 2 * chunk
        out.put(whole.values[2 * chunk : 3 * chunk])
    partial = next(tmp_path.iterdir())
    damaged = partial / "new" / "recording" / "c" / "1" / "0"
    data = bytearray(damaged.read_bytes())
    data[3] ^= 1
    damaged.write_bytes(data)
    with store.filler(path, hollow(whole), **options) as out:
        assert out.rows == chunk  # what does not agree with its checksum is done again
        out.put(whole.values[chunk:])
        out.commit()
    assert ni.open(path, verify=True).identical(whole)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_other_work_starts_anew_and_clears_what_was_left(tmp_path):
    whole = tokens(60)
    path = tmp_path / "r.zarr"
    for key, like in (("a", whole), ("b", whole), ("b", whole.assign_coords(layer=("unit", [0, 0, 0, 1])))):
        with store.filler(path, hollow(like), key=key) as out:
            assert out.rows == 0
            out.put(whole.values[:40])
        assert len(list(tmp_path.iterdir())) == 1
    ni.save(whole, path)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("wait", [0, 3, 11])
def test_a_killed_filler_is_taken_up(wait, tmp_path):
    script = """
import sys, numpy as np, neurointerp as ni
sys.path[:0] = [sys.argv[2]]
from test_store_filler import tokens, hollow
from neurointerp.store import chunks
chunks.CHUNK_BYTES = 128
whole = tokens(60)
out = ni.store.filler(sys.argv[1], hollow(whole), key="k")
print(out.rows, flush=True)
for start in range(out.rows, 60, 5):
    out.put(whole.values[start:start + 5])
    print(start, flush=True)
sys.stdin.read()
"""
    path = tmp_path / "r.zarr"
    command = [sys.executable, "-c", script, str(path), str(Path(__file__).parent)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        for _ in range(1 + wait):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    whole = tokens(60)
    with store.filler(path, hollow(whole), key="k") as out:
        assert out.rows % out.chunk == 0 or out.rows == 60
        assert out.rows >= max(5 * wait - out.chunk, 0)
        out.put(whole.values[out.rows :])
        out.commit()
    assert ni.open(path, verify=True).identical(whole)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_rows_that_were_not_announced_are_refused(tmp_path):
    whole = tokens(10)
    with store.filler(tmp_path / "r.zarr", hollow(whole), key="k") as out:
        for values, message in (
            (whole.values.astype(float), r"rows of float64 \(4,\) where float32 \(4,\) were announced"),
            (whole.values[:, :3], r"rows of float32 \(3,\)"),
            (np.zeros((11, 4), np.float32), "11 rows where 10 were announced"),
            (np.full((2, 4), np.inf, np.float32), "8 infinite values: a missing value is NaN"),
        ):
            with pytest.raises(ni.StoreError, match=message):
                out.put(values)
        out.put(whole.values[:9])
        with pytest.raises(ni.StoreError, match="9 of 10 rows were put"):
            out.commit()
        with pytest.raises(ni.StoreError, match="is being written by another"):
            store.filler(tmp_path / "r.zarr", hollow(whole), key="k")
    with pytest.raises(ni.StoreError, match="it was committed or closed"):
        out.put(whole.values)
    with pytest.raises(ni.StoreError, match="must begin with one of time, trial"):
        store.filler(tmp_path / "r.zarr", whole[:0], key="k")
