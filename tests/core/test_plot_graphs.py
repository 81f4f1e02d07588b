"""Pictures of graphs: what is drawn where, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import plot
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError
from neurointerp.plot.results import COLOURS


@pytest.fixture
def blocks():
    """Give a graph of six units in two groups, its labels, and positions."""
    label = np.array([0, 0, 0, 1, 1, 1])
    weights = np.where(label[:, None] == label, 0.8, 0.1) - 0.8 * np.eye(6)
    names = np.array(list("abcdef"), dtype=object)
    coords = {
        "source": names,
        "target": names,
        "source_x": ("source", np.arange(6.0)),
        "source_y": ("source", np.ones(6)),
    }
    graph = xr.DataArray(weights, dims=("source", "target"), coords=coords)
    return graph, xr.DataArray(label, dims="unit", coords={"unit": names})


def test_a_ring_keeps_communities_together():
    label = np.array([1, 0, 1, 0, 1])
    place = plot.ring_layout(5, community=label)
    np.testing.assert_allclose(np.linalg.norm(place, axis=1), 1)
    angle = (np.pi / 2 - np.arctan2(place[:, 1], place[:, 0])) % (2 * np.pi)
    assert list(np.argsort(angle)) == [1, 3, 0, 2, 4]
    step = np.diff(np.sort(angle))
    assert step[1] == pytest.approx(2 * step[0])  # the gap


def test_a_brain_layout_is_the_positions(blocks):
    graph, _ = blocks
    np.testing.assert_array_equal(plot.brain_layout(graph), np.stack([np.arange(6), np.ones(6)], axis=1))
    with pytest.raises(AnalysisError, match="no coordinate 'z'; use ring_layout"):
        plot.brain_layout(graph, plane="xz")
    graph = graph.assign_coords(source_x=("source", [np.nan, 1, 2, 3, 4, 5]))
    with pytest.raises(AnalysisError, match="1 of 6 units have no 'x'"):
        plot.brain_layout(graph)


@pytest.mark.parametrize("draw", ["graph", "connectogram"])
def test_the_strongest_edges_are_drawn_in_the_colour_of_their_community(blocks, draw):
    graph, label = blocks
    ax = Figure().subplots()
    options = {"layout": plot.ring_layout(6)} if draw == "graph" else {}
    assert getattr(plot, draw)(graph, ax, community=label, edges=6, labels=True, **options) is ax
    lines = next(c for c in ax.collections if isinstance(c, LineCollection))
    colours = [to_hex(colour[:3]) for colour in lines.get_colors()]
    assert sorted(colours) == sorted([COLOURS[0].lower()] * 3 + [COLOURS[1].lower()] * 3)
    assert {text.get_text() for text in ax.texts} == set("abcdef")
    ax = Figure().subplots()
    getattr(plot, draw)(graph, ax, community=label, edges=100, **options)
    lines = next(c for c in ax.collections if isinstance(c, LineCollection))
    assert len(lines.get_segments()) == 15
    with pytest.raises(AnalysisError, match=r"community has \(5,\); one label for each of the 6 units"):
        getattr(plot, draw)(graph, ax, community=label[:5], **options)


def test_a_strip_shows_the_interval_the_animals_and_the_graph():
    rec = ni.synthetic.dynamic_motifs(n_units=16, n_motifs=1, motif_size=6, gain=3, seed=1)
    found = connectivity.dynamic_connectome(rec["recordings/dynamic_motifs/recording"], 2, restarts=2, starts=1)
    figure = Figure()
    k = int(found.component[~found.background][0])
    assert plot.motif_strip(found, figure, k) is figure
    course, who, net = figure.axes
    np.testing.assert_allclose(course.lines[0].get_ydata(), found.factor_time.sel(component=k))
    heights = [bar.get_height() for bar in who.patches]
    np.testing.assert_allclose(heights, found.factor_subject.sel(component=k))
    blue = [to_hex(bar.get_facecolor()) == COLOURS[0].lower() for bar in who.patches]
    assert blue == list(found.carrier.sel(component=k).values)
    assert len(next(c for c in net.collections if isinstance(c, LineCollection)).get_segments()) == 40
    figure = Figure()
    plot.motif_strip(found, figure, int(found.component[found.background][0]))
    assert figure.axes[2].texts[0].get_text() == "background"


def test_matrices_get_the_scale_they_need():
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(5)]
    for values, low, high in (
        (np.corrcoef(rng.standard_normal((5, 40))), -1, 1),
        (np.abs(rng.standard_normal((5, 5))) * 7, 0, None),
    ):
        square = xr.DataArray(values, dims=("source", "target"), coords={"source": names, "target": names})
        ax = Figure().subplots()
        plot.connectivity_matrix(xr.Dataset({"connectivity": square}), ax)
        assert ax.images[0].get_clim() == (low, values.max() if high is None else high)


def test_a_directed_graph_is_not_drawn_by_half(blocks):
    weights, _ = blocks
    weights = weights.copy(data=np.triu(weights.values))
    axes = Figure().subplots()
    with pytest.raises(AnalysisError, match="the graph is not symmetric"):
        plot.graph(weights, axes, layout=plot.ring_layout(6))
    with pytest.raises(AnalysisError, match="the graph is not symmetric"):
        plot.connectogram(weights, axes)
