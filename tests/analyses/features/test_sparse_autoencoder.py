"""The sparse autoencoder: planted features, codes that its own weights give, and honest training."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import features
from neurointerp.analyses.features import _sparse_codes
from neurointerp.analyses.features._sparse_codes import backward
from neurointerp.errors import AnalysisError

pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(scope="module")
def mixed():
    """Give sparse non-negative mixtures of eight signed features, about an offset, and the features."""
    rng = np.random.default_rng(0)
    true = rng.standard_normal((8, 30))
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    codes = (rng.random((1500, 8)) < 0.15) * rng.gamma(4, 0.5, (1500, 8))
    values = codes @ true + 0.05 * rng.standard_normal((1500, 30)) + 3.0
    return ni.recording(values, modality="activations", units="1", time=np.arange(1500)), true


@pytest.mark.parametrize("options", [{"penalty": 0.1}, {"active": 2}])
def test_planted_features_come_back(mixed, options):
    rec, true = mixed
    res = features.sparse_autoencoder(rec, 12, max_epochs=80, batch_size=100, learning_rate=3e-3, **options)
    F = res.features.values
    cosine = true @ (F / np.maximum(np.linalg.norm(F, axis=1, keepdims=True), 1e-12)).T
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    assert cosine[rows, columns].mean() > 0.93
    if "active" in options:
        assert res.mean_active <= 2


def test_coefficients_and_error_are_those_of_the_stored_weights(mixed):
    rec, _ = mixed
    res = features.sparse_autoencoder(rec[:300], 6, max_epochs=20, seed=3)
    x = rec.values[:300] - res.offset.values
    codes = np.maximum(x @ res.encoder.values.T + res.encoder_bias.values, 0)
    np.testing.assert_allclose(codes / np.linalg.norm(codes, axis=0), res.coefficients.values, atol=1e-5)
    fitted = res.coefficients.values @ res.features.values + res.offset.values
    error = np.linalg.norm(rec.values[:300] - fitted) / np.linalg.norm(rec.values[:300])
    assert float(res.relative_error) == pytest.approx(error, rel=1e-6)
    assert float(res.mean_active) == pytest.approx((codes > 1e-7).sum(axis=1).mean(), rel=0.01)
    sizes = np.linalg.norm(res.features.values, axis=1)
    assert (np.diff(sizes) <= 1e-9).all()


def test_the_loss_levels_off_and_the_scale_of_the_data_does_not_matter(mixed):
    rec = mixed[0][:400]
    res = features.sparse_autoencoder(rec, 8, batch_size=64, learning_rate=3e-3)
    assert res.stop_reason.item() == "tolerance"
    loss = res.loss.values
    assert loss[-1] < 0.5 * loss[0]
    assert loss[-10:].min() > 0.98 * loss[:-10].min()  # the last ten epochs brought nothing
    tiny = features.sparse_autoencoder((rec * 1e-6).assign_attrs(rec.attrs), 8, batch_size=64, learning_rate=3e-3)
    np.testing.assert_allclose(tiny.features.values * 1e6, res.features.values, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank is 0"),
        ({"rank": 4, "active": 5}, "active is 5"),
        ({"rank": 4, "penalty": -1.0}, "penalty -1.0"),
        ({"rank": 4, "max_epochs": True}, "max_epochs is True"),
    ],
)
def test_bad_parameters_are_refused(mixed, options, message):
    with pytest.raises(AnalysisError, match=message):
        features.sparse_autoencoder(mixed[0], **options)


def test_values_that_are_missing_or_do_not_vary_are_refused(mixed):
    rec = mixed[0][:50].copy(deep=True)
    with pytest.raises(AnalysisError, match="do not vary over 1 samples"):
        features.sparse_autoencoder(rec[:1], 2)
    rec[0, :2] = np.nan
    with pytest.raises(AnalysisError, match="2 missing values"):
        features.sparse_autoencoder(rec, 2)


@pytest.mark.parametrize(("rank", "active"), [(150, 7), (40, 40), (300, 140), (3, 1)])
def test_gradients_of_active_codes_alone_are_those_of_automatic_differentiation(rank, active):
    rng = torch.Generator().manual_seed(0)
    x, F, E, e, b = (torch.randn(*shape, generator=rng) for shape in ((60, 20), (rank, 20), (rank, 20), (rank,), (20,)))
    parameters = [torch.nn.Parameter(one) for one in (F, E, e, b)]
    loss, fired = backward(x, *parameters, active)
    ours = [parameter.grad.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    F, E, e, b = parameters
    codes = ((x - b) @ E.T + e).relu()
    top = codes.topk(active, dim=1)
    kept = torch.zeros_like(codes).scatter(1, top.indices, top.values)
    dense = (x - kept @ F - b).square().sum(1).mean()
    dense.backward()
    assert loss == pytest.approx(float(dense.detach()), rel=1e-5)
    assert torch.equal(fired, (kept > 0).any(0))
    for mine, parameter in zip(ours, parameters, strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-4 * float(parameter.grad.abs().max()))


def _dictionary(kind, rng):
    """Give samples, directions and biases for which products in bfloat16 tell too little."""
    x = torch.randn(300, 40, generator=rng) + 2.0
    E, e = torch.randn(500, 40, generator=rng), torch.randn(500, generator=rng)
    if kind == "sizes":
        x, E = x * torch.logspace(-3, 3, 300)[:, None], E * torch.logspace(-4, 4, 500)[:, None]
        x[7], E[11] = 0, 0
        return x, E, e
    if kind == "alike":
        return x, E[:1] + 1e-4 * E, 0 * e
    if kind == "biased":
        return x, E, 1e3 + 1e-2 * e
    return x - 4.0, E.abs(), -30 * e.abs()  # hardly a code is above zero


@pytest.mark.parametrize("kind", ["sizes", "alike", "biased", "negative"])
def test_screening_in_bfloat16_leaves_the_codes_those_of_float32(monkeypatch, kind):
    monkeypatch.setattr(_sparse_codes, "WORTH", 0)
    monkeypatch.setattr(_sparse_codes, "_multiplies_bfloat16", lambda: True)  # torch multiplies so anywhere, slowly
    x, E, e = _dictionary(kind, torch.Generator().manual_seed(1))
    values, places = _sparse_codes.codes(x, E, e, 9)
    exact = x.double() @ E.double().T + e.double()
    doubt = 1e-6 * (x.norm(dim=1)[:, None] * E.norm(dim=1) + e.abs()).double()
    mine = torch.from_numpy(values).double()
    least = (exact - doubt).topk(9, dim=1).values.relu()
    most = (exact + doubt).topk(9, dim=1).values.relu()
    assert ((mine >= least) & (mine <= most)).all()
    there = torch.from_numpy(places)
    error = (mine - exact.gather(1, there).relu()).abs()
    assert (error <= doubt.gather(1, there))[mine > 0].all()
    assert all(len(set(row[:count])) == count for row, count in zip(places, (values > 0).sum(axis=1), strict=True))


def test_codes_that_nothing_bounds_are_not_screened(monkeypatch):
    monkeypatch.setattr(_sparse_codes, "WORTH", 0)
    monkeypatch.setattr(_sparse_codes, "_multiplies_bfloat16", lambda: True)
    x, E, e = _dictionary("alike", torch.Generator().manual_seed(1))
    for wrong in (x.clone().fill_(float("nan")), x * 1e-30, x * 1e38):
        assert _sparse_codes._rough(wrong, E) is None
    values, places = _sparse_codes.codes(x * 1e-30, E, e + torch.arange(500.0), 3)
    assert places.tolist() == [[499, 498, 497]] * 300
    assert values.tolist() == [[499, 498, 497]] * 300


def test_a_large_bias_whose_rounding_decides_is_added_as_in_float32(monkeypatch):
    """All codes are equal in float32; in bfloat16 the later ones seem larger by two of the last digits of the bias."""
    monkeypatch.setattr(_sparse_codes, "WORTH", 0)
    monkeypatch.setattr(_sparse_codes, "_multiplies_bfloat16", lambda: True)
    digit = 2.0**-9  # the last of 2 ** 14
    E, e = torch.full((200, 2), digit / 2), torch.full((200,), 2.0**14)
    E[:100, 1] *= 2.0**-9  # a little more than half a digit, which rounds up
    E[100:, 1] *= -(2.0**-10)  # a little less than half, which does not
    e[100:] += digit
    values, places = _sparse_codes.codes(torch.ones(5, 2), E, e, 9)
    np.testing.assert_array_equal(values, np.full((5, 9), 2.0**14 + digit))
    np.testing.assert_array_equal(places, np.tile(np.arange(9), (5, 1)))
