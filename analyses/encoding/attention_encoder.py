"""The attention encoder: regions of a brain ask the tokens of an image, and their units answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.analyses.encoding._maps import channels, curve_of, require_seen, scaling, scored, trials_of
from neurointerp.errors import AnalysisError
from neurointerp.result import result
from neurointerp.schema import plain

if TYPE_CHECKING:
    from neurointerp.models.readouts import Training

_ANALYSIS = "encoding.attention_encoder"


def attention_encoder(
    features: xr.DataArray, responses: xr.DataArray, membership: xr.DataArray | str = "region", *, width: int = 64,
    heads: int = 4, hidden: int = 128, dropout: float = 0.0, cv: int | Iterable[tuple[Any, Any]] = 5,
    validation: float = 0.1, training: Training | None = None, device: str = "cpu", seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Predict each unit's responses from the tokens that the query of its region attends to.

    Parameters
    ----------
    features
        (trial, token, unit) with `row` and `col` on `token`, or (trial, row, col, unit). Matched with the responses by
        `stimulus` where both name it (one map of each), else by `trial`.
    responses
        (trial, unit). NaN where a unit was not seen. `noise_ceiling` as in `readout`.
    membership
        (unit, roi) bool, for units in several regions, or the name of a coordinate of the units. A unit in no region
        goes to a region of its own, `"elsewhere"`.
    width, heads, hidden, dropout
        Of the layer; the paper has 768, 16, 1,024 and 0.1. `width` must be a multiple of four and of `heads`. With a
        few hundred trials a dropout of 0.3 predicts more.
    cv, validation, training, device, seed
        As in `readout`; trained by default on the squared error alone, as published, in 40 epochs of batches of 64 at
        a rate of 4e-3; what is kept is a mean over some hundred steps (`Training(average=0.99)`).

    Returns
    -------
    xarray.Dataset
        `score (fold, unit)`, `correlation (fold, unit)`, `prediction (trial, unit)`, `test_fold (trial)` and
        `score_of_ceiling (unit)` as `readout` gives them; `attention (trial, roi, head, token)`, held out, of sum 1
        over tokens, with `token_row` and `token_col`; `query (fold, roi, channel)`; `validation (fold, unit)`,
        correlation on the validation samples; `validation_curve (fold, epoch)`, its mean over units after each epoch,
        NaN after the last; `parameters`, how many numbers the encoder has.

    Raises
    ------
    AlignmentError
        When features lack a stimulus, or hold one twice.
    AnalysisError
        When dims are others, maps have missing values, a unit has no response in a training fold, folds leak, or units
        have no regions.

    References
    ----------
    Adeli, Minni, Kriegeskorte (2025), NeurIPS, arXiv:2505.17329. Deviations: folds are folds, where the published code
    draws ten random splits and averages their predictions (give some seeds, and their results to `layer_ensemble` with
    `sharpness=0`); tokens (as in `readout`) and responses are scaled by their training fold; a mean over steps in place
    of a rate that is halved, and no dropout: on simulated regions both predicted more, and routed to what the regions
    read more sharply. See also `neurointerp.models.readouts.RoutingEncoder`.

    Examples
    --------
    >>> import numpy as np, neurointerp as ni
    >>> from neurointerp.analyses import encoding
    >>> from neurointerp.models.readouts import Training
    >>> rng = np.random.default_rng(0)
    >>> maps = rng.standard_normal((60, 2, 2, 4))
    >>> tokens = ni.recording(maps, modality="activations", units="1", dims=("trial", "row", "col", "unit"))
    >>> voxels = ni.recording(maps[:, 1, 0, :3], modality="fmri", units="1", dims=("trial", "unit"),
    ...                       coords={"region": ("unit", ["V1", "V1", "V2"])})
    >>> short = Training(epochs=2)
    >>> found = encoding.attention_encoder(tokens, voxels, width=8, heads=2, hidden=8, cv=2, training=short)
    >>> dict(found.attention.sizes)
    {'trial': 60, 'roi': 2, 'head': 2, 'token': 4}
    """
    from neurointerp.models import readouts

    trials = trials_of(features, responses, _ANALYSIS)
    tokens, row, col = _tokens(trials.maps)
    tokens = trials.seen(tokens)
    roi, member = _membership(trials.responses, membership)
    folds = trials.folds(cv, _ANALYSIS)
    require_seen(trials, folds, _ANALYSIS)
    values = np.asarray(trials.responses.values, dtype=np.float32)
    how = training or readouts.Training(40, 64, 4e-3, clip=0.1, concordance=0.0, average=0.99)
    predictions, queries, validated, curves = [], [], [], []
    attention = np.full((len(tokens), len(roi), heads, tokens.shape[1]), np.nan, dtype=np.float32)
    for number, (train, test) in enumerate(folds):
        held = trials.validation(train, validation, np.random.default_rng([seed, number]), _ANALYSIS)
        inputs = channels(tokens, train, (0, 1))
        mean, deviation = scaling(values[train], (0,))
        model = _made(
            seed + number, tokens.shape[2], row, col, member, width=width, heads=heads, hidden=hidden, dropout=dropout
        )
        target = (values - mean) / deviation
        fitted = readouts.fit(
            model, inputs[train], target[train], validation=held, training=how, device=device, seed=seed + number
        )
        curves.append(fitted.validation)
        predictions.append(readouts.predict(model, inputs[test]) * deviation + mean)
        known = readouts.predict(model, inputs[train][held])
        validated.append(
            [_correlation(known[:, unit], target[train][held][:, unit]) for unit in range(values.shape[1])]
        )
        attention[test] = _attention(model, inputs[test])
        queries.append(model.query.detach().cpu().numpy())
    units = {name: c for name, c in trials.responses.coords.items() if c.dims == ("unit",)}
    on_token = {"token_row": ("token", row), "token_col": ("token", col), "roi": roi}
    sample = {name: c for name, c in trials.responses.coords.items() if c.dims == ("trial",)}
    variables = scored(trials, folds, predictions) | {
        "attention": xr.DataArray(attention, dims=("trial", "roi", "head", "token"), coords={**on_token, **sample}),
        "query": xr.DataArray(np.stack(queries), dims=("fold", "roi", "channel"), coords={"roi": roi}),
        "validation": xr.DataArray(np.array(validated), dims=("fold", "unit"), coords=units),
        "validation_curve": curve_of(curves),
        "parameters": xr.DataArray(sum(p.numel() for p in model.parameters())),
    }
    return result(
        variables,
        analysis=_ANALYSIS,
        recording=[features, responses],
        parameters=plain({"membership": membership if isinstance(membership, str) else "given", "width": width,
                          "heads": heads, "hidden": hidden, "dropout": dropout, "validation": validation,
                          "cv": cv if isinstance(cv, int) else f"{len(folds)} given folds",
                          "training": vars(how)}),
        seed=seed,
    )  # fmt: skip


