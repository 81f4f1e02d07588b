"""The one way to build a result, and its check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import xarray as xr

from neurointerp.errors import AnalysisError
from neurointerp.recordings import version
from neurointerp.schema import SCHEMA_VERSION, is_in_memory, is_json, plain

REQUIRED = ("analysis", "parameters", "recording", "version", "seed", "schema_version")
THREADED_BYTES = 2**18
"""Size from which a digest is worth a thread."""


@dataclass(frozen=True)
class Pending:
    """A recording whose digest is being computed beside the analysis of it."""

    recording: xr.DataArray
    digest: Future[str] | None


def pending(recording: xr.DataArray) -> Pending:
    """Begin the digest of a recording in a thread of its own, for `result` to wait for.

    It runs at some 5 GB/s on one core and leaves the others, and Python, free: an analysis that takes longer does not
    wait for it. Nothing is remembered from one call to the next, since values may be changed in
    place between them. A small recording, or one that is not in memory, is left to `result`.
    """
    from neurointerp.store import digest

    if recording.nbytes < THREADED_BYTES or not is_in_memory(recording):
        return Pending(recording, None)
    pool = ThreadPoolExecutor(1)  # one for each call: a pool that is kept does not survive a fork
    future = pool.submit(digest, recording)
    pool.shutdown(wait=False)
    return Pending(recording, future)


def result(
    variables: Mapping[str, Any],
    *,
    analysis: str,
    recording: xr.DataArray | xr.Dataset | Pending | Sequence[xr.DataArray | xr.Dataset],
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
        what that one was computed from. `pending(recording)` where the digest was begun before the analysis.
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
    # Labels that a user assigned to a recording may be fixed-width, which would cut later ones.
    fixed = {name: coord.astype(object) for name, coord in ds.coords.items() if coord.dtype.kind in "UT"}
    ds = ds.assign_coords(fixed) if fixed else ds
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


def _about(analysed: xr.DataArray | xr.Dataset | Pending) -> tuple[Any, Any, Any]:
    """Give the digest and modality of what was analysed, and the attrs that lead back to its raw files."""
    from neurointerp.store import digest

    if isinstance(analysed, xr.Dataset) and "recording" in analysed.attrs:
        kept = analysed.attrs.get("provenance", {}).get("recording", {})
        return analysed.attrs["recording"], analysed.attrs.get("modality", "unknown"), kept
    rec, begun = (analysed.recording, analysed.digest) if isinstance(analysed, Pending) else (analysed, None)
    kept = {key: rec.attrs[key] for key in ("system", "source", "history") if key in rec.attrs}
    return begun.result() if begun else digest(rec), rec.attrs.get("modality", "unknown"), kept


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
