"""Blocks on a torch device: here the processor, since no machine of the tests need have another."""

import weakref
from functools import partial

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import backend, device
from neurointerp.analyses import connectivity, factorization, geometry, tensor

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("dask")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402


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
    "shrunk": (connectivity.correlation, {"method": "ledoit_wolf"}),
    "covariance": (connectivity.covariance, {"method": "ledoit_wolf"}),
    "covariance_centred": (connectivity.covariance, {"centre": "segment"}),
    "partial_correlation": (connectivity.partial_correlation, {}),
    "tucker": (tensor.tucker, {"rank": 2, "max_iter": 5}),
}
COMPLETE = {
    "graphical_lasso": (connectivity.partial_correlation, {"method": "graphical_lasso", "alpha": 0.5}),
    "lagged": (connectivity.lagged, {"max_lag": 7}),
    "spectral": (connectivity.spectral, {}),
    "one taper": (connectivity.spectral, {"mode": "fourier", "window": 20, "step": 15}),
    "wavelets": (connectivity.spectral, {"mode": "morlet", "frequencies": [1.5, 3.0], "cycles": 3.0, "decimate": 7}),
    "wpli": (connectivity.wpli, {"mode": "fourier"}),
    "pca": (factorization.pca, {"rank": 3}),
    "logcosh": (factorization.ica, {"rank": 3}),
    "exp": (factorization.ica, {"rank": 3, "contrast": "exp"}),
    "cube": (factorization.ica, {"rank": 3, "contrast": "cube", "max_iter": 3}),
    "parafac2": (tensor.parafac2, {"rank": 2, "max_iter": 10, "restarts": 2}),
    "granger": (connectivity.granger, {"order": 3}),
    "order by pairs": (connectivity.granger, {}),
    "conditional": (connectivity.granger, {"conditional": True}),
    "spectral_granger": (connectivity.spectral_granger, {"order": 2, "n_frequencies": 9}),
    "effective": (connectivity.effective, {"order": 2}),
    "penalised": (connectivity.effective, {"order": 2, "alpha": 0.1}),
    "sliding": (connectivity.dynamic, {"window": 20, "step": 7}),
    "tapered": (connectivity.dynamic, {"method": "tapered", "window": 20, "step": 7}),
}
"""What refuses missing values."""


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("chunked", "missing"), [(False, False), (True, True)])
def test_a_torch_device_gives_what_numpy_gives(name, chunked, missing, rec):
    call, options = CALLS[name]
    given = rec.copy(deep=True)
    if missing:
        given[3, 10:20, 2] = np.nan
    wanted = call(given, **options)
    require_same(call(given.chunk({"trial": 7}) if chunked else given, device="cpu", **options), wanted)


def require_same(found, wanted, tolerance=1e-10):
    """Ask for the same numbers, to a part of the largest of a variable, in the same types."""
    for key, variable in wanted.data_vars.items():
        assert found[key].dtype == variable.dtype
        if variable.dtype.kind == "f":
            size = float(np.nanmax(np.abs(variable)))
            np.testing.assert_allclose(found[key], variable, rtol=0, atol=tolerance * size, err_msg=str(key))
        else:
            np.testing.assert_array_equal(found[key], variable)
    assert set(found.data_vars) == set(wanted.data_vars)
    assert found.attrs["parameters"]["device"] == "cpu"
    assert wanted.attrs["parameters"]["device"] is None


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_torch_device_gives_what_numpy_gives_of_what_is_complete(name, chunked, rec):
    call, options = COMPLETE[name]
    # ica: the whitening is of products, not of singular values; granger: p-values near 1 are as steep as a root
    tolerance = 1e-8 if call in (factorization.ica, connectivity.granger) else 1e-10
    given = rec.chunk({"trial": 7}) if chunked else rec
    require_same(call(given, device="cpu", **options), call(rec, **options), tolerance)


