"""What may be recorded besides prompts: arrays, lists, clips of unequal length; and where features stand."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.loaders import activations


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def net(torch):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))


@pytest.fixture
def sound(torch):
    """Give a small wav2vec 2.0, and clips of three lengths."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.Wav2Vec2Model(config).eval(), [torch.randn(size) for size in (400, 331, 400, 250)]


# --- arrays and lists --------------------------------------------------------------------------------------------


def test_arrays_lists_and_memory_maps_are_rows(net, torch, tmp_path):
    rows = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    expected = activations.record(net, rows, sites="1", batch_size=2)
    np.save(tmp_path / "rows.npy", rows.numpy())
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for given in (rows.numpy(), mapped, {"input": rows.numpy()}, list(rows), [row.numpy() for row in rows]):
        assert activations.record(net, given, sites="1", batch_size=2).equals(expected)
    for given in (rows, mapped):  # kept under one key: read in pieces, both tell the same work
        stored = activations.record(net, given, sites="1", batch_size=2, out=tmp_path / "x.zarr", overwrite=True)
        assert ni.digest(stored) == ni.digest(expected)
    assert mapped.flags.writeable is False
    swapped = rows.numpy().astype(">f4")[::-1]
    np.testing.assert_allclose(activations.record(net, swapped, sites="1")[::-1], expected, atol=1e-6)


def test_padding_that_a_mask_tells_of_is_never_recorded(small_model, torch):
    model, ids = small_model("bert"), torch.tensor([[5, 6, 7], [8, 9, 0]])
    with pytest.raises(ni.LoaderError, match=r"inputs hold padding .* pass a list of texts, of token ids or of clips"):
        activations.record(model, {"input_ids": ids, "attention_mask": (ids > 0).long()}, sites="embed")
    rec = activations.record(model, {"input_ids": ids[:1], "attention_mask": torch.ones(1, 3).long()}, sites="embed")
    assert rec.sizes == {"trial": 1, "time": 3, "unit": 16}


def test_options_without_effect_are_refused(small_model, torch):
    model, ids = small_model("gpt2"), [[5, 6, 7]]
    for inputs, options, message in (
        (ids, {"pool": "mean"}, r"pool='mean' is for tensors and clips; .*groupby\('sequence'\)"),
        (torch.tensor(ids), {"during": model.generate}, "during= takes prompts"),
        (ids, {"during": "generate"}, "during is a str: what runs the model is needed"),
        (ids, {"during": lambda **_: "text"}, "embed' held|gave a str: the ids of prompt and continuation"),
        (ids, {"channels": "second"}, "channels is 'second'"),
        (ids[0], {}, r"input 0 has shape \(\) .*one prompt is a list in a list"),
        (torch.tensor(ids), {"sites": 3}, "sites is 3: names are needed"),
        (torch.tensor(ids), {"sites": [model.lm_head]}, "sites is a Linear: names are needed"),
        (ids, {"sites": "blocks.0.hook_resid_post"}, "matches no module; .*; named sites are embed, resid.pre"),
    ):
        with pytest.raises(ni.LoaderError, match=message):
            activations.record(model, inputs, **{"sites": "embed", **options})
    means = activations.record(model, [[5, 6], [7]], sites="embed").groupby("sequence").mean()
    assert means.sizes == {"sequence": 2, "unit": 16}  # what the message advises


# --- clips -------------------------------------------------------------------------------------------------------


def test_clips_of_unequal_length_are_what_each_is_alone(sound, torch, tmp_path):
    model, clips = sound
    sites = {"resid.post": "encoder.layers.{layer}"}
    rec = activations.record(model, clips, sites=sites, stimulus=list("abcd"))
    with torch.no_grad():
        alone = [model(clip[None], output_hidden_states=True).hidden_states[1][0].numpy() for clip in clips]
    frames = [len(one) for one in alone]
    assert len(set(frames)) == 3
    np.testing.assert_allclose(rec.values[:, :16], np.concatenate(alone), atol=1e-6)
    assert rec.dims == ("time", "unit")
    assert rec.time.attrs["units"] == "frame"
    assert rec.sequence.values.tolist() == rec.segment.values.tolist() == np.repeat(range(4), frames).tolist()
    assert rec.position.values.tolist() == [i for size in frames for i in range(size)]
    assert rec.stimulus.values.tolist() == list(np.repeat(list("abcd"), frames))
    ni.check(rec)
    for given in (clips, [clip.numpy() for clip in clips]):
        stored = activations.record(
            model, given, sites=sites, stimulus=list("abcd"), out=tmp_path / "x.zarr", overwrite=True
        )
        assert stored.identical(rec)


def test_pooled_clips_are_one_trial_each_and_of_one_length_a_tensor(sound, torch, tmp_path):
    model, clips = sound
    sites = {"resid.post": "encoder.layers.{layer}"}
    whole = activations.record(model, clips, sites=sites)
    mean = activations.record(model, clips, sites=sites, pool="mean", stimulus=list("abcd"))
    assert mean.dims == ("trial", "unit")
    assert mean.stimulus.values.tolist() == list("abcd")
    np.testing.assert_allclose(mean, whole.groupby("sequence").mean(), atol=1e-6)
    stored = activations.record(model, clips, sites=sites, pool="mean", stimulus=list("abcd"), out=tmp_path / "x.zarr")
    assert ni.digest(stored) == ni.digest(mean)
    equal = activations.record(model, [clips[0], clips[2]], sites=sites)
    assert equal.identical(activations.record(model, torch.stack([clips[0], clips[2]]), sites=sites))


# --- where features stand ----------------------------------------------------------------------------------------


