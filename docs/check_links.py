"""Check every link, anchor, picture and download of the built pages, and the form of every address outside.

`python docs/check_links.py docs/_build/html` prints one line for each mistake and exits 1 if there is any. It opens no
address: what lies outside is checked for its form, and for two spellings of one place.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "object": "data", "iframe": "src"}
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?", re.IGNORECASE)
DOI = re.compile(r"/10\.\d{4,9}/\S+")


class Page(HTMLParser):
    """The anchors of a page, and what it links to as (line, tag, address)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[int, str, str]] = []
        self.silent: list[int] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        address = given.get(LINKS.get(tag, ""))
        if address is not None:
            self.links.append((self.getpos()[0], tag, address))
        if tag == "img" and given.get("alt") is None:
            self.silent.append(self.getpos()[0])


def mistakes(root: Path) -> Iterator[str]:
    """Give a line for each mistake in the pages under a folder."""
    root = root.resolve()
    pages = {
        path: Page(path.read_text("utf-8")) for path in sorted(root.rglob("*.html")) if path.parent.name != "_static"
    }
    if not pages:
        yield f"{root}: no pages"
    outside: dict[str, str] = {}
    for path, page in pages.items():
        where = path.relative_to(root).as_posix()
        yield from (f"{where}:{line}: a picture without alt text" for line in page.silent)
        for line, tag, address in page.links:
            found = _mistake(address, path, root, pages)
            if found:
                yield f"{where}:{line}: <{tag}> {address!r}: {found}"
            elif urlsplit(address).scheme in ("http", "https"):
                place = address.partition("#")[0].partition("://")[2].rstrip("/").lower()
                other = outside.setdefault(place, address.partition("#")[0])
                if other != address.partition("#")[0]:
                    yield f"{where}:{line}: {address!r} is written {other!r} elsewhere"


def _mistake(address: str, path: Path, root: Path, pages: dict[Path, Page]) -> str:
    """Say what is wrong with one address; empty where nothing is."""
    if not address.strip() or address != address.strip() or re.search(r"\s", address):
        return "is empty or holds white space"
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return _outside(parts.hostname or "", parts.path, address)
    if parts.scheme in ("mailto", "data"):
        return ""
    if parts.scheme or address.startswith("/"):
        return "leads to this machine or to another scheme"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_relative_to(root):
        return "leads out of the pages"
    if not target.is_file():
        return "there is no such file"
    if not target.stat().st_size:
        return "the file is empty"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"{target.name} has no such anchor"
    return ""


def _outside(host: str, path: str, address: str) -> str:
    if not HOST.fullmatch(host):
        return "has no proper host"
    if "://" in address.partition("://")[2] and host not in ("web.archive.org",):
        return "holds two addresses"
    if address.endswith((".", ",", ";", "'", '"', ">")) or (address.endswith(")") and "(" not in address):
        return "ends in punctuation"
    if host in ("doi.org", "dx.doi.org") and not DOI.fullmatch(path):
        return "is no DOI"
    return ""


def main() -> int:
    """Print the mistakes of the folder that is named."""
    found = list(mistakes(Path(sys.argv[1])))
    print("\n".join(found) if found else f"{sys.argv[1]}: every link leads somewhere")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
