"""Laws of the store over generated objects: what is saved comes back, and its digest knows content alone."""

import contextlib
import math
import pickle
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import neurointerp as ni
from neurointerp import store
from neurointerp.store import chunks, content

PROFILE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DTYPES = ("bool", "int8", "uint16", "int32", "int64", "uint64", "float16", "float32", "float64", ">f4", ">i8")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ATTRS = st.dictionaries(
    st.sampled_from(["_FillValue", "scale_factor", "dtype", "coordinates"]) | TEXT, JSON, max_size=3
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..", "digests.json", "zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
)


def arrays(shape, dtypes=DTYPES):
    """Give arrays of any of the dtypes, with NaN and every other value."""
    finite = {"allow_infinity": False, "allow_nan": True}
    return st.sampled_from(dtypes).flatmap(
        lambda name: hnp.arrays(name, shape, elements=finite if np.dtype(name).kind == "f" else None)
    )


@st.composite
def recordings(draw):
    """Give recordings of every layout, empty and of length one too."""
    dims = draw(
        st.sampled_from([("time", "unit"), ("trial", "time", "unit"), ("trial", "unit"), ("time", "row", "unit")])
    )
    shape = tuple(draw(st.integers(0, 5)) for _ in dims)
    sizes = dict(zip(dims, shape, strict=True))
    labels = draw(st.lists(TEXT, min_size=sizes["unit"], max_size=sizes["unit"], unique=True))
    coords = {"on": ("unit", draw(hnp.arrays(bool, sizes["unit"])))}
    options = {}
    if "time" in sizes:
        words = draw(st.lists(TEXT, min_size=sizes["time"], max_size=sizes["time"]))
        coords["word"] = ("time", np.array([*words, ""], dtype=object)[:-1])
        steps = draw(st.lists(st.integers(1, 10**6), min_size=sizes["time"], max_size=sizes["time"]))
        options["time"] = np.cumsum(steps, dtype=np.int64) / draw(st.sampled_from([1, 30_000]))
    attrs = {name: value for name, value in draw(ATTRS).items() if name != "schema_version"}
    rec = ni.recording(
        draw(arrays(shape)), modality="behavior", units="1", dims=dims, unit=labels, coords=coords,
        name=draw(st.none() | TEXT), **options,
    )  # fmt: skip
    rec.attrs = {**attrs, **rec.attrs}
    return rec


@contextlib.contextmanager
def folder(chunk_bytes=chunks.CHUNK_BYTES):
    """Give an empty folder, with chunks of at most so many bytes."""
    with (
        tempfile.TemporaryDirectory() as path,
        mock.patch.object(chunks, "CHUNK_BYTES", chunk_bytes),
        mock.patch.object(chunks, "BLOCK_BYTES", 4 * chunk_bytes),
    ):
        yield Path(path)


@PROFILE
@given(recordings(), st.sampled_from([16, 64, 2**22]), st.sampled_from(["r.zarr", "r.zarr.zip"]), st.data())
def test_a_recording_comes_back(rec, chunk_bytes, name, data):
    options = {"compression": data.draw(st.sampled_from([None, "lz4"])), "shards": data.draw(st.booleans())}
    before, wanted = rec.copy(deep=True), ni.digest(rec)
    with folder(chunk_bytes) as path:
        target = ni.save(rec, path / name, **options)
        back = ni.open(target, verify=True)
        assert back.identical(rec)
        assert back.dtype == rec.dtype.newbyteorder("=")
        assert ni.digest(back) == wanted
        assert list(back.coords) == list(rec.coords)
        assert ni.open(ni.save(back, path / "again.zarr")).identical(rec)
    assert rec.identical(before)


@PROFILE
@given(recordings().filter(lambda rec: rec.size), st.data())
def test_the_digest_knows_content_alone(rec, data):
    pytest.importorskip("dask")
    wanted = ni.digest(rec)
    pieces = {dim: data.draw(st.integers(1, size)) for dim, size in rec.sizes.items()}
    with mock.patch.object(content, "BLOCK_BYTES", data.draw(st.integers(1, 200))):
        assert ni.digest(rec.chunk(pieces)) == wanted
        assert ni.digest(rec.copy(deep=True)) == wanted
    assert ni.digest(rec.transpose(*rec.dims[::-1])) != wanted or rec.ndim < 2
    changed = rec.copy(deep=True)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in rec.shape)
    changed.values[place] = 0 if changed.values[place] != 0 else 1
    assert ni.digest(changed) != wanted


@PROFILE
@given(recordings(), st.data())
def test_even_pieces_come_back_and_uneven_ones_are_refused(rec, data):
    pytest.importorskip("dask")
    pieces = {dim: data.draw(st.integers(1, max(size, 1))) for dim, size in rec.sizes.items()}
    with folder(data.draw(st.sampled_from([16, 2**22]))) as path:
        target = ni.save(rec.chunk(pieces), path / "r.zarr", shards=data.draw(st.booleans()))
        assert ni.open(target, verify=True).identical(rec)
        dim = str(rec.dims[0])
        if rec.sizes[dim] > 2:
            with pytest.raises(ni.StoreError, match="uneven dask chunks along axis 0"):
                ni.save(rec.chunk({dim: (1, rec.sizes[dim] - 1)}), path / "q.zarr")


