"""What a neuron holds while it runs, as recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from neurointerp.errors import ModelError
from neurointerp.models.elm.neuron import ELM
from neurointerp.recordings import add_history, recording, session

CITATION = "Spieler et al. (2023) arXiv:2306.16922"


def record(model: ELM, inputs: xr.DataArray | xr.DataTree, *, batch_size: int = 16) -> xr.DataTree:
    """Run a neuron on input spikes and record its branches, its memories and what it gives.

    Parameters
    ----------
    model
        The neuron; left as it was.
    inputs
        Spikes (trial, time, unit) with `sign` (+1, -1) along `unit`, on a clock with the step `dt` of the neuron; or
        a session that holds them as `recordings/afferents`, whose truth is kept.
    batch_size
        Trials per pass.

    Returns
    -------
    xarray.DataTree
        `recordings/branch`, `recordings/memory` (with `tau_ms` along `unit`) and `recordings/output`, each
        (trial, time, unit), dimensionless, on the trials and the clock of the input, starting at rest in every trial.
        `structure/synapses` (source, target): the weight from each afferent to each branch, signed.

    Raises
    ------
    ModelError
        When signs are missing, or the number of afferents or the clock do not fit the neuron.

    Examples
    --------
    >>> from neurointerp.models.elm import ELM, Config, two_stage_neuron
    >>> tree = record(ELM(Config(inputs=128, memories=3)), two_stage_neuron(trials=2, duration=0.1))
    >>> memory = tree["recordings/memory/recording"]
    >>> dict(memory.sizes), memory.tau_ms.values.round(1).tolist()
    ({'trial': 2, 'time': 100, 'unit': 3}, [1.0, 12.2, 150.0])
    """
    afferents, truth = (inputs, None) if isinstance(inputs, xr.DataArray) else _taken(inputs)
    _check(model, afferents)
    sign = afferents["sign"].values.astype(np.float32)
    signed = torch.from_numpy(afferents.values.astype(np.float32) * sign)
    held: dict[str, list[np.ndarray]] = {"branch": [], "memory": [], "output": []}
    with torch.inference_mode():
        for part in signed.split(batch_size):  # type: ignore[no-untyped-call]
            branches = model.branches(part)
            memories = model.memories(branches)
            for name, values in zip(held, (branches, memories, model.readout(memories)), strict=True):
                held[name].append(values.numpy())
        tau = model.memory_tau().double().numpy()
        weights = model.synapse.detach().relu().double().numpy()
    recordings = {name: _labelled(name, np.concatenate(blocks), afferents) for name, blocks in held.items()}
    recordings["memory"] = recordings["memory"].assign_coords(tau_ms=("unit", tau))
    graph = np.zeros((afferents.sizes["unit"], len(model.routing)))
    branch, slot = np.nonzero(model.routing >= 0)
    np.add.at(graph, (model.routing[branch, slot], branch), weights[branch, slot])
    ends = {"source": afferents["unit"].values, "target": recordings["branch"]["unit"].values}
    synapses = xr.DataArray(graph * sign[:, None], dims=("source", "target"), coords=ends, attrs={"units": "1"})
    return session(recordings, structure={"synapses": synapses}, truth=truth)


def _taken(tree: xr.DataTree) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    known = {node.path: node.dataset for node in tree.subtree}
    if "recording" not in known.get("/recordings/afferents", {}):
        raise ModelError("elm.record: the session has no recordings/afferents")
    truth = known.get("/truth", xr.Dataset())
    return known["/recordings/afferents"]["recording"], {str(name): truth[name] for name in truth.data_vars}


def _check(model: ELM, afferents: xr.DataArray) -> None:
    if afferents.dims != ("trial", "time", "unit") or "sign" not in afferents.coords:
        raise ModelError(f"elm.record: (trial, time, unit) with 'sign' on unit is needed; found {afferents.dims}")
    if afferents.sizes["unit"] != model.config.inputs:
        found = afferents.sizes["unit"]
        raise ModelError(f"elm.record: {found} afferents for a neuron with {model.config.inputs} inputs")
    rate = afferents.attrs.get("sampling_rate", 0.0)
    if abs(rate * model.config.dt / 1000 - 1) > 1e-6:
        raise ModelError(
            f"elm.record: a clock of {rate} Hz for a neuron with steps of {model.config.dt} ms: bin the spikes"
        )


def _labelled(name: str, values: Any, afferents: xr.DataArray) -> xr.DataArray:
    along = {str(key): coord.variable for key, coord in afferents.coords.items() if coord.dims == ("trial",)}
    about = {"system": "ELM neuron", "source": "neurointerp.models.elm.record", "citation": CITATION}
    made = recording(
        values, modality="activations", units="1", dims=("trial", "time", "unit"), name=name,
        time=afferents["time"], unit=[f"{name}.{i}" for i in range(values.shape[2])], coords=along,
        attrs={**about, "input_system": afferents.attrs.get("system", "not on record")},
    )  # fmt: skip
    return add_history(made, "models.elm.record", afferents=afferents)
