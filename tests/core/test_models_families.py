"""Named sites on further families: what is read is what the block computes, and padding changes nothing."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.loaders import activations
from neurointerp.models.taps import tapped

ALL = {
    "embed", "resid.pre", "resid.mid", "resid.post", "mlp.in", "mlp.post", "mlp.out", "attn.q", "attn.k", "attn.v",
    "attn.z", "attn.pattern", "attn.out", "logits",
}  # fmt: skip
QKV = {"attn.q", "attn.k", "attn.v"}
LACKS = {
    "gemma3": set(), "mixtral": {"mlp.post"}, "olmo2": set(), "granite": set(), "phi3": QKV, "phi": {"resid.mid"},
    "neox": {"resid.mid", *QKV}, "neo": {"attn.pattern"}, "t5": {"attn.pattern", "logits"}, "distilbert": set(),
    "mpnet": {"attn.pattern", "logits"},
}  # fmt: skip
GATED = ("gemma3", "olmo2", "granite", "phi3", "t5")
FAMILIES = tuple(LACKS)
PROMPTS = [[5, 6, 7, 8, 9, 10], [11, 12, 13], [14, 15, 16, 17]]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def found(torch):
    """Give a function that gives what all named sites hold on some tokens, and what the model returns."""

    def look(model, **options):
        held = {}
        sites = models.sites_of(model, sorted(models.site_names(model)))
        taps = [(site, lambda t, key=site.where: held.__setitem__(key, t.clone())) for site in sites]
        ids = torch.randint(3, 40, (2, 7), generator=torch.Generator().manual_seed(0))
        with torch.no_grad(), tapped(model, taps):
            out = model(input_ids=ids, **options)
        return held, out

    return look


@pytest.mark.parametrize("name", FAMILIES)
def test_sites_are_those_of_the_family(name, small_model, found):
    model = small_model(name)
    assert set(models.site_names(model)) == (ALL | ({"mlp.gate"} if name in GATED else set())) - LACKS[name]
    held, out = found(model, output_hidden_states=True)
    assert held["embed"].equal(out.hidden_states[0])
    for layer in range(3):
        assert held[f"L{layer}.resid.pre"].equal(out.hidden_states[layer])
    if "logits" in held:
        assert held["logits"].equal(out.logits) or name == "granite"  # which divides them afterwards


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stream_is_the_sum_that_the_family_says(name, small_model, found, torch):
    model = small_model(name)
    held, _ = found(model)
    blocks = [site.path for site in models.sites_of(model, "resid.post")]
    for layer, path in enumerate(blocks):
        block = model.get_submodule(path)
        pre, mid, post, attn, mlp = (
            held.get(f"L{layer}.{one}") for one in ("resid.pre", "resid.mid", "resid.post", "attn.out", "mlp.out")
        )
        if name in ("phi", "neox"):
            torch.testing.assert_close(post, pre + attn + mlp)
            continue
        with torch.no_grad():
            if name == "distilbert":
                attn, mlp = block.sa_layer_norm(pre + attn) - pre, block.output_layer_norm(mid + mlp) - mid
            elif name == "mpnet":
                attn, mlp = block.attention.LayerNorm(pre + attn) - pre, block.output.LayerNorm(mid + mlp) - mid
            elif name in ("gemma3", "olmo2"):
                attn, mlp = block.post_attention_layernorm(attn), block.post_feedforward_layernorm(mlp)
            elif name == "granite":
                attn, mlp = 0.5 * attn, 0.5 * mlp
        torch.testing.assert_close(mid, pre + attn)
        torch.testing.assert_close(post, mid + mlp)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "mixtral"])
def test_weights_lead_from_what_is_read_to_what_is_written(name, small_model, found, torch):
    model = small_model(name)
    held, _ = found(model)

    def bias(key, layer):
        try:
            return models.weights(model, key, layer=layer)
        except ni.ModelError:
            return 0.0

    for layer in range(3):
        at = {one: held[f"L{layer}.{one}"] for one in ("mlp.in", "mlp.post", "mlp.out", "attn.z", "attn.out")}
        w = {key: models.weights(model, key, layer=layer) for key in ("W_in", "W_out", "W_O")}
        torch.testing.assert_close(at["mlp.out"], at["mlp.post"] @ w["W_out"] + bias("b_out", layer))
        torch.testing.assert_close(at["attn.out"], at["attn.z"] @ w["W_O"] + bias("b_O", layer))
        up = at["mlp.in"] @ w["W_in"] + bias("b_in", layer)
        if name in GATED:
            gate = at["mlp.in"] @ models.weights(model, "W_gate", layer=layer)
            torch.testing.assert_close(held[f"L{layer}.mlp.gate"], gate)
            ratio = at["mlp.post"] / up  # the nonlinearity of the gate: not above what goes in, and rising with it
            order = gate.flatten().argsort()
            rising = ratio.flatten()[order][gate.flatten()[order] > 0]
            assert (rising.diff() > -1e-4).all()


@pytest.mark.parametrize("name", [name for name in FAMILIES if "attn.pattern" not in LACKS[name]])
def test_patterns_are_those_that_the_model_returns(name, small_model, found):
    model = small_model(name)
    held, _ = found(model)
    model.config._attn_implementation = "eager"
    _, out = found(model, output_attentions=True)
    for layer in range(3):
        np.testing.assert_allclose(held[f"L{layer}.attn.pattern"], out.attentions[layer], atol=1e-6)


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_padded_batch_gives_what_single_prompts_give(name, padding, small_model):
    model = small_model(name)
    sites = sorted(models.site_names(model))
    batched = activations.record(model, PROMPTS, sites=sites, padding=padding, batch_size=3)
    single = activations.record(model, PROMPTS, sites=sites, batch_size=1)
    np.testing.assert_allclose(batched, single, atol=3e-5)


def test_an_encoder_and_a_decoder_are_told_apart_by_module_names_only(small_model, torch):
    model = small_model("t5-both")
    with pytest.raises(ni.ModelError, match=r"blocks in several places .*: name the modules"):
        activations.record(model, PROMPTS, sites="mlp.post")
    ids = torch.tensor([PROMPTS[0], PROMPTS[0]])
    given = {"input_ids": ids, "decoder_input_ids": ids[:, :2]}
    name = "block.{layer}.layer.1.DenseReluDense.wo:input"
    rec = activations.record(model, given, sites={"mlp.post": f"encoder.{name}"})
    assert rec.sizes == {"trial": 2, "time": 6, "unit": 3 * 24}
    rec = activations.record(model, given, sites={"mlp.post": "decoder.block.{layer}.layer.2.DenseReluDense.wo:input"})
    assert rec.sizes == {"trial": 2, "time": 2, "unit": 3 * 24}


def test_an_edge_of_t5_and_phi_3_is_exact_and_others_are_refused(small_model, torch):
    ids = torch.tensor([PROMPTS[0]])
    for name, norm in (("t5", "encoder.block.2.layer.0.layer_norm"), ("phi3", "model.layers.2.input_layernorm")):
        model = small_model(name)
        rec = activations.record(model, [PROMPTS[0]], sites=["L0.mlp.out", "L2.resid.pre"])
        seen = {}
        reader = model.get_submodule(norm)
        with models.intervene(model, [models.edge("L0.mlp.out", "L2.attn")]), torch.no_grad():
            hook = reader.register_forward_pre_hook(lambda m, args, into=seen: into.update(x=args[0]))
            model(input_ids=ids)
            hook.remove()
        values = {site: rec.values[:, rec["site"].values == site] for site in ("mlp.out", "resid.pre")}
        np.testing.assert_allclose(seen["x"][0], values["resid.pre"] - values["mlp.out"], atol=1e-5)
    for name in ("gemma3", "olmo2", "granite", "phi", "neox"):
        model = small_model(name)
        refused = pytest.raises(ni.ModelError, match="do not add to a stream one after the other")
        with refused, models.intervene(model, [models.edge("L0.mlp.out", "L2.attn")]):
            pass
