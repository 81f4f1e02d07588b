"""The attention encoder on simulated cortex that sees one digit among textures: who wins where, and why. Minutes.

It is trained as it is by default, which was chosen on images, networks and units of other seeds (102 and 100).
"""

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.models.readouts import Training

pytestmark = pytest.mark.slow
DIGITS = load_digits()
CENTRES = [(2, 2), (5, 3), (3, 6)]


@pytest.fixture(scope="module")
def grid(trained_core):
    """Give 5,000 images of 8 x 8 cells with one digit among textures: maps, its class and cell, and its saliency."""
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
    places = np.stack(np.divmod(target, 8), axis=1).astype(np.float32) / 4 - 1
    conv, relu, pool = torch.nn.Conv2d, torch.nn.ReLU, torch.nn.MaxPool2d
    maps, naming = trained_core(
        images, (classes, places),
        lambda: [conv(1, 24, 5, 1, 2), relu(), pool(4), conv(24, 64, 3, 1, 1), relu(), pool(2)], 350,
    )  # fmt: skip
    heard = (maps > maps.min((0, 2, 3), keepdims=True)).any((2, 3)).mean(0)
    maps = maps * (heard >= 0.01)[:, None, None]  # what fires in a few images alone lies hundreds of deviations off
    named = np.einsum("ncij,kcij->nk", maps, naming).argmax(axis=1)
    saliency = np.abs(np.einsum("ncij,ncij->nij", maps, naming[named]))  # gradient of the class named, times input
    return maps, classes, target, saliency / saliency.sum((1, 2), keepdims=True)


