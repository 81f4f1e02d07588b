"""The ELM neuron: its arithmetic against a plain loop, its teacher, and what it records."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurointerp as ni
from neurointerp.models import elm
from neurointerp.models.elm.recurrence import Leak, Memories, remember, trace_back


@pytest.fixture(scope="module")
def teacher() -> xr.DataTree:
    return elm.two_stage_neuron(trials=12, duration=3.0)


def by_hand(model: elm.ELM, spikes: torch.Tensor) -> torch.Tensor:
    """Run one trial (time, inputs) step by step, synapse by synapse, as the equations stand."""
    settings, tau = model.config, model.memory_tau()
    weights = torch.relu(model.synapse)
    kept = torch.exp(-settings.dt / tau)
    moved = settings.gain * (1 - kept) if settings.version == 1 else 1 - torch.exp(-settings.dt * settings.gain / tau)
    synapse = torch.zeros_like(weights)
    memory, out = torch.zeros(settings.memories), []
    routing = torch.from_numpy(model.routing)
    for now in spikes:
        arriving = torch.where(routing >= 0, now[routing.clamp(min=0)], 0.0)
        synapse = np.exp(-settings.dt / settings.tau_synapse) * synapse + weights * arriving
        hidden = model.mlp.up(torch.cat([synapse.sum(1), kept * memory]))
        hidden = torch.nn.functional.silu(hidden) if settings.activation == "silu" else torch.relu(hidden)
        update = 1.7159 * torch.tanh(2 / 3 * model.mlp.down(hidden))
        memory = kept * memory + moved * update
        out.append(model.readout(memory))
    return torch.stack(out)


PUBLISHED = {1: 4601, 5: 5077, 10: 5852, 15: 6827, 20: 8002, 50: 19252, 100: 54002}
NETWORKS = {
    "lstm": lambda: elm.LSTM(5, 3),
    "tcn": lambda: elm.TCN(5, 3),
    "lif": lambda: elm.LIF(5),
    "elm": lambda: elm.ELM(elm.Config(5)),
}


@pytest.mark.parametrize(("memories", "count"), PUBLISHED.items())
def test_parameter_counts_are_those_published(memories, count):
    model = elm.ELM(elm.Config(inputs=1278, memories=memories), routing=elm.neuronio_routing())
    assert model.parameter_count == count == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("learned", [False, True])
def test_values_and_gradients_are_those_of_a_plain_loop(version, activation, learned):
    config = elm.Config(inputs=6, memories=4, version=version, activation=activation, learn_memory_tau=learned)
    model = elm.ELM(config, routing=[[0, 1, 2, -1], [2, 3, 4, 5]], seed=3)
    spikes = torch.randint(-1, 2, (1, 40, 6), generator=torch.Generator().manual_seed(0)).float()
    found, expected = model(spikes)[0], by_hand(model, spikes[0])
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((out**2).sum(), list(model.parameters())) for out in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert ("tau_position" in dict(model.named_parameters())) == learned


@pytest.mark.parametrize("smooth", [False, True])
def test_written_gradients_agree_with_differences(smooth):
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 2, 4), (4, 3), (3, 4), (3,), (3,), (3,)]
    given = [torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *parts: Memories.apply(*parts, smooth), given)
    assert torch.autograd.gradcheck(lambda drive: Leak.apply(drive, 0.7), given[:1])


@pytest.mark.parametrize("smooth", [False, True])
def test_compiled_loops_are_those_for_any_device(smooth):
    from neurointerp.models.elm import _loops

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    generator = torch.Generator().manual_seed(0)
    steps, batch, memories, hidden = 30, 3, 4, 7
    over_memories, over_hidden = (steps, batch, memories), (steps, batch, hidden)
    forth = drawn(*over_hidden), drawn(memories, hidden), drawn(hidden, memories), drawn(4), drawn(4) / 4, drawn(4)
    back = drawn(*over_memories), drawn(*over_memories), drawn(*over_hidden), drawn(7, 4), drawn(4, 7), drawn(4) / 4
    for given, compiled, loop, shapes in (
        ((*forth, smooth), _loops.forward, remember, (over_memories, over_hidden, over_memories, over_memories)),
        (back, _loops.backward, trace_back, (over_memories, over_memories, over_hidden, over_memories)),
    ):
        one, other = ([torch.full(shape, torch.nan, dtype=torch.float64) for shape in shapes] for _ in range(2))
        loop(*given, *one)
        plain = [part.numpy() if isinstance(part, torch.Tensor) else part for part in (*given, *other)]
        compiled(*plain)
        for expected, found in zip(one, other, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def frozen(update: float, version: int = 1) -> elm.ELM:
    """Give a neuron whose update D is the same whatever comes in."""
    model = elm.ELM(elm.Config(inputs=2, memories=5, version=version))
    with torch.no_grad():
        model.mlp.down.weight.zero_()
        model.mlp.down.bias.fill_(1.5 * np.arctanh(update / 1.7159))
    return model


def test_a_memory_rises_to_lambda_times_a_constant_update():
    settled = frozen(0.5).memories(torch.zeros(1, 3000, 2))[0, -1]
    torch.testing.assert_close(settled, torch.full((5,), 5 * 0.5), rtol=1e-4, atol=0)


def test_a_pulse_in_a_memory_decays_with_its_own_time_constant():
    # Linear in D, so the answer to one pulse is the difference of two steps, one of them a step later.
    kept, moved = (part.double() for part in frozen(0.5).steps())
    rising = frozen(0.5).memories(torch.zeros(1, 200, 2))[0].double()
    pulse = rising.diff(dim=0, prepend=torch.zeros(1, 5))
    expected = 0.5 * moved * kept ** torch.arange(200)[:, None]
    torch.testing.assert_close(pulse, expected, rtol=0, atol=2e-6)


def test_both_versions_agree_at_first_order_for_slow_memories():
    kept, first = elm.ELM(elm.Config(inputs=2, memories=3, tau_min=1000.0, tau_max=5000.0)).steps()
    again, second = elm.ELM(elm.Config(inputs=2, memories=3, tau_min=1000.0, tau_max=5000.0, version=2)).steps()
    assert torch.equal(kept, again)
    torch.testing.assert_close(first, second, rtol=5e-3, atol=0)
    fast = [elm.ELM(elm.Config(inputs=2, memories=1, tau_min=1.0, version=v)).steps()[1] for v in (1, 2)]
    assert fast[0] > 3 * fast[1]


def test_time_constants_are_spaced_by_a_constant_ratio_and_learned_ones_stay_in_bounds():
    tau = elm.ELM(elm.Config(inputs=2, memories=20)).memory_tau().double()
    assert tau[0] == pytest.approx(1.0)
    assert tau[-1] == pytest.approx(150.0, rel=1e-6)
    np.testing.assert_allclose((tau[1:] / tau[:-1]).numpy(), 150 ** (1 / 19), rtol=1e-5)
    learned = elm.ELM(elm.Config(inputs=2, memories=20, learn_memory_tau=True))
    np.testing.assert_allclose(learned.memory_tau().detach()[1:-1].numpy(), tau[1:-1].numpy(), rtol=1e-4)
    with torch.no_grad():
        learned.tau_position += 100
    assert learned.memory_tau().max() <= 150


def test_the_published_routing_reaches_every_input():
    routing = elm.neuronio_routing()
    assert routing.shape == (45, 100)
    assert set(routing[routing >= 0]) == set(range(1278))
    order = np.arange(1278).reshape(2, 639).T.ravel()
    for branch, row in enumerate(routing):
        expected = order[29 * branch : 29 * branch + 100]
        assert row[: len(expected)].tolist() == expected.tolist()
        assert (row[len(expected) :] == -1).all()


def test_the_teacher_spikes_as_asked_and_its_gates_open_where_a_branch_is_driven(teacher):
    afferents, spikes, soma = (teacher[f"recordings/{name}/recording"] for name in ("afferents", "spikes", "soma"))
    assert 1 <= spikes.values.mean() * 1000 <= 3
    assert 2 <= afferents.values.mean() * 1000 <= 8
    assert soma.attrs["units"] == "mV"
    assert all(rec.attrs["system"] == "simulated" for rec in (afferents, spikes, soma))
    branch, gate = teacher["truth/branch"].values, teacher["truth/gate"].values
    excited = (afferents.sign.values > 0)[:, None] & (branch[:, None] == np.arange(8))
    recent = np.stack([np.convolve(row, np.ones(20))[:3000] for row in (afferents.values[0] @ excited).T])
    matrix = np.corrcoef(np.concatenate([recent, gate[0].T]))[:8, 8:]
    assert (np.diag(matrix) > 0.3).all()
    assert np.abs(matrix[~np.eye(8, dtype=bool)]).max() < 0.3


def test_the_teacher_is_the_same_for_a_seed_and_its_trials_do_not_depend_on_their_number(teacher):
    xr.testing.assert_identical(elm.two_stage_neuron(trials=12, duration=3.0), teacher)
    other = elm.two_stage_neuron(trials=1, duration=3.0, seed=1)
    assert not np.array_equal(other["recordings/soma/recording"], teacher["recordings/soma/recording"][:1])


def test_scores_know_a_perfect_and_a_blind_prediction(teacher):
    spikes, soma = (teacher[f"recordings/{name}/recording"].values[..., 0] for name in ("spikes", "soma"))
    perfect = elm.evaluate(lambda inputs: (spikes.astype(float), soma), teacher)
    assert float(perfect.auc) == 1
    assert float(perfect.explained_variance) == 1
    assert perfect.true_positive_rate.values.tolist() == [1, 1]
    late = np.roll(spikes, 1, axis=1).astype(float)
    blind = elm.evaluate(lambda inputs: (late, np.full(soma.shape, -65.0)), teacher)
    assert float(blind.auc) < 0.55, "spikes a millisecond late must not count"
    assert float(blind.explained_variance) <= 0
    assert float(blind.rmse) > float(blind.mae) > 1


def test_burn_in_is_left_out_of_every_window():
    class FromRest(torch.nn.Module):
        def forward(self, spikes: torch.Tensor) -> torch.Tensor:
            steps = torch.arange(spikes.shape[1], dtype=torch.float32)
            return steps.expand(len(spikes), -1)[..., None].expand(-1, -1, 2)

    _, soma = elm.predict(FromRest(), np.zeros((2, 1200, 3)))
    since_rest = (soma + 67.7) / 10
    assert np.isnan(since_rest[:, :150]).all()
    np.testing.assert_allclose(since_rest[0, 150:1200], 150 + np.arange(1050) % 350)


def test_fitting_explains_more_and_the_same_seed_gives_the_same_bytes(teacher):
    runs = []
    for _ in range(2):
        model = elm.ELM(elm.Config(inputs=128, memories=8))
        losses = elm.fit(model, teacher, steps=30, batch_size=8, learning_rate=1e-2, window=200, seed=4)
        runs.append(model.state_dict())
    assert np.mean(losses[-5:]) < 0.6 * losses[0]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_linear_model_is_fitted_to_the_end(teacher):
    predictor = elm.fit_glm(teacher)
    score = elm.evaluate(predictor, teacher)
    assert float(score.auc) > 0.85
    inputs = teacher["recordings/afferents/recording"].values * teacher["recordings/afferents/recording"].sign.values
    chance, soma = predictor(inputs.astype(float))
    truth = teacher["recordings/spikes/recording"].values[..., 0]
    assert chance.sum() == pytest.approx(truth.sum(), rel=1e-3)  # the logistic intercept is not penalised
    seen = np.minimum(teacher["recordings/soma/recording"].values[..., 0], -55)
    assert soma.mean() == pytest.approx(seen.mean(), abs=1e-3)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_no_network_sees_a_spike_before_its_time(build):
    model = build().eval()
    spikes = torch.randint(-1, 2, (1, 60, 5), generator=torch.Generator().manual_seed(1)).float()
    later = spikes.clone()
    later[:, 30] += 1
    with torch.inference_mode():
        one, other = model(spikes), model(later)
    torch.testing.assert_close(one[:, :30], other[:, :30], rtol=0, atol=1e-7)
    assert (one[:, 30] != other[:, 30]).any()


def test_what_it_holds_is_recorded(teacher, tmp_path):
    branch = teacher["truth/branch"].values
    model = elm.ELM(elm.Config(inputs=128, memories=5), routing=[np.flatnonzero(branch == b) for b in range(8)])
    tree = elm.record(model, teacher, batch_size=5)
    held = {name: tree[f"recordings/{name}/recording"] for name in ("branch", "memory", "output")}
    assert [rec.sizes["unit"] for rec in held.values()] == [8, 5, 2]
    for rec in held.values():
        ni.check(rec)
        assert rec.attrs["system"] == "ELM neuron"
        assert rec.attrs["input_system"] == "simulated"
        xr.testing.assert_equal(rec.time, teacher["recordings/afferents/recording"].time)
    np.testing.assert_allclose(held["memory"].tau_ms, np.geomspace(1, 150, 5), rtol=1e-6)
    readout = model.readout.weight.detach().numpy(), model.readout.bias.detach().numpy()
    np.testing.assert_allclose(held["memory"].values @ readout[0].T + readout[1], held["output"].values, atol=1e-5)
    afferents = teacher["recordings/afferents/recording"]
    signed = torch.from_numpy((afferents.values * afferents.sign.values).astype(np.float32))
    np.testing.assert_allclose(held["output"].values[7], model(signed[7:8])[0].detach(), atol=1e-5)
    synapses = tree["structure/synapses/structure"]
    assert ((synapses.values != 0).argmax(1) == branch).all()
    assert (np.sign(synapses.values.sum(1)) == afferents.sign.values).all()
    xr.testing.assert_equal(tree["truth/gate"], teacher["truth/gate"])
    assert ni.digest(ni.open(ni.save(tree, tmp_path / "elm.zarr"))) == ni.digest(tree)


def test_a_saved_neuron_comes_back_to_the_bit(tmp_path):
    model = elm.ELM(elm.Config(inputs=6, memories=4, learn_memory_tau=True), routing=[[0, 1, 2], [3, 4, -1]], seed=2)
    back = elm.load(elm.save(model, tmp_path / "elm"))
    spikes = torch.ones(1, 9, 6)
    assert torch.equal(back(spikes), model(spikes))
    with pytest.raises(ni.StoreError, match="exists"):
        elm.save(model, tmp_path / "elm")


def test_digits_in_spikes_are_told_apart_by_time_alone():
    data = elm.spike_adding(trials=300, seed=1)
    spikes, digit = data["recordings/afferents/recording"], data["truth/digit"]
    assert spikes.condition.values.tolist() == [str(n) for n in digit.sum("place").values]
    template = data["truth/template"].values
    assert template.shape == (10, 140, 2)
    assert spikes.values.sum() / (300 * 2 * 140 * 2) == pytest.approx(0.8, abs=0.01)
    edges = np.zeros((10, 50, 140))
    for number in range(10):
        for bin_ in np.floor(template[number] * 100).astype(int).T:
            np.add.at(edges[number], (bin_, np.arange(140)), 1)
    for place in range(2):
        part = spikes.values[:, 50 * place : 50 * place + 50].astype(float)
        match = np.einsum("ntc,dtc->nd", part, edges).argmax(1)
        assert (match == digit.values[:, place]).mean() > 0.99
    xr.testing.assert_identical(elm.spike_adding(trials=300, seed=1), data)


def test_bad_input_is_refused(teacher):
    with pytest.raises(ni.ModelError, match="routing must be whole numbers"):
        elm.ELM(elm.Config(inputs=3), routing=[[0, 3]])
    with pytest.raises(ni.ModelError, match="tau_min at most tau_max"):
        elm.Config(inputs=3, tau_min=200.0)
    with pytest.raises(ni.ModelError, match="which is finite"):  # its memories would last for NaN
        elm.Config(inputs=3, tau_max=float("inf"))
    with pytest.raises(ni.ModelError, match="cannot be learnt between 5"):
        elm.Config(inputs=3, tau_min=5.0, tau_max=5.0, learn_memory_tau=True)
    with pytest.raises(ni.ModelError, match="ignored is 10; a network warms up for 150 steps"):
        elm.evaluate(elm.ELM(elm.Config(inputs=128)), teacher, ignored=10)
    with pytest.raises(ni.ModelError, match="128 afferents for a neuron with 3 inputs"):
        elm.record(elm.ELM(elm.Config(inputs=3)), teacher)
    with pytest.raises(ni.ModelError, match="for a neuron with steps of 10"):
        elm.record(elm.ELM(elm.Config(inputs=128, dt=10.0)), teacher)
    with pytest.raises(ni.ModelError, match="no /recordings/soma"):
        elm.fit(elm.ELM(elm.Config(inputs=140)), elm.spike_adding(trials=2))
    with pytest.raises(ni.RecordingError, match="out of range"):
        elm.two_stage_neuron(trials=0)