@pytest.fixture(scope="module")
def seen():
    """Two recordings of 40 stimuli, twice each, that share what they hold."""
    rng = np.random.default_rng(4)
    shown = rng.standard_normal((40, 6))
    coords = {"stimulus": ("trial", np.arange(80) % 40), "repeat": ("trial", np.arange(80) // 40)}
    return {
        name: ni.recording(np.tile(shown, (2, 1)) @ rng.standard_normal((6, 9)) + rng.standard_normal((80, 9)),
                           modality="fmri", units="1", dims=("trial", "unit"), coords=coords)
        for name in ("one", "two")
    }  # fmt: skip


@pytest.mark.parametrize("metric", ["correlation", "euclidean", "mahalanobis", "crossnobis"])
def test_distances_of_stimuli_on_a_device(metric, seen):
    require_same(*(geometry.rdm(seen["one"], metric=metric, device=place) for place in ("cpu", None)))
    if metric in ("correlation", "euclidean"):
        holes = seen["one"].copy(deep=True)
        holes[5, 2] = holes[45, 2] = holes[7, 3] = np.nan
        require_same(*(geometry.rdm(holes, metric=metric, device=place) for place in ("cpu", None)))
        chunked = seen["one"].chunk(trial=11)
        require_same(geometry.rdm(chunked, metric=metric, device="cpu"), geometry.rdm(seen["one"], metric=metric))


def test_likeness_of_recordings_on_a_device(seen):
    for call, options in (
        (geometry.rsa, {}),
        (geometry.cka, {}),
        (geometry.cca, {"penalty": 0.1}),
        (geometry.cca, {"weighting": "projection", "variance": 0.8, "bootstraps": 10}),
        (geometry.procrustes, {"whitening": 0.3, "bootstraps": 10}),
    ):
        require_same(*(call(seen, permutations=20, device=place, **options) for place in ("cpu", None)))


def test_a_shared_space_on_a_device(seen):
    require_same(*(geometry.hyperalignment(seen, 4, max_iter=30, device=place) for place in ("cpu", None)), 1e-8)
    chunked = {name: rec.chunk(trial=11) for name, rec in seen.items()}
    require_same(*(geometry.hyperalignment(chunked, 9, max_iter=3, device=place) for place in ("cpu", None)))
    still = seen | {"three": seen["one"].copy(data=np.ones(seen["one"].shape))}
    for call, options in ((geometry.cca, {}), (geometry.procrustes, {}), (geometry.hyperalignment, {"rank": 2})):
        with pytest.raises(ni.AnalysisError, match="'three' gives the same pattern for all 40 stim"):
            call(still, device="cpu", **options)


def test_dependent_pasts_are_refused_on_a_device():
    x = np.random.default_rng(9).standard_normal((300, 2))
    copies = ni.recording(x[:, [0, 1, 0]], modality="eeg", units="V", sampling_rate=100.0)
    for conditional in (False, True):
        for order in (2, None):
            with pytest.raises(ni.AnalysisError, match="granger: the pasts of units are linearly dependent"):
                connectivity.granger(copies, order=order, conditional=conditional, device="cpu")


def test_units_that_stand_still_in_a_window_are_nan_there_on_a_device():
    x = np.random.default_rng(10).standard_normal((200, 3)) + 1e6
    x[40:120, 1] = 1e6 + 0.1
    rec = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0)
    for method in ("sliding", "tapered"):
        found, wanted = (connectivity.dynamic(rec, method=method, window=20, step=5, device=d) for d in ("cpu", None))
        require_same(found, wanted, 1e-9)
        assert int(np.isnan(found.connectivity[:, 1, 1]).sum()) == 13


def test_subjects_and_units_without_variance_on_a_device():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 400, 5)).cumsum(axis=1) + 50
    x[:, :, 2] = 7.0
    two = ni.recording(x, modality="eeg", units="V", sampling_rate=100.0, dims=("subject", "time", "unit"))
    for call, options in (
        (connectivity.covariance, {"method": "oas"}),
        (connectivity.partial_correlation, {}),
        (connectivity.lagged, {"max_lag": 3}),
        (connectivity.spectral, {"window": 50}),
        (connectivity.granger, {"conditional": True}),
        (connectivity.effective, {"order": 2}),
        (connectivity.dynamic, {"window": 25}),
        (connectivity.dynamic, {"method": "tapered", "window": 25, "step": 40}),
    ):
        require_same(call(two, device="cpu", **options), call(two, **options), 1e-9)
    absent = two.copy(deep=True)
    absent[1, :, 0] = np.nan  # a unit that one subject lacks
    for call, options in (
        (connectivity.lagged, {"max_lag": 3}),
        (connectivity.coherence, {"window": 50}),
        (connectivity.granger, {"order": 2}),
        (connectivity.effective, {}),
        (connectivity.dynamic, {"window": 25}),
    ):
        require_same(call(absent, device="cpu", **options), call(absent, **options), 1e-9)


