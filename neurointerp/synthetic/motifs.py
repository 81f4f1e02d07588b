"""Calcium traces of several animals in which groups of units go together for a while."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._simulated import names, simulated

_CITATION = "Dyballa et al. (2024) ICLR, arXiv 2402.14102"
_SMOOTHNESS = 4.0  # frames


def dynamic_motifs(
    *,
    n_subjects: int = 10,
    n_samples: int = 240,
    n_units: int = 40,
    n_motifs: int = 4,
    motif_size: int = 8,
    shared: float = 0.0,
    carriers: int = 6,
    duration: int = 55,
    gain: float = 1.0,
    noise: float = 0.1,
    sampling_rate: float = 4.0,
    seed: int = 0,
) -> xr.DataTree:
    """Simulate animals whose units move by themselves but for motifs: a group, a window of time, some of the animals.

    Background: white noise, Gaussian-smoothed (4 frames) to unit variance, independent for each unit and animal. A
    motif adds `gain` times one such signal to all of its units, in its window, in its animals; white noise of
    standard deviation `noise` comes on top.

    Parameters
    ----------
    n_subjects, n_samples, n_units
        Animals, frames and units.
    n_motifs, motif_size
        Motifs, and units in each.
    shared
        Fraction of its units, in [0, 1), that a motif has from the one before it (the first from the last).
    carriers
        Animals that show each motif.
    duration
        Frames that each lasts; windows begin evenly spread.
    gain, noise
        See above.
    sampling_rate
        Frames per second.
    seed
        Seed of all signals and of who shows what.

    Returns
    -------
    xr.DataTree
        `recordings/dynamic_motifs` (subject, time, unit). `truth`: `member (component, unit)`,
        `active (component, time)` and `carrier (component, subject)`, bool.

    Raises
    ------
    RecordingError
        If a parameter is out of range, or motifs do not fit.

    References
    ----------
    The shape of the experiment follows Dyballa et al. (2024), Learning dynamic representations of the functional
    connectome in neurobiological networks, ICLR; the generator is this project's.

    Examples
    --------
    >>> from neurointerp.synthetic import dynamic_motifs
    >>> dict(dynamic_motifs()["recordings/dynamic_motifs/recording"].sizes)
    {'subject': 10, 'time': 240, 'unit': 40}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    for name in ("n_subjects", "n_samples", "n_units", "n_motifs", "motif_size"):
        _parameters.integer(name, parameters[name])
    _parameters.integer("carriers", carriers, maximum=n_subjects)
    _parameters.integer("duration", duration, maximum=n_samples)
    _parameters.number("shared", shared, minimum=0.0, maximum=0.99)
    for name in ("gain", "noise"):
        _parameters.number(name, parameters[name], minimum=0.0)
    _parameters.number("sampling_rate", sampling_rate, above=0.0)
    member = _members(rng, n_units, n_motifs, motif_size, shared)
    start = np.rint(np.linspace(n_samples / 12, max(15 * n_samples / 16 - duration, 0), n_motifs)).astype(int)
    frame = np.arange(n_samples)
    active = (frame >= start[:, None]) & (frame < start[:, None] + duration)
    carrier = np.zeros((n_motifs, n_subjects), dtype=bool)
    for row in carrier:
        row[rng.choice(n_subjects, carriers, replace=False)] = True
    values = _smooth(rng, (n_subjects, n_samples, n_units))
    latent = _smooth(rng, (n_subjects, n_samples, n_motifs)) * carrier.T[:, None, :] * active.T
    values = values + gain * latent @ member + noise * rng.standard_normal(values.shape)
    rec = simulated(
        values,
        function="dynamic_motifs",
        parameters=parameters,
        citation=_CITATION,
        modality="calcium",
        units="1",
        sampling_rate=sampling_rate,
        unit=names("n", n_units),
        dims=("subject", "time", "unit"),
        coords={"subject": names("w", n_subjects)},
        name="dynamic_motifs",
    )
    component = {"component": np.arange(n_motifs)}
    truth = {
        name: xr.DataArray(values, dims=("component", dim), coords={**component, dim: rec[dim].variable})
        for name, dim, values in (
            ("member", "unit", member),
            ("active", "time", active),
            ("carrier", "subject", carrier),
        )
    }
    return session({"dynamic_motifs": rec}, truth=truth)


def _members(rng: np.random.Generator, units: int, motifs: int, size: int, shared: float) -> NDArray[np.bool_]:
    """Draw groups (motif, unit) on a ring: each begins before the one before it ends."""
    step = size - round(shared * size)
    needed = step * motifs if shared else size * motifs
    if needed > units or size > units:
        raise RecordingError(f"{motifs} motifs of {size} units need {needed} units; n_units is {units}")
    place = (np.arange(motifs)[:, None] * step + np.arange(size)) % (needed if motifs > 1 else units)
    member = np.zeros((motifs, units), dtype=bool)
    np.put_along_axis(member, rng.permutation(units)[place], True, axis=1)
    return member


def _smooth(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Draw Gaussian-smoothed noise along the second axis, each column of unit variance."""
    from scipy.ndimage import gaussian_filter1d

    signal = gaussian_filter1d(rng.standard_normal(shape), _SMOOTHNESS, axis=1, mode="wrap")
    signal -= signal.mean(axis=1, keepdims=True)
    return np.asarray(signal / signal.std(axis=1, keepdims=True))
