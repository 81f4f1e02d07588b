"""A small GPT: it learns more than counts can, the same way every time, and sees no token before its time."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import neurointerp as ni
from neurointerp.loaders import activations
from neurointerp.models import gpt

SMALL = gpt.Config(context=32, width=64)


def entropy_of_counts(text: str) -> tuple[float, float]:
    """Give the held-out loss, in nats, of the unigram and bigram counts of the first nine tenths of a text."""
    ids = np.frombuffer(text.encode(), np.uint8)
    known, unseen = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    single = np.bincount(known, minlength=256) + 0.1
    pair = np.full((256, 256), 0.1)
    np.add.at(pair, (known[:-1], known[1:]), 1)
    pair /= pair.sum(axis=1, keepdims=True)
    return -np.log(single[unseen] / single.sum()).mean(), -np.log(pair[unseen[:-1], unseen[1:]]).mean()


@pytest.fixture(scope="module")
def shakespeare(request) -> str:
    folder = request.getfixturevalue("mirror")
    return (folder / "artificial" / "text" / "tinyshakespeare.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def trained(shakespeare) -> gpt.GPT:
    return gpt.train(shakespeare, config=SMALL, steps=500, batch_size=16)


@pytest.fixture
def untrained() -> gpt.GPT:
    return gpt.GPT(gpt.Config(context=12, layers=2, heads=2, width=16), seed=1).eval()


def test_it_learns_more_of_shakespeare_than_counts_of_bytes_and_pairs(shakespeare, trained):
    single, pair = entropy_of_counts(shakespeare)
    assert trained.held_out_loss < single - 0.9
    assert trained.held_out_loss < pair - 0.15


def test_it_learns_more_of_names_than_counts_of_bytes_and_pairs(mirror):
    names = (mirror / "artificial" / "text" / "names.txt").read_text("utf-8").splitlines()
    order = np.random.default_rng(0).permutation(len(names))  # the file is sorted by frequency
    text = "\n".join(names[i] for i in order)
    single, pair = entropy_of_counts(text)
    model = gpt.train(text, config=gpt.Config(context=16), steps=300)
    assert model.held_out_loss < single - 0.35
    assert model.held_out_loss < pair - 0.1


def test_held_out_loss_is_the_mean_over_the_end_of_the_text(shakespeare, trained):
    ids = torch.tensor(trained.tokenizer(shakespeare))
    unseen = ids[int(0.9 * len(ids)) :]
    count = (len(unseen) - 1) // 32
    rows = torch.stack([unseen[32 * i : 32 * i + 33] for i in range(count)])
    with torch.inference_mode():
        chances = trained(rows[:, :-1]).double().log_softmax(-1)
    expected = -chances.gather(2, rows[:, 1:, None]).mean()
    assert trained.held_out_loss == pytest.approx(float(expected), rel=1e-5)


def test_words_are_learned_below_the_entropy_of_their_counts(shakespeare):
    model = gpt.train(shakespeare[:200_000], config=SMALL, level="word", vocab_size=500, steps=100, batch_size=16)
    ids = np.array(model.tokenizer(shakespeare[:200_000]))
    known, unseen = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
    single = np.bincount(known, minlength=500) + 0.1
    assert model.config.vocab_size == 500
    assert model.held_out_loss < -np.log(single[unseen] / single.sum()).mean() - 0.3


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(shakespeare):
    before = torch.random.get_rng_state()
    runs = [gpt.train(shakespeare[:60_000], config=SMALL, steps=12, seed=seed).state_dict() for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator was moved"
    for name, value in runs[0].items():
        assert value.numpy().tobytes() == runs[1][name].numpy().tobytes(), name
    assert not torch.equal(runs[0]["unembed.weight"], runs[2]["unembed.weight"])


def test_no_token_is_seen_before_its_time(untrained):
    ids = torch.randint(256, (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = untrained(ids)
        for place in range(12):
            changed = ids.clone()
            changed[:, place] = (ids[:, place] + 1) % 256
            now = untrained(changed)
            assert torch.equal(now[:, :place], whole[:, :place])
            assert (now[:, place] != whole[:, place]).any()


def test_attention_sums_to_one_over_the_past(untrained):
    patterns = []
    handle = untrained.blocks[1].attn.pattern.register_forward_hook(lambda _, __, out: patterns.append(out))
    untrained(torch.arange(10)[None])
    handle.remove()
    torch.testing.assert_close(patterns[0].sum(-1), torch.ones(1, 2, 10))
    assert (patterns[0].triu(1) == 0).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_prompt_gives_what_it_gives_alone(untrained, side):
    prompt = torch.tensor([[5, 6, 7, 8, 9]])
    empty = torch.zeros(1, 4, dtype=torch.int64)
    parts = [empty, prompt] if side == "left" else [prompt, empty]
    mask = torch.cat([(part > 0).long() for part in parts], dim=1)
    with torch.inference_mode():
        padded = untrained(torch.cat(parts, dim=1), mask)
        alone = untrained(prompt)
    torch.testing.assert_close(padded[mask.bool()][None], alone, rtol=1e-5, atol=1e-6)


def test_its_sites_are_recorded_by_name(untrained):
    sites = {"mlp.post": "blocks.{layer}.mlp.down:input", "mlp.out": "blocks.{layer}.mlp.down"}
    rec = activations.record(untrained, ["to be", "or not"], sites=sites, tokenizer=untrained.tokenizer)
    assert rec.sizes == {"time": 11, "unit": 2 * (64 + 16)}
    assert "".join(rec.token.values) == "to beor not"
    for layer in (0, 1):
        down = untrained.blocks[layer].mlp.down
        post, out = (rec.values[:, (rec.site == site) & (rec.layer == layer)] for site in ("mlp.post", "mlp.out"))
        np.testing.assert_allclose(post @ down.weight.detach().numpy().T + down.bias.detach().numpy(), out, atol=1e-5)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": -1}, {"temperature": -1.0}, {"temperature": float("nan")}])
def test_odd_ways_to_generate_are_refused(options):
    with pytest.raises(ni.ModelError, match="a top_k of at least 1 or None"):
        gpt.generate(gpt.GPT(gpt.Config(layers=1, width=8, heads=2)), "a", **options)


def test_generation_is_seeded_and_greedy_at_temperature_zero(trained):
    first, again, other = (gpt.generate(trained, "KING", tokens=40, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert first.startswith("KING")
    assert gpt.generate(trained, "KING", tokens=20, temperature=0, seed=1) == gpt.generate(
        trained, "KING", tokens=20, top_k=1, seed=2
    )
    with torch.inference_mode():
        likeliest = int(trained(torch.tensor([trained.tokenizer("KING")]))[0, -1].argmax())
    assert gpt.generate(trained, "KING", tokens=1, temperature=0) == "KING" + chr(likeliest)


def test_a_saved_model_comes_back_to_the_bit(shakespeare, tmp_path):
    words = gpt.train(shakespeare[:50_000], config=SMALL, level="word", vocab_size=100, steps=3, seed=5)
    back = gpt.load(gpt.save(words, tmp_path / "models" / "gpt"))
    assert (back.config, back.tokenizer, back.trained) == (words.config, words.tokenizer, words.trained)
    ids = torch.arange(20)[None]
    assert torch.equal(back(ids), words(ids))
    assert sorted(path.name for path in (tmp_path / "models").rglob("*") if path.is_file()) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip


def test_saving_replaces_only_on_request_and_only_models(untrained, tmp_path):
    gpt.save(untrained, tmp_path / "gpt")
    with pytest.raises(ni.StoreError, match="exists"):
        gpt.save(untrained, tmp_path / "gpt")
    gpt.save(gpt.GPT(untrained.config, seed=9), tmp_path / "gpt", overwrite=True)
    assert torch.equal(gpt.load(tmp_path / "gpt").embed.weight, gpt.GPT(untrained.config, seed=9).embed.weight)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ni.StoreError, match="not a saved model"):
        gpt.save(untrained, tmp_path / "mine", overwrite=True)


def test_a_damaged_model_is_refused(untrained, tmp_path):
    path = gpt.save(untrained, tmp_path / "gpt")
    settings = json.loads((path / "config.json").read_text())
    settings["config"]["width"] = 32
    (path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ni.StoreError, match="does not hold the weights"):
        gpt.load(path)
    for name, value in (("vocab_size", 10**18), ("heads", 0), ("layers", "two"), ("colour", 1)):  # 10**18: no room
        wrong = {**settings, "config": {**settings["config"], name: value}}
        (path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(ni.StoreError, match="does not describe a model of kind 'gpt'"):
            gpt.load(path)
    (path / "config.json").write_text(json.dumps({"kind": "elm"}))
    with pytest.raises(ni.StoreError, match="'elm'; 'gpt' is needed"):
        gpt.load(path)


def test_training_can_be_watched(shakespeare):
    seen = {}
    model = gpt.train(
        shakespeare[:20_000], config=SMALL, steps=4,
        on_step=lambda step, model: seen.update({step: model.unembed.weight.detach().clone()}),
    )  # fmt: skip
    assert list(seen) == [0, 1, 2, 3, 4]
    assert torch.equal(seen[0], gpt.GPT(SMALL).unembed.weight)
    assert torch.equal(seen[4], model.unembed.weight)


def test_words_are_cut_without_loss():
    text = "To be, or not -- to be:\n\n  that is the question..."
    words = gpt.Tokenizer.of_words(text, 100)
    assert words.decode(words(text)) == text
    assert gpt.Tokenizer().decode(gpt.Tokenizer()("naïve ☃")) == "naïve ☃"


def test_bad_input_is_refused(untrained):
    with pytest.raises(ni.ModelError, match="does not divide into 3 heads"):
        gpt.Config(width=16, heads=3)
    with pytest.raises(ni.ModelError, match="more text or a shorter context"):
        gpt.train("too short", config=SMALL)
    with pytest.raises(ni.ModelError, match="longer than the context of 12"):
        untrained(torch.zeros(1, 13, dtype=torch.int64))
    with pytest.raises(ni.ModelError, match="not trained"):
        assert untrained.held_out_loss
    with pytest.raises(ni.ModelError, match="prompt of 0 tokens"):
        gpt.generate(untrained, "")
    assert dataclasses.asdict(gpt.Config(width=8, heads=2))["hidden"] == 32
