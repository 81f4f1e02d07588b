"""Recording torch models, and reading saved activations."""

import sys
import zipfile

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.loaders import activations
from neurointerp.models.sites import find_sites

MODULES = ["", "h", "h.0", "h.0.attn", "h.0.attn.out", "h.0.out", "h.1", "h.1.attn", "h.1.attn.out", "h.1.out"]
TEXTS = ["A short one.", "The much longer second prompt has quite a few more tokens than the first.", "Three"]


@pytest.fixture
def mixer(torch):
    """Give a model without attention mask in which every token sees all others, padding included."""

    class Mixer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 4)
            self.out = torch.nn.Linear(4, 3)

        def forward(self, ids):
            x = self.embed(ids)
            return self.out(x + x.mean(1, keepdim=True))

    torch.manual_seed(0)
    return Mixer()


# --- sites -----------------------------------------------------------------------------------------------------


def test_star_stays_within_one_part_of_a_name_and_two_stars_do_not():
    assert [site.path for site in find_sites(MODULES, "h.*.out")] == ["h.0.out", "h.1.out"]
    assert len(find_sites(MODULES, "h.**.out")) == 4
    assert [site.path for site in find_sites(["h.0", "hx0"], "h.0")] == ["h.0"]


def test_units_are_named_by_layer_where_the_site_has_a_short_name():
    short = find_sites(MODULES, {"mlp": "h.{layer}.out:input"})
    assert [site.label(5) for site in short] == ["L0.mlp.5", "L1.mlp.5"]
    assert [(site.layer, site.side) for site in short] == [(0, "input"), (1, "input")]
    assert find_sites(MODULES, ["h.1.out:input"])[0].label(5) == "h.1.out:input.5"
    assert find_sites(MODULES, {"mlp": "h.1.out"})[0].label(5) == "L1.mlp.5"
    assert find_sites(MODULES, {"all": "h"})[0].label(5) == "all.5"
    assert find_sites(MODULES, [""])[0].label(5) == "model.5"


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ([], "sites is empty"),
        (["h.2.out"], r"site 'h\.2\.out' matches no module; the nearest are 'h\."),
        (["h.0:out"], r"ends in ':out': ':input' or nothing"),
        ({"mlp": "h.0.**out"}, r"site 'mlp' matches 'h\.0\.attn\.out' and 'h\.0\.out'; narrow the pattern"),
        (["{layer}.{layer}"], r"\{layer\} more than once"),
    ],
)
def test_a_site_that_cannot_be_told_is_refused(sites, message):
    with pytest.raises(ni.LoaderError, match=message):
        find_sites(MODULES, sites)


# --- the real MiniLM --------------------------------------------------------------------------------------------


def test_a_batch_with_padding_gives_what_single_prompts_give(minilm):
    model, tokenizer = minilm
    sites = {"mlp.post": "encoder.layer.{layer}.output.dense:input"}
    batched = activations.record(model, TEXTS, sites=sites, tokenizer=tokenizer)
    single = activations.record(model, TEXTS, sites=sites, tokenizer=tokenizer, batch_size=1)
    np.testing.assert_allclose(batched, single, atol=2e-5)
    assert batched.sizes == {"time": 21, "unit": 6 * 1536}
    assert batched.dtype == np.float32
    np.testing.assert_array_equal(np.unique(batched.layer), np.arange(6))


def test_values_are_those_of_the_model_and_samples_are_its_tokens(minilm, torch):
    model, tokenizer = minilm
    sites = ["encoder.layer.3", "encoder.layer.3.output.dense:input", "encoder.layer.3.output.dense"]
    rec = activations.record(model, TEXTS, sites=sites, tokenizer=tokenizer)
    with torch.inference_mode():
        hidden = [model(**tokenizer(t, return_tensors="pt"), output_hidden_states=True) for t in TEXTS]
    expected = np.concatenate([one.hidden_states[4][0, 1:-1].numpy() for one in hidden])
    taken = {site: rec.values[:, rec.site.values == site] for site in sites}
    np.testing.assert_allclose(taken[sites[0]], expected, atol=2e-5)
    dense = model.encoder.layer[3].output.dense
    down = taken[sites[1]] @ dense.weight.detach().numpy().T + dense.bias.detach().numpy()
    np.testing.assert_allclose(taken[sites[2]], down, atol=2e-5)
    assert rec.token.values[:4].tolist() == ["a", "short", "one", "."]
    assert rec.position.values[:5].tolist() == [1, 2, 3, 4, 1]
    assert rec.sequence.values.tolist() == rec.segment.values.tolist() == [0] * 4 + [1] * 16 + [2]
    assert rec.time.dtype == np.int64
    assert rec.time.attrs["units"] == "token"
    assert rec.attrs["sampling_rate"] == 1.0


