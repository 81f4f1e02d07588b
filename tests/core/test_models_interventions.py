"""Interventions: exact, chosen to the unit, composed in order, gone without residue; strengths that are tuned."""

from collections import namedtuple

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.models.taps import tapped

Pair = namedtuple("Pair", "first second")

# --- on linear models, against the algebra -----------------------------------------------------------------------


def test_each_intervention_does_to_a_linear_model_what_the_algebra_says(chain, torch):
    x = torch.randn(7, 4, dtype=torch.float64)
    reference = torch.randn(9, 5, dtype=torch.float64)
    direction = torch.arange(1.0, 6.0, dtype=torch.float64)
    unit = direction / direction.norm()
    with torch.no_grad():
        a = chain.a(x)
    along = (a @ unit)[:, None]
    chosen = a.clone()
    chosen[:, [0, 3]] = 0
    some = a.clone()
    some[:, 2] = reference[:, 2].mean()
    cases = {
        "add": (models.add("a", direction, 2.5), a + 2.5 * direction),
        "add to units": (models.add("a", [1.0, 2.0], 2.0, units=[1, 4]), a + torch.tensor([0, 2.0, 0, 0, 4.0])),
        "scale": (models.scale("a", -0.5), -0.5 * a),
        "zero": (models.zero("a", units=[0, 3]), chosen),
        "zero all": (models.zero("a"), 0 * a),
        "zero direction": (models.zero("a", direction=direction), a - along * unit),
        "clamp": (models.clamp("a", -0.2, 0.3), a.clip(-0.2, 0.3)),
        "clamp direction": (models.clamp("a", 2.0, 2.0, direction=direction), a + (2.0 - along) * unit),
        "mean": (models.mean("a", reference), reference.mean(0).expand(7, 5)),
        "mean of a unit": (models.mean("a", reference.numpy(), [2]), some),
        "patch": (models.patch("a", reference[:7]), reference[:7]),
    }
    for name, (intervention, expected) in cases.items():
        with models.intervene(chain, [intervention]), torch.no_grad():
            found = chain(x)
        with torch.no_grad():
            torch.testing.assert_close(found, chain.c(chain.b(expected)), msg=lambda m, name=name: f"{name}: {m}")


def test_they_compose_in_order_and_contexts_nest(chain, torch):
    x = torch.randn(2, 4, dtype=torch.float64)
    ones = torch.ones(5, dtype=torch.float64)
    with torch.no_grad():
        a = chain.a(x)
        both = chain.c(chain.b(3 * (a + 2 * ones)))
        other = chain.c(chain.b(3 * a + 2 * ones))
        add, scale = models.add("a", ones, 2.0), models.scale("a", 3.0)
        with models.intervene(chain, [add, scale]):
            torch.testing.assert_close(chain(x), both)
        with models.intervene(chain, [scale, add]):
            torch.testing.assert_close(chain(x), other)
        with models.intervene(chain, [add]), models.intervene(chain, [scale]):
            torch.testing.assert_close(chain(x), both)


def test_strength_goes_part_of_the_way(chain, torch):
    from dataclasses import replace

    x = torch.randn(2, 4, dtype=torch.float64)
    with torch.no_grad():
        a = chain.a(x)
        for strength, left in ((0.0, 1.0), (0.25, 0.75), (1.0, 0.0)):
            with models.intervene(chain, [replace(models.zero("a"), strength=strength)]):
                torch.testing.assert_close(chain(x), chain.c(chain.b(left * a)))


def test_resampled_values_are_rows_of_the_reference_the_same_every_time(chain, torch):
    x = torch.randn(500, 4, dtype=torch.float64)
    reference = torch.arange(15, dtype=torch.float64).reshape(3, 5)

    def run(seed):
        found = []
        site = models.sites_of(chain, "b:input")[0]
        taps = tapped(chain, [(site, lambda t: found.append(t.clone()))])
        with torch.no_grad(), models.intervene(chain, [models.resample("a", reference, seed=seed)]), taps:
            chain(x)
        return found[0]

    drawn = run(0)
    counts = [(drawn == row).all(1).sum().item() for row in reference]
    assert sum(counts) == 500
    assert min(counts) > 120
    assert torch.equal(drawn, run(0))
    assert not torch.equal(drawn, run(1))


