"""Linear decoding: agreement with scikit-learn and MNE, honest splits, nulls, labels."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurointerp as ni
from neurointerp import split
from neurointerp.analyses import decoding
from neurointerp.analyses.decoding import linear

SKLEARN = {
    "lda": (LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), None),
    "logistic": (LogisticRegression(C=0.1, max_iter=10_000), 10.0),
    "ridge": (RidgeClassifier(alpha=3.0), 3.0),
}


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("method", SKLEARN)
def test_scores_weights_and_decisions_are_those_of_scikit_learn(method, classes, patterns):
    rec = patterns(count=90, classes=classes)
    estimator, penalty = SKLEARN[method]
    found = linear(rec, "condition", method=method, penalty=penalty, cv=5)
    x, y = rec.values, rec["condition"].values.astype(str)
    model = make_pipeline(StandardScaler(), estimator)
    predicted = np.empty(y.size, dtype=object)
    for fold, (train, test) in enumerate(StratifiedKFold(5).split(x, y)):
        model.fit(x[train], y[train])
        predicted[test] = model.predict(x[test])
        decided = model.decision_function(x[test])
        columns = decided[:, None] if decided.ndim == 1 else decided
        np.testing.assert_allclose(found["decision"].values[:, test], columns.T, rtol=1e-7, atol=1e-7)
        assert float(found.balanced_accuracy[fold]) == pytest.approx(balanced_accuracy_score(y[test], predicted[test]))
        areas = [roc_auc_score(y[test] == name, columns[:, i]) for i, name in enumerate(found["class"].values)]
        assert float(found.auc[fold]) == pytest.approx(np.mean(areas))
    np.testing.assert_array_equal(found["prediction"].values, predicted)
    np.testing.assert_array_equal(found["confusion"].values, confusion_matrix(y, predicted.astype(str)))
    model.fit(x, y)
    np.testing.assert_allclose(
        found["weights"].values, np.atleast_2d(model[-1].coef_) / model[0].scale_, rtol=1e-6, atol=1e-9
    )
    assert list(found["class"].values) == (list(classes) if len(classes) > 2 else ["b"])


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0, None])
def test_fixed_shrinkage_and_more_units_than_samples_are_those_of_scikit_learn(shrinkage, patterns):
    rec = patterns(count=24, units=40, classes=("a", "b", "c"))
    x, y = StandardScaler().fit_transform(rec.values), rec["condition"].values.astype(str)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto" if shrinkage is None else shrinkage).fit(x, y)
    found = linear(rec, "condition", penalty=shrinkage, cv=3)
    np.testing.assert_allclose(found["weights"] * rec.values.std(0), theirs.coef_, rtol=1e-6, atol=1e-8)


def test_the_penalty_is_chosen_inside_the_training_folds_as_a_grid_search_does(patterns):
    rec = patterns(count=100, units=30, strength=0.5, seed=2)
    grid = [1.0, 100.0, 10_000.0]
    found = linear(rec, "condition", method="logistic", penalty=grid, cv=3)
    x, y = rec.values, rec["condition"].values.astype(str)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    for fold, (train, test) in enumerate(StratifiedKFold(3).split(x, y)):
        # of equal scores GridSearchCV takes the first
        search = GridSearchCV(model, {"logisticregression__C": [1 / a for a in grid[::-1]]}, cv=StratifiedKFold(3),
                              scoring="balanced_accuracy").fit(x[train], y[train])  # fmt: skip
        scored = dict(zip(grid[::-1], search.cv_results_["mean_test_score"], strict=True))
        assert scored[float(found.penalty[fold])] >= search.best_score_ - 1e-9
        refit = model.set_params(logisticregression__C=1 / float(found.penalty[fold])).fit(x[train], y[train])
        assert float(found.balanced_accuracy[fold]) == pytest.approx(
            balanced_accuracy_score(y[test], refit.predict(x[test]))
        )


def test_each_moment_and_all_moments_are_decoded_where_the_classes_differ(trials):
    rec = trials()
    each = linear(rec, "condition", time="each", permutations=30)
    mean = each.balanced_accuracy.mean("fold")
    assert (mean[:4] < 0.72).all()
    assert (mean[4:] > 0.85).all()
    assert (each.p_corrected[4:] < 0.05).all()
    assert (each.p_corrected[:4] > 0.05).all()
    assert (each.p_corrected >= each.p_value).all()
    whole = linear(rec, "condition", time="features")
    assert float(whole.balanced_accuracy.mean()) > 0.95
    assert whole["weights"].dims == ("class", "unit", "time")
    assert each["weights"].sizes == whole["weights"].sizes
    sampled = linear(rec, "condition")
    assert sampled["prediction"].dims == ("trial", "time")
    assert 0.6 < float(sampled.balanced_accuracy.mean()) < 0.9  # half of the moments say nothing


def test_moments_of_a_trial_are_never_on_both_sides(trials):
    """Trials with a fingerprint of their own but no class are at chance; samples dealt freely would not be."""
    rec = trials(count=40, strength=0.0)
    rng = np.random.default_rng(1)
    fingerprint = 3 * rng.standard_normal((40, 1, 60))
    values = fingerprint + rng.standard_normal((40, 8, 60))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=100.0, dims=rec.dims,
                       coords={"condition": rec["condition"]})  # fmt: skip
    assert float(linear(rec, "condition").balanced_accuracy.mean()) < 0.65
    assert linear(rec, "condition")["fold"].attrs["split"] == "grouped by trial"
    with pytest.raises(ni.AnalysisError, match=r"fold 0 leaks: 40 groups of 'trial' are in both"):
        linear(rec, "condition", cv=[(np.arange(0, 320, 2), np.arange(1, 320, 2))])
    leaky = StratifiedKFold(5, shuffle=True, random_state=0)
    flat, label = values.reshape(320, 60), np.repeat(rec["condition"].values.astype(str), 8)
    scored = [
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(flat[a], label[a]).score(flat[b], label[b])
        for a, b in leaky.split(flat, label)
    ]
    assert np.mean(scored) > 0.85


@pytest.mark.parametrize("scheme", ["stimulus", "subject", "trial", "blocked"])
def test_shuffled_labels_are_at_chance_in_every_scheme(scheme):
    rng = np.random.default_rng(3)
    label = rng.permutation(np.repeat(["a", "b"], 120)).astype(object)
    stimulus = np.array([f"s{i}" for i in np.arange(240) // 4], dtype=object)
    item = rng.standard_normal((60, 8))[np.arange(240) // 4] * 2  # stimuli have patterns of their own
    coords = {}
    if scheme == "stimulus":
        label = np.array(["a", "b"], dtype=object)[rng.permutation(np.arange(60) % 2)][np.arange(240) // 4]
        coords = {"stimulus": stimulus}
    if scheme == "subject":
        coords = {"subject": np.array([f"p{i}" for i in np.arange(240) // 40], dtype=object)}
    dim = "time" if scheme == "blocked" else "trial"
    rec = ni.recording(
        item + rng.standard_normal((240, 8)), modality="fmri", units="1", dims=(dim, "unit"),
        sampling_rate=1.0 if dim == "time" else None,
        coords={"condition": (dim, label), **{name: (dim, value) for name, value in coords.items()}},
    )  # fmt: skip
    found = linear(rec, "condition", permutations=40, gap=2 if dim == "time" else 0)
    kind = {"stimulus": "grouped by stimulus", "subject": "grouped by subject", "trial": "trials, by class"}
    assert found["fold"].attrs["split"] == kind.get(scheme, "blocked")
    assert 0.33 < float(found.balanced_accuracy.mean()) < 0.67
    assert float(found.p_value) > 0.02
    low, high = found.chance_interval.values
    assert low < 0.5 < high


def test_a_stimulus_on_both_sides_is_refused_and_its_labels_move_as_a_whole(patterns):
    stimulus = np.array([f"s{i // 4:02d}" for i in range(80)], dtype=object)
    rec = patterns(stimulus=stimulus)
    label = np.array(["a", "b"], dtype=object)[(np.arange(80) // 4) % 2]
    rec = rec.assign_coords(condition=("trial", label))
    assert linear(rec, "condition")["fold"].attrs["split"] == "grouped by stimulus"
    with pytest.raises(ni.AnalysisError, match="fold 0 leaks: 20 groups of 'stimulus' are in both train and test"):
        linear(rec, "condition", cv=[(np.arange(0, 80, 2), np.arange(1, 80, 2))])
    with pytest.raises(ni.AnalysisError, match="no class would be in both"):
        linear(rec, "condition", by="condition")
    one = rec.assign_coords(condition=("trial", np.where(np.arange(80) < 4, "a", "b").astype(object)))
    with pytest.raises(ni.AnalysisError, match="a class of 'condition' has a single stimulus"):
        linear(one, "condition")
    # the stimulus itself can be decoded: over its repeats
    assert float(linear(rec, "stimulus").chance) == pytest.approx(1 / 20)


def test_whole_stimulus_exchange_holds_the_false_positive_rate():
    """Stimulus patterns without a class: exchange of single trials would call it significant, of stimuli not."""
    p = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        item = np.repeat(rng.standard_normal((12, 4)) * 3, 8, axis=0)
        label = np.repeat(rng.permutation(["a", "b"] * 6), 8).astype(object)
        rec = ni.recording(
            item + rng.standard_normal(item.shape), modality="fmri", units="1", dims=("trial", "unit"),
            coords={"condition": ("trial", label), "stimulus": ("trial", np.repeat([f"s{i}" for i in range(12)], 8))},
        )  # fmt: skip
        p.append(float(linear(rec, "condition", method="ridge", penalty=1.0, permutations=39).p_value))
    assert np.mean(np.array(p) <= 0.05) <= 0.15
    assert min(p) < 0.5 < max(p)


def test_patterns_are_those_of_mne_up_to_the_variance_of_the_decision(patterns):
    from mne.decoding import LinearModel, get_coef

    rec = patterns()
    found = linear(rec, "condition")
    x = (rec.values - rec.values.mean(0)) / rec.values.std(0)
    model = LinearModel(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    model.fit(x, rec["condition"].values.astype(str))
    theirs = get_coef(model, "patterns_") * rec.values.std(0)
    variance = np.var(rec.values @ found["weights"].values[0], ddof=1)
    np.testing.assert_allclose(found["pattern"].values[0] * variance, theirs.ravel(), rtol=1e-6)


def test_a_pattern_shows_the_signal_and_not_the_noise_that_a_weight_cancels():
    rng = np.random.default_rng(0)
    label = np.array(["a", "b"] * 200)
    noise = rng.standard_normal(400) * 3
    noise -= np.where(label == "b", noise[label == "b"].mean(), noise[label == "a"].mean())  # not by chance either
    values = np.stack([(label == "b") + noise, noise], axis=1) + 0.1 * rng.standard_normal((400, 2))
    rec = ni.recording(
        values, modality="meg", units="fT", dims=("trial", "unit"), coords={"condition": ("trial", label)}
    )
    found = linear(rec, "condition", penalty=0.0)
    weights, pattern = found["weights"].values[0], found["pattern"].values[0]
    assert abs(weights[1]) > 0.9 * abs(weights[0])
    assert abs(pattern[1]) < 0.2 * abs(pattern[0])
    assert found["pattern"].attrs["units"] == "fT"


@pytest.mark.parametrize("method", ["lda", "ridge"])
def test_subjects_and_float32_and_order_of_units(method):
    rng = np.random.default_rng(5)
    label = np.array(["a", "b"] * 15, dtype=object)
    values = rng.standard_normal((4, 30, 6)) + 1.5 * (label == "b")[None, :, None] * np.array([1, 0, 0, 0, 0, 1])
    rec = ni.recording(values, modality="fmri", units="1", dims=("subject", "trial", "unit"),
                       coords={"condition": ("trial", label), "subject": ["p", "q", "r", "s"]})  # fmt: skip
    found = linear(rec, "condition", method=method)
    assert found.sizes["fold"] == 4
    assert found["fold"].attrs["split"] == "grouped by subject"
    assert found["prediction"].dims == ("subject", "trial")
    folds = split.leave_one_out(rec, by="subject")
    given = linear(rec, "condition", method=method, cv=folds)
    np.testing.assert_allclose(np.sort(given.balanced_accuracy), np.sort(found.balanced_accuracy))
    turned = linear(rec.isel(unit=[3, 1, 5, 0, 2, 4]), "condition", method=method)
    np.testing.assert_allclose(turned["weights"].sel(unit=found["unit"]), found["weights"], rtol=1e-6, atol=1e-9)
    single = linear(rec.astype(np.float32).assign_attrs(rec.attrs), "condition", method=method)
    np.testing.assert_allclose(single["weights"], found["weights"], rtol=1e-4, atol=1e-5)
    lazy = linear(rec.chunk({"trial": 10}), "condition", method=method)
    np.testing.assert_array_equal(lazy["weights"], found["weights"])


def test_subjects_do_not_hide_a_leak_between_moments_of_a_trial():
    rng = np.random.default_rng(0)
    rec = ni.recording(
        rng.standard_normal((2, 6, 4, 3)), modality="eeg", units="V", sampling_rate=10.0,
        dims=("subject", "trial", "time", "unit"),
        coords={"condition": ("trial", ["a", "b"] * 3), "subject": ["p", "q"]},
    )  # fmt: skip
    odd = np.arange(48) % 2 == 1
    with pytest.raises(ni.AnalysisError, match="fold 0 leaks: moments of 12 trials are in both train and test"):
        linear(rec, "condition", cv=[(np.flatnonzero(odd), np.flatnonzero(~odd))])
    within = [(np.flatnonzero(np.arange(48) % 24 < 16), np.flatnonzero(np.arange(48) % 24 >= 16))]
    assert linear(rec, "condition", cv=within)["fold"].attrs["split"] == "given"
    with pytest.raises(ni.AnalysisError, match="fold 0 leaks: 2 groups of 'subject' are in both"):
        linear(rec, "condition", cv=within, by="subject")


def test_draws_in_parts_are_draws_at_once(trials, monkeypatch):
    from neurointerp.analyses.decoding import _cross

    rec = trials(count=20)
    whole = linear(rec, "condition", time="each", method="ridge", permutations=7)
    monkeypatch.setattr(_cross, "BATCH", 20)
    parts = linear(rec, "condition", time="each", method="ridge", permutations=7)
    for name in ("null", "decision", "auc"):
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-12)


def test_bad_input_is_refused_before_any_work(patterns, trials):
    rec = patterns()
    for arguments, message in [
        ({"method": "svm"}, "'lda', 'logistic' or 'ridge'"),
        ({"penalty": -1.0}, r"within \[0, 1\]"),
        ({"penalty": [1.0, 0.0], "method": "ridge"}, "finite and above 0"),
        ({"time": "each"}, "needs trials in time"),
        ({"time": "all"}, "'samples', 'each' or 'features'"),
        ({"cv": 1}, "at least 2"),
        ({"by": "run"}, "no groups 'run'"),
        ({"permutations": -1}, "permutations is -1"),
        ({"permutations": 3, "exchange": "condition"}, "no permutation null"),
    ]:
        with pytest.raises(ni.AnalysisError, match=message):
            linear(rec, "condition", **arguments)
    with pytest.raises(ni.AnalysisError, match="no coordinate 'colour' on the samples"):
        linear(rec, "colour")
    holed = rec.copy(deep=True)
    holed[3, 2] = np.nan
    with pytest.raises(ni.AnalysisError, match="1 missing values in 1 of 6 units"):
        linear(holed, "condition")
    with pytest.raises(ni.AnalysisError, match="has the one class 'a'"):
        linear(rec.isel(trial=rec["condition"].values == "a"), "condition")
    alone = rec.assign_coords(condition=("trial", np.append("z", rec["condition"].values[1:]).astype(object)))
    with pytest.raises(ni.AnalysisError, match="class 'z' of 'condition' has a single sample"):
        linear(alone, "condition")
    numbers = rec.assign_coords(score=("trial", np.where(np.arange(80) == 3, np.nan, np.arange(80) % 2)))
    with pytest.raises(ni.AnalysisError, match="1 samples have no label in 'score'"):
        linear(numbers, "score")
    series = ni.recording(rec.values, modality="fmri", units="1", sampling_rate=1.0,
                          coords={"condition": ("time", np.repeat(["a", "b"], 40))})  # fmt: skip
    with pytest.raises(ni.AnalysisError, match="fold 0 has no training sample of class 'a'"):
        linear(series, "condition", cv=2)


def test_a_constant_unit_has_no_weight(patterns):
    rec = patterns()
    flat = rec.copy(data=np.where(np.arange(6) == 2, 7.3, rec.values))
    for method in SKLEARN:
        found = linear(flat, "condition", method=method, penalty=SKLEARN[method][1])
        assert abs(float(found["weights"].isel(unit=2, **{"class": 0}))) < 1e-9
        assert np.isfinite(found["pattern"]).all()


@pytest.mark.parametrize("dim", ["trial", "unit"])
def test_a_recording_that_holds_nothing_is_refused(dim, patterns, trials):
    none = {dim: slice(0, 0)}
    ids = [f"s{i}" for i in range(80)]
    for call in (
        lambda: decoding.linear(patterns().isel(none), "condition"),
        lambda: decoding.searchlight(patterns().assign_coords(x=("unit", np.arange(6.0))).isel(none), "condition", 4.0),
        lambda: decoding.time_generalisation(trials().isel(none), "condition"),
        lambda: decoding.separable(trials().isel(none), "condition"),
        lambda: decoding.retrieval(patterns(stimulus=ids).isel(none), patterns(), k=[1]),
    ):
        with pytest.raises(ni.AnalysisError, match="holds no values"):
            call()
