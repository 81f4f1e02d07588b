"""Networks of spiking neurons: what a step does by analysis, one kernel beside the other, and what is refused."""

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import solve_ivp

import neurointerp as ni
from neurointerp.models import spiking
from neurointerp.models.spiking import (
    LIF,
    STDP,
    AdaptiveLIF,
    Current,
    Izhikevich,
    Network,
    Noise,
    PoissonInput,
    PoissonSource,
    Record,
    SpikeSource,
    Synapses,
    connect,
    simulate,
    simulate_trials,
)

QUIET = {"threshold": 1e6}
ONE = SpikeSource(1, times=[0.01], index=[0])


def spikes(tree):
    return tree["structure/spike_times/structure"]


def potential(tree):
    return tree["recordings/potential/recording"].values[:, 0]


def balanced(size=200, **more):
    """A small balanced network: every part that draws or delays."""
    inhibits = np.arange(size) >= 0.8 * size
    weights = connect(size, size, probability=0.1, weight=np.where(inhibits, -2.0, 0.4), seed=1)
    return Network(
        {"n": LIF(size, refractory=0.002), "p": PoissonSource(20, 30.0)},
        [Synapses("n", "n", weights, delay=0.0015), Synapses("p", "n", np.full((20, size), 0.5), tau=0.005, **more)],
        [PoissonInput("n", 4000.0, 0.3), Noise("n", 2.0)],
    )


def test_an_isolated_neuron_fires_when_the_solution_reaches_threshold():
    drive = np.array([21.0, 25.0, 40.0])
    tree = simulate(Network({"e": LIF(3, refractory=0.002)}, inputs=[Current("e", drive)]), 0.5)
    first = 0.02 * np.log(drive / (drive - 20.0))
    period = 0.002 + 0.02 * np.log((drive - 10.0) / (drive - 20.0))
    for unit, (at, gap) in enumerate(zip(first, period, strict=True)):
        times = spikes(tree).values[spikes(tree)["spike_unit"].values == f"e{unit}"]
        assert times[0] == pytest.approx(at, abs=1.01e-4)
        assert times[-1] == pytest.approx(times[0] + (times.size - 1) * gap, abs=1e-4 * times.size)


@pytest.mark.parametrize("tau_s", [0.005, 0.02])
@pytest.mark.parametrize("step", [1e-3, 1e-4])
def test_linear_neurons_are_exact_at_any_step(tau_s, step):
    cells = AdaptiveLIF(1, tau=0.02, coupling=0.5, tau_w=0.1, kick=0.0, **QUIET)
    wires = [Synapses("s", "n", [[5.0]], tau=tau_s)]
    net = Network({"n": cells, "s": ONE}, wires, [Current("n", 3.0)])
    tree = simulate(net, 0.1, step=step, record=Record(states={"n": [0]}, every=0.01))

    def slope(t, y):
        v, w, s = y
        return [(-70 - v - w + 3.0 + s) / 0.02, (0.5 * (v + 70) - w) / 0.1, -s / tau_s]

    early = solve_ivp(slope, (0, 0.01 + step), [-70, 0, 0], rtol=1e-10, atol=1e-12).y[:, -1]
    early[2] += 5.0
    later = solve_ivp(slope, (0.01 + step, 0.09), early, rtol=1e-10, atol=1e-12).y[:, -1]
    assert potential(tree)[9] == pytest.approx(later[0], abs=1e-7)
    assert tree["recordings/adaptation/recording"].values[9, 0] == pytest.approx(later[1], abs=1e-7)


def test_conductances_converge_to_the_solution_with_the_step():
    net = Network({"n": LIF(1, **QUIET), "s": ONE}, [Synapses("s", "n", [[2.0]], tau=0.005, reversal=0.0)])
    exact = solve_ivp(
        lambda t, y: [(-70 - y[0] - y[1] * y[0]) / 0.02, -y[1] / 0.005], (0, 0.02), [-70, 2], rtol=1e-10
    ).y[0, -1]
    found = [
        potential(simulate(net, 0.04, step=step, record=Record(states={"n": [0]}, every=1e-3)))[30]
        for step in (1e-4, 5e-5)
    ]
    assert abs(found[1] - exact) < abs(found[0] - exact) < 0.3


