"""Pictures of a comparison: what is drawn, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from neurointerp import plot
from neurointerp.errors import AnalysisError

NAMES = np.array(["worm", "model"], dtype=object)


def test_curves_are_means_over_draws_with_all_draws_in_their_band():
    value = np.arange(2 * 1 * 2 * 3 * 2, dtype=float).reshape(2, 1, 2, 3, 2)
    value[1, :, 1] = np.nan  # a clock that counts has no rate to lower
    result = xr.Dataset(
        {"value": (("recording", "metric", "factor", "level", "replicate"), value)},
        coords={"recording": NAMES, "metric": ["modularity"], "factor": ["units", "rate"], "level": [1.0, 0.75, 0.5]},
    )
    drawn = plot.sensitivity_curves(result, Figure(), metric="modularity")
    units, rate = drawn.axes
    assert [len(panel.lines) for panel in drawn.axes] == [2, 1]
    np.testing.assert_allclose(units.lines[1].get_xydata(), np.column_stack([[100, 75, 50], value[1, 0, 0].mean(-1)]))
    band = units.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (value[0, 0, 0].min(), value[0, 0, 0].max())
    assert rate.get_title() == "sampling rate"
    assert rate.get_xlabel() == "kept (%)"
    assert [t.get_text() for t in drawn.legends[0].get_texts()] == ["worm", "model"]
    with pytest.raises(AnalysisError, match="no metric 'speed'; there are modularity"):
        plot.sensitivity_curves(result, Figure(), metric="speed")


def test_each_verdict_has_its_letter_and_its_number():
    verdict = np.array([["within chance", "beyond what recording explains"]] * 2, dtype=object)
    pair = ("recording", "recording2")
    result = xr.Dataset(
        {"verdict": (pair, verdict), "excess": (pair, [[np.nan, 2.5], [np.nan, np.nan]])},
        coords={"recording": NAMES, "recording2": NAMES},
    )
    ax = plot.difference_matrix(result, Figure().subplots())
    assert [t.get_text() for t in ax.texts] == ["d\n2.5", "="]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["worm", "model"]


@pytest.mark.parametrize("intervals", [True, False])
def test_strips_show_intervals_where_there_are_some(intervals):
    cells = ("recording", "metric")
    summary = xr.Dataset(
        {"summary": ((*cells, "arm"), np.ones((2, 1, 2))), "null_sd": (cells, np.zeros((2, 1)))},
        coords={"recording": NAMES, "metric": ["modularity"], "arm": ["data", "null"], "kind": ("recording", NAMES),
                "clock": ("recording", ["s", "s"]), "unit_of_metric": ("metric", ["1"])},
    )  # fmt: skip
    if intervals:
        summary["interval"] = ((*cells, "bound"), np.array([[[0.5, 1.5]], [[np.nan, np.nan]]]))
    panel = plot.figure_strips(xr.DataTree(summary), Figure()).axes[0]
    ends = [tuple(path.vertices[:, 0]) for lines in panel.collections[1:] for path in lines.get_paths()]
    assert ((0.5, 1.5) in ends) == intervals


def test_a_time_has_a_panel_for_each_clock():
    """Seconds and tokens are never on one axis: each recording is in the panel of its own clock."""
    cells = ("recording", "metric")
    value = np.array([[0.5, 2.0], [0.6, 30.0], [0.7, np.nan]])
    names = np.array(["worm", "model", "trials"], dtype=object)
    summary = xr.Dataset(
        {"summary": ((*cells, "arm"), np.stack([value, value], -1)), "null_sd": (cells, np.zeros((3, 2)))},
        coords={"recording": names, "metric": ["modularity", "intrinsic_timescale"], "arm": ["data", "null"],
                "kind": ("recording", names), "clock": ("recording", ["s", "token", "trial"]),
                "unit_of_metric": ("metric", ["1", "clock"])},
    )  # fmt: skip
    panels = [panel for panel in plot.figure_strips(xr.DataTree(summary), Figure()).axes if panel.get_visible()]
    assert [p.get_title() for p in panels] == ["modularity", "intrinsic timescale (s)", "intrinsic timescale (token)"]
    dots = [[tuple(map(float, line.get_xydata()[0])) for line in panel.lines] for panel in panels]
    assert dots == [[(0.5, 0.0), (0.6, 1.0), (0.7, 2.0)], [(2.0, 0.0)], [(30.0, 1.0)]]
    assert panels[1].get_xlim()[1] < 10  # nothing of the other clock stretches it
    draws = np.broadcast_to(value[:, 1].reshape(3, 1, 1, 1, 1), (3, 1, 2, 2, 1))
    result = xr.Dataset(
        {"value": (("recording", "metric", "factor", "level", "replicate"), draws),
         "truth": (cells, [[2.5], [np.nan], [np.nan]])},
        coords={"recording": names, "metric": ["intrinsic_timescale"], "factor": ["units", "rate"],
                "level": [1.0, 0.5], "clock": ("recording", ["s", "token", "token"]),
                "unit_of_metric": ("metric", ["clock"])},
    )  # fmt: skip
    figure = plot.sensitivity_curves(result, Figure(), metric="intrinsic_timescale")
    assert [ax.get_ylabel() for ax in figure.axes] == ["intrinsic timescale (s)", "", "intrinsic timescale (token)", ""]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 1, 1]  # the truth of the worm among them
    assert figure.axes[0].lines[1].get_ydata()[0] == 2.5
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["worm", "model", "true of the system"]
