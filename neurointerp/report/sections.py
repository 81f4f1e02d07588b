"""What the page of one recording holds: its components, then how it looks and what was found in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neurointerp.report import pictures
from neurointerp.report.cards import cards
from neurointerp.report.pictures import Picture

COLLINEAR = 0.95
"""Mean correlation between the coefficients of components from which on they only have a meaning together."""


@dataclass(frozen=True)
class Section:
    """A heading of the page of a recording, a sentence where one is due, and its pictures."""

    title: str
    note: str = ""
    wide: bool = False
    pictures: list[Picture] = field(default_factory=list)


def sections(comparison: xr.DataTree, summary: xr.Dataset, name: str) -> list[Section]:
    """Draw what there is of one recording; a family that failed has its row in the table instead.

    Parameters
    ----------
    comparison
        What `comparison.compare` gave.
    summary
        The dataset at its root, loaded.
    name
        Which recording.

    Returns
    -------
    list of Section
        The components first (semi-NMF, or PCA where those of semi-NMF cancel each other), then the rest.
    """
    rec = matched(comparison, name)
    out = list(_components(comparison, name, rec))
    drawn = [*pictures.activity(name, rec), *pictures.ranks(name, summary)]
    graph, groups = (_node(comparison, f"/connectivity/{name}/{method}") for method in ("correlation", "communities"))
    if graph is not None and groups is not None:
        drawn += pictures.connectivity(name, graph, groups["community"])
    if (fit := _node(comparison, f"/encoding/{name}/ridge")) is not None:
        drawn += pictures.prediction(name, fit)
    if (fit := _node(comparison, f"/tensor/{name}/nonnegative_cp")) is not None:
        drawn += pictures.tensor(name, fit)
    return [*out, Section("Activity and structure", pictures=drawn)]


def matched(comparison: xr.DataTree, name: str) -> xr.DataArray:
    """Give the recording as it was analysed."""
    found = comparison[f"/matched/{name}/matched"]
    assert isinstance(found, xr.DataArray)
    return found.load()


def _components(comparison: xr.DataTree, name: str, rec: xr.DataArray) -> Iterator[Section]:
    fits = {method: _node(comparison, f"/factorization/{name}/{method}") for method in ("semi_nmf", "pca")}
    semi, pca = fits["semi_nmf"], fits["pca"]
    if semi is None:
        return
    alike = _collinearity(semi["coefficients"])
    method, fit, title, note = "semi_nmf", semi, "Components (semi-NMF)", ""
    if pca is not None and alike > COLLINEAR:
        method, fit, title = "pca", pca, "Components (PCA)"
        note = (
            f"The components of semi-NMF cancel each other here (their coefficients correlate with {alike:.2f} on "
            "average), so that none of them can be read alone. Shown are the principal components."
        )
    top = _node(comparison, f"/features/{name}/{method}")
    yield Section(title, note, True, list(cards(name, fit, rec, top)))


def _collinearity(coefficients: xr.DataArray) -> float:
    """Give the mean correlation over pairs of components; 0 where there is no pair that varies."""
    values = np.asarray(coefficients.transpose(..., "component").values, dtype=np.float64)
    values = values.reshape(-1, values.shape[-1])
    values = values[:, values.std(axis=0) > 0]
    if values.shape[1] < 2:
        return 0.0
    together = np.asarray(np.corrcoef(values.T))
    return float(together[np.triu_indices(values.shape[1], 1)].mean())


def _node(comparison: xr.DataTree, path: str) -> xr.Dataset | None:
    found = comparison[path] if path in comparison.groups else None
    return found.to_dataset(inherit=False).load() if isinstance(found, xr.DataTree) else None
