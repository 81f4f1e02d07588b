"""PCA against scikit-learn, on each of its three routes."""

import importlib

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.errors import AnalysisError
from neurointerp.result import check_result

kernel = importlib.import_module("neurointerp.analyses.factorization.pca")
spectrum = importlib.import_module("neurointerp.analyses.factorization._spectrum")


def correlated(samples: int, units: int, dtype: type = np.float64) -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((samples, units)) * np.geomspace(5, 0.1, units) @ rng.standard_normal((units, units))
    return ni.recording((values + 3).astype(dtype), modality="fmri", units="1", sampling_rate=0.5)


@pytest.fixture(params=["direct", "gram"])
def route(request, monkeypatch):
    """Run a test on the direct SVD, and on the Gram matrix in several blocks."""
    if request.param == "gram":
        monkeypatch.setattr(spectrum, "DIRECT", 0)
        monkeypatch.setattr(spectrum, "BLOCK", 7)
    return request.param


@pytest.mark.parametrize("shape", [(200, 12), (15, 40), (20, 20)])
def test_agrees_with_scikit_learn(shape, route):
    from sklearn.decomposition import PCA

    rec = correlated(*shape)
    res = factorization.pca(rec, 6)
    peer = PCA(6, svd_solver="full").fit(rec.values)
    np.testing.assert_allclose(res["features"].values, peer.components_, atol=1e-8)
    np.testing.assert_allclose(res["coefficients"].values, peer.transform(rec.values), atol=1e-8)
    np.testing.assert_allclose(res["mean"].values, peer.mean_, atol=1e-12)
    assert float(res["explained_variance"]) == pytest.approx(peer.explained_variance_ratio_.sum(), abs=1e-10)


@pytest.mark.parametrize("shape", [(50, 9), (9, 30)])
def test_errors_are_those_of_the_reconstruction(shape, route):
    rec = correlated(*shape)
    for rank in (1, 4, 9):
        res = factorization.pca(rec, rank)
        rebuilt = res["coefficients"].values @ res["features"].values + res["mean"].values
        error = ((rec.values - rebuilt) ** 2).sum()
        assert float(res["relative_error"]) ** 2 == pytest.approx(error / (rec.values**2).sum(), abs=1e-10)
        assert float(res["loss"][0]) == pytest.approx(float(res["relative_error"]) ** 2)
        about_mean = ((rec.values - rec.values.mean(axis=0)) ** 2).sum()
        assert float(res["explained_variance"]) == pytest.approx(1 - error / about_mean, abs=1e-10)
        features = res["features"].values
        np.testing.assert_allclose(features @ features.T, np.eye(rank), atol=1e-10)
        assert (features.max(axis=1) == np.abs(features).max(axis=1)).all()


def test_float32_stays_and_is_computed_in_float64(route):
    rec = correlated(300, 10, np.float32)
    res = factorization.pca(rec, 3)
    exact = factorization.pca(rec.astype(np.float64), 3)
    assert res["features"].dtype == res["coefficients"].dtype == np.float32
    np.testing.assert_allclose(res["features"].values, exact["features"].values, atol=1e-7)


def test_permuting_units_permutes_the_answer():
    rec = correlated(100, 12)
    order = np.random.default_rng(2).permutation(12)
    res, turned = factorization.pca(rec, 4), factorization.pca(rec.isel(unit=order), 4)
    np.testing.assert_allclose(turned["features"].values, res["features"].values[:, order], atol=1e-10)
    np.testing.assert_allclose(turned["coefficients"].values, res["coefficients"].values, atol=1e-9)


def test_numpy_and_torch_agree(route):
    torch = pytest.importorskip("torch")
    for shape in ((60, 10), (12, 30)):
        X = correlated(*shape).values
        for mine, other in zip(kernel._principal(X, 4), kernel._principal(torch.asarray(X), 4), strict=True):
            assert isinstance(other, torch.Tensor)
            np.testing.assert_allclose(other.numpy(), mine, atol=1e-8)


def test_result_on_every_modality_is_labelled_and_survives_the_store(recordings, tmp_path):
    for modality, rec in recordings.items():
        before = rec.copy(deep=True)
        res = factorization.pca(rec, 3, seed=5)
        check_result(res)
        assert res.attrs["analysis"] == "factorization.pca"
        assert res.attrs["seed"] == 5
        assert res["coefficients"].dims == (*rec.dims[:-1], "component")
        assert set(rec.coords) <= set(res.coords)
        assert ni.open(ni.save(res, tmp_path / f"{modality}.zarr")).load().identical(res)
        assert res.identical(factorization.pca(rec, 3, seed=5))
        assert rec.identical(before)


def test_bad_input_is_named():
    rec = correlated(20, 6)
    with pytest.raises(AnalysisError) as caught:
        factorization.pca(rec, 7)
    assert str(caught.value) == (
        "factorization.pca: rank is 7; a whole number from 1 to 6 (the smaller of samples and units) is needed"
    )
    holes = rec.copy(deep=True)
    holes[0, 1] = np.nan
    with pytest.raises(AnalysisError, match=r"factorization.pca: 1 missing values in 1 of 6 units"):
        factorization.pca(holes, 2)
    for level in (0.0, 0.1, 1e6 / 3):
        with pytest.raises(AnalysisError, match="no unit varies over samples"):
            factorization.pca(xr.full_like(rec, level), 2)


@pytest.mark.parametrize(("free", "turns"), [(0, 10), (8 * 8 * 900, 2), (None, 10), (2**40, 1)])
def test_wide_recordings_are_read_in_as_few_turns_as_memory_allows(free, turns, monkeypatch):
    x = np.random.default_rng(2).standard_normal((20, 90))
    rec = ni.recording(x, modality="fmri", units="1", dims=("trial", "unit"))
    loads = []

    def read(block):
        loads.append(1)
        return block

    da, dask = pytest.importorskip("dask.array"), pytest.importorskip("dask")
    counted = da.from_array(x, chunks=(2, 90)).map_blocks(read, dtype=x.dtype, meta=np.empty((0, 0)))
    monkeypatch.setattr("neurointerp.analyses.factorization._principal.available", lambda: free)
    with dask.config.set(scheduler="synchronous"):
        found = factorization.pca(rec.copy(data=counted), 3)
    xr.testing.assert_allclose(found, factorization.pca(rec, 3), rtol=1e-8)
    assert len(loads) == 10 * (turns + 4)  # means, images, coefficients and the digest
