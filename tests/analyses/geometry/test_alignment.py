"""CKA, CCA, Procrustes, hyperalignment, generalised CCA and drift: analytic cases, invariances, planted truth."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

import neurointerp as ni
from neurointerp import plot
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


SIMILARITIES = {
    "cka": lambda recs: geometry.cka(recs, permutations=0),
    "cka, biased": lambda recs: geometry.cka(recs, debiased=False, permutations=0),
    "cka, rbf": lambda recs: geometry.cka(recs, kernel="rbf", permutations=0),
    "cca": lambda recs: geometry.cca(recs, penalty=0.1, permutations=0),
    "pwcca": lambda recs: geometry.cca(recs, variance=0.9, weighting="projection", permutations=0),
    "procrustes": lambda recs: geometry.procrustes(recs, permutations=0),
    "rsa": lambda recs: geometry.rsa(recs, metric="euclidean", permutations=0),
}


def off_diagonal(found):
    return float(found.similarity.sel(recording="a", recording2="b"))


@pytest.mark.parametrize("method", SIMILARITIES)
def test_rotation_scale_and_order_of_units_change_nothing(pair, rng, method):
    before = off_diagonal(SIMILARITIES[method](pair))
    turned = pair["a"].values @ ortho_group(10, seed=1).rvs() * 7.0 + 3.0
    moved = {"a": responses(turned), "b": pair["b"][:, rng.permutation(7)][rng.permutation(24)]}
    after = off_diagonal(SIMILARITIES[method](moved))
    if method == "pwcca":  # weighs by units, which a rotation mixes
        assert after == pytest.approx(before, abs=0.05)
    else:
        assert after == pytest.approx(before, abs=1e-8)
    if method != "cca":  # a penalty takes from a recording's likeness with itself too
        np.testing.assert_allclose(np.diag(SIMILARITIES[method](pair).similarity), 1, atol=1e-9)


def test_linear_cka_is_the_published_ratio_of_norms(pair):
    x, y = (rec.values - rec.values.mean(axis=0) for rec in pair.values())
    norm = np.linalg.norm
    expected = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert off_diagonal(geometry.cka(pair, debiased=False, permutations=0)) == pytest.approx(expected)


def test_debiased_cka_is_the_published_feature_space_formula(pair):
    """Kornblith et al.'s demonstration code writes it with squared row norms in place of Gram matrices."""
    x, y = (rec.values - rec.values.mean(axis=0) for rec in pair.values())
    n = len(x)

    def debiased(xty, one, other):
        first, second = (one**2).sum(axis=1), (other**2).sum(axis=1)
        return xty - n / (n - 2) * first @ second + first.sum() * second.sum() / ((n - 1) * (n - 2))

    norm = np.linalg.norm
    cross = debiased(norm(x.T @ y) ** 2, x, y)
    expected = cross / np.sqrt(debiased(norm(x.T @ x) ** 2, x, x) * debiased(norm(y.T @ y) ** 2, y, y))
    assert off_diagonal(geometry.cka(pair, permutations=0)) == pytest.approx(expected)


def test_debiased_cka_is_zero_where_nothing_is_shared_and_plain_cka_is_not():
    rng = np.random.default_rng(2)
    found = [
        [off_diagonal(geometry.cka(recs, debiased=debiased, permutations=0)) for debiased in (True, False)]
        for recs in ({name: responses(rng.standard_normal((20, 100))) for name in "ab"} for _ in range(30))
    ]
    debiased, plain = np.mean(found, axis=0)
    assert abs(debiased) < 0.03
    assert plain > 0.7


def test_the_interval_of_cka_covers_the_truth(rng):
    """The likeness of the populations is taken from very many stimuli."""
    maps = [rng.standard_normal((4, 15)) for _ in range(2)]

    def draw(n):
        latent = rng.standard_normal((n, 4))
        return {name: responses(latent @ m + rng.standard_normal((n, 15))) for name, m in zip("ab", maps, strict=True)}

    truth = off_diagonal(geometry.cka(draw(2500), permutations=0))
    inside = 0
    for seed in range(40):
        low, high = geometry.cka(draw(50), permutations=0, bootstraps=100, seed=seed).interval.values[:, 0, 1]
        inside += low <= truth <= high
    assert inside >= 33


def test_canonical_correlations_are_scikit_learns_and_the_planted_ones(rng):
    from sklearn.cross_decomposition import CCA

    latent = rng.standard_normal((200, 2))
    x = np.hstack([latent + 0.5 * rng.standard_normal((200, 2)), rng.standard_normal((200, 3))])
    y = np.hstack([latent + 0.5 * rng.standard_normal((200, 2)), rng.standard_normal((200, 2))])
    recs = {"a": responses(x @ rng.standard_normal((5, 5))), "b": responses(y @ rng.standard_normal((4, 4)))}
    found = geometry.cca(recs, variance=1.0, permutations=0)
    rho = found.canonical.sel(recording="a", recording2="b").values[:4]
    u, v = CCA(4, max_iter=5000, tol=1e-10).fit_transform(recs["a"].values, recs["b"].values)
    np.testing.assert_allclose(rho, [np.corrcoef(u[:, k], v[:, k])[0, 1] for k in range(4)], atol=1e-4)
    assert rho[1] > 0.6 > 0.4 > rho[2]
    assert off_diagonal(found) == pytest.approx(rho.mean())


