"""What the words of a command stand for: recordings, analyses and their options."""

from __future__ import annotations

import difflib
import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurointerp.errors import AnalysisError, LoaderError

if TYPE_CHECKING:
    import xarray as xr


def source_of(
    text: str, *, mirror: str | None = None, modality: str | None = None, units: str | None = None,
    rate: float | None = None, bin_width: float | None = None, entities: dict[str, str] | None = None,
) -> xr.DataArray:  # fmt: skip
    """Give the recording that an argument names: a dataset (`id` or `id:item`), a store or a raw file."""
    from neurointerp import manifest
    from neurointerp.loaders import raw

    if text.partition(":")[0] in manifest.datasets():
        return dataset_of(text, mirror)
    if not Path(text).exists():
        if Path(text).suffix or "/" in text:
            raise LoaderError(f"{text!r} is neither a dataset nor a path: no such file or folder")
        near = difflib.get_close_matches(text, list(manifest.datasets()), n=3, cutoff=0.4)
        meant = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise LoaderError(f"{text!r} is neither a dataset nor a path{meant} `neurointerp datasets` lists the datasets")
    return raw.load(
        text, modality=modality, units=units, sampling_rate=rate, bin_width=bin_width, entities=entities
    )  # fmt: skip


def only(modality: list[str] | None) -> str | None:
    """Give the modality of the one source of a command."""
    if modality and len(modality) > 1:
        raise LoaderError(f"{len(modality)} --modality for one source: give one")
    return modality[0] if modality else None


def entities_of(
    subject: str | None, session: str | None, task: str | None, run: str | None, others: list[str] | None
) -> dict[str, str]:
    """Give the entities of BIDS that the options of a command name."""
    bad = [pair for pair in others or [] if not all(pair.partition("="))]
    if bad:
        raise LoaderError(f"--entity {bad[0]!r}: name=value is needed, such as space=MNI152NLin6Asym")
    named = {"subject": subject, "session": session, "task": task, "run": run}
    given = {name: value for name, value in named.items() if value is not None}
    return given | {pair.partition("=")[0]: pair.partition("=")[2] for pair in others or []}


def dataset_of(text: str, mirror: str | None, manifest_file: Path | None = None) -> xr.DataArray:
    from neurointerp import manifest

    name, _, item = text.partition(":")
    return manifest.load(name, item or None, mirror=mirror, manifest=manifest_file)


def several(
    ids: list[str], mirror: str | None, modality: list[str], units: str | None, rate: float | None,
    bin_width: float | None,
) -> dict[str, xr.DataArray]:  # fmt: skip
    from neurointerp import manifest

    files = [text for text in ids if text.partition(":")[0] not in manifest.datasets() and ".zarr" not in text]
    if len(modality) > 1 and len(modality) != len(files):
        raise LoaderError(f"{len(modality)} --modality for {len(files)} raw files: give one for all, or one each")
    given = modality * len(files) if len(modality) == 1 else modality
    kinds = dict(zip(files, given, strict=True)) if given else {}
    out: dict[str, xr.DataArray] = {}
    for text in ids:
        rec = source_of(text, mirror=mirror, modality=kinds.get(text), units=units, rate=rate, bin_width=bin_width)
        free = itertools.chain([str(rec.name)], (f"{rec.name}-{number}" for number in itertools.count(len(out))))
        out[next(name for name in free if name not in out)] = rec
    return out


def families() -> tuple[str, ...]:
    """Give the families of analyses."""
    from neurointerp import analyses

    return tuple(analyses.__all__)


def methods_of(family: str) -> list[dict[str, Any]]:
    """Give a row for each method of a family that runs on recordings alone: what it takes, needs and does."""
    from importlib import import_module

    if family not in families():
        raise AnalysisError(f"no family of analyses {family!r}; there are: {', '.join(families())}")
    module = import_module(f"neurointerp.analyses.{family}")
    rows = []
    for name in module.__all__:
        method = getattr(module, name)
        taken = recordings_of(method)
        if not taken:
            continue
        options = [one.name for one in _needed(method)[len(taken) :]]
        rows.append(
            {"method": f"{family}.{name}", "recordings": [f"{one}..." if many else one for one, many in taken],
             "options": options, "what": (method.__doc__ or "").strip().splitlines()[0]}
        )  # fmt: skip
    return rows


