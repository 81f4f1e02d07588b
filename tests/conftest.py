"""Fixtures shared by all tests: the offline mirror of real files, and one small recording per modality."""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

import neurointerp as ni

settings.register_profile("repeatable", derandomize=True)  # a run tells of the code, not of the draw of the day
settings.load_profile("repeatable")

MIRRORS = [os.environ.get("NEUROINTERP_MIRROR", ""), str(Path(__file__).parents[2] / "shared" / "data")]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Give the folder with the real files of the manifest, or skip."""
    for folder in filter(None, MIRRORS):
        if (Path(folder) / "FILES.tsv").is_file():
            return Path(folder).resolve()
    pytest.skip("no offline mirror of the real files: set NEUROINTERP_MIRROR to a folder that holds them")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROINTERP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROINTERP_MIRROR", raising=False)


def _smooth(rng: np.random.Generator, samples: int, units: int) -> np.ndarray:
    latent = rng.standard_normal((samples + 9, 3)).cumsum(axis=0)
    latent = latent[9:] - latent[:-9]
    return latent @ rng.standard_normal((3, units)) + rng.standard_normal((samples, units))


@pytest.fixture
def recordings() -> dict[str, xr.DataArray]:
    """Give one small simulated recording per modality: signed, counts, epochs, segments, float32."""
    rng = np.random.default_rng(0)
    segment = np.repeat([0, 1, 2], [50, 40, 30])
    signed = {modality: _smooth(rng, 120, 8) for modality in ("calcium", "eeg", "meg", "ieeg", "fmri", "behavior")}
    units = {"eeg": "V", "ieeg": "V", "meg": "T"}
    out = {
        modality: ni.recording(values, modality=modality, units=units.get(modality, "1"), sampling_rate=10.0)
        for modality, values in signed.items()
    }
    out["activations"] = ni.recording(
        _smooth(rng, 120, 8).astype(np.float32),
        modality="activations",
        units="1",
        time=np.arange(120),
        coords={"segment": ("time", segment), "layer": ("unit", np.repeat([0, 1], 4))},
    )
    out["spikes"] = ni.recording(
        rng.poisson(np.exp(_smooth(rng, 120, 8) / 8)), modality="spikes", units="1", sampling_rate=20.0
    )
    out["stimulus"] = ni.recording(
        _smooth(rng, 120, 8).reshape(6, 20, 8),
        modality="stimulus",
        units="1",
        sampling_rate=10.0,
        dims=("trial", "time", "unit"),
        coords={"stimulus": ("trial", ["a", "b", "c", "a", "b", "c"])},
    )
    return out


@pytest.fixture(scope="session")
def small_model():
    """Give a maker of models of the common families, with random weights: `small_model("gpt2")`."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    text = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 24}
    gated = {**text, **sizes, "num_key_value_heads": 2, "max_position_embeddings": 32}
    image = {"image_size": 12, "patch_size": 4, "num_channels": 3, "num_labels": 5}
    known = {
        "gpt2": ("GPT2LMHead", "GPT2", {**text, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 32}),
        "llama": ("LlamaForCausalLM", "Llama", gated),
        "gemma": ("Gemma2ForCausalLM", "Gemma2", {**gated, "head_dim": 6}),
        "qwen": ("Qwen3ForCausalLM", "Qwen3", {**gated, "head_dim": 6}),
        "gemma3": ("Gemma3ForCausalLM", "Gemma3Text", {**gated, "head_dim": 6}),
        "mixtral": ("MixtralForCausalLM", "Mixtral", {**gated, "num_local_experts": 3, "num_experts_per_tok": 2}),
        "olmo2": ("Olmo2ForCausalLM", "Olmo2", gated),
        "granite": ("GraniteForCausalLM", "Granite", {**gated, "residual_multiplier": 0.5}),
        "phi3": ("Phi3ForCausalLM", "Phi3", gated),
        "phi": ("PhiForCausalLM", "Phi", {**text, **sizes, "max_position_embeddings": 32}),
        "neox": ("GPTNeoXForCausalLM", "GPTNeoX", {**text, **sizes, "max_position_embeddings": 32}),
        "neo": (
            "GPTNeoForCausalLM",
            "GPTNeo",
            {
                **text, "hidden_size": 16, "num_layers": 3, "num_heads": 4, "intermediate_size": 24,
                "attention_types": [[["global", "local"], 1], [["global"], 1]], "max_position_embeddings": 32,
            },
        ),
        "t5": ("T5EncoderModel", "T5", {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 3,
               "num_heads": 4, "feed_forward_proj": "gated-gelu"}),
        "t5-both": ("T5ForConditionalGeneration", "T5", {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 24,
                    "num_layers": 3, "num_heads": 4, "decoder_start_token_id": 0}),
        "distilbert": ("DistilBertForMaskedLM", "DistilBert", {"vocab_size": 40, "dim": 16, "n_layers": 3,
                       "n_heads": 4, "hidden_dim": 24, "max_position_embeddings": 32}),
        "mpnet": ("MPNetModel", "MPNet", {"vocab_size": 40, **sizes, "max_position_embeddings": 34}),
        "bert": ("BertForMaskedLM", "Bert", {**text, **sizes, "max_position_embeddings": 32}),
        "roberta": ("RobertaForMaskedLM", "Roberta", {**text, **sizes, "max_position_embeddings": 34}),
        "vit": ("ViTForImageClassification", "ViT", {**sizes, **image}),
        "resnet": (
            "ResNetForImageClassification",
            "ResNet",
            {"embedding_size": 4, "hidden_sizes": [4, 6], "depths": [1, 2], "layer_type": "basic", "num_labels": 5},
        ),
    }  # fmt: skip

    def make(name):
        kind, config, options = known[name]
        kind += "Model" if kind.endswith("Head") else ""
        torch.manual_seed(0)
        model = getattr(transformers, kind)(getattr(transformers, f"{config}Config")(**options)).eval()
        with torch.no_grad():  # norms and biases away from 1 and 0, where mistakes would hide
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    return make
