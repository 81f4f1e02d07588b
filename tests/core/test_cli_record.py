"""`neurointerp record`, as a user runs it, on models that the test saves."""

import inspect
import json
import logging
import sys

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import cli
from neurointerp.loaders import activations


@pytest.fixture
def run(monkeypatch, capsys):
    """Give a function that runs a command in this process (a new one would load transformers for seconds)."""
    log = logging.getLogger("neurointerp")
    before = log.handlers, log.propagate, log.level

    def call(*arguments, check=0):
        monkeypatch.setattr(sys, "argv", ["neurointerp", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == check, said.err
        return said.out, said.err

    yield call
    log.handlers, log.propagate, log.level = before


@pytest.fixture(scope="module")
def saved(small_model, tmp_path_factory):
    """Save a small Llama with a tokenizer of words."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    folder = tmp_path_factory.mktemp("saved") / "tiny-llama"
    model = small_model("llama")
    model.save_pretrained(folder)
    words = ["<pad>", "<s>", "</s>", "<unk>", "the", "cat", "sat", "on", "mat", "and", "dog"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    kinds = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **kinds)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


def test_a_saved_transformer_is_recorded(saved, run, tmp_path):
    folder, model, tokenizer = saved
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\n\nthe dog and the elephant\n", "utf-8")
    out = tmp_path / "x.zarr"
    printed, _ = run(
        "record", folder, text, "--sites", "mlp.post,L1.attn.z", "--sites", "logits", "--out", out, "--json"
    )
    rec = ni.open(out, verify=True)
    assert json.loads(printed)["sizes"] == {"time": 11, "unit": 3 * 24 + 16 + 40}
    texts = ["the cat sat on the mat", "the dog and the elephant"]
    expected = activations.record(model, texts, tokenizer=tokenizer, sites=["mlp.post", "L1.attn.z", "logits"])
    np.testing.assert_allclose(rec, expected, atol=1e-6)
    assert rec.token.values[-3:].tolist() == ["and", "the", "<unk>"]
    assert (rec.attrs["model"], rec.attrs["source"]) == ("tiny-llama", "text.txt")
    assert rec.attrs["revision"].startswith("sha256:")
    assert str(tmp_path) not in json.dumps(rec.attrs)
    window = tmp_path / "w.zarr"
    run("record", folder, text, "--sites", "embed", "--window", 4, "--out", window)
    assert np.unique(ni.open(window).sequence, return_counts=True)[1].tolist() == [4, 4, 3]


def test_a_run_that_was_stopped_goes_on(saved, run, tmp_path, monkeypatch):
    folder, model, _ = saved
    text, out, whole = (tmp_path / name for name in ("text.txt", "x.zarr", "whole.zarr"))
    text.write_text("the cat sat on the mat\n" * 30, "utf-8")
    command = ("record", folder, text, "--sites", "mlp.post", "--batch-size", 2)
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 4096)
    run(*command, "--out", whole)
    passes, forward = [], type(model).forward

    def stopping(*args, **kwargs):
        passes.append(0)
        if len(passes) == 10:
            raise KeyboardInterrupt
        return forward(*args, **kwargs)

    stopping.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(type(model), "forward", stopping)
    _, stderr = run(*command, "--out", out, check=130)
    assert "Traceback" not in stderr
    assert not out.exists()
    _, stderr = run(*command, "--out", out)
    assert len(passes) < 10 + 15  # the first pass tells the widths, six or more need not be made again
    assert "rows are there already, going on" in stderr
    assert (out / "digests.json").read_bytes() == (whole / "digests.json").read_bytes()
    _, stderr = run(*command, "--out", out, check=1)
    assert "exists already" in stderr


def test_the_small_gpt_is_recorded_from_its_folder(run, tmp_path):
    gpt = pytest.importorskip("neurointerp.models.gpt", reason="torch is not installed")
    model = gpt.GPT(gpt.Config(layers=1, width=8, heads=2))
    folder = gpt.save(model, tmp_path / "gpt")
    text = tmp_path / "text.txt"
    text.write_text("to be\nor not", "utf-8")
    run("record", folder, text, "--sites", "L0.mlp.post", "--out", tmp_path / "x.zarr")
    rec = ni.open(tmp_path / "x.zarr")
    expected = activations.record(model, ["to be", "or not"], tokenizer=model.tokenizer, sites="L0.mlp.post")
    np.testing.assert_allclose(rec, expected, atol=1e-6)


def test_what_is_wrong_is_one_line(saved, run, tmp_path):
    folder, _, _ = saved
    text = tmp_path / "text.txt"
    text.write_text("the cat", "utf-8")
    out = tmp_path / "x.zarr"
    for arguments, message in (
        ((tmp_path / "none", text), "none cannot be read as a model: no such folder"),
        ((folder, tmp_path / "none.txt"), "none.txt cannot be read as text"),
    ):
        _, stderr = run("record", *arguments, "--sites", "embed", "--out", out, check=1)
        assert message in stderr.splitlines()[-1]
        assert stderr.splitlines()[-1].startswith("error: ")
    _, stderr = run("record", folder, text, "--sites", "mlp.gait", "--out", out, check=1)
    assert "site 'mlp.gait' matches no module" in stderr
    run("record", folder, text, "--out", out, check=2)
    assert not out.exists()
