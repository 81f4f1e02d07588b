"""Anything that turns stimuli into responses of units, with gradients: torch models and fitted encoding models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from neurointerp.errors import ModelError
from neurointerp.models.gradients import call
from neurointerp.models.running import evaluating
from neurointerp.models.sites import Site, sites_of
from neurointerp.models.taps import features_last, tapped

if TYPE_CHECKING:
    import torch

POOLS = ("mean", "first", "last", "max")


@runtime_checkable
class Responder(Protocol):
    """What gives responses to stimuli.

    Attributes
    ----------
    unit
        Labels of the units.
    """

    unit: tuple[str, ...]

    def respond(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Give (stimulus, unit) for stimuli (stimulus, ...), differentiably."""


def responder(
    model: torch.nn.Module, *, sites: str | Sequence[str], units: Sequence[str] | None = None, pool: str = "mean"
) -> ModelResponder:
    """Make a torch model a responder: units at its sites answer to what the model is given.

    Parameters
    ----------
    model
        Any module that takes one tensor of stimuli.
    sites
        Where, as `activations.record` names them.
    units
        Labels of the units to keep (`L3.mlp.post.7`); default all.
    pool
        What becomes of tokens, frames, or rows and columns between stimulus and unit: their `"mean"` or `"max"`, the
        `"first"` or the `"last"`.

    Returns
    -------
    ModelResponder
        With `unit` and `respond(stimulus)`.

    Raises
    ------
    ModelError
        When a site or a unit is not there.

    Examples
    --------
    >>> import torch
    >>> one = responder(torch.nn.Sequential(torch.nn.Linear(2, 3)), sites="0")
    >>> one.respond(torch.zeros(4, 2)).shape
    torch.Size([4, 3])
    """
    if pool not in POOLS:
        raise ModelError(f"pool is {pool!r}: one of {', '.join(map(repr, POOLS))} is needed")
    return ModelResponder(model, sites_of(model, sites), units, pool)


class ModelResponder:
    """Units of a torch model; made by `responder`. `unit` is known after the first response where none were asked."""

    def __init__(self, model: torch.nn.Module, sites: Sequence[Site], units: Sequence[str] | None, pool: str) -> None:
        self._model, self._sites, self._pool = model, list(sites), pool
        self._wanted = units
        self.unit: tuple[str, ...] = tuple(units or ())

    def respond(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Give (stimulus, unit) for stimuli (stimulus, ...), differentiably."""
        import torch

        held: dict[int, torch.Tensor] = {}
        taps = [(site, lambda tensor, i=i: held.__setitem__(i, tensor)) for i, site in enumerate(self._sites)]
        with evaluating(self._model), tapped(self._model, taps):
            call(self._model, stimulus)
        pooled = [self._pooled(features_last(held[i], site)) for i, site in enumerate(self._sites)]
        names = [site.label(k) for site, one in zip(self._sites, pooled, strict=True) for k in range(one.shape[1])]
        out = torch.cat(pooled, dim=1)
        if self._wanted is None:
            self.unit = tuple(names)
            return out
        place = {name: k for k, name in enumerate(names)}
        missing = sorted(set(self.unit) - set(place))
        if missing:
            raise ModelError(f"there is no unit {missing[0]!r} at the sites; they are {names[0]!r} to {names[-1]!r}")
        return out[:, [place[name] for name in self.unit]]

    def _pooled(self, last: torch.Tensor) -> torch.Tensor:
        flat = last.reshape(len(last), -1, last.shape[-1])
        if self._pool in ("first", "last"):
            return flat[:, 0 if self._pool == "first" else -1]
        return flat.mean(1) if self._pool == "mean" else flat.amax(1)


def fitted(result: xr.Dataset, *, features: Responder | None = None) -> FittedResponder:
    """Make a fitted encoding model a responder.

    Parameters
    ----------
    result
        With `weights (feature, unit)` and `intercept (unit)`, as `encoding.ridge` gives them, of features without
        lags.
    features
        What turns stimuli into the features, such as a torch model's responder; its units are matched by label.
        Left out, a stimulus is its features.

    Returns
    -------
    FittedResponder
        With `unit` and `respond(stimulus)`.

    Raises
    ------
    ModelError
        When the result has no weights, has lags, or `features` lacks one of its features.

    Examples
    --------
    >>> import torch
    >>> result = xr.Dataset(
    ...     {"weights": (("feature", "unit"), [[1.0], [2.0]]), "intercept": ("unit", [0.5])},
    ...     coords={"feature": ["a", "b"], "unit": ["voxel"]},
    ... )
    >>> fitted(result).respond(torch.ones(1, 2))
    tensor([[3.5000]])
    """
    missing = {"weights", "intercept"} - set(result.data_vars)
    if missing:
        raise ModelError(f"the result has no {' and no '.join(sorted(missing))}: a linear encoding model is needed")
    lags = np.unique(result["feature_lag"].values) if "feature_lag" in result.coords else np.zeros(1)
    if lags.tolist() != [0]:
        raise ModelError(f"the encoding model has lags {lags.tolist()}: fit one without to answer to single stimuli")
    return FittedResponder(result, features)


class FittedResponder:
    """A linear encoding model behind the features of a stimulus; made by `fitted`."""

    def __init__(self, result: xr.Dataset, features: Responder | None) -> None:
        named = "feature_unit" if "feature_unit" in result.coords else "feature"
        self.feature: tuple[str, ...] = tuple(map(str, result[named].values))
        self.unit: tuple[str, ...] = tuple(map(str, result["unit"].values))
        self._weights = np.asarray(result["weights"].transpose("feature", "unit").values)
        self._intercept = np.asarray(result["intercept"].values)
        self._features = features

    def respond(self, stimulus: torch.Tensor) -> torch.Tensor:
        """Give (stimulus, unit) for stimuli (stimulus, ...), differentiably."""
        import torch

        x = stimulus if self._features is None else self._features.respond(stimulus)
        if self._features is not None:
            given = {name: i for i, name in enumerate(self._features.unit)}
            missing = [name for name in self.feature if name not in given]
            if missing:
                raise ModelError(f"the features lack {len(missing)} of the encoding model, such as {missing[0]!r}")
            x = x[:, [given[name] for name in self.feature]]
        if x.shape[1:] != (len(self.feature),):
            raise ModelError(f"stimuli have shape {tuple(x.shape)}; (stimulus, {len(self.feature)}) is needed")
        weights, intercept = (
            torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in (self._weights, self._intercept)
        )
        return x @ weights + intercept
