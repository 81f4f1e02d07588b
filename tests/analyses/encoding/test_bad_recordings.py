"""What every encoding model refuses before it computes, and what it says then."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import encoding
from neurointerp.errors import AlignmentError, AnalysisError
from neurointerp.models.readouts import Training

RNG = np.random.default_rng(0)
MODELS = {
    "ridge": {},
    "banded_ridge": {"draws": 2},
    "kernel_ridge": {},
    "pls": {"rank": 1},
    "poisson_glm": {},
    "feature_importance": {"draws": 1},
}
WAYS = [*((method, False) for method in MODELS), ("ridge", True), ("banded_ridge", True)]
"""In memory, and in chunks where these are taken."""


def _pair(dims=("trial", "unit"), samples=40, **coords):
    values = RNG.poisson(2.0, (samples, 3)).astype(float)
    clock = {"sampling_rate": 1.0} if dims[0] == "time" else {}
    return [
        ni.recording(one, modality="spikes", units="1", dims=dims, coords=coords, **clock)
        for one in (values, values[:, ::-1] + 1)
    ]


@pytest.mark.parametrize(("method", "chunked"), WAYS)
def test_a_recording_without_units_is_refused(method, chunked):
    for empty in (0, 1):
        pair = _pair()
        pair[empty] = pair[empty].isel(unit=slice(0, 0))
        if chunked:
            pytest.importorskip("dask")
            pair[1 - empty] = pair[1 - empty].chunk(trial=10)
        with pytest.raises(AnalysisError, match=rf"encoding.{method}: a recording holds no values \(trial 40, unit 0"):
            getattr(encoding, method)(*pair, **MODELS[method])


@pytest.mark.parametrize(("method", "chunked"), WAYS)
def test_samples_of_other_stimuli_are_not_paired_by_their_place(method, chunked):
    features, responses = _pair(stimulus=("trial", [f"s{i}" for i in range(40)]))
    names = features["stimulus"].values.copy()
    names[[4, 5]] = names[[5, 4]]
    other = responses.assign_coords(stimulus=("trial", names))
    if chunked:
        pytest.importorskip("dask")
        features = features.chunk(trial=10)
    with pytest.raises(AlignmentError, match=r"'stimulus' differs .* on 2 of 40 samples, first 's4' and 's5'"):
        getattr(encoding, method)(features, other, **MODELS[method])
    numbers = np.arange(40)
    numbered = [rec.assign_coords(stimulus=("trial", numbers)) for rec in (features, responses)]
    numbered[1] = numbered[1].assign_coords(stimulus=("trial", numbers.astype(str)))  # the same names
    getattr(encoding, method)(*numbered, cv=2, **MODELS[method])


def test_a_stimulus_of_trials_is_that_of_their_moments():
    values = RNG.standard_normal((6, 10, 3))
    about = {"modality": "eeg", "units": "V", "sampling_rate": 1.0, "dims": ("trial", "time", "unit")}
    names = np.array(list("aabbcc"))
    features = ni.recording(values, coords={"stimulus": ("trial", names)}, **about)
    responses = ni.recording(
        values, coords={"stimulus": (("trial", "time"), np.repeat(names[:, None], 10, 1))}, **about
    )
    encoding.ridge(features, responses, cv=2, alphas=1.0)
    wrong = responses.assign_coords(stimulus=("trial", names[::-1]))
    with pytest.raises(AlignmentError, match="on 4 of 6 samples"):
        encoding.ridge(features, wrong, cv=2, alphas=1.0)


def test_lags_need_the_segments_of_the_responses():
    features, responses = _pair(("time", "unit"))
    parts = responses.assign_coords(segment=("time", np.repeat([0, 1], 20)))
    encoding.ridge(features, parts, cv=2)  # without lags nothing reaches across
    with pytest.raises(AlignmentError, match="segments that the features do not name"):
        encoding.ridge(features, parts, lags=(0, 1))
    with pytest.raises(AlignmentError, match="'segment' differs"):
        encoding.ridge(features.assign_coords(segment=("time", np.repeat([0, 1], [10, 30]))), parts)
    named = features.assign_coords(segment=parts["segment"])
    encoding.ridge(named, responses, cv=2, lags=(0, 1))
    with pytest.raises(AlignmentError, match="segments that the responses do not name"):
        encoding.poisson_glm(named, responses, coupling=(1,))
    encoding.poisson_glm(named, parts, coupling=(1,), cv=2, alphas=1.0)


@pytest.mark.parametrize("dim", ["trial", "unit"])
def test_maps_and_responses_that_hold_nothing_are_refused(dim):
    pytest.importorskip("torch", reason="torch is not installed")
    maps = ni.recording(
        RNG.standard_normal((12, 2, 2, 3)), modality="activations", units="1", dims=("trial", "row", "col", "unit")
    )
    responses = ni.recording(
        RNG.standard_normal((12, 2)), modality="fmri", units="1", dims=("trial", "unit"),
        coords={"region": ("unit", ["a", "b"])},
    )  # fmt: skip
    none = {dim: slice(0, 0)}
    for pair in ((maps.isel(none), responses), (maps, responses.isel(none))):
        with pytest.raises(AnalysisError, match=r"encoding.readout: a recording holds no values"):
            encoding.readout(*pair, "linear", cv=2)
        with pytest.raises(AnalysisError, match=r"encoding.attention_encoder: a recording holds no values"):
            encoding.attention_encoder(*pair, "region", cv=2, training=Training(epochs=1))
