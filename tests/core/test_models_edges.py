"""Edges between writers and readers of the stream, patterns and norms held, gradients between sites."""

import pytest

import neurointerp as ni
from neurointerp import models


def test_an_edge_is_what_one_reader_gets_from_one_writer(gpt2, ids, torch, held):
    written = held(gpt2, "L0.attn.out", ids)
    stream = held(gpt2, "L1.resid.mid", ids)
    cut = models.edge("L0.attn.out", "L1.mlp")
    before = {site: held(gpt2, site, ids) for site in ("L1.attn.out", "L0.mlp.out", "L0.resid.post")}
    with models.intervene(gpt2, [cut]):
        found = held(gpt2, "L1.mlp.in", ids)
        after = {site: held(gpt2, site, ids) for site in before}
        post = held(gpt2, "L1.resid.post", ids)
        mlp = held(gpt2, "L1.mlp.out", ids)
    torch.testing.assert_close(found, gpt2.transformer.h[1].ln_2(stream - written))
    assert all(torch.equal(after[site], before[site]) for site in before)
    torch.testing.assert_close(post, stream + mlp)


def test_an_edge_takes_what_a_recording_of_another_prompt_says(gpt2, ids, torch, held):
    from neurointerp.loaders import activations

    rec = activations.record(gpt2, ids.flip(0), sites=["attn.out", "mlp.out"])
    stream, written = held(gpt2, "L1.resid.mid", ids), held(gpt2, "L0.attn.out", ids)
    other = held(gpt2, "L0.attn.out", ids.flip(0))
    with models.intervene(gpt2, [models.edge("L0.attn.out", "L1.mlp", rec)]):
        found = held(gpt2, "L1.mlp.in", ids)
    torch.testing.assert_close(found, gpt2.transformer.h[1].ln_2(stream - written + other))
    for value, message in (
        (rec.isel(unit=rec["site"].values == "mlp.out"), "the recording lacks 16 units of 'L0.attn.out'"),
        (rec.isel(time=slice(2)), r"the stream behind L0.attn.out is .*, the value has \(2, 2, 16\)"),
    ):
        with (
            pytest.raises(ni.ModelError, match=message),
            models.intervene(gpt2, [models.edge("L0.attn.out", "L1.mlp", value)]),
        ):
            gpt2(ids)


def test_the_edge_from_the_embedding_holds_the_positions_too(torch):
    model = models.gpt.GPT(models.gpt.Config(layers=2, width=8, heads=2)).double().eval()
    given = torch.arange(6)[None]
    with torch.no_grad():
        start = model.embed(given) + model.position(torch.arange(6))
        allowed = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
        stream = model.blocks[0](start, allowed)
        block = model.blocks[1]
        stream = stream + block.attn(block.norm_attn(stream - start), allowed)
        stream = stream + block.mlp(block.norm_mlp(stream))
        with models.intervene(model, [models.edge("embed", "L1.attn")]):
            torch.testing.assert_close(model(given), model.unembed(model.norm(stream)))


def test_cutting_all_edges_of_a_writer_equals_cutting_the_writer(gpt2, ids, torch, logits):
    readers = [f"L{layer}.{part}" for layer in (1, 2) for part in ("attn", "mlp")]
    edges = [models.edge("L0.mlp.out", reader) for reader in (*readers, "logits")]
    with models.intervene(gpt2, edges):
        found = logits(gpt2, ids)
    with models.intervene(gpt2, [models.zero("L0.mlp.out")]):
        torch.testing.assert_close(found, logits(gpt2, ids), atol=2e-5, rtol=1e-4)


