"""Pictures of decoding: what is drawn where, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import decoding


@pytest.fixture(scope="module")
def trials():
    rng = np.random.default_rng(0)
    label = np.array(["a", "b"] * 20)
    values = rng.standard_normal((40, 6, 3))
    values[label == "b", 3:, 0] += 3
    return ni.recording(values, modality="eeg", units="uV", sampling_rate=10.0, dims=("trial", "time", "unit"),
                        coords={"condition": ("trial", label)})  # fmt: skip


def test_a_course_shows_the_mean_its_chance_and_where_p_is_small(trials):
    found = decoding.linear(trials, "condition", time="each", method="ridge", penalty=1.0, permutations=40)
    ax = plot.score_course(found, Figure().subplots())
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["mean over folds"].get_ydata(), found.balanced_accuracy.mean("fold"))
    assert set(lines["chance"].get_ydata()) == {0.5}
    np.testing.assert_allclose(lines["p <= 0.05, corrected"].get_xdata(), [0.3, 0.4, 0.5])
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(float(found.chance_interval.sel(bound="low").min()))
    ax = plot.score_course(found.drop_vars(["p_corrected", "chance_interval"]), Figure().subplots(), score="auc")
    assert len(ax.collections) == 0
    assert "p <= 0.05, corrected" not in {line.get_label() for line in ax.lines}
    with pytest.raises(ni.AnalysisError, match="time='each'"):
        plot.score_course(decoding.linear(trials, "condition"), Figure().subplots())


def test_a_matrix_shows_trained_up_and_tested_across_with_an_outline(trials):
    found = decoding.time_generalisation(trials, "condition", method="ridge", penalty=1.0, permutations=40)
    ax = plot.time_generalisation_matrix(found, Figure().subplots())
    mesh = ax.collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(6, 6), found.balanced_accuracy.mean("fold"))
    assert sum(mesh.get_clim()) == pytest.approx(1.0)  # centred on chance
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("tested at (s)", "trained at (s)")
    border = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "-"]
    assert len(border) == 12  # around three by three cells
    np.testing.assert_allclose(np.concatenate(border).min(axis=0), [0.25, 0.25])
    with pytest.raises(ni.AnalysisError, match="train_time and test_time"):
        plot.time_generalisation_matrix(decoding.linear(trials, "condition", time="each"), Figure().subplots())


def test_a_map_shows_the_evidence_of_its_trial_under_the_traces(trials):
    rng = np.random.default_rng(1)
    heat = rng.standard_normal((4, 6, 3))
    result = xr.Dataset(
        {
            "heatmap": (("trial", "time", "unit"), heat),
            "prediction": (("statistics", "trial"), np.array([["a", "b", "a", "b"]] * 2, dtype=object)),
        },
        coords={"time": np.arange(6) / 10, "unit": trials["unit"].values},
    )
    ax = plot.evidence_map(result, Figure().subplots(), trial=3, recording=trials.isel(trial=slice(0, 4)))
    np.testing.assert_allclose(ax.images[0].get_array(), np.clip(heat[3].T, 0, None))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(trials["unit"].values)
    assert len(ax.lines) == 3
    assert "evidence for 'b'" in ax.figure.axes[1].get_ylabel()
    with pytest.raises(ni.AnalysisError, match="trial 4 of 4"):
        plot.evidence_map(result, Figure().subplots(), trial=4)
    with pytest.raises(ni.AnalysisError, match="no 'heatmap'"):
        plot.evidence_map(result.drop_vars("heatmap"), Figure().subplots(), trial=0)


def test_bands_stand_in_the_rows_of_the_evidence(trials):
    power = np.random.default_rng(2).random((4, 2, 3))
    result = xr.Dataset(
        {"band_power": (("trial", "band", "unit"), power)},
        coords={"band": np.array(["alpha", "beta"], dtype=object), "unit": trials["unit"].values},
    )
    ax = plot.evidence_bands(result, Figure().subplots(), trial=1)
    np.testing.assert_allclose(ax.images[0].get_array(), power[1].T)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["alpha", "beta"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(trials["unit"].values)
    with pytest.raises(ni.AnalysisError, match="trial 4 of 4"):
        plot.evidence_bands(result, Figure().subplots(), trial=4)
    with pytest.raises(ni.AnalysisError, match="bands="):
        plot.evidence_bands(result.drop_vars("band_power"), Figure().subplots(), trial=0)
