"""Changes to what a model computes at its sites, made while it runs and gone without residue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurointerp.errors import ModelError
from neurointerp.models._selection import numbers, samples_of, selected, spread, tensor_like, values_of
from neurointerp.models.sites import Site, sites_of
from neurointerp.models.taps import Tap, as_held, features_last, tapped

if TYPE_CHECKING:
    import torch

Change = Callable[["torch.Tensor", Site, float], "torch.Tensor"]


class Acts(Protocol):
    """What `intervene` takes: an intervention, with a strength that can be tuned."""

    @property
    def strength(self) -> float:
        """Give how much of it is done."""

    def taps(self, model: torch.nn.Module, positions: Any) -> list[tuple[Site, Tap]]:
        """Give the sites to tap, and what is done there."""


@dataclass(frozen=True)
class Intervention:
    """A change at a site, of some of its units or heads, at some positions; made by `add`, `zero` and the others.

    Attributes
    ----------
    site
        A site, or a spelling that stands for several.
    change
        What is done: `(tensor with features last, site, strength) -> tensor`.
    strength
        0 does nothing; 1 does the whole (for `add`, the factor of the direction).
    units, heads
        The features that change; None for all.
    positions
        The tokens that change; None for those that `intervene` says.
    """

    site: str
    change: Change
    strength: float = 1.0
    units: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    positions: Any = None

    def taps(self, model: torch.nn.Module, positions: Any) -> list[tuple[Site, Tap]]:
        """Give the sites to tap, and what is done there."""
        where = positions if self.positions is None else self.positions
        return [(site, partial(self._applied, site, where)) for site in sites_of(model, self.site)]

    def _applied(self, site: Site, positions: Any, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        last = features_last(tensor, site)
        changed = self.change(last, site, self.strength)
        mask = selected(last, site, self.units, self.heads, positions)
        if mask is not None:
            changed = torch.where(mask, changed, last)
        return as_held(changed.to(tensor.dtype), site)


@contextmanager
def intervene(
    model: torch.nn.Module, interventions: Sequence[Acts], *, positions: Any = None
) -> Iterator[torch.nn.Module]:
    """Change what a model computes in every pass until the context ends.

    Interventions act in the order given, each on what those before left; contexts can be nested, and recordings made
    inside. Nothing stays: hooks are removed and attention computed as before, also after an error. What is not
    selected keeps its bits.

    Parameters
    ----------
    model
        Any module.
    interventions
        What `add`, `scale`, `zero`, `clamp`, `mean`, `resample`, `patch` and `edge` give.
    positions
        Tokens that change, where an intervention does not say: a number (negative ones count from the end, padding
        included), several, a slice, or a mask `(prompt, token)`. They count what a pass is given: while a model
        generates with a cache, that is one token at a time. Default: all.

    Yields
    ------
    torch.nn.Module
        The model.

    Raises
    ------
    ModelError
        When a site is not there, or units, heads, positions or values do not fit it.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> with intervene(model, [zero("1", units=[0, 2])]):
    ...     inside = model(torch.ones(1, 2))
    >>> bool((inside[0, [0, 2]] == 0).all()), bool((inside[0, 1] == model(torch.ones(1, 2))[0, 1]).all())
    (True, True)
    """
    if not isinstance(interventions, Sequence) or not all(hasattr(one, "taps") for one in interventions):
        raise ModelError("a list of interventions is needed: [zero(...), ...]")
    with tapped(model, [tap for one in interventions for tap in one.taps(model, positions)]):
        yield model


def add(
    site: str, direction: Any, scale: float = 1.0, *, units: Any = None, heads: Any = None, positions: Any = None
) -> Intervention:
    """Add `scale` times a direction.

    Parameters
    ----------
    site
        Where, as `activations.record` names it; several sites are each changed.
    direction
        One number per feature of the site (per unit, where `units` are given).
    scale
        The factor; it is the intervention's `strength`.
    units, heads
        Features that change; default all.
    positions
        Tokens that change; default those that `intervene` says.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [add("", [1.0, 0.0], 2.0)]) as model:
    ...     model(torch.zeros(1, 2))
    tensor([[2., 0.]])
    """
    chosen = numbers(units)

    def change(x: torch.Tensor, at: Site, strength: float) -> torch.Tensor:
        return x + strength * spread(direction, x, at, chosen)

    return Intervention(site, change, float(scale), chosen, numbers(heads), positions)


def scale(site: str, factor: float, *, units: Any = None, heads: Any = None, positions: Any = None) -> Intervention:
    """Multiply by a factor.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    factor
        The factor.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [scale("", 3.0, units=[1])]) as model:
    ...     model(torch.ones(1, 2))
    tensor([[1., 3.]])
    """
    return Intervention(site, _blend(lambda x, at: x * factor), 1.0, numbers(units), numbers(heads), positions)


def zero(
    site: str, units: Any = None, *, heads: Any = None, direction: Any = None, positions: Any = None
) -> Intervention:
    """Set to zero: units, heads, or what lies along a direction.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    direction
        Take away the component along it, and leave the rest.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [zero("", direction=[1.0, 1.0])]) as model:
    ...     model(torch.tensor([[3.0, 1.0]])).round(decimals=3)
    tensor([[ 1., -1.]])
    """
    if direction is not None:
        return clamp(site, 0.0, 0.0, units=units, heads=heads, direction=direction, positions=positions)

    def nothing(x: torch.Tensor, at: Site) -> torch.Tensor:
        return x.new_zeros(()).expand(x.shape)

    return Intervention(site, _blend(nothing), 1.0, numbers(units), numbers(heads), positions)


def clamp(
    site: str,
    low: float | None = None,
    high: float | None = None,
    *,
    units: Any = None,
    heads: Any = None,
    direction: Any = None,
    positions: Any = None,
) -> Intervention:
    """Keep values, or the component along a direction, between two bounds; equal bounds set them.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    low, high
        The bounds; None for no bound.
    direction
        Bound the component `x . d / |d|` along it, and leave the rest.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [clamp("", -1.0, 1.0)]) as model:
    ...     model(torch.tensor([[3.0, 0.5]]))
    tensor([[1.0000, 0.5000]])
    """
    if low is None and high is None:
        raise ModelError("clamp needs low=, high= or both")
    if low is not None and high is not None and not low <= high:
        raise ModelError(f"clamp has low {low!r} above high {high!r}")

    def bounded(x: torch.Tensor, at: Site) -> torch.Tensor:
        if direction is None:
            return x.clamp(low, high)
        unit = spread(direction, x, at, None)
        length = unit.norm()
        if not length > 0:
            raise ModelError(f"site {at.where!r}: the direction has length {float(length):g}; nothing lies along it")
        unit = unit / length
        along: torch.Tensor = (x * unit).sum(-1, keepdim=True)
        moved: torch.Tensor = x + (along.clamp(low, high) - along) * unit
        return moved

    return Intervention(site, _blend(bounded), 1.0, numbers(units), numbers(heads), positions)


def mean(site: str, reference: Any, units: Any = None, *, heads: Any = None, positions: Any = None) -> Intervention:
    """Set to the mean over reference samples.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    reference
        A recording that holds the site's units, or an array `(..., feature)`; its mean over all other axes is taken.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [mean("", [[0.0, 1.0], [2.0, 5.0]])]) as model:
    ...     model(torch.zeros(1, 2))
    tensor([[1., 3.]])
    """

    def average(x: torch.Tensor, at: Site) -> torch.Tensor:
        return samples_of(reference, x, at).mean(0).expand(x.shape)

    return Intervention(site, _blend(average), 1.0, numbers(units), numbers(heads), positions)


def resample(
    site: str, reference: Any, units: Any = None, *, heads: Any = None, positions: Any = None, seed: int = 0
) -> Intervention:
    """Set to reference samples drawn at random, one for each token of each prompt.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    reference
        As for `mean`; its samples are drawn with equal chance.
    seed
        Of the draw; the same in every pass.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [resample("", [[7.0, 8.0]])]) as model:
    ...     model(torch.zeros(2, 2))
    tensor([[7., 8.],
            [7., 8.]])
    """

    def drawn(x: torch.Tensor, at: Site) -> torch.Tensor:
        samples = samples_of(reference, x, at)
        rows = np.random.default_rng(seed).integers(len(samples), size=tuple(x.shape[:-1]))
        return samples[tensor_like(rows, x).long()]

    return Intervention(site, _blend(drawn), 1.0, numbers(units), numbers(heads), positions)


def patch(site: str, values: Any, units: Any = None, *, heads: Any = None, positions: Any = None) -> Intervention:
    """Set to given values, such as those of another prompt.

    Parameters
    ----------
    site, units, heads, positions
        As for `add`.
    values
        An array that fits what the site holds, features last (of feature maps too); or a recording that holds the
        site's units, found by their labels.

    Returns
    -------
    Intervention

    Examples
    --------
    >>> import torch
    >>> with intervene(torch.nn.Identity(), [patch("", [[7.0, 8.0]], units=[0])]) as model:
    ...     model(torch.zeros(2, 2))
    tensor([[7., 0.],
            [7., 0.]])
    """

    def given(x: torch.Tensor, at: Site) -> torch.Tensor:
        fitting = values_of(values, x, at)
        try:
            return fitting.expand(x.shape)
        except RuntimeError as error:
            raise ModelError(
                f"site {at.where!r} holds {tuple(x.shape)}, the values have {tuple(fitting.shape)}"
            ) from error

    return Intervention(site, _blend(given), 1.0, numbers(units), numbers(heads), positions)


def _blend(change: Callable[[torch.Tensor, Site], torch.Tensor]) -> Change:
    """Make a change that goes part of the way where the strength is not 1."""

    def blended(x: torch.Tensor, at: Site, strength: float) -> torch.Tensor:
        changed = change(x, at)
        return changed if strength == 1.0 else x + strength * (changed - x)

    return blended
