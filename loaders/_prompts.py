"""Prompts: read, checked, cut into batches, padded on either side, and the labels of their tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders._passes import Batch
from neurointerp.models.running import Run

FRAME = ("bos", "eos", "cls", "sep")
"""Special tokens that frame a text and are no part of it (an unknown or masked word is)."""
SIDES = ("right", "left")


@dataclass(frozen=True)
class Prompts:
    """Token ids of each prompt, and which of them are kept."""

    ids: list[np.ndarray]
    keeps: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def kept(self) -> np.ndarray:
        """Give the number of tokens kept of each prompt."""
        return np.array([int(keep.sum()) for keep in self.keeps])

    @property
    def dropped(self) -> int:
        """Give the number of tokens that are not kept."""
        return sum(map(len, self.ids)) - int(self.kept.sum())

    def labels(self, tokenizer: Any, stimulus: Sequence[str], *, before: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """Give the coords of the tokens kept; `before` counts the prompts and the segments that came earlier."""
        sequence = np.repeat(np.arange(len(self)), self.kept)
        position = np.concatenate([np.flatnonzero(keep) for keep in self.keeps])
        token_id = np.concatenate([ids[keep] for ids, keep in zip(self.ids, self.keeps, strict=True)])
        breaks = (np.diff(sequence) != 0) | (np.diff(position) != 1)
        coords: dict[str, Any] = {
            "segment": ("time", before[1] + np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)),
            "sequence": ("time", before[0] + sequence),
            "position": ("time", position),
            "token_id": ("time", token_id),
            "stimulus": ("time", np.array(stimulus, dtype=object)[sequence]),
        }
        if hasattr(tokenizer, "convert_ids_to_tokens"):
            coords["token"] = ("time", np.array(tokenizer.convert_ids_to_tokens(token_id.tolist()), dtype=object))
        return coords

    def batches(self, size: int, *, padded: bool) -> Iterator[slice]:
        """Cut prompts into runs of at most `size`, and where lengths change unless they can be padded."""
        lengths = [len(ids) for ids in self.ids]
        start = 0
        for stop in range(1, len(lengths) + 1):
            ends = stop == len(lengths) or (not padded and lengths[stop] != lengths[start])
            if ends or stop - start == size:
                if max(lengths[start:stop]):
                    yield slice(start, stop)
                start = stop

    def batch(self, part: slice, run: Run, padding: str) -> Batch:
        """Put prompts side by side, padded."""
        import torch

        ids, keeps = self.ids[part], self.keeps[part]
        filler = getattr(getattr(run.model, "config", None), "pad_token_id", None)
        lengths = tuple(map(len, ids))
        widest = max(lengths)
        starts = tuple(widest - size if padding == "left" else 0 for size in lengths)
        arrays = (
            _side_by_side(rows, starts, widest, fill)
            for rows, fill in (
                (ids, filler if isinstance(filler, int) and filler >= 0 else 0),
                ([np.ones_like(one) for one in ids], 0),
                (keeps, False),
            )
        )
        token_ids, mask, keep = (torch.from_numpy(array).to(run.device) for array in arrays)
        return Batch(token_ids, mask, keep, starts, lengths, max(map(len, self.ids)))


def read_prompts(inputs: Any, tokenizer: Any, *, special_tokens: bool) -> Prompts:
    """Give the token ids of texts or of sequences of ids, without the padding they bring along."""
    if isinstance(inputs, str | Mapping):
        raise LoaderError(f"inputs is one {type(inputs).__name__}: a list of texts or of token ids is needed")
    padding = set(_ids_of(tokenizer, ["pad"])) - set(_ids_of(tokenizer, [*FRAME, "unk"]))
    prompts = []
    for number, item in enumerate(inputs):
        if isinstance(item, str):
            if tokenizer is None:
                raise LoaderError(f"input {number} is a text: pass tokenizer=")
            item = tokenizer(item)
        ids = np.asarray(item["input_ids"] if isinstance(item, Mapping) else item)
        if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
            hint = " (one prompt is a list in a list)" if ids.ndim == 0 else ""
            if isinstance(item, list | tuple) and any(hasattr(part, "detach") for part in item):
                hint = " (batches of a DataLoader: join them, torch.cat([batch[0] for batch in loader]))"
            raise LoaderError(
                f"input {number} has shape {ids.shape} and dtype {ids.dtype}: "
                f"a text, or a flat sequence of one or more integers, is needed{hint}"
            )
        filled = np.flatnonzero(~np.isin(ids, list(padding)))
        prompts.append(ids[filled[0] : filled[-1] + 1].astype(np.int64) if filled.size else ids[:0].astype(np.int64))
    if not sum(map(len, prompts)):
        raise LoaderError("inputs hold no tokens")
    frame = [] if special_tokens else _ids_of(tokenizer, FRAME)
    out = Prompts(prompts, [~np.isin(ids, frame) for ids in prompts])
    if not out.kept.sum():
        raise LoaderError("every token of inputs is a special one; special_tokens=True keeps them")
    return out


def check_prompts(prompts: Prompts, config: Any) -> None:
    """Refuse what the model cannot read."""
    longest = getattr(config, "max_position_embeddings", None)
    vocabulary = getattr(config, "vocab_size", None)
    for number, ids in enumerate(prompts.ids):
        if isinstance(longest, int) and len(ids) > longest:
            raise LoaderError(f"input {number} has {len(ids)} tokens, the model reads {longest}: split it")
        if isinstance(vocabulary, int) and ids.size and not 0 <= ids.min() <= ids.max() < vocabulary:
            raise LoaderError(
                f"input {number} has token ids from {ids.min()} to {ids.max()}, the model knows 0 to "
                f"{vocabulary - 1}: is this the model's own tokenizer?"
            )


def stimulus_ids(stimulus: Sequence[str] | None, count: int) -> list[str]:
    """Give one id per input."""
    given = list(map(str, range(count) if stimulus is None else stimulus))
    if len(given) != count:
        raise LoaderError(f"stimulus has {len(given)} ids for {count} inputs")
    return given


def _ids_of(tokenizer: Any, kinds: Sequence[str]) -> list[int]:
    ids = [getattr(tokenizer, f"{kind}_token_id", None) for kind in kinds]
    return [one for one in ids if one is not None]


def _side_by_side(rows: Sequence[np.ndarray], starts: Sequence[int], widest: int, fill: int) -> np.ndarray:
    out = np.full((len(rows), widest), fill, dtype=rows[0].dtype)
    for line, row, start in zip(out, rows, starts, strict=True):
        line[start : start + len(row)] = row
    return out
