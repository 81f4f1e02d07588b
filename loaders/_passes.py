"""One pass of a model over a batch, and what its sites held, as rows of a matrix."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.models.running import Run
from neurointerp.models.sites import Site
from neurointerp.models.taps import features_last, tapped

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Batch:
    """Prompts side by side: which tokens are real, and which of them are kept."""

    ids: torch.Tensor
    mask: torch.Tensor
    keep: torch.Tensor
    starts: tuple[int, ...]
    lengths: tuple[int, ...]
    longest: int
    """Tokens of the longest of all prompts, not only of these: what the keys of a pattern are padded to."""


class Capture:
    """Passes of one model with the same sites. Each gives what the sites held, in the dtype of the run."""

    def __init__(self, run: Run, sites: Sequence[Site]) -> None:
        self.run, self.sites = run, sites
        self.widths: list[int] = []
        """Features of each site, known after the first pass."""
        self._dtype: torch.dtype | None = None
        self._spare: deque[np.ndarray] = deque()

    def prompts(self, batch: Batch) -> np.ndarray:
        """Run prompts, and give (token kept, unit) with the sites side by side."""
        import torch

        run = self.run
        kwargs: dict[str, Any] = {}
        if "attention_mask" in run.accepts:
            kwargs["attention_mask"] = batch.mask
        if any(batch.starts) and "position_ids" in run.accepts and not self._counts_positions:
            kwargs["position_ids"] = (batch.mask.cumsum(1) - 1).clamp(min=0)
        args = () if "input_ids" in run.accepts else (batch.ids,)
        if not args:
            kwargs["input_ids"] = batch.ids
        whole = bool(batch.keep.all())
        where = None if whole else batch.keep.reshape(-1).nonzero().squeeze(1)
        rows = batch.keep.numel() if where is None else len(where)
        if not self.widths:
            held: list[list[torch.Tensor]] = [[] for _ in self.sites]
            self._pass([lambda t, h=h, s=s: h.append(_kept(t, s, batch, where).clone()) for h, s in
                        zip(held, self.sites, strict=True)], args, kwargs)  # fmt: skip
            self.widths = [one[0].shape[1] for one in held]
            first = np.concatenate([to_numpy(one[0]) for one in held], axis=1)
            self._dtype = torch.from_numpy(first[:0]).dtype  # sites may be more precise than the run
            return first
        room = self._room(rows)
        buffer = torch.from_numpy(room)
        if run.device.type != "cpu":
            buffer = torch.empty_like(buffer, device=run.device)
        columns = np.cumsum([0, *self.widths])

        def put(tensor: torch.Tensor, site: Site, start: int, stop: int) -> None:
            # Copied at once: a later module may write into the same memory.
            buffer[:, start:stop].copy_(_kept(tensor, site, batch, where))

        taps = [
            partial(put, site=site, start=int(start), stop=int(stop))
            for site, start, stop in zip(self.sites, columns, columns[1:], strict=False)
        ]
        self._pass(taps, args, kwargs)
        if run.device.type != "cpu":
            torch.from_numpy(room).copy_(buffer)
        return room

    def free(self, block: np.ndarray) -> None:
        """Take back the memory of rows of prompts: to touch fresh memory costs more than to fill it."""
        owner = block if block.base is None else block.base
        if self._dtype is not None and isinstance(owner, np.ndarray):
            self._spare.append(owner)

    def _room(self, rows: int) -> np.ndarray:
        """Give memory for the rows of a pass, where possible of an earlier one."""
        import torch

        width = sum(self.widths)
        while self._spare:
            owner = self._spare.popleft()
            if len(owner) >= rows:
                return owner[:rows]
        return np.empty((rows, width), torch.empty(0, dtype=self._dtype).numpy().dtype)

    @property
    def _counts_positions(self) -> bool:
        """Tell whether the model counts from the tokens themselves, past padding (RoBERTa does, from another start)."""
        ways = ("create_position_ids_from_input_ids", "create_position_ids_from_inputs_embeds")
        return any(hasattr(module, way) for module in self.run.model.modules() for way in ways)

    def rows(self, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        """Run what is given as it is, and give what each site held, features last.

        A cell that is run step after step on (row, feature) gives (row, step, feature).
        """
        import torch

        held: list[list[torch.Tensor]] = [[] for _ in self.sites]
        taps = [lambda tensor, into=into: into.append(tensor.clone(memory_format=torch.contiguous_format))
                for into in held]  # fmt: skip
        self._pass(taps, args, kwargs, again=True)
        for site, pieces in zip(self.sites, held, strict=True):
            if len(pieces) > 1 and (pieces[0].ndim != 2 or len({piece.shape for piece in pieces}) > 1):
                raise _ran_again(site, len(pieces))
        return [to_numpy(one[0] if len(one) == 1 else torch.stack(one, dim=1)) for one in held]

    def _pass(self, taps: Sequence[Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, again: bool = False) -> None:
        """Run once, and call a tap with what its site holds, features last; each time it runs, or refuse that."""
        import torch

        ran = [0] * len(self.sites)

        def counted(number: int, tap: Any, tensor: torch.Tensor) -> None:
            ran[number] += 1
            if again or ran[number] == 1:
                tap(features_last(tensor, self.sites[number]))

        watched = [(site, partial(counted, i, tap)) for i, (site, tap) in enumerate(zip(self.sites, taps, strict=True))]
        with tapped(self.run.model, watched), torch.inference_mode():
            self.run(*args, **kwargs)
        for site, count in zip(self.sites, ran, strict=True):
            if count > 1 and not again:
                raise _ran_again(site, count)
            if not count:
                raise LoaderError(
                    f"site {site.path!r} did not run in the pass (some modules only lend their weights, as the "
                    "out_proj of MultiheadAttention does); choose one that does"
                )


def _ran_again(site: Site, count: int) -> LoaderError:
    return LoaderError(f"site {site.path!r} ran {count} times in one pass; choose a module that runs once")


def _kept(tensor: torch.Tensor, site: Site, batch: Batch, where: torch.Tensor | None) -> torch.Tensor:
    """Give (token kept, unit) of what a site held."""
    if site.is_pattern:
        return _pattern_rows(tensor, batch)
    if tensor.ndim != 3 or tensor.shape[:2] != batch.keep.shape:
        prompts, tokens = batch.keep.shape
        raise LoaderError(
            f"site {site.path!r}: its {site.side} has shape {tuple(tensor.shape)}; "
            f"(prompt, token, unit) = ({prompts}, {tokens}, any) is needed (of a site with one value per prompt, pass "
            "prompts of one length as a tensor)"
        )
    flat = tensor.reshape(-1, tensor.shape[2])
    return flat if where is None else flat.index_select(0, where)


def _pattern_rows(pattern: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Give (token kept, head and key): a key that the prompt does not have is NaN, one that is not looked at 0."""
    import torch

    heads = pattern.shape[1]
    if pattern.shape[2:] != (batch.keep.shape[1],) * 2:
        raise LoaderError(f"an attention pattern has shape {tuple(pattern.shape)}: one square per prompt is needed")
    rows = []
    for i, (start, size) in enumerate(zip(batch.starts, batch.lengths, strict=True)):
        own = slice(start, start + size)
        block = pattern.new_full((size, heads, batch.longest), float("nan"))
        block[:, :, :size] = pattern[i, :, own, own].transpose(0, 1)
        rows.append(block.reshape(size, -1)[batch.keep[i, own]])
    return torch.cat(rows)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Give values as numpy has them; bfloat16, which it lacks, as float32."""
    import torch

    known = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    return np.asarray(known.cpu().numpy())
