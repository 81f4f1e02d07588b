"""Decoding beside MNE, nilearn and scikit-learn: median time of each and the ratio, on one thread.

python benchmarks/decoding.py [--only generalisation|searchlight|permutations]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import xarray as xr
from _measure import Row, contest, keep, options
from mne.decoding import GeneralizingEstimator
from nilearn.decoding import SearchLight
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, permutation_test_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import neurointerp as ni
from neurointerp.analyses import decoding

Calls = dict[str, Callable[[], Any]]


def model(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


def lda() -> Any:
    return model(LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))


def trials(count: int, times: int, units: int) -> xr.DataArray:
    rng = np.random.default_rng(0)
    label = np.array(["a", "b"] * (count // 2))
    values = rng.standard_normal((count, times, units))
    values[label == "b", times // 2 :, 0] += 1
    return ni.recording(values, modality="meg", units="fT", sampling_rate=100.0, dims=("trial", "time", "unit"),
                        coords={"condition": ("trial", label)})  # fmt: skip


def generalisation() -> Calls:
    """100 trials, 60 units, 50 x 50 times, 5 folds: ours scores both measures, MNE one."""
    rec = trials(100, 50, 60)
    x, y = rec.values.transpose(0, 2, 1).copy(), rec["condition"].values.astype(str)
    folds = list(StratifiedKFold(5).split(x, y))

    def theirs() -> Any:
        one = GeneralizingEstimator(lda(), scoring="roc_auc", verbose=False)
        return [one.fit(x[train], y[train]).score(x[test], y[test]) for train, test in folds]

    return {"neurointerp": lambda: decoding.time_generalisation(rec, "condition"), "mne": theirs}


def searchlight() -> Calls:
    """80 volumes, 12 x 12 x 4 voxels, spheres of 2 voxels, 5 folds."""
    rng = np.random.default_rng(0)
    shape = (12, 12, 4)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3) * 3e-3
    label = np.array(["a", "b"] * 40)
    values = rng.standard_normal((80, len(place)))
    rec = ni.recording(
        values, modality="fmri", units="1", dims=("trial", "unit"),
        coords={"condition": ("trial", label), **{axis: ("unit", place[:, i]) for i, axis in enumerate("xyz")}},
    )  # fmt: skip
    folds = list(StratifiedKFold(5).split(values, label))
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    data = nibabel.Nifti1Image(values.T.reshape(*shape, 80), affine)
    mask = nibabel.Nifti1Image(np.ones(shape, dtype=np.int8), affine)

    def theirs() -> Any:
        light = SearchLight(mask, radius=6.0, estimator=lda(), cv=folds, scoring="balanced_accuracy")
        return light.fit(data, label)

    return {"neurointerp": lambda: decoding.searchlight(rec, "condition", 6.0), "nilearn": theirs}


def permutations() -> Calls:
    """200 trials, 100 units, ridge classifier, 200 permutations, 5 folds."""
    rec = trials(200, 1, 100).isel(time=0, drop=True)
    rec.attrs.pop("sampling_rate")
    x, y = rec.values, rec["condition"].values.astype(str)

    def theirs() -> Any:
        one = model(RidgeClassifier(alpha=1.0))
        return permutation_test_score(one, x, y, cv=StratifiedKFold(5), n_permutations=200, scoring="balanced_accuracy")

    def ours() -> Any:
        return decoding.linear(rec, "condition", method="ridge", penalty=1.0, permutations=200)

    return {"neurointerp": ours, "scikit-learn": theirs}


def main() -> None:
    parser = options(argparse.ArgumentParser(description=__doc__))
    parser.add_argument("--only", choices=["generalisation", "searchlight", "permutations"])
    chosen = parser.parse_args()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in (generalisation, searchlight, permutations):
            if chosen.only in (None, case.__name__):
                (_, ours), (peer, theirs) = case().items()
                row = Row("decoding", str(case.__doc__).rstrip("."), peer, [], [])
                keep(contest(row, ours, theirs, chosen.rounds), chosen.rows)


if __name__ == "__main__":
    main()
