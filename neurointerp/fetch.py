"""Getting the file that a sha256 names: from a mirror, an installed library, a path or the network."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from neurointerp.errors import ManifestError


def cache_folder() -> Path:
    """Give the folder for fetched files and homogenised stores: `NEUROINTERP_CACHE`, or the user's cache."""
    import platformdirs

    return Path(os.environ.get("NEUROINTERP_CACHE") or platformdirs.user_cache_dir("neurointerp"))


def fetch(
    url: str, sha256: str | None, size: int | None = None, *, mirror: str | os.PathLike[str] | None = None
) -> Path:
    """Give the path of a local file with this sha256.

    Parameters
    ----------
    url
        http(s), `file://`, `package:<library>/<path>` or `mirror:<name>`.
    sha256
        Of the file's content; None skips the check.
    size
        Its bytes, used to pass over other files of the same name in a mirror.
    mirror
        Folder or fsspec URL, searched first: for a file named by the sha256, of the url's name, or (a folder,
        with `size`) of that size; whichever has the sha256.
        Default: the environment variable `NEUROINTERP_MIRROR`.

    Returns
    -------
    pathlib.Path
        The verified file, in place where it is local already.

    Raises
    ------
    ManifestError
        When it is nowhere to be had, or its content is not what the sha256 says. Nothing is kept then.
    """
    if url.startswith("package:"):
        return _verified(_packaged(url), sha256, url)
    name = unquote(Path(urlparse(url).path).name) or url
    place = os.fspath(mirror) if mirror is not None else os.environ.get("NEUROINTERP_MIRROR", "")
    if place:
        found = _mirrored(place, name, sha256, size)
        if found is not None:
            return found
    if url.startswith("file://"):
        return _verified(Path(url2pathname(urlparse(url).path)), sha256, url)
    if url.startswith("mirror:"):
        where = f"the mirror {place} has none with sha256 {sha256}" if place else "no mirror is set"
        raise ManifestError(f"{name} is a derived file without a public address and {where}; pass mirror=DIR")
    return _downloaded(url, name, sha256)


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verified(path: Path, sha256: str | None, label: str) -> Path:
    if not path.is_file():
        raise ManifestError(f"{label}: no file at {path}")
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise ManifestError(f"{label}: sha256 of {path} is {found}, the manifest says {sha256}")
    return path


def _packaged(url: str) -> Path:
    library, _, path = url.removeprefix("package:").partition("/")
    spec = find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        extra = " (pip install 'neurointerp[demo]')" if library == "nitime" else ""
        raise ManifestError(f"{url}: the library {library!r} that carries this file is not installed{extra}")
    return Path(spec.submodule_search_locations[0]) / path


def _mirrored(place: str, name: str, sha256: str | None, size: int | None) -> Path | None:
    if "://" in place and not place.startswith("file://"):
        return _remote_mirror(place, name, sha256)
    root = Path(url2pathname(urlparse(place).path)) if place.startswith("file://") else Path(place)
    if not root.is_dir():
        raise ManifestError(f"the mirror {place} is not a folder")
    named, sized = _index(root)
    candidates: list[Path] = [*named.get(sha256 or "", []), *named.get(name, [])]
    for candidate in [*candidates, *sized.get(size or -1, [])]:
        same_size = size is None or candidate.stat().st_size == size
        if same_size and (sha256 is None or sha256_of(candidate) == sha256):
            return candidate
    if candidates:
        raise ManifestError(
            f"{name}: the manifest says sha256 {sha256} and {size} bytes; none of {len(candidates)} in the mirror "
            f"has them ({candidates[0]}: {sha256_of(candidates[0])}, {candidates[0].stat().st_size} bytes)"
        )
    return None


@cache
def _index(root: Path) -> tuple[dict[str, list[Path]], dict[int, list[Path]]]:
    """List the files below a folder by name and by size."""
    named: dict[str, list[Path]] = {}
    sized: dict[int, list[Path]] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        named.setdefault(path.name, []).append(path)
        sized.setdefault(path.stat().st_size, []).append(path)
    return named, sized


def _remote_mirror(place: str, name: str, sha256: str | None) -> Path | None:
    """Look for `<place>/<sha256>`, then `<place>/<name>`, on any file system that fsspec knows."""
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(place)
    except ImportError as error:
        raise ManifestError(f"the mirror {place} needs fsspec: pip install 'neurointerp[dask]' ({error})") from error
    target = _cached_path(name, sha256)
    part = target.with_name(f".{target.name}.partial")
    for remote in (f"{root.rstrip('/')}/{candidate}" for candidate in (sha256, name) if candidate):
        try:
            if not files.exists(remote):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(remote, str(part))
            if sha256 is None or sha256_of(part) == sha256:
                part.replace(target)
                return target
        except OSError as error:
            raise ManifestError(f"the mirror {place} cannot be read: {error}") from error
        finally:
            part.unlink(missing_ok=True)
    return None


def _downloaded(url: str, name: str, sha256: str | None) -> Path:
    import pooch

    target = _cached_path(name, sha256)
    if target.is_file() and (sha256 is None or sha256_of(target) == sha256):
        return target
    try:
        path = pooch.retrieve(url, f"sha256:{sha256}" if sha256 else None, name, target.parent, progressbar=_progress())
    except ValueError as error:  # pooch: the hash of what came differs; it has removed the file
        shutil.rmtree(target.parent, ignore_errors=True)
        raise ManifestError(f"{url}: what was downloaded does not have the sha256 {sha256}") from error
    except Exception as error:  # requests' errors of many kinds
        shutil.rmtree(target.parent, ignore_errors=True)
        raise ManifestError(
            f"{url} cannot be downloaded ({type(error).__name__}); without a network pass mirror=DIR, "
            f"a folder that holds {name}"
        ) from error
    return Path(path)


def _cached_path(name: str, sha256: str | None) -> Path:
    return cache_folder() / "raw" / (sha256 or "unverified") / name


def _progress() -> bool:
    """Show a bar on a terminal where tqdm is installed; pooch draws it on stderr."""
    import sys

    return sys.stderr.isatty() and find_spec("tqdm") is not None
