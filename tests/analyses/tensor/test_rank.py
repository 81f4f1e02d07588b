"""The table of ranks against planted ones."""

from functools import partial

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError


def test_starts_agree_up_to_the_planted_rank_and_spread_flattens_there():
    tree = ni.synthetic.tensor_trials(rank=3, noise="gaussian", noise_level=0.2, n_trials=20, n_samples=30)
    rec = tree["recordings/tensor_trials/recording"].clip(min=0, keep_attrs=True)
    found = tensor.rank(rec, range(1, 7), restarts=4)
    error = found.relative_error.isel(restart=0)
    assert (found.relative_error.diff("restart") >= 0).all()
    assert (error.diff("rank") < 0).all()
    fall = -np.diff(error.values)
    assert fall[:2].min() > 5 * fall[2:].max()
    worst = found.similarity.min("restart")
    assert worst.sel(rank=3) > 0.99
    assert worst.sel(rank=[5, 6]).max() < 0.95
    np.testing.assert_allclose(found.similarity.isel(restart=0), 1)
    one = tensor.nonnegative_cp(rec, 3, restarts=4)
    np.testing.assert_allclose(found.relative_error.sel(rank=3), one.restart_error, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_core_consistency_is_that_of_the_least_squares_core():
    """Solved for by brute force, from Kronecker products; about 100 up to the planted rank and low beyond."""
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((size, 2)) for size in (6, 9, 7)]
    values = np.einsum("ir,jr,kr->ijk", *factors)
    values += 0.02 * values.std() * rng.standard_normal(values.shape)
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0, dims=("trial", "time", "unit"))
    found = tensor.rank(rec, (1, 2, 3), method=tensor.cp, restarts=4)
    for rank in (1, 2, 3):
        fit = tensor.cp(rec, rank, restarts=4)
        A, B, C = (fit[f"factor_{dim}"].values for dim in rec.dims)
        design = np.kron(np.kron(A, B), C * fit["weight"].values)
        core = np.linalg.lstsq(design, values.ravel(), rcond=None)[0].reshape(rank, rank, rank)
        ideal = np.zeros((rank,) * 3)
        np.einsum("iii->i", ideal)[:] = 1
        expected = 100 * (1 - ((core - ideal) ** 2).sum() / rank)
        assert float(found.core_consistency.sel(rank=rank)) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert found.core_consistency.sel(rank=[1, 2]).min() > 99
    assert float(found.core_consistency.sel(rank=3)) < 50
    assert found.attrs["parameters"]["method"] == "cp"
    assert np.isnan(float(tensor.rank(rec[:2], (3,), method=tensor.cp, restarts=2, max_iter=5).core_consistency[0]))


def test_missing_values_and_subjects_are_taken():
    tree = ni.synthetic.tensor_trials(rank=2, n_trials=8, n_samples=20, n_units=10)
    rec = tree["recordings/tensor_trials/recording"].astype(float)
    rec = rec.where(np.random.default_rng(0).random(rec.shape) > 0.1)
    rec.attrs = tree["recordings/tensor_trials/recording"].attrs
    found = tensor.rank(rec, (1, 2), restarts=2)
    assert np.isfinite(found.core_consistency.values).all()
    subjects = {f"s{k}": rec[k].drop_vars("trial", errors="ignore").assign_attrs(rec.attrs) for k in range(3)}
    assert len(tensor.rank(subjects, (1, 2), restarts=2).attrs["recording"]) == 3


def test_bad_arguments_are_named():
    tree = ni.synthetic.tensor_trials(n_trials=5, n_samples=6, n_units=4)
    rec = tree["recordings/tensor_trials/recording"]
    with pytest.raises(AnalysisError, match=r"ranks are \[2, 1\]; ascending"):
        tensor.rank(rec, (2, 1))
    with pytest.raises(AnalysisError, match="restarts is 1; a whole number of at least 2"):
        tensor.rank(rec, (1, 2), restarts=1)
    with pytest.raises(AnalysisError, match="dim is 'pair'; one of trial, time, unit"):
        tensor.rank(rec, (1, 2), dim="pair", restarts=2)


def test_what_a_partial_fixes_is_kept_in_the_result_and_max_iter_is_not_its_to_fix():
    rec = ni.synthetic.tensor_trials(rank=2, n_trials=6, n_samples=10, n_units=5)["recordings/tensor_trials/recording"]
    found = tensor.rank(rec, (1, 2), method=partial(tensor.cp, init="svd"), restarts=2, max_iter=5)
    assert found.attrs["parameters"]["method"] == "cp"
    assert found.attrs["parameters"]["options"] == {"init": "svd"}
    with pytest.raises(AnalysisError, match="pass max_iter= here"):
        tensor.rank(rec, (1, 2), method=partial(tensor.cp, max_iter=3), restarts=2)
    with pytest.raises(AnalysisError, match="ranks are 3"):
        tensor.rank(rec, 3)