def layer_ensemble(results: Mapping[str, xr.Dataset], *, sharpness: float = 40.0, seed: int = 0) -> xr.Dataset:
    """Average the predictions of several layers, each unit with the layers that predict its validation samples best.

    Each trial takes the weights of the fold that held it out: validation samples of the other folds hold the trial
    itself, so that a mean over folds would choose layers by what they are tested on.

    Parameters
    ----------
    results
        Layer -> result of `attention_encoder` on the same trials, units and folds, whose test sets do not overlap.
    sharpness
        Of the softmax over layers of the validation correlation; 40 in the paper.
    seed
        Kept in the result; nothing here is random.

    Returns
    -------
    xarray.Dataset
        `prediction (trial, unit)`, NaN at trials that were in no test set, and `weight (layer, fold, unit)`, of sum 1
        over layers; a layer whose validation correlation is not defined counts as -1. Score the prediction against
        the responses you hold (`neurointerp.score`).

    Raises
    ------
    AnalysisError
        When results do not fit together.

    References
    ----------
    Adeli, Minni, Kriegeskorte (2025), arXiv:2505.17329.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurointerp.analyses import encoding
    >>> from neurointerp.result import result
    >>> def one(value, r):
    ...     return result({"prediction": xr.DataArray([[value]], dims=("trial", "unit")),
    ...                    "test_fold": xr.DataArray([0], dims="trial"),
    ...                    "validation": xr.DataArray([[r]], dims=("fold", "unit"))},
    ...                   analysis="encoding.attention_encoder", recording=xr.DataArray([0.0]), parameters={}, seed=0)
    >>> float(encoding.layer_ensemble({"L1": one(1.0, 0.6), "L2": one(3.0, 0.6)}).prediction[0, 0])
    2.0
    """
    if not results or any(not {"validation", "prediction", "test_fold"} <= set(one) for one in results.values()):
        raise AnalysisError("encoding.layer_ensemble: results of attention_encoder, by layer, are needed")
    layer = xr.Variable("layer", np.array(list(results), dtype=object))
    try:
        r = xr.concat(
            [one["validation"] for one in results.values()],
            layer,
            join="exact",
            coords="minimal",
            compat="override",
        )
        predicted = xr.concat(
            [one["prediction"] for one in results.values()], layer, join="exact", coords="minimal", compat="override"
        )
    except ValueError as error:
        raise AnalysisError(f"encoding.layer_ensemble: results of different trials or units: {error}") from error
    fold = next(iter(results.values()))["test_fold"]
    if any(not np.array_equal(one["test_fold"], fold) for one in results.values()):
        raise AnalysisError("encoding.layer_ensemble: results of different folds; pass the same cv= to all")
    r = r.fillna(-1.0)
    raw = xr.apply_ufunc(np.exp, sharpness * (r - r.max(dim="layer")))
    weight = raw / raw.sum(dim="layer")
    own = weight.isel(fold=fold.clip(min=0)).drop_vars("fold", errors="ignore")
    return result(
        {"prediction": (own * predicted).sum(dim="layer", skipna=False), "weight": weight},
        analysis="encoding.layer_ensemble",
        recording=list(results.values()),
        parameters={"sharpness": sharpness},
        seed=seed,
    )


