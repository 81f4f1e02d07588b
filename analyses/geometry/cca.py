"""Canonical correlations of two systems over the same stimuli: SVCCA, projection-weighted and regularised CCA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._inference import inference_variables, inferred
from neurointerp.analyses.geometry._patterns import patterns
from neurointerp.analyses.geometry._reduced import Spectrum, spectrum
from neurointerp.backend import namespace, to_numpy
from neurointerp.device import require_device, whole_on
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "geometry.cca"
WEIGHTINGS = ("mean", "projection")


def cca(
    recordings: Mapping[str, xr.DataArray], *, variance: float = 0.99, penalty: float = 0.0,
    weighting: Literal["mean", "projection"] = "mean", by: str = "stimulus", join: str = "exact",
    permutations: int = 200, bootstraps: int = 0, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Compare recordings by the canonical correlations of what their units span.

    The patterns of each recording are centred over stimuli and reduced to the leading principal components that hold
    the share `variance` of its variance, :math:`X = U S V^\top`. Canonical correlations :math:`\rho_k` are the singular
    values of :math:`D_x U_x^\top U_y D_y`, with :math:`D = S (S^2 + \lambda\, \overline{S^2})^{-1/2}`.
    Their mean is SVCCA (`variance=0.99`); weighted by how much of the first recording each direction accounts for
    it is PWCCA (`weighting="projection"`); with `penalty` it is ridge-regularised CCA, for few stimuli.

    Parameters
    ----------
    recordings
        Name -> recording with the coordinate `by`; samples of one stimulus are averaged.
    variance
        Share of each recording's variance to keep, in (0, 1].
    penalty
        :math:`\lambda` in means of the squared singular values kept.
    weighting
        `mean` over the correlations, or `projection`: :math:`\alpha_k = \sum_j |h_k^\top x_j|` with :math:`h_k` the
        canonical variates of `recording` and :math:`x_j` its units (as kept).
    by, join, permutations, bootstraps, seed
        As in `cka`. In a bootstrap draw recordings are reduced again.
    device
        Where torch decomposes and multiplies the patterns (`"cuda"`, `"cpu"`, ...), in float64: all are copied there,
        and refused where three times their size is not free. None (default): numpy, which averages stimuli and draws
        the null in any case.

    Returns
    -------
    xarray.Dataset
        `similarity (recording, recording2)` within [0, 1], symmetric for `mean` only, with a penalty below 1 also of a
        recording with itself; `canonical (recording,
        recording2, component)`, the correlations in falling order (NaN beyond their number); `components (recording)`,
        how many were kept; `p_value`, `q_value`, `interval`, `stimuli_left_out` as in `cka`.

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When values are missing (their count), a recording does not vary, an option is out of range; and, without a
        penalty, when two recordings keep so many components for so few stimuli that some correlations are 1 whatever
        the data.

    References
    ----------
    Hotelling (1936), Biometrika 28:321; Raghu, Gilmer, Yosinski, Sohl-Dickstein (2017), NeurIPS, arXiv:1706.05806
    (SVCCA); Morcos, Raghu, Bengio (2018), NeurIPS, arXiv:1806.05759 (PWCCA); Vinod (1976), J Econometrics 4:147
    (ridge). Deviation: PWCCA is weighted by the units as kept after the reduction to `variance`.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> rng = np.random.default_rng(0)
    >>> values, mixing = rng.standard_normal((20, 3)), rng.standard_normal((3, 3))
    >>> make = lambda v: ni.recording(v, modality="fmri", units="1", dims=("trial", "unit"),
    ...                               coords={"stimulus": ("trial", np.arange(20))})
    >>> found = geometry.cca({"one": make(values), "mixed": make(values @ mixing)}, variance=1.0, permutations=0)
    >>> found.canonical.sel(recording="one", recording2="mixed").values.round(6)
    array([1., 1., 1.])
    """
    if not 0 < variance <= 1 or not penalty >= 0 or weighting not in WEIGHTINGS:
        raise AnalysisError(
            f"{_ANALYSIS}: variance {variance!r}, penalty {penalty!r}, weighting {weighting!r}: a share in (0, 1], a "
            f"number of 0 or more, and {' or '.join(WEIGHTINGS)} are needed"
        )
    require_device(device, None, _ANALYSIS)
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    size, count = len(found.stimulus), len(found.names)
    values = whole_on(found.values, device, _ANALYSIS)
    bases = [_reduced(v, n, variance) for v, n in zip(values, found.names, strict=True)]
    kept = [len(s) for _, s, _ in bases]
    widest = sorted(kept)[-2:]
    if penalty == 0 and sum(widest) > size - 1:
        raise AnalysisError(
            f"{_ANALYSIS}: two recordings keep {widest[0]} and {widest[1]} components for {size} {by}, so that "
            f"{min(sum(widest) - size + 1, widest[0])} correlations are 1 whatever the data; lower variance=, or give "
            "a penalty="
        )

    def basis(at: int, rows: np.ndarray) -> Spectrum:
        if np.bincount(rows, minlength=size).max() == 1:  # all stimuli, renamed: the span stays
            return bases[at][0][rows, :], *bases[at][1:]
        return _reduced(values[at][rows, :], found.names[at], variance)

    def similarity(i: int, j: int, rows: np.ndarray, others: np.ndarray) -> float:
        return _similarity(basis(i, rows), basis(j, others), penalty, weighting)[0]

    variables = inference_variables(
        inferred(similarity, count, size, permutations=permutations, bootstraps=bootstraps, seed=seed,
                 symmetric=weighting == "mean"),
        found.coords(),
    )  # fmt: skip
    canonical = np.full((count, count, max(kept)), np.nan)
    for i in range(count):
        for j in range(count):
            rho = _similarity(bases[i], bases[j], penalty, weighting)[1]
            canonical[i, j, : len(rho)] = rho
    names = {"recording": found.coords()["recording"]}
    variables["canonical"] = xr.DataArray(
        canonical, dims=("recording", "recording2", "component"), coords=found.coords()
    )
    variables["components"] = xr.DataArray(kept, dims="recording", coords=names)
    variables["stimuli_left_out"] = xr.DataArray(found.left_out, dims="recording", coords=names)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"variance": variance, "penalty": penalty, "weighting": weighting, "by": by, "join": join,
                    "permutations": permutations, "bootstraps": bootstraps, "device": device},
        seed=seed,
    )  # fmt: skip


def _reduced(values: Any, name: str, variance: float) -> Spectrum:
    u, s, v = spectrum(values, name, _ANALYSIS)
    power = to_numpy(s) ** 2
    share = np.cumsum(power) / power.sum()
    keep = len(s) if variance == 1 else int(np.searchsorted(share, variance - 1e-12) + 1)
    return u[:, :keep], s[:keep], v[:, :keep]


def _similarity(one: Spectrum, other: Spectrum, penalty: float, weighting: str) -> tuple[float, np.ndarray]:
    """Give the summary and the canonical correlations of two reduced recordings."""
    xp = namespace(one[0])
    shrunk = [s / (s**2 + penalty * (s**2).mean()) ** 0.5 for _, s, _ in (one, other)]
    left, found, _ = xp.linalg.svd((shrunk[0][:, None] * (one[0].T @ other[0])) * shrunk[1], full_matrices=False)
    rho = np.minimum(to_numpy(found), 1.0)
    if weighting == "mean":
        return float(rho.mean()), rho
    # h_k = U left_k, and X = U S V': the products of variates and units are left' S V'.
    weight = to_numpy(xp.sum(xp.abs(left.T @ (one[1][:, None] * one[2].T)), axis=1))
    return float(weight @ rho / weight.sum()), rho
