"""Constructor and check over generated recordings: what keeps the contract is built, what breaks it is named."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import neurointerp as ni
from neurointerp.schema import MODALITIES, SCHEMA_VERSION

QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)
DIMS = [("time", "unit"), ("trial", "time", "unit"), ("trial", "unit"), ("subject", "trial", "time", "unit"),
        ("subject", "time", "unit"), ("time", "row", "col", "unit")]  # fmt: skip
DTYPES = [np.bool_, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64]
LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | LABELS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LABELS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def clocks(draw, size):
    """Draw (time, sampling_rate): regular seconds, irregular seconds or counts."""
    kind = draw(st.sampled_from(["regular", "from rate", "irregular", "counts"]))
    rate = draw(st.sampled_from([0.5, 1.0, 3.0, 29.97, 512.0, 30_000.0]))
    if kind == "from rate":
        return None, rate
    if kind == "regular":
        return draw(st.sampled_from([0.0, -3.5, 3600.1])) + np.arange(size) / rate, rate
    if kind == "counts":
        return np.cumsum(draw(hnp.arrays(np.int64, size, elements=st.integers(1, 5)))), None
    return np.cumsum(draw(hnp.arrays(np.float64, size, elements=st.floats(0.001, 10.0)))), None


@st.composite
def arguments(draw, least=0):
    """Draw the arguments of `ni.recording`, all of them allowed."""
    dims = draw(st.sampled_from(DIMS))
    shape = tuple(draw(st.integers(least, 5)) for _ in dims)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    numbers = st.floats(allow_infinity=False, width=8 * dtype.itemsize) if dtype.kind == "f" else None
    values = draw(hnp.arrays(dtype, shape, elements=numbers))
    found = {"values": values, "dims": dims, "modality": draw(st.sampled_from(MODALITIES))}
    found["units"] = draw(st.sampled_from(["1", "V", "uV**2/Hz", "percent", "fT/cm", "degC", "dB"]))
    found["unit"] = draw(st.lists(LABELS, min_size=shape[-1], max_size=shape[-1], unique=True))
    coords = {"region": ("unit", draw(st.lists(LABELS, min_size=shape[-1], max_size=shape[-1])))}
    if "time" in dims:
        size = shape[dims.index("time")]
        found["time"], found["sampling_rate"] = draw(clocks(size))
        coords["segment"] = ("time", np.sort(draw(hnp.arrays(np.int64, size, elements=st.integers(0, 3)))))
    if "trial" in dims:
        size = shape[dims.index("trial")]
        coords["stimulus"] = ("trial", draw(st.lists(LABELS, min_size=size, max_size=size)))
    attrs = draw(st.dictionaries(LABELS.filter(bool), JSON, max_size=3))
    protected = {"modality", "units", "sampling_rate", "history", "schema_version"}
    return {**found, "coords": coords, "attrs": {key: value for key, value in attrs.items() if key not in protected}}


@given(arguments())
@QUICK
def test_what_keeps_the_contract_is_built_as_it_was_given(given_arguments):
    values = given_arguments.pop("values")
    before, attrs = values.copy(), json.dumps(given_arguments["attrs"])
    rec = ni.recording(values, **given_arguments)
    ni.check(rec)
    assert rec.dims == given_arguments["dims"]
    assert rec.dtype == values.dtype
    assert np.shares_memory(rec.values, values) or not values.size
    np.testing.assert_array_equal(values, before)
    assert rec["unit"].values.tolist() == given_arguments["unit"]
    assert rec["region"].values.tolist() == given_arguments["coords"]["region"][1]
    assert all(rec[name].dtype == object for name in ("unit", "region") if rec.sizes["unit"])
    assert json.dumps(given_arguments["attrs"]) == attrs
    assert {key: rec.attrs[key] for key in given_arguments["attrs"]} == given_arguments["attrs"]
    assert rec.attrs["schema_version"] == SCHEMA_VERSION
    assert json.loads(json.dumps(rec.attrs)) == rec.attrs
    if given_arguments.get("time") is not None:
        np.testing.assert_array_equal(rec["time"].values, given_arguments["time"])


@given(arguments(), arguments())
@QUICK
def test_equal_digests_mean_equal_recordings(one, other):
    digests = [ni.digest(ni.recording(**arguments)) for arguments in (one, one, other)]
    assert digests[0] == digests[1]
    first, second = (ni.recording(**arguments) for arguments in (one, other))
    assert first.identical(second) or digests[0] != digests[2]


def _stamps(rec, stamps):
    return rec.assign_coords(time=("time", stamps, rec["time"].attrs))


def _attrs(rec, **changes):
    out = rec.copy(deep=False)
    out.attrs = {**rec.attrs, **changes}
    return out


BROKEN = {
    "no clock": (lambda r: r.drop_vars("time"), "no coordinate 'time'"),
    "backwards": (lambda r: _stamps(r, r["time"].values[::-1].copy()), "time must increase strictly"),
    "twice the same stamp": (
        lambda r: _stamps(r, np.repeat(r["time"].values[:1], r.sizes["time"])),
        "time must increase strictly: stamp 1",
    ),
    "float32 clock": (lambda r: _stamps(r, np.arange(r.sizes["time"], dtype=np.float32)), "dtype float32: float64"),
    "stamps not finite": (lambda r: _stamps(r, np.full(r.sizes["time"], np.nan)), "stamps that are not finite"),
    "a wrong rate": (
        lambda r: _attrs(_stamps(r, np.arange(r.sizes["time"]) * 1.0).drop_vars("segment"),
                         sampling_rate=1.5),
        "sampling_rate 1.5 disagrees with time",
    ),
    "rate zero": (lambda r: _attrs(r, sampling_rate=0), "sampling_rate is 0"),
    "segments of floats": (lambda r: r.assign_coords(segment=r["segment"] * 1.0), "segment must be integers on 'time'"),
    "numbered units": (lambda r: r.assign_coords(unit=range(r.sizes["unit"])), "labels must be strings, found int"),
    "a unit twice": (
        lambda r: r.assign_coords(unit=np.array(["x"] * r.sizes["unit"], object)),
        "unit labels must be unique, 'x' stands",
    ),
    "no units' labels": (lambda r: r.drop_vars("unit"), "no coordinate 'unit'"),
    "unit not last": (lambda r: r.transpose("unit", ...), "the last must be 'unit'"),
    "an infinite value": (lambda r: r.copy(data=np.full(r.shape, np.inf)), "infinite values: a missing value is NaN"),
    "complex values": (lambda r: r.astype(np.complex128), "real numbers or booleans are needed"),
    "an unknown modality": (lambda r: _attrs(r, modality="nirs"), "modality is 'nirs'"),
    "an unknown unit": (lambda r: _attrs(r, units="V."), "units are 'V.'"),
    "an array attr": (lambda r: _attrs(r, about=np.zeros(2)), "attr 'about' is of type ndarray: JSON types only"),
    "no history": (lambda r: _attrs(r, history="none"), "attr 'history' must be a list of steps"),
    "mixed labels": (
        lambda r: r.assign_coords(region=("unit", np.array(["a", 1] * r.sizes["unit"], object)[: r.sizes["unit"]])),
        "coordinate 'region' mixes types",
    ),
}  # fmt: skip


def _keeps_attrs(break_it, rec):
    with xr.set_options(keep_attrs=True):
        return break_it(rec)


@pytest.mark.parametrize(("break_it", "message"), BROKEN.values(), ids=BROKEN)
@given(arguments(least=2).filter(lambda found: "time" in found["dims"]))
@settings(QUICK, max_examples=15)
def test_each_breach_is_named(break_it, message, given_arguments):
    rec = ni.recording(**given_arguments)
    with pytest.raises(ni.RecordingError, match="not a recording: ") as caught:
        ni.check(_keeps_attrs(break_it, rec))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).replace(str(given_arguments), "")
    ni.check(rec)


INDEPENDENT = ["rate zero", "numbered units", "an unknown modality", "an unknown unit", "an array attr", "no history"]


@given(st.lists(st.sampled_from(INDEPENDENT), min_size=1, unique=True))
@QUICK
def test_all_breaches_are_listed_at_once(names):
    rec = ni.recording(np.zeros((3, 2)), modality="eeg", units="V", sampling_rate=1.0)
    for name in names:
        rec = BROKEN[name][0](rec)
    with pytest.raises(ni.RecordingError) as caught:
        ni.check(rec)
    assert str(caught.value).count("; ") >= len(names) - 1
    for name in names:
        assert BROKEN[name][1] in str(caught.value)


@given(st.sampled_from([0.1, 1 / 3, 2.1, 29.97, 200.0, 30_000.0]), st.integers(2, 400_000))
@QUICK
def test_clocks_from_a_rate_are_products_and_give_the_rate_back(rate, size):
    rec = ni.recording(np.zeros((size, 1), np.int8), modality="eeg", units="V", sampling_rate=rate)
    np.testing.assert_array_equal(rec["time"].values, np.arange(size) / rate)
    again = ni.recording(rec.values, modality="eeg", units="V", time=rec["time"].values)
    assert again.attrs["sampling_rate"] == pytest.approx(rate, rel=1e-6)


def test_float32_seconds_that_would_collapse_are_refused():
    stamps = 3600.0 + np.arange(200_000) / 30_000.0
    assert np.unique(stamps.astype(np.float32)).size < 30_000
    with pytest.raises(ni.RecordingError, match="dtype float32, too coarse for a clock; build it in float64"):
        ni.recording(np.zeros((200_000, 1)), modality="ieeg", units="V", time=stamps.astype(np.float32))
    rec = ni.recording(np.zeros((200_000, 1)), modality="ieeg", units="V", time=stamps)
    assert np.unique(rec["time"].values).size == 200_000
