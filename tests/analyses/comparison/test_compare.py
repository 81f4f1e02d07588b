import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import comparison, connectivity, encoding, factorization
from neurointerp.analyses.comparison import _analysed, _figures, _matched
from neurointerp.analyses.comparison.compare import z_score


def planted(units=12, samples=400, factors=3, noise=0.5, seed=0, **changes):
    """Give a recording whose units share a few slow latents."""
    rng = np.random.default_rng(seed)
    latent = np.stack(
        [np.convolve(rng.standard_normal(samples + 20), np.ones(20) / 20, "valid")[:samples] for _ in range(factors)]
    )
    values = (latent / latent.std(axis=1, keepdims=True)).T @ np.repeat(np.eye(factors), units // factors, axis=1)
    values = values + noise * rng.standard_normal(values.shape)
    return ni.recording(values, **({"modality": "calcium", "units": "1", "sampling_rate": 10.0} | changes))


@pytest.fixture(scope="module")
def tree():
    alone = np.random.default_rng(1).standard_normal((500, 16))
    noise = ni.recording(alone, modality="eeg", units="V", sampling_rate=100.0, attrs={"system": "simulated"})
    return comparison.compare({"shared": planted(), "noise": noise}, nulls=8, resamples=0, seed=3)


def test_shared_structure_stands_out_from_its_null_and_noise_does_not(tree):
    z = tree["z_score"].to_series().unstack("metric")
    for metric in (
        "semi_nmf_explained_rank4",
        "tensor_fit_rank4",
        "connectivity_density",
        "self_prediction",
    ):
        assert z.loc["shared", metric] > 4, metric
    assert z.loc["shared", "modularity"] > 2
    assert z.loc["shared", "effective_dimension"] < -4
    assert z.loc["noise"].drop("intrinsic_timescale").abs().max() < 4


def test_two_processes_give_what_one_gives(tree):
    noise = ni.recording(
        np.random.default_rng(1).standard_normal((500, 16)),
        modality="eeg", units="V", sampling_rate=100.0, attrs={"system": "simulated"},
    )  # fmt: skip
    again = comparison.compare({"shared": planted(), "noise": noise}, nulls=8, resamples=0, workers=2, seed=3)
    xr.testing.assert_identical(again, tree)
    with pytest.raises(ni.AnalysisError, match="workers is 0"):
        comparison.compare([planted()], workers=0)


def test_matching_gives_one_size_one_scale_and_records_it(tree):
    shapes = {tree[f"matched/{name}/matched"].shape for name in ("shared", "noise")}
    assert shapes == {(400, 12)}
    for name in ("shared", "noise"):
        rec = tree[f"matched/{name}/matched"]
        ni.check(rec)
        np.testing.assert_allclose(rec.mean("time"), 0, atol=1e-12)
        np.testing.assert_allclose(rec.std("time"), 1)
        assert rec.attrs["history"][-1]["parameters"]["units"] == 12


def test_every_figure_is_that_of_the_methods_own_result(tree):
    rec = tree["matched/shared/matched"]
    summary = tree["summary"].sel(recording="shared", arm="data")
    graph = connectivity.correlation(rec, seed=3)
    fit = encoding.ridge(rec, lags=(1,), seed=3)
    assert float(summary.sel(metric="modularity")) == float(connectivity.communities(graph, seed=3)["modularity"])
    assert float(summary.sel(metric="self_prediction")) == float(fit["score"].mean("fold").median("unit"))
    stored = tree["factorization/shared/semi_nmf"].to_dataset(inherit=False)
    assert float(summary.sel(metric="semi_nmf_explained_rank4")) == float(stored["explained_variance"])
    assert float(summary.sel(metric="effective_dimension")) == pytest.approx(
        np.linalg.eigvalsh(np.corrcoef(rec.values.T)).sum() ** 2
        / (np.linalg.eigvalsh(np.corrcoef(rec.values.T)) ** 2).sum()
    )


def test_the_samples_that_evoke_components_are_kept_and_tokens_with_them():
    words = np.array([f"word{i}" for i in range(300)], dtype=object)
    rec = planted(samples=300, modality="activations", coords={"token": ("time", words)})
    tree = comparison.compare({"model": rec}, samples=100, nulls=2, resamples=0)
    matched = tree["matched/model/matched"]
    start = int(np.searchsorted(rec["time"].values, matched["time"].values[0]))
    assert matched["token"].values.tolist() == words[start : start + 100].tolist()
    for method in ("semi_nmf", "pca"):
        top = tree[f"features/model/{method}"]
        course = tree[f"factorization/model/{method}/coefficients"].values
        np.testing.assert_array_equal(top["sample"].values[:, 0], course.argmax(axis=0))
        first = top["sample"].values[0, 0]
        assert f"[[{matched['token'].values[first]}]]" in str(top["text"].values[0, 0])


def test_a_rerun_gives_the_same_bytes_and_names_alone_decide_the_draws(tree, tmp_path):
    noise = ni.recording(
        np.random.default_rng(1).standard_normal((500, 16)), modality="eeg", units="V", sampling_rate=100.0,
        attrs={"system": "simulated"},
    )  # fmt: skip
    again = comparison.compare({"noise": noise, "shared": planted()}, nulls=8, resamples=0, seed=3)
    assert np.array_equal(again["summary"].sel(recording=tree["recording"]), tree["summary"])
    path = ni.save(tree, tmp_path / "results.zarr")
    assert ni.digest(ni.open(path)) == ni.digest(tree)


def test_segments_trials_and_values_per_trial_are_all_taken():
    epochs = ni.recording(
        planted(samples=200).values.reshape(10, 20, 12), modality="eeg", units="V", sampling_rate=10.0,
        dims=("trial", "time", "unit"),
    )  # fmt: skip
    single = ni.recording(planted(samples=120).values, modality="fmri", units="1", dims=("trial", "unit"))
    out = comparison.compare({"epochs": epochs, "single": single}, nulls=2, resamples=0)
    flat = out["matched/epochs/matched"]
    assert len(np.unique(flat["segment"])) >= 6
    assert (np.diff(flat["time"]) > 0).all()
    status = out["status"].sel(recording="single").to_series()
    assert status["self_prediction"] != "ok"
    assert status["semi_nmf_explained_rank4"] == "ok"
    assert np.isnan(out["summary"].sel(recording="single", metric="self_prediction", arm="data"))


def test_what_cannot_be_compared_is_one_clear_error():
    rec = planted()
    flat = rec.copy(data=np.zeros(rec.shape))
    for recordings, message in (
        ({"flat": flat}, "recording 'flat' has 0 units that vary over 400 samples"),
        ({"short": rec[:20]}, "recording 'short' has 12 units that vary over 20 samples"),
        ({"gap": rec.where(rec["unit"] != "u03")}, r"compare: recording 'gap': 400 missing values in 1 of 12 units"),
        ({"a/b": rec}, "holds a slash"),
        ([rec.rename("x"), rec.rename("x")], "several recordings are named 'x'"),
        ({}, "no recordings"),
        ({"subjects": rec.expand_dims(subject=["s1"])}, "pick one subject"),
    ):
        with pytest.raises(ni.AnalysisError, match=message):
            comparison.compare(recordings, nulls=2, resamples=0)
    with pytest.raises(ni.AnalysisError, match="nulls is 1"):
        comparison.compare({"a": rec}, nulls=1, resamples=0)


def test_constant_units_are_set_aside_and_counted():
    values = planted().values.copy()
    values[:, 4] = 1.0
    out = _matched.matched({"a": planted().copy(data=values)}, units=None, samples=None, seed=0)["a"]
    assert out.sizes["unit"] == 11
    assert "u04" not in out["unit"].values
    assert out.attrs["history"][-1]["parameters"]["of"] == {"units": 12, "constant_units": 1}


def test_effective_dimension_and_sparsity_at_their_bounds():
    rng = np.random.default_rng(0)
    assert _figures.effective_dimension(rng.standard_normal((100_000, 6))) == pytest.approx(6, rel=0.01)
    assert _figures.effective_dimension(np.outer(rng.standard_normal(50), np.ones(6))) == pytest.approx(1)
    assert _figures.hoyer_sparsity(np.eye(5)) == pytest.approx(1)
    assert _figures.hoyer_sparsity(np.ones((3, 5))) == pytest.approx(0)


@pytest.mark.parametrize("tau", [5.0, 20.0])
def test_timescale_of_an_autoregressive_process_is_recovered_in_clock_units(tau):
    rng = np.random.default_rng(0)
    decay = np.exp(-1 / tau)
    values = np.zeros((20_000, 8))
    for t in range(1, len(values)):
        values[t] = decay * values[t - 1] + rng.standard_normal(8)
    rec = ni.recording(
        (values - values.mean(0)) / values.std(0), modality="eeg", units="1", sampling_rate=50.0,
        coords={"segment": ("time", np.repeat([0, 1], 10_000))},
    )  # fmt: skip
    assert _figures.intrinsic_timescale(rec) == pytest.approx(tau / 50.0, rel=0.1)
    shifted = ni.surrogate.circular_shift(rec, seed=1)
    assert _figures.intrinsic_timescale(shifted) == pytest.approx(_figures.intrinsic_timescale(rec), rel=1e-9)


def test_a_null_without_spread_is_said_to_have_none():
    rng = np.random.default_rng(0)
    values = np.outer(rng.standard_normal(200), np.ones(6)) + 0.9 * rng.standard_normal((200, 6))
    shared = ni.recording(values, modality="eeg", units="V", sampling_rate=10.0)
    out = comparison.compare({"a": shared}, nulls=3, resamples=0)
    cell = out.to_dataset(inherit=False).sel(recording="a", metric="connectivity_density")
    assert set(np.ravel(cell["null_draws"])) == {0.0}
    assert float(cell["summary"].sel(arm="data")) > 0.5
    assert np.isnan(cell["z_score"])
    assert cell["status"] == "no z-score: all draws of the null are the same"
    assert cell["kind"] == "not stated"


def test_a_figure_that_is_undefined_on_a_draw_of_its_null_says_so(monkeypatch):
    calls = []

    def found(rec, seed):
        calls.append(rec)
        return {"modularity": 0.1 * len(calls)} | ({} if len(calls) == 2 else {"connectivity_density": 0.5}), {}, {}

    monkeypatch.setattr(_analysed, "figures", found)
    rec = ni.recording(np.random.default_rng(0).standard_normal((80, 5)), modality="eeg", units="V", sampling_rate=1.0)
    out = comparison.compare({"a": rec}, nulls=3, resamples=0).to_dataset(inherit=False).sel(recording="a")
    assert out["status"].sel(metric="connectivity_density") == "no null: the figure is undefined on some of its draws"
    assert np.isnan(out["z_score"].sel(metric="connectivity_density"))
    assert out["status"].sel(metric="modularity") == "ok"


def test_z_score_is_zero_where_data_and_null_agree_and_missing_without_spread():
    z = z_score(np.array([1.0, 1.0, 3.0]), np.array([[1.0, 1.0 + 1e-15], [0.0, 0.0], [1.0, 2.0]]))
    assert z[0] == 0.0
    assert np.isnan(z[1])
    assert z[2] == pytest.approx(1.5 / np.sqrt(0.5))


def test_stored_features_are_labelled_by_the_units_drawn(tree):
    rec = tree["matched/noise/matched"]
    features = tree["factorization/noise/semi_nmf/features"]
    assert features["unit"].values.tolist() == rec["unit"].values.tolist()
    again = factorization.semi_nmf(
        rec, 4, keep_fraction=0.5, init="kmeans", max_iter=100, tolerance=1e-4, patience=10, seed=3
    )
    np.testing.assert_array_equal(again["features"], features)


def test_components_of_semi_nmf_do_not_cancel_each_other():
    trees = comparison.compare({"scalp": ni.load("demo-eeg"), "worm": ni.load("demo-calcium")}, nulls=2, resamples=0)
    for name in ("scalp", "worm"):
        fit = trees[f"factorization/{name}/semi_nmf"].to_dataset(inherit=False)
        alike = np.corrcoef(fit["coefficients"].transpose("component", ...).values)
        assert np.abs(alike[np.triu_indices(len(alike), 1)]).max() < 0.9
        energy = (fit["features"].values ** 2).sum(axis=1)
        assert energy.max() < trees[f"matched/{name}/matched"].size  # no component is larger than the data
