"""Recordings as lines, and figures over ranks: what is drawn, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import comparison
from neurointerp.errors import AnalysisError


def broken():
    """Give a recording of two segments with a unit that is missing and one that does not vary."""
    values = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    values[:, 1], values[:, 2], values[5, 0] = np.nan, 3.0, np.nan
    segment = np.repeat([0, 1], [25, 15])
    return ni.recording(values, modality="eeg", units="uV", sampling_rate=10.0, coords={"segment": ("time", segment)})


def test_courses_are_the_units_apart_and_never_cross_a_gap():
    rec = broken()
    ax = plot.courses(rec, Figure().subplots(), units=4)
    assert [label.get_text() for label in ax.get_yticklabels()] == rec.unit.values.tolist()
    ticks = ax.get_yticks()
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_ylabel() == f"unit ({ticks[0] - ticks[1]:.2g} uV apart)"
    for unit, line in enumerate(ax.lines):
        y = line.get_ydata()
        assert np.isnan(line.get_xdata()[25])
        assert np.isnan(y[25])
        want = rec.values[:, unit].astype(float)
        level = 0.0 if np.isnan(want).all() else np.nanmean(want)
        np.testing.assert_allclose(np.delete(y, 25), want - level + ticks[unit], rtol=1e-5, atol=1e-6)


def test_courses_pick_units_evenly_and_take_trials():
    rec = ni.load("demo-eeg")[:50]
    ax = plot.courses(rec, Figure().subplots(), units=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == [rec.unit.values[i] for i in (0, 16, 31)]
    trials = ni.recording(np.eye(5), modality="fmri", units="1", dims=("trial", "unit"))
    assert len(plot.courses(trials, Figure().subplots()).lines) == 5
    one = plot.courses(trials[:1], Figure().subplots())
    assert np.isfinite(one.get_ylim()).all()


def test_the_mean_course_leaves_out_what_is_missing():
    rec = broken()
    line = plot.mean_course(rec, Figure().subplots()).lines[0]
    np.testing.assert_allclose(line.get_ydata(), np.nanmean(rec.values, axis=1), rtol=1e-5)


@pytest.fixture(scope="module")
def tree():
    return comparison.compare({"scalp": ni.load("demo-eeg")}, samples=100, units=8, nulls=2, resamples=0)


def test_rank_curves_show_data_null_and_interval(tree):
    ax = plot.rank_curves(tree, Figure().subplots(), recording="scalp")
    drawn = {line.get_label(): line for line in ax.lines}
    root = tree.to_dataset(inherit=False)
    names = [f"semi_nmf_explained_rank{rank}" for rank in (2, 4, 8)]
    np.testing.assert_array_equal(drawn["semi-NMF explained"].get_xdata(), [2, 4, 8])
    want = root["summary"].sel(recording="scalp", metric=names, arm="data")
    np.testing.assert_array_equal(drawn["semi-NMF explained"].get_ydata(), want)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4", "8"]
    ends = root["summary"].sel(arm="data", drop=True) + xr.DataArray([-0.1, 0.2], dims="bound")
    more = plot.rank_curves(root.assign(interval=ends), Figure().subplots(), recording="scalp")
    heights = [np.ptp(path.vertices[:, 1]) for bars in more.collections[1::2] for path in bars.get_paths()]
    np.testing.assert_allclose(heights, 0.3)


def test_rank_curves_refuse_what_they_cannot_draw(tree):
    with pytest.raises(AnalysisError, match="no recording 'x'"):
        plot.rank_curves(tree, Figure().subplots(), recording="x")
    few = tree.to_dataset(inherit=False).sel(metric=["modularity", "tensor_fit_rank2"])
    with pytest.raises(AnalysisError, match="no figure of several ranks"):
        plot.rank_curves(few, Figure().subplots(), recording="scalp")
