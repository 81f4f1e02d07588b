"""The one way to build a result, and its check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION, is_json, plain

REQUIRED = ("analysis", "parameters", "recording", "version", "seed", "schema_version")


def result(
    variables: Mapping[str, Any],
    *,
    analysis: str,
    recording: xr.DataArray | xr.Dataset | Sequence[xr.DataArray],
    parameters: Mapping[str, Any],
    seed: int,
) -> xr.Dataset:
    """Build the result of an analysis.

    Parameters
    ----------
    variables
        Variables by role (`features(component, unit)`, ...), as DataArrays or scalars.
    analysis
        `family.method`.
    recording
        What was analysed; its digest goes into the attrs (a list of digests for several). Of an earlier result,
        what that one was computed from.
    parameters
        The arguments of the call, JSON types or numpy scalars.
    seed
        The seed of the call.

    Returns
    -------
    xarray.Dataset
        attrs: `analysis, parameters, recording, modality, version, seed, schema_version`.
    """
    several = isinstance(recording, Sequence)
    about = [_about(one) for one in (recording if isinstance(recording, Sequence) else [recording])]
    digests, modalities, origins = ([one[i] for one in about] for i in range(3))
    names = [f"recording {i}" for i in range(len(origins))] if several else ["recording"]
    ds = xr.Dataset(dict(variables))
    ds.attrs = {
        "analysis": analysis,
        "parameters": plain(dict(parameters)),
        "recording": digests if several else digests[0],
        "modality": modalities if several else modalities[0],
        "provenance": dict(zip(names, origins, strict=True)),
        "version": version(),
        "seed": int(seed),
        "schema_version": SCHEMA_VERSION,
    }
    check_result(ds)
    return ds


def _about(analysed: xr.DataArray | xr.Dataset) -> tuple[Any, Any, Any]:
    """Give the digest and modality of what was analysed, and the attrs that lead back to its raw files."""
    from neurointerp.store import digest

    if isinstance(analysed, xr.Dataset) and "recording" in analysed.attrs:
        kept = analysed.attrs.get("provenance", {}).get("recording", {})
        return analysed.attrs["recording"], analysed.attrs.get("modality", "unknown"), kept
    kept = {key: analysed.attrs[key] for key in ("system", "source", "history") if key in analysed.attrs}
    return digest(analysed), analysed.attrs.get("modality", "unknown"), kept


def check_result(result: xr.Dataset) -> None:
    """Check that a result carries the attrs and the plain labels that the design asks for.

    Raises
    ------
    AnalysisError
        One message that lists every violation.
    """
    found = [f"attr {name!r} is missing" for name in REQUIRED if name not in result.attrs]
    found += [f"attr {name!r} is not JSON" for name, value in result.attrs.items() if not is_json(value)]
    for name, variable in result.variables.items():
        if variable.dtype.kind not in "biufOUT":
            found.append(f"{name!r} has dtype {variable.dtype}")
        elif variable.dtype.kind == "U":
            found.append(f"{name!r} holds fixed-width strings: object dtype is needed")
    if any(index.nlevels > 1 for index in result.xindexes.to_pandas_indexes().values()):
        found.append("a MultiIndex cannot be stored")
    if found:
        raise AnalysisError("not a result: " + "; ".join(found))
