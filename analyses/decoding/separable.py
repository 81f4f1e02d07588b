"""Classes of trials decoded by the compact separable network in people it never saw, with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurointerp import split
from neurointerp.analyses.decoding._bands import relative_power
from neurointerp.analyses.decoding._folds import require_classes
from neurointerp.analyses.decoding._samples import Samples, classes, sample_values, samples
from neurointerp.analyses.decoding._scores import balanced_accuracy
from neurointerp.analyses.decoding.linear import class_labels
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.split import Fold

NAME = "decoding.separable"
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def separable(
    recording: xr.DataArray,
    target: str,
    *,
    by: str = "subject",
    cv: Iterable[tuple[Any, Any]] | None = None,
    filters: int = 16,
    kernels: int = 2,
    kernel: int = 64,
    epochs: int = 11,
    batch_size: int = 50,
    learning_rate: float = 1e-3,
    keep: int = 100,
    bands: Mapping[str, tuple[float, float]] | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> xr.Dataset:
    """Decode a label of trials with the compact separable network, each person by a network that never saw them.

    A filter over units, a filter over time on each, a rectifier, a norm, the mean over time, a linear readout
    (`models.separable`). The number of epochs is fixed; nothing is chosen on who is held out.

    Parameters
    ----------
    recording
        (trial, time, unit), `subject` may lead; without missing values. EEG, MEG, spike counts, or activations with the
        position of the token as time.
    target
        Coordinate on trials (or subjects) with the class of each.
    by
        Coordinate (or dim) whose values are held out one at a time: people, or runs of one person.
    cv
        Folds to use instead: `(train, test)` int arrays over the stacked trials, which may not share a value of `by`.
    filters, kernels, kernel
        Filters over units, temporal kernels on each and their length in samples (published: 64 at 128 Hz).
    epochs, batch_size, learning_rate
        Of Adam, as published.
    keep
        Bound on the products that make up the evidence of a trial, see `models.separable.evidence`.
    bands
        Name -> (low, high) per unit of time (Hz), such as `{"alpha": (8, 12), "beta": (12, 30)}`: adds the relative
        power of each trial in them, to be seen beside its evidence. It has no part in the decoding.
    device
        Where networks are trained, of torch, such as `"cuda"`.
    seed
        Seed of weights and batches, the same in each fold.

    Returns
    -------
    xarray.Dataset
        `accuracy`, `balanced_accuracy (statistics, fold)` with `held_out (fold)`; `probability (statistics, <sample
        dims>, class)`; `prediction (statistics, <sample dims>)`; `confusion (statistics, label, predicted)`.
        `statistics` are those of the norm at test: `test_batch` takes them from all trials of the held-out person,
        which adapts to them without labels and needs them together (as published); `running` those of training, so
        that a trial stands alone. Of the class predicted with `test_batch`: `heatmap (<sample dims>, time, unit)`,
        float32, standardised in each trial, its mean over time `unit_importance (<sample dims>, unit)`, and
        `fixations (<sample dims>, time, unit)`, counts. Per fold `spatial (fold, filter, unit)`, per unit of the
        recording, and `temporal (fold, filter, kernel, lag)`. Trials in no given test set have NaN, an empty prediction
        and no fixations.
        With `bands` also `band_power (<sample dims>, band, unit)`: power in each over that from the lowest edge to the
        highest, averaged over Slepian tapers of a half-bandwidth of 3 / duration.

    Raises
    ------
    AnalysisError
        When there are no trials in time, values or labels are missing, or folds leak or lack a class.
    ModelError
        When trials are shorter than the kernel, a size is out of range, or the device is not there.

    Notes
    -----
    Trials are divided by one number, the root mean square of the training trials, where the published code takes
    microvolts as they are: units and conditions keep their proportions, and any recording has a scale of about 1.

    References
    ----------
    Cui, Lan, Sourina, Mueller-Wittig (2022), EEG-based cross-subject driver drowsiness recognition with an
    interpretable convolutional neural network, IEEE Trans Neural Netw Learn Syst 34:7921-7933, and the code of the
    authors. The published figure (78.35 % over 11 people) is of data that are not here: it was not checked.

    Examples
    --------
    >>> import neurointerp as ni
    >>> from neurointerp.analyses import decoding
    >>> rec = ni.synthetic.drowsiness(n_subjects=2, n_trials=12)["recordings/drowsiness/recording"]
    >>> found = decoding.separable(rec, "condition", epochs=1)
    >>> dict(found.heatmap.sizes), found.held_out.values.tolist()
    ({'trial': 24, 'time': 384, 'unit': 30}, ['p0', 'p1'])
    """
    from neurointerp.models.separable import STATISTICS, Config

    laid = samples(recording, "each", NAME)
    number, names = classes(laid.frame, target, NAME)
    if by == target:
        raise AnalysisError(f"{NAME}: held out by {by!r}, no class would be in both train and test; pass another")
    outer = split.leave_one_out(laid.frame, by=by) if cv is None else split.given(laid.frame, cv, by=by)
    require_classes(outer, number, names, NAME)
    beside = {} if bands is None else _power(laid, recording, bands)
    shape = Config(laid.values.shape[1], laid.values.shape[2], len(names), filters, kernels, kernel)
    fits = [
        _fold(laid.values, number, fold, shape, keep, device,
              {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed})
        for fold in outer
    ]  # fmt: skip
    return result(
        {**_scores(fits, outer, laid, number, names, by, list(STATISTICS)), **_filters(fits, recording), **beside},
        analysis=NAME,
        recording=recording,
        parameters={
            "target": target, "by": by, "cv": f"{len(outer)} given folds" if cv is not None else None,
            "filters": filters, "kernels": kernels, "kernel": kernel, "epochs": epochs, "batch_size": batch_size,
            "learning_rate": learning_rate, "keep": keep,
            "bands": None if bands is None else {name: list(edges) for name, edges in bands.items()},
        },
        seed=seed,
    )  # fmt: skip


def _fold(
    values: Floats, number: Indices, fold: Fold, shape: Any, keep: int, device: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Train on one side, classify the other with both statistics and find its evidence."""
    import torch

    from neurointerp.models.separable import STATISTICS, evidence, train

    one, other = fold
    scale = float(np.sqrt((values[one] ** 2).mean())) or 1.0
    network = train(values[one] / scale, number[one], config=shape, device=device, **options)
    held = values[other] / scale
    with torch.no_grad():
        given = torch.from_numpy(held).to(device)
        probability = np.stack([network(given, statistics).exp().cpu().numpy() for statistics in STATISTICS])
    found = evidence(network, held, probability[0].argmax(axis=1), keep=keep)
    counts = np.zeros(held.shape, dtype=np.int16)
    np.add.at(counts, tuple(found.fixations.T), 1)
    return {
        "probability": probability,  # (statistics, trial, class)
        "heatmap": found.heatmap.astype(np.float32),  # (trial, unit, time)
        "fixations": counts,
        "spatial": network.spatial.weight.detach().cpu().numpy()[:, :, 0] / scale,
        "temporal": network.temporal.weight.detach().cpu().numpy()[:, 0].reshape(shape.filters, shape.kernels, -1),
    }


