"""Drawings as small SVG images that live inside the page."""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
DIGITS = 2
"""Kept after the point of a place, in points: a hundredth of one is below what any screen shows."""

LONG = 3000
"""Letters of a path from which on a tenth of a point is kept: a line of hundreds of samples."""

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""What neither XML nor UTF-8 can hold."""


def image(draw: Callable[[Figure], object], size: tuple[float, float], *, left: float, right: float, top: float) -> str:
    """Draw on a new figure and give it as the data URI of an SVG.

    Parameters
    ----------
    draw
        Draws on the figure it is given.
    size
        Width and height in inches.
    left, right
        Margins beside the axes, as shares of the width.
    top
        Margin above them in inches.

    Returns
    -------
    str
        `data:image/svg+xml,...`, the same bytes for the same drawing; none of its letters is one of `"<>&`, so that it
        can stand between double quotes in HTML as it is.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # labels come from data: a dollar sign in one is no formula
    quiet: Any = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "neurointerp", "font.size": 8.0,
             "axes.labelsize": 8.0, "axes.titlesize": 8.0, "xtick.labelsize": 7.0, "ytick.labelsize": 7.0,
             "axes.linewidth": 0.7}  # fmt: skip
    with matplotlib.rc_context(quiet), warnings.catch_warnings():
        # letters stay letters in an SVG: the reader's fonts draw what matplotlib's has not
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure = Figure(figsize=size)
        bottom = 0.42 / size[1]
        figure.subplots_adjust(wspace=0.3, left=left, right=1 - right, bottom=bottom, top=1 - top / size[1])
        draw(figure)
        for axes in figure.axes:
            for picture in axes.images:
                if picture.get_interpolation() == "nearest":
                    picture.set_interpolation("none")  # one dot of the image per value, enlarged by the browser
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml," + quote(small(buffer.getvalue()), safe=" '!$()*+,-./:;=?@[]^_`{|}~")


def small(svg: str) -> str:
    """Leave out of an SVG what does not change how it looks: comments, names, digits, spaces, colours."""
    svg = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", svg[svg.index("<svg") :])
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(<text style=\"[^\"]*?)font-family: [^;\"]*;? ?", r"\1", svg)  # said once for all, below
    svg = svg.replace("*{stroke-linejoin", f"text{{font-family:{FONT}}}*{{stroke-linejoin", 1)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"| id="[A-Za-z.0-9]+_\d+"', "", svg)
    svg = re.sub(r"data:image/png;base64,([^\"]*)", lambda found: _few_colours(found[1]), svg)
    svg = re.sub(r"<[^>]*>", lambda found: _tidy(found[0]), svg)
    return re.sub(r">\s+<", "><", svg).strip()


def _tidy(tag: str) -> str:
    """Shorten the attributes of one tag, and quote them by the sign that need not be written as three in an address."""
    tag = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: _rounded(found[0]), tag)
    tag = re.sub(r' style="[^"]*"', lambda found: re.sub(r"([:;]) ", r"\1", found[0]), tag)
    return tag if "'" in tag else tag.replace('"', "'")


def _rounded(numbers: str) -> str:
    numbers = numbers.replace("\n", "")
    if len(numbers) > LONG and not re.search(r"[CQZz]", numbers):
        return _steps(numbers)
    numbers = re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.{DIGITS}f}", numbers)
    return re.sub(r" ?([MLCQZz]) ?", r"\1", numbers) if numbers.startswith(" d=") else numbers


def _steps(path: str) -> str:
    """Write a line of many points as steps of tenths of a point from one to the next."""
    out, at = [], (0, 0)
    for letter, *place in re.findall(r"([ML]) (\S+) ([^\s\"]+)", path):
        x, y = (round(10 * float(one)) for one in place)
        step = (x, y) if letter == "M" else (x - at[0], y - at[1])
        texts = [re.sub(r"^(-?)0\.", r"\1.", f"{one / 10:g}") for one in step]
        out.append((letter if letter == "M" else "l") + ("" if texts[1].startswith("-") else " ").join(texts))
        at = (x, y)
    return f' d="{"".join(out)}"'


def _few_colours(packed: str) -> str:
    """Write an opaque image of at most 256 colours with a table of them: the same dots in a quarter of the bytes."""
    from PIL import Image

    raw = base64.b64decode(packed)
    with Image.open(io.BytesIO(raw)) as held:
        dots = np.asarray(held.convert("RGBA"))
    colours, index = np.unique(dots.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) <= 256 and (colours[:, 3] == 255).all():
        image = Image.fromarray(index.reshape(dots.shape[:2]).astype(np.uint8))
        image.putpalette(colours[:, :3].astype(np.uint8).tobytes())
        buffer = io.BytesIO()
        image.save(buffer, format="png", optimize=True)
        raw = min(raw, buffer.getvalue(), key=len)
    return "data:image/png;base64," + base64.b64encode(raw).decode()