def test_channels_of_a_convolution_along_time_are_its_units(torch):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv1d(1, 6, 5, stride=2), torch.nn.ReLU())
    waves = torch.randn(2, 1, 41)
    rec = activations.record(net, waves, sites="0")
    with torch.no_grad():
        out = net[0](waves)
    assert rec.sizes == {"trial": 2, "time": 19, "unit": 6}
    np.testing.assert_array_equal(rec.transpose("trial", "unit", "time"), out)
    with pytest.raises(ni.LoaderError, match=r"pass channels='first' .* or 'last'"):
        activations.record(net, waves, sites="1")
    for both in (["0", "1"], ["1"]):
        rec = activations.record(net, waves, sites=both, channels="first")
        np.testing.assert_array_equal(rec.values[..., -6:].transpose(0, 2, 1), out.relu())
    with models.intervene(net, [models.zero("0", units=[2])]), torch.no_grad():
        cut = net(waves)
    assert not cut[:, 2].any()
    kept = [0, 1, 3, 4, 5]
    assert cut[:, kept].equal(out.relu()[:, kept])
    assert models.responder(net, sites="0").respond(waves).shape == (2, 6)


def test_a_linear_layer_over_an_image_has_its_features_last(torch):
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.wide = torch.nn.Conv2d(3, 4, 2), torch.nn.Linear(4, 7)
            self.whole, self.each = torch.nn.LayerNorm([4, 5, 4]), LayerNorm2d(4)

        def forward(self, images):
            return self.wide(self.each(self.whole(self.conv(images))).permute(0, 2, 3, 1))

    class LayerNorm2d(torch.nn.LayerNorm):  # as in ConvNeXt
        def forward(self, maps):
            return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    net, images = Last(), torch.randn(2, 3, 6, 5)
    with torch.no_grad():
        out = net(images)
    rec = activations.record(net, images, sites="wide")
    assert rec.sizes == {"trial": 2, "row": 5, "col": 4, "unit": 7}
    np.testing.assert_array_equal(rec, out)
    with models.intervene(net, [models.zero("wide", units=[6])]), torch.no_grad():
        assert not net(images)[..., 6].any()
    with torch.no_grad():
        maps = net.each(net.whole(net.conv(images)))
    both = activations.record(net, images, sites=["whole", "each"])
    assert both.sizes == {"trial": 2, "row": 5, "col": 4, "unit": 8}
    np.testing.assert_allclose(both.values[..., 4:].transpose(0, 3, 1, 2), maps, atol=1e-6)


def test_time_comes_second_also_where_a_recurrent_net_takes_it_first(torch):
    class Inside(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.LSTM(4, 8)

        def forward(self, x):
            return self.rnn(x.transpose(0, 1))[0].transpose(0, 1)

    torch.manual_seed(0)
    net, x = Inside(), torch.randn(5, 12, 4)
    with torch.no_grad():
        out = net(x)
    rec = activations.record(net, x, sites="rnn")
    assert rec.sizes == {"trial": 5, "time": 12, "unit": 8}
    np.testing.assert_array_equal(rec, out)
    with pytest.raises(ni.LoaderError, match=r"has shape \(12, 5, 8\) for 5 rows; .* take time first"):
        activations.record(net.rnn, x, sites="")
    with models.intervene(net, [models.zero("rnn", positions=[3])]), torch.no_grad():
        cut = net(x)
    assert not cut[:, 3].any()
    assert cut[:, [2, 4]].equal(out[:, [2, 4]])


def test_a_cell_that_runs_step_by_step_has_time(torch):
    class Steps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.out = torch.nn.GRUCell(4, 8), torch.nn.Linear(8, 2)

        def forward(self, x):
            state, seen = x.new_zeros(len(x), 8), []
            for step in range(x.shape[1]):
                state = self.cell(x[:, step], state)
                seen.append(self.out(state))
            return torch.stack(seen, dim=1)

    torch.manual_seed(0)
    net, x = Steps(), torch.randn(5, 12, 4)
    rec = activations.record(net, x, sites=["cell", "out"], batch_size=2)
    assert rec.sizes == {"trial": 5, "time": 12, "unit": 10}
    with torch.no_grad():
        np.testing.assert_allclose(rec.values[..., 8:], net(x), atol=1e-6)
    twice = torch.nn.Sequential(net.out, torch.nn.Linear(2, 8))
    twice.append(twice[0])
    with pytest.raises(ni.LoaderError, match="'0' ran 2 times"):
        activations.record(twice, torch.randn(2, 3, 8), sites="0")


def test_what_lends_only_its_weights_did_not_run(torch):
    net = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    with pytest.raises(ni.LoaderError, match=r"did not run in the pass .*out_proj of MultiheadAttention"):
        activations.record(net, torch.randn(2, 3, 16), sites="self_attn.out_proj")
    rec = activations.record(net, torch.randn(2, 3, 16), sites=["self_attn", "linear2:input"])
    assert rec.sizes == {"trial": 2, "time": 3, "unit": 48}


def test_torchvision_models_are_recorded(torch):
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # a build for another torch fails with RuntimeError
        pytest.skip(f"torchvision is not usable: {str(error).splitlines()[0]}")
    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64)
    resnet = torchvision.models.resnet18(weights=None).eval()
    assert models.site_names(resnet) == ["embed", "resid.pre", "resid.post", "logits"]
    rec = activations.record(resnet, images, sites=["resid.post"], pool="mean")
    with torch.no_grad():
        features = torch.nn.Sequential(*list(resnet.children())[:-1])(images).flatten(1)
        logits = resnet(images)
    assert rec.sizes == {"trial": 2, "unit": 2 * (64 + 128 + 256 + 512)}
    np.testing.assert_allclose(rec.values[:, -512:], features, atol=1e-5)
    np.testing.assert_allclose(activations.record(resnet, images, sites="logits"), logits, atol=1e-5)
