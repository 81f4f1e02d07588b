"""Encoding models on real neurons: Allen visual responses to scenes, a grasshopper's receptor to sound."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from scipy.signal import butter, sosfiltfilt

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


def _layer_of_a_digit_network(images, path):
    """Give the pooled convolutional layer (10 channels of 7 x 7) of a network trained on digits."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    held = safetensors.load_file(path)
    pool, seen = torch.nn.functional.max_pool2d, torch.tensor(images[:, None] / 255.0, dtype=torch.float32)
    with torch.no_grad():
        out = torch.nn.functional.conv2d(pool((seen - 0.1307) / 0.3081, 2), held["conv1.weight"], held["conv1.bias"],
                                         padding=1)  # fmt: skip
        return pool(out.relu(), 2).flatten(1).numpy().astype(np.float64)


@pytest.fixture(scope="module")
def scenes(mirror):
    """Give features of 118 scenes by kind, and the mean responses of 212 neurons, joined by the scene."""
    tree = ni.load_session("devries2020", mirror=mirror)
    seen, responses = tree["recordings/scenes/recording"], tree["recordings/calcium/recording"]
    grey = seen.values[..., 0]
    kinds = {
        "energies": _energies(grey),
        "pixels": grey.reshape(len(grey), -1),
        "digit network": _layer_of_a_digit_network(grey, mirror / "artificial/models/mnist_cnn.safetensors"),
    }
    order = np.random.default_rng(0).permutation(len(grey))

    def joined(values):
        ids = {"stimulus": ("trial", seen["stimulus"].values[order])}
        made = ni.recording(values[order], modality="stimulus", units="1", dims=("trial", "unit"), coords=ids)
        return ni.align.join(made, responses)

    found = {kind: joined(values) for kind, values in kinds.items()}
    return {kind: pair[0] for kind, pair in found.items()}, found["pixels"][1]


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


def test_the_modulation_field_of_a_receptor_is_fast_and_late(receptor):
    """The file holds the sound's amplitude alone, so the field is over rate of modulation and time, not over pitch."""
    sound, spikes = receptor
    responses = spikes.astype(np.float64)
    edges = (0, 25, 100, 200, 400)
    filters = [butter(2, (low, high) if low else high, "bandpass" if low else "lowpass", fs=1000.0, output="sos")
               for low, high in pairwise(edges)]  # fmt: skip
    names = [f"{low} Hz" for low in edges[:-1]]
    bands = {
        name: sound.copy(data=sosfiltfilt(one, sound.values, axis=0)).assign_coords(unit=np.array([name], dtype=object))
        for name, one in zip(names, filters, strict=True)
    }
    joined = xr.concat(list(bands.values()), "unit")
    found = encoding.evaluate(encoding.ridge(joined, responses, lags=range(20)), responses, draws=99)
    assert float(found.pooled_correlation[0]) > 0.3
    assert float(found.p_value[0]) == 1 / 100
    shifted = ni.surrogate.circular_shift(responses, seed=1)
    assert float(encoding.ridge(joined, shifted, lags=range(20)).correlation.mean()) < 0.05
    field = found.weights.values[:, 0].reshape(20, len(names))
    assert np.abs(field[:5]).max() < np.abs(field[5:12]).max()  # nothing before the delay of some seven milliseconds
    split = encoding.banded_ridge(bands, responses, lags=range(20), draws=5)
    share = split.band_score.mean("fold").isel(unit=0)
    assert float(share.sel(band=["100 Hz", "200 Hz"]).sum()) > 0.6 * float(share.sum())
    assert float(share.sel(band="0 Hz")) < 0.2 * float(share.sum())


def test_half_of_a_population_predicts_the_other_and_image_features_do_not(scenes):
    """Of 212 neurons none is predicted from 118 scenes at a false discovery rate of 5%, whatever the features.

    No ceiling can be given: the files hold means over 50 presentations and no repeats. That half of the neurons predict
    the other half says that something is shared, not that it is the scene: the means may share noise.
    """
    features, responses = scenes
    for kind, one in features.items():
        images = encoding.evaluate(encoding.ridge(one, responses), responses, draws=199)
        assert int((images.q_value < 0.05).sum()) == 0, kind
        assert float(images.p_value_max.min()) > 0.05, kind
        assert float(images.pooled_correlation.mean()) < 0.02, kind
    first, second = responses.isel(unit=slice(106)), responses.isel(unit=slice(106, None))
    brain = encoding.evaluate(encoding.ridge(first, second, cv=10), second, draws=199)
    assert float(brain.pooled_correlation.mean()) > 0.6
    assert int((brain.q_value < 0.05).sum()) == 106
