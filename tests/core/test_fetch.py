import functools
import hashlib
import http.server
import threading

import pytest

import neurointerp as ni
from neurointerp.fetch import fetch

TEXT = b"six hundred recordings"
SHA = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def served(tmp_path):
    """Serve a folder that holds `data.txt` over HTTP on the loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "data.txt").write_bytes(TEXT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_download_is_verified_and_cached(served, tmp_path):
    path = fetch(f"{served}/data.txt", SHA, len(TEXT))
    assert path.read_bytes() == TEXT
    assert fetch("http://127.0.0.1:9/data.txt", SHA) == path  # a second call needs no server


def test_a_download_with_another_hash_is_refused_and_not_kept(served, tmp_path):
    with pytest.raises(ni.ManifestError, match=r"data.txt: what was downloaded does not have the sha256"):
        fetch(f"{served}/data.txt", "0" * 64)
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_a_missing_file_says_what_to_do(served, tmp_path):
    with pytest.raises(ni.ManifestError, match=r"cannot be downloaded .*; without a network pass mirror=DIR"):
        fetch(f"{served}/absent.txt", SHA)
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_the_mirror_comes_before_the_network(tmp_path, monkeypatch):
    deep = tmp_path / "mirror" / "deep"
    deep.mkdir(parents=True)
    (deep / "data.txt").write_bytes(TEXT)
    (tmp_path / "mirror" / "data.txt").write_bytes(b"another file of that name")
    for place in (tmp_path / "mirror", (tmp_path / "mirror").as_uri()):
        assert fetch("https://example.invalid/x/data.txt", SHA, len(TEXT), mirror=place) == deep / "data.txt"
    monkeypatch.setenv("NEUROINTERP_MIRROR", str(tmp_path / "mirror"))
    assert fetch("mirror:data.txt", SHA) == deep / "data.txt"


def test_a_mirror_finds_files_by_their_hash(tmp_path):
    (tmp_path / "hashed").mkdir()
    (tmp_path / "hashed" / SHA).write_bytes(TEXT)
    assert fetch("https://example.invalid/data.txt", SHA, mirror=tmp_path / "hashed").name == SHA


def test_a_mirror_may_be_an_fsspec_url(served):
    path = fetch("https://example.invalid/data.txt", SHA, mirror=served)
    assert path.read_bytes() == TEXT


def test_a_mirror_with_another_file_of_that_name_is_an_error(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "data.txt").write_bytes(b"not it")
    with pytest.raises(ni.ManifestError, match=r"data.txt: the manifest says sha256 .* none of 1 in the mirror"):
        fetch("https://example.invalid/data.txt", SHA, mirror=tmp_path / "m")
    with pytest.raises(ni.ManifestError, match="is not a folder"):
        fetch("https://example.invalid/data.txt", SHA, mirror=tmp_path / "absent")


def test_file_urls_and_package_files_are_used_in_place(tmp_path):
    (tmp_path / "a file.txt").write_bytes(TEXT)
    url = (tmp_path / "a file.txt").as_uri()
    assert fetch(url, SHA) == tmp_path / "a file.txt"
    with pytest.raises(ni.ManifestError, match="the manifest says"):
        fetch(url, "0" * 64)
    with pytest.raises(ni.ManifestError, match="no file at"):
        fetch((tmp_path / "absent").as_uri(), SHA)
    assert fetch("package:neurointerp/py.typed", hashlib.sha256(b"").hexdigest()).name == "py.typed"
    with pytest.raises(ni.ManifestError, match="'no_such_library' that carries this file is not installed"):
        fetch("package:no_such_library/data.csv", SHA)


def test_a_derived_file_needs_a_mirror():
    with pytest.raises(ni.ManifestError, match="derived file without a public address and no mirror is set"):
        fetch("mirror:labels.csv", SHA)
