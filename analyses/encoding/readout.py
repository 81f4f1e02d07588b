"""Readouts: from a feature map to responses, by what a readout may know about space."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.analyses.encoding._maps import channels, curve_of, grid_of, require_seen, scaling, scored, trials_of
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.schema import plain

if TYPE_CHECKING:
    from torch import nn

    from neurointerp.models.readouts import Training

_ANALYSIS = "encoding.readout"
KINDS = ("linear", "pooled", "factorized", "gaussian", "point", "attention", "spatial_transformer")


def readout(
    features: xr.DataArray, responses: xr.DataArray, kind: str = "factorized", *,
    condition: xr.DataArray | None = None, core: nn.Module | None = None, cv: int | Iterable[tuple[Any, Any]] = 5,
    validation: float = 0.1, training: Training | None = None, options: Mapping[str, Any] | None = None,
    device: str = "cpu", seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Predict each unit's responses from feature maps, and say where on the map it looks.

    Parameters
    ----------
    features
        (trial, row, col, unit) feature maps, or (trial, token, unit) with `row` and `col` that fill a grid; of images,
        where there is a `core`. Matched with the responses by `stimulus` where both name it (one map of each, shown
        as often as you like), else by `trial`. Without a core each channel is scaled by what it does in the training
        fold, and brought within 15 deviations of its mean: one that is silent but in a few images lies hundreds off.
    responses
        (trial, unit). NaN where a unit was not seen: left out of losses and scores. A coordinate
        `noise_ceiling` of the units (share of the variance that can be predicted) adds a normalised score.
    kind
        `linear` (ridge on all of the map, a penalty per unit chosen by leaving out one training stimulus at a time),
        `pooled` (the same of the mean over the map), `factorized` (a mask of places times a vector of channels),
        `gaussian` (a Gaussian mask), `point` (one place, drawn while training), `attention` (one map of weights for all
        units, computed from the image), `spatial_transformer` (masks that the image moves, turns and scales). See
        `neurointerp.models.readouts`.
    condition
        Maps that the warp of `spatial_transformer` is computed from; by default `features`.
    core
        A torch module (sample, channel, row, col) -> (sample, channel, row, col) before the readout, copied and
        trained anew with it in each fold: a response-optimised core, such as `models.readouts.RotationCore`.
    cv
        Number of folds of whole stimuli, or (train, test) int arrays of trials that share no stimulus.
    validation
        Share of the training stimuli that decides when to stop; three at least. `linear` and `pooled` take no part in
        it: they are solved on all training stimuli. Of few, the best epoch is found by chance: see how many there were
        (`validation_stimuli`).
    training
        `neurointerp.models.readouts.Training(...)`.
    options
        Further arguments of the readout, such as `{"modes": ["translation"]}`.
    device
        Of torch, such as `"cuda"`; maps go there batch by batch.
    seed
        Of the starts, the validation draws and the batches.

    Returns
    -------
    xarray.Dataset
        `score (fold, unit)`, r2, and `correlation (fold, unit)` on held-out stimuli; `prediction (trial, unit)`, held
        out; `test_fold (trial)`, the (last) fold that tested a trial, -1 for none; `validation (fold)`, the mean
        validation correlation of the epoch kept, and `validation_stimuli (fold)`, of how many, NaN and 0 where nothing
        is descended to (`linear`, `pooled`), else with `validation_curve (fold, epoch)`, NaN after the last epoch;
        `score_of_ceiling (unit)` = min(max(r, 0)^2 / ceiling, 1), where there is one. By kind:

        - `spatial_mask (fold, unit, row, col)`, `feature_weight (fold, unit, channel)`;
        - `rf_centre (fold, unit, axis)`, row and col in cells from 0, which a mask narrower than a cell hardly fixes
          (its `spatial_mask` is then what to look at); `rf_sigma (fold, unit)` in cells, the fourth root of the
          determinant of the covariance;
        - `attention (trial, row, col)`; `affine (trial, unit, axis, entry)`, of the fold that held the trial out.

    Raises
    ------
    AlignmentError
        When features lack a stimulus, or hold one twice.
    AnalysisError
        When dims are others, maps have missing values, a unit has no response in a training fold, folds leak, fewer
        than three stimuli are for validation, or `kind` is not known.
    ModelError
        When the device is not there.

    References
    ----------
    Saha, Chadha, Khosla (2024), arXiv:2410.14031; Klindt et al. (2017); Lurz et al. (2021). Deviations at the readouts.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((60, 3, 3, 2))
    >>> make = lambda v, *dims: ni.recording(v, modality="activations", units="1", dims=("trial", *dims, "unit"))
    >>> found = encoding.readout(make(maps, "row", "col"), make(maps[:, 1, 2]), "linear", cv=2)
    >>> bool((found.score > 0.9).all())
    True
    """
    from neurointerp.models import readouts

    if kind not in KINDS:
        raise AnalysisError(f"{_ANALYSIS}: kind {kind!r} is not one of {', '.join(KINDS)}")
    if condition is not None and kind != "spatial_transformer":
        raise AnalysisError(f"{_ANALYSIS}: condition= says nothing to {kind!r}; only 'spatial_transformer' looks at it")
    trials = trials_of(features, responses, _ANALYSIS)
    maps = trials.seen(grid_of(trials.maps, _ANALYSIS))
    second = None
    if condition is not None:
        other = trials_of(condition, responses, _ANALYSIS)
        second = other.seen(grid_of(other.maps, _ANALYSIS))
    folds = trials.folds(cv, _ANALYSIS)
    require_seen(trials, folds, _ANALYSIS)
    values = np.asarray(trials.responses.values, dtype=np.float32)
    solved = kind in ("linear", "pooled") and core is None
    predictions, parts, curves, known = [], [], [], []
    for number, (train, test) in enumerate(folds):
        rng = np.random.default_rng([seed, number])
        held = np.array([], dtype=np.int64) if solved else trials.validation(train, validation, rng, _ANALYSIS)
        known.append(len(np.unique(trials.group[train][held])))
        own_core = copy.deepcopy(core)
        mean, deviation = scaling(values[train], (0,))
        inputs = maps if core is not None else channels(maps, train, (0, 2, 3))
        shape = _shape(own_core, inputs[:2])
        model = _made(kind, shape, values.shape[1], second, dict(options or {}), seed + number)
        fitted = readouts.fit(
            model, inputs[train], (values[train] - mean) / deviation, validation=held,
            groups=trials.group[train], condition=None if second is None else second[train], core=own_core,
            training=training, device=device, seed=seed + number,
        )  # fmt: skip
        seen = None if second is None else second[test]
        answer = readouts.predict(model, inputs[test], condition=seen, core=own_core)
        predictions.append(answer * deviation + mean)
        curves.append(fitted.validation)
        parts.append(_parts(model, inputs[test], seen, own_core))
    variables = scored(trials, folds, predictions) | _labelled(parts, folds, trials.responses, trials.maps)
    variables["validation"] = xr.DataArray([max(curve, default=np.nan) for curve in curves], dims="fold")
    variables["validation_stimuli"] = xr.DataArray(known, dims="fold")
    if not solved:
        variables["validation_curve"] = curve_of(curves)
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=[features, responses],
        parameters=plain({"kind": kind, "cv": cv if isinstance(cv, int) else f"{len(folds)} given folds",
                          "validation": validation, "training": vars(training or readouts.Training()),
                          "options": {k: str(v) for k, v in (options or {}).items()},
                          "core": type(core).__name__ if core is not None else None}),
        seed=seed,
    )  # fmt: skip


