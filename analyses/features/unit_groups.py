"""Which units components share, and which are theirs alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.features._reading import component_coords, features_of
from neurointerp.errors import AnalysisError
from neurointerp.result import result as build

NAME = "features.unit_groups"


def unit_groups(result: xr.Dataset, *, components: Sequence[Any] | None = None, seed: int = 0) -> xr.Dataset:
    """Count the units that components share, and tell the core of sibling components from what is exclusive.

    With `B` = `support` as 0 and 1, `overlap = B B'`. Of the siblings, the core is the intersection of their supports;
    exclusive to one is its support without the supports of all others.

    Parameters
    ----------
    result
        Of a factorization: `features(component, unit)`, and `support` where it was made sparse.
    components
        Labels of the siblings, such as the children of one parent; default all components.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        Over the siblings:

        - `overlap(component, component2)`: number of units that both use; the diagonal is the size of each.
        - `jaccard(component, component2)`: overlap over union; NaN where neither has a unit.
        - `same_sign(component, component2)`: part of the shared units whose weights have one sign; NaN without any.
        - `support(component, unit)`, `core(unit)`, `exclusive(component, unit)`: bool.
        - `members(unit)`: number of siblings that use the unit.

    Raises
    ------
    AnalysisError
        When the result has no features, or no component of a label.

    Notes
    -----
    Where nothing was made sparse, each component uses every unit: the core is everything.

    References
    ----------
    Shafran, Geiger, Geva (2025), arXiv:2506.10920. `jaccard` and `same_sign` are additions: shared units of opposite
    sign do not make two features alike.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(80, 2)) @ np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 2.0, 2.0, 0.0]])
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    >>> groups = unit_groups(factorization.semi_nmf(rec, 2, keep_fraction=0.5))
    >>> groups.overlap.values.tolist(), groups.core.values.tolist()
    ([[2, 1], [1, 2]], [False, True, False, False])
    """
    values = features_of(result, NAME)
    coords = component_coords(result)
    labels = coords["component"].values
    wanted = list(labels) if components is None else list(components)
    place = {label: i for i, label in enumerate(labels.tolist())}
    unknown = [label for label in wanted if label not in place]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        raise AnalysisError(
            f"{NAME}: components are {wanted}; different labels among 0 to {len(labels) - 1} are needed"
            if not unknown
            else f"{NAME}: there is no component {unknown[0]!r}; the result has {len(labels)}"
        )
    chosen = [place[label] for label in wanted]
    support = result["support"].transpose("component", "unit").values if "support" in result else values != 0
    B, sign = np.asarray(support, dtype=bool)[chosen], np.sign(values[chosen])
    shared = B.astype(np.int64) @ B.T.astype(np.int64)
    sizes = np.diag(shared)
    alike = ((B * sign) @ (B * sign).T + shared) / 2  # shared units that agree
    members = B.sum(axis=0)
    unit = {name: c for name, c in result["features"].coords.items() if c.dims == ("unit",)}
    rows = {name: c.isel(component=chosen) for name, c in coords.items()}
    pair = {**rows, "component2": labels[chosen]}
    found = {
        "overlap": xr.DataArray(shared, dims=("component", "component2"), coords=pair),
        "jaccard": _share(shared, sizes[:, None] + sizes - shared, pair),
        "same_sign": _share(alike, shared, pair),
        "support": xr.DataArray(B, dims=("component", "unit"), coords={**rows, **unit}),
        "core": xr.DataArray(members == len(B), dims="unit", coords=unit),
        "exclusive": xr.DataArray(B & (members == 1), dims=("component", "unit"), coords={**rows, **unit}),
        "members": xr.DataArray(members, dims="unit", coords=unit),
    }
    parameters = {"components": None if components is None else [str(label) for label in wanted]}
    return build(found, analysis=NAME, recording=result, parameters=parameters, seed=seed)


def _share(part: np.ndarray, whole: np.ndarray, coords: Any) -> xr.DataArray:
    share = np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
    return xr.DataArray(share, dims=("component", "component2"), coords=coords)
