"""Dissimilarities and their comparison: rsatoolbox, analytic cases, the 92 objects in human IT."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import geometry


def responses(values, stimulus=None, **coords):
    """Give a (trial, unit) recording whose trials name their stimulus."""
    labels = [f"s{i}" for i in range(len(values))] if stimulus is None else list(stimulus)
    on_trial = {name: ("trial", np.asarray(one)) for name, one in coords.items()}
    return ni.recording(
        np.asarray(values),
        modality="fmri",
        units="1",
        dims=("trial", "unit"),
        coords={"stimulus": ("trial", labels), **on_trial},
    )


COMPARED = {"pearson": "corr", "spearman": "spearman", "kendall": "tau-a", "cosine": "cosine",
            "whitened_cosine": "cosine_cov"}  # fmt: skip


@pytest.fixture
def repeated(rng):
    """Give 8 stimuli of 12 units in 4 runs of shuffled order, with correlated noise."""
    mean, mix = rng.standard_normal((8, 12)), rng.standard_normal((12, 12)) / 3
    order = [(run, stimulus) for run in range(4) for stimulus in rng.permutation(8)]
    values = np.array([mean[s] + (rng.standard_normal(12) @ mix) for _, s in order])
    return responses(values, stimulus=[f"s{s}" for _, s in order], repeat=[run for run, _ in order])


def rsatoolbox_rdm(rec, method, **options):
    toolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    named = {name: rec[name].values.astype(str) for name in ("stimulus", "repeat") if name in rec.coords}
    data = toolbox.data.Dataset(rec.values, obs_descriptors=named)
    found = toolbox.rdm.calc_rdm(data, method=method, descriptor="stimulus", **options)
    return found.get_matrices()[0], [str(name) for name in found.pattern_descriptors["stimulus"]]


@pytest.mark.parametrize(
    ("metric", "options"),
    [("correlation", {}), ("euclidean", {}), ("mahalanobis", {}), ("crossnobis", {"cv_descriptor": "repeat"})],
)
@pytest.mark.parametrize("noise", ["identity", "diagonal", "shrinkage"])
def test_distances_are_those_of_rsatoolbox(repeated, metric, options, noise):
    if metric in ("mahalanobis", "crossnobis"):
        from neurointerp.analyses.geometry.rdm import _whitening

        white = _whitening(repeated, noise, "stimulus")
        options = {**options, "noise": white @ white.T}
    expected, names = rsatoolbox_rdm(repeated, metric, **options)
    ours = geometry.rdm(repeated, metric=metric, noise=noise)["rdm"].sel(stimulus=names, stimulus2=names)
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_the_noise_covariance_is_scikit_learns_on_residuals(repeated):
    from sklearn.covariance import ledoit_wolf

    from neurointerp.analyses.geometry.rdm import _whitening

    frame = repeated.to_pandas()
    rest = (frame - frame.groupby(repeated["stimulus"].values).transform("mean")).values
    expected = np.linalg.inv(ledoit_wolf(rest, assume_centered=True)[0] * 32 / (32 - 8))
    white = _whitening(repeated, "shrinkage", "stimulus")
    np.testing.assert_allclose(white @ white.T, expected, rtol=1e-8)


def test_crossnobis_is_unbiased_and_mahalanobis_is_not():
    rng = np.random.default_rng(1)
    cross, plain = [], []
    for _ in range(60):
        rec = responses(rng.standard_normal((20, 30)), stimulus=list("abcde") * 4, repeat=np.repeat(range(4), 5))
        upper = np.triu_indices(5, 1)
        cross.append(geometry.rdm(rec, metric="crossnobis", noise="identity").rdm.values[upper].mean())
        plain.append(geometry.rdm(rec, metric="mahalanobis", noise="identity").rdm.values[upper].mean())
    assert abs(np.mean(cross)) < 3 * np.std(cross) / np.sqrt(60)
    assert np.mean(plain) == pytest.approx(2 / 4, rel=0.1)  # twice the variance of a mean of four


@pytest.mark.parametrize("comparison", COMPARED)
def test_comparisons_are_those_of_rsatoolbox(pair, comparison):
    toolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    found = geometry.rsa(pair, metric="euclidean", comparison=comparison, permutations=0)
    stacks = [toolbox.rdm.RDMs(np.round(found["rdm"].values[i], 1)[None]) for i in (0, 1)]  # with ties
    rounded = {name: xr.DataArray(np.round(found["rdm"].sel(recording=name).values, 1), dims=("stimulus", "stimulus2"),
                                  coords={"stimulus": found["stimulus"].values, "stimulus2": found["stimulus"].values})
               for name in "ab"}  # fmt: skip
    ours = geometry.rsa(rounded, comparison=comparison, permutations=0).similarity.values[0, 1]
    expected = toolbox.rdm.compare(*stacks, method=COMPARED[comparison]).item()
    assert ours == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("comparison", ["pearson", "spearman", "cosine"])
def test_the_ceiling_is_that_of_rsatoolbox(rng, comparison):
    toolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    true = rng.standard_normal((12, 20))
    people = {f"p{i}": responses(true + rng.standard_normal((12, 20))) for i in range(5)}
    found = geometry.rsa_ceiling(people, metric="euclidean", comparison=comparison)
    matrices = geometry.rsa(people, metric="euclidean", permutations=0)["rdm"].values
    rdms = toolbox.rdm.RDMs(matrices)
    lower, upper = toolbox.inference.boot_noise_ceiling(rdms, method=COMPARED[comparison])
    assert float(found.lower) == pytest.approx(float(np.mean(lower)), abs=1e-8)
    assert float(found.upper) == pytest.approx(float(np.mean(upper)), abs=1e-8)


def test_stimuli_are_matched_by_name_whatever_their_order(pair, rng):
    shuffled = {"a": pair["a"], "b": pair["b"][rng.permutation(24)]}
    one, other = (geometry.rsa(pairs, permutations=0) for pairs in (pair, shuffled))
    np.testing.assert_allclose(one.similarity, other.similarity, atol=1e-12)
    fewer = {"a": pair["a"], "b": pair["b"][3:]}
    with pytest.raises(ni.AlignmentError, match=r"3 of 24 in 'a'.*'s0'.*inner"):
        geometry.rsa(fewer)
    found = geometry.rsa(fewer, join="inner", permutations=0)
    assert found.stimuli_left_out.values.tolist() == [3, 0]
    expected = geometry.rsa({name: rec[3:] for name, rec in pair.items()}, permutations=0)
    np.testing.assert_allclose(found.similarity, expected.similarity)


def test_missing_units_and_pairs_are_left_out_and_counted(pair):
    a = pair["a"].copy(deep=True)
    a[4, 2] = np.nan
    distances = geometry.rdm(a, metric="euclidean")["rdm"]
    rest = geometry.rdm(a.drop_sel(unit=[a["unit"].values[2]]), metric="euclidean")["rdm"]
    np.testing.assert_allclose(distances[4], rest[4])
    for metric in ("correlation", "euclidean"):
        filled = a.fillna(0.0)
        filled.attrs = a.attrs
        assert not np.allclose(geometry.rdm(a, metric=metric).rdm[4], geometry.rdm(filled, metric=metric).rdm[4])
    correlations = geometry.rdm(a)["rdm"]
    for other in (0, 7):
        there = ~np.isnan(a.values[4])
        expected = 1 - np.corrcoef(a.values[4, there], a.values[other, there])[0, 1]
        assert float(correlations[4, other]) == pytest.approx(expected, abs=1e-12)
    a[4] = np.nan
    found = geometry.rsa({"a": a, "b": pair["b"]}, permutations=10)
    assert int(found.pairs.values[0, 1]) == 23 * 22 / 2
    without = {name: rec[np.arange(24) != 4] for name, rec in pair.items()}
    expected = geometry.rsa(without, permutations=0).similarity
    assert float(found.similarity.values[0, 1]) == pytest.approx(float(expected.values[0, 1]))
    with pytest.raises(ni.AnalysisError, match="10 missing"):
        geometry.rdm(a, metric="mahalanobis", noise="identity")


def test_permutations_find_what_is_shared_and_nothing_where_nothing_is(rng):
    p = []
    for _ in range(40):
        apart = {name: responses(rng.standard_normal((12, 6))) for name in "ab"}
        p.append(float(geometry.rsa(apart, permutations=40, seed=len(p)).p_value.values[0, 1]))
    assert np.mean(np.array(p) <= 0.1) <= 0.25
    assert 0.35 < np.mean(p) < 0.65
    latent = rng.standard_normal((12, 6))
    close = {name: responses(latent + 0.3 * rng.standard_normal((12, 6))) for name in "ab"}
    assert float(geometry.rsa(close, permutations=199).p_value.values[0, 1]) < 0.02


@pytest.fixture(scope="module")
def objects(mirror):
    """Give the dissimilarities of 92 objects: two sessions of four people in IT, and eight models."""
    tree = ni.load_session("kriegeskorte2008", mirror=mirror)
    it, model = (tree[f"structure/{name}/structure"] for name in ("it", "model"))
    people = {f"person{i}": one.drop_vars("subject") for i, one in enumerate(it.mean("session"))}
    return people, {str(one["model"].item()): one.drop_vars("model") for one in model}


def test_human_it_holds_the_92_objects_like_monkey_it_and_unlike_v1(objects):
    people, models = objects
    ceiling = geometry.rsa_ceiling(people, comparison="spearman")
    assert 0.1 < ceiling.lower < ceiling.upper < 1
    found = geometry.rsa({**people, **models}, comparison="spearman", permutations=99)
    agreement = found.similarity.sel(recording2=list(people)).mean("recording2")
    order = agreement.sel(recording=list(models)).to_series().sort_values()
    assert order.index[-1] in ("monkeyIT", "FaceBodyManmadeNatobj", "animacy")
    assert order["monkeyIT"] > 2 * order["V1"]
    assert (found.q_value.sel(recording="monkeyIT", recording2=list(people)) <= 0.05).all()
    toolbox = pytest.importorskip("rsatoolbox", reason="rsatoolbox is not installed")
    expected = toolbox.rdm.compare(
        *(toolbox.rdm.RDMs(one.values[None]) for one in (people["person0"], models["monkeyIT"])), method="spearman"
    )
    ours = found.similarity.sel(recording="person0", recording2="monkeyIT")
    assert float(ours) == pytest.approx(expected.item(), abs=1e-8)


def test_a_network_of_digits_holds_the_92_objects_less_like_human_it_than_monkeys_do(objects, mirror):
    """Pixels 0.02, its convolution 0.10, its output 0.08, monkey IT 0.30, people among each other 0.37 or more."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    people, models = objects
    images = ni.load_session("kriegeskorte2008", mirror=mirror)["recordings/images/recording"]
    held = safetensors.load_file(mirror / "artificial/models/mnist_cnn.safetensors")
    grey = torch.tensor(images.values.mean(axis=-1)[:, None] / 255.0, dtype=torch.float32)
    functional = torch.nn.functional
    with torch.no_grad():
        seen = functional.interpolate(grey, size=(28, 28), mode="area")
        half = functional.max_pool2d((seen - 0.1307) / 0.3081, 2)
        conv = functional.conv2d(half, held["conv1.weight"], held["conv1.bias"], padding=1).relu()
        pooled = functional.max_pool2d(conv, 2).flatten(1)
        output = functional.linear(pooled, held["fc1.weight"], held["fc1.bias"])
    layers = {
        name: responses(values.flatten(1).numpy().astype(float), stimulus=list(images["stimulus"].values))
        for name, values in (("pixels", seen), ("convolution", pooled), ("output", output))
    }
    found = geometry.rsa({**people, **layers, "monkeyIT": models["monkeyIT"]}, comparison="spearman", permutations=0)
    agreement = found.similarity.sel(recording2=list(people)).mean("recording2").to_series()
    assert agreement["pixels"] < agreement["convolution"] < 0.2
    assert agreement["monkeyIT"] > 2 * agreement[list(layers)].max()
    assert agreement[list(layers)].max() < float(geometry.rsa_ceiling(people, comparison="spearman").lower) / 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: geometry.rdm(r, metric="cosine"), "metric 'cosine' is not one of correlation"),
        (lambda r: geometry.rdm(r, metric="crossnobis"), "no coordinate 'repeat'"),
        (lambda r: geometry.rdm(r, metric="mahalanobis"), "0 degrees of freedom"),
        (lambda r: geometry.rdm(r, by="image"), "no coordinate 'image'.*stimulus"),
        (lambda r: geometry.rsa(r), "mapping of name to recording"),
        (lambda r: geometry.rsa({"a": r}), "1 of them"),
        (lambda r: geometry.rsa({"a": r, "b": r[:2], "c": r}, join="inner"), "share 2 stimulus"),
        (lambda r: geometry.rsa({"a": r, "b": geometry.rdm(r).rdm[:, :5]}), "same unique labels"),
        (lambda r: geometry.rsa({"a": r, "b": r}, permutations=-1), "permutations is -1"),
    ],
)
def test_bad_input_is_named(pair, call, message):
    with pytest.raises(ni.NeurointerpError, match=message):
        call(pair["a"])


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e9])
def test_distances_with_a_missing_unit_do_not_depend_on_the_units_of_the_recording(rng, scale):
    values = rng.standard_normal((6, 8)) + 3.0
    values[1, 2] = np.nan
    found = geometry.rdm(responses(values * scale)).rdm.values
    np.testing.assert_allclose(found, geometry.rdm(responses(values)).rdm.values, atol=1e-9)
    assert not np.isnan(found).any()
    values[3] = 0.1  # constant up to rounding
    found = geometry.rdm(responses(values * scale)).rdm.values
    assert np.isnan(found[3]).all()
    assert np.isnan(found).sum() == 11
