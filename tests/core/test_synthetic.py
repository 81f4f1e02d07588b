"""Simulated sessions keep the contract, and their truth explains their values."""

import numpy as np
import pytest
import xarray as xr
from scipy import signal, special, stats
from sklearn.metrics import r2_score

import neurointerp as ni
from neurointerp import align, schema, synthetic

SIMULATORS = tuple(name for name in synthetic.__all__ if name != "weighted_lfr")  # a graph, not a recording
MODALITY = {
    "activation_features": {"activation_features": "activations"},
    "bold_networks": {"bold_networks": "fmri"},
    "calcium_ensembles": {"calcium_ensembles": "calcium"},
    "drowsiness": {"drowsiness": "eeg"},
    "dynamic_motifs": {"dynamic_motifs": "calcium"},
    "eeg_sources": {"eeg_sources": "eeg"},
    "linear_responses": {"features": "stimulus", "responses": "fmri"},
    "spiking_network": {"spiking_network": "spikes"},
    "tensor_trials": {"tensor_trials": "spikes"},
}
SMALL = {"drowsiness": {"n_subjects": 3, "n_trials": 8}, "spiking_network": {"duration": 5.0}}
"""Of what takes long at its own size, one that serves as well."""


def simulate(name: str, **arguments: object) -> xr.DataTree:
    return getattr(synthetic, name)(**SMALL.get(name, {}) | arguments)


def only(tree: xr.DataTree) -> xr.DataArray:
    (name,) = tree["recordings"].children
    return tree[f"recordings/{name}/recording"]


def correlation_within_and_between(rec: xr.DataArray, label: np.ndarray) -> tuple[float, float]:
    matrix = np.corrcoef(rec.values[:, label >= 0].T)
    same = np.equal.outer(label[label >= 0], label[label >= 0])
    off = ~np.eye(len(same), dtype=bool)
    return float(matrix[same & off].mean()), float(matrix[~same].mean())


@pytest.fixture(scope="module")
def network() -> xr.DataTree:
    return synthetic.spiking_network()


@pytest.mark.parametrize("name", SIMULATORS)
def test_every_recording_keeps_the_contract_and_says_it_is_simulated(name):
    tree = simulate(name)
    recordings = {key: node["recording"] for key, node in tree["recordings"].children.items()}
    assert {key: rec.attrs["modality"] for key, rec in recordings.items()} == MODALITY[name]
    for rec in recordings.values():
        schema.check(rec)
        assert rec.attrs["system"] == "simulated"
        assert rec.attrs["source"] == f"neurointerp.synthetic.{name}"
        assert [step["function"] for step in rec.attrs["history"]] == [f"synthetic.{name}"]
        assert rec.attrs["history"][0]["parameters"]["seed"] == 0


@pytest.mark.parametrize("name", SIMULATORS)
def test_truth_lies_on_the_labels_of_the_recording(name):
    tree = simulate(name)
    rec = tree["recordings/responses/recording"] if name == "linear_responses" else only(tree)
    truth = tree["truth"].to_dataset()
    assert truth.data_vars
    for dim in {"time", "trial", "unit"} & set(truth.dims):
        xr.testing.assert_identical(truth[dim].variable, rec[dim].variable)


@pytest.mark.parametrize("name", SIMULATORS)
def test_equal_seeds_give_equal_sessions_and_others_do_not(name):
    first, again, other = simulate(name, seed=3), simulate(name, seed=3), simulate(name, seed=4)
    xr.testing.assert_identical(first, again)
    for key, node in first["recordings"].children.items():
        assert not np.array_equal(node["recording"], other[f"recordings/{key}/recording"])


@pytest.mark.parametrize("name", SIMULATORS)
def test_a_session_survives_the_store(name, tmp_path):
    tree = simulate(name)
    ni.save(tree, tmp_path / "session.zarr")
    xr.testing.assert_identical(ni.open(tmp_path / "session.zarr").load(), tree)


def test_spiking_network_counts_are_its_spikes(network):
    rec, truth = only(network), network["truth"]
    times = {
        str(unit): truth["spike_time"].values[truth["spike_unit"].values == index]
        for index, unit in enumerate(rec["unit"].values)
    }
    binned = align.bin_events(times, bin_width=0.05, start=0.0, stop=60.0)
    np.testing.assert_array_equal(binned, rec)
    np.testing.assert_allclose(binned["time"], rec["time"])
    assert rec.sizes == {"time": 1200, "unit": 80}


