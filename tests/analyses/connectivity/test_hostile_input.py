"""What users do hand over: huge and tiny scales, offsets, nothing that varies, no units, chunks, float32."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError

MEASURES = {
    "correlation": {}, "partial_correlation": {}, "mutual_information": {}, "lagged": {}, "coherence": {}, "wpli": {},
    "granger": {}, "spectral_granger": {}, "effective": {}, "dynamic": {}, "affinity": {},
}  # fmt: skip


def values(samples=300, seed=0):
    x = np.random.default_rng(seed).standard_normal((samples, 4))
    x[1:, 1] += x[:-1, 0]
    return x


def recording(x, **options):
    return ni.recording(x, **({"modality": "eeg", "units": "V", "sampling_rate": 100.0} | options))


def measured(name, rec, **options):
    found = getattr(connectivity, name)(rec, **MEASURES.get(name, {}), **options)
    return np.asarray(found["affinity" if name == "affinity" else "connectivity"].values, dtype=float)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("change", ["huge", "tiny", "offset", "float32", "chunks"])
def test_scale_offset_type_and_chunks_do_not_change_the_answer(name, change):
    x = values()
    rec = {
        "huge": lambda: recording(x * 1e200),
        "tiny": lambda: recording(x * 1e-200),
        "offset": lambda: recording(x + 1e4),
        "float32": lambda: recording(x.astype(np.float32)),
        "chunks": lambda: recording(x).chunk({"time": 70}),
    }[change]()
    tolerance = {"chunks": 1e-12, "float32": 3e-4 if name == "mutual_information" else 2e-5}.get(change, 1e-6)
    np.testing.assert_allclose(measured(name, rec), measured(name, recording(x)), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", [*(n for n in MEASURES if n != "affinity"), "transfer_entropy"])
def test_where_nothing_varies_nothing_is_defined(name):
    options = {"threshold": 0.0} if name == "transfer_entropy" else {}
    assert np.isnan(measured(name, recording(np.ones((300, 4))), **options)).all()


def test_an_affinity_of_nothing_is_refused():
    with pytest.raises(AnalysisError, match="none of the 4 units varies together with another"):
        connectivity.affinity(recording(np.ones((300, 4))))


@pytest.mark.parametrize("name", [*MEASURES, "covariance", "communities", "states", "null"])
def test_a_recording_without_units_is_refused(name):
    with pytest.raises(AnalysisError, match="the recording has no units"):
        getattr(connectivity, name)(recording(values()[:, :0]))


def test_a_covariance_that_the_dtype_does_not_hold_is_refused():
    for rec in (recording(values() * 1e200), recording((values() * 1e25).astype(np.float32))):
        with pytest.raises(AnalysisError, match=r"have squares beyond float.*to_units"):
            connectivity.covariance(rec)


def test_an_option_that_no_spectral_measure_has_is_named():
    with pytest.raises(AnalysisError, match="no option 'windows'; there are seed, mode, fmin"):
        connectivity.wpli(recording(values()), windows=20)


def test_a_covariance_that_vanishes_in_the_dtype_is_refused():
    with pytest.raises(AnalysisError, match=r"have squares beyond float32; convert them to smaller units"):
        connectivity.covariance(recording((values() * 1e-25).astype(np.float32)))
    assert (np.diag(connectivity.covariance(recording(values() * 1e-25)).connectivity) > 0).all()


def test_too_few_samples_to_choose_the_penalty_are_refused():
    with pytest.raises(AnalysisError, match="4 samples cannot be cut into the 5 blocks"):
        connectivity.partial_correlation(recording(values(4)), method="graphical_lasso")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("correlation", {"min_samples": 2.5}),
        ("covariance", {"min_samples": float("nan")}),
        ("mutual_information", {"n_neighbors": 1.5}),
        ("lagged", {"max_lag": 2.5}),
        ("effective", {"order": 1.5}),
        ("effective", {"folds": True}),
        ("granger", {"order": 1.5}),
        ("spectral_granger", {"n_frequencies": 2.5}),
        ("transfer_entropy", {"threshold": 0.0, "order": 1.5}),
        ("coherence", {"window": 64.7}),
        ("spectral", {"step": 2.5}),
        ("wpli", {"mode": "morlet", "frequencies": [20.0], "decimate": 1.5}),
        ("null", {"draws": 2.5}),
    ],
)
def test_numbers_that_must_be_whole_are_named(name, options):
    with pytest.raises(AnalysisError, match=f"{list(options)[-1]} is .*; a whole number is needed"):
        getattr(connectivity, name)(recording(values()), **options)