@pytest.fixture(scope="module")
def cortex(grid, with_noise, maps_and_voxels):
    """Give features and voxels of three regions that read a place, four that read what the digit is, and one mixed."""
    maps, classes, target, _ = grid
    rng = np.random.default_rng(4)
    tokens = maps.reshape(len(maps), 64, 64).transpose(0, 2, 1)  # (image, token, channel)
    at_target = tokens[np.arange(len(maps)), target]
    rows, cols = (axis.ravel() for axis in np.indices((8, 8)))

    def retinotopic(centre):
        weight = np.exp(-((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2) / 2)
        return np.einsum("ntc,t->nc", tokens, weight / weight.sum()) @ rng.standard_normal((64, 40))

    def category(pair):
        return (at_target @ rng.standard_normal((64, 40))) * np.isin(classes, pair)[:, None]

    clean = [retinotopic(centre) for centre in CENTRES]
    clean += [category((2 * number, 2 * number + 1)) for number in range(4)]
    clean += [np.hstack([retinotopic((4, 4))[:, :20], category((8, 9))[:, :20]])]
    roi = np.repeat(np.array([*PLACES, *CATEGORIES, "mixed"], dtype=object), 40)
    return maps_and_voxels(maps, with_noise(np.hstack(clean), 0.5, rng), region=roi)


PLACES = [f"V{number}" for number in (1, 2, 3)]
CATEGORIES = [f"class{number}" for number in range(4)]
LAST = [(np.arange(4500), np.arange(4500, 5000))]
PLAIN = Training(epochs=40, batch=64, learning_rate=5e-3, patience=8)


def explained(found):
    """Give by region the explained variance over its ceiling of one half."""
    r = found.correlation.isel(fold=0)
    return ((r.clip(min=0) ** 2) / 0.5).groupby("region").mean().to_series()


def vectors(values):
    """Give (image, feature) values as a map of one place, to be read by tuned ridge."""
    return ni.recording(values[:, None, None], modality="activations", units="1", dims=("trial", "row", "col", "unit"))


@pytest.fixture(scope="module")
def ridge(cortex):
    """Give the scores by region of ridge on the map."""
    return explained(encoding.readout(*cortex, "linear", cv=LAST))


@pytest.fixture(scope="module")
def baselines(grid, cortex, ridge):
    """Give the scores by region of every baseline, each tuned: ridge on the map, pooled, by saliency, on PCA."""
    maps, _, _, saliency = grid
    features, voxels = cortex
    flat = maps.reshape(len(maps), -1)
    first = PCA(300, svd_solver="randomized", random_state=0).fit(flat[:4500])
    looked = np.einsum("ncij,nij->nc", maps, saliency)
    inputs = {
        "pooled": (features, "pooled"), "factorized": (features, "factorized"),
        "pca": (vectors(first.transform(flat)), "linear"), "saliency": (vectors(looked), "linear"),
    }  # fmt: skip
    return {"ridge": ridge} | {
        name: explained(encoding.readout(seen, voxels, kind, cv=LAST, validation=1 / 9, training=PLAIN))
        for name, (seen, kind) in inputs.items()
    }


@pytest.fixture(scope="module")
def ours(cortex):
    return encoding.attention_encoder(*cortex, cv=LAST, validation=1 / 9)


def area(found, target, rows):
    """Give by region how well attention tells the digit's token from all others, in some of the test images."""
    attention = found.attention.isel(trial=slice(4500, None)).mean("head")
    hit = np.arange(64) == target[4500:, None]
    return {
        str(name): roc_auc_score(hit[rows].ravel(), attention.sel(roi=name).values[rows].ravel())
        for name in found.roi.values
    }


def test_attention_predicts_regions_that_follow_content_and_loses_little_where_place_decides(ours, baselines, cortex):
    score = explained(ours)
    best = {name: max(one[name] for one in baselines.values()) for name in score.index}
    gain = np.mean([score[name] for name in CATEGORIES]) / np.mean([best[name] for name in CATEGORIES])
    kept = np.mean([score[name] for name in PLACES]) / np.mean([best[name] for name in PLACES])
    assert gain >= 1.15, (score, baselines)
    assert score[PLACES].mean() >= 0.95 * baselines["ridge"][PLACES].mean(), (score, baselines)
    assert int(ours.parameters) < 0.25 * (64 * 64 + 1) * cortex[1].sizes["unit"]
    assert kept >= 0.95, (score, baselines)


def test_attention_goes_to_the_digit_where_content_decides_and_stays_where_place_does(ours, grid):
    """Over all test images, and over those of the two classes of a region: it reads nothing of the others."""
    _, classes, target, _ = grid
    found = area(ours, target, np.arange(500))
    assert max(found[name] for name in PLACES) <= 0.65
    attention = ours.attention.isel(trial=slice(4500, None)).mean(["head", "trial"])
    for name, centre in zip(PLACES, CENTRES, strict=True):
        peak = int(attention.sel(roi=name).values.argmax())
        assert np.abs(np.array(divmod(peak, 8)) - centre).max() <= 1
    own = {
        name: area(ours, target, np.isin(classes[4500:], (2 * number, 2 * number + 1)))[name]
        for number, name in enumerate(CATEGORIES)
    }
    assert np.mean(list(own.values())) >= 0.90, own
    assert np.mean([found[name] for name in CATEGORIES]) >= 0.90, found


def test_at_every_number_of_images_attention_beats_ridge_on_the_map(ours, ridge, cortex):
    """With 4,000 images to learn from, 500 more to stop by: the fits of the other tests. With 250, dropout of 0.3.

    That was chosen on other seeds, where it nearly doubled what is explained; here it is 0.36, and 0.21 by ridge.
    """
    features, voxels = cortex
    ratio = {4000: explained(ours).mean() / ridge.mean()}
    for count, epochs in {250: 120, 500: 80, 1000: 50, 2000: 40}.items():
        few = [(np.arange(count), np.arange(4500, 5000))]
        how = Training(epochs, 32, 2e-3, clip=0.1, concordance=0.0, average=0.99)
        dropout = 0.3 if count == 250 else 0.0
        routed = encoding.attention_encoder(features, voxels, cv=few, validation=0.2, training=how, dropout=dropout)
        flat = encoding.readout(features, voxels, "linear", cv=few)
        ratio[count] = explained(routed).mean() / explained(flat).mean()
    assert min(ratio.values()) > 1, ratio
