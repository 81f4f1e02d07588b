"""Time generalisation: agreement with MNE (simulated and real EEG), codes that last and move, nulls over both times."""

import numpy as np
import pytest
from mne.decoding import GeneralizingEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurointerp as ni
from neurointerp.analyses.decoding import linear, time_generalisation
from neurointerp.loaders.datasets import schalk2004

LDA = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def theirs(rec, target, estimator, folds, scoring):
    """Score MNE's estimator on the folds that were taken."""
    x, y = rec.transpose("trial", "unit", "time").values.astype(np.float64), rec[target].values.astype(str)
    model = GeneralizingEstimator(make_pipeline(StandardScaler(), estimator), scoring=scoring, verbose=False)
    return np.stack([model.fit(x[train], y[train]).score(x[test], y[test]) for train, test in folds])


def folds_of(rec, count):
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(count).split(np.zeros(rec.sizes["trial"]), rec["condition"].values.astype(str)))


@pytest.mark.parametrize(
    ("method", "penalty", "estimator"),
    [("lda", None, LDA), ("ridge", 3.0, RidgeClassifier(alpha=3.0)), ("logistic", 10.0, LogisticRegression(C=0.1))],
)
def test_scores_are_those_of_mne(method, penalty, estimator, trials):
    rec = trials(count=44, times=5)
    found = time_generalisation(rec, "condition", method=method, penalty=penalty, cv=4)
    for scoring, name in (("roc_auc", "auc"), ("balanced_accuracy", "balanced_accuracy")):
        np.testing.assert_allclose(
            found[name], theirs(rec, "condition", estimator, folds_of(rec, 4), scoring), atol=1e-6
        )


def test_scores_on_real_eeg_are_those_of_mne(mirror):
    """Left against right fist, 64 channels; per-sample scores, so every rule at every time has to agree."""
    path = mirror / "eeg/physionet_eegmmidb/S001R03.edf"
    whole = ni.align.resample(schalk2004.load(path), 16.0)
    rec = ni.align.epoch(whole.drop_vars("condition"), schalk2004.load_session(path), -0.5, 1.5)
    rec = rec.isel(trial=np.isin(rec["condition"].values, ["left_fist", "right_fist"]))
    assert dict(rec.sizes) == {"trial": 15, "time": 32, "unit": 64}
    found = time_generalisation(rec, "condition", cv=3)
    expected = theirs(rec, "condition", LDA, folds_of(rec, 3), "roc_auc")
    np.testing.assert_allclose(found["auc"], expected, atol=1e-6)
    expected = theirs(rec, "condition", LDA, folds_of(rec, 3), "balanced_accuracy")
    np.testing.assert_allclose(found["balanced_accuracy"], expected, atol=1e-6)


def coded(kind, seed=0, count=60):
    """Give trials whose class is told by one unit throughout, or by one unit after the other."""
    rng = np.random.default_rng(seed)
    label = np.array(["a", "b"] * (count // 2), dtype=object)
    values = rng.standard_normal((count, 10, 6))
    for time in range(4, 10):
        unit = {"lasts": 0, "moves": time - 4}[kind]
        values[label == "b", time, unit] += 3.0
    return ni.recording(values, modality="meg", units="fT", sampling_rate=10.0, dims=("trial", "time", "unit"),
                        coords={"condition": ("trial", label)})  # fmt: skip


def test_a_code_that_lasts_is_a_square_and_one_that_moves_a_diagonal():
    lasting = time_generalisation(coded("lasts"), "condition").auc.mean("fold").values
    moving = time_generalisation(coded("moves"), "condition").auc.mean("fold").values
    assert lasting[4:, 4:].min() > 0.85
    assert np.diag(moving)[4:].min() > 0.85
    off = ~np.eye(6, dtype=bool)
    assert abs(moving[4:, 4:][off].mean() - 0.5) < 0.1
    for found in (lasting, moving):
        assert abs(found[:4, :4].mean() - 0.5) < 0.12


def test_the_diagonal_is_what_linear_gives_at_each_time(trials):
    rec = trials()
    square = time_generalisation(rec, "condition", permutations=5, seed=3)
    each = linear(rec, "condition", time="each", permutations=5, seed=3)
    diagonal = np.arange(rec.sizes["time"])
    for name in ("balanced_accuracy", "auc", "null"):
        np.testing.assert_array_equal(square[name].values[:, diagonal, diagonal], each[name].values)


@pytest.mark.parametrize("correction", ["max", "cluster"])
def test_corrected_p_values_find_the_square_and_leave_the_rest(correction):
    rec = coded("lasts")
    found = time_generalisation(rec, "condition", method="ridge", penalty=1.0, permutations=60, correction=correction)
    corrected = found["p_corrected"].values
    assert (corrected[4:, 4:] < 0.05).all()
    outside = np.ones((10, 10), dtype=bool)
    outside[4:, 4:] = False
    assert (corrected[outside] < 0.05).mean() < 0.05
    if correction == "cluster":
        assert (found["cluster"].values[4:, 4:] == 1).all()
        assert corrected[found["cluster"].values == 1].max() == pytest.approx(1 / 61)


@pytest.mark.parametrize("correction", ["max", "cluster"])
def test_corrected_p_values_hold_the_family_wise_rate(correction):
    false = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rec = coded("lasts", seed=seed, count=24)
        rec = rec.copy(data=np.cumsum(rng.standard_normal(rec.shape), axis=1))
        found = time_generalisation(
            rec, "condition", method="ridge", penalty=1.0, cv=3, permutations=19, correction=correction, seed=seed
        )
        false.append(float(found["p_corrected"].min()) <= 0.05)
    assert np.mean(false) <= 0.2  # 0.05 expected, 20 draws


def test_permutations_of_ridge_at_once_are_those_one_by_one():
    rec = coded("moves", count=20)
    together = time_generalisation(rec, "condition", method="ridge", penalty=2.0, cv=2, permutations=6)
    label = rec["condition"].values
    rng = np.random.default_rng(0)
    for draw in range(6):
        moved = rec.assign_coords(condition=("trial", label[rng.permutation(20)]))
        found = time_generalisation(moved, "condition", method="ridge", penalty=2.0, cv=folds_of(rec, 2))
        np.testing.assert_allclose(found.balanced_accuracy.mean("fold"), together["null"][draw], atol=1e-12)


def test_bad_input_is_refused(trials, patterns):
    with pytest.raises(ni.AnalysisError, match="needs trials in time"):
        time_generalisation(patterns(), "condition")
    with pytest.raises(ni.AnalysisError, match="'max' or 'cluster'"):
        time_generalisation(trials(), "condition", correction="fdr")
    with pytest.raises(ni.AnalysisError, match="pass permutations="):
        time_generalisation(trials(), "condition", correction="cluster")
