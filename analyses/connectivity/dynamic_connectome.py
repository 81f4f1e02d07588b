"""The dynamic functional connectome in one call: affinity, non-negative CP, motifs with their communities."""

from __future__ import annotations

import xarray as xr

from neurointerp.analyses.connectivity.affinity import affinity
from neurointerp.graph import side_coords
from neurointerp.result import result

_ANALYSIS = "connectivity.dynamic_connectome"


def dynamic_connectome(
    recording: xr.DataArray, rank: int, *, kernel: str = "geomean", smooth: float = 2.0, bin_size: int = 4,
    min_subjects: int = 1, restarts: int = 20, model: str = "either", starts: int = 10, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Find which groups of units change together, during which stretch of time, in which subjects.

    Three stages, each a function of its own: `connectivity.affinity`, `tensor.nonnegative_cp` on its (time, subject,
    pair), and `graphs.motifs`, which folds each component into a graph, divides it into blocks and reads off its
    interval and its subjects.

    Parameters
    ----------
    recording
        (time, unit), (subject, time, unit) or (trial, time, unit) on a common clock; a unit that a subject lacks is
        NaN there.
    rank
        Number of components, the background among them; `tensor.rank` compares several.
    kernel, smooth, bin_size, min_subjects
        Of `connectivity.affinity`.
    restarts
        Starts of the factorization.
    model, starts
        Of the blocks, as in `graphs.block_model`.
    seed
        Seed of all starts.

    Returns
    -------
    xarray.Dataset
        All that `graphs.motifs` gives, the units with the side coordinates of the recording, and from the
        factorization `factor_pair (pair, component)`, `relative_error` and `restart_error (restart)`.

    Raises
    ------
    AnalysisError
        As the three stages.

    References
    ----------
    Dyballa, Lang, Haslund-Gourley, Yemini, Zucker (2024), Learning dynamic representations of the functional
    connectome in neurobiological networks, ICLR, arXiv 2402.14102; deviations are listed at each stage.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import connectivity
    >>> tree = ni.synthetic.dynamic_motifs(n_units=16, n_motifs=1, motif_size=6, gain=3, seed=1)
    >>> rec = tree["recordings/dynamic_motifs/recording"]
    >>> found = connectivity.dynamic_connectome(rec, 2, restarts=2, starts=1)
    >>> motif = found.community.sel(component=1, level=0)
    >>> planted = tree["truth/member"].values[0]
    >>> len(set(motif.values[planted])), len(set(motif.values[~planted]) & set(motif.values[planted]))
    (1, 0)
    """
    from neurointerp.analyses.graphs.motifs import motifs  # graphs builds on this family
    from neurointerp.analyses.tensor import nonnegative_cp

    pairs = affinity(recording, kernel=kernel, smooth=smooth, bin_size=bin_size, min_subjects=min_subjects, seed=seed)
    factors = nonnegative_cp(pairs, rank, restarts=restarts, seed=seed)
    read = motifs(factors, model=model, starts=starts, seed=seed)
    coords = recording.sel(unit=read["unit"].values).coords
    units = {str(name): ("unit", c.values, c.attrs) for name, c in coords.items() if c.dims == ("unit",)}
    parts = read.assign_coords({**units, **side_coords(coords)})
    kept = factors[["factor_pair", "relative_error", "restart_error"]]
    return result(
        {**{str(name): variable for part in (parts, kept) for name, variable in part.data_vars.items()}},
        analysis=_ANALYSIS,
        recording=recording,
        parameters={
            "rank": rank, "kernel": kernel, "smooth": smooth, "bin_size": bin_size, "min_subjects": min_subjects,
            "restarts": restarts, "model": model, "starts": starts,
        },
        seed=seed,
    )  # fmt: skip