def _tokens(maps: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give (stimulus, token, channel) and the row and col of each token."""
    values = np.asarray(maps.values, dtype=np.float32)
    if maps.dims == ("trial", "row", "col", "unit"):
        rows, cols = maps.sizes["row"], maps.sizes["col"]
        place = np.indices((rows, cols)).reshape(2, -1)
        return values.reshape(len(values), rows * cols, -1), place[0], place[1]
    if maps.dims == ("trial", "token", "unit") and {"row", "col"} <= set(maps.coords):
        return values, np.asarray(maps["row"].values), np.asarray(maps["col"].values)
    raise AnalysisError(
        f"{_ANALYSIS}: features (trial, token, unit) with row and col, or (trial, row, col, unit), are needed; "
        f"found {maps.dims}"
    )


def _membership(responses: xr.DataArray, membership: xr.DataArray | str) -> tuple[np.ndarray, np.ndarray]:
    """Give the regions, and (region, unit) which of them contain a unit."""
    if isinstance(membership, str):
        if membership not in responses.coords or responses[membership].dims != ("unit",):
            raise AnalysisError(f"{_ANALYSIS}: units have no coordinate {membership!r}; pass membership= (unit, roi)")
        known = responses[membership]
        named = known.notnull().values
        labels = np.array(
            [(str(label) if there else "") or "elsewhere" for label, there in zip(known.values, named, strict=True)],
            dtype=object,
        )
        roi = np.array(sorted(set(labels)), dtype=object)
        return roi, np.array([labels == one for one in roi])
    if set(membership.dims) != {"unit", "roi"}:
        raise AnalysisError(f"{_ANALYSIS}: membership (unit, roi) is needed; found {membership.dims}")
    missing = sorted(set(responses["unit"].values) - set(membership["unit"].values))
    if missing:
        raise AnalysisError(f"{_ANALYSIS}: membership lacks {len(missing)} units, such as {missing[0]!r}")
    member = membership.sel(unit=responses["unit"].values).transpose("roi", "unit").values.astype(bool)
    roi = membership["roi"].values.astype(object)
    alone = ~member.any(axis=0)
    if alone.any():
        roi, member = np.append(roi, "elsewhere"), np.vstack([member, alone])
    return roi, member


def _made(seed: int, channels: int, row: np.ndarray, col: np.ndarray, member: np.ndarray, **sizes: Any) -> Any:
    import torch

    from neurointerp.models.readouts import RoutingEncoder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RoutingEncoder(channels, row, col, member, **sizes)


def _attention(model: Any, tokens: np.ndarray, batch: int = 256) -> np.ndarray:
    import torch

    device = model.query.device
    with torch.no_grad():
        parts = [
            model.attention(torch.as_tensor(tokens[at : at + batch], dtype=torch.float32, device=device)).cpu().numpy()
            for at in range(0, len(tokens), batch)
        ]
    return np.concatenate(parts)


def _correlation(predicted: np.ndarray, observed: np.ndarray) -> float:
    seen = ~np.isnan(observed)
    if seen.sum() < 2 or not np.ptp(predicted[seen]) > 0 or not np.ptp(observed[seen]) > 0:
        return float("nan")
    return float(np.corrcoef(predicted[seen], observed[seen])[0, 1])