def recordings_of(method: Any) -> list[tuple[str, bool]]:
    """Give the recordings that a method takes: the name of each, and whether it may be many, a mapping by name.

    None, where it takes anything else first, such as results, or gives no single result.
    """
    if not inspect.isfunction(method) or "DataTree" in str(inspect.signature(method).return_annotation):
        return []
    taken = itertools.takewhile(_is_recording, _needed(method))
    return [(one.name, str(one.annotation).startswith("Mapping")) for one in taken]


def _needed(method: Any) -> list[inspect.Parameter]:
    given = inspect.signature(method).parameters.values()
    return [one for one in given if one.default is one.empty and one.kind is not one.VAR_KEYWORD]


def _is_recording(parameter: inspect.Parameter) -> bool:
    return parameter.name == "recording" or "xr.DataArray" in str(parameter.annotation)


def arguments_of(name: str, method: Any, sources: list[str], mirror: str | None) -> list[Any]:
    """Load the sources of `analyze` as its method takes them: those of a mapping under their names, the rest alone."""
    taken = recordings_of(method)
    if not taken:
        instead = "run `neurointerp compare`" if name == "comparison.compare" else f"call analyses.{name} in Python"
        raise AnalysisError(
            f"{name} does not run on recordings alone: {instead}; `neurointerp methods` has those that do"
        )
    after = len(taken) - 1
    one_each = after and len(sources) == len(taken)  # features as a single recording, which its bands may part
    if one_each or not any(many for _, many in taken):
        most = sum(map(_is_recording, inspect.signature(method).parameters.values()))
        if len(sources) > most:
            raise AnalysisError(
                f"{name} takes {most} recording{'s' if most > 1 else ''}: {len(sources)} are too many; "
                "`neurointerp methods` has those that take many"
            )
        return [source_of(source, mirror=mirror) for source in sources]
    together, alone = sources[: len(sources) - after], sources[len(sources) - after :]
    if len(together) < 2:
        wanted = " ".join(f"{one.upper()}..." if many else one.upper() for one, many in taken)
        raise AnalysisError(f"{name} takes {wanted}, recordings beside each other: {len(sources)} are too few")
    named = several(together, mirror, [], None, None, None)
    return [named, *(source_of(source, mirror=mirror) for source in alone)]


def method_of(name: str) -> Any:
    from importlib import import_module

    family, _, method = name.partition(".")
    if family not in families():
        known = [row["method"] for one in families() for row in methods_of(one)]
        near = [one for one in known if one.partition(".")[2] == family.replace("-", "_")]
        near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise AnalysisError(
            f"no family of analyses {family!r}; {meant}methods are named family.method: see `neurointerp methods`"
        )
    module = import_module(f"neurointerp.analyses.{family}")
    if method not in module.__all__:
        near = difflib.get_close_matches(method.replace("-", "_"), module.__all__, n=1)
        meant = f"did you mean {family}.{near[0]}? " if near and method else ""
        raise AnalysisError(
            f"{family} has no method {method!r}; it has: {', '.join(module.__all__)}; {meant}"
            f"`neurointerp methods {family}` tells of them"
        )
    return getattr(module, method)


def require_options(name: str, method: Any, options: dict[str, Any]) -> None:
    """Refuse, before anything is read, where an option that a method needs is not there."""
    missing = [one.name for one in _needed(method)[len(recordings_of(method)) :] if one.name not in options]
    if missing and recordings_of(method):
        wanted = " ".join(f"--option {one}=VALUE" for one in missing)
        raise AnalysisError(
            f"{name} needs {wanted}; `neurointerp methods {name.partition('.')[0]}` lists what each needs"
        )


def options_of(pairs: list[str] | None) -> dict[str, Any]:
    import yaml

    bad = [pair for pair in pairs or [] if "=" not in pair]
    if bad:
        raise AnalysisError(f"--option {bad[0]!r}: name=value is needed, such as rank=4")
    return {pair.partition("=")[0]: yaml.safe_load(pair.partition("=")[2]) for pair in pairs or []}
