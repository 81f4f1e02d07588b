"""Named sites on the common families, taps, weights by site, replaced modules."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.models.taps import tapped

TEXT = ("gpt2", "llama", "gemma", "qwen", "bert")
FAMILIES = (*TEXT, "vit", "resnet")
ALL = {
    "embed", "resid.pre", "resid.mid", "resid.post", "mlp.in", "mlp.post", "mlp.out", "attn.q", "attn.k", "attn.v",
    "attn.z", "attn.pattern", "attn.out", "logits",
}  # fmt: skip
GATED = ("llama", "gemma", "qwen")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


def inputs(torch, name):
    generator = torch.Generator().manual_seed(0)
    if name in TEXT:
        return torch.randint(3, 40, (2, 7), generator=generator)
    return torch.randn(2, 3, 12 if name == "vit" else 32, 12 if name == "vit" else 32, generator=generator)


def held(model, sites, given):
    """Give what sites hold in one pass."""
    import torch

    found = {}
    taps = [(site, lambda t, key=site.where: found.__setitem__(key, t.clone())) for site in sites]
    with torch.no_grad(), tapped(model, taps):
        model(given)
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_named_sites(name, small_model, torch):
    model = small_model(name)
    wanted = {"resnet": {"embed", "resid.pre", "resid.post", "logits"}}.get(name, ALL)
    wanted = wanted | ({"mlp.gate"} if name in GATED else set())
    assert set(models.site_names(model)) == wanted
    sites = models.sites_of(model, sorted(wanted))
    assert len(sites) == 3 * len(wanted - {"embed", "logits"}) + 2
    found = held(model, sites, inputs(torch, name))
    assert set(found) == {site.where for site in sites}
    assert all(torch.isfinite(value).all() for value in found.values())


@pytest.mark.parametrize("name", [*TEXT, "vit"])
def test_sites_hold_what_hand_written_hooks_and_the_model_itself_give(name, small_model, torch):
    model, given = small_model(name), inputs(torch, name)
    found = held(model, models.sites_of(model, ["resid.*", "embed", "logits"]), given)
    with torch.no_grad():
        out = model(given, output_hidden_states=True)
    assert torch.equal(found["logits"], out.logits) or name == "gemma"  # its head is followed by a soft cap
    assert torch.equal(found["embed"], out.hidden_states[0])
    for layer in range(3):
        assert torch.equal(found[f"L{layer}.resid.pre"], out.hidden_states[layer])
    assert torch.equal(found["L1.resid.post"], out.hidden_states[2])
    blocks = {"gpt2": "transformer.h.1", "bert": "bert.encoder.layer.1", "vit": "vit.layers.1"}.get(
        name, "model.layers.1"
    )
    down = {"gpt2": "mlp.c_proj", "bert": "output.dense", "vit": "mlp.fc2"}.get(name, "mlp.down_proj")
    mine = {}
    module = model.get_submodule(f"{blocks}.{down}")
    hook = module.register_forward_hook(lambda m, args, output: mine.update(post=args[0], out=output))
    found = held(model, models.sites_of(model, ["L1.mlp.post", "L1.mlp.out"]), given)
    hook.remove()
    assert torch.equal(found["L1.mlp.post"], mine["post"])
    assert torch.equal(found["L1.mlp.out"], mine["out"])


@pytest.mark.parametrize("name", [*TEXT, "vit"])
def test_patterns_are_those_of_eager_attention_and_mix_the_values(name, small_model, torch):
    model, given = small_model(name), inputs(torch, name)
    way = model.config._attn_implementation
    found = held(model, models.sites_of(model, ["attn.pattern", "attn.v", "attn.z"]), given)
    assert model.config._attn_implementation == way
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        out = model(given, output_attentions=True)
    for layer in range(3):
        pattern = found[f"L{layer}.attn.pattern"]
        assert torch.equal(pattern, out.attentions[layer])
        heads = pattern.shape[1]
        kv_heads = {"llama": 2, "gemma": 2, "qwen": 2}.get(name, heads)
        values = found[f"L{layer}.attn.v"].unflatten(-1, (kv_heads, -1)).transpose(1, 2)
        mixed = (pattern @ values.repeat_interleave(heads // kv_heads, dim=1)).transpose(1, 2).flatten(2)
        torch.testing.assert_close(found[f"L{layer}.attn.z"], mixed)


@pytest.mark.parametrize("name", [*TEXT, "vit"])
def test_weights_by_site_lead_from_what_is_read_to_what_is_written(name, small_model, torch):
    model, given = small_model(name), inputs(torch, name)
    found = held(model, models.sites_of(model, sorted(set(models.site_names(model)) - {"attn.pattern"})), given)

    def bias(key, layer):
        try:
            return models.weights(model, key, layer=layer)
        except ni.ModelError:
            return 0.0

    for layer in range(3):
        weights = {key: models.weights(model, key, layer=layer) for key in ("W_out", "W_O", "W_Q", "W_K", "W_V")}
        at = {key: found[f"L{layer}.{key}"] for key in ("mlp.in", "mlp.post", "mlp.out", "attn.z", "attn.out")}
        down = at["mlp.post"] @ weights["W_out"] + bias("b_out", layer)
        torch.testing.assert_close(at["mlp.out"], down, atol=1e-5, rtol=0)
        torch.testing.assert_close(at["attn.out"], at["attn.z"] @ weights["W_O"] + bias("b_O", layer))
        up = at["mlp.in"] @ models.weights(model, "W_in", layer=layer) + bias("b_in", layer)
        if name in GATED:
            gate = at["mlp.in"] @ models.weights(model, "W_gate", layer=layer)
            torch.testing.assert_close(found[f"L{layer}.mlp.gate"], gate)
            act = torch.nn.SiLU() if name != "gemma" else torch.nn.GELU(approximate="tanh")
            torch.testing.assert_close(at["mlp.post"], act(gate) * up)
        else:
            act = torch.nn.GELU(approximate="tanh" if name == "gpt2" else "none")
            torch.testing.assert_close(at["mlp.post"], act(up))
        if name not in ("bert", "gemma"):
            stream = found[f"L{layer}.resid.pre"] + at["attn.out"]
            torch.testing.assert_close(found[f"L{layer}.resid.mid"], stream)
            torch.testing.assert_close(found[f"L{layer}.resid.post"], stream + at["mlp.out"])
        if name in ("gpt2", "vit"):
            read = torch.nn.functional.layer_norm(
                found[f"L{layer}.resid.pre"], (16,), models.weights(model, "norm.attn", layer=layer),
                models.weights(model, "norm.attn.bias", layer=layer), 1e-5 if name == "gpt2" else 1e-12,
            )  # fmt: skip
            for letter in "QKV":
                value = read @ weights[f"W_{letter}"] + bias(f"b_{letter}", layer)
                torch.testing.assert_close(found[f"L{layer}.attn.{letter.lower()}"], value)
    if name in ("gpt2", "llama", "qwen"):
        assert models.weights(model, "W_U").shape == (16, 40)
        assert models.weights(model, "W_E").shape == (40, 16)
        assert models.weights(model, "norm").shape == (16,)
        stream = found["L2.resid.post"]
        read = model.get_submodule("transformer.ln_f" if name == "gpt2" else "model.norm")(stream)
        torch.testing.assert_close(found["logits"], read @ models.weights(model, "W_U"))


def test_the_small_gpt_is_a_family_of_its_own(torch):
    from neurointerp.models import gpt

    model = gpt.GPT(gpt.Config(layers=2, width=16, heads=4, vocab_size=40)).eval()
    assert set(models.site_names(model)) == ALL
    found = held(model, models.sites_of(model, sorted(ALL)), torch.arange(10).reshape(2, 5))
    out = found["L1.mlp.post"] @ models.weights(model, "W_out", layer=1) + models.weights(model, "b_out", layer=1)
    torch.testing.assert_close(found["L1.mlp.out"], out)
    stream = found["L0.resid.pre"] + found["L0.attn.out"]
    torch.testing.assert_close(found["L0.resid.mid"], stream)
    assert found["L0.attn.pattern"].shape == (2, 4, 5, 5)
    torch.testing.assert_close(found["L0.attn.pattern"].sum(-1), torch.ones(2, 4, 5))
    values = found["L0.attn.v"].unflatten(-1, (4, -1)).transpose(1, 2)
    mixed = (found["L0.attn.pattern"] @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found["L0.attn.z"], mixed)
    assert models.sites_of(model, "L1.attn.z")[0].heads == 4


def test_sites_are_chosen_by_name_layer_and_glob(small_model):
    model = small_model("llama")
    where = lambda sites: [site.where for site in models.sites_of(model, sites)]  # noqa: E731
    assert where("mlp.post") == ["L0.mlp.post", "L1.mlp.post", "L2.mlp.post"]
    assert where(["L2.mlp.post", "embed"]) == ["L2.mlp.post", "embed"]
    assert where("L*.resid.post") == where("resid.post") == ["L0.resid.post", "L1.resid.post", "L2.resid.post"]
    assert where("L1.attn.*")[:2] == ["L1.attn.q", "L1.attn.k"]
    assert where("model.layers.*.mlp") == [f"model.layers.{i}.mlp" for i in range(3)]
    assert where("lm_head") == ["lm_head"]
    heads = {site.name: site.heads for site in models.sites_of(model, "L0.*")}
    assert (heads["attn.q"], heads["attn.k"], heads["attn.pattern"], heads["attn.out"]) == (4, 2, 4, None)


@pytest.mark.parametrize(
    ("name", "site", "message"),
    [
        ("llama", "L9.mlp.post", r"'L9.mlp.post' is not in this gated model of 3 layers; it has embed, resid.pre"),
        ("gpt2", "mlp.gate", r"'mlp.gate' is not in this GPT-2 model"),
        ("bert", "mlp.pots", r"matches no module; the nearest are"),
        ("resnet", "L0.mlp.out", r"not in this ResNet model of 3 layers; it has embed, resid.pre, resid.post, logits"),
    ],
)
def test_a_site_that_is_not_there_is_named(name, site, message, small_model):
    with pytest.raises(ni.ModelError, match=message):
        models.sites_of(small_model(name), site)


def test_a_model_of_no_family_says_so(torch):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ni.ModelError, match="the model is of no family with named sites"):
        models.sites_of(model, "mlp.post")
    with pytest.raises(ni.ModelError, match="Sequential is of no family"):
        models.weights(model, "W_out", layer=0)


def test_two_stacks_of_blocks_are_ambiguous(small_model, torch):
    both = torch.nn.ModuleDict({"encoder": small_model("bert"), "decoder": small_model("bert")})
    with pytest.raises(ni.ModelError, match="blocks in several places"):
        models.sites_of(both, "mlp.post")
    assert len(models.sites_of(both, "encoder.bert.encoder.layer.*")) == 3


def test_weights_that_are_not_there_are_named(small_model):
    model = small_model("llama")
    for options, message in (
        ({"name": "W_out"}, "weight 'W_out': pass layer="),
        ({"name": "W_U", "layer": 0}, "weight 'W_U': it has no layer"),
        ({"name": "W_out", "layer": 3}, "layer is 3: the model has 0 to 2"),
        ({"name": "W_x", "layer": 0}, "has no 'W_x'; it has W_in, W_gate, W_out"),
        ({"name": "b_out", "layer": 0}, "Linear has no bias for 'b_out'"),
    ):
        with pytest.raises(ni.ModelError, match=message):
            models.weights(model, **options)
    assert models.weights(model, "W_out", layer=0).data_ptr() == model.model.layers[0].mlp.down_proj.weight.data_ptr()


def test_modules_are_replaced_and_come_back(small_model, torch):
    class Nothing(torch.nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    model, given = small_model("llama"), inputs(torch, "llama")
    before = model(given).logits
    with models.intervene(model, [models.zero("L1.mlp.out")]):
        ablated = model(given).logits
    with models.replace(model, {"L1.mlp": Nothing()}):
        assert torch.equal(model(given).logits, ablated)
        assert not torch.equal(ablated, before)
    with pytest.raises(RuntimeError, match="mine"), models.replace(model, {"model.layers.0.mlp": Nothing()}):
        raise RuntimeError("mine")
    assert torch.equal(model(given).logits, before)
    with pytest.raises(ni.ModelError, match=r"no module 'L7.mlp' to replace"), models.replace(model, {"L7.mlp": model}):
        pass


def test_taps_leave_nothing_behind_also_after_an_error(small_model, torch):
    from transformers.models.llama import modeling_llama

    model, given = small_model("llama"), inputs(torch, "llama")
    before, forward = model(given).logits, modeling_llama.eager_attention_forward

    def fail(tensor):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"), tapped(model, [(models.sites_of(model, "attn.pattern")[2], fail)]):
        model(given)
    gone = models.Site("gone", "output", "gone", None, False)
    both = tapped(model, [(models.sites_of(model, "attn.pattern")[0], fail), (gone, fail)])
    with pytest.raises(ni.ModelError, match="no module 'gone'"), both:
        pass
    assert modeling_llama.eager_attention_forward is forward
    assert model.config._attn_implementation == "sdpa"
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()) == 0
    assert torch.equal(model(given).logits, before)
    np.testing.assert_array_equal(before.isfinite().all(), True)