def test_spiking_network_cells_pause_two_steps_after_each_spike():
    truth = simulate("spiking_network", drive_strength=20.0)["truth"]
    times, cells = truth["spike_time"].values, truth["spike_unit"].values
    shortest = min(np.diff(times[cells == cell]).min() for cell in range(48))
    assert shortest == pytest.approx(0.003)


def test_spiking_network_fires_at_plausible_rates(network):
    rate = only(network).sum("time") / 60.0
    assert rate.min() > 1.0
    assert rate.max() < 30.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_spiking_network_cells_of_an_assembly_fire_together_and_follow_its_drive(seed):
    tree = synthetic.spiking_network(duration=30.0, seed=seed)
    rec, truth = only(tree), tree["truth"]
    assembly = truth["assembly"].values
    within, between = correlation_within_and_between(rec, assembly)
    assert within > 0.2
    assert within > between + 0.15
    for number in range(4):
        together = rec.values[:, assembly == number].mean(axis=1)
        assert np.corrcoef(together, truth["drive"].sel(component=number))[0, 1] > 0.6


def test_spiking_network_wiring_follows_cell_types_and_assemblies(network):
    weight = network["structure/synapses/structure"]
    assembly = network["truth/assembly"].values
    excitatory = only(network)["cell_type"].values == "excitatory"
    assert (weight.values[excitatory] >= 0).all()
    assert (weight.values[~excitatory] <= 0).all()
    assert not np.diag(weight).any()
    connected = weight.values != 0
    same = np.equal.outer(assembly, assembly) & (assembly >= 0) & ~np.eye(80, dtype=bool)
    apart = np.logical_and.outer(excitatory, excitatory) & ~same & ~np.eye(80, dtype=bool)
    assert connected[same].mean() == pytest.approx(0.6, abs=0.08)
    assert connected[apart].mean() == pytest.approx(0.1, abs=0.03)


def test_spiking_network_synapses_act_one_step_later(network):
    step = np.floor(network["truth/spike_time"].values * 1000).astype(int)
    raster = np.zeros((60_000, 80))
    raster[step, network["truth/spike_unit"].values] = 1.0
    raster -= raster.mean(axis=0)
    late = raster[:-1].T @ raster[1:]
    weight = network["structure/synapses/structure"].values
    assembly = network["truth/assembly"].values
    same = np.equal.outer(assembly, assembly) & (assembly >= 0) & ~np.eye(80, dtype=bool)
    assert late[same & (weight > 0)].mean() > 3 * late[same & (weight == 0)].mean()
    assert late[weight < 0].mean() < late[(weight == 0) & ~same & ~np.eye(80, dtype=bool)].mean()


@pytest.mark.parametrize("wanted", [False, True])
def test_calcium_without_noise_is_filtered_spikes(wanted):
    tree = synthetic.calcium_ensembles(signed=wanted, noise=0.0, n_samples=200)
    spikes, level = tree["truth/spikes"].values, np.zeros(60)
    gamma, resting = np.exp(-1 / 7.0), (5.0 if wanted else 0.5) / 10
    expected = np.empty(spikes.shape)
    for frame, count in enumerate(spikes):
        level = gamma * level + count - resting
        expected[frame] = 0.2 * level
    np.testing.assert_allclose(only(tree), expected, atol=1e-12)


@pytest.mark.parametrize("wanted", [False, True])
def test_calcium_spikes_follow_the_ensembles(wanted):
    tree = synthetic.calcium_ensembles(signed=wanted, n_samples=20_000, gain=3.0)
    truth = tree["truth"]
    ensembles, coefficients = truth["ensembles"].values, truth["coefficients"].values
    assert coefficients.min() == 0.0
    assert coefficients.mean() == pytest.approx(3.0 * 0.1, rel=0.1)
    rate = np.maximum((5.0 if wanted else 0.5) + coefficients @ ensembles, 0.0)
    assert truth["spikes"].values.mean() == pytest.approx(rate.mean() / 10, rel=0.02)
    slope = np.linalg.lstsq(coefficients - coefficients.mean(axis=0), truth["spikes"].values * 10.0)[0]
    assert np.corrcoef(slope.ravel(), ensembles.ravel())[0, 1] > 0.98
    assert (np.sign(slope[ensembles != 0]) == np.sign(ensembles[ensembles != 0])).all()


