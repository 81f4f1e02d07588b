"""Recordings written block by block: bounded memory, visible at commit, one writer at a time."""

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import store
from neurointerp.store import appending, staging

ROOT = Path(__file__).parents[2]


def tokens(start, count, units=4, **options):
    values = np.arange(start * units, (start + count) * units, dtype=np.float32).reshape(count, units)
    labels = {"token": ("time", [f"t{i}" for i in range(start, start + count)]), "layer": ("unit", np.arange(units))}
    stamps = np.arange(start, start + count)
    return ni.recording(values, modality="activations", units="1", time=stamps, coords=labels, **options)


@pytest.mark.parametrize("cuts", [[10], [1] * 10, [3, 0, 7], [9, 1]])
@pytest.mark.parametrize("name", ["r.zarr", "r.zarr.zip"])
def test_blocks_give_the_same_store_as_the_whole(cuts, name, tmp_path):
    whole = tokens(0, 10, name="mlp", attrs={"system": "toy"})
    with store.writer(tmp_path / name, whole[:0]) as out:
        start = 0
        for count in cuts:
            out.append(whole[start : start + count])
            start += count
        assert not (tmp_path / name).exists()
        assert out.commit() == tmp_path / name
    back = ni.open(tmp_path / name, verify=True)
    assert back.identical(whole)
    assert ni.digest(back) == ni.digest(whole)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    saved = ni.save(whole, tmp_path / f"saved-{name}")
    assert ni.verify(saved) == ni.verify(tmp_path / name)


def test_many_chunks_are_cut_where_the_blocks_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 128)
    whole = tokens(0, 300)
    for compression in (None, "lz4"):
        rng = np.random.default_rng(0)
        with store.writer(tmp_path / "r.zarr", whole[:0], compression=compression, overwrite=True) as out:
            start = 0
            while start < 300:
                stop = start + int(rng.integers(1, 30))
                out.append(whole[start:stop])
                start = stop
            out.commit()
        assert ni.open(tmp_path / "r.zarr").identical(whole)
        assert ni.verify(tmp_path / "r.zarr") > 40


def test_memory_stays_bounded_however_much_is_appended(tmp_path):
    template = tokens(0, 2, units=512)[:0]

    def peak(blocks):
        with store.writer(tmp_path / "r.zarr", template, overwrite=True) as out:
            tracemalloc.start()
            for i in range(blocks):
                out.append(tokens(i * 1000, 1000, units=512))
            out.commit()
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most

    few, many = peak(6), peak(40)
    assert many < few + 8e6  # 70 MB more were written
    assert ni.open(tmp_path / "r.zarr").sizes["time"] == 40_000


def test_trials_are_appended_and_counted_on(tmp_path):
    def trials(count, condition):
        values = np.random.default_rng(count).standard_normal((count, 5, 3))
        labels = {"condition": ("trial", [condition] * count)}
        options = {"dims": ("trial", "time", "unit"), "sampling_rate": 10.0, "coords": labels}
        return ni.recording(values, modality="eeg", units="V", **options)

    blocks = [trials(3, "go"), trials(2, "stop")]
    with store.writer(tmp_path / "r.zarr", blocks[0][:0]) as out:
        for block in blocks:
            out.append(block)
        out.commit()
    back = ni.open(tmp_path / "r.zarr")
    assert back["trial"].values.tolist() == [0, 1, 2, 3, 4]
    assert back["condition"].values.tolist() == ["go"] * 3 + ["stop"] * 2
    np.testing.assert_array_equal(back, np.concatenate([block.values for block in blocks]))
    with store.writer(tmp_path / "q.zarr", blocks[0][:0]) as out:
        out.append(blocks[0].assign_coords(trial=[5, 6, 7]))
        with pytest.raises(ni.StoreError, match="trial begins at 6, not after 7, where the last block ended"):
            out.append(blocks[1].assign_coords(trial=[6, 9]))