@PROFILE
@given(recordings().filter(lambda rec: rec.dims[0] == "time" and 0 not in rec.shape[1:]), st.data())
def test_any_cut_into_blocks_gives_the_same_store(rec, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, rec.sizes["time"]), max_size=3)))
    with folder(data.draw(st.sampled_from([16, 64, 2**22]))) as path:
        with store.writer(path / "r.zarr", rec[:0]) as out:
            for start, stop in zip([0, *cuts], [*cuts, rec.sizes["time"]], strict=True):
                out.append(rec[start:stop])
            out.commit()
        back = ni.open(path / "r.zarr", verify=True)
        assert back.identical(rec)
        assert ni.digest(back) == ni.digest(rec)


@st.composite
def groups(draw):
    """Give datasets of any names and types, values of no dims too."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
    dims = draw(st.lists(NAMES, min_size=len(shape), max_size=len(shape), unique=True))
    taken = draw(st.lists(NAMES.filter(lambda name: name not in dims), min_size=2, max_size=2, unique=True))
    text = draw(hnp.arrays(object, shape, elements=TEXT.filter(lambda value: shape or not value.endswith("\0"))))
    values = draw(arrays(shape, (*DTYPES, "complex64", "complex128")))
    ds = xr.Dataset({taken[0]: (dims, values, draw(ATTRS))}, coords={taken[1]: (dims, text)})
    return ds.assign_attrs({name: value for name, value in draw(ATTRS).items() if name != "coordinates"})


@PROFILE
@given(st.dictionaries(NAMES, groups(), max_size=3), groups())
def test_a_tree_comes_back(children, inner):
    nodes = {f"/g/{name}": ds for name, ds in children.items()}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"schema_version": "1"}), **nodes, "/g/inner tree/x": inner})
    with folder() as path:
        back = ni.open(ni.save(tree, path / "s.zarr"), verify=True)
        assert back.identical(tree)
        assert [node.path for node in back.subtree] == [node.path for node in tree.subtree]
        assert ni.digest(back) == ni.digest(tree)


@given(st.lists(st.integers(0, 9), max_size=4), st.data())
def test_regions_cover_every_cell_once_in_whole_chunks(shape, data):
    unit = tuple(data.draw(st.integers(1, 5)) for _ in shape)
    with mock.patch.object(chunks, "BLOCK_BYTES", data.draw(st.integers(1, 200))):
        seen = np.zeros(shape, int)
        for region in chunks.regions(tuple(shape), unit, 2):
            seen[region] += 1
            for part, step, size in zip(region, unit, shape, strict=True):
                assert part.start % step == 0
                assert part.stop % step == 0 or part.stop == size
    assert (seen == 1).all()


@given(hnp.array_shapes(max_dims=4, max_side=100_000), st.sampled_from([1, 2, 4, 8, 16]))
def test_chunks_fit_their_size_and_waste_little(shape, itemsize):
    cut = chunks.chunk_shape(shape, itemsize)
    assert all(1 <= piece <= size for piece, size in zip(cut, shape, strict=True))
    assert math.prod(cut) * itemsize <= chunks.CHUNK_BYTES
    padded = [-(-size // piece) * piece for size, piece in zip(shape, cut, strict=True)]
    assert all(full - size < -(-size // piece) for full, size, piece in zip(padded, shape, cut, strict=True))


@st.composite
def parts(draw, size):
    """Give a part of an axis: whole numbers, slices with any step, lists in any order."""
    where = st.integers(-size, size - 1)
    return draw(
        where
        | st.builds(slice, st.none() | where, st.none() | where, st.sampled_from([None, 1, 2, 5, -1, -3]))
        | st.lists(where, max_size=6)
    )


@PROFILE
@given(st.data())
def test_any_part_of_an_opened_store_is_that_part_of_what_was_saved(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=3)))
    values = np.arange(math.prod(shape), dtype=data.draw(st.sampled_from(["int16", "float32"]))).reshape(shape)
    dims = ("time", "unit") if len(shape) == 2 else ("trial", "time", "unit")
    rec = ni.recording(values, modality="behavior", units="1", dims=dims, sampling_rate=1.0)
    key = tuple(data.draw(parts(size)) for size in shape)
    with folder(chunk_bytes=64) as path:
        opened = ni.open(ni.save(rec, path / "rec.zarr"))
        by_zarr = zarr.open_array(path / "rec.zarr" / "recording", mode="r")
        assert np.array_equal(by_zarr[:], values)
        xr.testing.assert_identical(pickle.loads(pickle.dumps(opened))[key], rec[key])


def test_a_label_that_is_a_nul_keeps_its_digest_in_blocks_smaller_than_it():
    pytest.importorskip("dask")
    word = ("time", np.array(["", "\x00"], dtype=object))
    rec = ni.recording(np.zeros((2, 1)), modality="eeg", units="V", sampling_rate=1.0, coords={"word": word})
    with mock.patch.object(content, "BLOCK_BYTES", 4):
        assert ni.digest(rec.chunk({"time": 1})) == ni.digest(rec.copy(deep=True))
    assert ni.digest(rec) != ni.digest(rec.assign_coords(word=("time", np.array(["", ""], dtype=object))))
