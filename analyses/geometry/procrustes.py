"""Procrustes shape distance: how far apart two systems are once one may be rotated onto the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._inference import inference_variables, inferred
from neurointerp.analyses.geometry._patterns import patterns, table
from neurointerp.analyses.geometry._reduced import spectrum
from neurointerp.backend import namespace
from neurointerp.device import require_device, whole_on
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "geometry.procrustes"


def procrustes(
    recordings: Mapping[str, xr.DataArray], *, whitening: float = 0.0, by: str = "stimulus", join: str = "exact",
    permutations: int = 200, bootstraps: int = 0, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Compare recordings by the best rotation of one onto the other.

    Each recording is centred over stimuli and partially whitened, :math:`X_\phi = X \left((1 - w) I + w (X^\top
    X)^{-1/2}\right)`; the similarity is :math:`\|X_\phi^\top Y_\phi\|_* / (\|X_\phi\| \|Y_\phi\|)`, the largest cosine
    over rotations, and its arc cosine a proper metric: 0 between equals, and within the triangle inequality, so that
    recordings can be clustered, embedded or averaged by it.

    Parameters
    ----------
    recordings
        Name -> recording with the coordinate `by`; samples of one stimulus are averaged. Units may differ in number.
    whitening
        :math:`w`: 0, rotations alone (default), to 1, any linear map. The patterns are first
        scaled to unit length, so that the two terms are on one scale.
    by, join, permutations, bootstraps, seed
        As in `cka`.
    device
        Where torch decomposes and multiplies the patterns (`"cuda"`, `"cpu"`, ...), in float64: all are copied there,
        and refused where three times their size is not free. None (default): numpy, which averages stimuli and draws
        the null in any case.

    Returns
    -------
    xarray.Dataset
        `similarity (recording, recording2)` within [0, 1]; `distance (recording, recording2)` in radians; `p_value`,
        `q_value`, `interval`, `stimuli_left_out` as in `cka`.

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When values are missing (their count), a recording does not vary, or `whitening` is out of range.

    References
    ----------
    Schoenemann (1966), Psychometrika 31:1; Williams, Kunz, Kornblith, Linderman (2021), NeurIPS, arXiv:2110.14739
    (angular distance, eq. 6; partial whitening, eq. 9). Deviation: unit length before whitening.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> values = np.random.default_rng(0).standard_normal((20, 3))
    >>> make = lambda v: ni.recording(v, modality="fmri", units="1", dims=("trial", "unit"),
    ...                               coords={"stimulus": ("trial", np.arange(20))})
    >>> found = geometry.procrustes({"one": make(values), "turned": make(values[:, [2, 0, 1]])}, permutations=0)
    >>> float(found.similarity.sel(recording="one", recording2="turned").round(6))
    1.0
    """
    if not 0 <= whitening <= 1:
        raise AnalysisError(f"{_ANALYSIS}: whitening is {whitening!r}; a number from 0 to 1 is needed")
    require_device(device, None, _ANALYSIS)
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    size = len(found.stimulus)
    values = whole_on(found.values, device, _ANALYSIS)
    whole = [_whitened(v, n, whitening) for v, n in zip(values, found.names, strict=True)]

    def form(at: int, rows: np.ndarray) -> Any:
        if np.bincount(rows, minlength=size).max() == 1:  # all stimuli, renamed: centre and scale stay
            return whole[at][rows, :]
        return _whitened(values[at][rows, :], found.names[at], whitening)

    def similarity(i: int, j: int, rows: np.ndarray, others: np.ndarray) -> float:
        product = form(i, rows).T @ form(j, others)
        return min(float(namespace(product).linalg.svdvals(product).sum()), 1.0)

    estimates = inferred(similarity, len(whole), size, permutations=permutations, bootstraps=bootstraps, seed=seed)
    variables = inference_variables(estimates, found.coords())
    distance = np.arccos(estimates["similarity"])
    np.fill_diagonal(distance, 0.0)
    variables["distance"] = table(distance, found).assign_attrs(units="rad")
    names = {"recording": found.coords()["recording"]}
    variables["stimuli_left_out"] = xr.DataArray(found.left_out, dims="recording", coords=names)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"whitening": whitening, "by": by, "join": join, "permutations": permutations,
                    "bootstraps": bootstraps, "device": device},
        seed=seed,
    )  # fmt: skip


def _whitened(values: Any, name: str, whitening: float) -> Any:
    """Give the centred patterns, on their own principal axes, partially whitened and of unit length."""
    u, s, _ = spectrum(values, name, _ANALYSIS)
    s = s / (s**2).sum() ** 0.5
    scaled = (1 - whitening) * s + whitening
    return u * (scaled / (scaled**2).sum() ** 0.5)
