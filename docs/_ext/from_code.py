"""What the pages take from the code: tables of figures, datasets and commands; and what they may not forget."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import typer
from sphinx.util import logging

import neurointerp as ni
from neurointerp import analyses, cli, loaders, manifest, plot, report, surrogate, synthetic
from neurointerp.analyses.comparison import _figures, _matched
from neurointerp.loaders import datasets, objects

log = logging.getLogger(__name__)
LINE = 100


def figures() -> str:
    """The figures of a comparison, as its code defines them."""
    lines = ["| figure | definition |", "|---|---|"]
    for figure in _figures.FIGURES:
        text = figure.definition.replace("|", "\\|")
        lines.append(f"| `{figure.name}` | *{figure.family}*. {text} |")
    return "\n".join(lines)


def constants() -> str:
    """The numbers that a comparison is run with."""
    rows = {
        "units, at most (`--max-units`)": _matched.MAX_UNITS,
        "samples, at most (`--max-samples`)": _matched.MAX_SAMPLES,
        "units that vary, at least": _matched.MIN_UNITS,
        "samples, at least": _matched.MIN_SAMPLES,
        "components of semi-NMF": ", ".join(map(str, _figures.RANKS)),
        "components for stability and sparsity": _figures.STABILITY_RANK,
        "random starts for stability": _figures.RESTARTS,
        "components of non-negative CP": ", ".join(map(str, _figures.TENSOR_RANKS)),
        "window for non-negative CP (samples)": _figures.WINDOW,
        "correlation that counts as a connection": _figures.DENSITY_THRESHOLD,
        "smallest shift of a null (part of a segment)": surrogate.MINIMUM_SHIFT,
    }
    lines = ["| | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)


def datasets_table() -> str:
    """The datasets of the manifest."""
    lines = ["| id | | what |", "|---|---|---|"]
    for entry in manifest.datasets().values():
        kind = ("simulated" if entry.simulated else "real") + (", embedded" if entry.embedded else "")
        items = f" Items: {', '.join(f'`{name}`' for name in entry.items)}." if entry.items else ""
        lines.append(f"| `{entry.id}` | {entry.modality}, {kind} | {entry.title}.{items} Licence: {entry.license}. |")
    return "\n".join(lines)


def commands() -> str:
    """The help of every command, as the command line prints it."""
    group = typer.main.get_command(cli.app)
    parts = []
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=f"neurointerp {name}", terminal_width=LINE, max_content_width=LINE)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(parts)


PAGES = {"figures": figures, "constants": constants, "datasets": datasets_table, "commands": commands}


def write(app) -> None:
    """Write each table where a page includes it, and say what the pages leave out."""
    folder = Path(app.srcdir) / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        path, text = folder / f"_{name}.md", make() + "\n"
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    listed = set((Path(app.srcdir) / "api.md").read_text("utf-8").split())
    for stub in folder.glob("neurointerp.*.rst"):  # what autosummary wrote for a name that is gone
        if stub.stem not in listed:
            stub.unlink()
    for name in public():
        if name not in listed:
            log.warning("api.md does not list %s", name)
    fields = (Path(app.srcdir) / "add-a-dataset.md").read_text("utf-8")
    for model in (manifest.Entry, manifest.Item, manifest.Source, manifest.Expected):
        for field in model.model_fields:
            if f"`{field}`" not in fields:
                log.warning("add-a-dataset.md does not explain %s.%s", model.__name__, field)


def public() -> Iterator[str]:
    """Give the dotted name of every function and error that is public."""
    submodules = {"align", "split", "surrogate", "score"}
    yield from (f"neurointerp.{name}" for name in ni.__all__ if callable(getattr(ni, name)))
    yield from (f"neurointerp.{name}.{f}" for name in sorted(submodules) for f in own(f"neurointerp.{name}"))
    for package in (synthetic, plot, report):
        yield from (f"{package.__name__}.{name}" for name in package.__all__)
    for family in analyses.__all__:
        module = importlib.import_module(f"neurointerp.analyses.{family}")
        yield from (f"{module.__name__}.{name}" for name in module.__all__)
    yield "neurointerp.loaders.activations.record"
    others = ("datasets", "files", "objects")
    readers = [f"neurointerp.loaders.{name}" for name in loaders.__all__ if name not in others]
    readers += [
        f"{datasets.__name__}.{found.name}" for found in pkgutil.iter_modules(datasets.__path__) if found.name[0] != "_"
    ]
    yield from (f"{module}.{f}" for module in readers for f in own(module) if f in ("load", "load_session"))
    for name in objects.__all__:
        yield from (f"{objects.__name__}.{name}.{f}" for f in own(f"{objects.__name__}.{name}"))


def own(module: str) -> list[str]:
    """Give the public functions that a module defines itself."""
    found = inspect.getmembers(importlib.import_module(module), inspect.isfunction)
    return [name for name, f in found if f.__module__ == module and not name.startswith("_")]


def setup(app):
    app.connect("builder-inited", write, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
