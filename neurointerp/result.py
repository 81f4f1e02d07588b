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
    recording: xr.DataArray | Sequence[xr.DataArray],
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
        What was analysed; its digest goes into the attrs (a list of digests for several).
    parameters
        The arguments of the call, JSON types or numpy scalars.
    seed
        The seed of the call.

    Returns
    -------
    xarray.Dataset
        attrs: `analysis, parameters, recording, modality, system, version, seed, schema_version`.
    """
    from neurointerp.store import digest

    ds = xr.Dataset(dict(variables))
    if isinstance(recording, xr.DataArray):
        about: dict[str, Any] = {"recording": digest(recording), "modality": recording.attrs["modality"]}
    else:
        about = {
            "recording": [digest(rec) for rec in recording],
            "modality": [rec.attrs["modality"] for rec in recording],
        }
    ds.attrs = {
        "analysis": analysis,
        "parameters": plain(dict(parameters)),
        **about,
        "version": version(),
        "seed": int(seed),
        "schema_version": SCHEMA_VERSION,
    }
    check_result(ds)
    return ds


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
