"""A page for each published system, made from the docstrings that cite it, the tests of it, and `systems.md`.

The list of systems is here and nowhere else. What belongs to one is found: every public object whose `References` hold
the key. So a page says what the code says, and cannot fall behind it.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from numpydoc.docscrape import NumpyDocString
from sphinx.util import logging

log = logging.getLogger(__name__)
TESTS = Path(__file__).parents[2] / "tests"


@dataclass(frozen=True)
class System:
    """A published system: what its pages are called, what cites it, where it is tested and told of at length."""

    slug: str
    title: str
    key: str
    lead: str
    about: str
    tests: tuple[str, ...]
    guide: str = ""


SYSTEMS = (
    System("elm-neuron", "The ELM neuron", "2306.16922", "models.elm.ELM",
           "one recurrent cell that stands in for a detailed neuron",
           ("core/test_models_elm",), "systems.md#the-elm-neuron"),
    System("dragon-hatchling", "The Dragon Hatchling", "2509.26507", "models.hatchling.BDH",
           "a language model of sparse positive neurons whose memory is a matrix of synapses",
           ("core/test_models_hatchling",), "systems.md#the-dragon-hatchling"),
    System("separable-network", "A separable network for trials", "Cui, ", "models.separable.Separable",
           "a compact network for EEG that shows its evidence without gradients",
           ("core/test_models_separable", "analyses/decoding/test_separable"), "systems.md#a-separable-network"),
    System("what-when-reservoir", "What and when, from a spiking reservoir", "2510.14382", "models.reservoir.learn",
           "a reservoir of spiking neurons whose readouts say what comes and when", ("core/test_reservoir",),
           "spiking.md"),
    System("semi-nmf-features", "Features by semi-NMF", "2506.10920", "analyses.factorization.semi_nmf",
           "signed groups of units, how much of each is present, and whether they mean something",
           ("analyses/factorization/test_semi_nmf", "analyses/factorization/test_hierarchical", "analyses/features/"),
           "features.md"),
    System("dynamic-connectome", "The dynamic functional connectome", "2402.14102", "analyses.connectivity.affinity",
           "which units change together, when, and in which animals",
           ("analyses/connectivity/test_dynamic",), "connectivity.md"),
    System("transformer-encoder", "The transformer brain encoder", "2505.17329", "analyses.encoding.attention_encoder",
           "a query per region that attends over the places of an image",
           ("analyses/encoding/test_readout", "core/test_models_readouts"), "encoding.md"),
    System("visual-readouts", "Readouts of visual maps", "2410.14031", "analyses.encoding.readout",
           "what a readout may know about space, from one point to a mask the image moves",
           ("analyses/encoding/test_readout", "core/test_models_readouts"), "encoding.md"),
    System("representation-bias", "Representation bias", "2405.05847", "analyses.geometry.feature_variance",
           "how far a likeness is owed to variance instead of computation",
           ("analyses/geometry/test_feature_variance", "analyses/geometry/test_representation_bias"), "geometry.md"),
    System("homogenised-worms", "One order and clock for worms", "2411.12091",
           "loaders.datasets.worm_traces.homogenise",
           "calcium of many laboratories on 300 named neurons, and connectomes beside it",
           ("loaders/test_datasets_worm",), "loaders_calcium.md"),
)  # fmt: skip


def cited(system: System, names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Give (name, first line, what it says of the publication) of each public object that cites a system."""
    for name in names:
        held = found(name)
        text = getattr(held, "__doc__", None) or ""
        if system.key not in text:
            continue
        parts = NumpyDocString(text)
        told = "\n".join(parts["References"]) or "\n".join(parts["Notes"])
        if system.key in told:
            yield name, " ".join(parts["Summary"]), told


def found(name: str) -> object:
    """Give the object that a dotted name stands for, or None."""
    module, _, last = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), last, None)
    except ModuleNotFoundError:
        return None


