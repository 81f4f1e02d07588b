"""Correlations of a shrunk covariance, as nilearn estimates them by default."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def mixed(samples=200, units=30, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((samples, units)) @ (np.eye(units) + 0.2 * rng.standard_normal((units, units)))
    return (values + 5) * 10.0 ** rng.uniform(-3, 3, units)


def recording(values, **options):
    return ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, **options)


def shrunk(rec, **options):
    return connectivity.correlation(rec, method="ledoit_wolf", **options)


def expected(values):
    from sklearn.covariance import ledoit_wolf

    covariance, amount = ledoit_wolf((values - values.mean(0)) / values.std(0))
    scale = 1 / np.sqrt(np.diag(covariance))
    return covariance * np.outer(scale, scale), amount


@pytest.mark.parametrize("shape", [(200, 30), (400, 400)])  # in several passes, and in compiled ones
def test_equals_sklearn_of_standardised_values(shape):
    values = mixed(*shape)
    found = shrunk(recording(values))
    r, amount = expected(values)
    assert 0 < amount < 1
    np.testing.assert_allclose(found.connectivity.values, r, rtol=0, atol=1e-12)
    np.testing.assert_allclose(float(found.shrinkage), amount, rtol=1e-10)
    np.testing.assert_array_equal(np.diag(found.connectivity), 1.0)


def test_of_several_subjects_is_what_nilearn_gives():
    measures = pytest.importorskip("nilearn.connectome")
    values = np.stack([mixed(seed=seed) for seed in range(3)])
    theirs = measures.ConnectivityMeasure(kind="correlation", standardize=True).fit_transform(list(values))
    found = shrunk(recording(values, dims=("subject", "time", "unit")))
    np.testing.assert_allclose(found.by_subject.values, theirs, rtol=0, atol=1e-12)
    assert found.shrinkage.dims == ("subject",)


def test_scales_and_offsets_do_not_matter_and_float32_stays():
    values = mixed()
    r = shrunk(recording(values)).connectivity.values
    np.testing.assert_allclose(shrunk(recording(values * 1e-6 + 1e-3)).connectivity.values, r, rtol=0, atol=1e-9)
    single = shrunk(recording(values.astype(np.float32))).connectivity.values
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, r, rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", [False, True])
def test_a_constant_unit_is_undefined_and_moves_no_other(missing):
    values = mixed()
    if missing:
        values[3, 4] = np.nan
    whole = shrunk(recording(values))
    values[:, 7] = 2.0
    found = shrunk(recording(values))
    rest = np.delete(np.arange(30), 7)
    alone = shrunk(recording(values[:, rest]))
    assert np.isnan(found.connectivity[7]).all()
    assert found.connectivity.attrs["undefined_units"] == 1
    np.testing.assert_allclose(found.connectivity.values[np.ix_(rest, rest)], alone.connectivity.values, atol=1e-12)
    assert float(found.shrinkage) != float(whole.shrinkage)


def test_nothing_that_varies_is_undefined():
    found = shrunk(recording(np.ones((50, 3))))
    assert np.isnan(found.connectivity.values).all()
    assert np.isnan(found.shrinkage)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("missing", [False, True])
def test_a_constant_unit_is_undefined_whatever_the_mean_of_a_segment_is_rounded_to(missing, dtype):
    values = mixed(units=6).astype(dtype)
    values[:, 2], values[:, 4] = 3.3, np.repeat([0.17, 1e6 + 0.1], [70, 130])  # and one that is in each segment
    if missing:
        values[[3, 90], [2, 4]] = np.nan
    rec = recording(values, coords={"segment": ("time", np.repeat([0, 1], [70, 130]))})
    for given in (rec, rec.chunk(time=33)):
        for call in (connectivity.correlation, connectivity.covariance, connectivity.partial_correlation):
            found = call(given, centre="segment").connectivity
            if call is connectivity.covariance:
                np.testing.assert_array_equal(found.values[[2, 4]], 0.0)
            else:
                assert np.isnan(found.values[[2, 4]]).all()
                assert found.attrs["undefined_units"] == 2


@pytest.mark.parametrize("values", [np.ones((50, 3)), np.full((50, 3), np.nan)])
def test_nor_where_values_are_missing(values):
    values[3, 1] = np.nan
    for call, options in (
        (connectivity.correlation, {"method": "ledoit_wolf"}),
        (connectivity.partial_correlation, {}),
        (connectivity.partial_correlation, {"method": "empirical"}),
    ):
        found = call(recording(values), **options)
        assert np.isnan(found.connectivity.values).all()
        assert found.connectivity.attrs["undefined_units"] == 3
        assert np.isnan(found.shrinkage)


def test_missing_values_are_left_out_pair_by_pair():
    values = mixed(samples=2000)
    holed = values.copy()
    holed[np.random.default_rng(1).random(values.shape) < 0.02] = np.nan
    whole, found = shrunk(recording(values)), shrunk(recording(holed))
    np.testing.assert_allclose(found.connectivity.values, whole.connectivity.values, rtol=0, atol=0.02)
    np.testing.assert_allclose(float(found.shrinkage), float(whole.shrinkage), rtol=0.3)
    np.testing.assert_array_equal(np.diag(found.connectivity), 1.0)


def test_pairs_without_common_samples_are_refused():
    values = mixed()
    values[:100, 0], values[100:, 1] = np.nan, np.nan
    with pytest.raises(AnalysisError, match=r"1 pairs of units have fewer than 2 samples in common.*method='pearson'"):
        shrunk(recording(values))
