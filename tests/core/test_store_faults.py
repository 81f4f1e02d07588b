"""Stores under accidents: killed writers, flipped, cut, deleted and exchanged chunks, readers beside writers."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import neurointerp as ni
from neurointerp.store import staging

HERE = Path(__file__).parent
posix = pytest.mark.skipif(os.name == "nt", reason="forks and SIGKILL")


class Saver:
    """The process of `killed_saver.py`."""

    def __init__(self, path, samples, exchange):
        env = {
            **os.environ,
            "PYTHONPATH": str(HERE.parents[1]),
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, str(HERE / "killed_saver.py"), str(path), str(samples), exchange]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def save(self, number, seconds=-1.0, calls=-1):
        """Give how long the save lived, and whether it ended by itself."""
        self.process.stdin.write(f"{number} {seconds} {calls}\n")
        self.process.stdin.flush()
        took, status = self.process.stdout.readline().split()
        return float(took), status == "0"

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0


def number_of(path, samples):
    """Give the number of the content at a path, every chunk of it checked."""
    rec = ni.open(path, verify=True)
    number = int(rec.name[1:])
    assert rec.sizes == {"time": samples + samples // 4 * (number % 3), "unit": 600}
    assert (rec.values == number).all()
    return number


@posix
@pytest.mark.parametrize(
    ("name", "exchange", "kills"), [("r.zarr", "yes", 50), ("r.zarr", "no", 25), ("r.zarr.zip", "yes", 15)]
)
def test_a_killed_save_leaves_the_old_store_or_the_new(name, exchange, kills, tmp_path):
    rng = np.random.default_rng(kills)
    path = tmp_path / name
    saver = Saver(path, 4000, exchange)
    saver.save(0)
    usual = float(np.median([saver.save(0)[0] for _ in range(5)]))
    now, seen = 0, set()
    for i, part in enumerate(rng.permutation(np.linspace(0, 1.3, kills)), start=1):
        saver.save(i, seconds=part * usual)
        found = number_of(path, 4000)
        assert found in (now, i)
        seen.add(found == i)
        now = found
    assert saver.save(kills + 1)[1]
    saver.close()
    assert number_of(path, 4000) == kills + 1
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert False in seen  # some kills came before the end


@posix
@pytest.mark.parametrize("exchange", ["yes", "no"])
def test_a_save_that_ends_before_any_of_its_steps_leaves_the_old_store_or_the_new(exchange, tmp_path):
    path = tmp_path / "r.zarr"
    saver = Saver(path, 8, exchange)
    saver.save(1)
    found = []
    for step in range(100):
        _, ended = saver.save(2, calls=step)
        found.append(number_of(path, 8))
        if ended:
            break
        assert saver.save(1)[1]
        assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]
    saver.close()
    assert ended
    assert len(found) > 10
    assert found == sorted(found)
    assert set(found) == {1, 2}


def test_what_a_killed_writer_took_away_comes_back_to_the_next_reader(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    stage = tmp_path / ".r.zarr.abcd1234.partial"
    stage.mkdir()
    path.rename(stage / "old")
    assert ni.open(path).identical(recordings["eeg"])
    assert ni.verify(path) == 3
    path.rename(stage / "old")
    with pytest.raises(ni.StoreError, match="exists already"):
        ni.save(recordings["fmri"], path)
    assert ni.open(path).identical(recordings["eeg"])
    other = tmp_path / ".other.zarr.abcd1234.partial"
    other.mkdir()
    ni.save(recordings["fmri"], path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "r.zarr"]


def several_chunks():
    values = np.random.default_rng(0).standard_normal((3000, 800)).astype(np.float32)
    labels = {"token": ("time", [f"t{i}" for i in range(3000)])}
    return ni.recording(values, modality="activations", units="1", time=np.arange(3000), coords=labels)


def damage_cut(file):
    file.write_bytes(file.read_bytes()[:-3])


def damage_flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def damage_grow(file):
    file.write_bytes(file.read_bytes() + b"\0")


def damage_end(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("options", [{}, {"compression": "lz4"}, {"shards": True}], ids=["plain", "lz4", "shards"])
def test_every_chunk_flipped_cut_or_deleted_in_turn_is_named_and_never_read(options, tmp_path):
    path = ni.save(several_chunks(), tmp_path / "r.zarr", **options)
    chunks = [file for file in path.rglob("*") if file.is_file() and file.suffix != ".json"]
    assert len(chunks) == ni.verify(path) >= 4
    for file in chunks:
        key, kept = file.relative_to(path).as_posix(), file.read_bytes()
        for harm in (damage_flip, damage_cut, damage_grow, damage_end, Path.unlink):
            harm(file)
            fate = "missing" if harm is Path.unlink else "altered"
            with pytest.raises(ni.StoreError, match=f"r.zarr is damaged: {key} is {fate}$"):
                ni.verify(path)
            with pytest.raises(ni.StoreError, match=r"\.zarr is damaged"):
                ni.open(path, verify=True)
            with pytest.raises(ni.StoreError):
                ni.open(path).load()
            file.write_bytes(kept)
    assert ni.open(path, verify=True).identical(several_chunks())


def test_every_damage_is_named_at_once(tmp_path):
    path = ni.save(several_chunks(), tmp_path / "r.zarr")
    one, two = (path / "recording" / "c" / str(i) / "0" for i in range(2))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    (path / "time" / "c" / "0").unlink()
    (path / "stray.txt").write_text("x")
    (path / "unit" / "zarr.json").write_text("{}")
    with pytest.raises(ni.StoreError) as error:
        ni.verify(path)
    assert str(error.value) == (
        f"{path} is damaged: recording/c/0/0 is altered; recording/c/1/0 is altered; time/c/0 is missing; "
        "unit/zarr.json is altered; stray.txt is extra"
    )


def test_a_missing_or_exchanged_chunk_is_an_error_where_it_is_read_and_only_there(tmp_path):
    rec = several_chunks()
    path = ni.save(rec, tmp_path / "r.zarr")
    lazy = ni.open(path)
    (path / "recording" / "c" / "1" / "1").unlink()
    np.testing.assert_array_equal(lazy[:1000].values, rec.values[:1000])
    with pytest.raises(ni.StoreError, match=r"r.zarr: the chunk recording/c/1/1 is missing; restore it from a copy"):
        _ = lazy[-1].values
    shutil.copy(path / "recording" / "c" / "0" / "1", path / "recording" / "c" / "1" / "1")
    with pytest.raises(ni.StoreError, match="the chunk recording/c/1/1 was altered since it was saved"):
        _ = lazy[-1].values


def test_any_zarr_reader_finds_a_flipped_bit(tmp_path):
    path = ni.save(several_chunks(), tmp_path / "r.zarr")
    rng = np.random.default_rng(1)
    file = path / "recording" / "c" / "0" / "0"
    kept = file.read_bytes()
    for _ in range(40):
        data = bytearray(kept)
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        file.write_bytes(data)
        with pytest.raises(ValueError, match="checksum"):
            zarr.open_array(path / "recording", mode="r")[:1]


def test_lost_and_altered_digests_are_not_taken_for_an_old_store(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    listed = path / "digests.json"
    kept = listed.read_text()
    for text, message in {
        kept.replace('"recording/c/0/0": [', '"recording/c/0/0": [1'): "does not agree with its own checksum",
        kept[:-20]: "is not a list of digests",
        "[]": "is not a list of digests",
    }.items():
        listed.write_text(text)
        for call in (ni.open, ni.verify):
            with pytest.raises(ni.StoreError, match=f"r.zarr cannot be read as a zarr store: digests.json {message}"):
                call(path)
    listed.unlink()
    for call in (ni.open, ni.verify):
        with pytest.raises(ni.StoreError, match=r"r.zarr .*its digests.json is missing"):
            call(path)


def test_readers_beside_a_writer_see_one_content_or_the_other(tmp_path):
    contents = [ni.recording(np.full((40, 3), i, float), modality="eeg", units="V", sampling_rate=1.0) for i in (1, 2)]
    path = ni.save(contents[0], tmp_path / "r.zarr")
    ended, seen, wrong = threading.Event(), set(), []

    def read():
        while not ended.is_set():
            try:
                values = ni.open(path).values
                seen.add(values.min())
                if values.min() != values.max():
                    wrong.append(values)
            except ni.StoreError as error:
                if "was replaced or removed since it was opened" not in str(error):
                    wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(30):
        ni.save(contents[i % 2], path, overwrite=True)
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert seen <= {1.0, 2.0}


def test_what_was_opened_before_a_replacement_never_mixes_the_two(recordings, tmp_path):
    for options in ({}, {"shards": True}):
        path = ni.save(several_chunks(), tmp_path / "r.zarr", overwrite=True, **options)
        lazy = ni.open(path)
        _ = lazy[:10].values
        ni.save(several_chunks() + 1, path, overwrite=True, **options)
        with pytest.raises(ni.StoreError, match="was replaced or removed since it was opened: open it again"):
            _ = lazy.values


def test_saves_of_one_path_follow_each_other(tmp_path):
    path = tmp_path / "r.zarr"
    contents = [ni.recording(np.full((4, 2), i, float), modality="eeg", units="V", sampling_rate=1.0) for i in range(6)]
    failed = []

    def save(rec):
        try:
            ni.save(rec, path, overwrite=True)
        except ni.StoreError as error:
            failed.append(error)

    savers = [threading.Thread(target=save, args=(rec,)) for rec in contents]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert failed == []
    assert any(ni.open(path, verify=True).identical(rec) for rec in contents)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_the_two_names_are_exchanged_in_one_step_where_the_system_can(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    if not staging.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system has no exchange of names")
    assert (tmp_path / "a" / "b").exists()
    with pytest.raises(OSError, match="No such file"):
        staging.exchange(tmp_path / "a", tmp_path / "none")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the names of open files")
@pytest.mark.parametrize("name", ["r.zarr", "r.zarr.zip"])
def test_everything_is_on_the_disk_before_it_is_put_in_place(name, recordings, tmp_path, monkeypatch):
    steps, sync, place = [], os.fsync, staging.place

    def synced(handle):
        steps.append(Path(f"/proc/self/fd/{handle}").readlink())
        sync(handle)

    def placed(*args):
        steps.append("place")
        place(*args)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(staging, "place", placed)
    path = ni.save(recordings["eeg"], tmp_path / name)
    before, after = steps[: steps.index("place")], steps[steps.index("place") + 1 :]
    assert after == [tmp_path]
    if name == "r.zarr.zip":
        assert [step.name for step in before] == ["new.zip"]
        return
    stage = before[-1]
    assert {step.relative_to(stage) for step in before} == {p.relative_to(path) for p in [path, *path.rglob("*")]}
    files = [step.relative_to(stage).as_posix() for step in before if (path / step.relative_to(stage)).is_file()]
    assert files[-1] == "digests.json"


def test_a_failing_task_leaves_what_was_there(recordings, tmp_path):
    dask = pytest.importorskip("dask")
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    lazy = recordings["eeg"].chunk({"time": 12})

    def fail(block, block_info=None):
        if block_info and block_info[0]["chunk-location"][0] == 7:
            raise RuntimeError("out of luck")
        return block

    failing = lazy.copy(data=lazy.data.map_blocks(fail, dtype=lazy.dtype))
    with dask.config.set(scheduler="threads"), pytest.raises(RuntimeError, match="out of luck"):
        ni.save(failing, path, overwrite=True)
    assert ni.open(path, verify=True).identical(recordings["eeg"])
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_xarray_alone_would_have_lost_it(tmp_path):
    """The traps that the store is for are still there in plain xarray (or this test tells us they are gone)."""
    ds = xr.Dataset({"x": (("t", "u"), np.ones((100, 8)))}).chunk({"t": 10})
    ds.to_zarr(tmp_path / "plain.zarr", zarr_format=3, consolidated=False)
    (tmp_path / "plain.zarr" / "x" / "c" / "3" / "0").unlink()
    values = xr.open_zarr(tmp_path / "plain.zarr", consolidated=False)["x"].values
    assert np.isnan(values[30:40]).all()
