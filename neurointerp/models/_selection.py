"""Which entries of a tensor an intervention changes, and the values it brings along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import ModelError
from neurointerp.models.sites import Site

if TYPE_CHECKING:
    import torch


def selected(
    x: torch.Tensor, site: Site, units: Sequence[int] | None, heads: Sequence[int] | None, positions: Any
) -> torch.Tensor | None:
    """Tell which entries change; None for all."""
    import torch

    masks = []
    if heads is not None:
        masks.append(_head_mask(x, site, heads))
    if units is not None:
        if site.is_pattern:
            raise ModelError(f"site {site.where!r} has heads, queries and keys, not units: pass heads=")
        masks.append(_chosen(x.shape[-1], units, x, f"units of site {site.where!r}"))
    if positions is not None:
        if x.ndim < 3 or (x.ndim == 4 and not site.is_pattern):
            raise ModelError(f"site {site.where!r} holds {tuple(x.shape)}, without positions to choose from")
        masks.append(_at_positions(x, site, positions))
    if not masks:
        return None
    mask = masks[0]
    for other in masks[1:]:
        mask = mask & other
    return torch.broadcast_to(mask, x.shape)


def _head_mask(x: torch.Tensor, site: Site, heads: Sequence[int]) -> torch.Tensor:
    if site.is_pattern:
        return _chosen(x.shape[1], heads, x, f"heads of site {site.where!r}")[:, None, None]
    if not site.heads:
        raise ModelError(f"site {site.where!r} is not made of heads: attn.q, attn.k, attn.v, attn.z, attn.pattern are")
    return _chosen(site.heads, heads, x, f"heads of site {site.where!r}").repeat_interleave(x.shape[-1] // site.heads)


def _at_positions(x: torch.Tensor, site: Site, positions: Any) -> torch.Tensor:
    """Give a mask over (prompt, token), in the shape of what the site holds."""
    import torch

    tokens, behind = (x.shape[2], 1) if site.is_pattern else (x.shape[1], x.ndim - 2)
    if isinstance(positions, slice):
        positions = list(range(tokens)[positions])
    given = torch.as_tensor(np.asarray(positions) if not isinstance(positions, torch.Tensor) else positions)
    if given.dtype == torch.bool:
        if given.shape != (x.shape[0], tokens):
            raise ModelError(
                f"positions is a mask of shape {tuple(given.shape)}; (prompt, token) = {(x.shape[0], tokens)} is needed"
            )
        mask = given.to(x.device)
    else:
        mask = _chosen(tokens, given.reshape(-1).tolist(), x, "tokens")[None]
    mask = mask[:, None] if site.is_pattern else mask
    return mask.reshape(*mask.shape, *([1] * behind))


def _chosen(size: int, numbers: Sequence[int], x: torch.Tensor, what: str) -> torch.Tensor:
    import torch

    wrong = [number for number in numbers if not -size <= number < size]
    if wrong:
        raise ModelError(f"there are {size} {what}; {wrong[0]} is none of them")
    mask = torch.zeros(size, dtype=torch.bool, device=x.device)
    mask[list(numbers)] = True
    return mask


def spread(values: Any, x: torch.Tensor, at: Site, units: Sequence[int] | None) -> torch.Tensor:
    """Give one number per feature; those given for some units stand at these, zeros elsewhere."""
    given = tensor_like(values, x)
    if units is not None and given.shape == (len(units),) != x.shape[-1:]:
        whole = x.new_zeros(x.shape[-1])
        whole[list(units)] = given
        return whole
    if given.shape != x.shape[-1:]:
        raise ModelError(f"site {at.where!r} has {x.shape[-1]} features, the direction has shape {tuple(given.shape)}")
    return given


def samples_of(reference: Any, x: torch.Tensor, at: Site) -> torch.Tensor:
    """Give (sample, feature) of a reference for a site."""
    given = values_of(reference, x, at)
    if given.shape[-1:] != x.shape[-1:]:
        raise ModelError(f"site {at.where!r} has {x.shape[-1]} features, the reference has shape {tuple(given.shape)}")
    if not given.numel():
        raise ModelError(f"the reference for site {at.where!r} has no samples, its shape is {tuple(given.shape)}")
    missing = int(given.isnan().sum())
    if missing:
        raise ModelError(
            f"the reference for site {at.where!r} has {missing} missing values, which would spread through the model; "
            "drop the samples that have them (.dropna)"
        )
    return given.reshape(-1, given.shape[-1])


def values_of(values: Any, x: torch.Tensor, at: Site) -> torch.Tensor:
    """Give values for a site, features last: of a recording those of its units, by label."""
    if isinstance(values, xr.DataArray) and "unit" in values.coords:
        if at.is_pattern:
            raise ModelError(f"site {at.where!r} takes an array (prompt, head, query, key): a recording has units")
        wanted = [at.label(i) for i in range(x.shape[-1])]
        missing = sorted(set(wanted) - set(values["unit"].values))
        if missing:
            raise ModelError(f"the recording lacks {len(missing)} units of {at.where!r}, such as {missing[0]}")
        values = values.sel(unit=wanted).transpose(..., "unit").values
    return tensor_like(values, x)


def tensor_like(values: Any, like: torch.Tensor) -> torch.Tensor:
    """Give values as a tensor of the dtype and device of another."""
    import torch

    given = values if isinstance(values, torch.Tensor) else torch.as_tensor(np.asarray(values))
    return given.to(device=like.device, dtype=like.dtype)


def numbers(given: Any) -> tuple[int, ...] | None:
    """Give one number or several as a tuple; None stays."""
    if given is None:
        return None
    array = np.asarray(given)
    if not array.size:
        return ()
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise ModelError(
            f"units or heads are given as {_shown(array)}: whole numbers are needed (the `index` of a "
            "recording's units; of a mask, np.flatnonzero(mask))"
        )
    return tuple(array.reshape(-1).tolist())


def _shown(array: np.ndarray) -> str:
    if array.dtype.kind == "b":
        return "a mask"
    return f"{array.dtype} numbers" if array.dtype.kind in "fc" else repr(array.reshape(-1)[:1].tolist()[0])
