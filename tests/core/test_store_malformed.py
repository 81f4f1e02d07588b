"""Stores made by mistake or to do harm: each is one clear error, before anything of its size is allocated."""

import io
import json
import pickle
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

import neurointerp as ni
from neurointerp.store.digests import Digests
from neurointerp.store.headers import checksum


@pytest.fixture(params=["with digests", "first release"])
def hostile(request, recordings, tmp_path):
    """Give a store, and how to open it after it was tampered with by someone who mends its digests."""
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    first_release = request.param == "first release"
    if first_release:
        root = json.loads((path / "zarr.json").read_text())
        del root["attributes"]["neurointerp"]
        (path / "zarr.json").write_text(json.dumps(root))
        (path / "digests.json").unlink()
        ni.check(ni.open(path))

    def opened():
        if not first_release:
            reseal(path)
        return ni.open(path)

    return path, opened


def reseal(path):
    """List the digests of whatever is there."""
    files, chunks = {}, {}
    for file in path.rglob("*"):
        key, data = file.relative_to(path).as_posix(), file.read_bytes() if file.is_file() else b""
        if file.is_file() and file.suffix == ".json" and key != "digests.json":
            files[key] = (len(data), checksum(data))
        elif file.is_file() and key != "digests.json":
            chunks[key] = (len(data), int.from_bytes(data[-4:], "little"))
    (path / "digests.json").write_bytes(Digests(chunks, files).text())


def change(path, **fields):
    """Change fields of the metadata of the values."""
    file = path / "recording" / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def grid(*sizes):
    return {"name": "regular", "configuration": {"chunk_shape": list(sizes)}}


