"""Stores read over http with range requests, from an object store, and from fsspec's other file systems."""

import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder with range requests, and counts the bytes it sends."""

    sent = 0

    def do_GET(self):
        try:
            data = Path(self.translate_path(self.path)).read_bytes()
        except OSError:
            return self.send_error(404)
        size, wanted = len(data), re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            first, last = wanted.groups()
            start = int(first) if first else size - int(last)
            stop = min(int(last) + 1, size) if first and last else size
            data = data[start:stop]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        type(self).sent += len(data)
        return None

    def do_HEAD(self):
        try:
            size = Path(self.translate_path(self.path)).stat().st_size
        except OSError:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def http(tmp_path):
    """Serve tmp_path, and give its URL."""
    Handler.sent = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def large():
    """Give a recording of 8 MB, in several chunks, with a name that a URL must quote."""
    values = np.random.default_rng(0).standard_normal((2000, 1000)).astype(np.float32)
    coords = {"a b#c?": ("unit", np.arange(1000)), "token": ("time", [f"t{i}" for i in range(2000)])}
    return ni.recording(values, modality="activations", units="1", time=np.arange(2000), coords=coords, name="mlp")


@pytest.mark.parametrize(("name", "options"), [("r.zarr", {}), ("r.zarr.zip", {}), ("r.zarr", {"shards": True})])
def test_http_reads_what_is_asked_for_and_no_more(name, options, large, http, tmp_path):
    ni.save(large, tmp_path / name, **options)
    lazy = ni.open(f"{http}/{name}")
    assert Handler.sent < 1e6  # labels and metadata
    np.testing.assert_array_equal(lazy[:10, :10].values, large.values[:10, :10])
    assert Handler.sent < (6e6 if name == "r.zarr" else 7e6)
    assert ni.open(f"{http}/{name}").identical(large)
    assert ni.verify(f"{http}/{name}") == ni.verify(tmp_path / name)
    assert ni.digest(ni.open(f"{http}/{name}")) == ni.digest(large)


def test_damage_is_found_over_http(large, http, tmp_path):
    path = ni.save(large, tmp_path / "r.zarr")
    chunks = sorted((path / "recording" / "c").rglob("*"))
    first = next(chunk for chunk in chunks if chunk.is_file())
    key = first.relative_to(path).as_posix()
    data = bytearray(first.read_bytes())
    data[5] ^= 1
    first.write_bytes(data)
    with pytest.raises(ni.StoreError, match=f"r.zarr is damaged: {key} is altered"):
        ni.verify(f"{http}/r.zarr")
    with pytest.raises(ni.StoreError, match=f"the chunk {key} was altered since it was saved"):
        ni.open(f"{http}/r.zarr").load()
    first.unlink()
    with pytest.raises(ni.StoreError, match=f"r.zarr is damaged: {key} is missing"):
        ni.verify(f"{http}/r.zarr")
    with pytest.raises(ni.StoreError, match=f"the chunk {key} is missing"):
        ni.open(f"{http}/r.zarr").load()


def test_what_is_not_there_is_one_clear_error(http, tmp_path):
    for name in ("none.zarr", "none.zarr.zip"):
        with pytest.raises(ni.StoreError, match=rf"{http}/{name} cannot be read as a zarr store: "):
            ni.open(f"{http}/{name}")
    with pytest.raises(ni.StoreError, match=r"nowhere://x.zarr cannot be read: .*pip install 'neurointerp\[dask\]'"):
        ni.open("nowhere://x.zarr")
    with pytest.raises(ni.StoreError, match="cannot be read as a zarr store"):
        ni.open("http://127.0.0.1:9/r.zarr")


def copied(path, fs, root):
    """Copy a store, as a user copies it to an object store."""
    for file in path.rglob("*"):
        if file.is_file():
            fs.pipe_file(f"{root}/{file.relative_to(path).as_posix()}", file.read_bytes())


def check_object_store(url, fs, root, rec, tmp_path, **options):
    path = ni.save(rec, tmp_path / "r.zarr", shards=True)
    copied(path, fs, root)
    assert ni.open(url, **options).identical(rec)
    assert ni.verify(url, **options) == ni.verify(path)
    fs.pipe_file(f"{root}/stray.bin", b"x")
    with pytest.raises(ni.StoreError, match=r"is damaged: stray.bin is extra"):
        ni.verify(url, **options)
    fs.rm_file(f"{root}/stray.bin")
    fs.rm_file(f"{root}/token/c/0")
    with pytest.raises(ni.StoreError, match=r"(is damaged: |the chunk )token/c/0 is missing"):
        ni.open(url, verify=True, **options)
    fs.rm_file(f"{root}/digests.json")
    with pytest.raises(ni.StoreError, match=r"its digests.json is missing"):
        ni.open(url, **options)


def test_fsspec_file_systems(large, tmp_path):
    import fsspec

    fs = fsspec.filesystem("memory")
    try:
        check_object_store("memory://bucket/r.zarr", fs, "/bucket/r.zarr", large, tmp_path)
    finally:
        fs.rm("/bucket", recursive=True)
    assert ni.open(f"file://{ni.save(large, tmp_path / 'f.zarr')}").identical(large)


def check_one_request_a_chunk(rec, fs, options, tmp_path, monkeypatch):
    from aiobotocore.client import AioBaseClient

    copied(ni.save(rec, tmp_path / "s.zarr"), fs, "bucket/s.zarr")
    lazy, asked, send = ni.open("s3://bucket/s.zarr", storage_options=options), [], AioBaseClient._make_api_call

    async def counting(self, name, request):
        asked.append((name, request["Key"]))
        return await send(self, name, request)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", counting)
    assert lazy.identical(rec)
    assert {name for name, _ in asked} == {"GetObject"}
    assert len(set(asked)) == len(asked) >= 2  # and none for its size


def test_s3(large, tmp_path, monkeypatch):
    server_of = pytest.importorskip("moto.server", reason="no moto[server]")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"endpoint_url": f"http://{host}:{port}"}
        fs = s3fs.S3FileSystem(**options)
        fs.mkdir("bucket")
        check_object_store("s3://bucket/r.zarr", fs, "bucket/r.zarr", large, tmp_path, storage_options=options)
        check_one_request_a_chunk(large, fs, options, tmp_path, monkeypatch)
    finally:
        server.stop()
