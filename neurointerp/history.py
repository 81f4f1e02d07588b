"""Where an object comes from: every step back to the sha256 of the raw files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from neurointerp.errors import AnalysisError

ABOUT = ("system", "subject", "session", "license", "citation")


@dataclass(frozen=True)
class Provenance:
    """The chain of one object; `str` prints it.

    Attributes
    ----------
    name, kind
        What it is called, and `recording`, `result` or `session`; `input ...` where its own steps are not known.
    raw
        Raw files, each with `source` and `sha256`, as far as they are on record; of all that was joined.
    steps
        In order: `function`, `version`, `parameters` (with the seed); `inputs`, digests of what else went in, and
        `raw`, the files those came from.
    about
        System, licence, citation; of what a result was computed from also its `digest`.
    inputs
        The chains of what it was made from, by name.
    """

    name: str
    kind: str
    raw: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Provenance] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Give the chain as JSON types."""
        return {
            "name": self.name, "kind": self.kind, "raw": [dict(file) for file in self.raw],
            "steps": [dict(step) for step in self.steps], "about": dict(self.about),
            "inputs": {name: chain.as_dict() for name, chain in self.inputs.items()},
        }  # fmt: skip

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        lines = [f"{self.name}: {self.kind}"]
        lines += [f"  {key}: {_short(value)}" for key, value in self.about.items()]
        if self.kind == "recording" and not self.raw:
            lines.append(f"  raw: {'none, simulated' if self.about.get('system') == 'simulated' else 'not on record'}")
        for file in self.raw:
            lines.append(f"  raw: {file.get('source', 'address not on record')}")
            lines.append(f"       sha256 {file.get('sha256', 'not on record')}")
        for number, step in enumerate(self.steps, 1):
            lines.append(f"  {number}. {step.get('function', '?')} (neurointerp {step.get('version', '?')})")
            lines += [f"     {key} = {_short(value)}" for key, value in step.get("parameters", {}).items()]
            lines += [f"     {key}: digest {value}" for key, value in step.get("inputs", {}).items()]
        for chain in self.inputs.values():
            lines += [f"  {line}" for line in chain._lines()]
        return lines


def provenance(
    obj: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    of: xr.DataArray | Mapping[str, xr.DataArray] | None = None,
) -> Provenance:
    """Give the chain of steps from the raw files to a recording, a result, a session or a comparison.

    Parameters
    ----------
    obj
        Anything of neurointerp's, in memory or opened.
    of
        For a result: the recording, or recordings by name, that it was computed from. Their digests must be those
        that the result states; their chains become its `inputs`.

    Returns
    -------
    Provenance
        `print` it, or read its fields. Raw files that were never fetched by a manifest have no sha256 on record,
        and simulated recordings no raw file: the text says so.

    Raises
    ------
    AnalysisError
        When `obj` carries no history, or `of` is not what a result was computed from.

    Examples
    --------
    >>> import neurointerp as ni
    >>> rec = ni.surrogate.circular_shift(ni.load("demo-calcium"), seed=3)
    >>> [step["function"] for step in ni.provenance(rec).steps]
    ['synthetic.calcium_ensembles', 'load', 'surrogate.circular_shift']
    """
    if isinstance(obj, xr.DataTree):
        return _of_result(obj.attrs, of) if "analysis" in obj.attrs else _of_session(obj)
    if isinstance(obj, xr.DataArray) and isinstance(obj.attrs.get("history"), list):
        return _of_recording(str(obj.name or "recording"), obj.attrs)
    if isinstance(obj, xr.Dataset) and "analysis" in obj.attrs:
        return _of_result(obj.attrs, of)
    raise AnalysisError(
        f"provenance: this {type(obj).__name__} carries no history; a recording, a result, a session or a comparison "
        "is needed"
    )


