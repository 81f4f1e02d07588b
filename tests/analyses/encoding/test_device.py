"""Models computed with torch: the numbers of numpy, and one clear error where there is no such device."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.errors import AnalysisError

pytest.importorskip("torch", reason="torch is not installed")


def _pair(samples=150):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, 6)) * rng.uniform(0.3, 3, 6) + 2
    y = np.tanh(x @ rng.standard_normal((6, 4)) / 3) + 0.3 * rng.standard_normal((samples, 4))
    y[:, 3] = 1.0
    return [ni.recording(one, modality="fmri", units="1", sampling_rate=1.0) for one in (x, y)]


def _assert_attrs(found, expected):
    """The device is recorded; else the call was the same."""
    assert (found.attrs["parameters"]["device"], expected.attrs["parameters"]["device"]) == ("cpu", None)
    without = [
        {**one.attrs, "parameters": {k: v for k, v in one.attrs["parameters"].items() if k != "device"}}
        for one in (found, expected)
    ]
    assert without[0] == without[1]


KERNELS = ("rbf", "poly", "laplacian", "cosine", "sigmoid", "linear")
CALLS = {
    "banded_ridge": ("banded_ridge", {"bands": "half", "draws": 5, "alphas": np.logspace(0, 3, 5)}),
    "banded_ridge, high-pass": ("banded_ridge", {"bands": "half", "draws": 3, "high_pass": 40.0}),
    "banded_ridge, steps": ("banded_ridge", {"bands": "half", "draws": 3, "steps": 2, "cv": 2}),
    **{f"kernel_ridge, {kernel}": ("kernel_ridge", {"kernel": kernel, "cv": 2}) for kernel in KERNELS},
    "pls": ("pls", {"rank": 4}),
    "feature_importance": ("feature_importance", {"by": "half", "draws": 3}),
    "feature_importance, lags, high-pass": (
        "feature_importance",
        {"draws": 2, "lags": (0, 2), "high_pass": 40.0, "cv": 2},
    ),
    "pls, high-pass": ("pls", {"rank": 3, "high_pass": 40.0, "standardize": False}),
}


@pytest.mark.parametrize("call", CALLS)
def test_torch_gives_what_numpy_gives(call):
    method, options = CALLS[call]
    features, responses = _pair()
    features = features.assign_coords(half=("unit", ["a", "a", "a", "b", "b", "b"]))
    expected = getattr(encoding, method)(features, responses, **options)
    found = getattr(encoding, method)(features, responses, device="cpu", **options)
    _assert_attrs(found, expected)
    for name in expected.data_vars:
        assert found[name].dtype == expected[name].dtype
        # the power iterations of scikit-learn's PLS stop at some 1e-5
        near = {"rtol": 1e-4, "atol": 3e-5} if method == "pls" else {"rtol": 1e-6, "atol": 1e-8}
        np.testing.assert_allclose(found[name], expected[name], **near, err_msg=str(name))


@pytest.mark.parametrize(
    "method", ["ridge", "banded_ridge", "kernel_ridge", "pls", "feature_importance", "poisson_glm"]
)
@pytest.mark.parametrize("device", ["cuda:77", "abacus"])
def test_a_device_that_is_not_there_is_refused(method, device):
    options = {"rank": 2} if method == "pls" else {}
    with pytest.raises(AnalysisError, match=rf"encoding.{method}: device='{device}' is not available; there is cpu"):
        getattr(encoding, method)(*_pair(), device=device, **options)


def _spikes(samples=400):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((samples, 5)) * np.array([0.1, 1.0, 3.0, 1.0, 0.0]) + np.array([0.0, 4.0, 0.0, 0.0, 1.0])
    counts = rng.poisson(np.exp(0.3 * x[:, 1:4] @ rng.standard_normal((3, 4)) - 1.5))
    counts[:, 3] = rng.random(samples) < 0.02  # a unit with next to no spikes
    counts[::50, 3] += 1
    return [
        ni.recording(x, modality="stimulus", units="1", sampling_rate=100.0),
        ni.recording(counts.astype(float), modality="spikes", units="1", sampling_rate=100.0),
    ]


@pytest.mark.parametrize(
    "options",
    [{"cv": 2}, {"coupling": (1, 2), "alphas": 1e-4, "cv": 2}, {"standardize": False, "lags": (0, 1), "cv": 2}],
)
def test_spikes_are_fitted_by_newton_to_where_scikit_learn_stops(options):
    expected = encoding.poisson_glm(*_spikes(), **options)
    found = encoding.poisson_glm(*_spikes(), device="cpu", **options)
    _assert_attrs(found, expected)
    np.testing.assert_array_equal(found.alpha, expected.alpha)
    for name in expected.data_vars:
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(found[name], expected[name], atol=5e-4 * scale, err_msg=str(name))


def test_newton_is_at_the_minimum_also_in_parts(monkeypatch):
    import torch

    from neurointerp.analyses.encoding import _poisson

    x, counts = (torch.tensor(rec.values) for rec in _spikes())
    alpha = torch.tensor([1e-8, 1e-3, 1.0, 1e-6], dtype=torch.float64)
    weights, constant = _poisson.minimum(x, counts, alpha)
    missed = torch.exp(x @ weights + constant) - counts
    slope = x.T @ missed / len(x) + alpha * weights
    assert float(slope.abs().max()) < 1e-8
    assert float(missed.mean(dim=0).abs().max()) < 1e-8
    monkeypatch.setattr(_poisson, "CELLS", 6 * 150)
    torch.testing.assert_close(_poisson.minimum(x, counts, alpha)[0], weights)


def test_newton_holds_second_derivatives_of_some_units_at_a_time(monkeypatch):
    """Those of all would be units times features squared: gigabytes where a hundred units drive each other."""
    import torch

    from neurointerp.analyses.encoding import _poisson

    x, counts = (torch.tensor(rec.values) for rec in _spikes())
    alpha = torch.full((counts.shape[1],), 1e-3, dtype=torch.float64)
    whole = _poisson.minimum(x, counts, alpha)
    solve, held = torch.linalg.solve, []
    monkeypatch.setattr(torch.linalg, "solve", lambda a, b: held.append(a.shape[0]) or solve(a, b))
    monkeypatch.setattr(_poisson, "CELLS", 2 * (x.shape[1] + 1) ** 2)
    torch.testing.assert_close(_poisson.minimum(x, counts, alpha), whole)
    assert held
    assert max(held) == 2


def test_blocks_go_to_a_device_one_after_the_other():
    from neurointerp.backend import streamed

    batches = [(np.full((3, 2), float(i)), np.arange(i)) for i in range(5)]
    read = []

    def source():
        for batch in batches:
            read.append(len(read))
            yield batch

    for number, (values, index) in enumerate(streamed(source(), "cpu")):
        assert values.device.type == "cpu"
        assert len(read) <= number + 2  # one ahead, no more
        np.testing.assert_array_equal(values, batches[number][0])
        np.testing.assert_array_equal(index, batches[number][1])
    assert len(read) == 5


def test_recordings_in_chunks_are_summed_on_a_device():
    pytest.importorskip("dask", reason="dask is not installed")
    features, responses = _pair()
    chunked = features.chunk(time=40), responses.chunk(time=30, unit=3)
    options = {"lags": (0, 1), "alphas": np.logspace(0, 3, 5)}
    expected = encoding.ridge(features, responses, **options)
    found = encoding.ridge(*chunked, device="cpu", **options)
    for name in expected.data_vars:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-9, err_msg=str(name))
    with pytest.raises(AnalysisError, match="is not available"):
        encoding.ridge(*chunked, device="cuda:77")