@pytest.mark.parametrize("chunk_bytes", [2**22, 32])
def test_plain_arrays_are_labelled_by_the_template_and_may_change_afterwards(chunk_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", chunk_bytes)
    whole = tokens(0, 6)
    buffer = np.empty((3, 4), np.float32)
    with store.writer(tmp_path / "r.zarr", whole[:0]) as out:
        for start in (0, 3):
            buffer[:] = whole.values[start : start + 3]
            out.append(buffer, coords={"time": [start, start + 1, start + 2], "token": ["a", "b", "c"]})
            buffer[:] = -1
        with pytest.raises(ni.StoreError, match="the block has 1 axes, the template 2"):
            out.append(np.zeros(4))
        with pytest.raises(ni.StoreError, match="labels do not fit the block"):
            out.append(np.zeros((2, 4), np.float32), coords={"time": [7]})
        out.commit()
    back = ni.open(tmp_path / "r.zarr")
    np.testing.assert_array_equal(back, whole)
    assert back["time"].attrs == {"units": "token"}
    assert back["token"].values.tolist() == ["a", "b", "c"] * 2


def test_a_block_that_does_not_continue_the_recording_is_left_out(tmp_path):
    whole = tokens(0, 6)
    more = tokens(3, 3)
    wrong = {
        "time begins at 2, not after 2": tokens(2, 2),
        "values have dtype float64, not float32": more.astype(float),
        "units is 'V', not '1'": more.assign_attrs(units="V"),
        "modality is 'eeg', not 'activations'": more.assign_attrs(modality="eeg"),
        "the coords token are not in both": more.drop_vars("token"),
        "the coords extra are not in both": more.assign_coords(extra=("unit", np.arange(4))),
        "'unit' is not that of the template": more.assign_coords(unit=list("abcd")),
        "'layer' is not that of the template": more.assign_coords(layer=("unit", [0, 0, 0, 0])),
        "'token' is int64 on": more.assign_coords(token=("time", [1, 2, 3])),
        "the block does not continue the recording: not a recording: ": more.drop_vars("unit"),
        "time must increase strictly": more.isel(time=[0, 2, 1]),
    }
    with store.writer(tmp_path / "r.zarr", whole[:0]) as out:
        out.append(whole[:3])
        for message, block in wrong.items():
            with pytest.raises(ni.StoreError, match=message):
                out.append(block)
        out.append(more)
        out.commit()
    assert ni.open(tmp_path / "r.zarr").identical(whole)


def test_the_clock_keeps_its_rate_over_blocks_within_a_segment(tmp_path):
    def block(start, count, segment=None, late=0.0):
        stamps = np.arange(start, start + count) / 100.0 + late
        coords = {} if segment is None else {"segment": ("time", np.broadcast_to(segment, count).copy())}
        values = np.zeros((count, 2))
        return ni.recording(values, modality="eeg", units="V", time=stamps, sampling_rate=100.0, coords=coords)

    with store.writer(tmp_path / "a.zarr", block(0, 5)[:0]) as out:
        for start in range(0, 30, 3):
            out.append(block(start, 3))
        with pytest.raises(ni.StoreError, match="time is 5 samples off the sampling_rate 100 counted from 0"):
            out.append(block(35, 3))
        out.commit()
    ni.check(ni.open(tmp_path / "a.zarr"))
    with store.writer(tmp_path / "b.zarr", block(0, 5, 0)[:0]) as out:
        out.append(block(0, 3, 0))
        out.append(block(50, 3, 1))
        out.append(block(53, 3, 1))
        with pytest.raises(ni.StoreError, match=r"samples off the sampling_rate 100 counted from 0.5;"):
            out.append(block(60, 3, 1))
        out.commit()
    ni.check(ni.open(tmp_path / "b.zarr"))


def test_nothing_appears_without_a_commit(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    template = tokens(0, 2)[:0]
    with store.writer(path, template, overwrite=True) as out:
        out.append(tokens(0, 5))
        assert ni.open(path).identical(recordings["eeg"])
    with pytest.raises(RuntimeError, match="model"), store.writer(path, template, overwrite=True) as out:
        raise RuntimeError("the model failed")
    out = store.writer(path, template, overwrite=True)
    out.append(tokens(0, 5))
    out.abort()
    out.abort()
    for call in (lambda: out.append(tokens(0, 5)), out.commit):
        with pytest.raises(ni.StoreError, match=r"r.zarr: the writer was committed or aborted; make a new one"):
            call()
    assert ni.open(path, verify=True).identical(recordings["eeg"])
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_the_second_of_two_writers_is_refused(recordings, tmp_path):
    path = tmp_path / "r.zarr"
    with store.writer(path, tokens(0, 2)[:0]) as out:
        out.append(tokens(0, 5))
        for call in (lambda: store.writer(path, tokens(0, 2)[:0]), lambda: ni.save(recordings["eeg"], path)):
            with pytest.raises(ni.StoreError, match=rf"is being written by another \(writer process {os.getpid()} on"):
                call()
        other = subprocess.run(
            [sys.executable, "-m", "neurointerp", "load", "sim-eeg", "--out", str(path)],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert other.returncode == 1
        out.commit()
    assert ni.open(path).sizes["time"] == 5
    with pytest.raises(ni.StoreError, match="exists already; choose another path or pass overwrite=True"):
        store.writer(path, tokens(0, 2)[:0])


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_writer_keeps_nobody_out(tmp_path):
    script = """
import sys, numpy as np, neurointerp as ni
rec = ni.recording(np.zeros((5, 2)), modality="eeg", units="V", sampling_rate=1.0)
out = ni.store.writer(sys.argv[1], rec[:0])
out.append(rec)
print("open", flush=True)
sys.stdin.read()
"""
    path = tmp_path / "r.zarr"
    command = [sys.executable, "-c", script, str(path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(ni.StoreError, match=rf"is being written by another \(writer process {process.pid} on"):
            store.writer(path, tokens(0, 2)[:0])
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(list(tmp_path.iterdir())) == 2
    with store.writer(path, tokens(0, 2)[:0]) as out:
        out.append(tokens(0, 5))
        out.commit()
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_a_full_disk_ends_the_append_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    out = store.writer(tmp_path / "r.zarr", tokens(0, 2)[:0])
    monkeypatch.setattr(appending._Column, "append", full)
    with pytest.raises(ni.StoreError, match=r"r.zarr: No space left on device; nothing is kept"):
        out.append(tokens(0, 5))
    assert list(tmp_path.iterdir()) == []


def test_a_commit_that_fails_can_be_tried_again(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with store.writer(tmp_path / "r.zarr", tokens(0, 2)[:0]) as out:
        out.append(tokens(0, 5))
        with monkeypatch.context() as patch:
            patch.setattr(staging, "place", full)
            with pytest.raises(ni.StoreError, match=r"cannot write .*r.zarr: No space left on device"):
                out.commit()
        out.commit()
    assert ni.open(tmp_path / "r.zarr", verify=True).identical(tokens(0, 5))


def test_a_template_must_be_an_empty_recording(tmp_path):
    rec = tokens(0, 5)
    for wrong, message in (
        (rec, r"the template has sizes {'time': 5, 'unit': 4}: length zero along one of time, trial"),
        (rec[:0, :0], "and along no other dim"),
        (rec[:, :0], "length zero along one of time, trial"),
        (rec[:0].drop_vars("unit"), "the template is not a recording: no coordinate 'unit'"),
        (np.zeros((0, 3)), "the template is a ndarray: a recording of length zero is needed"),
    ):
        with pytest.raises(ni.StoreError, match=message):
            store.writer(tmp_path / "r.zarr", wrong)
    assert list(tmp_path.iterdir()) == []