def test_special_tokens_are_kept_on_request_and_unknown_words_always(minilm):
    model, tokenizer = minilm
    options = {"sites": ["embeddings"], "tokenizer": tokenizer, "stimulus": ["x", "y"]}
    dropped = activations.record(model, ["ok \u2603", "one more word here"], **options)
    kept = activations.record(model, ["ok \u2603", "one more word here"], special_tokens=True, **options)
    assert dropped.token.values.tolist() == ["ok", "[UNK]", "one", "more", "word", "here"]
    assert kept.token.values[:5].tolist() == ["[CLS]", "ok", "[UNK]", "[SEP]", "[CLS]"]
    assert "[PAD]" not in kept.token.values
    assert dropped.stimulus.values.tolist() == ["x"] * 2 + ["y"] * 4
    assert dropped.attrs["history"][-1]["parameters"]["special_tokens_dropped"] == 4


def test_padding_in_the_prompts_themselves_is_cut_and_a_separator_within_starts_a_segment(minilm):
    model, tokenizer = minilm
    padded = tokenizer(["one [SEP] two", "a much longer line of words"], padding=True)["input_ids"]
    rec = activations.record(model, padded, sites=["embeddings"], tokenizer=tokenizer, special_tokens=False)
    assert rec.token.values[:2].tolist() == ["one", "two"]
    assert rec.segment.values[:3].tolist() == [0, 1, 2]
    assert rec.sequence.values[:3].tolist() == [0, 0, 1]


def test_another_dtype_is_lent_and_the_model_keeps_its_own(minilm, torch):
    model, tokenizer = minilm
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = {"sites": ["encoder.layer.5"], "tokenizer": tokenizer}
    double = activations.record(model, TEXTS, dtype="float64", **options)
    single = activations.record(model, TEXTS, **options)
    half = activations.record(model, TEXTS, dtype=torch.bfloat16, **options)
    assert double.dtype == np.float64
    assert half.dtype == np.float32
    assert half.attrs["model_dtype"] == "bfloat16"
    assert 0 < abs(double - single).max() < 1e-5
    assert 1e-3 < abs(half - single).max() < 0.5
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name]), name


def test_provenance_names_model_and_tokenizer_but_no_folder(minilm):
    model, tokenizer = minilm
    rec = activations.record(model, ["a"], sites=["embeddings"], tokenizer=tokenizer, revision="abc")
    assert rec.attrs["system"] == "model abc"
    assert rec.attrs["model"] == rec.attrs["tokenizer"] == "model"
    assert "/" not in str(rec.attrs)
    named = activations.record(model, [[5]], sites=["embeddings"], attrs={"model": "org/minilm", "license": "MIT"})
    assert (named.attrs["system"], named.attrs["license"]) == ("org/minilm", "MIT")
    assert "token" not in named.coords


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("one text", "inputs is one str: a list"),
        ([[1, 2], [[3]]], r"input 1 has shape \(1, 1\)"),
        ([[1.5]], "dtype float64"),
        ([[]], r"input 0 has shape \(0,\)"),
        ([], "hold no tokens"),
        ([[5, 40000]], "token ids from 5 to 40000, the model knows 0 to 30521"),
        ([[5] * 513], "input 0 has 513 tokens, the model reads 512"),
        ([[101, 102]], "every token of inputs is a special one"),
    ],
)
def test_a_prompt_that_cannot_be_read_is_named(minilm, inputs, message):
    model, tokenizer = minilm
    with pytest.raises(ni.LoaderError, match=message):
        activations.record(model, inputs, sites=["embeddings"], tokenizer=tokenizer)


def test_a_text_without_tokenizer_is_refused(minilm):
    with pytest.raises(ni.LoaderError, match="input 0 is a text: pass tokenizer="):
        activations.record(minilm[0], ["text"], sites=["embeddings"])


# --- any module -------------------------------------------------------------------------------------------------


