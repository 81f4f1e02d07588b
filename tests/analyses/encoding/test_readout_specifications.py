"""Readouts on simulated cortex that sees real pixels through a trained network: who wins where, and why. Minutes.

Rates, epochs and starts were chosen on images, networks and units of other seeds (100 and 101).
"""

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


@pytest.fixture(scope="module")
def canvases(noise_map, trained_core):
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
    conv, relu = torch.nn.Conv2d, torch.nn.ReLU
    maps, _ = trained_core(images, targets, lambda: [conv(1, 16, 5, 2, 2), relu(), conv(16, 32, 3, 2, 1), relu()], 600)
    return maps, targets[0], centre, factor


EACH = 25


def pooled(maps, where, sigma, *, of_sum_one=True):
    """Give (image, channel): maps under a Gaussian at a place and of a width of each image's own."""
    rows, cols = np.indices((14, 14))
    away = (rows - where[:, :1, None]) ** 2 + (cols - where[:, 1:, None]) ** 2
    mask = np.exp(-away / (2 * sigma[:, None, None] ** 2))
    return np.einsum("ncij,nij->nc", maps, mask / mask.sum((1, 2), keepdims=True) if of_sum_one else mask)


@pytest.fixture(scope="module")
def cortex(canvases, with_noise, maps_and_voxels):
    """Give maps and 4 x 25 units: static, moving with the digit, scaling with it, and of the class alone."""
    maps, classes, centre, factor = canvases
    rng = np.random.default_rng(1)
    ones = np.ones(len(maps))
    place, spread = rng.uniform(3, 10, (EACH, 2)), rng.uniform(1.0, 2.0, EACH)
    clean = [
        pooled(maps, np.tile(place[unit], (len(maps), 1)), spread[unit] * ones) @ rng.standard_normal(32)
        for unit in range(EACH)
    ]
    for _ in range(EACH):
        clean.append(pooled(maps, centre + rng.uniform(-1, 1, 2), 1.2 * ones) @ rng.standard_normal(32))
    for _ in range(EACH):
        where = np.tile(rng.uniform(5, 8, 2), (len(maps), 1))
        clean.append(pooled(maps, where, 0.8 * factor, of_sum_one=False) @ rng.standard_normal(32))
    for _ in range(EACH):
        clean.append(rng.standard_normal(10)[classes])
    kind = np.repeat(["static", "moving", "scaling", "semantic"], EACH)
    responses = with_noise(np.stack(clean, axis=1), 0.49, rng)
    return *maps_and_voxels(maps, responses, kind=kind.astype(object)), place, spread, centre


FOLD = [(np.arange(3500), np.arange(3500, 4000))]
PLAIN = Training(epochs=40, batch=64, learning_rate=5e-3, patience=8)
HALVED = Training(epochs=20, batch=64, learning_rate=5e-3, patience=5, halve=4)


def by_kind(found):
    return found.correlation.isel(fold=0).groupby("kind").mean().to_series()


def test_static_fields_are_recovered(cortex):
    maps, voxels, place, spread, _ = cortex
    static = voxels.isel(unit=slice(EACH))
    full = encoding.readout(maps, static, "gaussian", cv=FOLD, validation=1 / 7, training=PLAIN)
    error = np.linalg.norm(full.rf_centre.values[0] - place, axis=1)
    off = np.abs(full.rf_sigma.values[0] / spread - 1)
    mask = encoding.readout(maps, static, "factorized", cv=FOLD, validation=1 / 7, training=PLAIN).spatial_mask[0]
    weight = mask.values**2
    middle = np.stack([(weight * axis).sum((1, 2)) / weight.sum((1, 2)) for axis in np.indices((14, 14))], axis=1)
    away = np.linalg.norm(middle - place, axis=1)
    assert np.median(error) <= 1.0
    assert np.median(off) <= 0.25
    assert np.median(away) <= 1.5


def test_few_samples_favour_who_knows_the_shape_of_a_field(cortex):
    """250 images for each, all of which ridge is solved on; the others stop by 50 of them."""
    maps, voxels, _, _, _ = cortex
    static, few = voxels.isel(unit=slice(EACH)), [(np.arange(250), np.arange(3500, 4000))]
    longer = Training(epochs=150, batch=32, learning_rate=1e-2, patience=25, sparsity=3e-3)
    r = {
        kind: float(
            encoding.readout(
                maps, static, kind, cv=few, validation=0.2, training=longer, options=options
            ).correlation.mean()
        )
        for kind, options in (("gaussian", {}), ("factorized", {"spread": 0.5}), ("linear", {}))
    }
    assert r["gaussian"] >= 1.10 * r["factorized"], r
    assert r["factorized"] >= 1.10 * r["linear"], r


