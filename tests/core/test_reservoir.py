"""The reservoir that predicts what comes and when: each check that the construction has to pass, and its guards."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.models import reservoir
from neurointerp.models.reservoir import Block, learning

BEFORE = 600


@pytest.fixture(scope="module")
def small():
    return reservoir.record(6, size=100, cues=2)


@pytest.fixture(scope="module")
def rate():
    return reservoir.record()["recordings/rate/recording"]


def held_out(found, rate):
    return reservoir.readout(found, rate).mean("realisation")


def angle(a, b):
    """Give the cosine of two rows of weights, without that of the constant."""
    return float(a[:-1] @ b[:-1] / np.linalg.norm(a[:-1]) / np.linalg.norm(b[:-1]))


def test_the_recording_is_one_and_has_its_truth(small, tmp_path):
    rec = small["recordings/rate/recording"]
    ni.check(rec)
    assert rec.sizes == {"trial": 12, "time": 180, "unit": 100}
    assert rec.attrs["sampling_rate"] == pytest.approx(200.0)
    assert rec.attrs["system"] == "simulated"
    assert list(rec["split"].values) == ["train"] * 5 + ["test"] + ["train"] * 5 + ["test"]
    assert small["truth/weight"].size > 500
    again = reservoir.record(6, size=100, cues=2)
    assert ni.digest(again["recordings/rate/recording"]) == ni.digest(rec)
    ni.save(small, tmp_path / "r.zarr")
    assert ni.digest(ni.open(tmp_path / "r.zarr")) == ni.digest(small)


def test_cues_reach_different_neurons_and_share_the_network():
    one, two = (reservoir.network(100, cue=cue) for cue in (0, 1))
    np.testing.assert_array_equal(one.synapses[0].weights, two.synapses[0].weights)
    assert (one.synapses[1].weights != two.synapses[1].weights).any()
    assert 0.4 < (one.synapses[1].weights > 0).mean() < 0.8


def test_no_trial_knows_its_outcome_before_it_came(small):
    rec = small["recordings/rate/recording"]
    found = reservoir.learn(rec, [Block(20, 0.3, 0.5), Block(20, 0.5, 0.5)], every=1)
    believed = found["believed"].values
    assert believed[19] == pytest.approx(0.3)
    assert believed[20] == pytest.approx(0.32), "the belief moves by a tenth, after the trial"
    same = reservoir.learn(rec, [Block(20, 0.3, 0.5), Block(20, 0.4, 0.5)], every=1)
    np.testing.assert_array_equal(found["weight"][:20], same["weight"][:20])


def test_a_held_out_realisation_changes_no_weight(small):
    rec = small["recordings/rate/recording"]
    other = rec.copy(deep=True)
    other[{"trial": [5, 11]}] = 7.0
    for call in (reservoir.learn, reservoir.force):
        np.testing.assert_array_equal(
            call(rec, [Block(40, 0.3, 0.8)])["weight"], call(other, [Block(40, 0.3, 0.8)])["weight"]
        )


def test_force_is_recursive_least_squares(small):
    rec = small["recordings/rate/recording"]
    blocks = [Block(4, 0.3, 0.8)]
    found = reservoir.force(rec, blocks, every=4)["weight"].values[0]
    x, _, time = learning._features(rec)
    P, w = np.eye(x.shape[-1]), np.zeros((x.shape[-1], 2))
    for trial, block, outcome in learning._sequence(rec, blocks, 0):
        target = np.exp(-((time - 0.1 - block.latency) ** 2) / (2 * 0.04**2))[:, None] * np.eye(2)[outcome]
        for now, wanted in zip(x[trial], target, strict=True):
            k = P @ now / (1 + now @ P @ now)
            P -= np.outer(k, now @ P)
            w += np.outer(k, wanted - now @ w)
    np.testing.assert_allclose(found, w, atol=1e-8)


def test_bad_input_is_refused(small):
    rec = small["recordings/rate/recording"]
    with pytest.raises(ni.RecordingError, match=r"within 0.8 s; found 10 trials and 1.0"):
        Block(10, 1.0, 0.5)
    with pytest.raises(ni.RecordingError, match="probability must lie in 0 to 1"):
        Block(10, 0.3, 1.2)
    with pytest.raises(ni.RecordingError, match="3 probabilities for 2 cues"):
        reservoir.learn(rec, [Block(20, 0.3, (0.1, 0.2, 0.3))])
    with pytest.raises(ni.RecordingError, match="fewer trials than every"):
        reservoir.learn(rec, [Block(5, 0.3, 0.5)])
    with pytest.raises(ni.RecordingError, match="with split and cue on trial"):
        reservoir.learn(rec.drop_vars("split"), [Block(20, 0.3, 0.5)])


@pytest.mark.slow
def test_0_the_reservoir_remembers_long_enough(rate):
    counts = 1000 * float(rate.mean()) * (1 - np.exp(-5 / 50)) / 5
    assert 5 < counts < 15, "mean rate (Hz)"
    for latency, most in ((0.3, 0.025), (0.5, 0.06)):
        single = reservoir.readout(reservoir.oracle(rate, Block(1, latency, 0.8)), rate)
        assert single.sizes["realisation"] >= 12
        assert float(abs(reservoir.timing_error(single, latency)).median()) <= most


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.5, 0.65, 0.8, 0.9])
def test_1_and_2_the_readouts_peak_in_time_as_high_as_is_probable(rate, p):
    found = held_out(reservoir.learn(rate, [Block(BEFORE, 0.3, p)]), rate)
    assert abs(float(reservoir.timing_error(found, 0.3)[-1])) <= 0.04
    late = found.sel(trial=slice(BEFORE - 199, BEFORE))
    assert float(reservoir.probability(late, 0.3).mean()) == pytest.approx(p, abs=0.08)


@pytest.mark.slow
def test_3_another_latency_is_learnt_where_force_must_be_reset(rate):
    blocks = [Block(BEFORE, 0.3, 0.8), Block(300, 0.5, 0.8)]
    both = [held_out(reservoir.learn(rate, blocks, consolidate=consolidate), rate) for consolidate in (True, False)]
    rule = max(abs(float(reservoir.timing_error(learnt, 0.5)[-1])) for learnt in both)
    stuck = abs(float(reservoir.timing_error(held_out(reservoir.force(rate, blocks), rate), 0.5)[-1]))
    reset = abs(float(reservoir.timing_error(held_out(reservoir.force(rate, blocks, reset=True), rate), 0.5)[-1]))
    assert rule <= 0.06
    assert stuck >= 2 * rule
    assert stuck > 0.06 >= reset


@pytest.mark.slow
def test_4_another_probability_is_learnt(rate):
    learnt = held_out(reservoir.learn(rate, [Block(BEFORE, 0.3, 0.8), Block(300, 0.3, 0.4)]), rate)
    assert float(reservoir.probability(learnt, 0.3)[-1]) == pytest.approx(0.4, abs=0.12)


@pytest.mark.slow
def test_5_what_and_when_are_read_from_other_directions():
    rate = reservoir.record(60, cues=2)["recordings/rate/recording"]
    blocks, targets = [Block(BEFORE, 0.3, (0.8, 0.2))], {"when": (1.0, 1.0), "what": (1.0, -1.0)}
    when, what = reservoir.learn(rate, blocks, readouts=targets)["weight"].values[-1].T
    train, test = (np.flatnonzero(rate["split"].values == part) for part in ("train", "test"))
    halves = [
        reservoir.learn(rate[np.sort(np.append(train[k::2], test))], blocks, readouts=targets, seed=k + 1)[
            "weight"
        ].values[-1, :, 0]
        for k in (0, 1)
    ]
    floor, ceiling = 1 / np.sqrt(rate.sizes["unit"]), angle(*halves)
    assert ceiling >= 0.6
    assert abs(angle(when, what)) <= 0.2
    assert ceiling > 10 * floor