def test_gradients_and_vector_jacobian_products_of_linear_maps_are_products_of_weights(chain, torch):
    x = torch.randn(2, 4, dtype=torch.float64)
    a, b, c = (part.weight.detach() for part in chain)
    found = models.gradient(chain, x, lambda out: (out * torch.tensor([1.0, -2.0, 0.5])).sum(), sites=["a", "b"])
    cotangent = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(found["b"], (cotangent @ c).expand(2, 6))
    torch.testing.assert_close(found["a"], (cotangent @ c @ b).expand(2, 5))
    vector = torch.randn(2, 6, dtype=torch.float64)
    pulled = models.vjp(chain, x, vector, source=["a", "a:input"], target="b")
    torch.testing.assert_close(pulled["a"], vector @ b)
    torch.testing.assert_close(pulled["a:input"], vector @ b @ a)
    assert not x.requires_grad
    assert all(parameter.grad is None for parameter in chain.parameters())
    for parameter in chain.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(models.vjp(chain, x, vector, source="a", target="b")["a"], vector @ b)
    with pytest.raises(ni.ModelError, match=r"target 'b' holds \(2, 6\), the cotangent does not fit"):
        models.vjp(chain, x, torch.ones(5), source="a", target="b")
    with pytest.raises(ni.ModelError, match="one number that depends on what the model returns"):
        models.gradient(chain, x, lambda out: torch.ones(()), sites="a")


def test_the_tuned_strength_gives_the_divergence_that_the_algebra_gives(chain, torch):
    x = torch.randn(6, 4, dtype=torch.float64)
    direction = torch.randn(5, dtype=torch.float64)
    found = models.tune(models.add("a", direction), chain, x, target_kl=0.2)
    with torch.no_grad():
        before = chain(x).numpy()
        after = before + found.strength * (direction @ chain.b.weight.T @ chain.c.weight.T).numpy()
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (before, after))
    kl = (p * np.log(p / q)).sum(1).mean()
    assert abs(kl - 0.2) <= 0.002
    assert models.divergence(chain, x, [found]) == pytest.approx(kl, rel=1e-9)
    assert models.divergence(chain, x, [models.add("a", direction, 0.0)]) == 0
    with pytest.raises(ni.ModelError, match=r"at strength 1 the divergence is .*, below 50"):
        models.tune(models.zero("a"), chain, x, target_kl=50.0, maximum=1.0)


# --- on transformers, against hooks written by hand --------------------------------------------------------------


def test_a_module_that_returns_a_named_tuple_keeps_its_fields(torch):
    class Named(torch.nn.Module):
        def forward(self, x):
            return Pair(x, 2 * x)

    model = torch.nn.Sequential(Named())
    with models.intervene(model, [models.add("0", [1.0, -1.0])]):
        found = model(torch.ones(1, 2))
    assert isinstance(found, Pair)
    assert found.first.tolist() == [[2.0, 0.0]]
    assert found.second.tolist() == [[2.0, 2.0]]


def test_outcomes_that_are_ruled_out_add_nothing_to_the_divergence(torch):
    """A logit of minus infinity is a probability of 0 before and after."""
    push = models.add("", [1.0, 0.0, 0.0])
    masked = models.divergence(torch.nn.Identity(), torch.tensor([[0.0, 1.0, -torch.inf]]), [push])
    assert masked == models.divergence(torch.nn.Identity(), torch.tensor([[0.0, 1.0]]), [models.add("", [1.0, 0.0])])
    assert masked > 0.05


