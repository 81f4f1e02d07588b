"""Tensors with one trial per row: images, waveforms, tokens of one length. Lists of them, clips of any lengths."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders._passes import Capture, to_numpy
from neurointerp.loaders._prompts import stimulus_ids
from neurointerp.models.running import cast
from neurointerp.models.sites import Site

if TYPE_CHECKING:
    import torch

POOLS = (None, "mean", "first")
Blocks = list[np.ndarray]


def as_rows(inputs: Any) -> Any:
    """Give what is one trial per row as a tensor, a mapping of tensors or a list of clips; None where it is prompts.

    Arrays become tensors on the same memory (so that a memory map stays on the disk). A list of items of equal shape is
    one tensor.
    """
    import torch

    if isinstance(inputs, torch.Tensor):
        return inputs
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind == "f":
        return _tensor(inputs)
    if isinstance(inputs, Mapping) and all(isinstance(one, torch.Tensor | np.ndarray) for one in inputs.values()):
        given = {str(name): _tensor(one) for name, one in inputs.items()}
        return given or None
    if not isinstance(inputs, list | tuple) or not all(_is_signal(one) for one in inputs) or not inputs:
        return None
    clips = [_tensor(one) for one in inputs]
    return torch.stack(clips) if len({clip.shape for clip in clips}) == 1 else clips


def _is_signal(item: Any) -> bool:
    """Tell whether an item is numbers rather than a text or token ids."""
    import torch

    if isinstance(item, torch.Tensor):
        return item.is_floating_point() and item.ndim > 0
    return isinstance(item, np.ndarray) and item.dtype.kind == "f" and item.ndim > 0


def _tensor(array: Any) -> torch.Tensor:
    import torch

    if isinstance(array, torch.Tensor):
        return array
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # it is not written to
        return torch.from_numpy(native)


def _is_open(model: torch.nn.Module, site: Site) -> bool:
    """Tell whether features may be last or behind the batch: it stands among convolutions, or is made of them."""
    from torch import nn

    module, convolutions = model.get_submodule(site.path), (nn.Conv1d, nn.ConvTranspose1d)
    if not any(isinstance(one, convolutions) for one in model.modules()):
        return False
    if not any(True for _ in module.parameters()):
        return True
    inside = list(module.modules())
    return any(isinstance(one, convolutions) for one in inside) and not any(
        isinstance(one, nn.Linear) for one in inside
    )


class Rows:
    """The trials of a tensor, or of several that the model is given by name.

    Parameters
    ----------
    inputs
        A tensor, or a mapping of tensors with equally many rows.
    pool
        None keeps the axes between row and unit, `"mean"` averages them, `"first"` takes the first token.
    special_tokens
        Whether a class token beside the patches of an image is kept.
    config
        The model's configuration, whose `patch_size` tells the patches of an image.
    """

    def __init__(self, inputs: Any, config: Any, *, pool: str | None, special_tokens: bool) -> None:
        if pool not in POOLS:
            raise LoaderError(f"pool is {pool!r}: one of None, 'mean', 'first' is needed")
        self.named = isinstance(inputs, Mapping)
        self.tensors: dict[str, torch.Tensor] = dict(inputs) if self.named else {"": inputs}
        self.config, self.pool, self.special_tokens = config, pool, special_tokens
        shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        first = next(iter(shapes.values()))
        if len(first) < 2 or not first[0] or any(len(s) < 1 or s[0] != first[0] for s in shapes.values()):
            shown = first if not self.named else shapes
            raise LoaderError(f"inputs has shape {shown}: a tensor with one or more rows is needed")
        self.main = next(iter(self.tensors.values()))
        mask = self.tensors.get("attention_mask")
        if mask is not None and not bool(mask.all()):
            raise LoaderError(
                "inputs hold padding (attention_mask has zeros), which is never recorded: pass a list of texts, "
                "of token ids or of clips, which may have any lengths"
            )

    def __len__(self) -> int:
        return len(self.main)

    def compute(self, capture: Capture, start: int, stop: int) -> np.ndarray:
        """Run some rows, and give (trial, ..., unit) with the sites side by side."""
        run = capture.run
        given = {name: cast(tensor[start:stop], run.dtype, run.device) for name, tensor in self.tensors.items()}
        blocks = capture.rows(**given) if self.named else capture.rows(*given.values())
        for block, site in zip(blocks, capture.sites, strict=True):
            if block.ndim < 2 or len(block) != stop - start:
                raise LoaderError(
                    f"site {site.path!r}: its {site.side} has shape {block.shape} for {stop - start} rows; "
                    "(trial, ..., unit) is needed. Of modules that take time first, record the whole module"
                )
            if block.ndim == 3 and not site.layout and _is_open(run.model, site):
                raise LoaderError(
                    f"site {site.path!r} holds three axes in a model that convolves along time, and does not tell "
                    "where features are: pass channels='first' (behind the batch, as behind convolutions) or 'last'"
                )
        blocks = [self._ordered(block, site) for block, site in zip(blocks, capture.sites, strict=True)]
        shapes = {site.path: block.shape for site, block in zip(capture.sites, blocks, strict=True)}
        inner = next(iter(shapes.values()))[1:-1]
        if len(inner) > 2 or any(len(s) < 2 or s[1:-1] != inner for s in shapes.values()):
            raise LoaderError(
                f"sites with equal axes between row and unit are needed, found {shapes}; record them apart, or pool"
            )
        capture.widths = [block.shape[-1] for block in blocks]
        return np.concatenate(blocks, axis=-1)

    def parts(self, capture: Capture, size: int) -> list[tuple[int, int, Any]]:
        """Give the passes, as `collect` takes them."""
        cuts = [(start, min(start + size, len(self))) for start in range(0, len(self), size)]
        return [(start, stop, partial(self.compute, capture, start, stop)) for start, stop in cuts]

    def digests(self, size: int) -> list[bytes]:
        """Tell the values from others, read a few rows at a time."""
        found = []
        for name, tensor in self.tensors.items():
            digest = hashlib.sha256(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
            for start in range(0, len(tensor), size):
                digest.update(np.ascontiguousarray(to_numpy(tensor[start : start + size])).view(np.uint8).data)
            found.append(digest.digest())
        return found

    def labels(self, values: np.ndarray, stimulus: Sequence[str] | None) -> dict[str, Any]:
        """Give the options of `recording` that label all axes but the last."""
        coords: dict[str, Any] = {"stimulus": ("trial", np.array(stimulus_ids(stimulus, len(self)), dtype=object))}
        inner = values.shape[1:-1]
        grid = None if len(inner) != 1 else self._grid(inner[0])
        if grid is not None:
            coords |= {name: ("token", place) for name, place in zip(("row", "col"), grid, strict=True)}
            return {"dims": ("trial", "token", "unit"), "coords": coords, "time": None}
        floating = self.main.is_floating_point()
        if len(inner) == 1 and tuple(self.main.shape[1:]) == inner and not floating:
            coords["token_id"] = (("trial", "time"), self.main.cpu().numpy())
        dims = ("trial", *((), ("time",), ("row", "col"))[len(inner)], "unit")
        clock = ("time", np.arange(inner[0]), {"units": "frame" if floating else "token"}) if "time" in dims else None
        return {"dims": dims, "coords": coords, "time": clock}

    def _ordered(self, block: np.ndarray, site: Site) -> np.ndarray:
        """Drop the class token, and pool."""
        if site.is_pattern:
            raise LoaderError(f"site {site.where!r} is recorded for prompts: pass sequences of token ids")
        if self.pool == "first" and block.ndim == 3:
            return np.ascontiguousarray(block[:, 0])
        if block.ndim == 3 and not self.special_tokens and self._is_image:
            block = block[:, self._prefix(block.shape[1]) :]
        if self.pool == "mean" and block.ndim > 2:
            return np.asarray(block.mean(axis=tuple(range(1, block.ndim - 1))))
        return block

    @property
    def _is_image(self) -> bool:
        return self.main.ndim == 4 and self.main.is_floating_point()

    def _patches(self, tokens: int) -> tuple[int, int] | None:
        """Give rows and columns of patches, by the model's own patch size; None where tokens are no patches."""
        size = getattr(self.config, "patch_size", None)
        if not self._is_image or not isinstance(size, int | list | tuple):
            return None
        pair = (size, size) if isinstance(size, int) else size
        rows, cols = (int(pixels) // int(side) for pixels, side in zip(self.main.shape[-2:], pair, strict=True))
        return (rows, cols) if 0 < rows * cols <= tokens else None

    def _prefix(self, tokens: int) -> int:
        grid = self._patches(tokens)
        return 0 if grid is None else tokens - grid[0] * grid[1]

    def _grid(self, tokens: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Give row and column of each token: NaN for those that are no patch."""
        grid = self._patches(tokens)
        if grid is None:
            return None
        rows, cols = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
        prefix = tokens - len(rows)
        if not prefix:
            return rows, cols
        nothing = np.full(prefix, np.nan)
        return np.concatenate([nothing, rows]), np.concatenate([nothing, cols])