def test_single_precision_stays_single_on_a_device(rec):
    narrow = rec.astype(np.float32)
    narrow.attrs = rec.attrs
    for name in ("covariance", "partial_correlation", "tucker", "lagged", "spectral", "pca", "parafac2"):
        call, options = (CALLS | COMPLETE)[name]
        wide, here, there = call(rec, **options), call(narrow, **options), call(narrow, device="cpu", **options)
        for key, variable in here.data_vars.items():
            assert there[key].dtype == variable.dtype
            if variable.dtype == np.float32:
                missed, missed_here = (float(np.abs(one[key] - wide[key]).max()) for one in (there, here))
                assert missed < 3 * missed_here + 1e-6 * float(np.abs(wide[key]).max()), (name, key)
    found, wanted = (factorization.pca(narrow, 3, device=place).features.values for place in ("cpu", None))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)  # products in float64 all the same


def test_more_units_than_samples_on_a_device():
    x = np.random.default_rng(6).standard_normal((30, 90)) + 100
    wide = ni.recording(x, modality="fmri", units="1", dims=("trial", "unit"))
    for given in (wide, wide.chunk(trial=7, unit=40)):
        require_same(factorization.pca(given, 4, device="cpu"), factorization.pca(wide, 4))


def test_a_device_gets_no_more_of_a_wide_recording_at_once_than_a_block_or_the_products_hold(monkeypatch):
    from neurointerp.analyses.factorization import _principal

    sizes = []

    def counted(device, precision, kernel, values, *args):
        sizes.append(values.size)
        return computed_on(device, precision, kernel, values, *args)

    computed_on = _principal.computed_on
    monkeypatch.setattr(_principal, "computed_on", counted)
    monkeypatch.setattr(_principal, "available", lambda: 2**33)  # here there is room for all units at once
    x = np.random.default_rng(8).standard_normal((30, 900))
    wide = ni.recording(x, modality="fmri", units="1", dims=("trial", "unit"))
    require_same(factorization.pca(wide.chunk(trial=2), 4, device="cpu"), factorization.pca(wide, 4))
    assert max(sizes) == 2 * 900


def test_a_common_reference_takes_a_dimension_on_a_device_too(rec):
    referenced = rec.copy(data=rec.values - rec.values.mean(axis=-1, keepdims=True))
    for place in ("cpu", None):
        with pytest.raises(ni.AnalysisError, match="rank is 12, but the recording varies along 11 dimensions only"):
            factorization.ica(referenced, 12, device=place)
    require_same(*(factorization.ica(referenced, 10, device=place, max_iter=3) for place in ("cpu", None)), 1e-8)


def test_a_unit_and_its_copy_have_no_lag_on_a_device():
    x = np.random.default_rng(7).standard_normal((600, 2)).cumsum(axis=0)
    twins = ni.recording(x[:, [0, 1, 0]], modality="eeg", units="V", sampling_rate=100.0)
    for measure in ("pli", "wpli"):
        assert getattr(connectivity, measure)(twins, window=60, device="cpu").connectivity[0, 2].max() == 0


def test_what_a_reduced_precision_costs():
    x = np.random.default_rng(8).standard_normal((8000, 16)).astype(np.float32) * np.geomspace(
        4, 1, 16, dtype=np.float32
    )
    x[:, 1] += x[:, 0]
    x[1:, 2] += 2 * x[:-1, 0]
    signal = ni.recording(x + 20, modality="eeg", units="V", sampling_rate=100.0)
    for call, name, largest in (
        (connectivity.covariance, "connectivity", 2e-3),
        (connectivity.partial_correlation, "connectivity", 2e-3),
        (lambda rec, **on: connectivity.lagged(rec, max_lag=2, **on), "connectivity", 2e-3),
        (lambda rec, **on: factorization.pca(rec, 2, **on), "features", 5e-3),
    ):
        exact = call(signal)[name]
        rounded = call(signal, device="cpu", precision="bfloat16")[name]
        assert 0 < float(np.abs(rounded - exact).max() / np.abs(exact).max()) < largest


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
    for call, options, why in (
        (connectivity.correlation, {"method": "spearman"}, "method='spearman', whose ranks"),
        (connectivity.partial_correlation, {"method": "graphical_lasso"}, "method='graphical_lasso' without alpha"),
    ):
        with pytest.raises(ni.AnalysisError, match=f"device 'cpu' is not for {why}"):
            call(rec, device="cpu", **options)
    with pytest.raises(ni.AnalysisError, match="dynamic: device 'cpu' is not for method='phase', whose analytic"):
        connectivity.dynamic(rec, method="phase", device="cpu")
    for call in (geometry.cca, geometry.procrustes, partial(geometry.hyperalignment, rank=2)):
        with pytest.raises(ni.AnalysisError, match="device='warp' is not available"):
            call({"one": rec, "two": rec}, device="warp")
    with pytest.raises(ni.AnalysisError, match="cka: device 'cpu' is not for kernel='rbf'"):
        geometry.cka({"one": rec, "two": rec}, kernel="rbf", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ni.AnalysisError, match="device='cuda' is not available"):
            connectivity.correlation(rec, device="cuda")


