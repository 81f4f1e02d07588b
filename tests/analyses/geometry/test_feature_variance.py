"""The audit of representation bias: planted shares, and a network that computes an easy and a hard feature."""

import importlib

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import encoding, factorization, geometry
from neurointerp.result import result

SHARES = {"shape": 0.5, "colour": 0.2, "size": 0.05}


def planted(rng, samples=4096, units=64, shares=SHARES, absent="texture"):
    """Give a representation whose balanced, independent features hold known shares of the variance."""
    directions = np.linalg.qr(rng.standard_normal((units, len(shares))))[0].T
    levels = {name: rng.permutation(np.arange(samples) % 2) for name in (*shares, absent)}
    values = sum(
        np.sqrt(v) * np.outer(2 * levels[name] - 1, d) for (name, v), d in zip(shares.items(), directions, strict=True)
    )
    values = values + np.sqrt((1 - sum(shares.values())) / units) * rng.standard_normal((samples, units))
    return representation(values, **levels)


def representation(values, **levels):
    return ni.recording(
        values, modality="activations", units="1", dims=("trial", "unit"),
        coords={"stimulus": ("trial", np.arange(len(values))), **{n: ("trial", v) for n, v in levels.items()}},
    )  # fmt: skip


def test_known_shares_are_found_and_an_absent_feature_has_none(rng):
    found = geometry.feature_variance(planted(rng), [*SHARES, "texture"])
    for name, share in SHARES.items():
        assert float(found.r2.sel(feature=name)) == pytest.approx(share, abs=0.01)
    assert abs(float(found.r2.sel(feature="texture"))) <= 0.005
    assert float(found.r2_joint) == pytest.approx(sum(SHARES.values()), abs=0.015)
    assert float(found.bias_ratio.sel(feature="shape", feature2="size")) == pytest.approx(10, rel=0.1)
    assert np.isnan(found.bias_ratio.sel(feature="shape", feature2="texture"))
    assert float(found.r2_components.sel(feature="shape")[0]) > 0.9
    assert float(found.decodability.sel(feature="texture")) == pytest.approx(0.5, abs=0.05)
    units = found.r2_units.sel(feature="shape").values
    values = planted(np.random.default_rng(0))
    expected = [np.corrcoef(values["shape"].values, values.values[:, u])[0, 1] ** 2 for u in range(64)]
    np.testing.assert_allclose(units, expected, atol=0.01)


def test_features_that_tell_of_each_other_are_refused(rng):
    rec = planted(rng)
    colour = np.where(rng.random(4096) < 0.8, rec["shape"].values, rec["colour"].values)
    with pytest.raises(ni.AnalysisError, match=r"'shape' and 'colour' are not independent.*balance"):
        geometry.feature_variance(rec.assign_coords(colour=("trial", colour)), list(SHARES))


def test_a_result_carries_its_warning_only_where_there_is_cause(rng):
    uneven, even = planted(rng), planted(rng, shares={"shape": 0.3, "colour": 0.3, "size": 0.3})
    recs = {"one": uneven[:200], "two": even[:200]}
    likeness = geometry.cka(recs, permutations=0)
    audited = geometry.audit(likeness, {"one": uneven, "two": even}, ["shape", "colour"])
    assert audited.attrs["bias_warning"].startswith("one: 'shape' holds 0.")
    assert "two" not in audited.attrs["bias_warning"]
    assert audited.feature_share.dims == ("audited", "known_feature")
    xr.testing.assert_equal(audited[list(likeness)], likeness)
    assert geometry.audit(likeness, {"two": even}, ["shape", "colour"]).attrs["bias_warning"] == ""
    other = result({"x": xr.DataArray(1.0)}, analysis="factorization.pca", recording=uneven, parameters={}, seed=0)
    assert "shape" in geometry.audit(other, {"one": uneven}, ["shape", "colour"]).attrs["bias_warning"]


def test_of_a_factorization_it_is_told_which_features_its_components_keep(rng):
    """One component holds the feature of half the variance; the one of a twentieth, as readable, is lost with it."""
    rec = planted(rng, samples=600)
    names = ["shape", "size"]
    for method, options in ((factorization.pca, {}), (factorization.semi_nmf, {"keep_fraction": 1.0})):
        one = geometry.audit(method(rec, 1, **options), {"layer": rec}, names)
        assert one.feature_decodability.sel(known_feature="size").item() > 0.95
        assert one.feature_kept.sel(known_feature="shape").item() > 0.95
        assert one.feature_kept.sel(known_feature="size").item() == pytest.approx(0.5, abs=0.1)
        assert "'size' is read out with" in one.attrs["bias_warning"]
        assert "they do not keep it" in one.attrs["bias_warning"]
    many = geometry.audit(factorization.pca(rec, 6), {"layer": rec, "other": rec[:500]}, names)
    assert float(many.feature_kept.sel(audited="layer", known_feature="size")) > 0.95
    assert "do not keep it" not in many.attrs["bias_warning"]
    assert np.isnan(many.feature_kept.sel(audited="other")).all()  # not the samples of that recording


