"""Correlation against numpy, and its labels."""

import importlib

import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.analyses.connectivity._moments import pearson as _pearson
from neurointerp.errors import AnalysisError


def _mixed(samples=400, units=7, dtype=np.float64, offset=0.0):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((samples, units)) @ (np.eye(units) + rng.standard_normal((units, units)))
    return (values * 10.0 ** rng.uniform(-4, 4, units) + offset * rng.standard_normal(units)).astype(dtype)


def _recording(values, **coords):
    return ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, coords=coords)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_equals_numpy_in_float64(offset):
    values = _mixed(offset=offset)
    found = connectivity.correlation(_recording(values)).connectivity
    np.testing.assert_allclose(found.values, np.corrcoef(values.T), rtol=0, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 0.04, 0.5, 100.0])
def test_float32_stays_and_is_within_its_stated_error(offset):
    values = np.random.default_rng(1).standard_normal((100_000, 12))
    values = (values @ (np.eye(12) + 0.2 * values[:12]) + offset).astype(np.float32)
    found = connectivity.correlation(_recording(values)).connectivity
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.values, np.corrcoef(values.astype(float).T), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_is_symmetric_bounded_and_one_on_the_diagonal(dtype):
    values = _mixed(dtype=dtype)
    values[:, 1], values[:, 2] = 3 * values[:, 0], -values[:, 0]
    r = connectivity.correlation(_recording(values)).connectivity.values
    np.testing.assert_array_equal(r, r.T)
    np.testing.assert_array_equal(np.diag(r), 1.0)
    assert np.abs(r).max() <= 1.0
    np.testing.assert_allclose(r[0, 1:3], [1.0, -1.0], atol=1e-6)


@pytest.mark.parametrize("dims", [("trial", "time", "unit"), ("trial", "unit")])
def test_samples_of_all_trials_are_pooled(dims):
    values = _mixed(60).reshape(4, 15, 7)
    clock = {"sampling_rate": 1.0} if "time" in dims else {}
    shaped = values if "time" in dims else values.reshape(60, 7)
    found = connectivity.correlation(ni.recording(shaped, modality="eeg", units="V", dims=dims, **clock))
    np.testing.assert_allclose(found.connectivity.values, np.corrcoef(values.reshape(60, 7).T), atol=1e-12)
    np.testing.assert_array_equal(found.samples, 60)


@pytest.mark.parametrize("dims", [("subject", "time", "unit"), ("subject", "trial", "unit")])
def test_subjects_are_correlated_alone_and_averaged_on_fishers_z(dims):
    values = _mixed(60).reshape(4, 15, 7) + 100.0 * np.arange(4)[:, None, None]  # their means differ
    clock = {"sampling_rate": 1.0} if "time" in dims else {}
    rec = ni.recording(values, modality="eeg", units="V", dims=dims, coords={"subject": list("abcd")}, **clock)
    found = connectivity.correlation(rec)
    each = np.stack([np.corrcoef(one.T) for one in values])
    np.testing.assert_allclose(found.by_subject.values, each, atol=1e-9)
    assert list(found.by_subject.subject.values) == list("abcd")
    lower = np.tril_indices(7, -1)
    expected = np.tanh(np.arctanh(each[:, *lower]).mean(axis=0))
    np.testing.assert_allclose(found.connectivity.values[lower], expected, atol=1e-9)
    np.testing.assert_array_equal(np.diag(found.connectivity), 1.0)
    np.testing.assert_array_equal(found.subjects, 4)


def test_a_unit_that_a_subject_lacks_is_averaged_over_the_others():
    rng = np.random.default_rng(3)
    recs = {
        name: ni.recording(rng.standard_normal((40, 3)), modality="calcium", units="1", sampling_rate=2.0, unit=units)
        for name, units in (("a", ["AVA", "AVB", "RIM"]), ("b", ["AVA", "RIM", "SMD"]))
    }
    found = connectivity.correlation(ni.align.stack_subjects(recs))
    alone = {name: connectivity.correlation(rec).connectivity for name, rec in recs.items()}
    pair = {"source": "AVA", "target": "AVB"}
    assert float(found.connectivity.sel(pair)) == pytest.approx(float(alone["a"].sel(pair)), abs=1e-12)
    pair = {"source": "AVA", "target": "RIM"}
    both = np.tanh(np.mean([np.arctanh(float(one.sel(pair))) for one in alone.values()]))
    assert float(found.connectivity.sel(pair)) == pytest.approx(both, abs=1e-12)
    assert int(found.subjects.sel(pair)) == 2
    assert np.isnan(found.connectivity.sel(source="AVB", target="SMD"))
    assert int(found.samples.sel(source="AVB", target="SMD")) == 0