@pytest.mark.parametrize("name", [
    "covariance", "tucker", "pca", "logcosh", "spectral", "lagged", "parafac2", "granger", "spectral_granger",
    "effective", "sliding",
])  # fmt: skip
def test_a_device_that_is_not_there_is_refused_before_anything_is_read(name, rec):
    def read(block):
        raise AssertionError("read")

    call, options = (CALLS | COMPLETE)[name]
    chunked = rec.chunk({"trial": 7})
    unread = chunked.copy(data=chunked.data.map_blocks(read, dtype=rec.dtype, meta=np.empty((0, 0, 0))))
    with pytest.raises(ni.AnalysisError, match="device='warp' is not available"):
        call(unread, device="warp", **options)


def test_what_does_not_fit_on_a_device_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda place: (2**30, 2**34))  # there need be no card here
    device.require_room(2**28, "cuda", "tensor.tucker")
    with pytest.raises(ni.AnalysisError, match=r"tucker: needs all values on device 'cuda' at once: 0\.5 GiB"):
        device.require_room(2**29, "cuda", "tensor.tucker")
    device.require_room(2**40, "cpu", "tensor.tucker")  # which is asked elsewhere


class Held(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive after each operation."""

    def __init__(self):
        super().__init__()
        self.seen, self.peak = [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        self.seen += [weakref.ref(one) for one in tree_flatten((args, found))[0] if isinstance(one, torch.Tensor)]
        alive = [one for one in (known() for known in self.seen) if one is not None]
        self.seen = [weakref.ref(one) for one in alive]
        self.peak = max(
            self.peak, sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in alive)}.values())
        )
        return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("ranks", [[2, 2, 2], [20, 3, 6], [20, 30, 40]])
def test_tucker_on_a_device_holds_no_more_than_it_asks_room_for(dtype, missing, ranks):
    from neurointerp.analyses.tensor.tucker import _fit_on, copies_of

    rng = np.random.default_rng(11)
    x = np.einsum("ai,bi,ci->abc", *(rng.standard_normal((size, 2)) for size in (20, 30, 40)))
    x = (x + 1e-3 * rng.standard_normal(x.shape)).astype(dtype)
    seen = rng.random(x.shape) > 0.1 if missing else None
    x = np.where(seen, x, dtype(0)) if missing else x
    with Held() as held:
        fit = _fit_on(torch.from_numpy(x), seen, ranks, 60, 0.0)
    assert fit.losses[-1] < 1e-2  # float32 went on in float64
    assert held.peak <= copies_of(x, missing, ranks) * x.nbytes
    if missing and ranks[0] == 2:
        assert held.peak > 3 * x.nbytes  # what every other analysis asks for


def test_tucker_with_missing_values_asks_a_card_for_the_room_of_its_copies(monkeypatch, rec):
    from neurointerp.analyses.tensor import tucker

    holes = rec.copy(deep=True)
    holes[3, 10:20, 2] = np.nan
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda place: (int(3.5 * rec.nbytes), 2**40))  # of a card
    monkeypatch.setitem(
        tucker.__globals__, "require_room", lambda size, place, *rest: device.require_room(size, "cuda", *rest)
    )
    tensor.tucker(rec, 2, max_iter=2, device="cpu")
    with pytest.raises(ni.AnalysisError, match=r"tensor.tucker: needs all values on device .* and 4\.[0-9]+ times"):
        tensor.tucker(holes, 2, max_iter=2, device="cpu")


def test_values_that_may_not_be_written_to_are_copied():
    values = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(backend.placed(values, "cpu").numpy(), values)
    values.flags.writeable = False
    tensor = backend.placed(values, "cpu")  # without torch's warning, which says that it is not safe
    tensor += 1
    assert values[0, 0] == 0
    bare = ni.recording(values, modality="eeg", units="V", sampling_rate=1.0)
    assert np.array_equal(next(backend.streamed([(bare.values,)], "cpu"))[0].numpy(), values)
