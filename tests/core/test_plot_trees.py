"""The tree of components: nodes where their children are, lines by loading, names by component."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from neurointerp import plot
from neurointerp.errors import AnalysisError


@pytest.fixture
def levels():
    """Give the variables of a factorization in three levels: 5, 3 and 1 components."""
    parents = np.zeros((3, 5, 3), dtype=bool)  # level 1 has no children; places beyond a level are False
    loading = np.full(parents.shape, np.nan)
    for level, child, parent, weight in (
        (2, 4, 0, 2.0), (2, 1, 0, 1.0), (2, 0, 2, 3.0), (2, 2, 2, 3.0), (3, 0, 0, 1.0), (3, 2, 0, 0.5),
    ):  # fmt: skip
        parents[level - 1, child, parent] = True
        loading[level - 1, child, parent] = weight
    at = np.repeat([1, 2, 3], [5, 3, 1])
    place = np.concatenate([np.arange(n) for n in (5, 3, 1)])
    return xr.Dataset(
        {"parents": (("level", "child", "parent"), parents), "loading": (("level", "child", "parent"), loading)},
        coords={
            "level": [1, 2, 3],
            "component": np.arange(9),
            "at_level": ("component", at),
            "place": ("component", place),
        },
    )


def test_parents_stand_over_the_middle_of_their_children_without_crossings(levels):
    ax = plot.feature_tree(levels, Figure().subplots(), names={8: "everything"})
    place = {text.get_text(): text.xy for text in ax.texts}
    assert set(place) == {"everything", "5", "7", "1", "4", "0", "2"}  # 3 and 6 are in no branch
    assert place["5"] == pytest.approx(((place["1"][0] + place["4"][0]) / 2, 2))
    assert place["everything"] == pytest.approx(((place["5"][0] + place["7"][0]) / 2, 3))
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert len(lines) == 6
    spans = sorted([min(line.get_xdata()), max(line.get_xdata())] for line in lines if min(line.get_ydata()) == 1)
    assert all(b[0] >= a[1] for a, b in pairwise(spans))
    widths = {tuple(line.get_xdata()): line.get_linewidth() for line in lines}
    assert widths[place["5"][0], place["4"][0]] > widths[place["5"][0], place["1"][0]]


def test_without_a_branch_or_a_tree_it_says_so(levels):
    with pytest.raises(AnalysisError, match="there is no tree"):
        plot.feature_tree(levels.assign(parents=levels.parents & False), Figure().subplots())
    with pytest.raises(AnalysisError, match=r"no parents\(level, child, parent\)"):
        plot.feature_tree(levels.drop_vars("parents"), Figure().subplots())