def test_runs_are_centred_on_their_own_where_asked():
    rng = np.random.default_rng(0)
    run = np.repeat([0, 1], [200, 100])
    values = rng.standard_normal((300, 4)) + 50.0 * run[:, None]
    rec = _recording(values, segment=("time", run))
    lower = np.tril_indices(4, -1)
    assert connectivity.correlation(rec).connectivity.values[lower].min() > 0.9
    own = values - np.stack([values[run == k].mean(axis=0) for k in (0, 1)])[run]
    found = connectivity.correlation(rec, centre="segment").connectivity
    np.testing.assert_allclose(found.values, np.corrcoef(own.T), atol=1e-12)
    trials = ni.recording(values[:30], modality="fmri", units="1", dims=("trial", "unit"))
    with pytest.raises(AnalysisError, match="each of the 30 segments is one sample; use 'recording'"):
        connectivity.correlation(trials, centre="segment")


def test_counts_and_tiny_values_are_correlated_too():
    counts = np.random.default_rng(0).poisson(2.0, (200, 5))
    expected = np.corrcoef(counts.T)
    found = connectivity.correlation(_recording(counts)).connectivity
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    for tiny in (counts * 1e-200, (counts * 1e-30).astype(np.float32)):
        np.testing.assert_allclose(connectivity.correlation(_recording(tiny)).connectivity, expected, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 + 0.1])
def test_a_constant_unit_is_undefined_and_counted(constant):
    values = _mixed()
    values[:, 3] = constant
    found = connectivity.correlation(_recording(values)).connectivity
    expected = np.zeros((7, 7), dtype=bool)
    expected[3], expected[:, 3] = True, True
    np.testing.assert_array_equal(np.isnan(found.values), expected)
    assert found.attrs["undefined_units"] == 1


def test_unit_coordinates_lie_on_both_sides():
    region = ["a", "b"] * 3 + ["a"]
    found = connectivity.correlation(_recording(_mixed(), region=("unit", region), x=("unit", np.arange(7.0))))
    assert found.connectivity.dims == ("source", "target")
    for side in ("source", "target"):
        assert list(found[side].values) == [f"u{i}" for i in range(7)]
        assert list(found[f"{side}_region"].values) == region
        assert found[f"{side}_x"].dims == (side,)
    assert found.attrs["analysis"] == "connectivity.correlation"


def test_permuted_units_permute_the_answer():
    recording = _recording(_mixed())
    order = np.random.default_rng(2).permutation(7)
    found = connectivity.correlation(recording.isel(unit=order)).connectivity
    expected = connectivity.correlation(recording).connectivity.isel(source=order, target=order)
    assert list(found.source.values) == list(expected.source.values)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-14)


def test_equal_bytes_and_a_store_round_trip(tmp_path):
    recording = _recording(_mixed(), region=("unit", list("aabbccd")))
    found = connectivity.correlation(recording, seed=4)
    assert ni.digest(found) == ni.digest(connectivity.correlation(recording, seed=4))
    assert ni.open(ni.save(found, tmp_path / "r.zarr")).identical(found)


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    values = _mixed()
    values[:, 2] = 7.0
    found, varies = _pearson(torch.tensor(values))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), _pearson(values)[0], atol=1e-13)
    assert varies.tolist() == [True, True, False, True, True, True, True]


def _with_holes(samples=80, units=6, patterns=None, dtype=np.float64):
    values = _mixed(samples, units, offset=10.0)
    rng = np.random.default_rng(5)
    hole = rng.random((samples, units)) < 0.2
    if patterns is not None:
        hole = hole[:, patterns]
    values[hole] = np.nan
    return values.astype(dtype)


@pytest.mark.parametrize("patterns", [None, [0, 0, 1, 1, 1, 0]])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_missing_values_are_left_out_pair_by_pair_as_pandas_does(method, dtype, tolerance, patterns):
    values = _with_holes(patterns=patterns, dtype=dtype)
    found = connectivity.correlation(_recording(values), method=method)
    assert found.connectivity.dtype == dtype
    expected = pd.DataFrame(values.astype(float)).corr(method=method).values
    np.testing.assert_allclose(found.connectivity.values, expected, rtol=0, atol=tolerance)
    there = (~np.isnan(values)).astype(int)
    np.testing.assert_array_equal(found.samples, there.T @ there)


def test_pairs_with_too_few_samples_in_common_are_undefined():
    values = _with_holes(30)
    values[:, 0], values[[3, 4, 5], 0] = np.nan, [1.0, 2.0, 4.0]
    values[[3, 4, 5], 1] = [1.0, np.nan, 2.0]
    values[[3, 4, 5], 2] = [7.0, 7.0, 7.0]
    found = connectivity.correlation(_recording(values))
    assert abs(float(found.connectivity[0, 1])) == pytest.approx(1.0)  # two samples say nothing, but are two
    assert np.isnan(found.connectivity[0, 2])  # constant over what they share
    least = connectivity.correlation(_recording(values), min_samples=3)
    assert np.isnan(least.connectivity[0, 1])
    assert int(least.samples[0, 1]) == 2
    with pytest.raises(AnalysisError, match="min_samples is 1; at least 2 are needed"):
        connectivity.correlation(_recording(values), min_samples=1)