def test_calcium_ensembles_overlap_as_asked():
    plain = synthetic.calcium_ensembles(overlap=0.0, ensemble_size=10)["truth/ensembles"].values != 0
    shared = synthetic.calcium_ensembles()["truth/ensembles"].values != 0
    signed = synthetic.calcium_ensembles(signed=True)["truth/ensembles"].values
    assert plain.sum(axis=0).max() == 1
    assert (shared.sum(axis=1) == 12).all()
    assert shared.sum() - shared.any(axis=0).sum() == 6 * 3
    assert ((signed < 0).sum(axis=1) == 6).all()
    assert ((np.abs(signed[signed != 0]) >= 0.5) & (np.abs(signed[signed != 0]) <= 1.0)).all()


def test_eeg_without_noise_is_sources_through_the_leadfield():
    tree = synthetic.eeg_sources(noise=0.0)
    expected = tree["truth/sources"].values @ tree["truth/leadfield"].values.T
    np.testing.assert_allclose(only(tree), expected, atol=1e-15)
    assert np.linalg.matrix_rank(only(tree).values) == tree["truth"].sizes["source"]


def test_eeg_leadfield_is_the_potential_in_a_sphere():
    tree = synthetic.eeg_sources(n_units=7)
    rec, leadfield = only(tree), tree["truth/leadfield"]
    electrodes = np.stack([rec[axis].values for axis in "xyz"], axis=1)
    places = np.stack([tree["truth"][axis].values for axis in "xyz"], axis=1)
    np.testing.assert_allclose(np.linalg.norm(electrodes, axis=1), 0.09)
    depth = np.linalg.norm(places, axis=1)
    cosine = electrodes @ places.T / (0.09 * depth)
    order = np.arange(1, 120)[:, None, None]
    # Radial derivative of the Legendre series of a point current on the surface of an insulated sphere.
    series = (2 * order + 1) * (depth / 0.09) ** (order - 1) * special.eval_legendre(order, cosine)
    np.testing.assert_allclose(leadfield, series.sum(axis=0) / (4 * np.pi * 0.33 * 0.09**2), rtol=1e-6)


