"""Splits cover every sample once and leak neither neighbours nor groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, KFold

import neurointerp as ni
from neurointerp import matrix, split
from neurointerp.errors import AnalysisError


def _recording(shape, dims, **coords):
    clock = {"sampling_rate": 1.0} if "time" in dims else {}
    return ni.recording(np.zeros((*shape, 2)), modality="fmri", units="1", dims=(*dims, "unit"), coords=coords, **clock)


def _segmented():
    return _recording((31,), ("time",), segment=("time", np.repeat([0, 1, 2], [7, 14, 10])))


CASES = {
    "time": _recording((31,), ("time",)),
    "segments": _segmented(),
    "trials": _recording((6, 9), ("trial", "time")),
    "one value per trial": _recording((13,), ("trial",)),
    "subjects": _recording((3, 17), ("subject", "time")),
    "subjects and trials": _recording((2, 4, 6), ("subject", "trial", "time")),
}


@pytest.mark.parametrize("recording", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_blocks_are_tested_once_and_exactly_the_neighbours_are_left_out(recording, gap):
    stretch = matrix.stretches(recording)
    total = stretch[-1].stop
    folds = split.blocked(recording, 4, gap=gap)
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(total))
    part = np.concatenate([np.full(s.stop - s.start, i) for i, s in enumerate(stretch)])
    for train, test in folds:
        rest = np.setdiff1d(np.arange(total), test)
        close = np.abs(rest[:, None] - test) <= gap
        neighbour = (close & (part[rest][:, None] == part[test])).any(axis=1)
        np.testing.assert_array_equal(train, rest[~neighbour])
        assert train.dtype == test.dtype == np.int64


def test_blocks_of_continuous_time_are_those_of_kfold():
    sizes = [len(test) for _, test in split.blocked(CASES["time"], 4)]
    assert max(sizes) - min(sizes) <= 1
    exact = _recording((20,), ("time",))
    for (train, test), (train2, test2) in zip(split.blocked(exact, 4), KFold(4).split(np.zeros(20)), strict=True):
        np.testing.assert_array_equal(train, train2)
        np.testing.assert_array_equal(test, test2)


def test_a_gap_does_not_reach_into_the_next_segment():
    recording = _recording((8,), ("time",), segment=("time", np.repeat([0, 1], 4)))
    train, test = split.blocked(recording, 2, gap=3)[0]
    assert (train.tolist(), test.tolist()) == ([4, 5, 6, 7], [0, 1, 2, 3])


def test_subjects_are_tested_on_the_same_moments():
    for _, test in split.blocked(CASES["subjects"], 5):
        moments = test.reshape(3, -1) % 17
        np.testing.assert_array_equal(moments, np.broadcast_to(moments[0], moments.shape))


def test_no_group_is_on_both_sides_and_folds_are_as_even_as_those_of_group_kfold():
    rng = np.random.default_rng(0)
    names = np.array([f"s{i}" for i in rng.integers(0, 9, 60)])
    recording = _recording((60,), ("trial",), stimulus=("trial", names))
    folds = split.grouped(recording, 4)
    for train, test in folds:
        assert not set(names[train]) & set(names[test])
        assert train.size + test.size == 60
    reference = sorted(test.size for _, test in GroupKFold(4).split(names, groups=names))
    assert sorted(test.size for _, test in folds) == reference


def test_a_stimulus_is_held_out_in_all_subjects_and_trials():
    stimulus = np.array(["a", "b", "a", "c"])
    recording = _recording((2, 4, 5), ("subject", "trial", "time"), stimulus=("trial", stimulus))
    of = np.broadcast_to(stimulus[None, :, None], (2, 4, 5)).ravel()
    tested = []
    for train, test in split.leave_one_out(recording, by="stimulus"):
        assert set(of[train]) & set(of[test]) == set()
        assert test.size == (of == of[test[0]]).sum()
        tested.append(of[test[0]])
    assert tested == ["a", "b", "c"]


def test_subjects_and_trials_are_groups_without_coordinates():
    recording = _recording((3, 4, 5), ("subject", "trial", "time")).drop_vars("trial")
    tests = [test.tolist() for _, test in split.leave_one_out(recording, by="subject")]
    assert tests == [list(range(i, i + 20)) for i in (0, 20, 40)]
    for train, test in split.grouped(recording, 2, by="trial"):
        assert not set(train // 5 % 4) & set(test // 5 % 4)


def test_groups_that_follow_in_time_keep_a_gap():
    recording = _recording((12,), ("time",), stimulus=("time", np.repeat(["a", "b", "c"], 4)))
    train, test = split.leave_one_out(recording, by="stimulus", gap=2)[1]
    assert (train.tolist(), test.tolist()) == ([0, 1, 10, 11], [4, 5, 6, 7])


def test_groups_are_numbered_as_they_appear():
    recording = _recording((5,), ("trial",), stimulus=("trial", ["z", "a", "z", "m", "a"]))
    assert split.groups(recording, "stimulus").tolist() == [0, 1, 0, 2, 1]


def test_splits_are_the_same_every_time():
    recording = _recording((40,), ("trial",), stimulus=("trial", [f"s{i % 7}" for i in range(40)]))
    for first, second in zip(split.grouped(recording), split.grouped(recording), strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: split.blocked(r, 32), "31 samples cannot make 32 folds; ask for fewer folds"),
        (lambda r: split.blocked(r, 1), "folds is 1: a whole number, at least 2, is needed"),
        (lambda r: split.blocked(r, 2.5), "folds is 2.5"),
        (lambda r: split.blocked(r, gap=-1), "gap is -1: a whole number of samples, 0 or more"),
        (
            lambda r: split.blocked(r.drop_vars("segment"), 2, gap=20),
            "a gap of 20 samples around 16 test samples leaves none",
        ),
        (lambda r: split.grouped(r), r"no groups 'stimulus' on the sample dims \('time',\); there are: segment"),
        (lambda r: split.grouped(r, by="segment"), "3 groups of 'segment' cannot make 5 folds"),
        (lambda r: split.grouped(r, by="time"), "cannot be grouped by 'time'.*use split.blocked"),
        (lambda r: split.grouped(r, by="unit"), "no groups 'unit' on the sample dims"),
        (lambda r: split.leave_one_out(r[:5], by="segment"), "'segment' has a single group"),
    ],
)
def test_what_cannot_be_split_is_refused(call, message):
    with pytest.raises(AnalysisError, match=message):
        call(_segmented())


def test_unlabelled_samples_are_refused_with_their_number():
    recording = _recording((4,), ("trial",), block=("trial", [0.0, np.nan, 1.0, np.nan]))
    with pytest.raises(AnalysisError, match="2 samples have no label in 'block'"):
        split.grouped(recording, 2, by="block")


def _stimuli():
    return _recording((2, 6, 5), ("subject", "trial", "time"), stimulus=("trial", ["a", "b", "c", "a", "b", "c"]))


@pytest.mark.parametrize("recording", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("gap", [0, 2])
def test_given_takes_what_the_other_splits_make(recording, gap):
    folds = split.blocked(recording, 4, gap=gap)
    for (train, test), (train2, test2) in zip(folds, split.given(recording, folds, gap=gap), strict=True):
        np.testing.assert_array_equal(train, train2)
        np.testing.assert_array_equal(test, test2)


def test_given_takes_what_scikit_learn_yields():
    recording = _stimuli()
    by_stimulus = GroupKFold(3).split(np.zeros(60), groups=split.groups(recording, "stimulus"))
    assert len(split.given(recording, by_stimulus)) == 3
    with pytest.raises(AnalysisError, match="fold 0 leaks: 3 groups of 'stimulus' are in both train and test"):
        split.given(recording, KFold(3).split(np.zeros(60)))
    assert len(split.given(recording, KFold(3).split(np.zeros(60)), by=None)) == 3


def test_subjects_and_stimuli_held_out_are_held_out_together():
    recording = _stimuli()
    for folds, by in (
        (split.leave_one_out(recording, by="subject"), "subject"),
        (split.grouped(recording, 3), "stimulus"),
    ):
        assert split.given(recording, folds, by=by)
    with pytest.raises(AnalysisError, match="fold 0 leaks: 3 groups of 'stimulus'"):
        split.given(recording, split.leave_one_out(recording, by="subject"), by="stimulus")


@pytest.mark.parametrize(
    ("folds", "options", "message"),
    [
        ([([0, 1, 2], [2, 3])], {}, "fold 0 leaks: 1 samples are in both train and test"),
        ([([0, 1], [5, 6]), ([4], [6])], {"gap": 3}, "fold 1 leaks: 1 training samples lie within 3 samples of a test"),
        ([([0], [10])], {"by": "segment"}, None),
        ([([0], [3])], {"by": "segment"}, "fold 0 leaks: 1 groups of 'segment'"),
        ([([0], [31])], {}, "indices from 31 to 31 leave the 31 stacked samples"),
        ([([0], [-1])], {}, "indices from -1 to -1 leave"),
        ([([0.0], [1.0])], {}, "int arrays that hold samples, found float64"),
        ([(np.arange(31) < 9, [20])], {}, "found bool"),
        ([([], [1])], {}, r"found float64 of shape \(0,\)"),
        ([], {}, "there are no folds"),
        ([([0], [5])], {"gap": 1.5}, "gap is 1.5"),
        ([([0], [5])], {"by": "block"}, "no groups 'block'"),
    ],
)
def test_given_folds_that_leak_are_refused(folds, options, message):
    if message is None:
        assert len(split.given(_segmented(), folds, **options)) == 1
        return
    with pytest.raises(AnalysisError, match=message):
        split.given(_segmented(), folds, **options)


@given(st.data())
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_given_agrees_with_a_count_of_pairs(data):
    gap = data.draw(st.integers(0, 4))
    side = np.array(data.draw(st.lists(st.sampled_from(["train", "test", "-"]), min_size=31, max_size=31)))
    train, test = np.flatnonzero(side == "train"), np.flatnonzero(side == "test")
    if not train.size or not test.size:
        return
    segment = _segmented()["segment"].values
    close = (np.abs(train[:, None] - test) <= gap) & (segment[train][:, None] == segment[test])
    leaks = int(close.any(axis=1).sum())
    try:
        split.given(_segmented(), [(train, test)], gap=gap)
        found = 0
    except AnalysisError as error:
        found = int(str(error).split("leaks: ")[1].split()[0])
    assert found == leaks