def test_single_samples_are_refused():
    with pytest.raises(AnalysisError, match=r"1 samples along \('time',\); at least 2 are needed"):
        connectivity.correlation(_recording(_mixed(1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spearman_equals_scipy_with_ties(dtype):
    from scipy.stats import spearmanr

    values = np.random.default_rng(0).poisson(2.0, (200, 5)).astype(dtype)
    values[:, 1] = np.exp(values[:, 0])
    found = connectivity.correlation(_recording(values), method="spearman")
    np.testing.assert_allclose(found.connectivity.values, spearmanr(values).statistic, rtol=0, atol=1e-6)
    assert float(found.connectivity[0, 1]) == pytest.approx(1.0, abs=1e-6)
    assert found.attrs["parameters"]["method"] == "spearman"


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(AnalysisError, match="method is 'kendall'; one of pearson, spearman, ledoit_wolf is needed"):
        connectivity.correlation(_recording(_mixed()), method="kendall")


@pytest.mark.parametrize(
    ("dtype", "offset", "tolerance"), [(np.float32, 0, 1e-6), (np.float32, 100, 1e-6), (float, 3, 1e-12)]
)
def test_compiled_passes_over_large_recordings_give_the_same(dtype, offset, tolerance, monkeypatch):
    from neurointerp.analyses.connectivity import _moments, _pairs, _shrinkage

    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 700, 200))
    x[..., 1] += x[..., 0]
    rec = ni.recording(
        (x + offset).astype(dtype), modality="fmri", units="1", sampling_rate=0.5, dims=("subject", "time", "unit")
    )
    assert x[0].size >= _moments.LARGE
    found = [connectivity.correlation(rec), connectivity.partial_correlation(rec)]
    partial = importlib.import_module("neurointerp.analyses.connectivity.partial_correlation")
    for module in (_moments, _pairs, _shrinkage, partial):
        monkeypatch.setattr(module, "LARGE", 2**60)
    plain = [connectivity.correlation(rec), connectivity.partial_correlation(rec)]
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one.by_subject.values, one.by_subject.values.swapaxes(1, 2))
        for name in ("connectivity", "by_subject"):
            np.testing.assert_allclose(one[name].values, other[name].values, rtol=0, atol=tolerance)
    expected = [np.corrcoef(each.astype(float).T) for each in rec.values]
    np.testing.assert_allclose(found[0].by_subject.values, expected, rtol=0, atol=tolerance)
    with np.errstate(divide="ignore"):
        average = np.tanh(np.arctanh(np.array(expected)).mean(axis=0))
    np.testing.assert_allclose(found[0].connectivity.values, average, rtol=0, atol=3 * tolerance)


def test_perfect_correlations_and_missing_subjects_survive_the_average():
    x = np.random.default_rng(0).standard_normal((20, 300, 60))
    x[:, :, 1] = x[:, :, 0]
    x[:, :, 2] = -x[:, :, 0]
    rec = ni.recording(x, modality="fmri", units="1", sampling_rate=0.5, dims=("subject", "time", "unit"))
    found = connectivity.correlation(rec)
    assert float(found.connectivity[0, 1]) == 1.0
    assert float(found.connectivity[0, 2]) == -1.0
    assert (found.subjects == 20).all()
    lacking = rec.copy(deep=True)
    lacking[:5, :, 7] = np.nan
    fewer = connectivity.correlation(lacking)
    assert int(fewer.subjects[7, 8]) == 15
    assert int(fewer.subjects[8, 9]) == 20
    np.testing.assert_allclose(
        float(fewer.connectivity[7, 8]), np.tanh(np.arctanh(fewer.by_subject[5:, 7, 8]).mean()), rtol=1e-9
    )
    np.testing.assert_allclose(fewer.connectivity[8:, 8:], found.connectivity[8:, 8:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunked", [False, True])
def test_sides_carry_the_labels_of_units_and_leave_those_of_the_recording_alone(chunked):
    values = np.random.default_rng(0).standard_normal((20, 3))
    rec = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    rec = rec.assign_coords(
        region=("unit", np.array(["a", "b", "a"])), depth=("unit", [1.0, 2.0, 3.0], {"units": "um"})
    )
    if chunked:
        pytest.importorskip("dask")
        rec = rec.chunk({"time": 10, "unit": 2})
    before = rec.copy(deep=True)
    found = connectivity.correlation(rec).connectivity
    for side in ("source", "target"):
        np.testing.assert_array_equal(found[side], rec["unit"])
        np.testing.assert_array_equal(found[f"{side}_region"], rec["region"])
        assert found[side].dtype == object
        assert found.indexes[side].name == side
        assert found[f"{side}_depth"].chunks is None
        assert found[f"{side}_depth"].attrs == {"units": "um"}
        found[f"{side}_depth"].attrs["units"] = "mm"
    assert rec.identical(before)
    assert rec.indexes["unit"].name == "unit"
    unit = rec["unit"].values
    assert float(found.sel(source=unit[0], target=unit[2])) == float(found.sel(source=unit[2], target=unit[0]))
