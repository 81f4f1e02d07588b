"""Every public analysis, found through `__all__`, on a recording of every modality."""

import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import analyses, matrix
from neurointerp.result import check_result

COMPARED: dict[str, xr.DataTree] = {}
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
    if family == "features":
        return reading(call, parameters, rec, seed, options)
    if "factors" in parameters:
        affinity = importlib.import_module("neurointerp.analyses.connectivity").affinity(rec)
        return call(importlib.import_module("neurointerp.analyses.tensor").nonnegative_cp(affinity, 2), **options)
    if "structure" in parameters:
        return call(rec, wiring(rec), seed=seed, **options)
    if "groups" in parameters and family == "graphs":
        return call(people(rec), ["a", "b"] * 3, seed=seed, permutations=10)
    if family == "decoding":
        return decode(call, method, rec, seed, options)
    if family == "tensor":
        folded = rec if rec.ndim > 2 else ni.align.windows(rec, 10)
        return call(folded.copy(data=np.abs(folded.values)), seed=seed, **options)
    if method == "match":
        fits = [importlib.import_module("neurointerp.analyses.factorization").semi_nmf(rec, 2, seed=s) for s in (0, 1)]
        return call(*fits, seed=seed, **options)
    if method == "hierarchical_semi_nmf":
        return call(rec, (3, 2), max_iter=200, seed=seed)
    if (family, method) == ("factorization", "rank"):
        return call(rec, (1, 2), folds=2, restarts=2, seed=seed)
    if method == "nmf":
        return call(rec.copy(data=np.abs(rec.values)), seed=seed, **options)
    if method in ("readout", "attention_encoder", "layer_ensemble", "region_table"):
        return read_out(call, method, rec, seed)
    if method == "poisson_glm":
        rec = rec.copy(data=np.abs(np.round(rec.values)))
        lags = (1,) if "time" in rec.dims else None
        return call(rec, rec, alphas=(0.1, 1.0), cv=2, lags=lags, seed=seed)
    if "fitted" in parameters:
        return call(importlib.import_module("neurointerp.analyses.encoding").ridge(rec, rec), rec, seed=seed, draws=5)
    if "responses" in parameters:
        return call(rec, rec, seed=seed, **options)
    if family == "geometry":
        return geometry(call, method, rec, seed)
    if family == "comparison":
        return compared(call, method, rec, seed)
    return call(rec, seed=seed, **options)


def compared(call, method, rec, seed):
    """Compare a recording; what differences are told from is made once of each recording."""
    if method == "sensitivity":
        return call({"one": rec}, units=4, samples=60, levels=[0.9], replicates=1, seed=seed)
    if method == "compare":
        return call({"one": rec}, nulls=2, resamples=0, seed=seed)
    key = ni.digest(rec)
    if key not in COMPARED:
        family = importlib.import_module("neurointerp.analyses.comparison")
        tree = family.compare({"one": rec}, units=4, samples=60, nulls=2, resamples=10, seed=seed)
        degraded = compared(family.sensitivity, "sensitivity", rec, seed)
        COMPARED[key] = tree.assign(sensitivity=xr.DataTree(degraded))
    return call(COMPARED[key], seed=seed)


def geometry(call, method, rec, seed):
    """Compare `rec` with a bent copy of it, or take what else the method asks for."""
    by = "stimulus" if "stimulus" in rec.coords else "time"
    dim = rec[by].dims[0]
    rec = rec.assign_coords(half=(dim, np.arange(rec.sizes[dim]) % 2))
    recs = {"one": rec, "two": rec.copy(data=np.sin(rec.values))}
    if method in ("feature_variance", "audit"):
        given = (rec, ["half"]) if method == "feature_variance" else (run("geometry", "cka", rec), recs, ["half"])
        return call(*given, seed=seed)
    if method == "rdm":
        return call(rec, by=by, seed=seed)
    if method == "drift":
        return call({**recs, "three": rec}, by=by, seed=seed, permutations=5)
    if method == "aligned":
        space = importlib.import_module("neurointerp.analyses.geometry").hyperalignment(recs, 2, by=by)
        return call(space, recs, by=by)
    options = {"permutations": 5} if "permutations" in inspect.signature(call).parameters else {}
    options |= {"debiased": False} if method == "cka" else {"penalty": 1.0} if method == "cca" else {}
    rank = (2,) if "rank" in inspect.signature(call).parameters else ()
    return call(recs, *rank, by=by, seed=seed, **options)