def unmet(system: System) -> list[str]:
    """Give the bounds that are not reached, as the tests that expect to fail put it."""
    reasons = []
    for start in system.tests:
        files = sorted(TESTS.glob(f"{start}*.py"))
        if not files:
            log.warning("%s: no test is called tests/%s*", system.title, start)
        for path in files:
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if name in ("pytest.xfail", "pytest.mark.xfail") and isinstance(node, ast.Call):
                    given = [*node.args, *(one.value for one in node.keywords if one.arg == "reason")]
                    reasons += [f"{text} (`{path.name}`)" for one in given if (text := told_by(one))]
    return list(dict.fromkeys(reasons))


def told_by(node: ast.expr) -> str:
    """Give the text of a literal or an f-string; what is measured when the test runs stands as an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        return " ".join("".join(map(str, parts)).split())
    return ""


def section(text: str, anchor: str) -> list[str]:
    """Give the paragraphs of a section of `systems.md` that say what was checked, in Markdown."""
    heads = {one[1].strip().lower().replace(" ", "-"): one for one in re.finditer(r"^## (.*)$", text, re.MULTILINE)}
    if anchor not in heads:
        return []
    body = re.split(r"^## ", text[heads[anchor].end() :], maxsplit=1, flags=re.MULTILINE)[0]
    body = re.sub(r"^```.*?^```$", "", body, flags=re.DOTALL | re.MULTILINE)
    start = body.find("\nChecked")
    return [] if start < 0 else body[start:].strip().splitlines()


def page(system: System, names: list[str], guide: str) -> str:
    """Write the page of a system, in Markdown."""
    first = f"neurointerp.{system.lead}"
    objects = sorted(cited(system, names), key=lambda one: one[0] != first)
    if not objects or objects[0][0] != first:
        log.warning("%s: %s is not public or does not cite %s", system.title, first, system.key)
    lead = objects[:1]
    lines = [
        f"# {system.title}",
        "",
        f"*{system.about[0].upper()}{system.about[1:]}.* This page is made from the code.",
        "",
    ]
    if system.guide:
        file, _, anchor = system.guide.partition("#")
        lines += [f"How to use it, with code: [the guide](../{file}{'#' + anchor if anchor else ''}).", ""]
    lines += ["## What was published, and what is different here", ""]
    for _, _, told in lead:
        lines += ["```{eval-rst}", told, "```", ""]
    lines += ["## What there is", "", "| part | what it does |", "|---|---|"]
    lines += [f"| {{py:obj}}`~{name}` | {summary.replace('|', chr(92) + '|')} |" for name, summary, _ in objects]
    lines += [""]
    others = [(name, told) for name, _, told in objects[1:] if told not in {one for _, _, one in lead}]
    if others:
        lines += ["## What single parts add to that", ""]
        for told in dict.fromkeys(text for _, text in others):
            who = ", ".join(f"{{py:obj}}`~{name}`" for name, text in others if text == told)
            lines += [f"{who}:", "", "```{eval-rst}", told, "```", ""]
    told = section(guide, system.guide.partition("#")[2])
    if told:
        lines += ["## Checked, and not met", "", *told, ""]
    missed = unmet(system)
    if missed:
        lines += ["## Bounds that its tests hold and that are not reached", ""]
        lines += ["As the tests put it; an ellipsis stands for what is measured when they run.", ""]
        lines += [*(f"- {reason}" for reason in missed), ""]
    lines += ["## Where it is tested", "", *(f"- `tests/{start}*`" for start in system.tests), ""]
    return "\n".join(lines)


def write(app) -> None:
    """Write a page for each system, and the table that `systems.md` may include."""
    source = Path(app.srcdir)
    names = [name for name in (source / "api.md").read_text("utf-8").split() if name.startswith("neurointerp.")]
    guide = (source / "systems.md").read_text("utf-8")
    folder = source / "systems"
    folder.mkdir(exist_ok=True)
    table = ["| system | what it is |", "|---|---|"]
    table += [f"| [{system.title}](systems/{system.slug}.md) | {system.about} |" for system in SYSTEMS]
    made = {folder / f"{system.slug}.md": page(system, names, guide) for system in SYSTEMS}
    made[source / "api" / "generated" / "_systems.md"] = "\n".join(table) + "\n"
    for path in set(folder.glob("*.md")) - set(made):
        path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app):
    app.connect("builder-inited", write, priority=110)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
