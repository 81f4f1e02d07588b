"""Every public analysis, found through `__all__`, on a recording of every modality."""

import importlib
import inspect
import pkgutil

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


MASKED = {("tensor", "nonnegative_cp"), ("tensor", "rank")}
"""Methods that leave missing values out of what they fit."""
FEW = {"restarts": 2, "starts": 2, "nulls": 2, "permutations": 10}


def run(family, method, rec, seed=0):
    call = getattr(importlib.import_module(f"neurointerp.analyses.{family}"), method)
    parameters = inspect.signature(call).parameters
    options = {"rank": 2} if "rank" in parameters else {}
    options |= {name: few for name, few in FEW.items() if name in parameters}
    if "factors" in parameters:
        affinity = importlib.import_module("neurointerp.analyses.connectivity").affinity(rec)
        return call(importlib.import_module("neurointerp.analyses.tensor").nonnegative_cp(affinity, 2), **options)
    if "structure" in parameters:
        return call(rec, wiring(rec), seed=seed, **options)
    if "groups" in parameters:
        return call(people(rec), ["a", "b"] * 3, seed=seed, **options)
    if family == "tensor":
        folded = rec if rec.ndim > 2 else ni.align.windows(rec, 10)
        return call(folded.copy(data=np.abs(folded.values)), seed=seed, **options)
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
    assert {family for family, _ in METHODS} >= {"factorization", "tensor", "connectivity", "encoding", "comparison"}
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


@pytest.mark.parametrize(("family", "method"), [each for each in METHODS if each not in MASKED])
def test_missing_values_are_refused_with_their_count(family, method, recordings):
    rec = recordings["calcium"].copy(deep=True)
    rec[3:6, 2] = np.nan
    with pytest.raises(ni.NeurointerpError, match=r"\b3 (missing|of|NaN)|missing"):
        run(family, method, rec)


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
