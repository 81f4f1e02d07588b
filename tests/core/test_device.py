"""Blocks on a torch device: here the processor, since no machine of the tests need have another."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import backend, device
from neurointerp.analyses import connectivity, factorization, tensor

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("dask")


@pytest.fixture(scope="module")
def rec():
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, size=(3000, 4)) @ rng.gamma(0.5, size=(4, 12)) + 0.1 * rng.random((3000, 12))
    return ni.recording(x.reshape(30, 100, 12), modality="calcium", units="1", sampling_rate=10.0,
                        dims=("trial", "time", "unit"))  # fmt: skip


CALLS = {
    "semi_nmf": (factorization.semi_nmf, {"rank": 3, "max_iter": 20}),
    "sparse": (factorization.semi_nmf, {"rank": 3, "max_iter": 20, "keep_fraction": 0.5}),
    "nmf": (factorization.nmf, {"rank": 3, "max_iter": 20}),
    "cp": (tensor.cp, {"rank": 2, "max_iter": 15}),
    "nonnegative_cp": (tensor.nonnegative_cp, {"rank": 2, "max_iter": 15}),
    "correlation": (connectivity.correlation, {}),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("chunked", "missing"), [(False, False), (True, True)])
def test_a_torch_device_gives_what_numpy_gives(name, chunked, missing, rec):
    call, options = CALLS[name]
    given = rec.copy(deep=True)
    if missing:
        given[3, 10:20, 2] = np.nan
    wanted = call(given, **options)
    found = call(given.chunk({"trial": 7}) if chunked else given, device="cpu", **options)
    for key, variable in wanted.data_vars.items():
        assert found[key].dtype == variable.dtype
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(found[key], variable, rtol=0, atol=1e-10 * float(np.abs(variable).max()))
    assert found.attrs["parameters"]["device"] == "cpu"
    assert wanted.attrs["parameters"]["device"] is None


def test_bfloat16_costs_what_the_documentation_says():
    x = np.random.default_rng(1).standard_normal((20_000, 16)).astype(np.float32)
    x[:, 1] += x[:, 0]
    signal = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    exact = connectivity.correlation(signal).connectivity
    rounded = connectivity.correlation(signal, device="cpu", precision="bfloat16").connectivity
    assert 0 < float(np.abs(rounded - exact).max()) < 1e-3
    loss = [float(factorization.semi_nmf(signal, 3, max_iter=15, device="cpu", precision=kind).loss[-1])
            for kind in (None, "bfloat16")]  # fmt: skip
    assert 0 < abs(loss[1] / loss[0] - 1) < 1e-3


def test_values_are_rounded_only_where_that_is_asked_for():
    values = np.array([[1 + 2**-12]], dtype=np.float32)
    assert float(backend.placed(values, "cpu")) == values[0, 0]
    assert float(backend.placed(values, "cpu", "tf32")) == values[0, 0]
    assert float(backend.placed(values, "cpu", "bfloat16")) == 1.0
    assert backend.placed(values, "cpu", "bfloat16").dtype == torch.float32


def test_tf32_is_allowed_for_the_products_alone():
    before = torch.get_float32_matmul_precision()
    seen = device.computed_on("cpu", "tf32", lambda x: torch.get_float32_matmul_precision(), np.zeros((2, 2)))
    assert (seen, torch.get_float32_matmul_precision()) == ("high", before)


def test_what_torch_does_not_have_is_refused(rec):
    with pytest.raises(ni.AnalysisError, match="correlation: device='warp' is not available; there is cpu"):
        connectivity.correlation(rec, device="warp")
    with pytest.raises(ni.AnalysisError, match="correlation: device='meta' is not available"):  # which holds no values
        connectivity.correlation(rec, device="meta")
    with pytest.raises(ni.AnalysisError, match="semi_nmf: precision is 'half'; one of None, 'tf32', 'bfloat16'"):
        factorization.semi_nmf(rec, 2, device="cpu", precision="half")
    with pytest.raises(ni.AnalysisError, match="nmf: precision 'tf32' is that of a device; pass device= too"):
        factorization.nmf(rec, 2, precision="tf32")
    with pytest.raises(ni.AnalysisError, match="cp: device 'cpu' is for one recording and init='random'"):
        tensor.cp(rec, 2, init="svd", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ni.AnalysisError, match="device='cuda' is not available"):
            connectivity.correlation(rec, device="cuda")


def test_values_that_may_not_be_written_to_are_copied():
    values = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(backend.placed(values, "cpu").numpy(), values)
    values.flags.writeable = False
    tensor = backend.placed(values, "cpu")  # without torch's warning, which says that it is not safe
    tensor += 1
    assert values[0, 0] == 0
    bare = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    assert np.array_equal(next(backend.streamed([(bare.values,)], "cpu"))[0].numpy(), values)
