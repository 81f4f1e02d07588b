"""Recording named sites: every family, padding on either side, images, sound."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.loaders import activations

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [20, 21, 22, 23, 24], [30]]
TEXT = ("gpt2", "llama", "gemma", "qwen", "bert")
SITES = ["embed", "resid.*", "mlp.*", "attn.*", "logits"]


@pytest.mark.parametrize("name", [*TEXT, "roberta"])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_padded_batch_gives_what_single_prompts_give(name, padding, small_model):
    model = small_model(name)
    batched = activations.record(model, PROMPTS, sites=SITES, padding=padding)
    single = activations.record(model, PROMPTS, sites=SITES, batch_size=1)
    assert batched.sizes["time"] == 15
    np.testing.assert_allclose(batched, single, atol=2e-5, rtol=1e-4)
    assert batched.token_id.values.tolist() == [i for ids in PROMPTS for i in ids]
    assert batched.position.values.tolist() == [i for ids in PROMPTS for i in range(len(ids))]
    assert batched.drop_attrs().coords.equals(single.drop_attrs().coords)


@pytest.mark.parametrize("padding", ["right", "left"])
def test_the_real_minilm_in_a_batch_gives_what_it_gives_alone(padding, minilm):
    model, tokenizer = minilm
    texts = ["A short one.", "The much longer second prompt has quite a few more tokens than the first.", "Three"]
    options = {"tokenizer": tokenizer, "sites": ["mlp.post", "attn.pattern", "resid.post", "attn.z"]}
    batched = activations.record(model, texts, padding=padding, **options)
    single = activations.record(model, texts, batch_size=1, **options)
    np.testing.assert_allclose(batched, single, atol=2e-5)
    assert batched.sizes["time"] == 21
    assert batched["head"].max() == 11


@pytest.mark.parametrize("name", TEXT)
def test_recorded_values_equal_hand_written_hooks_bit_for_bit(name, small_model, torch):
    model = small_model(name)
    layers = {"gpt2": "transformer.h", "bert": "bert.encoder.layer"}.get(name, "model.layers")
    down = {"gpt2": "mlp.c_proj", "bert": "output.dense"}.get(name, "mlp.down_proj")
    ids = torch.tensor([PROMPTS[0], PROMPTS[0][::-1]])
    mine, hooks = {}, []
    for layer in range(3):
        module = model.get_submodule(f"{layers}.{layer}.{down}")
        keep = lambda m, args, out, layer=layer: mine.update({layer: (args[0].clone(), out.clone())})  # noqa: E731
        hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        model(ids)
    for hook in hooks:
        hook.remove()
    rec = activations.record(model, ids.tolist(), sites=["mlp.post", "mlp.out"])
    for layer in range(3):
        post, out = (
            rec.values[:, (rec.layer.values == layer) & (rec.site.values == site)] for site in ("mlp.post", "mlp.out")
        )
        np.testing.assert_array_equal(post, mine[layer][0].flatten(0, 1))
        np.testing.assert_array_equal(out, mine[layer][1].flatten(0, 1))
        bias = models.weights(model, "b_out", layer=layer) if name in ("gpt2", "bert") else torch.zeros(16)
        found = post @ models.weights(model, "W_out", layer=layer).detach().numpy() + bias.detach().numpy()
        np.testing.assert_allclose(out, found, atol=1e-5)


def test_the_real_minilm_keeps_its_down_projection(minilm, torch):
    model, tokenizer = minilm
    texts = ["What a down-projection reads, times its weight, is what it writes.", "And again."]
    rec = activations.record(model, texts, tokenizer=tokenizer, sites=["L4.mlp.post", "L4.mlp.out"])
    post, out = (rec.values[:, rec.site.values == site] for site in ("mlp.post", "mlp.out"))
    with torch.no_grad():
        weight, bias = (models.weights(model, name, layer=4).numpy() for name in ("W_out", "b_out"))
    np.testing.assert_allclose(out, post @ weight + bias, atol=1e-5, rtol=1e-6)  # one unit is near -48
    exact = activations.record(model, texts, tokenizer=tokenizer, sites=["L4.mlp.post", "L4.mlp.out"], dtype="float64")
    post, out = (exact.values[:, exact.site.values == site] for site in ("mlp.post", "mlp.out"))
    np.testing.assert_allclose(out, post @ weight.astype(float) + bias, atol=1e-12)
    assert rec.unit.values[[0, 1536]].tolist() == ["L4.mlp.post.0", "L4.mlp.out.0"]


def test_units_of_attention_name_their_head_and_key(small_model):
    rec = activations.record(small_model("llama"), PROMPTS, sites=["L1.attn.pattern", "L1.attn.k", "L1.mlp.out"])
    pattern = rec.values[:, rec.site.values == "attn.pattern"].reshape(15, 4, 7)
    lengths = np.array([len(PROMPTS[i]) for i in rec.sequence.values])
    np.testing.assert_array_equal(np.isnan(pattern[:, 0]), np.arange(7) >= lengths[:, None])
    np.testing.assert_allclose(np.nansum(pattern, axis=2), 1, atol=1e-6)
    later = np.arange(7) > rec.position.values[:, None]
    assert (np.nan_to_num(pattern.transpose(0, 2, 1))[later] == 0).all()
    first = rec.sel(unit=[f"L1.attn.pattern.{i}" for i in (0, 8)])
    assert (first["head"].values.tolist(), first["key"].values.tolist()) == ([0, 1], [0, 1])
    assert rec["head"].values[rec.site.values == "attn.k"].tolist() == [0] * 4 + [1] * 4
    assert np.isnan(rec["head"].values[rec.site.values == "mlp.out"]).all()
    ni.check(rec)


def test_padding_on_the_left_in_the_prompts_themselves_is_cut(minilm):
    model, tokenizer = minilm
    tokenizer.padding_side = "left"
    padded = tokenizer(["one two", "a much longer line of words"], padding=True)["input_ids"]
    tokenizer.padding_side = "right"
    assert padded[0][0] == tokenizer.pad_token_id
    rec = activations.record(model, padded, sites=["embed"], tokenizer=tokenizer)
    plain = activations.record(model, ["one two", "a much longer line of words"], sites=["embed"], tokenizer=tokenizer)
    np.testing.assert_allclose(rec, plain, atol=1e-6)
    assert rec.position.values.tolist() == plain.position.values.tolist()


def test_a_site_more_precise_than_the_run_keeps_its_precision(torch):
    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.wide = torch.nn.Embedding(40, 4), torch.nn.Identity()

        def forward(self, ids):
            return self.wide(self.embed(ids).double() / 3)

    model = Mixed()
    rec = activations.record(model, [[1, 2], [3, 4], [5, 6]], sites=["embed", "wide"], batch_size=1)
    assert rec.dtype == np.float64
    np.testing.assert_array_equal(rec.values[:, 4:], model.embed.weight.detach().double().numpy()[1:7] / 3)


def test_the_small_gpt_is_recorded_by_name(torch):
    from neurointerp.models import gpt

    model = gpt.GPT(gpt.Config(layers=2, width=16, heads=4, vocab_size=40))
    for padding in ("left", "right"):
        batched = activations.record(model, PROMPTS, sites=SITES, padding=padding)
        single = activations.record(model, PROMPTS, sites=SITES, batch_size=1)
        np.testing.assert_allclose(batched, single, atol=2e-6)
    post = batched.values[:, (batched.site.values == "mlp.post") & (batched.layer.values == 0)]
    out = batched.values[:, (batched.site.values == "mlp.out") & (batched.layer.values == 0)]
    weight, bias = (models.weights(model, name, layer=0).detach().numpy() for name in ("W_out", "b_out"))
    np.testing.assert_allclose(out, post @ weight + bias, atol=1e-5)


# --- images and sound --------------------------------------------------------------------------------------------


def test_patches_of_an_image_have_row_and_col(small_model, torch):
    model = small_model("vit")
    images = torch.randn(5, 3, 12, 12)
    rec = activations.record(model, images, sites=["L1.resid.post"], batch_size=2, stimulus=list("abcde"))
    assert rec.sizes == {"trial": 5, "token": 9, "unit": 16}
    assert rec["row"].values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rec["col"].values.tolist() == [0, 1, 2] * 3
    assert rec.stimulus.values.tolist() == list("abcde")
    with torch.no_grad():
        hidden = model(images, output_hidden_states=True).hidden_states[2]
    np.testing.assert_allclose(rec, hidden[:, 1:], atol=1e-6)
    whole = activations.record(model, images, sites=["L1.resid.post"], special_tokens=True)
    np.testing.assert_allclose(whole, hidden, atol=1e-6)
    assert np.isnan(whole["row"].values[0])
    assert whole["col"].values[1:].tolist() == [0, 1, 2] * 3
    first = activations.record(model, images, sites=["resid.post"], pool="first")
    assert first.dims == ("trial", "unit")
    np.testing.assert_allclose(first.values[:, 16:32], hidden[:, 0], atol=1e-6)
    mean = activations.record(model, {"pixel_values": images}, sites=["L1.resid.post"], pool="mean")
    np.testing.assert_allclose(mean, hidden[:, 1:].mean(1), atol=1e-6)
    for found in (rec, whole, first, mean):
        ni.check(found)


def test_the_place_of_a_patch_is_where_the_image_differs(small_model, torch):
    model = small_model("vit")
    plain = torch.zeros(1, 3, 12, 12)
    dotted = plain.clone()
    dotted[0, :, 4:8, 8:12] = 3.0
    two = activations.record(model, torch.cat([plain, dotted]), sites=["embed"])
    moved = np.abs(two.values[1] - two.values[0]).max(axis=1) > 1e-6
    assert list(zip(two["row"].values[moved], two["col"].values[moved], strict=True)) == [(1, 2)]


def test_a_convolutional_net_gives_maps_and_their_mean(small_model, torch):
    model = small_model("resnet")
    images = torch.randn(3, 3, 32, 32)
    mine = {}
    module = model.resnet.encoder.stages[1].layers[1]
    hook = module.register_forward_hook(lambda m, args, out: mine.update(out=out))
    with torch.no_grad():
        model(images)
    hook.remove()
    maps = activations.record(model, images, sites=["L2.resid.post"], batch_size=3)
    assert maps.dims == ("trial", "row", "col", "unit")
    np.testing.assert_array_equal(maps.transpose("trial", "unit", "row", "col"), mine["out"])
    np.testing.assert_allclose(activations.record(model, images, sites=["L2.resid.post"]), maps, atol=1e-6)
    all_layers = activations.record(model, images, sites=["resid.post"], pool="mean")
    assert all_layers.sizes == {"trial": 3, "unit": 4 + 6 + 6}
    np.testing.assert_allclose(all_layers.values[:, 10:], mine["out"].mean((2, 3)), atol=1e-6)
    with pytest.raises(ni.LoaderError, match="record them apart, or pool"):
        activations.record(model, images, sites=["resid.post"])


def test_sound_gives_frames_or_one_value_per_trial(torch):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.Wav2Vec2Model(config).eval()
    waves = torch.randn(3, 400)
    rec = activations.record(model, {"input_values": waves}, sites={"resid.post": "encoder.layers.{layer}"})
    with torch.no_grad():
        hidden = model(waves, output_hidden_states=True).hidden_states
    assert rec.dims == ("trial", "time", "unit")
    assert rec.time.attrs["units"] == "frame"
    np.testing.assert_allclose(rec.values[..., :16], hidden[1], atol=1e-6)
    mean = activations.record(model, waves, sites={"resid.post": "encoder.layers.{layer}"}, pool="mean", batch_size=2)
    assert mean.dims == ("trial", "unit")
    np.testing.assert_allclose(mean, rec.mean("time"), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": "median"}, "pool is 'median'"),
        ({"padding": "both"}, "padding is 'both'"),
        ({"sites": ["attn.pattern"]}, "'L0.attn.pattern' is recorded for prompts"),
    ],
)
def test_odd_options_are_refused(options, message, small_model, torch):
    with pytest.raises(ni.LoaderError, match=message):
        activations.record(small_model("vit"), torch.zeros(1, 3, 12, 12), **{"sites": ["embed"], **options})
