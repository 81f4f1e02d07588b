"""Components of a factorized affinity read as motifs: an interval, some subjects, a graph and its communities."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.analyses.graphs.block_model import EDGE, MODELS, Blocks, best_blocks
from neurointerp.errors import AnalysisError
from neurointerp.graph import SIDES
from neurointerp.result import result

NAME = "graphs.motifs"
WIDE, FLAT = 0.85, 0.5
"""A component is background when its pairs participate more than WIDE and its time course varies less than FLAT."""


def motifs(
    factors: xr.Dataset, *, model: str = "either", weighted: bool = True, starts: int = 10, seed: int = 0
) -> xr.Dataset:
    r"""Read each component of a factorized affinity as a motif, and divide its graph into blocks.

    The pair factor is folded into a symmetric matrix of units, of which entries above 1e-6 of the largest are edges.
    One broad component that is always there exists in real and null data alike. It is told by its participation
    :math:`(\sum p)^2 / (P \sum p^2)` above 0.85 and a coefficient of variation over time below 0.5, marked, and left
    out of the search for blocks.

    Parameters
    ----------
    factors
        Result of `tensor.nonnegative_cp` on the result of `connectivity.affinity`.
    model, weighted, starts
        As in `graphs.block_model`, which each graph is given to.
    seed
        Seed of the searches.

    Returns
    -------
    xarray.Dataset
        - `connectivity (component, source, target)`: the folded pair factor, 0 on the diagonal.
        - `community (component, level, unit)`: int, level 0 the finest; -1 for background, and above the last level.
        - `description_length (component, model)` in nats, `degree_corrected (component)`: which was kept, and `saving
          (component)`: the nats that its blocks save over a single one. A factorization finds components in noise as
          well, and some of their graphs have blocks: compare the savings with those of `surrogate.circular_shift`.
        - `background (component)`, `participation (component)`, `variation (component)`; `recurrent (component)`: not
          background, and shared by two subjects or more, counted as the participation :math:`1 / \sum s^4` of the
          subject factor (of norm 1). What one subject shows alone may be chance; of two in all, only an equal share is
          `recurrent`.
        - `active (time, component)`: above half of the time factor's maximum.
        - `carrier (subject, component)`: above the uniform level :math:`1/\sqrt{S}` of the subject factor (`trial`
          where the affinity had trials). Not all subjects can be: of two, one at most.
        - `factor_time`, `factor_subject`, `weight` as they came.

    Raises
    ------
    AnalysisError
        When there is no pair factor with `unit_i` and `unit_j`, or some pairs of units were observed in no subject.

    References
    ----------
    Dyballa et al. (2024), Learning dynamic representations of the functional connectome in neurobiological networks,
    ICLR, arXiv 2402.14102. The rule for background, the threshold of edges and the reading of intervals and subjects
    are choices made here.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import connectivity, graphs, tensor
    >>> tree = ni.synthetic.dynamic_motifs(n_units=16, n_motifs=1, motif_size=6, gain=3, seed=1)
    >>> affinity = connectivity.affinity(tree["recordings/dynamic_motifs/recording"])
    >>> found = graphs.motifs(tensor.nonnegative_cp(affinity, 2), starts=1)
    >>> found.background.values.tolist(), found.connectivity.dims
    ([True, False], ('component', 'source', 'target'))
    """
    folded = _folded(factors)
    dim = next(str(d) for d in factors.dims if f"factor_{d}" in factors and d not in ("time", "pair"))
    time, share, pair = (np.asarray(factors[f"factor_{name}"].values) for name in ("time", dim, "pair"))
    squares = (pair.astype(float) ** 2).sum(axis=0)
    wide = pair.sum(axis=0, dtype=float) ** 2 / (len(pair) * np.where(squares > 0, squares, 1.0))
    mean = time.mean(axis=0)
    variation = time.std(axis=0) / np.where(mean > 0, mean, 1.0)
    background = (wide > WIDE) & (variation < FLAT)
    labels = folded["source"].values
    blocks = [
        None if skip or not graph.any() else best_blocks(
            graph, labels, model=model, weighted=weighted, starts=starts, seed=seed
        )
        for graph, skip in zip(folded.values.astype(float), background, strict=True)
    ]  # fmt: skip
    carrier = share > 1 / np.sqrt(len(share))
    alike = (share.astype(float) ** 4).sum(axis=0)
    several = (alike > 0) & (alike < 0.5 + 1e-6)  # two alike give 1/2, but for rounding
    component = {"component": folded["component"].values}
    peak = np.where(time.max(axis=0) > 0, time.max(axis=0), np.inf)
    variables = {
        "connectivity": folded,
        **_communities(blocks, labels, component),
        "background": xr.DataArray(background, dims="component", coords=component),
        "recurrent": xr.DataArray(~background & several, dims="component", coords=component),
        "participation": xr.DataArray(wide, dims="component", coords=component, attrs={"units": "1"}),
        "variation": xr.DataArray(variation, dims="component", coords=component, attrs={"units": "1"}),
        "active": factors["factor_time"].copy(data=time > peak / 2),
        "carrier": factors[f"factor_{dim}"].copy(data=carrier),
        **{name: factors[name] for name in ("factor_time", f"factor_{dim}", "weight")},
    }
    for name in ("active", "carrier"):
        variables[name].attrs.pop("units", None)
    return result(
        variables,
        analysis=NAME,
        recording=factors,
        parameters={"model": model, "weighted": weighted, "starts": starts},
        seed=seed,
    )


def _folded(factors: xr.Dataset) -> xr.DataArray:
    """Give (component, source, target) of the pair factor."""
    factor = factors.get("factor_pair") if isinstance(factors, xr.Dataset) else None
    if factor is None or not {"unit_i", "unit_j"} <= set(factor.coords):
        found = sorted(map(str, factors.data_vars)) if isinstance(factors, xr.Dataset) else type(factors).__name__
        raise AnalysisError(
            f"{NAME}: a factor_pair with unit_i and unit_j is needed, found {found}; pass "
            "tensor.nonnegative_cp(connectivity.affinity(recording), rank)"
        )
    first, second = factor["unit_i"].values, factor["unit_j"].values
    units = list(dict.fromkeys([*first, *second]))
    place = {unit: i for i, unit in enumerate(units)}
    i, j = (np.array([place[unit] for unit in ends]) for ends in (first, second))
    lacking = len(units) * (len(units) - 1) // 2 - len(first)
    if lacking:
        raise AnalysisError(
            f"{NAME}: {lacking} pairs of the {len(units)} units were observed in no subject, so their graph is not "
            "known; keep units that occur together (connectivity.affinity(..., min_subjects=...))"
        )
    values = np.zeros((factor.sizes["component"], len(units), len(units)), dtype=factor.dtype)
    values[:, i, j] = values[:, j, i] = factor.values.T
    labels = np.array(units, dtype=object)
    return xr.DataArray(
        values,
        dims=("component", *SIDES),
        coords={"component": factor["component"].values, "source": labels, "target": labels},
        attrs={"units": "1", "edges_above": EDGE},
    )


def _communities(
    blocks: list[Blocks | None], labels: NDArray[np.object_], component: dict[str, Any]
) -> dict[str, xr.DataArray]:
    levels = max((len(found.community) for found in blocks if found), default=1)
    label = np.full((len(blocks), levels, len(labels)), -1, dtype=np.int64)
    length = np.full((len(blocks), len(MODELS)), np.nan)
    corrected, saving = np.zeros(len(blocks), dtype=bool), np.zeros(len(blocks))
    for k, found in enumerate(blocks):
        if found is not None:
            label[k, : len(found.community)] = found.community
            length[k] = [found.length.get(name, np.nan) for name in MODELS]
            corrected[k] = found.model == "degree_corrected"
            saving[k] = found.trivial[found.model] - found.length[found.model]
    at = {**component, "level": np.arange(levels), "unit": labels}
    models = {**component, "model": np.array(MODELS, dtype=object)}
    return {
        "community": xr.DataArray(label, dims=("component", "level", "unit"), coords=at),
        "description_length": xr.DataArray(length, dims=("component", "model"), coords=models, attrs={"units": "nat"}),
        "degree_corrected": xr.DataArray(corrected, dims="component", coords=component),
        "saving": xr.DataArray(saving, dims="component", coords=component, attrs={"units": "nat"}),
    }