def test_a_delay_is_kept_and_a_refractory_neuron_takes_no_jump():
    source = SpikeSource(1, times=[0.01, 0.0105, 0.012], index=[0, 0, 0])
    net = Network(
        {"n": LIF(2, rest=-60.0, refractory=0.002), "s": source},
        [Synapses("s", "n", [[11.0, 9.0]], delay=np.array([[0.003, 0.005]]))],
    )
    tree = simulate(net, 0.05, record=Record(states={"n": [0, 1]}, every=1e-4))
    v = tree["recordings/potential/recording"].values
    assert list(spikes(tree)["spike_sample"].values[:1]) == [131], "a jump acts at the step after it came"
    assert v[150, 0] == -60.0
    assert v[150, 1] == -60.0
    assert v[151, 1] == pytest.approx(-51.0)


def test_izhikevich_follows_its_published_code():
    rng = np.random.default_rng(0)
    drive, v = rng.uniform(2, 12, 50), np.full(50, -65.0)
    u, wanted = 0.2 * v, []
    for t in range(300):
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + drive)
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + drive)
        u = u + 0.02 * (0.2 * v - u)
        fired = np.flatnonzero(v >= 30)
        v[fired], u[fired] = -65.0, u[fired] + 8.0
        wanted += [(t, unit) for unit in fired]
    found = spikes(simulate(Network({"n": Izhikevich(50)}, inputs=[Current("n", drive)]), 0.3, step=1e-3))
    units = [int(unit[1:]) for unit in found["spike_unit"].values]
    assert sorted(zip(found["spike_sample"].values, units, strict=True)) == wanted
    assert len(wanted) > 100


def test_poisson_sources_and_inputs_have_their_rates():
    net = Network(
        {
            "n": LIF(100, tau=10.0, rest=0.0, reset=-1.0, threshold=1e6),
            "p": PoissonSource(100, np.linspace(0, 100, 100)),
        },
        inputs=[PoissonInput("n", 500.0, 1.0)],
    )
    tree = simulate(net, 20.0, step=1e-3, record=Record(states={"n": range(100)}, every=1.0, bin_width=1.0))
    counts = tree["recordings/input_spikes/recording"].sum("time").values
    expected = np.linspace(0, 100, 100) * 20
    assert counts[0] == 0
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected + 1)).all()
    one_second = tree["recordings/potential/recording"].values[1]
    assert one_second.mean() == pytest.approx(500 * 10 * (1 - np.exp(-0.1)), rel=0.02)
    assert one_second.std() == pytest.approx(np.sqrt(500), rel=0.25)