def raw_files(attrs: Mapping[Any, Any]) -> list[dict[str, str]]:
    """Give each raw file that a recording's attrs lead to, as far as known by `source` and `sha256`.

    Files of its own, from `source` and the `load` in its `history`; then those of what it was joined with.
    """
    steps = attrs.get("history", [])
    hashes = [sha for step in steps for sha in _listed(step.get("parameters", {}).get("sha256"))]
    addresses = [address for address in _listed(attrs.get("source")) if address != "simulated"]
    if len(hashes) == len(addresses):
        own = [{"source": address, "sha256": sha} for address, sha in zip(addresses, hashes, strict=True)]
    else:
        own = [*({"source": address} for address in addresses), *({"sha256": sha} for sha in hashes)]
    joined = [dict(file) for step in steps for files in step.get("raw", {}).values() for file in files]
    known: dict[str, dict[str, str]] = {}
    for file in (*own, *joined):
        key = file.get("sha256") or file["source"]
        known[key] = {**known.get(key, {}), **file}
    return list(known.values())


def _of_recording(name: str, attrs: Mapping[Any, Any]) -> Provenance:
    steps = tuple(attrs.get("history", ()))
    about = {key: attrs[key] for key in ABOUT if key in attrs}
    return Provenance(name, "recording", tuple(raw_files(attrs)), steps, about)


def _of_result(attrs: Mapping[Any, Any], of: Any) -> Provenance:
    parameters = {**attrs.get("parameters", {}), "seed": attrs.get("seed")}
    step = {"function": attrs["analysis"], "version": attrs.get("version"), "parameters": parameters}
    stated = attrs.get("recording", [])
    digests = {f"recording {i}": one for i, one in enumerate(stated)} if isinstance(stated, list) else stated
    digests = digests if isinstance(digests, Mapping) else {"recording": digests}
    return Provenance(str(attrs["analysis"]), "result", steps=(step,), inputs=_inputs(digests, attrs, of))


def _inputs(digests: Mapping[str, str], attrs: Mapping[Any, Any], of: Any) -> dict[str, Provenance]:
    """Give the chain of each recording that a result was computed from: given, or kept in the result."""
    if of is not None:
        from neurointerp.store import digest

        named = of if isinstance(of, Mapping) else {str(of.name or "recording"): of}
        found = {name: digest(rec) for name, rec in named.items()}
        if sorted(found.values()) != sorted(digests.values()):
            raise AnalysisError(
                f"provenance: the result was computed from {', '.join(map(_brief, digests.values()))}; "
                f"given are {', '.join(f'{name} {_brief(sha)}' for name, sha in found.items())}"
            )
        return {name: _with_digest(_of_recording(name, rec.attrs), found[name]) for name, rec in named.items()}
    kept = attrs.get("provenance", {})
    return {
        name: _with_digest(
            _of_recording(name, kept[name]) if name in kept else Provenance(name, "input, its steps not on record"),
            sha,
        )
        for name, sha in digests.items()
    }


def _with_digest(chain: Provenance, sha: str) -> Provenance:
    return Provenance(chain.name, chain.kind, chain.raw, chain.steps, {"digest": sha, **chain.about}, chain.inputs)


def _of_session(tree: xr.DataTree) -> Provenance:
    found = {
        str(node.name): _of_recording(str(node.name), node["recording"].attrs)
        for node in tree.subtree
        if "recording" in node.data_vars and isinstance(node["recording"].attrs.get("history"), list)
    }
    if not found:
        raise AnalysisError("provenance: this DataTree holds no recordings and no analysis; open what save wrote")
    about = {key: tree.attrs[key] for key in ("dataset", "item", "source", *ABOUT) if key in tree.attrs}
    raw = raw_files({"source": about.pop("source", None), "history": [{"parameters": dict(tree.attrs)}]})
    return Provenance(str(tree.name or tree.attrs.get("dataset", "session")), "session", tuple(raw), (), about, found)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _brief(sha: str) -> str:
    return str(sha)[:12]


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
