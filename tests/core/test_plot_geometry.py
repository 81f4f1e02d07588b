"""Pictures of geometry and of readouts: what is drawn, read back from the artists."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from neurointerp import plot
from neurointerp.errors import AnalysisError


@pytest.fixture
def ax():
    return Figure().subplots()


def likeness(values, **more):
    names = np.array([f"r{i}" for i in range(len(values))], dtype=object)
    made = {"similarity": (("recording", "recording2"), np.asarray(values))}
    made |= {name: (("recording", "recording2"), np.asarray(one)) for name, one in more.items()}
    return xr.Dataset(made, coords={"recording": names, "recording2": names})


def test_dissimilarities_are_drawn_as_ranks(ax):
    values = np.array([[0.0, 1.0, 100.0], [1.0, 0.0, 5.0], [100.0, 5.0, 0.0]])
    matrix = xr.DataArray(values, dims=("stimulus", "stimulus2"))
    shown = plot.dissimilarities(matrix, ax).images[0].get_array()
    np.testing.assert_allclose(shown, [[0, 0, 1], [0, 0, 0.5], [1, 0.5, 0]])
    with pytest.raises(AnalysisError, match="name the recording"):
        plot.dissimilarities(matrix.expand_dims(recording=["a"]), ax)


def test_similarities_carry_their_numbers_and_stars(ax):
    q = [[np.nan, 0.01], [0.2, np.nan]]
    texts = [t.get_text() for t in plot.similarity_matrix(likeness([[1, 0.5], [0.5, 1]], q_value=q), ax).texts]
    assert texts == ["1.00", "0.50*", "0.50", "1.00"]


def test_recordings_are_placed_by_their_distances(ax):
    rng = np.random.default_rng(0)
    place = rng.standard_normal((6, 2))
    distance = np.linalg.norm(place[:, None] - place, axis=-1)
    found = likeness(np.eye(6), distance=distance)
    drawn = plot.embedding(found, ax, group={f"r{i}": "ab"[i % 2] for i in range(6)})
    points = np.empty((6, 2))
    for side, collection in enumerate(drawn.collections):
        points[side::2] = collection.get_offsets()
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=-1), distance, atol=1e-3)
    assert drawn.get_xlabel().startswith("0%")


def test_fields_and_attention_are_drawn_on_the_map(ax):
    masks = np.zeros((1, 2, 5, 6))
    masks[0, 0, 1, 2] = masks[0, 1, 3, 4] = 1.0
    kinds = np.array(["a", "b"], dtype=object)
    fields = xr.Dataset({"spatial_mask": (("fold", "unit", "row", "col"), masks)}, coords={"kind": ("unit", kinds)})
    drawn = plot.field_outlines(fields, ax, by="kind")
    middle = [path.get_paths()[0].vertices.mean(axis=0) for path in drawn.collections]
    np.testing.assert_allclose(middle, [[2, 1], [4, 3]], atol=0.2)
    with pytest.raises(AnalysisError, match="spatial masks"):
        plot.field_outlines(xr.Dataset(), ax)
    weight = np.arange(6.0).reshape(1, 1, 1, 6)
    row, col = np.indices((2, 3)).reshape(2, -1)
    attention = xr.Dataset(
        {"attention": (("trial", "roi", "head", "token"), weight)},
        coords={"roi": np.array(["V1"], dtype=object), "token_row": ("token", row), "token_col": ("token", col)},
    )
    other = Figure().subplots()
    plot.attention_overlay(attention, other, trial=0, roi="V1", image=np.zeros((8, 12)))
    assert len(other.images) == 2
    np.testing.assert_array_equal(other.images[1].get_array(), weight.reshape(2, 3))
    with pytest.raises(AnalysisError, match="no region 'V2'"):
        plot.attention_overlay(attention, other, trial=0, roi="V2")
