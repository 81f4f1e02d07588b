"""A spiking network with planted assemblies."""

from math import exp

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp.errors import RecordingError
from neurointerp.recordings import session
from neurointerp.synthetic import _parameters
from neurointerp.synthetic._signals import autoregressive
from neurointerp.synthetic._simulated import names, on_clock, on_units, simulated

_CITATION = "Brunel (2000) J Comput Neurosci 8:183-208; Litwin-Kumar & Doiron (2012) Nat Neurosci 15:1498-1505"
_DT = 1e-3  # s
_REFRACTORY = 2  # steps
_TAU_EXCITATORY, _TAU_INHIBITORY = 15e-3, 10e-3  # s, membrane
_TAU_DRIVE = 1.0  # s
_BIAS, _NOISE = 0.72, 0.22  # mean and sd of the isolated membrane, in units of the threshold
_JUMP, _INHIBITION = 0.06, 4.0  # excitatory jump in units of the threshold; inhibitory jump relative to it
_P_CELL = 0.2  # probability of any synapse except those between excitatory cells of different assemblies


def spiking_network(
    *,
    n_units: int = 80,
    n_assemblies: int = 4,
    assembly_size: int = 12,
    duration: float = 60.0,
    bin_width: float = 0.05,
    inhibitory_fraction: float = 0.2,
    within: float = 0.6,
    between: float = 0.1,
    drive_strength: float = 0.12,
    seed: int = 0,
) -> xr.DataTree:
    r"""Simulate a leaky integrate-and-fire network whose excitatory cells form assemblies.

    Each membrane follows :math:`\tau \dot v = \mu + g\,d_{a}(t) - v + \sigma\sqrt{2\tau}\,\xi`, in Euler
    steps of 1 ms, with threshold 1, reset 0, a refractory period of 2 ms, and a jump by the synaptic weight
    one step after each presynaptic spike. :math:`d_a` is the slow drive of the cell's assembly: unit
    variance, Ornstein-Uhlenbeck with a time constant of 1 s, constant within a bin.

    Parameters
    ----------
    n_units
        Number of cells; the last ``inhibitory_fraction`` of them are inhibitory.
    n_assemblies, assembly_size
        Number of assemblies and excitatory cells in each; the excitatory cells left over belong to none.
    duration
        Length in seconds; rounded down to whole bins.
    bin_width
        Width of the count bins in seconds, a whole number of 1 ms steps.
    inhibitory_fraction
        Fraction of inhibitory cells, in [0, 1).
    within, between
        Connection probability of two excitatory cells of one assembly, and of any other two.
    drive_strength
        Standard deviation of the drive in units of the threshold.
    seed
        Seed of wiring, drive and noise.

    Returns
    -------
    xr.DataTree
        ``recordings/spiking_network`` (time, unit): counts per bin, units ``"1"``, bins labelled by their
        start, with ``cell_type (unit)``. ``structure/synapses`` (source, target): jump in units of the
        threshold. ``truth``: ``assembly (unit)`` (-1 for none), ``drive (time, component)`` with component
        the number of the assembly, ``spike_time (spike)`` in s and ``spike_unit (spike)``, the position of
        the cell along ``unit``.

    Raises
    ------
    RecordingError
        If a parameter is out of range, or the assemblies do not fit into the excitatory cells.

    References
    ----------
    Cells, delta synapses and balance follow Brunel (2000), Dynamics of sparsely connected networks of
    excitatory and inhibitory spiking neurons, J Comput Neurosci 8:183-208; clustered excitation follows
    Litwin-Kumar and Doiron (2012), Slow dynamics and high variability in balanced cortical networks with
    clustered connections, Nat Neurosci 15:1498-1505. Deviations: a network this small does not make its own
    slow switching, so the assemblies are driven; clusters differ in probability, not in weight.

    Examples
    --------
    >>> from neurointerp.synthetic import spiking_network
    >>> tree = spiking_network(duration=2.0)
    >>> dict(tree["recordings/spiking_network/recording"].sizes)
    {'time': 40, 'unit': 80}
    """
    parameters = dict(locals())
    rng = _parameters.generator(seed)
    size = _parameters.integer("assembly_size", assembly_size)
    count = _parameters.integer("n_assemblies", n_assemblies)
    fraction = _parameters.number("inhibitory_fraction", inhibitory_fraction, minimum=0.0, maximum=0.99)
    excitatory = np.arange(_parameters.integer("n_units", n_units)) < round(n_units * (1 - fraction))
    if count * size > excitatory.sum():
        raise RecordingError(
            f"n_assemblies x assembly_size must not exceed the {excitatory.sum()} excitatory cells; "
            f"found {count} x {size}: lower one of them or raise n_units"
        )
    steps, n_bins = _bins(duration, bin_width)
    _parameters.number("drive_strength", drive_strength, minimum=0.0)
    assembly = np.full(n_units, -1)
    assembly[: count * size] = np.repeat(np.arange(count), size)

    weights = _wire(rng, assembly, excitatory, within, between)
    drive = autoregressive(rng, n_bins, count, exp(-bin_width / _TAU_DRIVE))
    per_cell = np.column_stack([drive, np.zeros(n_bins)])[:, assembly] * drive_strength
    tau = np.where(excitatory, _TAU_EXCITATORY, _TAU_INHIBITORY)
    spike_step, spike_unit = _integrate(rng, weights, per_cell, tau, steps)
    counts = np.zeros((n_bins, n_units), dtype=np.int64)
    np.add.at(counts, (spike_step // steps, spike_unit), 1)

    rec = simulated(
        counts,
        function="spiking_network",
        parameters=parameters,
        citation=_CITATION,
        modality="spikes",
        units="1",
        sampling_rate=1 / bin_width,
        unit=names("n", n_units),
        coords={"cell_type": ("unit", np.where(excitatory, "excitatory", "inhibitory").astype(object))},
        name="spiking_network",
    )
    ends = {end: (end, rec["unit"].values) for end in ("source", "target")}
    synapses = xr.DataArray(weights, dims=("source", "target"), coords=ends, attrs={"units": "1"})
    truth = {
        "assembly": on_units(assembly, rec),
        "drive": on_clock(drive, rec, "component"),
        # Half a step in: a spike belongs to its bin whatever the rounding of its time.
        "spike_time": xr.DataArray((spike_step + 0.5) * _DT, dims=("spike",), attrs={"units": "s"}),
        "spike_unit": xr.DataArray(spike_unit, dims=("spike",)),
    }
    return session({"spiking_network": rec}, structure={"synapses": synapses}, truth=truth)


def _bins(duration: float, bin_width: float) -> tuple[int, int]:
    """Return the steps per bin and the number of bins."""
    steps = round(_parameters.number("bin_width", bin_width, minimum=_DT) / _DT)
    if abs(steps * _DT - bin_width) > 1e-9:
        raise RecordingError(f"bin_width must be a whole number of {_DT} s steps; found {bin_width!r}")
    _parameters.number("duration", duration, minimum=bin_width)
    return steps, int(duration / bin_width + 1e-9)


def _wire(
    rng: np.random.Generator,
    assembly: NDArray[np.int64],
    excitatory: NDArray[np.bool_],
    within: float,
    between: float,
) -> NDArray[np.float64]:
    """Draw the weights (source, target)."""
    _parameters.number("within", within, minimum=0.0, maximum=1.0)
    _parameters.number("between", between, minimum=0.0, maximum=1.0)
    both = np.logical_and.outer(excitatory, excitatory)
    same = np.equal.outer(assembly, assembly) & (assembly >= 0)
    probability = np.where(both, np.where(same, within, between), _P_CELL)
    connected = rng.random(probability.shape) < probability
    np.fill_diagonal(connected, False)
    jump = np.where(excitatory, _JUMP, -_INHIBITION * _JUMP)
    return np.where(connected, jump[:, None], 0.0)


def _integrate(
    rng: np.random.Generator,
    weights: NDArray[np.float64],
    drive: NDArray[np.float64],
    tau: NDArray[np.float64],
    steps: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return step and cell of every spike; ``drive`` (bin, unit) holds for ``steps`` steps per bin.

    The dynamics are chaotic: sums in a fixed order, without matrix products, keep the spikes the same.
    """
    leak = 1 - _DT / tau
    spread = _NOISE * np.sqrt(1 - leak**2)
    voltage = _BIAS * rng.random(len(tau))
    arriving = np.zeros(len(tau))
    ready = np.zeros(len(tau), dtype=np.int64)
    spike_step: list[int] = []
    spike_unit: list[NDArray[np.int64]] = []
    step = 0
    for current in drive:
        kicks = rng.standard_normal((steps, len(tau))) * spread + (_BIAS + current) * (1 - leak)
        for kick in kicks:
            voltage *= leak
            voltage += kick
            voltage += arriving
            voltage[ready > step] = 0.0
            fired = np.flatnonzero(voltage >= 1.0)
            arriving[:] = 0.0
            if fired.size:
                voltage[fired] = 0.0
                ready[fired] = step + 1 + _REFRACTORY
                arriving += weights[fired].sum(axis=0)
                spike_step += [step] * fired.size
                spike_unit.append(fired)
            step += 1
    cells = np.concatenate(spike_unit) if spike_unit else np.zeros(0, dtype=np.int64)
    return np.asarray(spike_step, dtype=np.int64), cells
