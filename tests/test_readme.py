"""The code on the pages runs: the script of the README, and every Python block of the guides."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GUIDES = [page for page in sorted((ROOT / "docs").glob("*.md")) if BLOCK.search(page.read_text("utf-8"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page):
    return BLOCK.findall(page.read_text("utf-8"))


def test_the_script_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script = blocks(ROOT / "README.md")[0]
    names = {}
    exec(compile(script, "README.md", "exec"), names)
    assert sum(bool(line.strip()) for line in script.splitlines()) <= 15
    assert capsys.readouterr().out.startswith("('component', 'unit') 0.6")
    assert (tmp_path / "both.zarr").is_dir()
    assert names["both"]["summary"].sizes["recording"] == 2


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_blocks_of_a_guide_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, block in enumerate(blocks(page)):
        label = f"{page.name}[{number}]"
        if not block.startswith(">>>"):
            exec(compile(block, label, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block, names, label, label, 0)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0


def test_the_guides_with_code_are_found():
    assert {page.stem for page in GUIDES} >= {"getting_started", "contract", "add-a-loader", "add-an-analysis"}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_relative_links_lead_somewhere(page):
    made = ("gallery/", "tutorials/", "systems/", "api/generated/")  # by the build
    found = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in found if not link.startswith(made) and not (page.parent / link).exists()] == []
