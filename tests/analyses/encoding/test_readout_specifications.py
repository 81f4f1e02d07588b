"""Readouts and the attention encoder on simulated cortex that sees real pixels: who wins where, and why. Minutes."""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.models.readouts import Training

pytestmark = pytest.mark.slow
DIGITS = load_digits()


def noise_map(rng, size):
    """Give a 1/f image of unit variance."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / np.maximum(frequency, 1 / size)
    image = np.fft.ifft2(spectrum).real
    return (image - image.mean()) / image.std()


def trained_core(images, targets, layers, steps, seed=0):
    """Train a small convolutional net to name classes (int) and places (float); give its last feature map."""
    torch.manual_seed(seed)
    core = torch.nn.Sequential(*layers)
    x = torch.as_tensor(images[:, None], dtype=torch.float32)
    classes, places = (torch.as_tensor(t) for t in targets)
    width = core(x[:2]).flatten(1).shape[1]
    heads = torch.nn.Linear(width, 10), torch.nn.Linear(width, places.shape[1])
    optimiser = torch.optim.Adam([*core.parameters(), *heads[0].parameters(), *heads[1].parameters()], lr=1e-3)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = torch.as_tensor(rng.integers(0, len(x), 64))
        code = core(x[rows]).flatten(1)
        loss = torch.nn.functional.cross_entropy(heads[0](code), classes[rows])
        loss = loss + torch.nn.functional.mse_loss(heads[1](code), places[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return np.concatenate([core(part).numpy() for part in x.split(256)])


def with_noise(clean, share, rng):
    """Standardise, and add noise that leaves `share` of the variance to be predicted."""
    clean = (clean - clean.mean(axis=0)) / clean.std(axis=0)
    return clean + np.sqrt(1 / share - 1) * rng.standard_normal(clean.shape)


def recordings(maps, responses, **coords):
    maps = ni.recording(
        maps.transpose(0, 2, 3, 1), modality="activations", units="1", dims=("trial", "row", "col", "unit")
    )
    voxels = ni.recording(responses, modality="fmri", units="1", dims=("trial", "unit"),
                          coords={name: ("unit", one) for name, one in coords.items()})  # fmt: skip
    return maps, voxels


@pytest.fixture(scope="module")
def canvases():
    """Give 4,000 images of 56 x 56 with one digit of some class, place and size, their feature map and truth."""
    rng = np.random.default_rng(0)
    count, size = 4000, 56
    images = np.empty((count, size, size), dtype=np.float32)
    which = rng.integers(0, len(DIGITS.images), count)
    factor = rng.choice([1.5, 2.0, 3.0], count)
    corner = np.empty((count, 2))
    for i in range(count):
        digit = zoom(DIGITS.images[which[i]] / 16, factor[i], order=1)
        corner[i] = rng.integers(0, size - digit.shape[0] + 1, 2)
        images[i] = 0.3 * noise_map(rng, size)
        r, c = corner[i].astype(int)
        images[i, r : r + digit.shape[0], c : c + digit.shape[1]] += 2 * digit
    centre = (corner + 4 * factor[:, None]) / 4 - 0.5  # in cells of the 14 x 14 map
    targets = DIGITS.target[which], ((centre - 6.5) / 7).astype(np.float32)
    conv = torch.nn.Conv2d
    layers = [conv(1, 16, 5, 2, 2), torch.nn.ReLU(), conv(16, 32, 3, 2, 1), torch.nn.ReLU()]
    maps = trained_core(images, targets, layers, steps=600)
    return (maps - maps.mean((0, 2, 3), keepdims=True)) / maps.std((0, 2, 3), keepdims=True), targets[0], centre, factor


EACH = 25


@pytest.fixture(scope="module")
def cortex(canvases):
    """Give maps and 4 x 25 units: static, moving with the digit, scaling with it, and of the class alone."""
    maps, classes, centre, factor = canvases
    rng = np.random.default_rng(1)
    rows, cols = np.indices((14, 14))

    def seen(where, sigma):
        mask = np.exp(
            -((rows - where[:, :1, None]) ** 2 + (cols - where[:, 1:, None]) ** 2) / (2 * sigma[:, None, None] ** 2)
        )
        return np.einsum("ncij,nij->nc", maps, mask / mask.sum((1, 2), keepdims=True))

    ones = np.ones(len(maps))
    place, spread = rng.uniform(3, 10, (EACH, 2)), rng.uniform(1.0, 2.0, EACH)
    clean = []
    for unit in range(EACH):
        clean.append(seen(np.tile(place[unit], (len(maps), 1)), spread[unit] * ones) @ rng.standard_normal(32))
    for _ in range(EACH):
        clean.append(seen(centre + rng.uniform(-1, 1, 2), 1.2 * ones) @ rng.standard_normal(32))
    for _ in range(EACH):
        clean.append(seen(np.tile(rng.uniform(5, 8, 2), (len(maps), 1)), 0.8 * factor) @ rng.standard_normal(32))
    for _ in range(EACH):
        clean.append(rng.standard_normal(10)[classes])
    kind = np.repeat(["static", "moving", "scaling", "semantic"], EACH)
    responses = with_noise(np.stack(clean, axis=1), 0.49, rng)
    return *recordings(maps, responses, kind=kind.astype(object)), place, spread, centre


FOLD = [(np.arange(3500), np.arange(3500, 4000))]
SLOWLY = Training(epochs=40, batch=64, learning_rate=5e-3, patience=8)


def by_kind(found):
    return found.correlation.isel(fold=0).groupby("kind").mean().to_series()


def test_static_fields_are_recovered_and_few_samples_favour_who_knows_their_shape(cortex):
    maps, voxels, place, spread, _ = cortex
    static = voxels.isel(unit=slice(EACH))
    full = encoding.readout(maps, static, "gaussian", cv=FOLD, validation=1 / 7, training=SLOWLY)
    error = np.linalg.norm(full.rf_centre.values[0] - place, axis=1)
    off = np.abs(full.rf_sigma.values[0] / spread - 1)
    mask = encoding.readout(maps, static, "factorized", cv=FOLD, validation=1 / 7, training=SLOWLY).spatial_mask[0]
    weight = mask.values**2
    middle = np.stack([(weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in np.indices((14, 14))], axis=1)
    away = np.linalg.norm(middle - place, axis=1)
    assert np.median(error) <= 1.0
    assert np.median(off) <= 0.25
    assert np.median(away) <= 1.5
    few = [(np.arange(250), np.arange(3500, 4000))]
    longer = Training(epochs=150, batch=32, learning_rate=1e-2, patience=25)
    r = {
        kind: float(encoding.readout(maps, static, kind, cv=few, validation=0.2, training=longer).correlation.mean())
        for kind in ("gaussian", "factorized", "linear")
    }
    assert r["gaussian"] >= 1.10 * r["factorized"]
    if r["factorized"] < 1.10 * r["linear"]:
        pytest.xfail(f"not reached: the factorised readout was to beat ridge by a tenth on 200 samples; {r}")


def test_masks_that_move_harm_nothing_and_predict_more_than_ridge(cortex):
    maps, voxels, _, _, _ = cortex
    found = {
        kind: encoding.readout(maps, voxels, kind, cv=FOLD, validation=1 / 7, training=SLOWLY)
        for kind in ("spatial_transformer", "factorized", "linear")
    }
    r = {kind: by_kind(one) for kind, one in found.items()}
    for kind in ("moving", "scaling"):
        assert r["spatial_transformer"][kind] >= 1.10 * r["linear"][kind]
    assert r["spatial_transformer"]["static"] >= 0.97 * r["factorized"]["static"]
    gain = min(r["spatial_transformer"][kind] / r["factorized"][kind] for kind in ("moving", "scaling"))
    if gain < 1.15:
        pytest.xfail(f"not reached: 1.15 times the factorised readout was asked, {gain:.2f} times was found")


@pytest.fixture(scope="module")
def grid():
    """Give 5,000 images of 8 x 8 cells with one digit among textures, as tokens, and eight regions that read them."""
    rng = np.random.default_rng(2)
    count = 5000
    images = 0.3 * rng.standard_normal((count, 64, 64)).astype(np.float32)
    which = rng.integers(0, len(DIGITS.images), count)
    target = np.empty(count, dtype=np.int64)
    for i in range(count):
        cells = rng.choice(49, 4, replace=False)
        for cell, kind in zip(cells, range(4), strict=True):
            r, c = 8 * (cell // 7), 8 * (cell % 7)
            patch = zoom(DIGITS.images[which[i]] / 16, 2, order=0) if kind == 0 else rng.random((16, 16)) > 0.6
            images[i, r : r + 16, c : c + 16] += 2 * patch
        target[i] = 8 * (cells[0] // 7) + cells[0] % 7
    classes = DIGITS.target[which]
    row, col = np.divmod(target, 8)
    places = np.stack([row, col], axis=1).astype(np.float32) / 4 - 1
    conv, pool = torch.nn.Conv2d, torch.nn.MaxPool2d
    layers = [conv(1, 24, 5, 1, 2), torch.nn.ReLU(), pool(4), conv(24, 64, 3, 1, 1), torch.nn.ReLU(), pool(2)]
    maps = trained_core(images, (classes, places), layers, steps=700)
    deviation = maps.std((0, 2, 3), keepdims=True)
    maps = (maps - maps.mean((0, 2, 3), keepdims=True)) / np.where(
        deviation > 0, deviation, 1
    )  # some channels are dead
    tokens = maps.reshape(count, 64, 64).transpose(0, 2, 1)  # (image, token, channel)
    at_target = tokens[np.arange(count), target]
    rows, cols = (axis.ravel() for axis in np.indices((8, 8)))
    centres = [(2, 2), (5, 3), (3, 6)]
    clean, roi = [], []

    def retinotopic(centre):
        weight = np.exp(-((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2) / 2)
        return np.einsum("ntc,t->nc", tokens, weight / weight.sum()) @ rng.standard_normal((64, 40))

    def category(pair):
        return (at_target @ rng.standard_normal((64, 40))) * np.isin(classes, pair)[:, None]

    for number, centre in enumerate(centres):
        clean.append(retinotopic(centre))
        roi += [f"V{number + 1}"] * 40
    for number in range(4):
        clean.append(category((2 * number, 2 * number + 1)))
        roi += [f"class{number}"] * 40
    clean.append(np.hstack([retinotopic((4, 4))[:, :20], category((8, 9))[:, :20]]))
    roi += ["mixed"] * 40
    responses = with_noise(np.hstack(clean), 0.5, rng)
    features, voxels = recordings(maps, responses, region=np.array(roi, dtype=object))
    return features, voxels, target, centres


LAST = [(np.arange(4500), np.arange(4500, 5000))]


def explained(found, observed):
    """Give by region the explained variance over its ceiling of one half."""
    r = found.correlation.isel(fold=0)
    return ((r.clip(min=0) ** 2) / 0.5).groupby("region").mean().to_series()


def test_attention_predicts_regions_that_follow_content_and_routes_to_it(grid):
    features, voxels, target, centres = grid
    training = Training(epochs=40, batch=32, learning_rate=1e-3, patience=8, clip=0.5)
    ours = encoding.attention_encoder(features, voxels, cv=LAST, validation=1 / 9, training=training)
    flat = encoding.readout(features, voxels, "linear", cv=LAST, validation=1 / 9)
    baselines = {
        "ridge": explained(flat, voxels),
        "pooled": explained(encoding.readout(features, voxels, "pooled", cv=LAST, validation=1 / 9), voxels),
        "factorized": explained(
            encoding.readout(features, voxels, "factorized", cv=LAST, validation=1 / 9, training=SLOWLY), voxels
        ),
    }
    score = explained(ours, voxels)
    best = np.maximum.reduce(list(baselines.values()))
    best = score.copy() * 0 + best
    category = [name for name in score.index if name.startswith("class")]
    places = [name for name in score.index if name.startswith("V")]
    assert score[category].mean() >= 1.15 * best[category].mean()
    assert score[places].mean() >= 0.95 * baselines["ridge"][places].mean()
    attention = ours.attention.isel(trial=slice(4500, None)).mean("head")
    hit = np.zeros((500, 64), dtype=bool)
    hit[np.arange(500), target[4500:]] = True
    from sklearn.metrics import roc_auc_score

    area = {name: roc_auc_score(hit.ravel(), attention.sel(roi=name).values.ravel()) for name in score.index}
    assert max(area[name] for name in places) <= 0.65
    for name, centre in zip(places, centres, strict=True):
        peak = int(attention.sel(roi=name).mean("trial").values.argmax())
        assert np.abs(np.array(divmod(peak, 8)) - centre).max() <= 1
    assert int(ours.parameters) < 0.25 * flat_parameters(voxels)
    kept, routed = score[places].mean() / best[places].mean(), np.mean([area[name] for name in category])
    if kept < 0.95 or routed < 0.90:
        pytest.xfail(
            f"not reached: 0.95 of the best baseline where place decides ({kept:.2f}), routing 0.90 ({routed:.2f})"
        )


def flat_parameters(voxels):
    return (64 * 64 + 1) * voxels.sizes["unit"]
