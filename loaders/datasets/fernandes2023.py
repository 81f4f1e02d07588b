"""BabyLlama (Fernandes 2023), a small character-level Llama trained on TinyStories, reading a text.

The weights are in the legacy layout of llama2.c (Karpathy 2023): seven int32 (dim, hidden, layers, heads, key-value
heads, vocabulary, context; a negative vocabulary means that the output matrix is stored too), then float32 arrays.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import activations
from neurointerp.recordings import add_history, session

if TYPE_CHECKING:
    import torch

SPACE = "\u2581"
"""How SentencePiece writes a space; each word starts with one, the first word too."""
ROPE_BASE = 10000.0
PER_LAYER = (
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.down_proj",
    "mlp.up_proj",
)
"""The arrays stacked over layers, in the order of the file and in the names of transformers."""
ATTRS = {
    "model": "EN10/BabyLlama tok105/model5000",
    "tokenizer": "EN10/BabyLlama tok105",
    "license": "MIT",
    "citation": "Fernandes E (2023) BabyLlama. github.com/EN10/BabyLlama",
}


def load(
    path: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str],
    text: str | os.PathLike[str],
    layer: int | None = None,
    max_tokens: int | None = 3060,
    batch_size: int = 8,
) -> xr.DataArray:
    """Run the language model on a text and record the MLP vectors that its down-projections read.

    The text is cut into windows of the model's context, each behind a BOS token, so the first tokens of a window
    are read with little context (`position` tells).

    Parameters
    ----------
    path
        Weights in the legacy llama2.c layout (`model5000.bin`).
    tokenizer
        Vocabulary of single characters, one `piece<TAB>score` per line (`tok105.vocab`).
    text
        Text file in UTF-8. Any white space is one space; characters outside the vocabulary become `<unk>`.
    layer
        Layer to record, from 0; default: all of them.
    max_tokens
        How much of the text to read; default 3060, twelve full windows of the published model. None: all of it.
    batch_size
        Windows per pass.

    Returns
    -------
    xarray.DataArray
        `(time, unit)`, float32, dimensionless, as `neurointerp.loaders.activations.record` gives it: `silu(gate) *
        up` of each MLP; one `segment` per window. `word` on `time` is the index into `text.split()` of the word
        that a token belongs to (the space belongs to the word behind it).

    Raises
    ------
    LoaderError
        When a file is not what it should be (sizes are checked before any weight is read), the layer does not
        exist, or torch or transformers is missing.
    """
    model, pieces = read_model(path), read_tokenizer(tokenizer)
    layers, context = model.config.num_hidden_layers, model.config.max_position_embeddings
    if len(pieces.pieces) != model.config.vocab_size:
        raise LoaderError(f"{tokenizer} has {len(pieces.pieces)} pieces, the model {model.config.vocab_size}")
    if layer is not None and not 0 <= layer < layers:
        raise LoaderError(f"layer is {layer}: the model has layers 0 to {layers - 1}")
    if max_tokens is not None and max_tokens < 1:
        raise LoaderError(f"max_tokens is {max_tokens}: at least 1 is needed")
    ids, words = _encoded(pieces, _read_text(text).split(), max_tokens)
    windows = [ids[start : start + context - 1] for start in range(0, len(ids), context - 1)]
    rec = activations.record(
        model,
        [[pieces.bos_token_id, *window] for window in windows],
        sites={"mlp.post": f"model.layers.{'{layer}' if layer is None else layer}.mlp.down_proj:input"},
        tokenizer=pieces,
        batch_size=batch_size,
        stimulus=[f"window{number:03d}" for number in range(len(windows))],
        attrs=ATTRS,
    )
    rec = rec.assign_coords(word=("time", np.asarray(words)))
    unknown = int((rec["token_id"] == pieces.unk_token_id).sum())
    names = {"weights": Path(path).name, "text": Path(text).name}
    return add_history(rec, "fernandes2023.load", **names, context=context, unknown_characters=unknown)


def load_session(path: str | os.PathLike[str], *, text: str | os.PathLike[str], **options: Any) -> xr.DataTree:
    """Record as `load` does (same `options`), with the words of the text as `/stimuli/words`."""
    rec = load(path, text=text, **options)
    words = np.array(_read_text(text).split(), dtype=object)
    stimulus = xr.DataArray(words, dims="word", coords={"word": np.arange(len(words))})
    return session({"activations": rec}, stimuli={"words": stimulus}, attrs={"system": rec.attrs["system"]})


@dataclass(frozen=True)
class CharacterTokenizer:
    """A SentencePiece vocabulary of single characters, where encoding is one lookup per character."""

    pieces: tuple[str, ...]
    unk_token_id: int
    bos_token_id: int
    eos_token_id: int

    def __call__(self, text: str) -> list[int]:
        """Encode a text: BOS, then each word behind a space."""
        ids = {piece: number for number, piece in enumerate(self.pieces)}
        spelled = "".join(SPACE + word for word in text.split())
        return [self.bos_token_id, *(ids.get(character, self.unk_token_id) for character in spelled)]

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """Give the pieces of token ids."""
        return [self.pieces[number] for number in ids]


def read_tokenizer(path: str | os.PathLike[str]) -> CharacterTokenizer:
    """Read a `.vocab` file of SentencePiece whose pieces are single characters."""
    lines = _read_text(path).removesuffix("\n").split("\n")
    pieces = tuple(line.rpartition("\t")[0] for line in lines)
    missing = [piece for piece in ("<unk>", "<s>", "</s>", SPACE) if piece not in pieces]
    if missing:
        raise LoaderError(f"{path} is no SentencePiece vocabulary: {', '.join(missing)} not among its pieces")
    long = [piece for piece in pieces if len(piece) != 1 and piece not in ("<unk>", "<s>", "</s>")]
    if long:
        raise LoaderError(f"{path}: pieces of one character are needed, found {long[0]!r} and {len(long) - 1} more")
    return CharacterTokenizer(pieces, pieces.index("<unk>"), pieces.index("<s>"), pieces.index("</s>"))


def read_model(path: str | os.PathLike[str]) -> Any:
    """Read weights in the legacy llama2.c layout into a `transformers.LlamaForCausalLM`.

    Rotary dimensions are interleaved pairs there and two halves here, so the rows of the query and key matrices
    are put into that order; the outputs are the same.

    Raises
    ------
    LoaderError
        When the length of the file is not what its header says, or its rotary table is not of base 10000.
    """
    try:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise LoaderError("BabyLlama needs torch and transformers: pip install 'neurointerp[models]'") from error
    header, arrays = _read_legacy(Path(path))
    config = LlamaConfig(
        hidden_size=header.dim,
        intermediate_size=header.hidden,
        num_hidden_layers=header.layers,
        num_attention_heads=header.heads,
        num_key_value_heads=header.kv_heads,
        vocab_size=header.vocabulary,
        max_position_embeddings=header.context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=header.is_tied,
    )
    with torch.random.fork_rng(devices=[]):  # the constructor draws weights that are overwritten at once
        model: Any = LlamaForCausalLM(config)
    model.load_state_dict(_state(header, arrays))
    model.eval()
    return model


@dataclass(frozen=True)
class _Header:
    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    is_tied: bool

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Give the arrays in the order in which they stand in the file."""
        dim, hidden, kv_dim = self.dim, self.hidden, self.dim // self.heads * self.kv_heads
        sides = ((dim,), (dim, dim), (kv_dim, dim), (kv_dim, dim), (dim, dim), (dim,), (hidden, dim), (dim, hidden))
        stacks = {name: (self.layers, *side) for name, side in zip(PER_LAYER, (*sides, (hidden, dim)), strict=True)}
        table = (self.context, dim // self.heads // 2)
        ends = {"norm": (dim,), "cosine": table, "sine": table}
        shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (self.vocabulary, dim), **stacks, **ends}
        return shapes if self.is_tied else {**shapes, "lm_head": (self.vocabulary, self.dim)}


