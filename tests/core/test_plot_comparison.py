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
        coords={"recording": NAMES, "metric": ["modularity"], "arm": ["data", "null"], "kind": ("recording", NAMES)},
    )
    if intervals:
        summary["interval"] = ((*cells, "bound"), np.array([[[0.5, 1.5]], [[np.nan, np.nan]]]))
    panel = plot.figure_strips(xr.DataTree(summary), Figure()).axes[0]
    ends = [tuple(path.vertices[:, 0]) for lines in panel.collections[1:] for path in lines.get_paths()]
    assert ((0.5, 1.5) in ends) == intervals
