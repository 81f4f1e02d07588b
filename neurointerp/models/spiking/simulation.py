"""Run a network and give what it did as a session."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import RecordingError
from neurointerp.models.spiking import _checks
from neurointerp.models.spiking._plan import NEVER, Plan, plan
from neurointerp.models.spiking._session import Run, group_sizes, require_distinct, unit_labels
from neurointerp.models.spiking.network import Network, Record

ROOM = 1 << 20
"""Spikes that are kept before they are moved out of the kernel."""


def simulate(
    network: Network,
    duration: float,
    *,
    step: float = 1e-4,
    seed: int = 0,
    record: Record | None = None,
    dtype: str = "float64",
    device: str | None = None,
) -> xr.DataTree:
    """Run a network of spiking neurons.

    Parameters
    ----------
    network
        Populations, synapses and inputs.
    duration
        Seconds, a whole number of steps.
    step
        Length of a step (s).
    seed
        Seed of Poisson sources, Poisson inputs and noise. Wiring is in the weights.
    record
        What is kept beside the spikes; counts in bins of 10 ms by default.
    dtype
        `"float64"` or `"float32"`, of states and weights.
    device
        Left out, a compiled kernel on the processor, which visits synapses from the spikes. `"cpu"`, `"cuda"` and
        others run the same steps on torch, vectorised over neurons. Without randomness both give the same spikes up
        to rounding; their random numbers differ. On a GPU sums are taken in no fixed order.

    Returns
    -------
    xarray.DataTree
        `recordings/spikes` (time, unit): counts of the neurons per bin. `recordings/input_spikes`: those of the
        sources, if there are any (modality stimulus). `recordings/potential` and `recordings/adaptation` (time,
        unit), of the neurons that `record` names, at the beginning of a step. `structure/spike_times` (spike): the
        beginning (s) of the step in which each threshold was reached, with `spike_unit` and `spike_sample`, the step.
        `structure/weight_course` (time, edge). `truth`: `weight`, `delay` (edge), with `source`, `target` and
        `synapses`; `weight_final` where there is plasticity; per input what reached each unit. Units are labelled by
        population and place, with coordinates `population`, `index` and `model`. All are marked as simulated.

    Raises
    ------
    RecordingError
        When a duration is no whole number of steps, a part does not fit, units of two populations would have one label,
        or a state is no longer finite.

    Notes
    -----
    The order of a step is Brian2's: states are advanced, thresholds tested, spikes delivered, the neurons that fired
    reset. A jump that reaches a refractory neuron is lost. Equal arguments give equal bytes (of the kernel and of
    torch on one processor).

    References
    ----------
    Exact steps: Rotter S, Diesmann M (1999), Exact digital simulation of time-invariant linear systems, Biol Cybern
    81:381-402. Order and meaning of a step: Stimberg M, Brette R, Goodman DFM (2019), Brian 2, eLife 8:e47314.

    Examples
    --------
    >>> from neurointerp.models import spiking
    >>> net = spiking.Network({"e": spiking.LIF(2)}, inputs=[spiking.Current("e", [15.0, 30.0])])
    >>> tree = spiking.simulate(net, 0.1)
    >>> tree["recordings/spikes/recording"].sum("time").values
    array([0, 6])
    """
    record = Record() if record is None else record
    length = _checks.steps(duration, step, "duration", least=1)
    _check(step, length, dtype, record)
    require_distinct(network)
    _checks.whole(seed, "seed", least=0)
    laid = plan(network, step, dtype)
    position = record.positions(network)
    edges = np.flatnonzero(np.repeat(laid.wires.plastic >= 0, group_sizes(laid.wires)))
    kept_edges = edges if record.weights else edges[:0]
    every = _checks.steps(record.every, step, "every of the record", least=1)
    if device is None:
        spikes, states, course, final = _compiled(laid, length, seed, every, position, kept_edges)
    else:
        from neurointerp.models.spiking import _tensors

        spikes, states, course, final = _tensors.run(laid, length, seed, every, position, kept_edges, device)
    _refuse_runaway(final, network, laid)
    history = {"duration": duration, "step": step, "seed": seed, "dtype": dtype, "device": device}
    out = Run(network, laid, record, duration, step, history)
    return out.tree(spikes, (position, *states), (edges, course, final.weight))


def simulate_trials(
    network: Network,
    duration: float,
    trials: int,
    *,
    step: float = 1e-4,
    seed: int = 0,
    bin_width: float = 0.01,
    dtype: str = "float64",
) -> xr.DataTree:
    """Run a network again and again from its initial state, each time with other random numbers.

    Parameters
    ----------
    network, duration, step, dtype
        As in `simulate`; the compiled kernel runs.
    trials
        Number of runs.
    seed
        Trial k draws from the k-th child of this seed.
    bin_width
        Width (s, whole steps) of the bins in which spikes are counted.

    Returns
    -------
    xarray.DataTree
        `recordings/spikes` (trial, time, unit): counts of the neurons. `structure/spike_times` (spike), with
        `spike_unit`, `spike_sample` and `spike_trial`, of all units. `truth` as `simulate` gives it.

    Raises
    ------
    RecordingError
        As `simulate`.

    Examples
    --------
    >>> from neurointerp.models import spiking
    >>> net = spiking.Network({"e": spiking.LIF(2)}, inputs=[spiking.PoissonInput("e", 2000.0, 1.0)])
    >>> tree = spiking.simulate_trials(net, 0.1, 3)
    >>> dict(tree["recordings/spikes/recording"].sizes)
    {'trial': 3, 'time': 10, 'unit': 2}
    """
    record = Record(bin_width=bin_width)
    length = _checks.steps(duration, step, "duration", least=1)
    _check(step, length, dtype, record)
    require_distinct(network)
    _checks.whole(seed, "seed", least=0)
    laid, none = plan(network, step, dtype), np.zeros(0, dtype=np.int64)
    found = []
    for child in np.random.SeedSequence(seed).spawn(_checks.whole(trials, "trials")):
        spikes, *_, final = _compiled(laid, length, child, length, none, none)
        _refuse_runaway(final, network, laid)
        found.append(spikes)
    history = {"duration": duration, "step": step, "seed": seed, "dtype": dtype, "trials": trials}
    return Run(network, laid, record, duration, step, history).trials(found)


def adjacency(tree: xr.DataTree) -> xr.DataArray:
    """Give the true weights of a simulated network as a matrix.

    Parameters
    ----------
    tree
        What `simulate` gave.

    Returns
    -------
    xarray.DataArray
        (source, target) over the neurons, zero where there is no synapse; several between two are summed.

    Raises
    ------
    RecordingError
        When the session holds no true synapses.

    Examples
    --------
    >>> import numpy as np
    >>> from neurointerp.models import spiking
    >>> net = spiking.Network({"e": spiking.LIF(2)}, [spiking.Synapses("e", "e", np.array([[0, 1.0], [0, 0]]))])
    >>> adjacency(spiking.simulate(net, 0.01)).values
    array([[0., 1.],
           [0., 0.]])
    """
    if "truth" not in tree.children or "weight" not in tree["truth"]:
        raise RecordingError("the session has no truth/weight: it is not what models.spiking.simulate gives")
    weight: Any = tree["truth/weight"]
    units: np.ndarray = tree["recordings/spikes/recording"].coords["unit"].to_numpy()
    place = {unit: k for k, unit in enumerate(units)}
    ends = [
        np.array([place.get(unit, -1) for unit in weight[end].values], dtype=np.int64) for end in ("source", "target")
    ]
    inside = (ends[0] >= 0) & (ends[1] >= 0)
    out = np.zeros((units.size, units.size))
    np.add.at(out, (ends[0][inside], ends[1][inside]), weight.values[inside])
    return xr.DataArray(out, dims=("source", "target"), coords={"source": units, "target": units})


def _check(step: float, length: int, dtype: str, record: Record) -> None:
    if dtype not in ("float32", "float64"):
        raise RecordingError(f"dtype must be 'float32' or 'float64'; found {dtype!r}")
    if length >= NEVER:
        raise RecordingError(f"{length} steps are more than {NEVER}: take a longer step or several runs")
    bins = _checks.steps(record.bin_width, step, "bin_width of the record", least=1)
    if bins > length:
        raise RecordingError(f"bin_width of the record is {record.bin_width:g} s, longer than the simulation")


def _compiled(
    laid: Plan, length: int, seed: Any, every: int, position: np.ndarray, edges: np.ndarray
) -> tuple[Any, Any, np.ndarray, Any]:
    """Run the compiled kernel, emptying its list of spikes whenever that is nearly full."""
    from neurointerp.models.spiking import _fused

    state, kept = _state(laid), _room(laid, length, every, position, edges)
    rng = np.random.default_rng(seed)
    spikes: list[tuple[np.ndarray, np.ndarray]] = []
    at = 0
    while at < length:
        at, found = _fused.advance(
            laid.cells, laid.channels, laid.wires, laid.plastic, laid.drives, state, kept, rng, at, length
        )
        spikes.append((kept.step[:found].copy(), kept.unit[:found].copy()))
    steps, units = (np.concatenate([part[k] for part in spikes]).astype(np.int64) for k in (0, 1))
    return (steps, units), (kept.potential, kept.adaptation), kept.weight, state


def _state(laid: Plan) -> Any:
    from neurointerp.models.spiking._fused import State

    size, populations = laid.w.size, laid.cells.kind.size
    traces = int(np.concatenate([[0], laid.plastic.post + laid.plastic.high - laid.plastic.low]).max())
    dtype = laid.x.dtype
    return State(
        x=laid.x.copy(),
        w=laid.w.copy(),
        ready=laid.ready.copy(),
        drive=laid.drives.base.copy(),
        noise=np.zeros(laid.drives.deviation.size, dtype=dtype),
        weight=laid.weights.copy(),
        trace=np.zeros(traces, dtype=dtype),
        fired=np.zeros((laid.depth, size), dtype=np.int32),
        found=np.zeros((laid.depth, populations), dtype=np.int64),
        event=np.zeros(populations, dtype=np.int64),
    )


def _room(laid: Plan, length: int, every: int, position: np.ndarray, edges: np.ndarray) -> Any:
    from neurointerp.models.spiking._fused import Kept

    samples, dtype = -(-length // every), laid.x.dtype
    room = max(ROOM, 2 * laid.w.size)
    return Kept(
        step=np.empty(room, dtype=np.int32),
        unit=np.empty(room, dtype=np.int32),
        every=np.array([every]),
        position=position,
        potential=np.empty((samples, position.size), dtype=dtype),
        adaptation=np.empty((samples, position.size), dtype=dtype),
        edge=edges,
        weight=np.empty((samples, edges.size), dtype=dtype),
    )


def _refuse_runaway(final: Any, network: Network, laid: Plan) -> None:
    bad = np.flatnonzero(~np.isfinite(final.x[: laid.w.size]) | ~np.isfinite(final.w))
    if bad.size:
        name = unit_labels(network)[bad[0]]
        raise RecordingError(
            f"{bad.size} neurons no longer have finite states, {name!r} the first: take a shorter step or weaker input"
        )
