"""Tutorials run without a mirror too, their notebooks hold the same code, and each published system has its page."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LESSONS = sorted((DOCS / "lessons").glob("plot_*.py"))


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def notebook(path, folder):
    """Give the notebook that the build makes of a tutorial."""
    pytest.importorskip("sphinx_gallery", reason="sphinx-gallery is not installed")
    from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
    from sphinx_gallery.notebook import jupyter_notebook
    from sphinx_gallery.py_source_parser import split_code_and_text_blocks

    _, blocks = split_code_and_text_blocks(path)
    made = jupyter_notebook(blocks, dict(DEFAULT_GALLERY_CONF), str(folder))
    return json.loads(json.dumps(made))  # as it is written


def code_of(held):
    return ["".join(cell["source"]) for cell in held["cells"] if cell["cell_type"] == "code"]


def test_there_is_a_tutorial_for_every_kind_and_a_study():
    assert [path.stem.split("_", 2)[2] for path in LESSONS] == [
        "language_model", "spikes", "calcium", "eeg", "fmri", "study", "meg"
    ]  # fmt: skip
    listed = (DOCS / "learn.md").read_text("utf-8")
    for path in LESSONS:
        for suffix in (".rst", ".ipynb", ".py"):
            assert f"tutorials/{path.stem}{suffix}" in listed


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_holds_the_code_and_the_text_of_its_tutorial(path, tmp_path):
    held = notebook(path, tmp_path)
    assert held["nbformat"] == 4
    assert held["metadata"]["kernelspec"]["language"] == "python"
    code = code_of(held)
    for cell in code:
        compile(cell, path.name, "exec")
    words = re.sub(r"\s", "", path.read_text("utf-8"))
    assert all(re.sub(r"\s", "", line) in words for cell in code for line in cell.splitlines())
    texts = ["".join(cell["source"]) for cell in held["cells"] if cell["cell_type"] == "markdown"]
    assert texts[0].lstrip().startswith("# ")
    assert len(texts) >= 4


def test_the_cells_of_a_notebook_run_in_order(tmp_path, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("nitime", reason="nitime, which carries the spikes, is not installed")
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, cell in enumerate(code_of(notebook(DOCS / "lessons" / "plot_2_spikes.py", tmp_path))):
        exec(compile(cell, f"cell {number}", "exec"), names)
    matplotlib.pyplot.close("all")
    told = re.search(r"the rate peaks (\S+) ms after the sound, at (\d+) Hz; chance: (\d+) Hz", capsys.readouterr().out)
    assert 0 < float(told[1]) < 10
    assert int(told[2]) > 2 * int(told[3])


@pytest.mark.slow
@pytest.mark.parametrize("with_mirror", [False, True], ids=["carried", "real"])
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_tutorial_runs_with_and_without_a_mirror(path, with_mirror, tmp_path, request):
    environment = {**os.environ, "MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    environment.pop("NEUROINTERP_MIRROR", None)
    if with_mirror:
        environment["NEUROINTERP_MIRROR"] = str(request.getfixturevalue("mirror"))
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout


@pytest.fixture(scope="module")
def pages():
    """Give the extension that writes a page for each published system."""
    for library in ("sphinx", "numpydoc"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    return loaded(DOCS / "_ext" / "system_pages.py")


@pytest.fixture(scope="module")
def public():
    return [name for name in (DOCS / "api.md").read_text("utf-8").split() if name.startswith("neurointerp.")]


def test_every_system_has_a_page_that_says_what_the_code_says(pages, public, caplog):
    guide = (DOCS / "systems.md").read_text("utf-8")
    for system in pages.SYSTEMS:
        text = pages.page(system, public, guide)
        head = text.partition("## What there is")[0]
        assert system.key in head, system.slug  # the lead itself cites the publication
        lead = pages.found(f"neurointerp.{system.lead}")
        cited = next(line for line in lead.__doc__.splitlines() if system.key in line)
        assert cited.strip() in " ".join(head.split("\n")) or cited.strip() in head
        assert f"`~neurointerp.{system.lead}`" in text
        for reason in pages.unmet(system):
            assert reason in text
    assert not caplog.records


def test_bounds_that_are_not_reached_are_told(pages):
    by_slug = {system.slug: system for system in pages.SYSTEMS}
    assert any("test_models_hatchling" in reason for reason in pages.unmet(by_slug["dragon-hatchling"]))
    text = pages.page(by_slug["elm-neuron"], ["neurointerp.models.elm.ELM"], (DOCS / "systems.md").read_text("utf-8"))
    assert "**Not met**" in text  # what the guide says of it stands on its page


def test_a_system_that_nothing_cites_is_warned_of(pages, public, monkeypatch):
    said = []
    monkeypatch.setattr(pages.log, "warning", lambda message, *given: said.append(message % given))
    lost = pages.System("lost", "Lost", "0000.00000", "models.gpt.GPT", "nothing", ("core/test_no_such",))
    pages.page(lost, public, "")
    assert [one.split(":")[0] for one in said] == ["Lost", "Lost"]
    guide = "# A\n\n## One two\n\ntext\n\nChecked: it.\n\n- met\n\n## Next\n\nChecked: no."
    assert pages.section(guide, "one-two") == ["Checked: it.", "", "- met"]


WITHOUT = {
    *(f"neurointerp.split.{name}" for name in ("block_labels", "group_labels", "groups", "moments", "pairs")),
    *(f"neurointerp.surrogate.{name}" for name in ("circular_shift_matrix", "permuted_matrix")),
    *(f"neurointerp.plot.{name}" for name in ("attention_overlay", "band_scores", "evidence_map", "field_outlines")),
    *(f"neurointerp.plot.{name}" for name in ("figure_strips", "motif_strip", "score_course", "score_map", "slices")),
    *(
        f"neurointerp.plot.{name}"
        for name in ("brain_map", "difference_matrix", "evidence_bands", "sensitivity_curves")
    ),
    "neurointerp.plot.time_generalisation_matrix",
    *(f"neurointerp.report.{name}" for name in ("render", "require_libraries", "table", "write")),
}
"""Public functions without an example of their own: kernels on plain arrays, and pictures of results that take seconds
to compute, which the gallery shows. Loaders of published datasets read files that are not at hand."""


def test_every_public_function_has_an_example_that_runs():
    """The examples themselves are run with the tests, as doctests."""
    import importlib

    for library in ("sphinx", "typer"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    names = list(loaded(DOCS / "_ext" / "from_code.py").public())
    assert len(names) > 200
    lacking = set()
    for name in names:
        module, _, last = name.rpartition(".")
        held = getattr(importlib.import_module(module), last)
        if ">>>" not in (held.__doc__ or "") and not (isinstance(held, type) and issubclass(held, Exception)):
            lacking.add(name)
    published = {name for name in lacking if name.startswith("neurointerp.loaders.datasets.")}
    assert lacking - published <= WITHOUT
    assert set(names) >= WITHOUT