def _shape(core: nn.Module | None, maps: np.ndarray) -> tuple[int, int, int]:
    if core is None:
        return maps.shape[1], maps.shape[2], maps.shape[3]
    import torch

    with torch.no_grad():
        made = copy.deepcopy(core).cpu().eval()(torch.as_tensor(maps))
    if made.ndim != 4:
        raise AnalysisError(f"{_ANALYSIS}: the core gives {tuple(made.shape)}; (sample, channel, row, col) is needed")
    return made.shape[1], made.shape[2], made.shape[3]


def _made(
    kind: str, shape: tuple[int, int, int], units: int, second: np.ndarray | None, options: dict[str, Any], seed: int
) -> nn.Module:
    import torch

    from neurointerp.models import readouts

    makers: dict[str, Callable[..., nn.Module]] = {
        "linear": readouts.LinearReadout,
        "pooled": lambda *a, **k: readouts.LinearReadout(*a, pooled=True, **k),
        "factorized": readouts.FactorizedReadout,
        "gaussian": readouts.GaussianReadout,
        "point": readouts.PointReadout,
        "attention": readouts.AttentionReadout,
        "spatial_transformer": readouts.SpatialTransformerReadout,
    }
    if kind == "spatial_transformer" and second is not None:
        options["condition"] = second.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return makers[kind](shape, units, **options)
        except TypeError as error:
            raise AnalysisError(f"{_ANALYSIS}: options of {kind!r}: {error}") from error


