"""Ridge decoders computed with torch: the numbers of numpy, and one clear error where that cannot be."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import decoding
from neurointerp.errors import AnalysisError

pytest.importorskip("torch", reason="torch is not installed")

CALLS = {
    "linear": ("linear", {"method": "ridge"}),
    "linear, each": ("linear", {"method": "ridge", "time": "each", "penalty": 10.0}),
    "linear, features": ("linear", {"method": "ridge", "time": "features"}),
    "time_generalisation": ("time_generalisation", {"method": "ridge", "penalty": [1.0, 100.0]}),
}


def _assert_alike(found, expected):
    assert (found.attrs["parameters"].pop("device"), expected.attrs["parameters"].pop("device")) == ("cpu", None)
    assert found.attrs == expected.attrs
    assert set(found) == set(expected)
    for name in expected.data_vars:
        assert found[name].dtype == expected[name].dtype
        if expected[name].dtype.kind in "fi":
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-9, err_msg=str(name))
        else:
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("call", CALLS)
def test_classes_are_told_as_numpy_tells_them(call, classes, trials):
    method, options = CALLS[call]
    rec = trials(count=48, times=5, units=4, classes=classes)
    both = [
        getattr(decoding, method)(rec, "condition", permutations=4, cv=3, device=device, **options)
        for device in (None, "cpu")
    ]
    assert float(both[0].balanced_accuracy.max()) > 1.2 / len(classes)
    _assert_alike(both[1], both[0])


@pytest.mark.parametrize(
    "options", [{}, {"alphas": 5.0, "standardize": False}, {"lags": (0, -2), "permutations": 3, "cv": 3}]
)
@pytest.mark.parametrize("units", [6, 150])
def test_continuous_targets_are_decoded_as_numpy_decodes_them(options, units):
    rng = np.random.default_rng(0)
    target = rng.standard_normal((120, 2)).cumsum(axis=0)
    brain = target @ rng.standard_normal((2, units)) + rng.standard_normal((120, units))
    brain[:, 0] = 3.0
    pair = [ni.recording(one, modality="meg", units="1", sampling_rate=10.0) for one in (brain, target)]
    _assert_alike(decoding.ridge(*pair, device="cpu", **options), decoding.ridge(*pair, **options))


def test_what_is_no_product_or_no_device_is_refused(trials):
    rec = trials(count=24).assign_coords(value=("trial", np.arange(24.0)))
    with pytest.raises(AnalysisError, match="device='cpu' is for method='ridge'"):
        decoding.linear(rec, "condition", device="cpu")
    for call, target, options in (
        (decoding.linear, "condition", {"method": "ridge"}),
        (decoding.time_generalisation, "condition", {"method": "ridge"}),
        (decoding.ridge, "value", {}),
    ):
        with pytest.raises(AnalysisError, match=r"decoding.*: device='cuda:77' is not available; there is cpu"):
            call(rec, target, device="cuda:77", **options)