def test_interventions_equal_hand_written_hooks_bit_for_bit(gpt2, ids, torch, logits):
    direction = torch.randn(16, generator=torch.Generator().manual_seed(3))
    block, mlp = gpt2.transformer.h[1], gpt2.transformer.h[2].mlp

    def steer(module, args, output):
        return output + 4.0 * direction

    def ablate(module, args):
        hidden = args[0].clone()
        hidden[..., [5, 9]] = 0
        return (hidden,)

    hooks = [block.register_forward_hook(steer), mlp.c_proj.register_forward_pre_hook(ablate)]
    expected = logits(gpt2, ids)
    for hook in hooks:
        hook.remove()
    before = logits(gpt2, ids)
    todo = [models.add("L1.resid.post", direction, 4.0), models.zero("L2.mlp.post", units=[5, 9])]
    with models.intervene(gpt2, todo):
        assert torch.equal(logits(gpt2, ids), expected)
    assert not torch.equal(before, expected)
    assert torch.equal(logits(gpt2, ids), before)


def test_a_shared_stream_is_changed_for_all_who_read_it(small_model, ids, torch, held):
    for name in ("gpt2", "llama", "gemma", "qwen", "bert"):
        model = small_model(name)
        values = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))
        with models.intervene(model, [models.patch("L2.resid.mid", values), models.zero("L2.mlp.out")]):
            post = held(model, "L2.resid.post", ids)
        if name in ("gpt2", "llama", "qwen"):
            bias = 0.0
            assert torch.allclose(post, values + bias), name
        with models.intervene(model, [models.patch("L1.resid.mid", values)]):
            assert torch.equal(held(model, "L1.resid.mid", ids), values)


def test_heads_are_those_of_the_projection(small_model, ids, torch, held):
    for name in ("gpt2", "llama", "bert", "qwen"):
        model = small_model(name)
        z = held(model, "L1.attn.z", ids)
        size = z.shape[-1] // 4
        with models.intervene(model, [models.zero("L1.attn.z", heads=[2])]):
            found, out = held(model, "L1.attn.z", ids), held(model, "L1.attn.out", ids)
        expected = z.clone()
        expected[..., 2 * size : 3 * size] = 0
        assert torch.equal(found, expected)
        weight = models.weights(model, "W_O", layer=1)
        bias = models.weights(model, "b_O", layer=1) if name in ("gpt2", "bert") else 0
        torch.testing.assert_close(out, expected @ weight + bias)


def test_a_part_of_a_joint_projection_is_changed_alone(gpt2, ids, torch, held):
    whole = held(gpt2, "transformer.h.1.attn.c_attn", ids)
    with models.intervene(gpt2, [models.scale("L1.attn.k", 2.0, heads=1)]):
        found = held(gpt2, "transformer.h.1.attn.c_attn", ids)
    expected = whole.clone()
    expected[..., 20:24] *= 2
    assert torch.equal(found, expected)


def test_positions_choose_tokens(gpt2, ids, torch, held, logits):
    post = held(gpt2, "L1.mlp.post", ids)
    mask = torch.zeros(2, 7, dtype=torch.bool)
    mask[0, 3] = mask[1, 5] = True
    for positions, rows in (
        (4, [(0, 4), (1, 4)]),
        ([-1, 0], [(0, 6), (0, 0), (1, 6), (1, 0)]),
        (slice(2, 4), [(0, 2), (0, 3), (1, 2), (1, 3)]),
        (mask.numpy(), [(0, 3), (1, 5)]),
    ):
        expected = post.clone()
        for row in rows:
            expected[row] = 0
        for own in (True, False):
            one = models.zero("L1.mlp.post", positions=positions if own else None)
            with models.intervene(gpt2, [one], positions=None if own else positions):
                assert torch.equal(held(gpt2, "L1.mlp.post", ids), expected)
    before = logits(gpt2, ids)
    with models.intervene(gpt2, [models.zero("L1.mlp.post")], positions=4):
        after = logits(gpt2, ids)
    assert torch.equal(after[:, :4], before[:, :4])  # causal: what comes before is untouched
    assert not torch.equal(after[:, 4:], before[:, 4:])