def test_edges_of_heads_and_units_add_up(gpt2, ids, torch, held):
    parts = [models.edge("L0.attn.out", "L2.mlp", heads=[head]) for head in range(4)]
    bias = models.weights(gpt2, "b_O", layer=0)
    with models.intervene(gpt2, parts):
        found = held(gpt2, "L2.mlp.in", ids)
    with models.intervene(gpt2, [models.edge("L0.attn.out", "L2.mlp", bias.expand(2, 7, 16))]):
        torch.testing.assert_close(found, held(gpt2, "L2.mlp.in", ids), atol=1e-5, rtol=1e-4)
    with models.intervene(gpt2, [models.edge("L0.mlp.out", "L2.mlp", units=range(64), positions=3)]):
        found = held(gpt2, "L2.mlp.in", ids)
    clean = held(gpt2, "L2.mlp.in", ids)
    assert torch.equal(found[:, [0, 6]], clean[:, [0, 6]])
    assert not torch.allclose(found[:, 3], clean[:, 3])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("gpt2", lambda: models.edge("L1.attn.out", "L1.attn"), "L1.attn reads before L1.attn.out writes"),
        ("gpt2", lambda: models.edge("L1.mlp.out", "L1.mlp"), "reads before"),
        ("gpt2", lambda: models.edge("L1.mlp.out", "L7.mlp"), "has no reader 'L7.mlp'"),
        ("bert", lambda: models.edge("L0.mlp.out", "L1.mlp"), "do not add to a stream one after the other"),
        ("gemma", lambda: models.edge("L0.mlp.out", "L1.mlp"), "do not add to a stream"),
        ("gpt2", lambda: models.edge("L0.mlp.post", "L1.mlp"), "sender is 'L0.mlp.post'"),
        ("gpt2", lambda: models.edge("L0.mlp.out", "L1.mlp.in"), "receiver is 'L1.mlp.in'"),
        ("gpt2", lambda: models.edge("L0.mlp.out", "L1.mlp", heads=[0]), "heads= go with attn.out"),
    ],
)
def test_an_edge_that_is_none_is_refused(name, make, message, small_model):
    with pytest.raises(ni.ModelError, match=message), models.intervene(small_model(name), [make()]):
        pass


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma", "qwen", "bert", "vit"])
def test_with_patterns_and_norms_frozen_all_but_the_mlps_is_affine(name, small_model, ids, torch, held):
    model = small_model(name).double()
    given = ids if name != "vit" else torch.randn(2, 3, 12, 12, dtype=torch.float64)
    start = held(model, "L0.resid.pre", given)
    step = torch.randn(start.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    clean = held(model, "L2.resid.post", given)

    def at(amount):
        changes = [models.patch("L0.resid.pre", start + amount * step), models.zero("mlp.out")]
        with models.intervene(model, changes):
            return held(model, "L2.resid.post", given)

    bend = [at(0), at(1), at(2)]
    assert not torch.allclose(bend[2] - bend[1], bend[1] - bend[0], atol=1e-3)
    with models.frozen(model, given):
        # transformers computes RMS norms in single precision, here they are in that of the values
        torch.testing.assert_close(held(model, "L2.resid.post", given), clean, atol=1e-5, rtol=1e-5)
        straight = [at(0), at(1), at(2)]
        torch.testing.assert_close(straight[2] - straight[1], straight[1] - straight[0])
        with models.intervene(model, [models.zero("mlp.out")]):
            vector = torch.randn(clean.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
            pulled = models.vjp(model, given, vector, source="L0.resid.pre", target="L2.resid.post")
        torch.testing.assert_close((pulled["L0.resid.pre"] * step).sum(), (vector * (straight[1] - straight[0])).sum())
    torch.testing.assert_close(held(model, "L2.resid.post", given), clean, atol=0, rtol=0)


def test_what_cannot_be_frozen_is_named(chain, gpt2, ids, torch):
    x = torch.ones(1, 4, dtype=torch.float64)
    with pytest.raises(ni.ModelError, match="has no attention patterns"), models.frozen(chain, x):
        pass
    with pytest.raises(ni.ModelError, match="has no norms to hold"), models.frozen(chain, x, patterns=False):
        pass
    with pytest.raises(ni.ModelError, match="was frozen at"), models.frozen(gpt2, ids):
        gpt2(ids[:, :4])


def test_gradients_between_sites_agree_with_finite_differences(gpt2, ids, torch, held, logits):
    import copy

    model = copy.deepcopy(gpt2).double()
    step = torch.randn(2, 7, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = models.gradient(model, ids, lambda out: out.logits[0, 5, 11] - out.logits[1, 6, 3], sites="L1.mlp.post")
    values = held(model, "L1.mlp.post", ids)

    def at(amount):
        with models.intervene(model, [models.patch("L1.mlp.post", values + amount * step)]):
            out = logits(model, ids)
        return out[0, 5, 11] - out[1, 6, 3]

    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    torch.testing.assert_close((found["L1.mlp.post"] * step).sum(), slope, rtol=1e-6, atol=1e-9)
    parts = models.gradient(model, ids, lambda out: out.logits.sum(), sites=["L1.attn.q", "L1.attn.pattern"])
    assert parts["L1.attn.q"].shape == (2, 7, 16)
    assert parts["L1.attn.pattern"].shape == (2, 4, 7, 7)


def test_padding_does_not_count_in_a_divergence(gpt2, ids, torch):
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    given = {"input_ids": ids, "attention_mask": mask}
    direction = torch.randn(16, generator=torch.Generator().manual_seed(4))
    found = models.tune(models.add("L1.resid.post", direction), gpt2, given, target_kl=0.05, positions=[2])
    alone = [({"input_ids": ids[:1]}, 7), ({"input_ids": ids[1:, :4]}, 4)]
    kl = [models.divergence(gpt2, one, [found], positions=[2]) * count for one, count in alone]
    assert sum(kl) / 11 == pytest.approx(0.05, rel=0.011)