def test_svcca_and_pwcca_are_the_published_recipes(pair):
    x, y = (rec.values - rec.values.mean(axis=0) for rec in pair.values())
    kept = []
    for values in (x, y):
        u, s, v = np.linalg.svd(values, full_matrices=False)
        k = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), 0.9) + 1)
        kept.append((u[:, :k] * s[:k], v[:k]))
    (p, vx), (q, _) = kept
    left, rho, _ = np.linalg.svd(np.linalg.qr(p)[0].T @ np.linalg.qr(q)[0], full_matrices=False)
    assert off_diagonal(geometry.cca(pair, variance=0.9, permutations=0)) == pytest.approx(rho.mean())
    variates = np.linalg.qr(p)[0] @ left
    weight = np.abs(variates.T @ (p @ vx)).sum(axis=1)
    expected = (weight * rho).sum() / weight.sum()
    found = geometry.cca(pair, variance=0.9, weighting="projection", permutations=0)
    assert off_diagonal(found) == pytest.approx(expected)
    assert float(found.similarity.values[1, 0]) != pytest.approx(expected, abs=1e-4)


def test_correlations_that_hold_whatever_the_data_are_refused(rng):
    many = {name: responses(rng.standard_normal((10, 30))) for name in "ab"}
    with pytest.raises(ni.AnalysisError, match=r"are 1 whatever the data; lower variance=, or give a penalty="):
        geometry.cca(many)
    p = float(geometry.cca(many, penalty=1.0, permutations=99).p_value.values[0, 1])
    assert p > 0.02


def test_procrustes_is_scipys_and_a_metric(rng):
    recs = {name: responses(rng.standard_normal((15, 6))) for name in "abcd"}
    found = geometry.procrustes(recs, permutations=0)
    x, y = ((v - v.mean(axis=0)) / np.linalg.norm(v - v.mean(axis=0)) for v in (recs["a"].values, recs["b"].values))
    assert off_diagonal(found) == pytest.approx(orthogonal_procrustes(x, y)[1])
    distance = found.distance.values
    for i in range(4):
        for j in range(4):
            assert (distance[i, j] <= distance[i] + distance[j] + 1e-12).all()
    mixed = {"a": recs["a"], "b": responses(recs["a"].values @ rng.standard_normal((6, 6)))}
    assert off_diagonal(geometry.procrustes(mixed, permutations=0)) < 0.999
    assert off_diagonal(geometry.procrustes(mixed, whitening=1.0, permutations=0)) == pytest.approx(1)


def test_hyperalignment_carries_to_stimuli_it_has_not_seen(rng):
    shared = rng.standard_normal((60, 4))
    people = {}
    for i in range(5):
        basis = np.linalg.qr(rng.standard_normal((12 + i, 4)))[0]
        people[f"p{i}"] = responses(shared @ basis.T + 0.2 * rng.standard_normal((60, 12 + i)) + 5)
    seen, unseen = ({name: rec[rows] for name, rec in people.items()} for rows in (slice(40), slice(40, 60)))
    found = geometry.hyperalignment(seen, 4)
    assert (np.diff(found.loss) <= 1e-12).all()
    assert float(found.explained_variance.mean()) > 0.7
    other = geometry.aligned(found, unseen).response.values
    best = []
    for one in range(5):
        rest = np.delete(other, one, 0).mean(axis=0)
        apart = ((other[one][:, None] - rest) ** 2).sum(axis=-1)
        best.append((apart.argmin(axis=1) == np.arange(20)).mean())
    assert np.mean(best) > 0.9
    raw = np.corrcoef(unseen["p0"].values[:, :12], unseen["p1"].values[:, :12])[:20, 20:]
    assert (raw.argmax(axis=1) == np.arange(20)).mean() < 0.3
    gram = found.shared.values.T @ found.shared.values
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-8 * gram.max()
    with pytest.raises(ni.AnalysisError, match="rank is 13"):
        geometry.hyperalignment(seen, 13)