def read_out(call, method, rec, seed):
    """Read single samples of `rec` out of maps that hold them twice."""
    from neurointerp.models.readouts import Training

    samples = matrix.stack(rec).values[:60]
    about = {"modality": rec.attrs["modality"], "units": rec.attrs["units"], "unit": list(rec["unit"].values)}
    responses = ni.recording(samples, dims=("trial", "unit"), **about)
    twice = np.stack([samples, -samples], axis=1)[:, :, None]
    maps = ni.recording(twice, dims=("trial", "row", "col", "unit"), **about)
    responses = responses.assign_coords(region=("unit", ["a"] * responses.sizes["unit"]))
    options = {"cv": 2, "seed": seed, "training": Training(epochs=1)}
    if method == "readout":
        return call(maps, responses, **options)
    encoder = importlib.import_module("neurointerp.analyses.encoding").attention_encoder
    found = encoder(maps, responses, width=8, heads=2, hidden=8, **options)
    return found if method == "attention_encoder" else call({"layer": found}, seed=seed)  # or region_table


def decode(call, method, rec, seed, options):
    """Decode a label that alternates from trials of `rec`, in two people; or look patterns up in a gallery."""
    trials = rec if rec.ndim > 2 else ni.align.windows(rec, 10)
    number = np.arange(trials.sizes["trial"])
    person = np.array(["p", "q"], dtype=object)[number * 2 // number.size]
    trials = trials.drop_vars("stimulus", errors="ignore").assign_coords(
        condition=("trial", np.array(["a", "b"], dtype=object)[number % 2]), subject=("trial", person)
    )
    if "queries" in inspect.signature(call).parameters:
        patterns = trials.isel(time=3, drop=True).assign_coords(stimulus=("trial", [f"s{i}" for i in number]))
        first = {"k": [1]} if method == "retrieval" else {}
        return call(patterns, patterns.isel(trial=number[::-1]), seed=seed, **first, **options)
    if method == "searchlight":
        half = np.arange(trials.sizes["unit"]) % 2
        return call(trials.assign_coords(layer=("unit", half)), "condition", "layer", seed=seed, permutations=5)
    if method == "separable":
        return call(trials, "condition", seed=seed, filters=2, kernel=4, epochs=1, keep=10)
    if method == "ridge":
        trials = trials.assign_coords(value=("trial", np.sin(number)))
        return call(trials, "value", seed=seed, permutations=5)
    return call(trials, "condition", seed=seed, permutations=5)


def reading(call, parameters, rec, seed, options):
    """Run a reader of components on a factorization of `rec`, labelled, and of a model whose units they might be."""
    dim = rec.dims[0]
    size = rec.sizes[dim]
    group = np.arange(size) // max(size // 6, 1)
    labelled = rec.assign_coords(
        condition=(dim, np.where(group % 2, "a", "b").astype(object)), part=(dim, group.astype(np.int64))
    )
    options |= {"max_epochs": 3} if "max_epochs" in parameters else {}
    options |= {"group": "part"} if "group" in parameters else {}
    if "result" not in parameters:
        return call(labelled, seed=seed, **options)
    given = [importlib.import_module("neurointerp.analyses.factorization").semi_nmf(rec, 2, max_iter=20)]
    if "model" in parameters:
        gpt = pytest.importorskip("neurointerp.models.gpt", reason="torch is not installed", exc_type=ImportError)
        given.append(gpt.GPT(gpt.Config(layers=1, width=2, heads=1)))
        options["site"] = "L0.mlp.post"
    if "lexicons" in parameters:
        given.append({0: ["e", "a"]})
        options |= {"targets": [1e-6], "continuations": 2, "tokens": 3}
    given += [labelled for name in ("recording", "held_out") if name in parameters]
    return call(*given, seed=seed, **options)


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
        "decoding",
        "encoding",
        "comparison",
        "geometry",
        "features",
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
        made_by = "cka" if method == "audit" else method  # an audit adds to a result
        assert out.attrs["analysis"] == f"{family}.{made_by}"
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
    # of correlations and factorizations, which are tested themselves; ranks, blocks and supports may well stay the same
    if family == "graphs" or method == "unit_groups":
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