def test_noise_does_not_change_with_the_step():
    net = Network({"n": LIF(300, tau=0.02, **QUIET)}, inputs=[Noise("n", 10.0)])
    spread = [
        simulate(net, 0.5, step=step, seed=1, record=Record(states={"n": range(300)}, every=0.1))[
            "recordings/potential/recording"
        ].values[2:].std()
        for step in (1e-3, 1e-4)
    ]  # fmt: skip
    keep = np.exp(-1e-3 / 0.02)
    assert spread == pytest.approx([10 * (1 - keep) / np.sqrt(1 - keep**2)] * 2, rel=0.08)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_neurons_that_are_alike_are_advanced_as_any_others(dtype):
    """Populations of one time constant take a way of their own through the kernel."""
    rng = np.random.default_rng(0)
    weights = np.zeros((71, 71))
    weights[:70, :70] = (rng.random((70, 70)) < 0.2) * rng.normal(0.3, 1.0, (70, 70))
    current = np.append(rng.uniform(14, 25, 70), 0.0)

    def run(last):
        tau, threshold = np.append(np.full(70, 0.02), last[0]), np.append(np.full(70, -50.0), last[1])
        cells = spiking.LIF(71, tau=tau, threshold=threshold, refractory=0.0)
        net = spiking.Network({"n": cells}, [spiking.Synapses("n", "n", weights)], [spiking.Current("n", current)])
        times = spiking.simulate(net, 1.0, step=1e-4, dtype=dtype)["structure/spike_times/structure"]
        return times.spike_unit.values, times.spike_sample.values

    alike = run((0.02, -50.0))
    assert alike[0].size > 1000
    for last in ((0.03, -50.0), (0.02, -40.0)):  # a silent neuron that differs sends all of them the other way
        for found, wanted in zip(run(last), alike, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_kinds_of_synapse_together_give_the_same_on_torch():
    rng = np.random.default_rng(0)
    times = np.sort(rng.choice(4000, 400, replace=False)) * 1e-4
    net = Network(
        {
            "s": SpikeSource(20, times, rng.integers(0, 20, 400)),
            "a": AdaptiveLIF(15, refractory=0.003, coupling=0.2),
            "g": LIF(15, refractory=rng.integers(0, 30, 15) * 1e-4),
            "q": Izhikevich(10),
        },
        [
            Synapses("s", "a", rng.uniform(0, 3, (20, 15)), tau=0.004, delay=0.001),
            Synapses("s", "g", rng.uniform(0, 0.5, (20, 15)), tau=0.005, reversal=0.0),
            Synapses("a", "g", rng.uniform(0, 0.5, (15, 15)), tau=0.01, reversal=-80.0, delay=0.002),
            Synapses("g", "q", rng.uniform(0, 1.0, (15, 10)), tau=0.01, plasticity=STDP(0.1, 0.12, 2.0)),
            Synapses("q", "a", -rng.uniform(0, 1.0, (10, 15)), delay=rng.integers(0, 20, (10, 15)) * 1e-4),
        ],
        [Current("a", 12.0, [0, 1, 2, 0], 0.1), Current("g", 15.0), Current("q", 6.0)],
    )
    keep = Record(states={"a": [0, 3], "g": [1], "q": [2]}, weights=True, every=0.01)
    one, two = (simulate(net, 0.4, record=keep, device=device) for device in (None, "cpu"))
    assert {u[0] for u in spikes(one)["spike_unit"].values} == {"s", "a", "g", "q"}
    np.testing.assert_array_equal(spikes(one)["spike_sample"], spikes(two)["spike_sample"])
    np.testing.assert_array_equal(spikes(one)["spike_unit"], spikes(two)["spike_unit"])
    for name in (
        "recordings/potential/recording",
        "recordings/adaptation/recording",
        "structure/weight_course/structure",
    ):
        np.testing.assert_allclose(one[name], two[name], atol=1e-6)
    course = one["structure/weight_course/structure"].values
    assert course.min() >= 0
    assert course.max() <= 2.0
    assert np.abs(course[-1] - course[0]).max() > 0.05


def test_random_parts_agree_on_torch_in_their_statistics():
    counts = [
        int(simulate(balanced(), 1.0, step=5e-4, device=device)["recordings/spikes/recording"].sum())
        for device in (None, "cpu")
    ]
    assert counts[0] > 1000
    assert counts[0] == pytest.approx(counts[1], rel=0.07)


@pytest.mark.parametrize("device", ["cpu", pytest.param(None, marks=pytest.mark.slow)])  # slow: compiled once more
def test_single_precision_fires_at_the_same_rate(device):
    counts = [
        int(simulate(balanced(), 1.0, step=5e-4, dtype=dtype, device=on)["recordings/spikes/recording"].sum())
        for dtype, on in (("float32", device), ("float64", None))
    ]
    assert counts[0] > 1000
    assert counts[0] == pytest.approx(counts[1], rel=0.07)


def test_equal_arguments_give_equal_bytes_and_a_store_keeps_them(tmp_path):
    keep = Record(states={"n": [0, 5]}, weights=True)
    net = balanced(plasticity=STDP(0.01, 0.012, 1.0))
    one = simulate(net, 0.2, seed=3, record=keep)
    assert ni.digest(simulate(net, 0.2, seed=3, record=keep)) == ni.digest(one)
    assert ni.digest(simulate(net, 0.2, seed=4, record=keep)) != ni.digest(one)
    ni.save(one, tmp_path / "net.zarr")
    assert ni.digest(ni.open(tmp_path / "net.zarr")) == ni.digest(one)


def test_the_session_has_recordings_times_and_truth():
    net = balanced()
    tree = simulate(net, 0.5)
    rec = tree["recordings/spikes/recording"]
    ni.check(rec)
    assert (rec.attrs["modality"], rec.attrs["system"]) == ("spikes", "simulated")
    assert tree["recordings/input_spikes/recording"].attrs["modality"] == "stimulus"
    of_unit = spikes(tree).values[spikes(tree)["spike_unit"].values == "n007"]
    binned = ni.align.bin_events({"n007": of_unit}, bin_width=0.01, stop=0.5)
    np.testing.assert_array_equal(binned.values[:, 0], rec.sel(unit="n007"))
    np.testing.assert_array_equal(spiking.adjacency(tree).values, net.synapses[0].weights.toarray())
    truth = tree["truth"]
    assert set(truth["weight"]["synapses"].values) == {"n_n", "p_n"}
    assert truth["input0_rate"].sel(unit="n000").item() == 4000.0
    assert truth["input0_rate"].sel(unit="p00").item() == 0.0
    assert tree["recordings/spikes/recording"].attrs["history"][-1]["parameters"]["seed"] == 0


def test_trials_begin_alike_and_differ_by_their_draws():
    net = balanced()
    tree = simulate_trials(net, 0.2, 3, seed=1)
    rec = tree["recordings/spikes/recording"]
    ni.check(rec)
    assert rec.dims == ("trial", "time", "unit")
    assert len({ni.digest(rec[k]) for k in range(3)}) == 3
    per_trial = [int((spikes(tree)["spike_trial"] == k).sum()) for k in range(3)]
    assert all(count > 100 for count in per_trial)
    assert ni.digest(simulate_trials(net, 0.2, 3, seed=1)) == ni.digest(tree)


def test_a_full_list_of_spikes_is_emptied_without_loss(monkeypatch):
    from neurointerp.models.spiking import simulation

    whole = simulate(balanced(), 0.3)
    monkeypatch.setattr(simulation, "ROOM", 1)
    assert ni.digest(simulate(balanced(), 0.3)) == ni.digest(whole)


def test_wiring_is_drawn_as_asked_for():
    weights = connect(500, 500, probability=0.1, weight=0.5, seed=2)
    assert weights.nnz / 500**2 == pytest.approx(0.1, rel=0.02)
    assert not weights.diagonal().any()
    assert connect(500, 500, probability=1.0, weight=1.0, loops=True).nnz == 500**2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(0), "size must be a whole number of at least 1; found 0"),
        (lambda: LIF(3, tau=[0.1, 0.2]), r"tau must be one number or 3, one per unit; found shape \(2,\)"),
        (lambda: LIF(3, reset=-40.0), "reset must lie below threshold"),
        (lambda: LIF(3, tau=-1.0), "tau must be positive; found -1"),
        (lambda: SpikeSource(2, [0.1], [2]), "index must lie in 0 to 1; found 2 to 2"),
        (lambda: Network({"s": PoissonSource(3)}), "needs a population of neurons; found 's'"),
        (
            lambda: Network({"n": LIF(2)}, [Synapses("n", "m", np.ones((2, 2)))]),
            "names the population 'm'; there are 'n'",
        ),
        (lambda: Network({"n": LIF(2)}, [Synapses("n", "n", np.ones((2, 3)))]), r"must be \(2, 2\); found \(2, 3\)"),
        (lambda: Network({"n": LIF(2)}, inputs=[Current("n", [1.0, 2.0, 3.0])]), "amplitude must be one number or 2"),
        (lambda: Network({"n": Izhikevich(2)}, units="1"), "Izhikevich neurons are in mV"),
        (lambda: Synapses("a", "b", np.ones((2, 2)), reversal=0.0), "a reversal potential but no tau"),
        (lambda: Synapses("a", "b", -np.ones((2, 2)), tau=0.01, reversal=0.0), "must not be negative"),
        (
            lambda: Network({"n": LIF(2)}, inputs=[PoissonInput("n", 10.0, -0.1, tau=0.01, reversal=0.0)]),
            "weight of the Poisson input of 'n' must not be negative",
        ),
        (lambda: Current("n", 1.0, waveform=[1.0]), "a waveform needs hold"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.1, step=0), "step must be a number of seconds above 0; found 0"),
        (lambda: simulate(Network({"n": LIF(11), "n0": LIF(3)}), 0.1), "2 units would have the label 'n00'"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.10005), "duration must be a whole number of steps of 0.0001 s"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.001), "longer than the simulation"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.1, seed=-1), "seed must be a whole number of at least 0; found -1"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.1, dtype="int8"), "dtype must be 'float32' or 'float64'"),
        (lambda: simulate(balanced(delay=0.00025), 0.1), "delay of p_n must be a whole number of steps"),
        (lambda: Synapses("n", "n", np.ones((2, 3)), delay=[0.1, 0.2, 0.3]), r"one number or \(2, 3\), one per pair"),
        (lambda: simulate(Network({"n": LIF(2), "p": PoissonSource(1, 2000.0)}), 0.1, step=1e-3), "2 spikes a step"),
        (lambda: simulate(Network({"n": LIF(2)}), 0.1, record=Record(states={"n": [2]})), "must lie in 0 to 1"),
        (
            lambda: simulate(Network({"n": Izhikevich(2)}, inputs=[Current("n", -1e4)]), 0.1, step=1e-3),
            "2 neurons no longer have finite states, 'n0' the first",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_refused(make, message):
    with pytest.raises(ni.RecordingError, match=message):
        make()


def test_sparse_and_dense_weights_are_the_same():
    dense = np.where(np.random.default_rng(0).random((30, 30)) < 0.2, 1.5, 0.0)
    counts = [
        ni.digest(simulate(Network({"n": LIF(30)}, [Synapses("n", "n", w)], [Current("n", 22.0)]), 0.2))
        for w in (dense, sparse.csr_array(dense), sparse.coo_array(dense))
    ]
    assert len(set(counts)) == 1
