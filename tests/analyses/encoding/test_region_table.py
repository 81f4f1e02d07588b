"""Models by regions: means, ceilings, the sign test, and what is refused."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.result import result


def fitted(r, **coords):
    """Give what a fit looks like, with correlations (fold, unit)."""
    r = np.asarray(r, dtype=float)
    coords = {"unit": [f"u{i}" for i in range(r.shape[1])], **{name: ("unit", v) for name, v in coords.items()}}
    scores = xr.DataArray(r, dims=("fold", "unit"), coords=coords)
    return result({"correlation": scores}, analysis="encoding.ridge", recording=scores, parameters={}, seed=0)


def test_means_and_signs_are_those_counted_by_hand():
    rng = np.random.default_rng(0)
    region = np.array(["V1"] * 9 + ["V4"] * 6, dtype=object)
    one, other = rng.uniform(0.2, 0.6, (2, 3, 15))
    other[:, :9] = one[:, :9] - 0.1  # worse on all of V1
    other[:, 0] = one[:, 0]  # the same
    one[:, 1] = np.nan
    found = encoding.region_table({"a": fitted(one, region=region), "b": fitted(other, region=region)})
    np.testing.assert_allclose(found.correlation.sel(model="a", region="V1"), np.nanmean(one[:, :9].mean(0)))
    assert float(found.better.sel(model="a", model2="b", region="V1")) == 1.0
    assert float(found.better.sel(model="b", model2="a", region="V1")) == 0.0
    np.testing.assert_allclose(found.p_value.sel(model="a", model2="b", region="V1"), 2 * 0.5**7)
    wins = int((one.mean(0) > other.mean(0))[9:].sum())
    expected = min(1.0, 2 * min(binom.cdf(wins, 6, 0.5), binom.sf(wins - 1, 6, 0.5)))
    np.testing.assert_allclose(found.p_value.sel(model="a", model2="b", region="V4"), expected)
    np.testing.assert_array_equal(found.p_value.sel(model="a", model2="a"), 1.0)
    assert found.better.sel(model="a", model2="a").isnull().all()
    assert found["units"].values.tolist() == [9, 6]


def test_units_without_a_region_or_with_a_low_ceiling_take_no_part():
    region = np.array(["V1", "V1", "V4", None], dtype=object)
    ceiling = [0.64, 0.05, 0.25, 0.9]
    fit = fitted([[0.4, 0.9, 0.3, 0.9]], region=region, noise_ceiling=ceiling)
    found = encoding.region_table({"a": fit}, minimum_ceiling=0.1)
    assert found.included.values.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found.correlation[0], [0.4, 0.3])
    np.testing.assert_allclose(found.correlation_of_ceiling[0], [0.5, 0.6])
    with pytest.raises(ni.AnalysisError, match=r"above 0\.95"):
        encoding.region_table({"a": fit}, minimum_ceiling=0.95)


def test_an_empty_name_is_no_region():
    fit = fitted([[0.1, 0.2, 0.9]], region=np.array(["V1", "V1", ""], dtype=object))  # as NWB units of unknown place
    found = encoding.region_table({"a": fit, "b": fit})
    assert found.region.values.tolist() == ["V1"]
    assert found.included.values.tolist() == [True, True, False]


def test_fits_that_do_not_go_together_are_refused():
    region = np.array(["V1", "V4"], dtype=object)
    fit = fitted([[0.1, 0.2]], region=region)
    for results, message in [
        ({}, "by model, are needed"),
        ({"a": xr.Dataset()}, "by model, are needed"),
        ({"a": fit, "b": fitted([[0.1, 0.2], [0.1, 0.2]], region=region)}, "'b' has 2 folds of 2 units"),
        ({"a": fit, "b": fit.isel(unit=[1, 0])}, "in one order"),
        ({"a": fitted([[0.1, 0.2]])}, "no coordinate 'region'"),
    ]:
        with pytest.raises(ni.AnalysisError, match=message):
            encoding.region_table(results)