def _parts(model: Any, maps: np.ndarray, condition: np.ndarray | None, core: nn.Module | None) -> dict[str, np.ndarray]:
    """Give what a fitted readout has to show of itself."""
    import torch

    device = next(model.parameters()).device
    found: dict[str, Any] = {}
    with torch.no_grad():
        given = torch.as_tensor(np.ascontiguousarray(maps), dtype=torch.float32, device=device)
        given = given if core is None else core(given)
        if hasattr(model, "mask"):
            found["spatial_mask"] = model.mask()
        if hasattr(model, "features"):
            found["feature_weight"] = model.features
        if hasattr(model, "centre"):
            size = torch.tensor([given.shape[3], given.shape[2]], device=device)
            found["rf_centre"] = (((model.centre.clamp(-1, 1) + 1) * size - 1) / 2).flip(-1)
            root = model.root.tril() if hasattr(model, "mask") else model.root
            found["rf_sigma"] = (torch.linalg.det(root).abs() * size.prod() / 4).sqrt()
        if hasattr(model, "attention"):
            found["attention"] = model.attention(given)
        if hasattr(model, "affine"):
            second = given if condition is None else torch.as_tensor(condition, dtype=torch.float32, device=device)
            found["affine"] = model.affine(second)
    return {name: value.detach().cpu().numpy() for name, value in found.items()}


DIMS = {
    "spatial_mask": ("unit", "row", "col"),
    "feature_weight": ("unit", "channel"),
    "rf_centre": ("unit", "axis"),
    "rf_sigma": ("unit",),
    "attention": ("trial", "row", "col"),
    "affine": ("trial", "unit", "axis", "entry"),
}


def _labelled(
    parts: list[dict[str, np.ndarray]], folds: list[tuple[np.ndarray, np.ndarray]], responses: xr.DataArray,
    maps: xr.DataArray,
) -> dict[str, xr.DataArray]:  # fmt: skip
    """Stack parameters over folds, and put what belongs to a trial back on its trial."""
    units = {name: c for name, c in responses.coords.items() if c.dims == ("unit",)}
    out = {}
    for name in parts[0]:
        dims = DIMS[name]
        coords = dict(units) if "unit" in dims else {}
        if "axis" in dims and name == "rf_centre":
            coords["axis"] = np.array(["row", "col"], dtype=object)
        if name == "feature_weight" and parts[0][name].shape[1] == maps.sizes["unit"]:
            coords["channel"] = maps["unit"].values
        if dims[0] == "trial":
            whole = np.full((responses.sizes["trial"], *parts[0][name].shape[1:]), np.nan, dtype=np.float32)
            for (_, test), part in zip(folds, parts, strict=True):
                whole[test] = part[name]
            coords |= {key: c for key, c in responses.coords.items() if c.dims == ("trial",)}
            out[name] = xr.DataArray(whole, dims=dims, coords=coords)
        else:
            out[name] = xr.DataArray(np.stack([part[name] for part in parts]), dims=("fold", *dims), coords=coords)
    return out
