"""Independent components against planted sources, scikit-learn, and bad input."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError


def planted(samples=3000, seed=0):
    """Give a recording of three independent sources seen by six sensors, and the sources and patterns."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 100.0
    sources = np.stack([rng.laplace(size=samples), np.sign(np.sin(3 * t)), (t * 7 % 1) - 0.5], axis=1)
    sources = (sources - sources.mean(axis=0)) / sources.std(axis=0)
    patterns = rng.standard_normal((3, 6)) * 1e-6
    noise = 1e-9 * rng.standard_normal((samples, 6))
    rec = ni.recording(sources @ patterns + noise + 5e-6, modality="eeg", units="V", sampling_rate=100.0)
    return rec, sources, patterns


@pytest.mark.parametrize("contrast", ["logcosh", "exp", "cube"])
def test_planted_sources_are_found(contrast):
    rec, sources, patterns = planted()
    res = factorization.ica(rec, 3, contrast=contrast)
    r = np.corrcoef(res.coefficients.values.T, sources.T)[:3, 3:]
    rows, columns = linear_sum_assignment(np.abs(r), maximize=True)
    assert (np.abs(r[rows, columns]) > 0.98).all()
    signed = patterns[columns] * np.sign(r[rows, columns])[:, None]
    np.testing.assert_allclose(res.features.values[rows], signed, atol=3e-7)
    assert str(res.stop_reason.values) == "tolerance"
    assert res.features.attrs["units"] == "V"


def test_sensors_that_depend_on_each_other_raise_no_warning():
    """So few dimensions of so many samples are what a common reference leaves."""
    sources = np.random.default_rng(0).laplace(size=(5000, 3))
    rec = ni.recording(
        sources @ np.random.default_rng(1).standard_normal((3, 5)), modality="eeg", units="V", sampling_rate=1.0
    )
    courses = factorization.ica(rec, 3).coefficients.values
    r = np.abs(np.corrcoef(courses.T, sources.T)[:3, 3:])
    assert (r.max(axis=0) > 0.99).all()


def test_it_is_what_it_says():
    rec, _, _ = planted()
    res = factorization.ica(rec, 3)
    courses = res.coefficients.values
    np.testing.assert_allclose(courses, (rec.values - res["mean"].values) @ res.unmixing.values.T, atol=1e-9)
    np.testing.assert_allclose(np.cov(courses.T, bias=True), np.eye(3), atol=1e-6)
    rest = rec.values - res["mean"].values - courses @ res.features.values
    assert float(res.relative_error) == pytest.approx(np.linalg.norm(rest) / np.linalg.norm(rec.values))
    size = np.linalg.norm(res.features.values, axis=1)
    assert (np.diff(size) <= 0).all()
    assert (res.features.values.max(axis=1) >= -res.features.values.min(axis=1)).all()


def test_the_subspace_is_that_of_the_principal_components():
    rec, _, _ = planted()
    res, pca = factorization.ica(rec, 2), factorization.pca(rec, 2)
    assert float(res.explained_variance) == pytest.approx(float(pca.explained_variance), abs=1e-9)


def test_seeds_give_the_same_components_and_one_seed_the_same_bytes():
    rec, _, _ = planted()
    first, other = factorization.ica(rec, 3, seed=0), factorization.ica(rec, 3, seed=9)
    assert ni.digest(factorization.ica(rec, 3, seed=0)) == ni.digest(first)
    np.testing.assert_allclose(other.features, first.features, atol=1e-8)


def test_bad_input_is_named():
    rec, _, _ = planted(200)
    flat = rec.copy(data=np.repeat(rec.values[:, :2], 3, axis=1))
    with pytest.raises(AnalysisError, match="rank is 3, but the recording varies along 2 dimensions only"):
        factorization.ica(flat, 3)
    with pytest.raises(AnalysisError, match="contrast is 'tanh'; one of logcosh, exp, cube"):
        factorization.ica(rec, 2, contrast="tanh")
    with pytest.raises(AnalysisError, match="rank is 7"):
        factorization.ica(rec, 7)


@pytest.mark.parametrize("tolerance", [-1, None])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    rec = ni.recording(np.random.default_rng(0).random((30, 3)), modality="eeg", units="V", sampling_rate=10.0)
    with pytest.raises(AnalysisError, match="tolerance"):
        factorization.ica(rec, 2, tolerance=tolerance)


def test_float32_stays_and_a_unit_that_never_varies_has_no_part():
    values = np.random.default_rng(0).laplace(size=(60, 4))
    values[:, 3] = 1.0
    rec = ni.recording(values.astype(np.float32), modality="eeg", units="V", sampling_rate=10.0)
    res = factorization.ica(rec, 2)
    assert res["features"].dtype == res["coefficients"].dtype == res["unmixing"].dtype == np.float32
    np.testing.assert_array_equal(res["features"].values[:, 3], 0)