def test_a_model_without_attention_mask_never_sees_padding(mixer):
    prompts = [[1, 2, 3], [4, 5, 6], [7], [8, 9]]
    together = activations.record(mixer, prompts, sites=["out", "out:input"])
    apart = [activations.record(mixer, [prompt], sites=["out", "out:input"]) for prompt in prompts]
    np.testing.assert_allclose(together, np.concatenate([one.values for one in apart]), atol=1e-6)
    assert together.token_id.values.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert "layer" not in together.coords


def test_a_plain_function_serves_as_tokenizer(mixer):
    rec = activations.record(mixer, ["abc", "d"], sites=["out"], tokenizer=lambda text: [ord(c) - 96 for c in text])
    assert rec.token_id.values.tolist() == [1, 2, 3, 4]
    assert rec.attrs["tokenizer"] == "function"


def _hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_model_and_global_state_are_left_as_they_were(mixer, torch):
    mixer.train()
    mixer.out.eval()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    activations.record(mixer, [[1]], sites=["out"])
    with pytest.raises(IndexError):
        activations.record(mixer, [[99]], sites=["out", "out:input"])
    with pytest.raises(ni.LoaderError):
        activations.record(mixer, [[1.5]], sites=["out"], dtype="float64")
    assert _hooks(mixer) == 0
    assert [mixer.training, mixer.embed.training, mixer.out.training] == [True, True, False]
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    assert torch.is_grad_enabled()
    assert mixer(torch.tensor([[1]])).requires_grad


def test_dropout_is_off_and_a_later_module_in_place_changes_nothing_taken(torch):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(inplace=True), torch.nn.Dropout(0.9))
    rows = torch.randn(5, 3)
    rec = activations.record(model, rows, sites={"pre": "0", "post": "2"}, batch_size=2)
    pre, post = rec.values[:, :8], rec.values[:, 8:]
    np.testing.assert_allclose(pre, model[0](rows).detach().numpy(), atol=1e-6)
    assert (pre < 0).any()
    np.testing.assert_array_equal(post, np.maximum(pre, 0))
    assert rec.dims == ("trial", "unit")
    assert rec.stimulus.values.tolist() == ["0", "1", "2", "3", "4"]
    assert rec.layer.values.tolist() == [0] * 8 + [2] * 8


def test_rows_of_tokens_and_feature_maps_keep_their_axes(mixer, torch):
    ids = torch.arange(12).reshape(3, 4)
    rec = activations.record(mixer, ids, sites=["out"], batch_size=2)
    assert rec.dims == ("trial", "time", "unit")
    np.testing.assert_allclose(rec, mixer(ids).detach(), atol=1e-6)
    np.testing.assert_array_equal(rec.token_id, ids)
    conv = torch.nn.Conv2d(1, 6, 3)
    images = torch.randn(2, 1, 7, 8)
    maps = activations.record(conv, images, sites={"map": ""}, dtype="float64")
    assert maps.dims == ("trial", "row", "col", "unit")
    assert maps.sizes == {"trial": 2, "row": 5, "col": 6, "unit": 6}
    np.testing.assert_allclose(maps.transpose("trial", "unit", "row", "col"), conv(images).detach(), atol=1e-6)


def test_what_is_no_matrix_of_tokens_is_refused(mixer, torch):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.part, self.idle = mixer.embed, torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

        def forward(self, ids):
            return self.part(self.part(self.embed(ids))).mean(1)

    model = Twice()
    for site, message in {
        "part": "'part' ran 2 times in one pass",
        "idle": "'idle' did not run in the pass",
        "": r"has shape \(2, 4\); \(prompt, token, unit\) = \(2, 3, any\)",
    }.items():
        with pytest.raises(ni.LoaderError, match=message):
            activations.record(model, [[1, 2, 3], [4, 5, 6]], sites=[site])
    with pytest.raises(ni.LoaderError, match="equal axes between row and unit"):
        activations.record(model, torch.ones(2, 3, dtype=torch.int64), sites=["", "embed"])
    with pytest.raises(ni.LoaderError, match=r"shape \(0, 3\)"):
        activations.record(model, torch.ones(0, 3), sites=["embed"])
    assert _hooks(model) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "int64"}, "dtype 'int64' is not a floating-point type"),
        ({"dtype": "nonsense"}, "dtype 'nonsense'"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"stimulus": ["a", "b"]}, "stimulus has 2 ids for 1 inputs"),
    ],
)
def test_odd_options_are_refused(mixer, options, message):
    with pytest.raises(ni.LoaderError, match=message):
        activations.record(mixer, [[1, 2]], sites=["out"], **options)


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    path = tmp_path / "a.safetensors"
    path.touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ni.LoaderError, match=r"needs torch: pip install 'neurointerp\[models\]'"):
        activations.record(None, [[1]], sites=["out"])
    with pytest.raises(ni.LoaderError, match=r"needs safetensors: pip install 'neurointerp\[models\]'"):
        activations.load(path)


