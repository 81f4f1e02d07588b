"""The Dragon Hatchling: both forms agree, nothing comes before its time, and its corpora are what they say."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurointerp as ni
from neurointerp.models import hatchling
from neurointerp.models.hatchling.memory import Scores, Turn, evens_first, in_order, turns
from neurointerp.models.hatchling.model import rotate

SHAPE = hatchling.Config(vocab_size=64, layers=3, width=16, heads=2, neurons=24)


@pytest.fixture(scope="module")
def corpus() -> hatchling.Corpus:
    return hatchling.known_entropy_corpus(sequences=400, seed=1)


def norm(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def by_hand(model: hatchling.BDH, ids: np.ndarray) -> np.ndarray:
    """Run one sequence with loops over layers, heads and pairs of tokens, as the equations stand."""
    weights = {name: value.double().numpy() for name, value in model.state_dict().items()}
    v = norm(weights["embed.weight"][ids])
    count = model.config.neurons
    frequency = 1 / ((2.0**16) ** (2 * np.floor(np.arange(count) / 2) / count)) / (2 * np.pi)
    for _ in range(model.config.layers):
        products = []
        for head in range(model.config.heads):
            x = np.maximum(v @ weights["encoder"][head], 0)
            turned = np.empty_like(x)
            for t in range(len(ids)):
                angle = (t * frequency % 1) * 2 * np.pi
                for k in range(0, count, 2):
                    turn = np.array([[np.cos(angle[k]), -np.sin(angle[k])], [np.sin(angle[k]), np.cos(angle[k])]])
                    turned[t, k : k + 2] = turn @ x[t, k : k + 2]
            a = np.zeros_like(v)
            for t in range(len(ids)):
                for s in range(t):
                    a[t] += (turned[t] @ turned[s]) * v[s]
            products.append(x * np.maximum(norm(a) @ weights["encoder_v"][head], 0))
        v = norm(v + norm(np.concatenate(products, axis=1) @ weights["decoder"]))
    return v @ weights["unembed"]


def test_the_released_model_has_its_number_of_parameters():
    assert sum(p.numel() for p in hatchling.BDH(hatchling.Config()).parameters()) == 25_296_896
    small = hatchling.BDH(SHAPE)
    assert sum(p.numel() for p in small.parameters()) == 3 * 2 * 24 * 16 + 2 * 64 * 16


def test_logits_are_those_of_plain_loops():
    model = hatchling.BDH(SHAPE, seed=1).double().eval()
    ids = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    found = model(torch.from_numpy(ids)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, by_hand(model, ids), rtol=1e-9, atol=1e-12)


def test_gradients_agree_with_differences():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, dtype=torch.float64, generator=generator).requires_grad_()
    cos, sin = turns(torch.arange(5), 6)
    assert torch.autograd.gradcheck(lambda x: Turn.apply(x, cos, sin), x)
    assert torch.autograd.gradcheck(Scores.apply, x)
    model = hatchling.BDH(hatchling.Config(vocab_size=5, layers=2, width=4, heads=2, neurons=6, dropout=0.0)).double()
    weights = {name: 10 * part.detach() for name, part in model.named_parameters()}
    ids = torch.tensor([[3, 1, 4, 1], [0, 2, 2, 1]])
    for name in ("embed.weight", "encoder", "encoder_v", "decoder"):
        given = weights[name].requires_grad_()
        rest = {key: part.detach() for key, part in weights.items() if key != name}
        assert torch.autograd.gradcheck(
            lambda one, name=name, rest=rest: torch.func.functional_call(model, {**rest, name: one}, ids), given
        )


def test_even_neurons_first_is_the_same_turn():
    x = torch.rand(2, 7, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    place = torch.arange(7)
    found = in_order(Turn.apply(evens_first(x), *turns(place, 12)))
    torch.testing.assert_close(found, rotate(x, place), rtol=1e-14, atol=1e-15)
    assert evens_first(torch.arange(6)).tolist() == [0, 2, 4, 1, 3, 5]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_token_by_token_equals_all_at_once(corpus, dtype, tolerance):
    model = hatchling.BDH(SHAPE, seed=1).to(dtype).eval()
    ids = torch.from_numpy(corpus.tokens[:4])
    state = hatchling.State(model, 4)
    with torch.inference_mode():
        whole = model(ids)
        stepwise = torch.stack([model.step(ids[:, t], state) for t in range(ids.shape[1])], dim=1)
    assert float((whole - stepwise).abs().max() / whole.abs().max()) <= tolerance
    assert state.position == 65


def test_no_token_is_seen_before_its_time_nor_by_its_own_attention(corpus):
    model = hatchling.BDH(SHAPE, seed=1).eval()
    ids = torch.from_numpy(corpus.tokens[:2, :20])
    with torch.inference_mode():
        whole, held = model.run(ids, layers=(0, 1))
        for place in (0, 7, 19):
            changed = ids.clone()
            changed[:, place] = (ids[:, place] + 1) % 64
            logits, other = model.run(changed, layers=(0, 1))
            assert torch.equal(logits[:, :place], whole[:, :place])
            assert (logits[:, place] != whole[:, place]).any()
            assert torch.equal(other[0].y[:, :, :place], held[0].y[:, :, :place])
    # The sum over earlier tokens is empty at the first one: no y, and the stream is only normed again.
    assert (held[0].y[:, :, 0] == 0).all()
    stream = [part.v[:, 0] / part.v[:, 0].norm(dim=-1, keepdim=True) for part in (held[0], held[1])]
    torch.testing.assert_close(*stream, rtol=1e-4, atol=1e-5)


def test_heads_of_two_models_side_by_side_add_up():
    first, second = (hatchling.BDH(SHAPE, seed=seed).double().eval() for seed in (1, 2))
    both = hatchling.BDH(hatchling.Config(vocab_size=64, layers=1, width=16, heads=4, neurons=24)).double().eval()
    with torch.no_grad():
        for name in ("encoder", "encoder_v", "decoder"):
            getattr(both, name).copy_(torch.cat([getattr(first, name), getattr(second, name)]))
        both.embed.weight.copy_(first.embed.weight)
        second.embed.weight.copy_(first.embed.weight)
        ids = torch.arange(12)[None]
        held = [model.run(ids, layers=(0,))[1][0] for model in (first, second, both)]
        parts = [model.contribution(one.x, one.y) for model, one in zip((first, second, both), held, strict=True)]
    torch.testing.assert_close(parts[0] + parts[1], parts[2], rtol=1e-12, atol=1e-15)


def test_a_rotation_keeps_lengths_and_depends_on_distance_alone():
    x, y = (torch.rand(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    score = [float(rotate(x, torch.tensor([t])) @ rotate(y, torch.tensor([s])).T) for t, s in ((5, 2), (1003, 1000))]
    assert score[0] == pytest.approx(score[1], rel=1e-12)
    assert float(rotate(x, torch.tensor([77])).norm()) == pytest.approx(float(x.norm()), rel=1e-12)
    assert score[0] != pytest.approx(float(x @ y.T), rel=1e-3)


def test_recorded_neurons_and_synapses_are_those_of_the_memory(tmp_path):
    model = hatchling.BDH(SHAPE, seed=1)
    prompts = [[5, 6, 7, 8, 9], [1, 2, 3]]
    synapses = [(1, 0, 3, 4), (2, 1, 7, 0)]
    tree = hatchling.record(model, prompts, sites=("x", "y", "xy", "v"), synapses=synapses, stimulus=["a", "b"])
    rec = {name: tree[f"recordings/{name}/recording"] for name in ("x", "y", "xy", "v", "sigma")}
    assert model.training, "the mode was not put back"
    assert [one.sizes["unit"] for one in rec.values()] == [144, 144, 144, 48, 2]
    np.testing.assert_array_equal(rec["x"].values * rec["y"].values, rec["xy"].values)
    assert (rec["xy"].values >= 0).all()
    assert rec["xy"].stimulus.values.tolist() == ["a"] * 5 + ["b"] * 3
    assert rec["xy"].segment.values.tolist() == [0] * 5 + [1] * 3
    for row, (layer, head, pre, post) in enumerate(synapses):
        x, y = (rec[s].sel(unit=(rec[s].layer == layer) & (rec[s]["head"] == head)).values[:5] for s in ("x", "y"))
        turned = rotate(torch.from_numpy(x), torch.arange(5)).numpy()
        np.testing.assert_allclose(rec["sigma"].values[:5, row], np.cumsum(turned[:, pre] * y[:, post]), rtol=1e-5)
    assert rec["sigma"].attrs["history"][-1]["parameters"]["post_activity"] == "y"
    assert rec["sigma"].post.values.tolist() == [4, 0]
    kept = hatchling.record(model, prompts, stimulus=["a", "b"], keep=[[0, 0, 1, 0, 1], [1] * 3])
    xr.testing.assert_allclose(
        kept["recordings/xy/recording"].drop_vars(["time", "segment"]),
        rec["xy"].isel(time=[2, 4, 5, 6, 7]).drop_vars(["time", "segment"]),
    )
    assert ni.digest(ni.open(ni.save(tree, tmp_path / "bdh.zarr"))) == ni.digest(tree)


def test_the_weight_graph_holds_the_largest_entries():
    model = hatchling.BDH(SHAPE, seed=1)
    encoder = np.concatenate(list(model.encoder.detach().numpy()), axis=1)
    whole = (model.decoder.detach().numpy() @ encoder).astype(float)
    graph = hatchling.weight_graph(model, share=0.1)
    assert graph.sizes["edge"] == round(0.1 * whole.size)
    names = [f"h{head}.{i}" for head in range(2) for i in range(24)]
    for edge in (0, 50, -1):
        source, target = names.index(graph.source.values[edge]), names.index(graph.target.values[edge])
        assert graph.weight.values[edge] == pytest.approx(whole[source, target], rel=1e-5)
    assert graph.weight.values.min() >= np.sort(whole.ravel())[-graph.sizes["edge"] - 1] - 1e-9


def test_surprisal_of_the_corpus_is_that_of_an_independent_reading(corpus):
    """Read the tokens left to right with the language alone, and find the probability of each."""
    from neurointerp.models.hatchling.corpus import _language

    chain, words, attributes = _language(0)
    spelled = [tuple(word) for form in words for word in form]
    for row in range(150):
        tokens, t = corpus.tokens[row].tolist(), 2
        found = [np.log(32), np.log(32)]
        while t < 65:
            copy = 0.02 if t >= 8 else 0.0
            if tokens[t] == 48:
                found += [-np.log(copy)] + [0.0] * 8
                t += 9
            elif tokens[t] >= 32:
                for n in range(3):
                    prefix = tuple(tokens[t : t + n])
                    before = [word for word in spelled if word[:n] == prefix]
                    after = [word for word in before if t + n < 65 and word[n] == tokens[t + n]]
                    found.append(-np.log(len(after) / len(before)) - (np.log(0.08) if n == 0 else 0) if after else 0.0)
                if t + 4 < 65:
                    concept = spelled.index(tuple(tokens[t : t + 3])) % 20
                    assert tokens[t + 3 : t + 5] == attributes[concept].tolist()
                found += [0.0, 0.0]
                t += 5
            else:
                a, b = [token for token in tokens[:t] if token < 32][-2:]
                found.append(-np.log((1 - 0.08 - copy) * chain[a, b, tokens[t]]))
                t += 1
        np.testing.assert_allclose(corpus.surprisal[row], found[:65], atol=1e-9)


def test_the_entropy_of_two_texts_is_the_same_and_texts_differ(corpus):
    other = hatchling.known_entropy_corpus(sequences=400, seed=2)
    assert other.entropy == pytest.approx(corpus.entropy, abs=0.06)
    assert not np.array_equal(other.tokens, corpus.tokens)
    assert np.array_equal(hatchling.known_entropy_corpus(sequences=400, seed=1).tokens, corpus.tokens)


def test_every_recalled_value_was_shown_behind_its_key():
    tokens, asked = hatchling.recall_task(sequences=50, pairs=8, queries=3, seed=1)
    assert asked.sum() == 150
    for row, places in zip(tokens, asked, strict=True):
        shown = dict(zip(row[:16:2].tolist(), row[1:16:2].tolist(), strict=True))
        assert len(shown) == 8
        for place in np.flatnonzero(places):
            assert shown[row[place - 1]] == row[place]


def test_training_learns_and_the_same_seed_gives_the_same_bytes(corpus):
    runs, before = [], torch.random.get_rng_state()
    for _ in range(2):
        model = hatchling.BDH(SHAPE)
        losses = hatchling.train(model, corpus.tokens, steps=40, learning_rate=1e-2, seed=2)
        runs.append(model.state_dict())
    assert np.mean(losses[-5:]) < losses[0] - 0.5
    assert losses[0] == pytest.approx(np.log(64), abs=0.2)
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_half_precision_trains_to_the_same_loss_and_training_can_be_watched(corpus):
    found, seen = {}, []
    for dtype in (torch.float32, torch.bfloat16):
        model = hatchling.BDH(SHAPE)
        losses = hatchling.train(
            model, corpus.tokens, steps=60, learning_rate=1e-2, dtype=dtype,
            on_step=lambda step, model: seen.append((step, model.training)),
        )  # fmt: skip
        found[dtype] = np.mean(losses[-10:])
        assert {part.dtype for part in model.parameters()} == {torch.float32}
    assert seen == 2 * [(step, False) for step in range(61)]
    assert found[torch.bfloat16] == pytest.approx(found[torch.float32], rel=0.02)


def test_loss_counts_what_it_is_asked_to(corpus):
    model = hatchling.BDH(SHAPE).eval()
    only = np.zeros(corpus.tokens[:9].shape, dtype=bool)
    only[:, 5] = True
    with torch.inference_mode():
        logits = model(torch.from_numpy(corpus.tokens[:9]))[:, 4].log_softmax(-1)
    expected = -logits[torch.arange(9), torch.from_numpy(corpus.tokens[:9, 5])].mean()
    assert hatchling.loss(model, corpus.tokens[:9], counted=only) == pytest.approx(float(expected), rel=1e-5)


def test_the_rival_is_causal_and_of_the_same_size():
    rival = hatchling.RotaryTransformer(64, layers=2, width=16, heads=2, hidden=64).eval()
    ids = torch.arange(20)[None]
    changed = ids.clone()
    changed[0, 10] = 63
    with torch.inference_mode():
        one, other = rival(ids), rival(changed)
    torch.testing.assert_close(one[:, :10], other[:, :10], rtol=0, atol=1e-6)
    assert (one[:, 10] != other[:, 10]).any()
    bdh = hatchling.BDH(hatchling.Config(vocab_size=64, layers=4, width=64, heads=4, neurons=256))
    sizes = [sum(p.numel() for p in model.parameters()) for model in (bdh, hatchling.RotaryTransformer(64))]
    assert abs(sizes[0] / sizes[1] - 1) < 0.05


def test_a_saved_model_comes_back_to_the_bit(tmp_path):
    model = hatchling.BDH(SHAPE, seed=3).eval()
    back = hatchling.load(hatchling.save(model, tmp_path / "bdh"))
    ids = torch.arange(9)[None]
    assert torch.equal(back(ids), model(ids))


def test_bad_input_is_refused():
    model = hatchling.BDH(SHAPE)
    with pytest.raises(ni.ModelError, match="rotated in pairs"):
        hatchling.Config(neurons=3)
    with pytest.raises(ni.ModelError, match="each must be one of x, y, xy, v"):
        hatchling.record(model, [[1]], sites=("z",))
    with pytest.raises(ni.ModelError, match="are not in"):
        hatchling.record(model, [[1]], synapses=[(0, 0, 0, 24)])
    with pytest.raises(ni.ModelError, match="token ids from 0 to 63"):
        hatchling.record(model, [[64]])
    with pytest.raises(ni.ModelError, match="bfloat16 is needed"):
        hatchling.train(model, [[1, 2]], dtype=torch.float16)
    with pytest.raises(ni.RecordingError, match="each must fit the next"):
        hatchling.recall_task(pairs=4, keys=3)