def test_eeg_channels_are_the_biosemi_cap():
    mne = pytest.importorskip("mne")
    rec = only(synthetic.eeg_sources())
    known = mne.channels.make_standard_montage("biosemi32").get_positions()["ch_pos"]
    assert list(rec["unit"].values) == list(known)
    for name, place in known.items():
        ours = [float(rec[axis].sel(unit=name)) for axis in "xyz"]
        np.testing.assert_allclose(ours, 0.09 * place / np.linalg.norm(place), atol=1e-12)
    assert rec["x"].attrs == {"units": "m", "frame": "head"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_eeg_has_occipital_alpha_motor_beta_and_plausible_size(seed):
    rec = only(synthetic.eeg_sources(duration=30.0, seed=seed))
    frequency, power = signal.welch(rec.values.T, 128.0, nperseg=256)
    power = xr.DataArray(power, coords={"unit": rec["unit"].values, "frequency": frequency})
    band = power.sel(frequency=slice(4.0, 40.0))
    for channel in ("O1", "Oz", "O2"):
        assert abs(float(band.sel(unit=channel).idxmax("frequency")) - 10.0) <= 0.5
    assert power.sel(frequency=10.0).idxmax("unit").item() in ("O1", "Oz", "O2", "PO3", "PO4")
    beta = power.sel(frequency=slice(17.0, 23.0)).sum("frequency")
    assert beta.sel(unit="C3") > 4 * beta.sel(unit="C4")
    spread = rec.std("time") * 1e6
    assert 2.0 < spread.min() < spread.max() < 60.0


def test_eeg_alpha_waxes_and_wanes_and_background_is_one_over_f():
    sources = synthetic.eeg_sources(duration=60.0, exponent=1.0)["truth/sources"]
    envelope = np.abs(signal.hilbert(sources.sel(source="alpha")))
    assert envelope.std() / envelope.mean() == pytest.approx(0.52, abs=0.15)  # Rayleigh
    background = sources.values[:, 2:]
    frequency, power = signal.welch(background.T, 128.0, nperseg=1024)
    slope = np.polyfit(np.log(frequency[8:400]), np.log(power.mean(axis=0)[8:400]), 1)[0]  # 1 to 50 Hz
    assert slope == pytest.approx(-1.0, abs=0.1)


def test_bold_without_private_signals_or_noise_is_convolved_neural_activity():
    tree = synthetic.bold_networks(private=0.0, noise=0.0)
    rec, truth = only(tree), tree["truth"]
    response = truth["hrf"].values
    for index in (0, 13, 39):
        neural = truth["neural"].sel(component=truth["module"].values[index]).values
        expected = np.convolve(neural, response)[: len(neural)] * truth["loading"].values[index]
        np.testing.assert_allclose(rec[15:, index], expected[15:], atol=1e-12)


def test_bold_response_is_the_canonical_one_and_delays_the_recording():
    tree = synthetic.bold_networks(repetition_time=0.5, n_samples=3000, noise=0.0)
    response = tree["truth/hrf"]
    gamma = stats.gamma.pdf(response["lag"], 6) - stats.gamma.pdf(response["lag"], 16) / 6
    np.testing.assert_allclose(response, gamma / gamma.sum(), atol=1e-12)
    assert float(response.idxmax("lag")) == 5.0
    assert 14.0 <= float(response.idxmin("lag")) <= 17.0
    neural, rec = tree["truth/neural"].values[:, 0], only(tree).values[:, 0]
    later = [np.corrcoef(neural[: 3000 - lag], rec[lag:])[0, 1] for lag in range(30)]
    assert 4.0 <= np.argmax(later) * 0.5 <= 6.0


def test_bold_parcels_of_a_module_correlate():
    tree = synthetic.bold_networks()
    module = tree["truth/module"].values
    assert np.bincount(module).tolist() == [10, 10, 10, 10]
    within, between = correlation_within_and_between(only(tree), module)
    assert within > 0.4
    assert abs(between) < 0.15


def test_neural_signals_are_autoregressive_as_asked():
    neural = synthetic.bold_networks(n_samples=20_000, autocorrelation=0.7)["truth/neural"].values
    assert neural.var() == pytest.approx(1.0, rel=0.05)
    assert np.corrcoef(neural[:-1, 0], neural[1:, 0])[0, 1] == pytest.approx(0.7, abs=0.02)


def test_activations_are_coefficients_times_features():
    tree = synthetic.activation_features(noise=0.0)
    truth = tree["truth"]
    product = truth["coefficients"].values @ truth["features"].values
    np.testing.assert_array_equal(only(tree), product.astype(np.float32))


def test_activation_features_have_the_planted_distributions():
    tree = synthetic.activation_features(n_samples=6000, noise=0.5)
    features, coefficients = (tree[f"truth/{name}"].values for name in ("features", "coefficients"))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0)
    assert ((features != 0).sum(axis=1) == 11).all()
    assert (features < 0).any(axis=1).all()
    present = coefficients > 0
    assert present.mean() == pytest.approx(0.12, abs=0.01)
    assert stats.kstest(coefficients[present], stats.gamma(2.0).cdf).pvalue > 1e-3
    residual = only(tree).values - coefficients @ features
    assert residual.std() == pytest.approx(0.5 * (coefficients @ features).std(), rel=0.01)


def test_activation_clock_counts_tokens_and_prompts_are_segments():
    rec = only(synthetic.activation_features(n_samples=100, prompt_length=30))
    assert rec["time"].attrs["units"] == "token"
    assert rec["time"].dtype == np.int64
    assert schema.segment_bounds(rec) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert rec["position"].values[:31].tolist() == [*range(30), 0]


@pytest.mark.parametrize("lags", [(0,), (1,), (2, 0, 5)])
def test_linear_weights_are_what_least_squares_finds(lags):
    tree = synthetic.linear_responses(lags=lags, snr=1e8, n_samples=400)
    features, responses = (tree[f"recordings/{name}/recording"] for name in ("features", "responses"))
    weights = tree["truth/weights"]
    lagged = features if lags == (0,) else align.lag(features, lags)
    assert list(weights["feature"].values) == list(lagged["unit"].values)
    complete = ~np.isnan(lagged.values).any(axis=1)
    assert complete.sum() == 400 - max(lags)
    found = np.linalg.lstsq(lagged.values[complete], responses.values[complete])[0]
    np.testing.assert_allclose(found, weights, atol=1e-3)


def test_linear_ceiling_is_what_the_true_weights_attain():
    ratio = [0.0, 0.25, 1.0, 4.0]
    tree = synthetic.linear_responses(n_units=4, snr=ratio, n_samples=20_000)
    features, responses = (tree[f"recordings/{name}/recording"].values for name in ("features", "responses"))
    prediction = features @ tree["truth/weights"].values
    np.testing.assert_allclose(prediction, tree["truth/signal"], atol=1e-12)
    r2 = r2_score(responses, prediction, multioutput="raw_values")
    np.testing.assert_allclose(tree["truth/ceiling"], np.maximum(r2, 0.0), atol=1e-12)
    np.testing.assert_allclose(tree["truth/ceiling"], [0.0, 0.2, 0.5, 0.8], atol=0.02)
    assert responses.std(axis=0).min() > 0.1
    assert not tree["truth/weights"].values[:, 0].any()


