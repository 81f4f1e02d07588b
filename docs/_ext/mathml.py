"""Formulas as MathML, written at build time: the pages load no script for them."""

import re
from html import unescape
from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

SPACE = "http://www.w3.org/1998/Math/MathML"
ACCENTS = "\u02c6\u00af\u02d9\u02dc"
ElementTree.register_namespace("", SPACE)


def mathml(node, block):
    """Translate a formula; docutils sets the index of an accented letter under it, here it goes beside."""
    text = re.sub(
        r"&(?!(?:amp|lt|gt|quot);)\w+;", lambda name: unescape(name[0]), tex2mathml(node.astext(), as_block=block)
    )
    formula = ElementTree.fromstring(text)
    for part in list(formula.iter(f"{{{SPACE}}}munderover")):
        letter, index, over = part
        if over.text in ACCENTS:
            part.tag = f"{{{SPACE}}}msub"
            part[:] = [ElementTree.Element(f"{{{SPACE}}}mover", accent="true"), index]
            part[0].extend([letter, over])
    return ElementTree.tostring(formula, "unicode")


def inline(self, node):
    self.body.append(mathml(node, False))
    raise nodes.SkipNode


def block(self, node):
    self.body.append(f'<div class="math">{mathml(node, True)}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