def _scores(
    fits: list[dict[str, Any]], outer: list[Fold], laid: Samples, number: Indices, names: NDArray[Any], by: str,
    statistics: list[str],
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Label what was said of held-out trials; where given test sets overlap, the last."""
    count, size = len(names), len(number)
    probability = np.full((len(statistics), size, count), np.nan)
    maps = {
        name: np.full((size, *fits[0][name].shape[1:]), missing, fits[0][name].dtype)
        for name, missing in (("heatmap", np.nan), ("fixations", 0))
    }
    accuracy = np.zeros((2, len(statistics), len(outer)))
    confusion = np.zeros((len(statistics), count, count), dtype=np.int64)
    for fold, ((_, test), fit) in enumerate(zip(outer, fits, strict=True)):
        predicted = fit["probability"].argmax(axis=2)
        accuracy[0, :, fold] = (predicted == number[test]).mean(axis=1)
        accuracy[1, :, fold] = balanced_accuracy(number[None, test], predicted[None], count)[0]
        for index, one in enumerate(predicted):
            np.add.at(confusion[index], (number[test], one), 1)
        probability[:, test] = fit["probability"]
        for name, values in maps.items():
            values[test] = fit[name]
    where, labels = laid.labels, class_labels(names)
    kept = np.where(np.isnan(probability).any(axis=2), -1, np.nan_to_num(probability).argmax(axis=2))
    how: dict[Any, Any] = {"statistics": np.array(statistics, dtype=object)}
    held = np.array([_name(laid.frame, by, test) for _, test in outer], dtype=object)
    folds = {**how, "fold": np.arange(len(outer)), "held_out": ("fold", held)}
    spread = {
        name: xr.DataArray(
            values.transpose(0, 2, 1).reshape(*where.sample_shape, values.shape[2], values.shape[1]),
            dims=(*where.sample_dims, "time", "unit"),
            coords={**where.sample_coords, **where.unit_coords, "time": laid.clock},
        )
        for name, values in maps.items()
    }
    dims, shape = ("statistics", *where.sample_dims), (len(statistics), *where.sample_shape)
    out = {
        "accuracy": xr.DataArray(accuracy[0], dims=("statistics", "fold"), coords=folds),
        "balanced_accuracy": xr.DataArray(accuracy[1], dims=("statistics", "fold"), coords=folds),
        "probability": xr.DataArray(
            probability.reshape(*shape, count), dims=(*dims, "class"),
            coords={**how, **where.sample_coords, "class": labels},
        ),
        "confusion": xr.DataArray(
            confusion, dims=("statistics", "label", "predicted"), coords={**how, "label": labels, "predicted": labels}
        ),
        **spread,
        "unit_importance": spread["heatmap"].mean("time"),
    }  # fmt: skip
    labelled = {name: array.assign_attrs(units="1") for name, array in out.items()}
    labelled["prediction"] = xr.DataArray(
        np.append(labels, "")[kept].reshape(shape), dims=dims, coords={**how, **where.sample_coords}
    )
    return labelled


def _power(laid: Samples, recording: xr.DataArray, bands: Mapping[str, tuple[float, float]]) -> dict[str, xr.DataArray]:
    """Label the relative power in bands of every trial."""
    power = relative_power(laid.values, recording.attrs.get("sampling_rate"), bands, NAME)
    where = laid.labels
    edges = np.array(list(bands.values()), dtype=float)
    coords = {"band": np.array(list(bands), dtype=object), "low": ("band", edges[:, 0]), "high": ("band", edges[:, 1])}
    return {
        "band_power": xr.DataArray(
            power.reshape(*where.sample_shape, *power.shape[1:]), dims=(*where.sample_dims, "band", "unit"),
            coords={**where.sample_coords, **where.unit_coords, **coords}, attrs={"units": "1"},
        )
    }  # fmt: skip


def _name(frame: xr.DataArray, by: str, test: Indices) -> str:
    """Give the values of `by` that a fold holds out."""
    flat = sample_values(frame, by, NAME) if by in frame.coords else split.groups(frame, by)
    return ", ".join(str(value) for value in np.unique(flat[test].astype(str)))


def _filters(fits: list[dict[str, Any]], recording: xr.DataArray) -> dict[str, xr.DataArray]:
    """Label the filters of each fold's network."""
    units = {name: coord for name, coord in recording.coords.items() if coord.dims == ("unit",)}
    spatial, temporal = (np.stack([fit[name] for fit in fits]) for name in ("spatial", "temporal"))
    lag: Any = np.arange(temporal.shape[3])
    rate = recording.attrs.get("sampling_rate")
    step = {"units": "sample"} if rate is None else {"units": "sample", "sampling_rate": float(rate)}
    common = {"fold": np.arange(len(fits)), "filter": np.arange(spatial.shape[1])}
    return {
        "spatial": xr.DataArray(
            spatial, dims=("fold", "filter", "unit"), coords={**common, **units},
            attrs={"units": f"1 / ({recording.attrs['units']})"},
        ),
        "temporal": xr.DataArray(
            temporal, dims=("fold", "filter", "kernel", "lag"),
            coords={**common, "kernel": np.arange(temporal.shape[2]), "lag": ("lag", lag, step)}, attrs={"units": "1"},
        ),
    }  # fmt: skip