def test_a_pattern_that_is_set_is_what_mixes_the_values(small_model, ids, torch, held):
    for name in ("gpt2", "gemma"):
        model = small_model(name)
        heads = 4
        pattern = torch.eye(7).expand(2, heads, 7, 7)
        with models.intervene(model, [models.patch("L1.attn.pattern", pattern)]):
            z, v = held(model, "L1.attn.z", ids), held(model, "L1.attn.v", ids)
            assert torch.equal(held(model, "L1.attn.pattern", ids), pattern)
        kv = v.unflatten(-1, (-1, z.shape[-1] // heads)).repeat_interleave(heads * v.shape[-1] // z.shape[-1] and
            z.shape[-1] // v.shape[-1], dim=2)  # fmt: skip
        torch.testing.assert_close(z, kv.flatten(2))
        whole = held(model, "L1.attn.pattern", ids)
        with models.intervene(model, [models.zero("L1.attn.pattern", heads=[3], positions=[6])]):
            found = held(model, "L1.attn.pattern", ids)
        expected = whole.clone()
        expected[:, 3, 6] = 0
        assert torch.equal(found, expected)


def test_feature_maps_are_changed_by_channel(small_model, torch, held):
    model = small_model("resnet")
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = held(model, "L1.resid.post", images)
    with models.intervene(model, [models.zero("L1.resid.post", units=[1, 4])]):
        found = held(model, "L2.resid.pre", images)
    expected = maps.clone()
    expected[:, [1, 4]] = 0
    assert torch.equal(found, expected)
    with (
        pytest.raises(ni.ModelError, match="without positions"),
        models.intervene(model, [models.zero("L1.resid.post")], positions=1),
    ):
        model(images)


def test_a_reference_recording_is_matched_by_its_units(gpt2, ids, torch, held):
    from neurointerp.loaders import activations

    rec = activations.record(gpt2, [row.tolist() for row in ids], sites=["mlp.post", "resid.post"])
    shuffled = rec.isel(unit=np.random.default_rng(0).permutation(rec.sizes["unit"]))
    with models.intervene(gpt2, [models.mean("mlp.post", shuffled)]):
        for layer in range(3):
            wanted = rec.sel(unit=[f"L{layer}.mlp.post.{i}" for i in range(64)]).values.mean(0)
            np.testing.assert_allclose(held(gpt2, f"L{layer}.mlp.post", ids)[0, 0], wanted, atol=1e-6)
    other = models.mean("L0.mlp.post", rec.isel(unit=rec.layer.values == 1))
    with (
        pytest.raises(ni.ModelError, match=r"the recording lacks 64 units of 'L0.mlp.post', such as L0.mlp.post.0"),
        models.intervene(gpt2, [other]),
    ):
        gpt2(ids)


def test_a_patch_takes_a_recording_of_another_prompt_by_its_labels(gpt2, ids, torch, logits):
    from neurointerp.loaders import activations

    other = ids.flip(0)[:1]
    rec = activations.record(gpt2, other, sites=["attn.z", "resid.post"])
    own = activations.record(gpt2, ids[:1], sites="resid.post")
    for given in (rec, rec.isel(trial=0), activations.record(gpt2, other.tolist(), sites=["attn.z", "resid.post"])):
        with models.intervene(gpt2, [models.patch("L1.resid.post", given)]):
            assert torch.allclose(logits(gpt2, ids[:1]), logits(gpt2, other), atol=1e-6)
        with models.intervene(gpt2, [models.patch("L1.resid.post", given, positions=[2])]):
            seen = activations.record(gpt2, ids[:1], sites="L1.resid.post")
        wanted = own.sel(unit=seen.unit.values).values[0].copy()
        wanted[2] = rec.sel(unit=seen.unit.values).values[0, 2]
        np.testing.assert_allclose(seen[0], wanted, atol=1e-6)
    for make, message in (
        (lambda: models.patch("L0.mlp.post", rec), "the recording lacks 64 units of 'L0.mlp.post'"),
        (lambda: models.patch("L0.attn.pattern", rec), "takes an array .*: a recording has units"),
        (lambda: models.patch("L0.resid.post", rec.isel(time=slice(2))), r"holds \(1, \d+, 16\), the values have"),
    ):
        with pytest.raises(ni.ModelError, match=message), models.intervene(gpt2, [make()]):
            gpt2(ids[:1])


def test_units_are_numbers_and_an_array_of_them_only():
    found = models.zero("x", units=np.array([2, 5], dtype=np.int32)).units
    assert found == (2, 5)
    assert models.zero("x", heads=range(3)).heads == (0, 1, 2)
    assert models.zero("x", units=[]).units == ()
    for units, message in (
        (np.arange(4) < 2, "given as a mask: .*flatnonzero"),
        (["L0.mlp.post.3"], "given as 'L0.mlp.post.3'"),
        (slice(3), r"given as slice\(None, 3, None\)"),
        ([1.5], "given as float64 numbers"),
    ):
        with pytest.raises(ni.ModelError, match=message):
            models.zero("x", units=units)


def test_recordings_see_interventions_and_lent_weights_do_too(gpt2, ids):
    from neurointerp.loaders import activations

    prompts = [row.tolist() for row in ids]
    for dtype in (None, "float64"):
        with models.intervene(gpt2, [models.zero("L0.mlp.post", units=[7])]):
            rec = activations.record(gpt2, prompts, sites=["L0.mlp.post"], dtype=dtype)
        assert (rec.sel(unit="L0.mlp.post.7") == 0).all()
        assert (rec.sel(unit="L0.mlp.post.8") != 0).all()


def test_nothing_stays_also_after_an_error(gpt2, ids, torch, logits):
    before = logits(gpt2, ids)
    state = {name: tensor.clone() for name, tensor in gpt2.state_dict().items()}
    everything = [models.zero(site) for site in models.site_names(gpt2)]
    with pytest.raises(IndexError), models.intervene(gpt2, everything):
        gpt2(ids + 40)
    with pytest.raises(ni.ModelError), models.intervene(gpt2, [*everything, models.zero("L0.mlp.post", units=[64])]):
        gpt2(ids)
    with pytest.raises(ni.ModelError), models.intervene(gpt2, [*everything, models.zero("nonsense")]):
        pass
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in gpt2.modules()) == 0
    assert gpt2.config._attn_implementation == "sdpa"
    assert all(torch.equal(tensor, state[name]) for name, tensor in gpt2.state_dict().items())
    assert torch.equal(logits(gpt2, ids), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.zero("L0.mlp.post", units=[64]), r"there are 64 units of site 'L0.mlp.post'; 64 is none"),
        (lambda: models.zero("L0.attn.z", heads=[4]), r"there are 4 heads of site 'L0.attn.z'; 4 is none of them"),
        (lambda: models.zero("L0.mlp.post", heads=[0]), "is not made of heads"),
        (lambda: models.zero("L0.mlp.post", positions=[7]), "there are 7 tokens; 7 is none of them"),
        (lambda: models.zero("L0.mlp.post", positions=np.ones((2, 6), bool)), r"mask of shape \(2, 6\)"),
        (lambda: models.add("L0.mlp.post", np.ones(3)), r"has 64 features, the direction has shape \(3,\)"),
        (lambda: models.mean("L0.mlp.post", np.ones((2, 3))), r"has 64 features, the reference has shape \(2, 3\)"),
        (lambda: models.patch("L0.mlp.post", np.ones((9, 9))), r"holds \(2, 7, 64\), the values have \(9, 9\)"),
        (lambda: models.zero("L0.attn.pattern", units=[0]), "heads, queries and keys, not units"),
        (lambda: models.clamp("L0.mlp.post"), "needs low=, high= or both"),
        (lambda: models.clamp("L0.mlp.post", 1.0, -1.0), "low 1.0 above high -1.0"),
        (lambda: models.zero("L0.mlp.post", direction=np.zeros(64)), "direction has length 0; nothing lies along it"),
        (lambda: models.mean("L0.mlp.post", np.full((2, 64), np.nan)), "has 128 missing values"),
        (lambda: models.resample("L0.mlp.post", np.ones((0, 64))), r"has no samples, its shape is \(0, 64\)"),
    ],
)
def test_what_does_not_fit_is_named(make, message, gpt2, ids):
    with pytest.raises(ni.ModelError, match=message), models.intervene(gpt2, [make()]):
        gpt2(ids)
