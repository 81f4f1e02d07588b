"""Ridge decoding: agreement with scikit-learn and MNE, lags, honest splits, nulls."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurointerp as ni
from neurointerp import split
from neurointerp.analyses.decoding import ridge


@pytest.fixture
def pair():
    """Give a maker of a brain that follows a stimulus two samples later, through a mixing and noise."""

    def make(samples=400, units=12, targets=3, noise=1.0, lag=2, seed=0):
        rng = np.random.default_rng(seed)
        stimulus = rng.standard_normal((samples + lag, targets))
        values = stimulus[:samples] @ rng.standard_normal((targets, units)) + noise * rng.standard_normal(
            (samples, units)
        )
        common = {"sampling_rate": 10.0}
        return (
            ni.recording(values, modality="meg", units="fT", **common),
            ni.recording(
                stimulus[lag:], modality="stimulus", units="Pa", unit=[f"f{i}" for i in range(targets)], **common
            ),
        )

    return make


@pytest.mark.parametrize("units", [12, 500])
@pytest.mark.parametrize("standardize", [True, False])
def test_scores_weights_and_predictions_are_those_of_scikit_learn(pair, units, standardize):
    brain, stimulus = pair(units=units, lag=0, noise=3.0)
    found = ridge(brain, stimulus, alphas=40.0, standardize=standardize)
    x, y = brain.values, stimulus.values
    model = make_pipeline(StandardScaler(with_std=standardize), Ridge(alpha=40.0))
    for fold, (train, test) in enumerate(split.blocked(brain, 5)):
        predicted = model.fit(x[train], y[train]).predict(x[test])
        np.testing.assert_allclose(found["prediction"].values[test], predicted, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(found["score"].values[fold], r2_score(y[test], predicted, multioutput="raw_values"))
    model.fit(x, y)
    scale = model[0].scale_ if standardize else 1.0
    np.testing.assert_allclose(found["weights"].values, model[-1].coef_ / scale, rtol=1e-6, atol=1e-9)
    assert found["weights"].attrs["units"] == "(Pa) / (fT)"
    assert found["prediction"].attrs["units"] == "Pa"


def test_each_target_has_its_own_alpha_chosen_inside_the_training_samples(pair):
    brain, stimulus = pair(lag=0, noise=4.0, samples=240, units=60)
    grid = np.logspace(-1, 4, 8)
    found = ridge(brain, stimulus, alphas=grid, cv=4, standardize=False)
    for fold, (train, _) in enumerate(split.blocked(brain, 4)):
        inner = split.blocked(brain.isel(time=slice(0, train.size)), 4)
        for column in range(3):
            model = RidgeCV(alphas=grid, cv=inner, scoring="neg_mean_squared_error")
            chosen = model.fit(brain.values[train], stimulus.values[train, column]).alpha_
            assert found["alpha"].values[fold, column] == pytest.approx(chosen)


def test_lags_reach_the_activity_that_follows_and_stay_in_their_segment(pair):
    brain, stimulus = pair()
    without = ridge(brain, stimulus).correlation.mean()
    late = ridge(brain, stimulus, lags=[0, -1, -2, -3])
    assert float(without) < 0.2 < 0.8 < float(late.correlation.mean())
    power = (late["weights"] ** 2).sum(("target", "unit"))
    assert int(power["lag"][int(power.argmax("lag"))]) == -2
    assert np.isnan(late["prediction"].values[-3:]).all()
    parts = brain.assign_coords(segment=("time", np.repeat([0, 1], 200)))
    held = ridge(parts, stimulus.assign_coords(segment=parts["segment"]), lags=[-2])["prediction"].values
    assert np.isnan(held[[198, 199, 398, 399]]).all()
    assert np.isfinite(held[:198]).all()


def test_reconstruction_with_lags_is_that_of_mne(pair):
    from mne.decoding import ReceptiveField

    brain, stimulus = pair()
    train, test = np.arange(300), np.arange(310, 390)
    found = ridge(brain, stimulus, lags=[0, -1, -2, -3], alphas=20.0, cv=[(train, test)], standardize=False)
    # MNE keeps incomplete rows and fills them with zeros; here they are left out, so give it complete ones
    model = ReceptiveField(
        0, 3, 1.0, feature_names=None, estimator=Ridge(alpha=20.0), scoring="corrcoef", patterns=False
    )
    model.fit(brain.values[:301][::-1].copy(), stimulus.values[:301][::-1].copy())
    predicted = model.predict(brain.values[310:393][::-1].copy())[::-1][:80]
    r = [np.corrcoef(predicted[:, i], found["prediction"].values[test, i])[0, 1] for i in range(3)]
    assert min(r) > 0.999


def test_permutations_find_what_is_there_and_nothing_else(pair):
    brain, stimulus = pair(lag=0, samples=200, noise=2.0)
    mixed = stimulus.copy(
        data=np.concatenate([stimulus.values[:, :2], pair(seed=9, samples=200)[1].values[:, :1]], axis=1)
    )
    found = ridge(brain, mixed, permutations=39)
    assert found["p_value"].values[:2].tolist() == [0.025, 0.025]
    assert found["p_value"].values[2] > 0.05
    assert found["null"].dims == ("draw", "target")
    assert ni.digest(ridge(brain, mixed, permutations=39)) == ni.digest(found)
    assert ni.digest(ridge(brain, mixed, permutations=39, seed=1)) != ni.digest(found)


def test_a_null_of_smooth_series_is_shifted_not_shuffled():
    """Two slow series correlate by chance: circular shifts know it."""
    p = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        kernel = np.hanning(40)
        slow = np.stack([np.convolve(rng.standard_normal(440), kernel, "valid") for _ in range(5)], axis=1)[:400]
        brain = ni.recording(slow[:, :4], modality="fmri", units="1", sampling_rate=1.0)
        stimulus = ni.recording(slow[:, 4:], modality="stimulus", units="1", sampling_rate=1.0, unit=["s"])
        p.append(float(ridge(brain, stimulus, alphas=100.0, gap=40, permutations=39).p_value[0]))
    assert np.mean(np.array(p) <= 0.05) <= 0.2
    assert np.mean(p) > 0.3


def test_a_coordinate_is_a_target_and_stimuli_are_held_out_whole():
    rng = np.random.default_rng(0)
    value = rng.standard_normal(15)
    item = np.arange(60) % 15
    rec = ni.recording(
        value[item][:, None] * rng.standard_normal(8) + rng.standard_normal((60, 8)), modality="fmri", units="1",
        dims=("trial", "unit"),
        coords={"valence": ("trial", value[item]), "stimulus": ("trial", [f"s{i:02d}" for i in item])},
    )  # fmt: skip
    found = ridge(rec, "valence", permutations=39)
    assert found["fold"].attrs["split"] == "grouped by stimulus"
    assert np.corrcoef(found["prediction"].values[:, 0], value[item])[0, 1] > 0.7
    assert float(found.p_value[0]) == 0.025
    # patterns of stimuli without a value: at chance, where trials on both sides would find them again
    blank = rec.copy(data=3 * rng.standard_normal((15, 8))[item] + rng.standard_normal((60, 8)))
    leaky = np.concatenate([
        Ridge(10.0).fit(blank.values[a], value[item][a]).predict(blank.values[b])
        for a, b in [(np.arange(30, 60), np.arange(30)), (np.arange(30), np.arange(30, 60))]
    ])  # fmt: skip
    assert np.corrcoef(leaky, value[item])[0, 1] > 0.4
    assert float(ridge(blank, "valence", permutations=39).p_value[0]) > 0.05
    with pytest.raises(ni.AnalysisError, match="15 groups of 'stimulus' are in both"):
        ridge(rec, "valence", cv=[(np.arange(30), np.arange(30, 60))])


def test_bad_input_is_refused(pair):
    brain, stimulus = pair()
    with pytest.raises(ni.AlignmentError):
        ridge(brain, stimulus.isel(time=slice(0, 100)))
    for arguments, message in [
        ({"alphas": [1.0, -1.0]}, "finite numbers above 0"),
        ({"lags": [0, 0]}, "different whole numbers"),
        ({"lags": [-500]}, "leave no sample"),
        ({"cv": 1}, "at least 2"),
        ({"gap": -1}, "gap is -1"),
    ]:
        with pytest.raises(ni.AnalysisError, match=message):
            ridge(brain, stimulus, **arguments)
    holed = stimulus.copy(deep=True)
    holed[4, 0] = np.nan
    with pytest.raises(ni.AnalysisError, match="1 missing values"):
        ridge(brain, holed)
    named = brain.assign_coords(condition=("time", ["a", "b"] * 200))
    with pytest.raises(ni.AnalysisError, match="not numbers"):
        ridge(named, "condition")


def test_targets_of_other_stimuli_infinite_ones_and_nothing_are_refused(pair):
    brain, stimulus = pair(samples=40)
    names = np.repeat([f"s{i}" for i in range(8)], 5)
    known = brain.assign_coords(stimulus=("time", names))
    ridge(known, stimulus.assign_coords(stimulus=("time", names)), cv=2, alphas=1.0)
    with pytest.raises(ni.AlignmentError, match=r"decoding.ridge: 'stimulus' differs .* on 40 of 40 samples"):
        ridge(known, stimulus.assign_coords(stimulus=("time", names[::-1])))
    level = np.arange(40.0)
    level[[3, 7]] = np.inf
    with pytest.raises(ni.AnalysisError, match="2 of 40 values of 'level' are infinite"):
        ridge(brain.assign_coords(level=("time", level)), "level")
    for given in ((brain.isel(unit=slice(0, 0)), stimulus), (brain, stimulus.isel(unit=slice(0, 0)))):
        with pytest.raises(ni.AnalysisError, match="holds no values"):
            ridge(*given)