WRONG = {
    "object": ({"data_type": "object"}, "has values of type 'object'"),
    "numpy object": ({"data_type": {"name": "numpy.object"}}, "has values of type {'name': 'numpy.object'}"),
    "bytes": (
        {"data_type": {"name": "null_terminated_bytes", "configuration": {"length_bytes": 8}}},
        "has values of type",
    ),
    "pickle": ({"codecs": [{"name": "numcodecs.pickle"}]}, "asks for the codec 'numcodecs.pickle'"),
    "no codecs": ({"codecs": []}, r"has codecs \[\]"),
    "text codecs": ({"codecs": "bytes"}, "has codecs 'bytes'"),
    "inner pickle": (
        {
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {"chunk_shape": [1, 1], "codecs": [{"name": "numcodecs.pickle"}]},
                }
            ]
        },
        "asks for the codec 'numcodecs.pickle'",
    ),
    "negative": ({"shape": [-1, 8]}, r"has shape \[-1, 8\]"),
    "fraction": ({"shape": [1.5, 8]}, r"has shape \[1.5, 8\]"),
    "true": ({"shape": [True, 8]}, r"has shape \[True, 8\]"),
    "text": ({"shape": "large"}, "has shape 'large'"),
    "zero chunk": ({"chunk_grid": grid(0, 8)}, r"has chunk_shape \[0, 8\]"),
    "other axes": ({"chunk_grid": grid(8)}, "has 2 axes but chunks of 1"),
    "rectilinear": ({"chunk_grid": {"name": "rectilinear"}}, "has the chunk grid"),
    "no dims": ({"dimension_names": None}, "names the dims None for 2 axes"),
    "format": ({"zarr_format": 2}, "is not the metadata of a zarr group or array of format 3"),
    "node": ({"node_type": "link"}, "describes a 'link'"),
    "attrs": ({"attributes": [1]}, "has attributes that are not a mapping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_metadata_is_named(name, hostile):
    path, opened = hostile
    fields, message = WRONG[name]
    change(path, **fields)
    with pytest.raises(ni.StoreError, match=f"r.zarr cannot be read as a zarr store: recording/zarr.json {message}"):
        opened()


def test_cut_and_endless_json_is_named(hostile):
    path, opened = hostile
    for key in ("zarr.json", "unit/zarr.json"):
        kept = (path / key).read_bytes()
        for text in (kept[: len(kept) // 2], b"", b"\xff\xfe", b"[" * 100_000):
            (path / key).write_bytes(text)
            with pytest.raises(ni.StoreError, match=rf"r.zarr cannot be read as a zarr store: {key} is not JSON"):
                opened()
        (path / key).write_bytes(kept)


def test_a_header_that_claims_more_than_there_is_allocates_nothing(hostile):
    path, opened = hostile
    for shape, chunks in (([2000] * 3, [2000] * 3), ([2000] * 3, [1] * 3), ([2**62] * 3, [2**62, 1, 1])):
        change(path, shape=shape, chunk_grid=grid(*chunks), dimension_names=["a", "b", "c"])
        tracemalloc.start()
        start = time.perf_counter()
        with pytest.raises(ni.StoreError, match=r"array 'recording' (of shape|claims shape) \("):
            opened()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20e6
        assert time.perf_counter() - start < 30


def test_another_type_or_shape_than_the_bytes_is_an_error(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    kept = (path / "recording" / "zarr.json").read_text()
    for fields in (
        {"data_type": "float32"},
        {"data_type": "complex128"},
        {"shape": [60, 8], "chunk_grid": grid(60, 8)},
        {"shape": [121, 8]},
    ):
        change(path, **fields)
        reseal(path)
        with pytest.raises(ni.StoreError, match="array 'recording' of shape"):
            ni.open(path)
        (path / "recording" / "zarr.json").write_text(kept)


def test_attributes_of_100_mb_are_refused_unread(hostile):
    path, opened = hostile
    change(path, attributes={"big": "x" * 100_000_000})
    if (path / "digests.json").exists():
        reseal(path)
    tracemalloc.start()
    with pytest.raises(ni.StoreError, match=r"recording/zarr.json takes 95 MiB, more than the 16 MiB attrs may"):
        ni.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert opened is not None


@pytest.mark.parametrize(
    "name", ["../evil/zarr.json", "a/../../evil/zarr.json", "/etc/zarr.json", "a\\..\\b/zarr.json"]
)
def test_names_that_lead_out_of_the_store_are_refused(name, recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr")
    (path / "digests.json").write_bytes(Digests({}, {name: (1, 1)}).text())
    with pytest.raises(ni.StoreError, match=r"r.zarr cannot be read as a zarr store: .*, which leads out of the store"):
        ni.open(path)
    with zipfile.ZipFile(tmp_path / "r.zarr.zip", "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')
        archive.writestr(name, "{}")
    with pytest.raises(ni.StoreError, match=r"r.zarr.zip cannot be read as .*, which leads out of the store"):
        ni.open(tmp_path / "r.zarr.zip")
    assert not (tmp_path / "evil").exists()


def test_nothing_is_ever_unpickled(tmp_path):
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (mark,))

    data = pickle.dumps(np.array([Evil()], dtype=object))
    folder = tmp_path / "two.zarr"
    (folder / "x").mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    array = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C",
        "filters": [{"id": "pickle", "protocol": 4}], "compressor": None,
    }  # fmt: skip
    (folder / "x" / ".zarray").write_text(json.dumps(array))
    (folder / "x" / "0").write_bytes(data)
    with pytest.raises(ni.StoreError, match=r"two.zarr cannot be read as a zarr store: there is no zarr.json in it"):
        ni.open(folder)
    saved = io.BytesIO()
    np.save(saved, np.array([1]), allow_pickle=False)
    for name, content in {"pickle.zarr.zip": data, "npy.zarr.zip": saved.getvalue(), "empty.zarr.zip": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ni.StoreError, match=rf"{name} cannot be read as a zarr store: File is not a zip file"):
            ni.open(tmp_path / name)
    assert not mark.exists()


def test_a_cut_or_damaged_zip_is_an_error(recordings, tmp_path):
    path = ni.save(recordings["eeg"], tmp_path / "r.zarr.zip")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ni.StoreError, match="cannot be read as a zarr store"):
        ni.open(path)
    rng = np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            back = ni.open(path, verify=True).load()
        except ni.StoreError:
            continue
        assert back.identical(recordings["eeg"])  # a bit of a date or of an unused field


def test_a_group_that_zarr_knows_but_digests_do_not_is_not_seen(recordings, tmp_path):
    path = ni.save(ni.session({"eeg": recordings["eeg"]}), tmp_path / "s.zarr")
    zarr.open_group(path, mode="r+").create_group("smuggled", attributes={"x": 1})
    assert "smuggled" not in ni.open(path).children
    with pytest.raises(ni.StoreError, match=r"is damaged: smuggled/zarr.json is extra"):
        ni.verify(path)