def test_an_encoding_result_keeps_its_own_features_beside_those_of_the_audit(rng):
    """A stimulus feature that tells of the shape alone predicts the variance well and knows nothing of the size."""
    rec = planted(rng, samples=600)
    stimulus = ni.recording(
        np.column_stack([rec["shape"].values, rng.standard_normal(600)]), modality="stimulus", units="1",
        dims=("trial", "unit"), unit=["seen", "noise"], coords={"stimulus": ("trial", np.arange(600))},
    )  # fmt: skip
    fit = encoding.ridge(stimulus, rec)
    audited = geometry.audit(fit, {"layer": rec}, ["shape", "size"])
    assert audited["feature"].values.tolist() == ["seen", "noise"]
    xr.testing.assert_equal(audited[list(fit)], fit)
    assert np.isfinite(audited.feature_share).all()
    assert audited.feature_kept.sel(known_feature="shape").item() > 0.95
    assert audited.feature_kept.sel(known_feature="size").item() == pytest.approx(0.5, abs=0.1)
    assert "'size'" in audited.attrs["bias_warning"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["weight"]}, "no groups 'weight'"),
        ({"features": ["stimulus"]}, "4096 values in 4096 samples"),
        ({"features": []}, r"features is \[\]; a list of one or more"),
        ({"features": "shape"}, "features is 'shape'; a list of one or more"),
        ({"features": ["shape"], "folds": 1}, "folds is 1; a whole number of at least 2"),
        ({"features": ["shape"], "folds": 2.5}, "folds is 2.5; a whole number"),
        ({"features": ["shape"], "components": 0}, "components is 0; a whole number"),
    ],
)
def test_bad_input_is_named(rng, change, message):
    with pytest.raises(ni.AnalysisError, match=message):
        geometry.feature_variance(planted(rng), change.pop("features"), **change)


def test_a_value_that_a_training_fold_never_shows_is_refused(rng):
    rare = np.zeros(60, dtype=int)
    rare[7] = 1
    rec = ni.recording(rng.standard_normal((60, 3)), modality="activations", units="1", dims=("trial", "unit"),
                       coords={"rare": ("trial", rare)})  # fmt: skip
    with pytest.raises(ni.AnalysisError, match=r"'rare' has values in \[59, 1\] samples"):
        geometry.feature_variance(rec, ["rare"])


def test_samples_that_tell_of_each_other_are_held_out_together(rng):
    """Noise that repeats share, or neighbours in time, is no feature: held out sample by sample it would be."""
    half = np.repeat(np.arange(24) % 2, 8)
    noise = np.repeat(rng.standard_normal((24, 3)), 8, axis=0)  # of a stimulus; says nothing of `half`
    values = noise + 0.1 * rng.standard_normal(noise.shape)
    about = {"modality": "activations", "units": "1"}
    alone = ni.recording(values, dims=("trial", "unit"), coords={"half": ("trial", half)}, **about)
    shown = alone.assign_coords(stimulus=("trial", np.repeat(np.arange(24), 8)))
    course = ni.recording(values, sampling_rate=10.0, coords={"half": ("time", half)}, **about)
    trials = ni.recording(
        values.reshape(24, 8, 3), sampling_rate=10.0, dims=("trial", "time", "unit"),
        coords={"half": ("trial", half[::8])}, **about,
    )  # fmt: skip
    found = {
        kind: geometry.feature_variance(rec, ["half"])
        for kind, rec in {"samples": alone, "stimuli": shown, "blocks of time": course, "trials": trials}.items()
    }
    for kind, one in found.items():
        assert one.attrs["parameters"]["held_out"] == kind
    # the means of 12 random patterns a half differ by chance; what was seen of them tells it, what was not does not
    assert float(found["samples"].decodability[0]) > 0.6
    for kind in ("stimuli", "trials"):
        assert float(found[kind].decodability[0]) < float(found["samples"].decodability[0])
        assert float(found[kind].r2[0]) < float(found["samples"].r2[0])
    folds = importlib.import_module("neurointerp.analyses.geometry.feature_variance")._folds
    fold = folds(shown, ["half"], 5, 0)[0].reshape(24, 8)
    assert (fold == fold[:, :1]).all()
    assert len(np.unique(fold)) == 5
    assert (np.diff(folds(course, ["half"], 5, 0)[0]) >= 0).all()
    two = shown.isel(trial=slice(0, 16))
    with pytest.raises(
        ni.AnalysisError,
        match=r"all of one lie in fold .*: whole (stimuli|trials) are held out; give each value more of them",
    ):
        geometry.feature_variance(two, ["half"])


def test_what_few_samples_keep_is_not_known(rng):
    rec = planted(rng, samples=400)
    fit = encoding.ridge(rec, rec, alphas=10.0)
    assert np.isfinite(geometry.audit(fit, {"layer": rec}, ["shape"]).feature_kept).all()
    one_level = np.flatnonzero(rec["shape"].values == 0)[:30]
    for known in ([], [3], [3, 5, 8], one_level):
        few = fit.copy(deep=True)
        few["prediction"][np.setdiff1d(np.arange(400), known)] = np.nan
        audited = geometry.audit(few, {"layer": rec}, ["shape"])
        assert np.isnan(audited.feature_kept).all()
        assert np.isfinite(audited.feature_share).all()
