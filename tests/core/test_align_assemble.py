"""Recordings end to end, subjects on top of each other."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import align


def series(samples=5, labels=("a", "b"), fill=None, **changes):
    values = np.arange(samples * len(labels), dtype=float).reshape(samples, len(labels))
    values = values if fill is None else np.full_like(values, fill)
    arguments = {"modality": "calcium", "units": "1", "sampling_rate": 2.0, "unit": list(labels)} | changes
    return ni.recording(values.astype(arguments.pop("dtype", np.float64)), **arguments)


def step(rec):
    return rec.attrs["history"][-1]["parameters"]


def later(rec, shift):
    return rec.assign_coords(time=("time", rec["time"].values + shift, rec["time"].attrs))


def test_each_recording_begins_a_segment():
    one = series(4, coords={"segment": ("time", [7, 7, 2, 2])})
    out = align.concat([one, later(series(3), 10.0)])
    np.testing.assert_array_equal(out["segment"], [0, 0, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(out["time"], [0, 0.5, 1, 1.5, 10, 10.5, 11])
    np.testing.assert_array_equal(out.values[4:], series(3).values)
    assert step(out)["recordings"] == 2
    assert step(out)["sizes"] == [4, 3]
    assert out.attrs["history"][-1]["inputs"]["recording 0"] == ni.digest(one)
    ni.check(out)
    assert np.isnan(align.lag(out, [1]).values[[0, 2, 4]]).all()


def test_clocks_that_overlap_are_refused_or_moved_on_purpose():
    rec = series(4)
    with pytest.raises(ni.AlignmentError, match=r"clock of recording 1 begins at 0 s, but recording 0 ends at 1.5"):
        align.concat([rec, rec])
    followed = align.concat([rec, rec, rec], offset="follow")
    np.testing.assert_array_equal(followed["time"], np.arange(12) / 2)
    assert step(followed)["offsets"] == [0, 2.0, 4.0]
    np.testing.assert_array_equal(align.concat([rec, rec], offset=[0, 100])["time"][4:], [100, 100.5, 101, 101.5])
    tokens = series(3, time=np.arange(3), sampling_rate=None)
    joined = align.concat([tokens, tokens], offset="follow")
    np.testing.assert_array_equal(joined["time"], np.arange(6))
    assert joined["time"].dtype == np.int64
    for offset, message in (
        ([0], "offset has 1 numbers for 2 recordings"),
        ("after", "offset is 'after'"),
        ([0, 0.5], "must be whole numbers: the clock counts 'frame'"),
        ([0, 1], "begins at 1 frame, but recording 0 ends at 2"),
    ):
        with pytest.raises(ni.AlignmentError, match=message):
            align.concat([tokens, tokens], offset=offset)
    with pytest.raises(ni.AlignmentError, match="offset moves clocks"):
        align.concat([align.windows(rec, 2)] * 2, "trial", offset="follow")


def test_recordings_that_disagree_are_refused_with_every_difference():
    other = series(5, ("a", "c", "d"), units="V", dtype=np.float32, sampling_rate=4.0)
    with pytest.raises(ni.AlignmentError) as caught:
        align.concat([series(), later(other, 100.0)])
    message = str(caught.value)
    assert message.startswith("concat: recordings differ from recording 0: ")
    for part in ("dtype float32 instead of float64", "units 'V' instead of '1'", "sampling_rate 4.0 instead of 2.0",
                 "lacks b and adds c, d in 'unit'"):  # fmt: skip
        assert f"recording 1 {part}" in message or f"recording 1 has {part}" in message
    with pytest.raises(ni.AlignmentError, match="has the labels of 'unit' in another order"):
        align.concat([series(), later(series(labels=("b", "a")), 100.0)])
    with pytest.raises(ni.AlignmentError, match="has a clock in 'frame' instead of 's'"):
        align.concat([series(), series(time=np.arange(100, 105), sampling_rate=2.0 / 2)])
    with pytest.raises(ni.AlignmentError, match="there are no recordings"):
        align.concat([])
    with pytest.raises(ni.AlignmentError, match="recording 1 has no samples along 'time'"):
        align.concat([series(), series()[:0]])
    with pytest.raises(ni.AlignmentError, match="recording 0 has no dim 'trial'"):
        align.concat([series()], "trial")
    with pytest.raises(ni.AlignmentError, match="dim is 'unit'"):
        align.concat([series()], "unit")


def test_labels_that_all_share_are_kept_and_the_rest_is_named():
    ours = {"stimulus": ("time", ["x", "y", "z"]), "region": ("unit", ["V1", "V2"]), "k": ("time", [1, 2, 3])}
    theirs = {"stimulus": ("time", ["x", "w"]), "region": ("unit", ["V1", "V4"])}
    one = series(3, coords=ours, attrs={"subject": "s1", "system": "mouse"})
    two = series(2, coords=theirs, attrs={"subject": "s2", "system": "mouse"})
    out = align.concat([one, two], offset="follow")
    assert out["stimulus"].values.tolist() == ["x", "y", "z", "x", "w"]
    assert "region" not in out.coords
    assert step(out)["dropped_coords"] == ["region", "k"]
    assert step(out)["dropped_attrs"] == ["subject"]
    assert out.attrs["system"] == "mouse"


def test_trials_are_put_together_on_one_clock():
    rec = align.windows(series(20), 5)
    out = align.concat([rec, rec[:2]], "trial")
    assert out.sizes == {"trial": 6, "time": 5, "unit": 2}
    np.testing.assert_array_equal(out["trial"], np.arange(6))
    np.testing.assert_array_equal(out["onset"], [*rec["onset"].values, *rec["onset"].values[:2]])
    renamed = rec.assign_coords(trial=[10, 11, 12, 13])
    np.testing.assert_array_equal(align.concat([rec, renamed], "trial")["trial"], [0, 1, 2, 3, 10, 11, 12, 13])
    with pytest.raises(ni.AlignmentError, match=r"lacks 2.0 and adds nothing in 'time'"):
        align.concat([rec, rec[:, :4]], "trial")
    flat = ni.recording(np.ones((3, 2)), modality="fmri", units="1", dims=("trial", "unit"))
    assert align.concat([flat, flat], "trial").shape == (6, 2)


PIECES = st.lists(st.integers(1, 20), min_size=1, max_size=4)


@settings(deadline=None, max_examples=30)
@given(PIECES, st.data())
def test_pieces_end_to_end_are_the_whole_in_any_grouping(sizes, data):
    whole = series(sum(sizes))
    cuts = np.cumsum([0, *sizes])
    pieces = [whole[a:b] for a, b in itertools.pairwise(cuts)]
    out = align.concat(pieces)
    np.testing.assert_array_equal(out.values, whole.values)
    np.testing.assert_array_equal(out["time"], whole["time"])
    np.testing.assert_array_equal(out["segment"], np.repeat(np.arange(len(sizes)), sizes))
    split = data.draw(st.integers(1, len(pieces)))
    grouped = [align.concat(part) for part in (pieces[:split], pieces[split:]) if part]
    xr.testing.assert_identical(align.concat(grouped).drop_attrs(), out.drop_attrs())
    for label, piece in enumerate(pieces):
        xr.testing.assert_identical(
            out[out["segment"].values == label].drop_vars("segment").drop_attrs(), piece.drop_attrs()
        )


@settings(deadline=None, max_examples=20)
@given(PIECES, st.integers(0, 2**16))
def test_what_works_within_segments_commutes_with_concat(sizes, seed):
    rng = np.random.default_rng(seed)
    pieces = [later(series(size, dtype=np.float64), 100.0 * i) for i, size in enumerate(sizes)]
    pieces = [piece.copy(data=rng.standard_normal(piece.shape)) for piece in pieces]
    whole = align.concat(pieces)
    for function in (
        lambda rec: align.lag(rec, [0, 1, -2]),
        lambda rec: align.resample(rec, 3.0),
        lambda rec: align.interpolate(rec, 5.0),
    ):
        apart = align.concat([function(piece) for piece in pieces])
        together = function(whole)
        np.testing.assert_array_equal(together.values, apart.values)
        np.testing.assert_array_equal(together["time"], apart["time"])
        np.testing.assert_array_equal(together["segment"], apart["segment"])
    cut = [align.windows(piece, 3) for piece in pieces if piece.sizes["time"] >= 3]
    if cut:
        np.testing.assert_array_equal(align.windows(whole, 3).values, align.concat(cut, "trial").values)


def test_subjects_share_the_union_of_their_units():
    one, two = series(3, ("AVA", "AVB"), fill=1), series(3, ("RIM", "AVB", "u000"), fill=2)
    out = align.stack_subjects({"w1": one, "w2": two})
    assert out.dims == ("subject", "time", "unit")
    assert out["unit"].values.tolist() == ["AVA", "AVB", "RIM", "u000"]
    assert out["subject"].values.tolist() == ["w1", "w2"]
    np.testing.assert_array_equal(out.values[:, 0], [[1, 1, np.nan, np.nan], [np.nan, 2, 2, 2]])
    assert step(out)["units_lacking"] == {"w1": 2, "w2": 1}
    assert out.attrs["history"][-1]["inputs"]["subject w2"] == ni.digest(two)
    ni.check(out)


def test_counts_of_subjects_stay_counts_unless_one_lacks_a_unit():
    one = series(3, dtype=np.int64, modality="spikes")
    assert align.stack_subjects({"a": one, "b": one}).dtype == np.int64
    out = align.stack_subjects({"a": one, "b": one[:, :1]})
    assert out.dtype == np.float64
    assert int(out.isnull().sum()) == 3
    single = series(3, dtype=np.float32)
    assert align.stack_subjects({"a": single, "b": single[:, :1]}).dtype == np.float32


def test_labels_of_units_are_merged_where_subjects_agree():
    ours = {"region": ("unit", ["V1", "V2"]), "x": ("unit", [0.1, np.nan]), "k": ("unit", [1, 2])}
    theirs = {"region": ("unit", ["V2", "V4"]), "x": ("unit", [np.nan, 3.0]), "k": ("unit", [5, 6])}
    one = series(3, ("a", "b"), coords=ours, attrs={"subject": "one"})
    two = series(3, ("b", "c"), coords=theirs, attrs={"subject": "two"})
    out = align.stack_subjects({"one": one, "two": two})
    assert out["region"].values.tolist() == ["V1", "V2", "V4"]
    np.testing.assert_array_equal(out["x"], [0.1, np.nan, 3.0])
    assert "k" not in out.coords
    assert step(out)["dropped_coords"] == ["k"]
    assert step(out)["dropped_attrs"] == ["subject"]


def test_subjects_on_other_clocks_are_refused_by_name():
    with pytest.raises(
        ni.AlignmentError, match=r"differ from subject w1: subject w2 lacks 1.0 and adds nothing in 'time'"
    ):
        align.stack_subjects({"w1": series(3), "w2": series(2)})
    with pytest.raises(ni.AlignmentError, match="subject w2 has units 'V' instead of '1'"):
        align.stack_subjects({"w1": series(3), "w2": series(3, units="V")})
    with pytest.raises(ni.AlignmentError, match="subject w2 has other segments"):
        align.stack_subjects({"w1": series(3), "w2": series(3, coords={"segment": ("time", [0, 0, 1])})})
    with pytest.raises(ni.AlignmentError, match="there are no recordings"):
        align.stack_subjects({})
    stacked = align.stack_subjects({"w1": series(3)})
    with pytest.raises(ni.AlignmentError, match="have a subject dim already"):
        align.stack_subjects({"w1": stacked})


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=4), st.integers(0, 2**16))
def test_stacking_is_exact_where_a_subject_has_a_unit_and_nan_elsewhere(choices, seed):
    rng = np.random.default_rng(seed)
    recs = {}
    for i, choice in enumerate(choices):
        rec = series(4, sorted(choice, key=lambda _: rng.random()))
        recs[f"s{i}"] = rec.copy(data=rng.standard_normal(rec.shape))
    out = align.stack_subjects(recs)
    assert set(out["unit"].values) == set().union(*choices)
    for name, rec in recs.items():
        mine = out.sel(subject=name)
        np.testing.assert_array_equal(mine.sel(unit=rec["unit"].values), rec)
        others = [unit for unit in out["unit"].values if unit not in set(rec["unit"].values)]
        assert mine.sel(unit=others).isnull().all()
    swapped = align.stack_subjects(dict(reversed(recs.items())))
    xr.testing.assert_equal(
        swapped.sel(subject=out.subject.values, unit=out.unit.values).drop_attrs(), out.drop_attrs()
    )
