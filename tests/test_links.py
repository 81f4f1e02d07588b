"""The check of the built pages finds what it is there to find, and lets pass what is right."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links = loaded(ROOT / "docs" / "check_links.py")


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "page.html").write_text(
        '<h1 id="top">Page</h1><a name="old"></a><a href="../index.html#a">up</a>'
    )
    (tmp_path / "sub" / "index.html").write_text("<p>an index</p>")
    (tmp_path / "a picture.png").write_bytes(b"png")
    (tmp_path / "empty.zip").write_bytes(b"")
    return tmp_path


def test_what_is_right_passes(site):
    (site / "index.html").write_text(
        '<p id="a"><a href="sub/page.html">1</a> <a href="sub/page.html#old">2</a> <a href="sub/">3</a>'
        '<a href="#a">4</a>'
        '<img src="a%20picture.png" alt=""><a href="https://doi.org/10.1038/s41586-020-2649-2">5</a>'
        '<a href="https://en.wikipedia.org/wiki/Alpha_(letter)">6</a><a href="mailto:a@b.org">7</a></p>'
    )
    assert list(links.mistakes(site)) == []


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ('<a href="gone.html">x</a>', "there is no such file"),
        ('<a href="sub/page.html#gone">x</a>', "page.html has no such anchor"),
        ('<a href="#gone">x</a>', "index.html has no such anchor"),
        ('<img src="gone.png" alt="x">', "there is no such file"),
        ('<img src="a%20picture.png">', "a picture without alt text"),
        ('<a href="empty.zip" download>x</a>', "the file is empty"),
        ('<a href="../outside.html">x</a>', "leads out of the pages"),
        ('<a href="file:///home/me/page.html">x</a>', "leads to this machine"),
        ('<a href="/home/me/page.html">x</a>', "leads to this machine"),
        ('<a href="">x</a>', "is empty"),
        ('<a href="https://one.org/a b">x</a>', "white space"),
        ('<a href="https://localhost/page">x</a>', "has no proper host"),
        ('<a href="https://one.org/page.">x</a>', "ends in punctuation"),
        ('<a href="https://one.org/https://two.org">x</a>', "holds two addresses"),
        ('<a href="https://doi.org/s41586">x</a>', "is no DOI"),
        (
            '<a href="https://one.org/a">x</a><a href="http://one.org/a/">y</a>',
            "is written 'https://one.org/a' elsewhere",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(site, html, message):
    (site / "index.html").write_text(f'<p id="a">\n{html}</p>')
    (found,) = links.mistakes(site)
    assert re.match(r"index\.html:2: ", found), found
    assert message in found


def test_a_folder_without_pages_is_no_success(tmp_path):
    (found,) = links.mistakes(tmp_path)
    assert "no pages" in found


def test_links_from_pages_of_source_lead_to_their_object(tmp_path):
    extension = loaded(ROOT / "docs" / "_ext" / "source_links.py")
    wrong = '<a href="../api/generated/neurointerp.manifest.Source.html#neurointerp.Source">'
    right = '<a href="../api/generated/neurointerp.models.gpt.GPT.html#neurointerp.models.gpt.GPT.forward">'
    assert extension.BACK.sub(extension._anchor, wrong).endswith('Source.html#neurointerp.manifest.Source">')
    assert extension.BACK.sub(extension._anchor, right) == right
