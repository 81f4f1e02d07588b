"""Readouts and the attention encoder as analyses: joins by stimulus, folds that do not leak, labels, real images."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.models.readouts import Training

SHORT = Training(epochs=25, batch=32, learning_rate=0.02, patience=8)


def maps_of(values, stimulus=None):
    coords = {} if stimulus is None else {"stimulus": ("trial", list(stimulus))}
    return ni.recording(values, modality="activations", units="1", dims=("trial", "row", "col", "unit"), coords=coords)


def voxels_of(values, stimulus=None, **unit_coords):
    coords = {} if stimulus is None else {"stimulus": ("trial", list(stimulus))}
    coords |= {name: ("unit", one) for name, one in unit_coords.items()}
    return ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"), coords=coords)


@pytest.fixture
def scene(rng_seed=0):
    """Give maps of 200 images, and three units that read one place each, with noise."""
    rng = np.random.default_rng(rng_seed)
    maps = rng.standard_normal((200, 5, 6, 3))
    weights = rng.standard_normal((3, 3))
    where = [(1, 1), (3, 4), (2, 2)]
    clean = np.stack([maps[:, r, c] @ w for (r, c), w in zip(where, weights, strict=True)], axis=1)
    names = [f"image{i}" for i in range(200)]
    return maps_of(maps, names), voxels_of(clean + 0.3 * rng.standard_normal(clean.shape), names), where


@pytest.mark.parametrize("kind", ["factorized", "gaussian"])
def test_a_readout_finds_the_place_and_predicts_what_it_has_not_seen(scene, kind):
    maps, voxels, where = scene
    training = SHORT
    if kind == "gaussian":  # a Gaussian finds its way on maps that are smooth, as those of images are
        smooth = gaussian_filter(maps.values, (0, 1, 1, 0)) * 4
        places = np.stack([smooth[:, r, c].sum(axis=1) for r, c in where], axis=1)
        maps, voxels = maps.copy(data=smooth), voxels.copy(data=places)
        training = Training(epochs=60, batch=32, learning_rate=0.05, patience=20)
    found = encoding.readout(maps, voxels, kind, cv=2, training=training)
    assert (found.correlation > 0.7).all()
    for unit, (row, col) in enumerate(where):
        for fold in range(2):
            peak = np.unravel_index(found.spatial_mask.values[fold, unit].argmax(), (5, 6))
            assert peak == (row, col)
    if kind == "gaussian":
        # a mask of one cell leaves open where in and about it the parameter lies: its centre of mass does not
        mass = found.spatial_mask / found.spatial_mask.sum(["row", "col"])
        place = [(mass * np.indices((5, 6))[axis]).sum(["row", "col"]).values for axis in (0, 1)]
        assert np.abs(np.stack(place, axis=-1) - where).max() < 0.5
    assert found.prediction.notnull().all()
    assert list(found.feature_weight["channel"].values) == list(maps["unit"].values)


def test_trials_and_maps_are_joined_by_name_and_whole_stimuli_are_held_out(scene):
    maps, voxels, _ = scene
    order = np.random.default_rng(1).permutation(200)
    one = encoding.readout(maps, voxels, "linear", cv=4)
    other = encoding.readout(maps[order], voxels, "linear", cv=4)
    xr.testing.assert_allclose(one.score, other.score)
    twice = voxels.isel(trial=np.repeat(np.arange(200), 2))
    noise = np.random.default_rng(2).standard_normal(twice.shape)
    only_noise = twice.copy(data=np.repeat(noise[::2], 2, axis=0))  # both showings of an image share their noise
    found = encoding.readout(maps, only_noise, "linear", cv=4)
    assert float(found.correlation.mean()) < 0.1, "an image in training told of its other showing"
    leaking = [(np.arange(0, 299), np.arange(299, 400))]
    with pytest.raises(ni.AnalysisError, match="fold 0 leaks: 1 stimuli"):
        encoding.readout(maps, twice, "linear", cv=leaking)
    with pytest.raises(ni.AlignmentError, match="lack 5 of 200 stimuli"):
        encoding.readout(maps[5:], voxels, "linear")
    with pytest.raises(ni.AlignmentError, match="'image3' more than once"):
        encoding.readout(maps.isel(trial=[*range(200), 3]), voxels, "linear")
    with pytest.raises(ni.AlignmentError, match="only one of"):
        encoding.readout(maps.drop_vars("stimulus"), voxels, "linear")


def test_missing_responses_are_left_out_and_a_ceiling_scales_the_score(scene):
    maps, voxels, _ = scene
    holes = voxels.copy(deep=True)
    holes[::3, 0] = np.nan
    full, part = (encoding.readout(maps, one, "linear", cv=2) for one in (voxels, holes))
    assert float(part.correlation[:, 0].mean()) > 0.6
    xr.testing.assert_allclose(full.score[:, 1:], part.score[:, 1:])
    wild = holes.fillna(1e6)
    wild.attrs = holes.attrs
    assert not np.allclose(encoding.readout(maps, wild, "linear", cv=2).score[:, 0], part.score[:, 0])
    bounded = encoding.readout(maps, voxels.assign_coords(noise_ceiling=("unit", [0.9, 0.5, 0.0])), "linear", cv=2)
    r = bounded.correlation.mean("fold").values
    np.testing.assert_allclose(bounded.score_of_ceiling.values[:2], np.minimum(r[:2] ** 2 / [0.9, 0.5], 1))
    assert np.isnan(bounded.score_of_ceiling.values[2])


def test_a_core_is_trained_from_the_responses_alone():
    """Units see edges in pixels; a readout of pixels is linear in them and cannot, a trained core can."""
    rng = np.random.default_rng(3)
    images = rng.standard_normal((400, 6, 6, 1))
    edge = images[:, 2:5, 1, 0] - images[:, 2:5, 2, 0]
    y = np.abs(edge).sum(axis=1, keepdims=True)
    core = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU())
    before = [p.clone() for p in core.parameters()]
    training = Training(epochs=60, batch=32, learning_rate=0.02, patience=15)
    linear = encoding.readout(maps_of(images), voxels_of(y), "linear", cv=2)
    trained = encoding.readout(maps_of(images), voxels_of(y), "factorized", core=core, cv=2, training=training)
    assert float(trained.correlation.mean()) > 0.5 > 0.25 > float(linear.correlation.mean())
    assert all(torch.equal(a, b) for a, b in zip(before, core.parameters(), strict=True)), "the core given was changed"


def test_tokens_of_a_vision_transformer_are_maps(small_model):
    from neurointerp.loaders import activations

    pixels = torch.rand(150, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    tokens = activations.record(small_model("vit"), pixels, sites=["L1.mlp.out"], batch_size=8)
    grid = "row" in tokens.coords
    assert grid
    patches = tokens.isel(token=tokens["row"].notnull().values) if tokens["row"].dtype.kind == "f" else tokens
    if (patches["row"] < 0).any():
        patches = patches.isel(token=(patches["row"] >= 0).values)
    target = voxels_of(patches.values[:, 4, :2].astype(np.float64))
    target = target.assign_coords({"trial": patches["trial"]}) if "trial" in patches.coords else target
    if "stimulus" in patches.coords:
        target = target.assign_coords(stimulus=("trial", patches["stimulus"].values))
    found = encoding.readout(patches, target, "linear", cv=3)
    assert float(found.score.mean()) > 0.5
    routed = encoding.attention_encoder(
        patches, target.assign_coords(region=("unit", ["a", "b"])), width=8, heads=2, cv=2, training=Training(epochs=2)
    )
    assert dict(routed.attention.sizes) == {"trial": 150, "roi": 2, "head": 2, "token": patches.sizes["token"]}


def test_attention_encoder_labels_regions_and_refuses_what_it_cannot_know(scene):
    maps, voxels, _ = scene
    quick = {"width": 8, "heads": 2, "hidden": 8, "cv": 2, "training": Training(epochs=1)}
    member = xr.DataArray(
        [[True, False], [True, True], [False, False]],
        dims=("unit", "roi"),
        coords={"unit": voxels["unit"].values, "roi": np.array(["FFA", "PPA"], dtype=object)},
    )
    found = encoding.attention_encoder(maps, voxels, member, **quick)
    assert list(found["roi"].values) == ["FFA", "PPA", "elsewhere"]
    assert found.attention.dims == ("trial", "roi", "head", "token")
    np.testing.assert_allclose(found.attention.sum("token"), 1, atol=1e-5)
    assert found["token_row"].values[7] == 1
    again = encoding.attention_encoder(maps, voxels, member, **quick)
    assert ni.digest(again) == ni.digest(found)
    with pytest.raises(ni.AnalysisError, match="no coordinate 'region'"):
        encoding.attention_encoder(maps, voxels, **quick)
    with pytest.raises(ni.AnalysisError, match="lacks 1 units"):
        encoding.attention_encoder(maps, voxels, member[1:], **quick)


def test_a_layer_ensemble_weighs_each_unit_by_its_validation(scene):
    maps, voxels, _ = scene
    voxels = voxels.assign_coords(region=("unit", ["a", "a", "b"]))
    longer = Training(epochs=40, batch=32, learning_rate=0.01, patience=40)
    quick = {"width": 16, "heads": 2, "hidden": 16, "cv": 2, "validation": 0.3, "training": longer}
    noise = maps.copy(data=np.random.default_rng(9).standard_normal(maps.shape))
    good, bad = (encoding.attention_encoder(one, voxels, **quick) for one in (maps, noise))
    both = encoding.layer_ensemble({"good": good, "noise": bad})
    weights = np.exp(40 * np.stack([one.validation.values for one in (good, bad)]))
    weights = weights / weights.sum(axis=0)
    np.testing.assert_allclose(both.weight.values, weights, rtol=1e-6)
    assert (both.weight.sel(layer="good").mean("fold") > 0.5).all()
    own = weights[:, good.test_fold.values]  # of the fold that held the trial out, whose validation has not seen it
    expected = (own * np.stack([good.prediction, bad.prediction])).sum(axis=0)
    np.testing.assert_allclose(both.prediction.values, expected, rtol=1e-5, atol=1e-6)
    flipped = good.assign(validation=good.validation.copy(data=np.where(np.arange(2)[:, None] == 1, -1.0, 1.0)
                                                          * np.ones((2, 3))))  # fmt: skip
    mixed = encoding.layer_ensemble({"flipped": flipped, "noise": bad.assign(validation=0 * bad.validation)})
    first = good.test_fold.values == 0
    np.testing.assert_allclose(mixed.prediction.values[first], good.prediction.values[first], atol=1e-5)
    np.testing.assert_allclose(mixed.prediction.values[~first], bad.prediction.values[~first], atol=1e-5)
    plain = encoding.layer_ensemble({"one": good, "other": bad}, sharpness=0.0)
    np.testing.assert_allclose(plain.prediction, (good.prediction + bad.prediction) / 2, atol=1e-6)
    with pytest.raises(ni.AnalysisError, match="different folds"):
        encoding.layer_ensemble({"good": good, "other": bad.assign(test_fold=1 - bad.test_fold)})
    with pytest.raises(ni.AnalysisError, match="different trials or units"):
        encoding.layer_ensemble({"good": good, "other": bad.isel(unit=[0, 1])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "cubic"}, "kind 'cubic' is not one of linear"),
        ({"validation": 0.0}, "leaves none on one side"),
        ({"validation": 0.01}, "0.01 of 160 training stimuli are 2 to stop training by"),
        ({"cv": []}, "no folds"),
        ({"kind": "factorized", "options": {"zoom": 2}}, "options of 'factorized'"),
        ({"kind": "factorized", "condition": xr.DataArray(0.0)}, "condition= says nothing to 'factorized'"),
    ],
)
def test_bad_input_is_named(scene, change, message):
    maps, voxels, _ = scene
    with pytest.raises(ni.AnalysisError, match=message):
        encoding.readout(maps, voxels, **change)


def test_maps_with_missing_values_or_other_dims_are_refused(scene):
    maps, voxels, _ = scene
    holes = maps.copy(deep=True)
    holes[2, 1, 1, 0] = np.nan
    with pytest.raises(ni.AnalysisError, match="1 missing"):
        encoding.readout(holes, voxels)
    with pytest.raises(ni.AnalysisError, match=r"\(trial, row, col, unit\)"):
        encoding.readout(voxels, voxels)


def test_trials_that_no_fold_tests_are_missing_in_an_ensemble(scene):
    maps, voxels, _ = scene
    voxels = voxels.assign_coords(region=("unit", ["a", "a", "b"]))
    folds = [(np.arange(100), np.arange(100, 150))]
    found = encoding.attention_encoder(maps, voxels, width=8, heads=2, hidden=8, cv=folds, training=Training(epochs=1))
    assert list(np.unique(found.test_fold)) == [-1, 0]
    both = encoding.layer_ensemble({"one": found, "same": found}).prediction
    np.testing.assert_allclose(both[100:150], found.prediction[100:150], rtol=1e-5)
    assert both[:100].isnull().all()
    assert both[150:].isnull().all()


def test_evaluate_takes_a_readout_and_refuses_other_trials(scene):
    maps, voxels, _ = scene
    found = encoding.readout(maps, voxels, "linear", cv=4)
    assert (encoding.evaluate(found, voxels, draws=19, resamples=19).p_value == 0.05).all()
    with pytest.raises(ni.AlignmentError, match="another order"):
        encoding.evaluate(found, voxels[::-1], draws=9)
    renamed = voxels.assign_coords(stimulus=("trial", voxels["stimulus"].values[::-1]))
    with pytest.raises(ni.AlignmentError, match="'stimulus' of the responses"):
        encoding.evaluate(found, renamed, draws=9)


def test_units_that_a_training_fold_never_saw_are_refused_and_trials_without_a_response_teach_nothing(scene):
    maps, voxels, _ = scene
    some = voxels.values.copy()
    some[np.random.default_rng(0).random(200) < 0.3] = np.nan  # whole batches of one trial have no response
    found = encoding.readout(
        maps, voxels.copy(data=some), "factorized", cv=2, training=Training(epochs=3, batch=1, learning_rate=0.01)
    )
    assert found.prediction.notnull().all()
    assert float(found.correlation.mean()) > 0.4
    some[:, 1] = np.nan
    for call in (encoding.readout, encoding.attention_encoder):
        with pytest.raises(ni.AnalysisError, match=r"1 units have no response in the training trials of fold 0.*'u1'"):
            call(maps, voxels.copy(data=some).assign_coords(region=("unit", list("aab"))), cv=2)


def test_a_constant_unit_has_no_score_of_ceiling_and_a_constant_channel_no_scale(scene):
    from neurointerp.analyses.encoding._maps import scaling

    maps, voxels, _ = scene
    flat = voxels.values.copy()
    flat[:, 1] = 7.3
    flat = voxels.copy(data=flat).assign_coords(noise_ceiling=("unit", [0.9, 0.9, 0.0]))
    found = encoding.readout(maps, flat, "linear", cv=2)
    assert found.score_of_ceiling.isnull().values.tolist() == [False, True, True]
    channel = np.full((50, 2), 0.1, dtype=np.float32)
    channel[:, 1] = np.arange(50)
    assert scaling(channel, (0,))[1][0, 0] == 1.0  # rounding of 0.1 is no variance
    np.testing.assert_allclose(scaling(channel, (0,))[1][0, 1], np.arange(50).std(), rtol=1e-6)


def test_ridge_is_solved_on_all_training_stimuli_and_says_on_how_many_others_stop(scene):
    maps, voxels, _ = scene
    one, other = (encoding.readout(maps, voxels, "linear", cv=2, validation=share) for share in (0.1, 0.5))
    xr.testing.assert_identical(one.prediction, other.prediction)
    assert one.validation_stimuli.values.tolist() == [0, 0]
    twice = voxels.isel(trial=np.repeat(np.arange(200), 2))
    stopped = encoding.readout(maps, twice, "factorized", cv=2, validation=0.2, training=Training(epochs=3))
    assert stopped.validation_curve.dims == ("fold", "epoch")
    np.testing.assert_allclose(stopped.validation_curve.max("epoch"), stopped.validation)
    assert stopped.validation_stimuli.values.tolist() == [20, 20]  # not their 40 trials
    with pytest.raises(ni.ModelError, match="device 'cuda:99' cannot be used"):
        encoding.readout(maps, voxels, "factorized", device="cuda:99")


def test_units_without_a_region_are_elsewhere(scene):
    maps, voxels, _ = scene
    region = voxels.assign_coords(region=("unit", np.array(["a", "", "b"], dtype=object)))
    quick = {"width": 8, "heads": 2, "hidden": 8, "cv": 2, "training": Training(epochs=1)}
    assert list(encoding.attention_encoder(maps, region, **quick)["roi"].values) == ["a", "b", "elsewhere"]


def test_given_folds_outside_the_trials_are_refused(scene):
    maps, voxels, _ = scene
    with pytest.raises(ni.AnalysisError, match="within the 200 stacked samples"):
        encoding.readout(maps, voxels, "linear", cv=[(np.arange(150), np.arange(150, 201))])


def test_channels_that_are_silent_but_in_a_few_images_do_not_decide_predictions():
    """Their deviations are small, so that what a few images hold would lie a hundred deviations off."""
    rng = np.random.default_rng(0)
    heard = np.maximum(rng.standard_normal((800, 8, 8, 1)), 0)
    clean = heard[:, 2:4, 2:4, 0].reshape(800, 4) @ rng.standard_normal((4, 20))
    voxels = voxels_of(clean + clean.std(0) * rng.standard_normal(clean.shape))
    silent = np.zeros((800, 8, 8, 8))
    for channel in range(8):
        seen = np.r_[rng.choice(600, 2), 600 + rng.choice(200, 2)]
        silent[seen, 3, 3, channel] = [0.01, 0.01, 0.04, 0.04]
    found, without = (
        encoding.readout(maps_of(one), voxels, "linear", cv=[(np.arange(600), np.arange(600, 800))]).correlation.mean()
        for one in (np.concatenate([heard, silent], axis=-1), heard)
    )
    assert float(without) > 0.5
    assert float(found) > 0.95 * float(without)
