"""What a hatchling holds while it reads, as recordings: its neurons, its stream, and chosen synapses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurointerp.errors import ModelError
from neurointerp.models.hatchling.model import BDH, Activity
from neurointerp.recordings import add_history, recording, session

CITATION = "Kosowski et al. (2025) arXiv:2509.26507"
SITES = ("x", "y", "xy", "v")


def record(
    model: BDH,
    sequences: Sequence[ArrayLike],
    *,
    sites: Sequence[str] = ("xy",),
    layers: Sequence[int] | None = None,
    synapses: Sequence[tuple[int, int, int, int]] = (),
    stimulus: Sequence[str] | None = None,
    keep: Sequence[ArrayLike] | None = None,
) -> xr.DataTree:
    r"""Run a hatchling on sequences of tokens and record its neurons and synapses.

    Parameters
    ----------
    model
        The model; it runs in evaluation mode and is left as it was.
    sequences
        Token ids, one sequence each, of any lengths; each is read from an empty memory.
    sites
        `x`, `y` and their product `xy` (nonnegative, one unit per head and neuron), and `v`, the stream that a layer is
        given (one unit per channel).
    layers
        Which layers; all when left out. Neurons are many: one layer of the released model has 32,768.
    synapses
        `(layer, head, pre, post)` to follow: :math:`\sigma_t = \sum_{s \le t} y_s(post) (R_s x_s)(pre)`, the sum up to
        and with each token. Post activity is read as y of the same layer.
    stimulus
        One id per sequence; default `"0"`, `"1"`, ...
    keep
        Per sequence, True for the tokens to keep; all when left out. Others are read but not exported.

    Returns
    -------
    xarray.DataTree
        `recordings/<site>` and `recordings/sigma`, each (time, unit) with the clock counting tokens: `sequence`,
        `segment`, `position`, `token_id` and `stimulus` along it; along `unit` `layer`, `head` and `index`, for sigma
        `layer`, `head`, `pre` and `post`.

    Raises
    ------
    ModelError
        When a site, layer or synapse does not exist, or a sequence is empty.

    References
    ----------
    Kosowski et al. (2025), arXiv:2509.26507. The paper's synapse reads either y or relu(v E_v) as post activity; here
    it is y.

    Examples
    --------
    >>> from neurointerp.models.hatchling import BDH, Config
    >>> model = BDH(Config(vocab_size=16, layers=2, width=8, heads=2, neurons=6))
    >>> tree = record(model, [[1, 2, 3], [4, 5]], synapses=[(1, 0, 2, 3)])
    >>> xy, sigma = (tree[f"recordings/{name}/recording"] for name in ("xy", "sigma"))
    >>> dict(xy.sizes), sigma.unit.values.tolist()
    ({'time': 5, 'unit': 24}, ['L1.sigma.h0.2.3'])
    """
    chosen = tuple(range(model.config.layers)) if layers is None else tuple(layers)
    rows = [np.asarray(ids, dtype=np.int64) for ids in sequences]
    _check(model, rows, sites, chosen, synapses)
    masks = [np.ones(len(ids), bool) for ids in rows] if keep is None else [np.asarray(k, dtype=bool) for k in keep]
    if [len(ids) for ids in rows] != [len(mask) for mask in masks]:
        raise ModelError("hatchling.record: keep must have one value for each token of each sequence")
    was_training = model.training
    model.eval()
    try:
        blocks = [_run(model, ids, mask, sites, chosen, synapses) for ids, mask in zip(rows, masks, strict=True)]
    finally:
        model.train(was_training)
    along = _along(rows, masks, stimulus)
    recordings = {}
    for name in (*sites, *(["sigma"] if synapses else [])):
        values = np.concatenate([block[name] for block in blocks])
        labels, coords = _synapse_labels(synapses) if name == "sigma" else _unit_labels(model, name, chosen)
        recordings[name] = _labelled(name, values, labels, along | coords)
    return session(recordings)


def weight_graph(model: BDH, *, share: float = 0.01) -> xr.Dataset:
    r"""Give the strongest edges of the graph that the weights draw between neurons.

    :math:`G = D E`, from each neuron through the stream to each neuron of the next layer: (n, n), of rank `width`.

    Parameters
    ----------
    model
        The model.
    share
        Share of the n x n entries to keep, the largest ones.

    Returns
    -------
    xarray.Dataset
        `weight (edge)` with `source` and `target` along it, unit labels as `record` gives them without their layer.

    Raises
    ------
    ModelError
        When the share is not in (0, 1].

    Examples
    --------
    >>> from neurointerp.models.hatchling import BDH, Config
    >>> weight_graph(BDH(Config(vocab_size=16, layers=2, width=8, heads=2, neurons=6)), share=0.25).sizes["edge"]
    36
    """
    if not 0 < share <= 1:
        raise ModelError(f"hatchling.weight_graph: share is {share}; above 0 and at most 1 is needed")
    shape = model.config
    names = np.array([f"h{head}.{i}" for head in range(shape.heads) for i in range(shape.neurons)], dtype=object)
    with torch.inference_mode():
        graph = (model.decoder @ model.encoder.transpose(0, 1).flatten(1)).double().numpy()
    count = max(round(share * graph.size), 1)
    order = np.sort(np.argpartition(graph, -count, axis=None)[-count:])
    source, target = np.unravel_index(order, graph.shape)
    weight = xr.DataArray(graph[source, target], dims="edge", attrs={"units": "1"})
    return xr.Dataset({"weight": weight}, coords={"source": ("edge", names[source]), "target": ("edge", names[target])})


def _check(
    model: BDH, rows: Sequence[NDArray[np.int64]], sites: Sequence[str], layers: Sequence[int],
    synapses: Sequence[tuple[int, int, int, int]],
) -> None:  # fmt: skip
    shape = model.config
    unknown = [site for site in sites if site not in SITES]
    if unknown or not (sites or synapses):
        raise ModelError(f"hatchling.record: sites {list(sites)}; each must be one of {', '.join(SITES)}")
    bounds = (shape.layers, shape.heads, shape.neurons, shape.neurons)
    outside = [one for one in synapses if not all(0 <= part < bound for part, bound in zip(one, bounds, strict=True))]
    if outside or not all(0 <= layer < shape.layers for layer in layers):
        raise ModelError(f"hatchling.record: layers {list(layers)} or synapses {outside} are not in {shape}")
    if not rows or any(ids.ndim != 1 or not ids.size or ids.min() < 0 or ids.max() >= shape.vocab_size for ids in rows):
        raise ModelError(f"hatchling.record: each sequence must hold token ids from 0 to {shape.vocab_size - 1}")


def _run(
    model: BDH, ids: NDArray[np.int64], mask: NDArray[np.bool_], sites: Sequence[str], layers: Sequence[int],
    synapses: Sequence[tuple[int, int, int, int]],
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    wanted = tuple(sorted({*(layers if sites else ()), *(one[0] for one in synapses)}))
    with torch.inference_mode():
        _, held = model.run(torch.from_numpy(ids)[None], layers=wanted)
        found = {site: torch.cat([_site(held[layer], site) for layer in layers], dim=-1) for site in sites}
        if synapses:
            gains = [held[a].y[0, head, :, post] * held[a].rotated[0, head, :, pre] for a, head, pre, post in synapses]
            found["sigma"] = torch.stack(gains, dim=-1).cumsum(0)
        return {name: values[mask].numpy() for name, values in found.items()}


def _site(held: Activity, site: str) -> torch.Tensor:
    """Give (token, unit) of one site of one layer."""
    if site == "v":
        return held.v[0]
    values = held.x * held.y if site == "xy" else getattr(held, site)
    return values[0].transpose(0, 1).flatten(1)


def _along(
    rows: Sequence[NDArray[np.int64]], masks: Sequence[NDArray[np.bool_]], stimulus: Sequence[str] | None
) -> dict[str, Any]:
    names = [str(i) for i in range(len(rows))] if stimulus is None else [str(one) for one in stimulus]
    if len(names) != len(rows):
        raise ModelError(f"hatchling.record: {len(names)} stimulus ids for {len(rows)} sequences")
    sequence = np.repeat(np.arange(len(rows)), [mask.sum() for mask in masks])
    position = np.concatenate([np.flatnonzero(mask) for mask in masks])
    breaks = (np.diff(sequence) != 0) | (np.diff(position) != 1)
    return {
        "segment": ("time", np.concatenate([[0], np.cumsum(breaks)])[: len(sequence)]),
        "sequence": ("time", sequence),
        "position": ("time", position),
        "token_id": ("time", np.concatenate([ids[mask] for ids, mask in zip(rows, masks, strict=True)])),
        "stimulus": ("time", np.array(names, dtype=object)[sequence]),
    }


def _unit_labels(model: BDH, site: str, layers: Sequence[int]) -> tuple[list[str], dict[str, Any]]:
    shape = model.config
    heads, count = (1, shape.width) if site == "v" else (shape.heads, shape.neurons)
    layer, head, index = (part.ravel() for part in np.meshgrid(layers, range(heads), range(count), indexing="ij"))
    middle = [""] * len(head) if site == "v" else [f"h{number}." for number in head]
    labels = [f"L{a}.{site}.{b}{c}" for a, b, c in zip(layer, middle, index, strict=True)]
    coords: dict[str, Any] = {"layer": ("unit", layer), "index": ("unit", index)}
    coords["site"] = ("unit", [site] * len(labels))
    return labels, coords if site == "v" else coords | {"head": ("unit", head)}


def _synapse_labels(synapses: Sequence[tuple[int, int, int, int]]) -> tuple[list[str], dict[str, Any]]:
    columns = np.array(synapses).T
    coords = {name: ("unit", column) for name, column in zip(("layer", "head", "pre", "post"), columns, strict=True)}
    return [f"L{layer}.sigma.h{head}.{pre}.{post}" for layer, head, pre, post in synapses], coords


def _labelled(name: str, values: NDArray[Any], labels: Sequence[str], coords: Mapping[str, Any]) -> xr.DataArray:
    made = recording(
        values, modality="activations", units="1", time=("time", np.arange(len(values)), {"units": "token"}),
        unit=labels, coords=coords, name=name,
        attrs={"system": "Dragon Hatchling", "source": "neurointerp.models.hatchling.record", "citation": CITATION},
    )  # fmt: skip
    given = {"post_activity": "y"} if name == "sigma" else {}
    return add_history(made, "models.hatchling.record", site=name, **given)
