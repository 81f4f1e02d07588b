"""What the common model families call the modules at their named sites and weights.

A spelling is the name of a module below the block of a layer (`""` is the block), with `[i/n]` for the i-th of n equal
parts of its features, and `:input`, `:shared` or `:pattern` for the side to take (see `Site`). Of several spellings
the first that the model has is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Spellings = tuple[str, ...]
LOGITS = ("lm_head", "embed_out", "cls.predictions", "vocab_projector", "classifier", "score", "fc", "head")
UNEMBED = (
    "lm_head.decoder", "lm_head", "embed_out", "cls.predictions.decoder", "vocab_projector", "classifier.1",
    "classifier", "score", "fc", "head",
)  # fmt: skip
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
        ("self_attn.q_proj", "self_attn.o_proj", "input_layernorm", "mlp"),
        {
            "resid.pre": (":input",), "resid.post": ("",),
            "resid.mid": ("pre_feedforward_layernorm:shared", "post_attention_layernorm:shared"),
            "mlp.in": ("mlp:input",), "mlp.gate": ("mlp.gate_proj",), "mlp.post": ("mlp.down_proj:input",),
            "mlp.out": ("mlp.down_proj", "mlp"),
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
        "fused gated",
        r"layers\.\d+",
        ("self_attn.qkv_proj", "mlp.gate_up_proj", "input_layernorm"),
        {
            "resid.pre": (":input",), "resid.mid": ("post_attention_layernorm:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.gate": ("mlp.gate_up_proj[0/2]",), "mlp.post": ("mlp.down_proj:input",),
            "mlp.out": ("mlp.down_proj",), "attn.z": ("self_attn.o_proj:input",),
            "attn.pattern": ("self_attn:pattern",), "attn.out": ("self_attn.o_proj",),
        },
        {
            "W_in": ("mlp.gate_up_proj[1/2]",), "W_gate": ("mlp.gate_up_proj[0/2]",), "W_out": ("mlp.down_proj",),
            "W_O": ("self_attn.o_proj",), "norm.attn": ("input_layernorm",), "norm.mlp": ("post_attention_layernorm",),
        },
        {"attn": ("input_layernorm:input",), "mlp": ("post_attention_layernorm:input",)},
        {"W_E": ("embed_tokens",), "norm": ("norm",), "read": ("norm:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "OLMo 2",  # norms stand behind attention and MLP, before the additions
        r"layers\.\d+",
        ("self_attn.q_proj", "mlp.gate_proj", "post_attention_layernorm", "post_feedforward_layernorm"),
        {
            "resid.pre": (":input",), "resid.mid": ("mlp:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.gate": ("mlp.gate_proj",), "mlp.post": ("mlp.down_proj:input",),
            "mlp.out": ("mlp.down_proj",),
            "attn.q": ("self_attn.q_proj",), "attn.k": ("self_attn.k_proj",), "attn.v": ("self_attn.v_proj",),
            "attn.z": ("self_attn.o_proj:input",), "attn.pattern": ("self_attn:pattern",),
            "attn.out": ("self_attn.o_proj",),
        },
        {
            "W_in": ("mlp.up_proj",), "W_gate": ("mlp.gate_proj",), "W_out": ("mlp.down_proj",),
            "W_Q": ("self_attn.q_proj",), "W_K": ("self_attn.k_proj",), "W_V": ("self_attn.v_proj",),
            "W_O": ("self_attn.o_proj",), "norm.attn": ("post_attention_layernorm",),
            "norm.mlp": ("post_feedforward_layernorm",),
        },
        {},
        {"W_E": ("embed_tokens",), "norm": ("norm",), "read": ("norm:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "Phi",  # attention and MLP read the same norm, and are added together
        r"layers\.\d+",
        ("self_attn.q_proj", "self_attn.dense", "mlp.fc2", "input_layernorm"),
        {
            "resid.pre": (":input",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.post": ("mlp.fc2:input",), "mlp.out": ("mlp.fc2",),
            "attn.q": ("self_attn.q_proj",), "attn.k": ("self_attn.k_proj",), "attn.v": ("self_attn.v_proj",),
            "attn.z": ("self_attn.dense:input",), "attn.pattern": ("self_attn:pattern",),
            "attn.out": ("self_attn.dense",),
        },
        {
            "W_in": ("mlp.fc1",), "W_out": ("mlp.fc2",), "W_Q": ("self_attn.q_proj",), "W_K": ("self_attn.k_proj",),
            "W_V": ("self_attn.v_proj",), "W_O": ("self_attn.dense",), "norm.attn": ("input_layernorm",),
            "norm.mlp": ("input_layernorm",),
        },
        {},
        {
            "W_E": ("embed_tokens",), "norm": ("final_layernorm",), "read": ("final_layernorm:input",),
            "W_U": UNEMBED, "logits": LOGITS,
        },
    ),
    Family(
        "GPT-NeoX",  # queries, keys and values alternate head by head in one projection; mostly added together
        r"layers\.\d+",
        ("attention.query_key_value", "mlp.dense_4h_to_h"),
        {
            "resid.pre": (":input",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.post": ("mlp.dense_4h_to_h:input",), "mlp.out": ("mlp.dense_4h_to_h",),
            "attn.z": ("attention.dense:input",), "attn.pattern": ("attention:pattern",),
            "attn.out": ("attention.dense",),
        },
        {
            "W_in": ("mlp.dense_h_to_4h",), "W_out": ("mlp.dense_4h_to_h",), "W_O": ("attention.dense",),
            "norm.attn": ("input_layernorm",), "norm.mlp": ("post_attention_layernorm",),
        },
        {},
        {
            "W_E": ("embed_in",), "norm": ("final_layer_norm",), "read": ("final_layer_norm:input",),
            "W_U": UNEMBED, "logits": LOGITS,
        },
    ),
    Family(
        "GPT-Neo",
        r"h\.\d+",
        ("attn.attention.q_proj", "mlp.c_proj"),
        {
            "resid.pre": (":input",), "resid.mid": ("ln_2:shared",), "resid.post": ("",),
            "mlp.in": ("mlp:input",), "mlp.post": ("mlp.c_proj:input",), "mlp.out": ("mlp.c_proj",),
            "attn.q": ("attn.attention.q_proj",), "attn.k": ("attn.attention.k_proj",),
            "attn.v": ("attn.attention.v_proj",), "attn.z": ("attn.attention.out_proj:input",),
            "attn.out": ("attn.attention.out_proj",),
        },
        {
            "W_in": ("mlp.c_fc",), "W_out": ("mlp.c_proj",), "W_Q": ("attn.attention.q_proj",),
            "W_K": ("attn.attention.k_proj",), "W_V": ("attn.attention.v_proj",), "W_O": ("attn.attention.out_proj",),
            "norm.attn": ("ln_1",), "norm.mlp": ("ln_2",),
        },
        {"attn": ("ln_1:input",), "mlp": ("ln_2:input",)},
        {"W_E": ("wte",), "norm": ("ln_f",), "read": ("ln_f:input",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "T5",
        r"block\.\d+",
        ("layer.0.SelfAttention.o",),
        {
            "resid.pre": (":input",), "resid.mid": ("layer.1.layer_norm:shared",), "resid.post": ("",),
            "mlp.in": ("layer.1.DenseReluDense:input",), "mlp.gate": ("layer.1.DenseReluDense.wi_0",),
            "mlp.post": ("layer.1.DenseReluDense.wo:input",), "mlp.out": ("layer.1.DenseReluDense.wo",),
            "attn.q": ("layer.0.SelfAttention.q",), "attn.k": ("layer.0.SelfAttention.k",),
            "attn.v": ("layer.0.SelfAttention.v",), "attn.z": ("layer.0.SelfAttention.o:input",),
            "attn.out": ("layer.0.SelfAttention.o",),
        },
        {
            "W_in": ("layer.1.DenseReluDense.wi", "layer.1.DenseReluDense.wi_1"),
            "W_gate": ("layer.1.DenseReluDense.wi_0",), "W_out": ("layer.1.DenseReluDense.wo",),
            "W_Q": ("layer.0.SelfAttention.q",), "W_K": ("layer.0.SelfAttention.k",),
            "W_V": ("layer.0.SelfAttention.v",), "W_O": ("layer.0.SelfAttention.o",),
            "norm.attn": ("layer.0.layer_norm",), "norm.mlp": ("layer.1.layer_norm",),
        },
        {"attn": ("layer.0.layer_norm:input",), "mlp": ("layer.1.layer_norm:input",)},
        {"W_E": ("embed_tokens",), "norm": ("final_layer_norm",), "read": ("final_layer_norm:input",)},
    ),
    Family(
        "DistilBERT",
        r"layer\.\d+",
        ("attention.q_lin", "ffn.lin2", "sa_layer_norm"),
        {
            "resid.pre": (":input",), "resid.mid": ("sa_layer_norm",), "resid.post": ("",),
            "mlp.in": ("ffn:input",), "mlp.post": ("ffn.lin2:input",), "mlp.out": ("ffn.lin2",),
            "attn.q": ("attention.q_lin",), "attn.k": ("attention.k_lin",), "attn.v": ("attention.v_lin",),
            "attn.z": ("attention.out_lin:input",), "attn.pattern": ("attention:pattern",),
            "attn.out": ("attention.out_lin",),
        },
        {
            "W_in": ("ffn.lin1",), "W_out": ("ffn.lin2",), "W_Q": ("attention.q_lin",), "W_K": ("attention.k_lin",),
            "W_V": ("attention.v_lin",), "W_O": ("attention.out_lin",), "norm.attn": ("sa_layer_norm",),
            "norm.mlp": ("output_layer_norm",),
        },
        {},
        {"W_E": ("embeddings.word_embeddings",), "W_U": UNEMBED, "logits": LOGITS},
    ),
    Family(
        "MPNet",
        r"(encoder\.)?layer\.\d+",
        ("attention.attn.q", "intermediate.dense", "output.dense"),
        {
            "resid.pre": (":input",), "resid.mid": ("attention.LayerNorm",), "resid.post": ("",),
            "mlp.in": ("intermediate:input",), "mlp.post": ("output.dense:input",), "mlp.out": ("output.dense",),
            "attn.q": ("attention.attn.q",), "attn.k": ("attention.attn.k",), "attn.v": ("attention.attn.v",),
            "attn.z": ("attention.attn.o:input",), "attn.out": ("attention.attn.o",),
        },
        {
            "W_in": ("intermediate.dense",), "W_out": ("output.dense",), "W_Q": ("attention.attn.q",),
            "W_K": ("attention.attn.k",), "W_V": ("attention.attn.v",), "W_O": ("attention.attn.o",),
            "norm.attn": ("attention.LayerNorm",), "norm.mlp": ("output.LayerNorm",),
        },
        {},
        {"W_E": ("embeddings.word_embeddings",), "W_U": UNEMBED, "logits": LOGITS},
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
