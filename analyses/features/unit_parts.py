"""Components cut into what siblings share and what is theirs alone, to push each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.features._reading import features_of
from neurointerp.analyses.features.unit_groups import unit_groups
from neurointerp.result import result as build

NAME = "features.unit_parts"


def unit_parts(result: xr.Dataset, *, components: Sequence[Any] | None = None, seed: int = 0) -> xr.Dataset:
    """Cut sibling components into their weights on the core of all siblings and those on their exclusive units.

    What comes back is read like a factorization: `steering(unit_parts(res, components=[...]), model, lexicons)` pushes
    the core alone, or one sibling's exclusive units alone, and reads the words of any sibling.

    Parameters
    ----------
    result
        Of a factorization: `features(component, unit)`, and `support` where it was made sparse.
    components
        Labels of the siblings; default all components.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `features(component, unit)` and `support`: of each sibling its core part, then of each its exclusive part, with
        the coordinates `sibling(component)` and `part(component)` (`"core"`, `"exclusive"`). A part without units is
        zero.

    Raises
    ------
    AnalysisError
        As for `unit_groups`.

    References
    ----------
    Shafran, Geiger, Geva (2025), arXiv:2506.10920: in a language model the shared core raised the logits of all
    weekdays, the exclusive units of one day that day's alone.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import factorization
    >>> rng = np.random.default_rng(0)
    >>> values = rng.gamma(0.3, size=(80, 2)) @ np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 2.0, 2.0, 0.0]])
    >>> rec = ni.recording(values, modality="calcium", units="1", sampling_rate=1.0)
    >>> parts = unit_parts(factorization.semi_nmf(rec, 2, keep_fraction=0.5))
    >>> parts.part.values.tolist(), parts.support.values.astype(int).tolist()[:2]
    (['core', 'core', 'exclusive', 'exclusive'], [[0, 1, 0, 0], [0, 1, 0, 0]])
    """
    groups = unit_groups(result, components=components)
    siblings = groups["component"].values
    values = features_of(result, NAME)[[result["component"].values.tolist().index(label) for label in siblings]]
    own = np.asarray(groups["support"].values)
    core = own & groups["core"].values
    F = np.concatenate([np.where(core, values, 0), np.where(groups["exclusive"].values, values, 0)])
    along = {
        "component": np.arange(2 * len(siblings)),
        "sibling": ("component", np.tile(siblings, 2)),
        "part": ("component", np.repeat(np.array(["core", "exclusive"], dtype=object), len(siblings))),
        **{name: c for name, c in result["features"].coords.items() if c.dims == ("unit",)},
    }
    found = {
        "features": xr.DataArray(F, dims=("component", "unit"), coords=along, attrs=result["features"].attrs),
        "support": xr.DataArray(F != 0, dims=("component", "unit"), coords=along),
    }
    parameters = {"components": None if components is None else [str(label) for label in components]}
    return build(found, analysis=NAME, recording=result, parameters=parameters, seed=seed)
