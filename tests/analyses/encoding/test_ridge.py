"""Ridge encoding: planted weights, honest folds, labels."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurointerp as ni
from neurointerp import split
from neurointerp.analyses import encoding
from neurointerp.errors import AlignmentError, AnalysisError


def _planted(**options):
    tree = ni.synthetic.linear_responses(**options)
    return tree["recordings/features/recording"], tree["recordings/responses/recording"], tree["truth"]


def _recording(values, modality="fmri", **options):
    dims = options.setdefault("dims", ("time", "unit"))
    if "time" in dims and "time" not in options:
        options.setdefault("sampling_rate", 1.0)
    return ni.recording(values, modality=modality, units="1", **options)


def _noise(samples=200, units=6, seed=0, **options):
    return _recording(np.random.default_rng(seed).standard_normal((samples, units)), **options)


def _smooth(samples, units, seed, width=8.0):
    return gaussian_filter1d(np.random.default_rng(seed).standard_normal((samples, units)), width, axis=0)


def test_planted_weights_are_recovered_and_the_ceiling_is_reached():
    features, responses, truth = _planted(n_samples=3000, n_features=15, n_units=8, snr=2.0)
    found = encoding.ridge(features, responses)
    error = found.weights - truth["weights"]
    assert float((error**2).sum() / (truth["weights"] ** 2).sum()) < 0.01
    np.testing.assert_allclose(found.score.mean("fold"), truth["ceiling"], atol=0.03)


def test_planted_lags_are_recovered_under_their_labels():
    features, responses, truth = _planted(n_samples=3000, n_features=6, n_units=5, lags=(0, 2, 5), snr=5.0)
    found = encoding.ridge(features, responses, lags=(0, 2, 5))
    assert list(found.feature.values) == list(truth["weights"].feature.values)
    assert found.feature_lag.values.tolist() == np.repeat([0, 2, 5], 6).tolist()
    assert list(found.feature_unit.values) == list(features.unit.values) * 3
    np.testing.assert_allclose(found.weights.values, truth["weights"].values, atol=0.07)
    assert float(found.score.mean()) > float(encoding.ridge(features, responses).score.mean()) + 0.2


def test_a_fixed_alpha_gives_the_weights_and_scores_of_scikit_learn():
    features, responses, _ = _planted(n_samples=150, n_features=10, n_units=4)
    x, y = features.values * 3.0 + 1.0, responses.values
    found = encoding.ridge(features.copy(data=x), responses, alphas=20.0)
    scaler = StandardScaler().fit(x)
    reference = Ridge(20.0).fit(scaler.transform(x), y)
    np.testing.assert_allclose(found.weights, reference.coef_.T / scaler.scale_[:, None], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        x @ found.weights.values + found.intercept.values, reference.predict(scaler.transform(x))
    )
    for fold, (train, test) in enumerate(split.blocked(responses, 5)):
        scaler = StandardScaler().fit(x[train])
        predicted = Ridge(20.0).fit(scaler.transform(x[train]), y[train]).predict(scaler.transform(x[test]))
        np.testing.assert_allclose(found.prediction[test], predicted, atol=1e-8)
        np.testing.assert_allclose(found.score[fold], r2_score(y[test], predicted, multioutput="raw_values"), atol=1e-8)
        expected = [np.corrcoef(y[test, i], predicted[:, i])[0, 1] for i in range(4)]
        np.testing.assert_allclose(found.correlation[fold], expected, atol=1e-8)


def test_noise_units_get_a_large_alpha_and_clean_ones_a_small_one():
    features, responses, _ = _planted(n_samples=400, n_features=10, n_units=6, snr=[0, 50, 0, 50, 0, 50])
    found = encoding.ridge(features, responses)
    noise, clean = found.alpha[::2], found.alpha[1::2]
    assert float(noise.min()) > 10 * float(clean.max())


@pytest.mark.parametrize("features", [10, 150])
def test_responses_of_pure_noise_score_zero_or_less_on_average(features):
    scores = [
        float(encoding.ridge(_noise(120, features, seed), _noise(120, 20, 100 + seed)).score.mean())
        for seed in range(4)
    ]
    assert max(scores) <= 0.0
    assert min(scores) > -0.2


def test_smooth_noise_scores_only_where_folds_leak():
    features, responses = _recording(_smooth(400, 40, 0)), _recording(_smooth(400, 5, 1))
    shuffled = np.array_split(np.random.default_rng(0).permutation(400), 5)
    leaky = [(np.setdiff1d(np.arange(400), test), test) for test in shuffled]
    assert float(encoding.ridge(features, responses, cv=leaky, alphas=0.1).score.mean()) > 0.6
    assert float(encoding.ridge(features, responses, gap=20, alphas=0.1).score.mean()) <= 0.0
    assert float(encoding.ridge(features, responses, gap=20).score.mean()) <= 0.0


def test_nothing_of_a_test_block_or_its_gap_reaches_its_predictions():
    features, responses, _ = _planted(n_samples=100, n_features=6, n_units=3, lags=(0, 3))
    before = encoding.ridge(features, responses, lags=(0, 3)).prediction
    train, test = split.blocked(responses, 5, gap=3)[2]
    changed = responses.copy(deep=True)
    hidden = np.setdiff1d(np.arange(100), train)
    changed[hidden] = 1e3 * np.random.default_rng(0).standard_normal((len(hidden), 3))
    assert len(hidden) == len(test) + 6
    after = encoding.ridge(features, changed, lags=(0, 3)).prediction
    np.testing.assert_array_equal(after[test], before[test])
    assert not np.array_equal(after[train[5:]], before[train[5:]])


def test_scales_of_features_come_from_training_samples():
    features, responses, _ = _planted(n_samples=100, n_features=6, n_units=3)
    before = encoding.ridge(features, responses).prediction
    changed = features.copy(deep=True)
    changed[45] = 1e4
    after = encoding.ridge(changed, responses).prediction
    same = np.r_[40:45, 46:60]
    np.testing.assert_allclose(after[same], before[same], rtol=1e-10)


def test_stimuli_that_return_are_held_out_whole():
    rng = np.random.default_rng(0)
    stimulus = np.array([f"s{i}" for i in rng.permutation(np.repeat(np.arange(12), 4))])
    own = rng.standard_normal((12, 30))[[int(s[1:]) for s in stimulus]]
    values = rng.standard_normal((12, 5))[[int(s[1:]) for s in stimulus]] + 0.1 * rng.standard_normal((48, 5))
    coords = {"stimulus": ("trial", stimulus)}
    features = _recording(own, "stimulus", dims=("trial", "unit"), coords=coords)
    responses = _recording(values, dims=("trial", "unit"), coords=coords)
    honest = encoding.ridge(features, responses)
    assert honest.fold.attrs["split"] == "grouped by stimulus"
    assert float(honest.score.mean()) < 0.1
    leaky = encoding.ridge(features.drop_vars("stimulus"), responses.drop_vars("stimulus"))
    assert leaky.fold.attrs["split"] == "blocked"
    assert float(leaky.score.mean()) > 0.5
    for fold, (_, test) in enumerate(split.grouped(responses)):
        expected = r2_score(responses.values[test], honest.prediction.values[test], multioutput="raw_values")
        np.testing.assert_allclose(honest.score[fold], expected, atol=1e-10)


def test_few_stimuli_give_fewer_folds_and_one_is_refused(recordings):
    recording = recordings["stimulus"]
    assert encoding.ridge(recording).sizes["fold"] == 3
    same = recording.assign_coords(stimulus=("trial", ["a"] * 6))
    with pytest.raises(AnalysisError, match="every sample has the same 'stimulus', which returns"):
        encoding.ridge(same)


def test_a_stimulus_shown_once_does_not_group():
    labels = np.repeat(["a", "b", "c", "d"], 25).astype(object)
    features = _noise(100, 4, coords={"stimulus": ("time", labels)})
    assert encoding.ridge(features, _noise(100, 2, 1)).fold.attrs["split"] == "blocked"
    by_subject = _recording(
        np.random.default_rng(0).standard_normal((3, 20, 4)),
        dims=("subject", "time", "unit"),
        coords={"stimulus": ("time", np.repeat(["a", "b"], 10).astype(object))},
    )
    assert encoding.ridge(by_subject).fold.attrs["split"] == "blocked"


def test_lags_do_not_cross_segments_and_what_has_no_past_is_not_predicted():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((120, 3))
    segment = np.repeat([0, 1, 2], 40)
    past = np.concatenate([np.r_[np.full((2, 3), 50.0), values[s][:-2]] for s in np.split(np.arange(120), 3)])
    coords = {"segment": ("time", segment)}
    features = _recording(values, coords=coords)
    responses = _recording(past, coords=coords)
    found = encoding.ridge(features, responses, lags=(2,))
    assert float(found.score.min()) > 0.99
    missing = np.isnan(found.prediction.values).all(axis=1)
    assert np.flatnonzero(missing).tolist() == [0, 1, 40, 41, 80, 81]
    np.testing.assert_allclose(found.weights.values, np.eye(3), atol=0.01)
    ahead = encoding.ridge(responses, features, lags=(-2,))
    assert float(ahead.score.min()) > 0.99
    assert np.flatnonzero(np.isnan(ahead.prediction.values).all(axis=1)).tolist() == [38, 39, 78, 79, 118, 119]


def test_self_prediction_finds_an_autoregressive_system_and_nothing_in_its_surrogate():
    rng = np.random.default_rng(0)
    rotation = 0.95 * np.array([[0.0, 1.0], [-1.0, 0.0]])
    values = np.zeros((1000, 2))
    for t in range(1, 1000):
        values[t] = rotation @ values[t - 1] + rng.standard_normal(2)
    recording = _recording(values)
    found = encoding.ridge(recording)
    assert list(found.feature.values) == ["u0@1", "u1@1"]
    np.testing.assert_allclose(found.weights.values.T, rotation, atol=0.05)
    assert found.attrs["parameters"]["gap"] == 1
    assert found.attrs["recording"] == ni.digest(recording)
    assert float(encoding.ridge(ni.surrogate.circular_shift(recording)).score.mean()) < 0.1


def test_labels_coordinates_and_units_of_the_result():
    features, responses, _ = _planted(n_samples=80, n_features=3, n_units=2)
    features = features.assign_coords(layer=("unit", [4, 5, 6])).assign_attrs(units="V")
    responses = responses.assign_coords(region=("unit", np.array(["a", "b"], dtype=object)))
    found = encoding.ridge(features, responses, cv=4, alphas=[1.0, 10.0], gap=2, standardize=False)
    sizes = {"weights": (3, 2), "intercept": (2,), "alpha": (2,), "score": (4, 2), "correlation": (4, 2)}
    assert {name: found[name].shape for name in sizes} == sizes
    assert found.prediction.dims == responses.dims
    assert list(found.feature.values) == list(features.unit.values)
    assert found.feature_layer.values.tolist() == [4, 5, 6]
    assert list(found["region"].values) == ["a", "b"]
    assert found.weights.attrs["units"] == "(1) / (V)"
    assert found.attrs["recording"] == [ni.digest(features), ni.digest(responses)]
    assert found.attrs["parameters"] == {
        "alphas": [1.0, 10.0], "cv": 4, "lags": [0], "standardize": False, "gap": 2, "device": None,
    }  # fmt: skip


@pytest.mark.parametrize("dims", [("subject", "time", "unit"), ("trial", "time", "unit"), ("subject", "trial", "unit")])
def test_stacked_recordings_give_predictions_on_their_own_dims(dims):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 25, 3))
    features, responses = (_recording(v, dims=dims) for v in (x, x @ rng.standard_normal((3, 2))))
    found = encoding.ridge(features, responses)
    np.testing.assert_allclose(found.prediction.values, responses.values, atol=0.05)


def test_default_alphas_scale_with_samples_and_feature_variance():
    features, responses, _ = _planted(n_samples=100, n_features=3, n_units=2)
    grid = np.array(encoding.ridge(features, responses).attrs["parameters"]["alphas"])
    np.testing.assert_allclose(grid, 100 * np.logspace(-3, 5, 17))
    raw = [encoding.ridge(features.copy(data=features * scale), responses, standardize=False) for scale in (1.0, 1e3)]
    np.testing.assert_allclose(raw[1].score, raw[0].score, rtol=1e-6)


def test_given_folds_are_used_and_overlapping_predictions_averaged():
    features, responses, _ = _planted(n_samples=60, n_features=3, n_units=2)
    all_samples, test = np.arange(60), np.arange(10)
    folds = [(all_samples[10:40], test), (all_samples[30:], test)]
    found = encoding.ridge(features, responses, cv=iter(folds), alphas=1.0)
    alone = [encoding.ridge(features, responses, cv=[fold], alphas=1.0).prediction for fold in folds]
    np.testing.assert_allclose(found.prediction[:10], (alone[0] + alone[1])[:10] / 2)
    assert np.isnan(found.prediction[10:]).all()
    assert found.fold.attrs["split"] == "given"
    assert found.attrs["parameters"]["cv"] == "2 given folds"


def test_a_constant_response_has_no_score_and_is_predicted_as_it_is():
    features, responses, _ = _planted(n_samples=60, n_features=3, n_units=2)
    responses = responses.copy(deep=True)
    responses[:, 1] = 0.1
    found = encoding.ridge(features, responses)
    assert np.isnan(found.score[:, 1]).all()
    assert np.isfinite(found.score[:, 0]).all()
    np.testing.assert_allclose(found.prediction[:, 1], 0.1)


def test_permuted_units_permute_the_answer():
    features, responses, _ = _planted(n_samples=120, n_features=7, n_units=5)
    rows, columns = (np.random.default_rng(i).permutation(size) for i, size in enumerate((7, 5)))
    found = encoding.ridge(features.isel(unit=rows), responses.isel(unit=columns))
    expected = encoding.ridge(features, responses).isel(unit=columns, feature=rows)
    assert list(found.feature.values) == list(expected.feature.values)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-10)


def test_equal_bytes_float32_and_a_store_round_trip(tmp_path):
    features, responses, _ = _planted(n_samples=80, n_features=3, n_units=2)
    features, responses = features.astype(np.float32), responses.astype(np.float32)
    found = encoding.ridge(features, responses, lags=(0, 1))
    assert found.prediction.dtype == found.weights.dtype == np.float32
    assert ni.digest(found) == ni.digest(encoding.ridge(features, responses, lags=(0, 1)))
    assert ni.open(ni.save(found, tmp_path / "ridge.zarr")).identical(found)
    precise = encoding.ridge(features.astype(float), responses.astype(float), lags=(0, 1))
    np.testing.assert_allclose(found.score, precise.score, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"high_pass": 40.0}, {"lags": (0, 1)}])
def test_a_torch_device_gives_what_numpy_gives(options):
    pytest.importorskip("torch")
    features, responses, _ = _planted(n_samples=150, n_features=6, n_units=4)
    expected = encoding.ridge(features, responses, **options)
    found = encoding.ridge(features, responses, device="cpu", **options)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-9)


def test_a_high_pass_takes_drift_from_each_side_alone_and_refuses_what_leaves_nothing():
    features, responses, _ = _planted(n_samples=400, n_features=6, n_units=4, snr=5.0)
    drift = 5.0 * np.sin(np.arange(400) / 400 * 3.0)[:, None]
    drifting = responses.copy(data=responses.values + drift)
    assert float(encoding.ridge(features, drifting).score.mean()) < -1.0
    clean, filtered = (encoding.ridge(features, one, high_pass=60.0) for one in (responses, drifting))
    assert float(filtered.score.mean()) > 0.7
    np.testing.assert_allclose(filtered.score, clean.score, atol=0.02)
    assert "intercept" not in filtered
    changed = drifting.copy(deep=True)
    changed[160:240] = 1e3 * np.random.default_rng(0).standard_normal((80, 4))
    again = encoding.ridge(features, changed, high_pass=60.0).prediction
    np.testing.assert_array_equal(again[160:240], filtered.prediction[160:240])
    with pytest.raises(AnalysisError, match="has nothing left after a high-pass"):
        encoding.ridge(features, drifting, high_pass=2.0)
    with pytest.raises(AnalysisError, match="needs a time dim with a regular clock"):
        encoding.ridge(features, drifting, high_pass=-1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lags": (0, 1), "responses": None}, "lag 0 would predict a unit from its own present or future"),
        ({"lags": (1, 1)}, r"lags must be one or more different whole numbers; found \(1, 1\)"),
        ({"lags": (0.5,)}, "lags must be one or more different whole numbers"),
        ({"lags": ()}, "lags must be one or more different whole numbers"),
        ({"lags": (200,)}, r"lags \[200\] leave no sample of dims \('time',\); the longest stretch"),
        ({"alphas": [1.0, 0.0]}, r"alphas must be finite numbers above 0; found \[1.0, 0.0\]"),
        ({"alphas": []}, "alphas must be finite numbers above 0"),
        ({"cv": 1}, "folds is 1: a whole number, at least 2"),
        ({"cv": 300}, "200 samples cannot make 300 folds"),
        ({"cv": []}, "cv holds no folds"),
        ({"cv": [([0, 1], [1, 2])]}, "cv fold 0 leaks: 1 samples are in both train and test"),
        ({"cv": [([0, 1], [200])]}, "cv fold 0: indices must lie within the 200 stacked samples"),
        ({"cv": [([0.5], [2])]}, "cv fold 0: train and test must be one-dimensional int arrays"),
        ({"cv": [([5, 6], [0])], "lags": (1,)}, "2 training and 0 test samples have all lags"),
        ({"gap": -1}, "gap is -1: a whole number of samples"),
        ({"gap": 190}, "leaves none to train on"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    features = _noise()
    arguments = {"responses": _noise(seed=1)} | options
    with pytest.raises(AnalysisError, match=message):
        encoding.ridge(features, **arguments)


def test_recordings_that_do_not_fit_are_refused():
    features = _noise()
    with pytest.raises(AlignmentError, match="'time' differs: 1 of 200 labels"):
        encoding.ridge(features, features[1:])
    holes = features.copy(deep=True)
    holes[3, 2] = np.nan
    for pair in ((holes, features), (features, holes)):
        with pytest.raises(AnalysisError, match=r"encoding\.ridge: 1 missing values in 1 of 6 units"):
            encoding.ridge(*pair)
    trials = _recording(features.values, dims=("trial", "unit"))
    with pytest.raises(AnalysisError, match=r"lags \[1\] leave no sample of dims \('trial',\)"):
        encoding.ridge(trials)


def test_one_hemisphere_predicts_the_other_and_not_its_surrogate(mirror):
    table = pd.read_csv(mirror / "fmri/seaborn/brain_networks.csv", header=[0, 1, 2], index_col=0)
    recording = _recording(
        table.values,
        sampling_rate=0.5,
        unit=["-".join(key) for key in table],
        coords={"hemisphere": ("unit", [key[2] for key in table])},
    )
    left, right = (recording.isel(unit=recording.hemisphere.values == side) for side in ("lh", "rh"))
    assert float(encoding.ridge(left, right, gap=5).score.mean()) > 0.3
    null = encoding.ridge(left, ni.surrogate.circular_shift(right), gap=5)
    assert float(null.score.mean()) <= 0.0


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_a_long_recording_takes_little_memory_beside_itself(offset):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((100_000, width), dtype=np.float32) + np.float32(offset) for width in (24, 8))
    pair = [ni.recording(one, modality="eeg", units="V", sampling_rate=100.0) for one in (x, y)]
    held = sum(rec.nbytes for rec in pair)
    encoding.ridge(*(rec[:500] for rec in pair))  # libraries are loaded
    tracemalloc.start()
    try:
        found = encoding.ridge(*pair, alphas=np.logspace(0, 4, 5), cv=3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.prediction.nbytes == y.nbytes
    # folds, predictions and blocks of rows; features far from zero are moved there, a copy
    assert peak < (2.0 if offset == 0 else 3.0) * held


def test_a_long_recording_has_the_scores_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20_000, 5))
    y = x @ rng.standard_normal((5, 3)) + rng.standard_normal((20_000, 3)) * [1.0, 10.0, 100.0]
    pair = [ni.recording(one, modality="eeg", units="V", sampling_rate=100.0) for one in (x, y)]
    alphas = np.logspace(0, 6, 4)
    found = encoding.ridge(*pair, alphas=alphas, cv=3)
    folds = ni.split.blocked(pair[0], 3)
    for unit in (0, 2):
        model = make_pipeline(StandardScaler(), Ridge())
        search = GridSearchCV(model, {"ridge__alpha": alphas}, cv=folds, scoring="neg_mean_squared_error")
        search.fit(x, y[:, unit])
        assert float(found.alpha[unit]) == search.best_params_["ridge__alpha"]
        own = search.best_estimator_[-1].coef_ / search.best_estimator_[0].scale_
        np.testing.assert_allclose(found.weights[:, unit], own, rtol=1e-8)
