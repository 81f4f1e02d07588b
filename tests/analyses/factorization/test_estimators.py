"""The estimators pass scikit-learn's own checks, and say what the functions say."""

import numpy as np
import pytest
from sklearn.decomposition import NMF as PEER
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurointerp as ni
from neurointerp.analyses import factorization
from neurointerp.analyses.factorization import NMF, SemiNMF


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([SemiNMF(max_iter=200), SemiNMF(keep_fraction=0.5, max_iter=200), NMF(max_iter=200)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    return rng.gamma(0.5, size=(80, 3)) @ rng.gamma(0.5, size=(3, 12)) + 0.01 * rng.random((80, 12))


def test_they_say_what_the_functions_say(values):
    rec = ni.recording(values, modality="spikes", units="1", sampling_rate=1.0)
    for estimator, method in ((NMF, factorization.nmf), (SemiNMF, factorization.semi_nmf)):
        model, res = estimator(3, random_state=4).fit(values), method(rec, 3, seed=4)
        np.testing.assert_allclose(model.components_ * np.sqrt(80), res.features.values)
        assert model.reconstruction_err_ == pytest.approx(float(res.relative_error) * np.linalg.norm(values))
        rest = np.linalg.norm(values - model.inverse_transform(model.transform(values)))
        assert rest <= model.reconstruction_err_ * 1.001


def test_coefficients_of_new_samples_are_their_non_negative_least_squares(values):
    from scipy.optimize import nnls

    model = SemiNMF(3).fit(values[:60])
    found = model.transform(values[60:])
    np.testing.assert_allclose(found, [nnls(model.components_.T, row)[0] for row in values[60:]], atol=1e-8)


@pytest.mark.parametrize(
    ("dtype", "atol"), [(np.float64, 1e-9), (np.float32, 0.02)]
)  # coefficients are in the hundreds
def test_they_are_so_too_where_components_nearly_depend_on_each_other(dtype, atol):
    """As those of signed noise do: coordinate descent alone stops far from the optimum."""
    from scipy.optimize import nnls

    noise = np.random.default_rng(0).standard_normal((80, 12))
    model = SemiNMF(5, random_state=1).fit(noise)
    assert np.linalg.cond(model.components_) > 100
    holes = np.where(np.random.default_rng(1).random(noise.shape) < 0.4, np.nan, noise)
    for given in (noise.astype(dtype), holes.astype(dtype)):
        there = ~np.isnan(given)
        best = [nnls(model.components_.T[t], row[t])[1] for row, t in zip(given.astype(float), there, strict=True)]
        rest = np.where(there, given - model.transform(given) @ model.components_, 0)
        np.testing.assert_allclose(np.linalg.norm(rest, axis=1), best, rtol=0, atol=atol)


def test_missing_values_are_left_out_of_the_fit_of_new_samples(values):
    from scipy.optimize import nnls

    model = NMF(3).fit(values)
    holes = values.copy()
    holes[3, 5:9] = np.nan
    known = ~np.isnan(holes[3])
    truth = nnls(model.components_.T[known], values[3, known])[0]
    np.testing.assert_allclose(model.transform(holes)[3], truth, atol=1e-8)


def test_not_worse_than_scikit_learn_and_at_home_in_a_pipeline(values):
    peer = PEER(3, init="nndsvd", max_iter=50_000, tol=1e-6).fit(values)
    assert peer.n_iter_ < 50_000
    assert NMF(3, n_init=3).fit(values).reconstruction_err_ <= peer.reconstruction_err_ * 1.001
    assert make_pipeline(StandardScaler(), SemiNMF(2)).fit_transform(values).shape == (80, 2)


def test_bad_input_is_a_value_error_that_names_it(values):
    with pytest.raises(ValueError, match="Negative values in data: 960 of 960 values are negative"):
        NMF(2).fit(-1 - values)
    with pytest.raises(ValueError, match="keep_fraction is 0"):
        SemiNMF(2, keep_fraction=0).fit(values)


def test_torch_tensors_stay_torch_tensors(values):
    torch = pytest.importorskip("torch")
    model = SemiNMF(3).fit(torch.asarray(values))
    found = model.transform(torch.asarray(values))
    assert isinstance(model.components_, torch.Tensor)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), SemiNMF(3).fit(values).transform(values), atol=1e-6)
    with pytest.raises(ValueError, match="X has 5 features, 12 were fitted"):
        model.transform(torch.zeros(2, 5))


@pytest.mark.parametrize("estimator", [NMF, SemiNMF])
@pytest.mark.parametrize(
    "wrong", [{"n_components": 0}, {"n_components": -1}, {"n_components": 2.5}, {"init": "kmean"}], ids=str
)
def test_arguments_out_of_range_are_named_before_any_work(values, estimator, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is "):
        estimator(**wrong).fit(values)


def test_tensors_that_are_no_matrix_of_numbers_are_refused_and_whole_numbers_taken(values):
    torch = pytest.importorskip("torch")
    counts = torch.tensor((10 * values).astype(np.int64))
    model = NMF(3)
    np.testing.assert_allclose(model.fit_transform(counts), NMF(3).fit_transform(counts.double()), rtol=1e-6)
    with pytest.raises(ValueError, match="1 infinite values"):
        SemiNMF(2).fit(torch.tensor([[1.0, 2.0], [float("inf"), 1.0]]))
    with pytest.raises(ValueError, match="1 dims"):
        SemiNMF(2).fit(torch.ones(5))


@pytest.mark.parametrize("size", [2.0**-75, 2.0**75])
def test_new_samples_of_any_size_keep_their_coefficients_in_float32(values, size):
    plain, scaled = (SemiNMF(2).fit(X) for X in (values.astype(np.float32), (values * size).astype(np.float32)))
    ours, theirs = plain.transform(values.astype(np.float32)), scaled.transform((values * size).astype(np.float32))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