def test_generalised_cca_finds_what_all_share(rng):
    common = rng.standard_normal((100, 2))
    recs = {
        name: responses(np.hstack([common @ rng.standard_normal((2, 3)), 3 * rng.standard_normal((100, 4))]))
        for name in "abc"
    }
    found = geometry.gcca(recs, 3)
    first = np.linalg.qr(common - common.mean(axis=0))[0]
    overlap = np.linalg.svd(first.T @ found.shared.values[:, :2], compute_uv=False)
    assert overlap.min() > 0.95
    assert found.eigenvalue.values[1] > 2.5 > 1.8 > found.eigenvalue.values[2]
    np.testing.assert_allclose(found.readout.sum("recording"), found.eigenvalue)


def test_drift_tells_moving_units_from_a_moving_geometry(rng):
    code = rng.standard_normal((16, 3))
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    generator = (turn - turn.T) / 6
    from scipy.linalg import expm

    basis = rng.standard_normal((3, 40))
    days = {
        f"day{d}": responses(code @ basis @ expm(d * generator) + 0.2 * rng.standard_normal((16, 40))) for d in range(6)
    }
    found = geometry.drift(days, permutations=199)
    assert float(found.slope.sel(measure="pattern")) < -0.1
    assert float(found.p_value.sel(measure="pattern")) < 0.05
    assert abs(float(found.slope.sel(measure="geometry"))) < 0.01
    assert float(found.similarity.sel(measure="geometry").min()) > 0.9
    with pytest.raises(ni.AlignmentError, match="does not hold the units"):
        geometry.drift({**days, "other": days["day0"][:, ::-1]})


def test_tokens_on_one_clock_are_matched_by_time(rng):
    make = lambda v: ni.recording(v, modality="activations", units="1", time=np.arange(30))  # noqa: E731
    layers = {"a": make(rng.standard_normal((30, 5))), "b": make(rng.standard_normal((30, 4)))}
    assert geometry.cka(layers, by="time", permutations=0).sizes["recording"] == 2
    with pytest.raises(ni.AlignmentError, match="do not hold the same time"):
        geometry.cka({"a": layers["a"], "b": layers["b"][5:]}, by="time")


@pytest.mark.parametrize("method", ["cka", "cca", "procrustes", "hyperalignment", "gcca"])
def test_missing_values_are_refused_with_their_count(pair, method):
    a = pair["a"].copy(deep=True)
    a[2:5, 1] = np.nan
    arguments = (2,) if method in ("hyperalignment", "gcca") else ()
    with pytest.raises(ni.AnalysisError, match="3 missing values"):
        getattr(geometry, method)({"a": a, "b": pair["b"]}, *arguments)
    flat = a.fillna(0.0) * 0
    flat.attrs = a.attrs
    if method != "hyperalignment":
        with pytest.raises(ni.AnalysisError, match="'a' gives the same pattern"):
            getattr(geometry, method)({"a": flat, "b": pair["b"]}, *arguments)


@pytest.mark.parametrize("method", [geometry.cka, geometry.cca, geometry.procrustes, geometry.rsa])
def test_draws_of_stimuli_that_leave_nothing_are_left_out_and_do_not_stop_the_rest(rng, method):
    """One stimulus of ten stands out, and the other nine are alike: a third of the draws miss it."""

    def make(values):
        return ni.recording(values, modality="fmri", units="1", dims=("trial", "unit"),
                            coords={"stimulus": ("trial", [f"s{i}" for i in range(10)])})  # fmt: skip

    odd = np.zeros((10, 3))
    odd[9, 1] = 1.0
    options = {"metric": "euclidean"} if method is geometry.rsa else {}
    found = method(
        {"a": make(rng.standard_normal((10, 3))), "odd": make(odd)}, permutations=9, bootstraps=30, **options
    )
    if method is geometry.cka:  # the unbiased estimate of its own HSIC is 0: nothing can be divided by it
        assert np.isnan(found.similarity.values[1]).all()
        assert np.isnan(found.p_value.values).all()
    else:
        assert np.isfinite(found.interval.values[:, 0, 1]).all()


def test_drift_of_a_single_unit_is_refused(rng):
    one = ni.recording(rng.standard_normal((6, 1)), modality="fmri", units="1", dims=("trial", "unit"),
                       coords={"stimulus": ("trial", list("abcdef"))})  # fmt: skip
    with pytest.raises(ni.AnalysisError, match="patterns of one unit"):
        geometry.drift({"a": one, "b": one, "c": one})


def test_a_recording_that_does_not_vary_is_not_aligned_and_missing_distances_are_not_drawn(pair):
    flat = pair[next(iter(pair))]
    flat = flat.copy(data=np.ones(flat.shape))
    with pytest.raises(ni.AnalysisError, match="'flat' gives the same pattern"):
        geometry.hyperalignment({**pair, "flat": flat}, 2)
    found = geometry.cka(pair, permutations=0)
    found = found.assign(similarity=found.similarity.copy(data=np.array([[1.0, np.nan], [np.nan, 1.0]])))
    with pytest.raises(ni.AnalysisError, match="distances are missing"):
        plot.embedding(found, Figure().subplots())
