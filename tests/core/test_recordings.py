import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp.recordings import add_history


def build(**changes):
    arguments = {"modality": "eeg", "units": "V", "sampling_rate": 100.0} | changes
    values = arguments.pop("values", np.zeros((5, 3)))
    return ni.recording(values, **arguments)


def test_clock_is_built_in_float64_seconds_without_summing():
    rec = build(values=np.zeros((30_000, 1)), sampling_rate=30_000.0)
    assert rec.time.dtype == np.float64
    assert rec.time.attrs["units"] == "s"
    np.testing.assert_array_equal(rec.time.values, np.arange(30_000) / 30_000.0)


def test_labels_are_unique_strings_and_default_ones_sort():
    rec = build(values=np.zeros((2, 11)))
    assert rec.unit.values.tolist() == sorted(rec.unit.values.tolist())
    assert rec.unit.dtype == object
    assert build(unit=["Cz", "Pz", "a longer name"]).unit.values.tolist() == ["Cz", "Pz", "a longer name"]


def test_values_are_shared_and_attrs_copied():
    values, attrs = np.zeros((5, 3)), {"subject": "s1", "notes": {"a": np.float64(1.5)}}
    rec = build(values=values, attrs=attrs)
    assert np.shares_memory(rec.values, values)
    assert rec.attrs["notes"] == {"a": 1.5}
    assert isinstance(attrs["notes"]["a"], np.float64)


def test_a_clock_of_counts():
    rec = build(modality="activations", units="1", sampling_rate=None, time=np.arange(5, dtype=np.int32))
    assert rec.time.dtype == np.int64
    assert rec.time.attrs["units"] == "token"
    assert rec.attrs["sampling_rate"] == 1.0
    ticks = build(sampling_rate=None, time=("time", np.arange(0, 50, 10), {"units": "tick"}))
    assert ticks.time.attrs["units"] == "tick"
    assert ticks.attrs["sampling_rate"] == 0.1


def test_regular_rate_is_computed_and_an_irregular_one_left_out():
    assert build(sampling_rate=None, time=np.arange(5) / 7.3 + 100).attrs["sampling_rate"] == pytest.approx(7.3)
    assert "sampling_rate" not in build(sampling_rate=None, time=np.array([0.0, 1.0, 2.1, 3.0, 4.0])).attrs
    gaps = build(
        sampling_rate=None,
        time=np.array([0.0, 1.0, 2.0, 10.0, 11.0]),
        coords={"segment": ("time", [0, 0, 0, 1, 1])},
    )
    assert gaps.attrs["sampling_rate"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampling_rate": None}, "a clock is needed"),
        ({"time": np.arange(5, dtype=np.float32) / 100}, "too coarse for a clock"),
        ({"time": np.array([0.0, 0.01, 0.01, 0.02, 0.03]), "sampling_rate": None}, "increase strictly: stamp 2"),
        ({"time": np.arange(5) / 50}, "sampling_rate 100 disagrees with time"),
        ({"time": np.arange(4) / 100}, r"time has shape \(4,\) for 5 samples"),
        ({"unit": ["a", "b", "a"]}, "unit labels must be unique, 'a' stands 2 times"),
        ({"unit": ["a", "b"]}, "unit has 2 labels for 3 units"),
        ({"unit": ["a", None, "c"]}, "unit labels must be strings"),
        ({"units": "bananas"}, "'bananas', which pint cannot parse"),
        ({"units": ""}, "units are ''"),
        ({"modality": "EEG"}, "modality is 'EEG': one of activations, spikes"),
        ({"dims": ("unit", "time")}, "the last must be 'unit'"),
        ({"values": np.zeros((5, 3)), "dims": ("frequency", "unit")}, "one of 'time', 'trial' is needed"),
        ({"values": np.full((5, 3), np.inf)}, "15 infinite values: a missing value is NaN"),
        ({"values": np.full((5, 3), "x", dtype=object)}, "values have dtype object"),
        ({"values": np.zeros((5, 3, 2))}, "values have 3 axes but dims name 2"),
        ({"coords": {"segment": ("time", np.linspace(0, 1, 5))}}, "segment must be integers"),
        ({"coords": {"region": ("unit", ["a"])}}, "labels do not fit the values"),
        ({"coords": {"onset": ("time", np.zeros(5, "datetime64[ns]"))}}, "coordinate 'onset' has dtype datetime64"),
        ({"time": ("time", np.arange(5), {"units": "parsec"}), "sampling_rate": None}, "units 'parsec': one of token"),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_refused(changes, message):
    with pytest.raises(ni.RecordingError, match=message):
        build(**changes)


def test_check_lists_every_violation_at_once():
    rec = build()
    rec.attrs |= {"modality": "magic", "units": "bananas", "array": np.zeros(2)}
    with pytest.raises(ni.RecordingError) as caught:
        ni.check(rec)
    for part in ("modality is 'magic'", "bananas", "attr 'array' is of type ndarray"):
        assert part in str(caught.value)


def test_check_refuses_a_multiindex_and_what_is_no_array():
    rec = build().assign_coords(a=("unit", ["x", "x", "y"]), b=("unit", [0, 1, 0])).set_index(unit=["a", "b"])
    with pytest.raises(ni.RecordingError, match="a MultiIndex cannot be stored"):
        ni.check(rec)
    with pytest.raises(ni.RecordingError, match="found ndarray"):
        ni.check(np.zeros(3))


def test_nan_is_a_missing_value_and_kept():
    values = np.zeros((5, 3))
    values[2, 1] = np.nan
    assert int(build(values=values).isnull().sum()) == 1


def test_history_grows_in_a_copy():
    rec = build()
    out = add_history(rec, "step", width=np.int64(3), path=("a", "b"))
    assert rec.attrs["history"] == []
    assert out.attrs["history"][0]["parameters"] == {"width": 3, "path": ["a", "b"]}
    ni.check(out)


def test_session_keeps_clocks_events_structure_and_truth_apart():
    slow = build(values=np.zeros((4, 2)), modality="fmri", units="1", sampling_rate=0.5)
    events = pd.DataFrame({"onset": [1, 2], "duration": [0.5, np.nan], "trial_type": ["a", "b"]})
    wiring = xr.DataArray(np.eye(2), dims=("source", "target"), coords={"source": ["x", "y"], "target": ["x", "y"]})
    tree = ni.session({"eeg": build(), "bold": slow}, events=events, structure={"c": wiring}, truth={"k": wiring[0]})
    assert tree["recordings/eeg/recording"].drop_attrs().identical(build().rename("recording").drop_attrs())
    assert tree["recordings/bold/recording"].sizes == {"time": 4, "unit": 2}
    assert tree["events/onset"].dtype == np.float64
    assert tree["events/onset"].attrs["units"] == "s"
    assert tree["events/trial_type"].values.tolist() == ["a", "b"]
    assert float(tree["structure/c/structure"].sel(source="x", target="x")) == 1.0
    assert "k" in tree["truth"].data_vars


def test_session_refuses_bad_names_and_events_without_onset():
    with pytest.raises(ni.RecordingError, match="'a/b' cannot be a node"):
        ni.session({"a/b": build()})
    with pytest.raises(ni.RecordingError, match="no column 'onset'"):
        ni.session({"a": build()}, events={"time": [1.0]})


def test_labels_that_are_no_text_are_refused():
    with pytest.raises(ni.RecordingError, match="unit has a label that is no Unicode text"):
        ni.recording(np.zeros((1, 1)), modality="eeg", units="V", sampling_rate=1.0, unit=["\ud800"])
