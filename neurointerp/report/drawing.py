"""Drawings as small SVG images that live inside the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "DejaVu Sans, Verdana, Arial, sans-serif"
DIGITS = 2
"""Kept after the point of a place, in points: a hundredth of one is below what any screen shows."""

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
        `data:image/svg+xml,...`, the same bytes for the same drawing.
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
    return "data:image/svg+xml," + quote(small(buffer.getvalue()), safe=" !$&()*+,-./:;=?@[]^_`{|}~")


def small(svg: str) -> str:
    """Leave out of an SVG what does not change how it looks: comments, metadata, digits, line breaks."""
    svg = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", svg[svg.index("<svg") :])
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", f"font-family: {FONT}", svg)
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", rf"\1 {FONT}", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: _rounded(found[0]), svg)
    return re.sub(r">\s+<", "><", svg).strip()


def _rounded(numbers: str) -> str:
    return re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.{DIGITS}f}", numbers).replace("\n", "")
