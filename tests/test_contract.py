"""Every public analysis, found through `__all__`, on a recording of every modality."""

import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import analyses
from neurointerp.result import check_result

MODALITIES = ("activations", "behavior", "calcium", "eeg", "fmri", "ieeg", "meg", "spikes", "stimulus")
METHODS = [
    (family.name, method)
    for family in pkgutil.iter_modules(analyses.__path__)
    for method in importlib.import_module(f"neurointerp.analyses.{family.name}").__all__
    if inspect.isfunction(getattr(importlib.import_module(f"neurointerp.analyses.{family.name}"), method))
]


def run(family, method, rec, seed=0):
    call = getattr(importlib.import_module(f"neurointerp.analyses.{family}"), method)
    parameters = inspect.signature(call).parameters
    small = {"rank": 2, "draws": 5, "threshold": 0.0, "restarts": 2, "starts": 2, "nulls": 2}
    options = {name: value for name, value in small.items() if name in parameters}
    if "factors" in parameters:
        affinity = importlib.import_module("neurointerp.analyses.connectivity").affinity(rec)
        return call(importlib.import_module("neurointerp.analyses.tensor").nonnegative_cp(affinity, 2), **options)
    if "structure" in parameters:
        return call(rec, wiring(rec), seed=seed, **options)
    if "groups" in parameters:
        return call(people(rec), ["a", "b"] * 3, seed=seed, permutations=10)
    if family == "tensor":
        folded = rec if rec.ndim > 2 else ni.align.windows(rec, 10)
        return call(folded.copy(data=np.abs(folded.values)), seed=seed, **options)
    if method == "nmf":
        return call(rec.copy(data=np.abs(rec.values)), seed=seed, **options)
    if method == "poisson_glm":
        rec = rec.copy(data=np.abs(np.round(rec.values)))
        return call(rec, rec, seed=seed, lags=(1,) if "time" in rec.dims else None)
    if "fitted" in parameters:
        return call(importlib.import_module("neurointerp.analyses.encoding").ridge(rec, rec), rec, seed=seed, draws=5)
    if "responses" in parameters:
        return call(rec, rec, seed=seed, **options)
    if family == "comparison":
        return call({"one": rec}, nulls=2, seed=seed)
    return call(rec, seed=seed, **options)


def wiring(rec):
    """Give a random graph of the units of `rec`."""
    labels = rec["unit"].values
    weights = np.random.default_rng(0).random((len(labels), len(labels)))
    return xr.DataArray(
        np.where(weights > 0.5, weights, 0), dims=("source", "target"), coords={"source": labels, "target": labels}
    )


def people(rec):
    """Give six subjects that each have a part of `rec`."""
    samples = rec.transpose("time", ...).stack(sample=rec.dims[:-1]).transpose("sample", "unit").values[:120]
    values = samples.reshape(6, 20, -1)
    return ni.recording(
        values,
        modality=rec.attrs["modality"],
        units=rec.attrs["units"],
        sampling_rate=1.0,
        unit=list(rec["unit"].values),
        dims=("subject", "time", "unit"),
        coords={"subject": [f"s{i}" for i in range(6)]},
    )


def test_every_family_is_found():
    assert {family for family, _ in METHODS} >= {
        "factorization",
        "tensor",
        "connectivity",
        "encoding",
        "comparison",
        "graphs",
    }
    assert len(METHODS) >= 8


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(("family", "method"), METHODS)
def test_analysis_keeps_the_contract(family, method, modality, recordings, tmp_path):
    rec = recordings[modality]
    before = ni.digest(rec)
    out = run(family, method, rec)
    assert ni.digest(rec) == before, "the input was modified"
    assert ni.digest(run(family, method, rec)) == ni.digest(out), "the same seed gave other bytes"
    if isinstance(out, xr.Dataset):
        check_result(out)
        assert out.attrs["analysis"] == f"{family}.{method}"
        assert out.attrs["seed"] == 0
        if "unit" in out.dims:
            assert set(out["unit"].values) <= set(rec["unit"].values)
    assert ni.digest(ni.open(ni.save(out, tmp_path / "out.zarr"))) == ni.digest(out)


@pytest.mark.parametrize(("family", "method"), METHODS)
def test_missing_values_are_left_out_or_refused_with_their_count(family, method, recordings):
    complete = recordings["calcium"]
    rec = complete.copy(deep=True)
    rec[3:6, 2] = np.nan
    refused = None
    try:
        out = run(family, method, rec)
    except ni.NeurointerpError as error:
        refused = str(error)
    if refused is not None:
        assert re.search(r"\b3 (missing|of|NaN)|missing", refused), refused
        return
    other = rec.copy(deep=True)  # a NaN that holds something else
    other.values.view(np.uint64)[3:6, 2] = [0x7FF8_0000_DEAD_BEEF, 0xFFF8_0000_0000_0001, 0x7FFF_FFFF_FFFF_FFFF]
    assert np.isnan(other.values[3:6, 2]).all()
    assert ni.digest(run(family, method, other)) == ni.digest(out), "what a missing value holds had an influence"
    if family == "graphs":  # of the correlations, which are tested themselves; ranks and blocks may well stay the same
        return
    for fill in (0.0, float(complete[:, 2].mean()), 1e6):
        filled = rec.fillna(fill)
        filled.attrs = rec.attrs
        assert not _alike(run(family, method, filled), out), f"missing values count as {fill:g}"


def _alike(one, two):
    variables = [name for name, variable in one.data_vars.items() if variable.dtype.kind == "f"]
    return all(
        one[name].shape == two[name].shape and np.allclose(one[name], two[name], equal_nan=True) for name in variables
    )


@pytest.mark.parametrize(("family", "method"), METHODS)
def test_the_signature_follows_the_design(family, method):
    parameters = list(
        inspect.signature(
            getattr(importlib.import_module(f"neurointerp.analyses.{family}"), method)
        ).parameters.values()
    )
    positional = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert len(positional) <= 3
    seed = {p.name: p for p in parameters}["seed"]
    assert seed.kind is inspect.Parameter.KEYWORD_ONLY
    assert seed.default == 0
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters)
