"""Encoding models on real neurons: Allen visual responses to scenes, a grasshopper's receptor to sound."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import encoding


def _energies(images):
    """Give, for each image (row, col), the local energy at three scales and four orientations on a 4 x 4 grid."""
    size = images.shape[-1]
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    out = []
    for centre in (0.06, 0.12, 0.24):
        for angle in np.arange(4) * np.pi / 4:
            u = fx * np.cos(angle) + fy * np.sin(angle)
            v = -fx * np.sin(angle) + fy * np.cos(angle)
            band = np.exp(-((u - centre) ** 2 + v**2) / (2 * (centre / 2) ** 2))
            energy = np.abs(np.fft.ifft2(np.fft.fft2(images) * band))
            cells = [np.array_split(row, 4, axis=-1) for row in np.array_split(energy, 4, axis=-2)]
            out += [cell.mean(axis=(-2, -1)) for row in cells for cell in row]
    return np.log(np.stack(out, axis=1) + 1.0)


@pytest.fixture(scope="module")
def scenes(mirror):
    """Give image features and the mean responses of 212 neurons to 118 scenes, joined by the scene."""
    tree = ni.load_session("devries2020", mirror=mirror)
    seen, responses = tree["recordings/scenes/recording"], tree["recordings/calcium/recording"]
    order = np.random.default_rng(0).permutation(seen.sizes["trial"])
    features = ni.recording(
        _energies(seen.values[..., 0])[order], modality="stimulus", units="1", dims=("trial", "unit"),
        coords={"stimulus": ("trial", seen["stimulus"].values[order])},
    )  # fmt: skip
    return ni.align.join(features, responses)


@pytest.fixture(scope="module")
def receptor(mirror):
    """Give the envelope of a sound and a receptor's spikes in bins of 1 ms."""
    folder = mirror / "spikes" / "nitime_grasshopper"
    sound = np.loadtxt(folder / "grasshopper_stimulus1.txt")[:, 1]
    spikes = np.loadtxt(folder / "grasshopper_spike_times1.txt") * 1e-6
    counts = ni.align.bin_events({"receptor": spikes}, bin_width=0.001, start=0.0, stop=10.0)
    envelope = np.log10(np.sqrt((sound[:200000].reshape(-1, 20) ** 2).mean(axis=1)) + 1e-3)
    drive = ni.recording(
        envelope[:, None], modality="stimulus", units="1", time=counts["time"].values, attrs={"sampling_rate": 1000.0}
    )
    return drive, counts


def test_a_receptor_follows_the_sound_seven_milliseconds_later_and_is_refractory(receptor):
    sound, spikes = receptor
    assert int(spikes.sum()) == 929
    found = encoding.poisson_glm(sound, spikes, lags=range(12), alphas=1e-3)
    field = found.weights.values[:, 0]
    assert found.feature_lag.values[field.argmax()] == 7
    assert field[8:10].sum() < -1  # an onset detector: what was loud just before takes away
    assert float(found.score.min()) > 0.15
    past = encoding.poisson_glm(sound, spikes, lags=range(12), alphas=1e-3, coupling=range(1, 8))
    own = past.weights.values[past.feature_kind.values == "coupling", 0]
    assert (own[:3] < -2).all()
    assert (np.diff(own) > 0).all()  # it recovers over some five milliseconds
    assert float((past.score - found.score).min()) > 0.05
    null = encoding.poisson_glm(sound, ni.surrogate.circular_shift(spikes), lags=range(12), alphas=1e-3)
    assert float(null.score.max()) < 0.02


def test_ridge_finds_nearly_the_same_delay_and_its_p_value_is_the_least(receptor):
    sound, spikes = receptor
    responses = spikes.astype(np.float64)
    found = encoding.evaluate(encoding.ridge(sound, responses, lags=range(12)), responses, draws=199)
    assert found.feature_lag.values[found.weights.values[:, 0].argmax()] in (7, 8)
    assert float(found.correlation.min()) > 0.3
    assert float(found.p_value[0]) == 1 / 200


def test_half_of_a_population_predicts_the_other_and_simple_image_features_do_not(scenes):
    """Of 212 neurons none is predicted from local energies of 118 scenes at a false discovery rate of 5%."""
    features, responses = scenes
    images = encoding.evaluate(encoding.ridge(features, responses), responses, draws=199)
    assert int((images.q_value < 0.05).sum()) == 0
    assert float(images.pooled_correlation.mean()) < 0.02
    first, second = responses.isel(unit=slice(106)), responses.isel(unit=slice(106, None))
    brain = encoding.evaluate(encoding.ridge(first, second, cv=10), second, draws=199)
    assert float(brain.pooled_correlation.mean()) > 0.6
    assert int((brain.q_value < 0.05).sum()) == 106