def test_linear_weights_are_as_sparse_as_asked():
    weights = synthetic.linear_responses(density=0.1, lags=(0, 1))["truth/weights"]
    assert ((weights != 0).sum("feature") == 4).all()
    assert (synthetic.linear_responses()["truth/weights"] != 0).all()


def planted_tensor(tree: xr.DataTree) -> np.ndarray:
    factors = [tree[f"truth/factor_{dim}"].values for dim in ("trial", "time", "unit")]
    return np.einsum("r,kr,tr,nr->ktn", tree["truth/weight"].values, *factors)


def test_tensor_without_noise_is_its_factors():
    tree = synthetic.tensor_trials(noise="gaussian", noise_level=0.0, rank=4)
    np.testing.assert_allclose(only(tree), planted_tensor(tree), atol=1e-12)
    assert only(tree).attrs["modality"] == "calcium"
    assert planted_tensor(tree).mean() == pytest.approx(1.0)
    unfolded = only(tree).values.reshape(40, -1)
    assert np.linalg.matrix_rank(unfolded) == 4
    for dim in ("trial", "time", "unit"):
        factor = tree[f"truth/factor_{dim}"].values
        assert factor.min() >= 0
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1.0)
    assert (np.diff(tree["truth/weight"]) <= 0).all()


def test_tensor_noise_has_the_size_asked_for():
    tree = synthetic.tensor_trials(noise="gaussian", noise_level=0.5)
    clean = planted_tensor(tree)
    assert (only(tree).values - clean).std() == pytest.approx(0.5 * clean.std(), rel=0.02)
    counts, mean = synthetic.tensor_trials(n_trials=200, mean=3.0), 3.0
    clean = planted_tensor(counts)
    assert only(counts).dtype == np.int64
    assert only(counts).values.mean() == pytest.approx(mean, rel=0.02)
    assert ((only(counts).values - clean) ** 2).mean() == pytest.approx(mean, rel=0.05)  # Poisson


WRONG = [
    ("activation_features", {"n_samples": -5}, "n_samples must be an integer of at least 1; found -5"),
    ("activation_features", {"active_units": 600}, "active_units must be .* at most 512; found 600"),
    ("bold_networks", {"n_modules": 41}, "n_modules must be .* at most 40; found 41"),
    ("calcium_ensembles", {"n_units": 20}, "must not exceed n_units; found 6 x 9 cells .* in 20"),
    ("calcium_ensembles", {"n_units": 2.5}, "n_units must be an integer .*; found 2.5"),
    ("calcium_ensembles", {"n_ensembles": 1}, "overlap asks each ensemble for 3 cells of others"),
    ("calcium_ensembles", {"decay": -0.1}, "decay must be .* greater than 0; found -0.1"),
    ("calcium_ensembles", {"noise": float("nan")}, "noise must be a finite number at least 0; found nan"),
    ("eeg_sources", {"sampling_rate": 40.0}, "sampling_rate must be .* greater than 80; found 40.0"),
    ("eeg_sources", {"n_background": True}, "n_background must be an integer .*; found True"),
    ("linear_responses", {"lags": (0, -1)}, "lags must be an integer of at least 0; found -1"),
    ("linear_responses", {"lags": ()}, r"lags must be one or more different integers; found \(\)"),
    ("linear_responses", {"snr": [1.0, 2.0]}, "snr must be one number or one per unit; found 2 for 30 units"),
    ("linear_responses", {"density": 1.5}, "density must be .* at most 1; found 1.5"),
    ("spiking_network", {"n_units": 50}, "40 excitatory cells; found 4 x 12"),
    ("spiking_network", {"bin_width": 0.0123}, "bin_width must be a whole number of 0.001 s steps"),
    ("spiking_network", {"within": 1.2}, "within must be .* at most 1; found 1.2"),
    ("spiking_network", {"inhibitory_fraction": "a"}, "inhibitory_fraction must be .*; found 'a'"),
    ("tensor_trials", {"noise": "uniform"}, "noise must be one of poisson, gaussian; found 'uniform'"),
    *((name, {"seed": -1}, "seed must be an integer of at least 0; found -1") for name in SIMULATORS),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG)
def test_a_wrong_parameter_is_named(name, arguments, message):
    with pytest.raises(ni.RecordingError, match=message):
        simulate(name, **arguments)