def _read_legacy(path: Path) -> tuple[_Header, dict[str, np.ndarray]]:
    try:
        length = path.stat().st_size
        first = np.fromfile(path, dtype="<i4", count=7).tolist()
    except OSError as error:
        raise LoaderError(f"cannot read {path}: {error.strerror or error}") from error
    if len(first) < 7:
        raise LoaderError(f"{path} has {length} bytes, too few for a llama2.c header")
    dim, hidden, layers, heads, kv_heads, vocabulary, context = first
    header = _Header(dim, hidden, layers, heads, kv_heads, abs(vocabulary), context, vocabulary > 0)
    divisors = heads > 0 and kv_heads > 0 and dim % (2 * heads) == 0
    positive = min(dim, hidden, layers, header.vocabulary, context - 1) > 0
    if not positive or not divisors or heads % kv_heads:
        raise LoaderError(f"{path} is no legacy llama2.c file: its header reads {asdict(header)}")
    shapes = header.shapes()
    needed = 28 + 4 * sum(map(math.prod, shapes.values()))
    if length != needed:
        raise LoaderError(f"{path} has {length} bytes, its header {asdict(header)} asks for {needed}")
    flat = np.fromfile(path, dtype="<f4", offset=28)
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    arrays = {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
    _check_rotary(path, header, arrays["cosine"], arrays["sine"])
    return header, arrays


def _check_rotary(path: Path, header: _Header, cosine: np.ndarray, sine: np.ndarray) -> None:
    half = header.dim // header.heads // 2
    angle = np.arange(header.context)[:, None] * ROPE_BASE ** (-np.arange(half) / half)
    if not (np.allclose(cosine, np.cos(angle), atol=1e-3) and np.allclose(sine, np.sin(angle), atol=1e-3)):
        raise LoaderError(f"{path}: its rotary table is not that of base {ROPE_BASE:g}; other bases are not read")


def _state(header: _Header, arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Name the arrays as transformers does."""
    import torch

    state = {f"model.{name}.weight": arrays[name] for name in ("embed_tokens", "norm")}
    state["lm_head.weight"] = arrays["embed_tokens" if header.is_tied else "lm_head"]
    turned = {"self_attn.q_proj": header.heads, "self_attn.k_proj": header.kv_heads}
    for name in PER_LAYER:
        for number, array in enumerate(arrays[name]):
            rows = _halves(array, turned[name]) if name in turned else array
            state[f"model.layers.{number}.{name}.weight"] = rows
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}


def _halves(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the rows of each head from pairs (0 1, 2 3, ...) to halves (0 2 ..., 1 3 ...)."""
    rows, columns = matrix.shape
    pairs = matrix.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _encoded(tokenizer: CharacterTokenizer, words: list[str], max_tokens: int | None) -> tuple[list[int], list[int]]:
    """Give the ids of a text without BOS, and the number of the word of each."""
    ids = tokenizer(" ".join(words))[1:]
    owners = [number for number, word in enumerate(words) for _ in range(len(word) + 1)]
    return ids[:max_tokens], owners[:max_tokens]


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise LoaderError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise LoaderError(f"{path} is not UTF-8 text: byte {error.start} cannot be read") from error
