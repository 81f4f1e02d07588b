"""Top samples: the right ones, with the right neighbours, never across a segment."""

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.analyses import factorization, features
from neurointerp.errors import AnalysisError


def reading(coefficients, **coords):
    """Give a recording with these sample coordinates, and a result with these coefficients."""
    values = np.asarray(coefficients, dtype=float)
    rec = ni.recording(
        np.ones((len(values), 2)), modality="activations", units="1", time=np.arange(len(values)),
        coords={name: ("time", given) for name, given in coords.items()},
    )  # fmt: skip
    found = factorization.pca(rec + np.arange(len(values))[:, None] * [1.0, 0.5], 1)
    along = {name: c for name, c in rec.coords.items() if c.dims == ("time",)}
    return found.assign(coefficients=xr.DataArray(values[:, None], dims=("time", "component"), coords=along)), rec


def test_the_largest_come_first_with_their_neighbours_in_the_segment():
    res, rec = reading(
        [0.1, 0.9, 0.2, 0.8, 0.0, -3.0], segment=[0, 0, 1, 1, 1, 1], token=["the", "dog", "a", "##cat", "sat", "."]
    )
    top = features.top_samples(res, rec, n=6, context=2)
    assert top.sample.values[0].tolist() == [1, 3, 2, 0, -1, -1]  # 0 and below evoke nothing
    np.testing.assert_allclose(top.coefficient.values[0, :4], [0.9, 0.8, 0.2, 0.1])
    assert np.isnan(top.coefficient.values[0, 4:]).all()
    assert top.text.values[0].tolist() == ["the [[dog]]", "a[[cat]] sat .", "[[a]]cat sat", "[[the]] dog", "", ""]
    np.testing.assert_allclose(top.course.values[0, 0], [np.nan, 0.1, 0.9, np.nan, np.nan])
    assert top.sample_segment.values[0].tolist() == [0, 1, 1, 0, -1, -1]
    assert top.sample_token.values[0].tolist() == ["dog", "##cat", "a", "the", "", ""]
    np.testing.assert_allclose(top.sample_time.values[0, :4], [1, 3, 2, 0])


def test_special_tokens_are_neither_listed_nor_shown():
    res, rec = reading([5.0, 0.2, 0.9, 4.0], token=["[CLS]", "a", "dog", "[SEP]"])
    top = features.top_samples(res, rec, n=3, context=3)
    assert top.text.values[0].tolist() == ["a [[dog]]", "[[a]] dog", ""]
    assert np.isnan(top.course.values[0, 0]).sum() == 5
    kept = features.top_samples(res, rec, n=1, context=0, leave_out=())
    assert kept.text.values[0, 0] == "[[[CLS]]]"


def test_apart_lists_an_event_once_but_not_over_segments():
    bump = [0.1, 0.8, 1.0, 0.9, 0.85, 0.2]
    res, rec = reading(bump, segment=[0, 0, 0, 0, 1, 1])
    assert features.top_samples(res, rec, n=4, context=1, apart=2).sample.values[0].tolist() == [2, 4, -1, -1]
    assert features.top_samples(res, rec, n=4, context=1).sample.values[0].tolist() == [2, 3, 4, 1]


def test_trials_are_named_and_hold_their_context(recordings):
    rec = recordings["stimulus"]  # (trial, time, unit)
    res = factorization.semi_nmf(rec, 2, seed=1)
    top = features.top_samples(res, rec, n=5, context=30)
    flat = res.coefficients.transpose("trial", "time", "component").values.reshape(-1, 2)
    for k in range(2):
        order = np.argsort(-flat[:, k], kind="stable")[:5]
        assert top.sample.values[k].tolist() == order.tolist()
        assert top.sample_stimulus.values[k].tolist() == rec.stimulus.values[order // 20].tolist()
    assert (np.isfinite(top.course).sum("offset") == 20).all()  # a whole trial and nothing of the next


def test_permuting_units_changes_nothing_and_other_recordings_are_refused(recordings):
    rec = recordings["calcium"]
    res = factorization.pca(rec, 2)
    one = features.top_samples(res, rec)
    xr.testing.assert_equal(features.top_samples(res.isel(unit=slice(None, None, -1)), rec[:, ::-1]), one)
    with pytest.raises(AnalysisError, match="'time' of the result is not that of the recording"):
        features.top_samples(res, rec[1:])
    with pytest.raises(AnalysisError, match="n is 0"):
        features.top_samples(res, rec, n=0)
    with pytest.raises(AnalysisError, match="no coefficients"):
        features.top_samples(res.drop_vars("coefficients"), rec)


def test_where_spaces_are_marked_a_token_without_one_joins_the_one_before():
    for mark in ("\u0120", "\u2581", " "):
        res, rec = reading([0.1, 0.2, 0.9, 0.3, 0.0], token=["The", "se", f"{mark}neur", "ons", f"{mark}fire"])
        assert features.top_samples(res, rec, n=np.int64(1), context=4).text.item() == "These [[neur]]ons fire"