@pytest.fixture(scope="module")
def fits(cortex):
    """Give what readouts find in all units; the factorised one with its own recipe, and with that of the other."""
    maps, voxels, _, _, _ = cortex

    def fit(kind, training=None, **options):
        return encoding.readout(maps, voxels, kind, cv=FOLD, validation=1 / 7, training=training, options=options)

    return {
        "linear": fit("linear"),
        "factorized": fit("factorized", PLAIN),
        "factorized, smooth start": fit("factorized", HALVED, spread=0.5),
        "spatial_transformer": fit("spatial_transformer", HALVED),
    }


def test_masks_that_move_predict_more_where_fields_move_and_harm_nothing_where_they_do_not(fits):
    r = {name: by_kind(one) for name, one in fits.items()}
    ours, ridge = r["spatial_transformer"], r["linear"]
    plain = {kind: max(r["factorized"][kind], r["factorized, smooth start"][kind]) for kind in ours.index}
    assert ours["moving"] >= 1.15 * plain["moving"], r
    assert ours["moving"] >= 1.10 * ridge["moving"], r
    assert ours["scaling"] >= 1.10 * ridge["scaling"], r
    assert ours["static"] >= 0.97 * plain["static"], r


def test_masks_that_scale_have_little_to_win_where_fields_scale(canvases, fits):
    """A mask that does not move explains nearly all that a field of one place and three widths does.

    The bound is beyond any readout here: the best mask of its own for each unit, fitted without noise and with the true
    features, reaches more than 1 / 1.15 of what the truth itself would.
    """
    maps, _, _, factor = canvases
    rng = np.random.default_rng(2)
    still = []
    for _ in range(5):
        features, where = rng.standard_normal(32), np.tile(rng.uniform(5, 8, 2), (len(maps), 1))
        clean = pooled(maps, where, 0.8 * factor, of_sum_one=False) @ features
        seen = np.einsum("ncij,c->nij", maps, features).reshape(len(maps), -1)
        seen, clean = seen - seen[:3500].mean(axis=0), clean - clean[:3500].mean()
        mask = np.linalg.solve(seen[:3500].T @ seen[:3500] + 10 * np.eye(196), seen[:3500].T @ clean[:3500])
        still.append(np.corrcoef(seen[3500:] @ mask, clean[3500:])[0, 1])
    assert np.mean(still) > 1 / 1.15
    r = {name: by_kind(one)["scaling"] for name, one in fits.items()}
    gain = r["spatial_transformer"] / max(r["factorized"], r["factorized, smooth start"])
    assert gain > 0.97
    if gain < 1.15:
        pytest.xfail(
            f"not reached: where masks scale, 1.15 times the correlation of a mask that stands still was asked, "
            f"{gain:.2f} was found, {1 / np.mean(still):.2f} is possible"
        )


def test_the_warp_of_moving_units_is_the_shift_of_what_they_follow(cortex, fits):
    """The mask looks at p + theta: it moves by the negative of the entries. Turning, from the shear, stays small."""
    centre = cortex[-1]
    theta = fits["spatial_transformer"].affine.isel(trial=slice(3500, None)).transpose("unit", "trial", "axis", "entry")
    moving = theta.values[theta["kind"].values == "moving"]
    shift = {
        name: [-np.corrcoef(unit[:, axis, 2], centre[3500:, 1 - axis])[0, 1] for unit in moving]
        for axis, name in enumerate(("x", "y"))
    }
    turned = np.arctan2(moving[:, :, 1, 0] - moving[:, :, 0, 1], moving[:, :, 0, 0] + moving[:, :, 1, 1])
    assert np.median(np.abs(turned)) < np.deg2rad(15)
    still = theta.values[theta["kind"].values == "static"]
    assert still[..., 2].std(axis=1).mean() < 0.5 * moving[..., 2].std(axis=1).mean()
    assert np.mean(shift["x"]) >= 0.8
    assert np.mean(shift["y"]) >= 0.8


def test_a_core_of_language_wins_where_the_class_is_all_and_loses_where_place_is(canvases, cortex, fits):
    """The embedding of an image is that of its class in 16 dimensions, with noise: what a caption would say."""
    _, classes, _, _ = canvases
    _, voxels, _, _, _ = cortex
    rng = np.random.default_rng(3)
    words = rng.standard_normal((10, 16))[classes] + 0.1 * rng.standard_normal((len(classes), 16))
    caption = ni.recording(
        words[:, None, None], modality="activations", units="1", dims=("trial", "row", "col", "unit")
    )
    told = encoding.readout(caption, voxels, "linear", cv=FOLD)
    table = encoding.region_table({"language": told, **fits}, "kind")
    for vision in fits:
        share = table.better.sel(model="language", model2=vision)
        p = table.p_value.sel(model="language", model2=vision)
        assert float(share.sel(region="semantic")) > 0.5, vision
        assert float(share.sel(region="static")) < 0.5, vision
        assert float(p.sel(region="semantic")) < 0.01, vision
        assert float(p.sel(region="static")) < 0.01, vision
