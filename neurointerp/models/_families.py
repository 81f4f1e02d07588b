"""Where the named sites and weights of the common model families lie, read off the names of their modules.

A spelling is the name of a module below the block of a layer (`""` is the block), with `[i/n]` for the i-th of n equal
parts of its features, and `:input`, `:shared` or `:pattern` for the side to take (see `Site`). Of several spellings
the first that the model has is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from neurointerp.errors import ModelError

Spellings = tuple[str, ...]
LOGITS = ("lm_head", "cls.predictions", "classifier", "score", "fc", "head")
UNEMBED = ("lm_head.decoder", "lm_head", "cls.predictions.decoder", "classifier.1", "classifier", "score", "fc", "head")
SITE_NAMES = (
    "embed", "resid.pre", "resid.mid", "resid.post", "mlp.in", "mlp.gate", "mlp.post", "mlp.out",
    "attn.q", "attn.k", "attn.v", "attn.z", "attn.pattern", "attn.out", "logits",
)  # fmt: skip


@dataclass(frozen=True)
class Family:
    """How the models of one family name their modules.

    `sites`, `weights` and `reads` are below a block; `final` and the ends below what precedes the blocks, or at the
    root. `reads` are the norms through which attention and MLP read the residual stream of a pre-norm model.
    """

    name: str
    block: str
    has: Spellings
    sites: Mapping[str, Spellings]
    weights: Mapping[str, Spellings] = field(default_factory=dict)
    reads: Mapping[str, Spellings] = field(default_factory=dict)
    ends: Mapping[str, Spellings] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocks:
    """The blocks of one model: its family, what precedes the blocks in their names, and the blocks in order."""

    family: Family
    stem: str
    paths: tuple[str, ...]

    def spelled(self, kind: str, name: str, layer: int | None, modules: Collection[str]) -> str | None:
        """Give the full spelling of a site, weight, read or end, or None where the family has none."""
        table: Mapping[str, Spellings] = getattr(self.family, kind)
        starts = [self.stem, ""] if layer is None else [self.paths[layer] + "."]
        for start in starts:
            for spelling in table.get(name, ()):
                whole = (start + spelling).replace(".:", ":").removesuffix(".")
                if module_of(whole) in modules:
                    return whole
        return None


FAMILIES = (
    Family(
        "neurointerp GPT",
        r"blocks\.\d+",
        ("norm_attn", "norm_mlp", "attn.pattern", "mlp.down"),
        {
            "resid.pre": (":input",), "resid.mid": ("norm_mlp:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.post": ("mlp.down:input",), "mlp.out": ("mlp.down",),
            "attn.q": ("attn.query",), "attn.k": ("attn.key",), "attn.v": ("attn.value",),
            "attn.z": ("attn.out:input",), "attn.pattern": ("attn.pattern",), "attn.out": ("attn.out",),
        },
        {
            "W_in": ("mlp.up",), "W_out": ("mlp.down",), "W_Q": ("attn.query",), "W_K": ("attn.key",),
            "W_V": ("attn.value",), "W_O": ("attn.out",), "norm.attn": ("norm_attn",), "norm.mlp": ("norm_mlp",),
        },
        {"attn": ("norm_attn:input",), "mlp": ("norm_mlp:input",)},
        {"W_E": ("embed",), "norm": ("norm",), "read": ("norm:input",), "W_U": ("unembed",), "logits": ("unembed",)},
    ),
    Family(
        "GPT-2",
        r"h\.\d+",
        ("attn.c_attn", "mlp.c_proj"),
        {
            "resid.pre": (":input",), "resid.mid": ("ln_2:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.post": ("mlp.c_proj:input",), "mlp.out": ("mlp.c_proj",),
            "attn.q": ("attn.c_attn[0/3]",), "attn.k": ("attn.c_attn[1/3]",), "attn.v": ("attn.c_attn[2/3]",),
            "attn.z": ("attn.c_proj:input",), "attn.pattern": ("attn:pattern",), "attn.out": ("attn.c_proj",),
        },
        {
            "W_in": ("mlp.c_fc",), "W_out": ("mlp.c_proj",),
            "W_Q": ("attn.c_attn[0/3]",), "W_K": ("attn.c_attn[1/3]",), "W_V": ("attn.c_attn[2/3]",),
            "W_O": ("attn.c_proj",), "norm.attn": ("ln_1",), "norm.mlp": ("ln_2",),
        },
        {"attn": ("ln_1:input",), "mlp": ("ln_2:input",)},
        {"W_E": ("wte",), "norm": ("ln_f",), "read": ("ln_f:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "gated",
        r"layers\.\d+",
        ("self_attn.q_proj", "mlp.gate_proj", "mlp.down_proj"),
        {
            "resid.pre": (":input",), "resid.post": ("",),
            "resid.mid": ("pre_feedforward_layernorm:shared", "post_attention_layernorm:shared"),
            "mlp.in": ("mlp:input",), "mlp.gate": ("mlp.gate_proj",), "mlp.post": ("mlp.down_proj:input",),
            "mlp.out": ("mlp.down_proj",),
            "attn.q": ("self_attn.q_proj",), "attn.k": ("self_attn.k_proj",), "attn.v": ("self_attn.v_proj",),
            "attn.z": ("self_attn.o_proj:input",), "attn.pattern": ("self_attn:pattern",),
            "attn.out": ("self_attn.o_proj",),
        },
        {
            "W_in": ("mlp.up_proj",), "W_gate": ("mlp.gate_proj",), "W_out": ("mlp.down_proj",),
            "W_Q": ("self_attn.q_proj",), "W_K": ("self_attn.k_proj",), "W_V": ("self_attn.v_proj",),
            "W_O": ("self_attn.o_proj",), "norm.attn": ("input_layernorm",),
            "norm.mlp": ("pre_feedforward_layernorm", "post_attention_layernorm"),
        },
        {
            "attn": ("input_layernorm:input",),
            "mlp": ("pre_feedforward_layernorm:input", "post_attention_layernorm:input"),
        },
        {"W_E": ("embed_tokens",), "norm": ("norm",), "read": ("norm:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "BERT",
        r"(encoder\.)?layer\.\d+",
        ("attention.self.query", "intermediate.dense", "output.dense"),
        {
            "resid.pre": (":input",), "resid.mid": ("attention.output",), "resid.post": ("",),
            "mlp.in": ("intermediate:input",), "mlp.post": ("output.dense:input",), "mlp.out": ("output.dense",),
            "attn.q": ("attention.self.query",), "attn.k": ("attention.self.key",),
            "attn.v": ("attention.self.value",), "attn.z": ("attention.output.dense:input",),
            "attn.pattern": ("attention.self:pattern",), "attn.out": ("attention.output.dense",),
        },
        {
            "W_in": ("intermediate.dense",), "W_out": ("output.dense",), "W_Q": ("attention.self.query",),
            "W_K": ("attention.self.key",), "W_V": ("attention.self.value",), "W_O": ("attention.output.dense",),
            "norm.attn": ("attention.output.LayerNorm",), "norm.mlp": ("output.LayerNorm",),
        },
        {},
        {"W_E": ("embeddings.word_embeddings",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "ViT",
        r"(encoder\.)?layers?\.\d+",
        ("layernorm_before", "layernorm_after"),
        {
            "resid.pre": (":input",), "resid.mid": ("layernorm_after:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input", "intermediate:input"), "mlp.post": ("mlp.fc2:input", "output.dense:input"),
            "mlp.out": ("mlp.fc2", "output.dense"),
            "attn.q": ("attention.q_proj", "attention.attention.query"),
            "attn.k": ("attention.k_proj", "attention.attention.key"),
            "attn.v": ("attention.v_proj", "attention.attention.value"),
            "attn.z": ("attention.o_proj:input", "attention.output.dense:input"),
            "attn.pattern": ("attention.attention:pattern", "attention:pattern"),
            "attn.out": ("attention.o_proj", "attention.output.dense"),
        },
        {
            "W_in": ("mlp.fc1", "intermediate.dense"), "W_out": ("mlp.fc2", "output.dense"),
            "W_Q": ("attention.q_proj", "attention.attention.query"),
            "W_K": ("attention.k_proj", "attention.attention.key"),
            "W_V": ("attention.v_proj", "attention.attention.value"),
            "W_O": ("attention.o_proj", "attention.output.dense"),
            "norm.attn": ("layernorm_before",), "norm.mlp": ("layernorm_after",),
        },
        {"attn": ("layernorm_before:input",), "mlp": ("layernorm_after:input",)},
        {"norm": ("layernorm",), "read": ("layernorm:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "ResNet",
        r"(encoder\.stages\.\d+\.layers\.\d+|layer\d\.\d+)",
        (),
        {"resid.pre": (":input",), "resid.post": ("",)},
        {},
        {},
        {"W_U": UNEMBED, "logits": LOGITS},
    ),
)  # fmt: skip


def blocks_of(modules: Sequence[str]) -> Blocks | None:
    """Tell the family of a model by the names of its modules; None for a model of no family.

    Raises
    ------
    ModelError
        When blocks stand in several places (an encoder and a decoder): which `L0` is meant cannot be told.
    """
    known = set(modules)
    for family in FAMILIES:
        pattern = re.compile(rf"(?P<stem>(?:.*\.)?){family.block}")
        hits = [hit for name in modules if (hit := _block(pattern, family, name, known))]
        if not hits:
            continue
        stems = sorted({hit["stem"] for hit in hits})
        if len(stems) > 1:
            raise ModelError(
                f"the model has blocks in several places ({', '.join(map(repr, stems))}), so named sites are "
                "ambiguous: name the modules"
            )
        return Blocks(family, stems[0], tuple(hit.string for hit in hits))
    return None


def module_of(spelling: str) -> str:
    """Give the module that a spelling names, without part and side."""
    return re.split(r"[\[:]", spelling, maxsplit=1)[0]


def _block(pattern: re.Pattern[str], family: Family, name: str, known: set[str]) -> re.Match[str] | None:
    hit = pattern.fullmatch(name)
    return hit if hit and all(f"{name}.{part}" in known for part in family.has) else None
