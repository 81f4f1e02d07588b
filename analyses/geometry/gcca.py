"""Generalised canonical correlation: components that many recordings can each read out of their own units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._patterns import patterns
from neurointerp.analyses.geometry._reduced import spectrum
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "geometry.gcca"


def gcca(
    recordings: Mapping[str, xr.DataArray], rank: int, *, penalty: float = 0.01, by: str = "stimulus",
    join: str = "exact", seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Find the components of the stimuli that all recordings can read out best by a linear map.

    MAXVAR: the leading eigenvectors :math:`G` of :math:`\sum_i X_i (X_i^\top X_i + \lambda_i I)^{-1} X_i^\top`, with
    :math:`\lambda_i` the penalty times the mean squared singular value of :math:`X_i`, centred over stimuli.

    Parameters
    ----------
    recordings
        Name -> recording with the coordinate `by`; samples of one stimulus are averaged. Units may differ.
    rank
        Components, less than the number of stimuli.
    penalty
        0 is plain MAXVAR, which with more units than stimuli reads out anything.
    by, join
        As in `cka`.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `shared (stimulus, component)`, orthonormal, in falling order of `eigenvalue (component)`, the sum over
        recordings of `readout (recording, component)`: the share of the component, 0 to 1, that a recording reads out
        (in sample).

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When values are missing (their count), a recording does not vary, or an option is out of range.

    References
    ----------
    Kettenring (1971), Biometrika 58:433 (MAXVAR); Rastogi, Van Durme, Arora (2015), NAACL (regularised). No deviations.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> one = rng.standard_normal((30, 1))
    >>> make = lambda: ni.recording(np.hstack([one, rng.standard_normal((30, 2))]), modality="fmri", units="1",
    ...                             dims=("trial", "unit"), coords={"stimulus": ("trial", np.arange(30))})
    >>> found = geometry.gcca({"a": make(), "b": make(), "c": make()}, 2)
    >>> (found.eigenvalue.values > 2.9).tolist()
    [True, False]
    """
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    size = len(found.stimulus)
    if not isinstance(rank, int | np.integer) or not 1 <= rank < size or not penalty >= 0:
        raise AnalysisError(
            f"{_ANALYSIS}: rank {rank!r} and penalty {penalty!r}: a whole number from 1 to {size - 1} and a number of "
            "0 or more are needed"
        )
    halves = []
    for values, name in zip(found.values, found.names, strict=True):
        u, s, _ = spectrum(values, name, _ANALYSIS)
        halves.append(u * (s / np.sqrt(s**2 + penalty * (s**2).mean())))
    shared, singular, _ = np.linalg.svd(np.hstack(halves), full_matrices=False)
    if shared.shape[1] < rank:
        raise AnalysisError(f"{_ANALYSIS}: the recordings span {shared.shape[1]} components; rank is {rank}")
    shared = shared[:, :rank]
    shared = shared * np.where(shared[np.abs(shared).argmax(axis=0), np.arange(rank)] < 0, -1.0, 1.0)
    component = {"component": np.arange(rank)}
    readout = [((half.T @ shared) ** 2).sum(axis=0) for half in halves]
    names = {"recording": found.coords()["recording"]}
    return result(
        {
            "shared": xr.DataArray(
                shared, dims=("stimulus", "component"), coords={"stimulus": found.stimulus, **component}
            ),
            "eigenvalue": xr.DataArray(singular[:rank] ** 2, dims="component", coords=component),
            "readout": xr.DataArray(readout, dims=("recording", "component"), coords={**names, **component}),
        },
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"rank": int(rank), "penalty": penalty, "by": by, "join": join},
        seed=seed,
    )  # fmt: skip
