"""Centred kernel alignment: whether two systems hold the same stimuli alike, whatever their units are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import xarray as xr

from neurointerp.analyses.geometry._inference import inference_variables, inferred
from neurointerp.analyses.geometry._patterns import patterns
from neurointerp.device import require_device, require_none, row_products
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "geometry.cka"


def cka(
    recordings: Mapping[str, xr.DataArray], *, kernel: Literal["linear", "rbf"] = "linear", bandwidth: float = 1.0,
    debiased: bool = True, by: str = "stimulus", join: str = "exact", permutations: int = 200, bootstraps: int = 0,
    device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Compare recordings by the alignment of their centred kernels over the same stimuli.

    :math:`\mathrm{CKA}(K, L) = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K)\, \mathrm{HSIC}(L, L)}`, with
    :math:`K_{ij} = x_i^\top x_j` or :math:`\exp(-d_{ij}^2 / 2 \sigma^2)`. It does not change under rotation or scaling
    of either recording. The plain estimate of HSIC grows with the number of units even where nothing is shared; the
    debiased one does not, and may lie below 0.

    Parameters
    ----------
    recordings
        Name -> recording with the coordinate `by`; samples of one stimulus are averaged.
    kernel
        `linear` or `rbf`.
    bandwidth
        :math:`\sigma` of `rbf`, in medians of the distance between two stimuli of the same recording.
    debiased
        Take the U-statistic of HSIC; needs four stimuli.
    by
        Sample coordinate that names the stimulus; `time` for recordings on one clock.
    join
        `exact`: all recordings hold the same stimuli; `inner`: those that all hold.
    permutations
        Draws of the null that renames the stimuli of one of the two; 0 for none.
    bootstraps
        Draws of stimuli with replacement for 95% intervals; 0 for none. Kernel entries of a stimulus with itself are
        left out of the debiased estimate.
    device
        Where torch makes the products of the patterns of a `linear` kernel (`"cuda"`, `"cpu"`, ...), in float64; None
        (default): numpy. Not for `rbf`. The mean patterns are summed, and the null is drawn, by numpy.
    seed
        Seed of both.

    Returns
    -------
    xarray.Dataset
        `similarity (recording, recording2)`, 1 on the diagonal and at most 1; NaN where a debiased HSIC of a recording
        with itself is not positive. With permutations `p_value` (one-sided) and `q_value`; with bootstraps `interval
        (bound, recording, recording2)`; `stimuli_left_out (recording)`.

    Raises
    ------
    AlignmentError
        When stimuli differ and `join` is `exact`, or fewer than three are shared.
    AnalysisError
        When values are missing (their count), a recording does not vary over stimuli, or an option is not known.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton (2019), ICML, arXiv:1905.00414; Song et al. (2012), J Mach Learn Res 13:1393, eq. 5
    (the U-statistic). Deviation: in a bootstrap draw the zero diagonal of the U-statistic is extended to
    copies of one stimulus.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import geometry
    >>> values = np.random.default_rng(0).standard_normal((20, 5))
    >>> make = lambda v: ni.recording(v, modality="fmri", units="1", dims=("trial", "unit"),
    ...                               coords={"stimulus": ("trial", np.arange(20))})
    >>> found = geometry.cka({"one": make(values), "mirrored": make(-3 * values[:, ::-1])}, permutations=0)
    >>> float(found.similarity.sel(recording="one", recording2="mirrored").round(6))
    1.0
    """
    if kernel not in KERNELS or not bandwidth > 0:
        raise AnalysisError(
            f"{_ANALYSIS}: kernel {kernel!r} with bandwidth {bandwidth!r}: {' or '.join(KERNELS)} and a positive "
            "number are needed"
        )
    require_device(device, None, _ANALYSIS)
    if kernel != "linear":
        require_none(device, _ANALYSIS, f"kernel={kernel!r}, which is made of distances")
    found = patterns(recordings, _ANALYSIS, by=by, join=join)
    size = len(found.stimulus)
    if debiased and size < 4:
        raise AnalysisError(
            f"{_ANALYSIS}: the debiased estimate needs four {by} or more, found {size}; pass debiased=False"
        )
    kernels = [KERNELS[kernel](values, bandwidth, device) for values in found.values]
    for name, values in zip(found.names, found.values, strict=True):
        if not (np.ptp(values, axis=0) > 0).any():
            raise AnalysisError(f"{_ANALYSIS}: {name!r} gives the same pattern for all {size} {by}")

    hsic = _hsic_u if debiased else _hsic_v

    def similarity(i: int, j: int, rows: np.ndarray, others: np.ndarray) -> float:
        one, other = kernels[i][np.ix_(rows, rows)], kernels[j][np.ix_(others, others)]
        same = rows[:, None] == rows
        own = hsic(one, one, same), hsic(other, other, same)
        least = (1e-12 * float((one * one).sum()), 1e-12 * float((other * other).sum()))  # what rounding leaves
        defined = own[0] > least[0] and own[1] > least[1]
        return hsic(one, other, same) / np.sqrt(own[0] * own[1]) if defined else float("nan")

    variables = inference_variables(
        inferred(similarity, len(kernels), size, permutations=permutations, bootstraps=bootstraps, seed=seed),
        found.coords(),
    )
    names = {"recording": found.coords()["recording"]}
    variables["stimuli_left_out"] = xr.DataArray(found.left_out, dims="recording", coords=names)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=list(recordings.values()),
        parameters={"kernel": kernel, "bandwidth": bandwidth, "debiased": debiased, "by": by, "join": join,
                    "permutations": permutations, "bootstraps": bootstraps, "device": device},
        seed=seed,
    )  # fmt: skip


def _linear(values: np.ndarray, bandwidth: float, device: str | None) -> np.ndarray:
    centred = values - values.mean(axis=0)
    gram = row_products(device, centred, centred)
    return gram / np.trace(gram) if np.trace(gram) > 0 else gram


def _rbf(values: np.ndarray, bandwidth: float, device: str | None) -> np.ndarray:
    from scipy.spatial.distance import pdist, squareform

    distance = pdist(values)
    median = np.median(distance[distance > 0]) if (distance > 0).any() else 1.0
    return np.asarray(np.exp(-(squareform(distance) ** 2) / (2 * (bandwidth * median) ** 2)))


KERNELS: dict[str, Callable[[np.ndarray, float, str | None], np.ndarray]] = {"linear": _linear, "rbf": _rbf}


def _hsic_v(one: np.ndarray, other: np.ndarray, same: np.ndarray) -> float:
    """Give tr(H K H L), the plain estimate up to its factor."""
    centred = one - one.mean(axis=0) - one.mean(axis=1)[:, None] + one.mean()
    return float((centred * other).sum())


def _hsic_u(one: np.ndarray, other: np.ndarray, same: np.ndarray) -> float:
    """Give the U-statistic of HSIC up to the factor 1 / (n (n - 3)); `same` marks pairs of one stimulus."""
    n = len(one)
    one, other = np.where(same, 0.0, one), np.where(same, 0.0, other)
    a, b = one.sum(axis=0), other.sum(axis=0)
    return float((one * other).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a @ b))
