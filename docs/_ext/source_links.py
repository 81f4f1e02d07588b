"""Links of the pages of source: of names that are public elsewhere Sphinx writes an anchor that is not there."""

import re
from pathlib import Path

BACK = re.compile(r'(href="[./]*api/generated/(neurointerp\.[\w.]+)\.html)#([\w.]+)"')
EMPTY = re.compile(r'<li><a href="namedtuple_\w+\.html">\w+</a></li>\n?')


def mend(app, exception) -> None:
    """Lead every link back to the reference to the anchor of its page, and list no page that was not written."""
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_modules"
    for path in folder.rglob("*.html"):
        text = path.read_text("utf-8")
        mended = BACK.sub(_anchor, text)
        if path == folder / "index.html":
            mended = EMPTY.sub("", mended)
        if mended != text:
            path.write_text(mended, "utf-8")


def _anchor(found: re.Match[str]) -> str:
    page, anchor = found[2], found[3]
    return found[0] if anchor.startswith(page) else f'{found[1]}#{page}"'


def setup(app):
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