def test_only_modules_are_run(torch):
    with pytest.raises(ni.LoaderError, match=r"a torch\.nn\.Module is needed, found function"):
        activations.record(lambda x: x, [[1]], sites=["out"])


def test_a_recording_survives_the_store_and_repeats(mixer, tmp_path):
    first = activations.record(mixer, [[1, 2], [3]], sites=["out"])
    again = activations.record(mixer, [[1, 2], [3]], sites=["out"], batch_size=1)
    ni.check(first)
    assert ni.digest(first.copy(data=again.values)) == ni.digest(again)
    assert ni.open(ni.save(first, tmp_path / "a.zarr")).identical(first)


# --- saved arrays -----------------------------------------------------------------------------------------------


def _saved(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    return path


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_saved_arrays_stand_side_by_side(tmp_path, name):
    rng = np.random.default_rng(0)
    arrays = {key: rng.standard_normal((6, n)).astype(np.float32) for key, n in (("h.0", 2), ("h.1", 3))}
    path = _saved(tmp_path / name, arrays)
    rec = activations.load(path, segment=[0, 0, 0, 1, 1, 1], attrs={"system": "toy"})
    np.testing.assert_array_equal(rec, np.concatenate(list(arrays.values()), axis=1))
    assert rec.layer.values.tolist() == [0, 0, 1, 1, 1]
    assert (rec.dtype, rec.time.dtype, rec.attrs["system"]) == (np.float32, np.int64, "toy")
    one = activations.load(path, site="h.1", time=np.arange(6) / 2)
    assert one.time.attrs["units"] == "s"
    assert one.attrs["sampling_rate"] == 2.0
    assert one.attrs["history"][-1]["parameters"]["left_out"] == ["h.0"]
    tree = activations.load_session(path)
    assert set(tree["recordings"].children) == {"h.0", "h.1"}
    np.testing.assert_array_equal(tree["recordings/h.0/recording"], arrays["h.0"])


def test_arrays_of_other_lengths_are_named(tmp_path):
    path = _saved(tmp_path / "a.npz", {"x": np.zeros((4, 2)), "y": np.zeros((5, 2))})
    with pytest.raises(ni.LoaderError, match=r"'x': \(4, 2\), 'y': \(5, 2\)\}; choose by site="):
        activations.load(path)
    assert activations.load(path, site="y").sizes == {"time": 5, "unit": 2}


def test_files_that_are_not_what_they_seem_are_refused(tmp_path):
    good = _saved(tmp_path / "good.npz", {"x": np.zeros((4, 2))})
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:-40])
    pickled = _saved(tmp_path / "pickled.npz", {"x": np.array([{}], dtype=object)})
    empty = tmp_path / "text.safetensors"
    empty.write_text("not tensors")
    other = tmp_path / "a.pt"
    other.write_bytes(b"\x80\x04")
    for path, message in {
        cut: r"cut\.npz cannot be read as \.npz: ",
        pickled: r"x\.npy holds pickled objects, which are never unpacked",
        empty: r"cannot be read as \.safetensors",
        other: r"read from \.npz or \.safetensors, not \.pt",
        tmp_path / "none.npz": "No such file",
    }.items():
        with pytest.raises(ni.LoaderError, match=message):
            activations.load(path)


def test_a_header_larger_than_its_bytes_is_refused_before_allocation(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 2), }"
    block = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    with zipfile.ZipFile(tmp_path / "vast.npz", "w") as archive:
        archive.writestr("x.npy", block)
    with pytest.raises(ni.LoaderError, match=r"x\.npy has \d+ bytes, its header \(99999999999, 2\) float64 differs"):
        activations.load(tmp_path / "vast.npz")
