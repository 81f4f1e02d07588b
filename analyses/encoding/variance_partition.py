"""What each feature space explains alone, and what several explain in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.analyses.encoding.banded_ridge import fitted_bands, gathered, require_options
from neurointerp.errors import AnalysisError
from neurointerp.result import result

_ANALYSIS = "encoding.variance_partition"
MOST = 5
"""Most bands: their subsets are all fitted."""


def variance_partition(
    features: Mapping[str, xr.DataArray] | xr.DataArray, responses: xr.DataArray, *, bands: str | None = None,
    alphas: float | Sequence[float] | None = None, draws: int = 10, cv: int | Iterable[tuple[Any, Any]] = 5,
    lags: Sequence[int] | xr.DataArray | None = None, standardize: bool = True, gap: int | None = None,
    high_pass: float | None = None, device: str | None = None, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    r"""Divide the held-out r2 of all feature spaces into what is unique to each and common to each set of them.

    With :math:`R(A)` for the r2 of the bands in :math:`A`, of all bands :math:`B`, the part common to just those of
    :math:`S` is :math:`\sum_{T \subseteq S} (-1)^{|T| + 1} R((B \setminus S) \cup T)`: for one band,
    :math:`R(B) - R(B \setminus \{b\})`, its unique variance. All parts sum to :math:`R(B)`.

    Parameters
    ----------
    features, responses, bands, alphas, draws, cv, lags, standardize, gap, high_pass, device
        As for `banded_ridge`, which is fitted to each of the :math:`2^n - 1` subsets of at most five bands, on the
        same folds.
    seed
        Seed of the draws.

    Returns
    -------
    xarray.Dataset
        `subset_score (subset, fold, unit)`, held-out r2 of each subset (`"a+b"`); `part (subset, fold, unit)`, what is
        common to just that subset's bands, which sums over subsets to the r2 of all; `unique (band, fold, unit)`, the
        parts of single bands. Parts may be negative: by suppression (two bands explain more together than the sum
        of both), or since a model of more features generalises worse.

    Raises
    ------
    AlignmentError
        When sample labels differ, as for `ridge`.
    AnalysisError
        As `banded_ridge`; when bands are more than five.

    References
    ----------
    Mood (1971), Partitioning variance in multiple regression analyses as a tool for developing learning models, Am Educ
    Res J 8:191-202; on held-out data for fMRI: Lescroart, Stansbury, Gallant (2015), Front Comput Neurosci 9:135.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> tree = ni.synthetic.linear_responses(n_samples=300, n_features=4, n_units=2, snr=9.0)
    >>> useful, responses = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
    >>> noise = ni.surrogate.circular_shift(useful)
    >>> found = encoding.variance_partition({"useful": useful, "noise": noise}, responses, draws=3)
    >>> (found.unique.mean(["fold", "unit"]) > 0.5).values
    array([ True, False])
    """
    require_options(_ANALYSIS, draws, 0, alphas)
    joined, names, of = gathered(_ANALYSIS, features, bands)
    if len(names) > MOST:
        raise AnalysisError(f"{_ANALYSIS}: {len(names)} bands have {2 ** len(names) - 1} subsets; {MOST} bands at most")
    cv = cv if isinstance(cv, int | np.integer) else list(cv)
    subsets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    asked = {"cv": cv, "lags": lags, "gap": gap, "high_pass": high_pass, "device": device}
    scores = {}
    for one in subsets:
        own = np.flatnonzero(np.isin(of, [names.index(name) for name in one]))
        number = np.array([one.index(names[band]) for band in of[own]], dtype=np.int64)
        problem, variables, grid = fitted_bands(
            _ANALYSIS, joined.isel(unit=own), responses, one, number, alphas=alphas, draws=draws, steps=0,
            standardize=standardize, seed=seed, asked=asked,
        )  # fmt: skip
        scores[frozenset(one)] = variables["score"]
    first = scores[frozenset(names)]
    scores[frozenset()] = first.where(first.isnull(), 0.0)
    whole = frozenset(names)
    common = [
        sum(
            (-1) ** (size + 1) * scores[(whole - frozenset(one)) | frozenset(inside)]
            for size in range(len(one) + 1)
            for inside in combinations(one, size)
        )
        for one in subsets
    ]
    label = {"subset": np.array(["+".join(one) for one in subsets], dtype=object)}
    stacked = [
        xr.concat(found, dim="subset").assign_coords(label).assign_attrs(units="1")
        for found in ([scores[frozenset(one)] for one in subsets], common)
    ]
    band = {"band": np.array(names, dtype=object)}
    unique = stacked[1].isel(subset=slice(len(names))).drop_vars("subset").rename(subset="band").assign_coords(band)
    return result(
        {"subset_score": stacked[0], "part": stacked[1], "unique": unique.assign_attrs(units="1")},
        analysis=_ANALYSIS, recording=[joined, responses],
        parameters={"bands": names, "alphas": grid, "draws": draws, "steps": 0, "standardize": standardize,
                    **problem.parameters}, seed=seed,
    )  # fmt: skip
