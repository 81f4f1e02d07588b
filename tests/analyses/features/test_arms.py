"""The arms of a comparison: what each is, at which size, and that they are told apart as they should."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from neurointerp.analyses import factorization, features
from neurointerp.errors import AnalysisError

pytest.importorskip("torch", reason="torch is not installed")


def test_each_arm_is_what_it_says(planted):
    rec, _ = planted(0)
    found = features.arms(rec, 5, keep_fraction=0.1, max_iter=30, active=2, max_epochs=40)
    sizes = {arm: int((found.arm == arm).sum()) for arm in dict.fromkeys(found.arm.values)}
    assert sizes == {"semi_nmf": 5, "pca": 10, "kmeans": 5, "sparse_autoencoder": 5, "sparse_encoder": 5,
                     "top_k_autoencoder": 5, "difference_in_means": 4, "best_unit": 4, "random": 5}  # fmt: skip
    assert (found.coefficients >= 0).all()
    norms = np.linalg.norm(found.coefficients.values, axis=0)
    np.testing.assert_allclose(norms[norms > 0], 1)

    def arm(name):
        return found.isel(component=(found.arm == name).values)

    own = factorization.semi_nmf(rec, 5, keep_fraction=0.1, max_iter=30)
    np.testing.assert_array_equal(arm("semi_nmf").features, own.features.values.astype(float))
    np.testing.assert_array_equal(arm("pca").features[:5], -arm("pca").features[5:])
    assert (arm("random").support.sum("unit") == 4).all()
    X, kind = rec.values.astype(float), rec.condition.values
    for k, concept in enumerate(sorted(set(kind))):
        difference = X[kind == concept].mean(axis=0) - X[kind != concept].mean(axis=0)
        np.testing.assert_allclose(arm("difference_in_means").features[k], difference, rtol=1e-4, atol=1e-6)
        assert arm("difference_in_means").assigned.values[k] == concept
    assert set(arm("semi_nmf").assigned.values) == {""}


def test_the_best_unit_is_the_best_of_all_units_and_signs(planted):
    rec, _ = planted(0)
    found = features.arms(rec, 2, methods=["best_unit"])
    sentence = rec.segment.values
    largest = {sign: np.stack([(sign * rec.values)[sentence == s].max(axis=0) for s in np.unique(sentence)])
               for sign in (1, -1)}  # fmt: skip
    truth = np.array([rec.condition.values[sentence == s][0] for s in np.unique(sentence)])
    for k, concept in enumerate(sorted(set(truth))):
        areas = {(s, u): roc_auc_score(truth == concept, largest[s][:, u]) for s in (1, -1) for u in range(40)}
        row = found.features.values[k]
        unit = int(np.flatnonzero(row)[0])
        assert np.count_nonzero(row) == 1
        assert areas[(int(row[unit]), unit)] == max(areas.values())


def test_one_call_gives_the_table_and_random_directions_do_not_detect(planted):
    train, held_out = planted(0)[0], planted(1)[0]
    methods = ["semi_nmf", "difference_in_means", "random"]
    made = features.arms(train, 4, keep_fraction=0.1, init="kmeans", max_iter=100, methods=methods)
    table = features.concept_detection(made, train, held_out)
    assert table.arm.values.tolist() == ["semi_nmf", "difference_in_means", "random"]
    auc = table.detector_auc.mean("concept")
    assert auc.sel(arm="semi_nmf") > 0.95
    assert auc.sel(arm="difference_in_means") > 0.95
    assert auc.sel(arm="random") < 0.8
    mine = (made.arm == "difference_in_means").values
    assert table.assigned_concept.values[mine].tolist() == made.assigned.values[mine].tolist()


def test_unknown_arms_and_missing_labels_are_refused(planted):
    rec, _ = planted(0)
    with pytest.raises(AnalysisError, match=r"methods are \['umap'\]"):
        features.arms(rec, 2, methods=["umap"])
    with pytest.raises(AnalysisError, match="no coordinate 'condition'"):
        features.arms(rec.drop_vars("condition"), 2)
    with pytest.raises(AnalysisError, match="keep_fraction is 0"):
        features.arms(rec, 2, keep_fraction=0)


def test_arms_of_another_recording_are_refused(planted):
    train = planted(0)[0]
    made = features.arms(train, 2, methods=["difference_in_means"])
    kept = np.flatnonzero(train.condition.values != "concept3")
    part = train.isel(time=kept)
    with pytest.raises(AnalysisError, match="made for 'concept3'"):
        features.concept_detection(made.isel(time=kept), part, part)


@pytest.mark.parametrize("method", ["difference_in_means", "best_unit"])
def test_one_label_alone_tells_nothing(planted, method):
    train = planted(0)[0]
    one = train.isel(time=np.flatnonzero(train.condition.values == "concept3"))
    with pytest.raises(AnalysisError, match=f"{method} needs two values of 'condition'"):
        features.arms(one, 2, methods=[method])
