"""Units: conversion is a factor or refused, and what pint merely tolerates is no unit."""

import numpy as np
import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurointerp as ni
from neurointerp import units

QUICK = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def test_conversion_scales_records_and_leaves_the_input(recordings):
    rec = recordings["eeg"]
    before = ni.digest(rec)
    out = ni.to_units(rec, "uV")
    np.testing.assert_allclose(out.values, rec.values * 1e6)
    assert (out.attrs["units"], rec.attrs["units"]) == ("uV", "V")
    assert out.attrs["history"][-1]["function"] == "to_units"
    np.testing.assert_allclose(ni.to_units(out, "V").values, rec.values)
    ni.check(out)
    assert ni.digest(rec) == before


def test_conversion_keeps_float32_and_lazy_values():
    rec = ni.recording(np.ones((4, 2), np.float32), modality="eeg", units="V", sampling_rate=1.0)
    assert ni.to_units(rec, "mV").dtype == np.float32
    assert ni.to_units(rec.astype(np.int16), "mV").dtype == np.float64
    lazy = pytest.importorskip("dask.array").from_array(np.ones((4, 2)))
    out = ni.to_units(ni.recording(lazy, modality="eeg", units="V", sampling_rate=1.0), "mV")
    assert type(out.data) is type(lazy)
    np.testing.assert_array_equal(out.values, 1000.0)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("V", "T", "cannot convert 'V' to 'T'"),
        ("m", "1/m", r"\[length\] is not 1 / \[length\]"),
        ("V", "volty", "'volty' are not known to pint"),
        ("degC", "kelvin", "converting 'degC' to 'kelvin' is more than a factor"),
        ("kelvin", "degC", "more than a factor"),
        ("degF", "degC", "more than a factor"),
        ("degC", "delta_degC", "more than a factor"),
        ("dB", "1", "more than a factor"),
        ("1", "dB", "more than a factor"),
        ("dBm", "W", "more than a factor"),
        ("W", "dBm", "more than a factor"),
        ("octave", "1", "more than a factor"),
        ("mV**1000", "V**1000", "more than a factor"),
    ],
)
def test_conversions_that_are_no_factor_are_refused(source, target, message):
    rec = ni.recording(np.zeros((2, 1)), modality="behavior", units=source, sampling_rate=1.0)
    with pytest.raises(ni.RecordingError, match=message):
        ni.to_units(rec, target)


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [
        ("V", "uV", 1e6), ("uV**2/Hz", "V**2 s", 1e-12), ("percent", "1", 0.01), ("fT/cm", "T/m", 1e-13),
        ("delta_degC", "kelvin", 1.0), ("degC", "degC", 1.0), ("dB", "dB", 1.0), ("volt ** 2", "mV²", 1e6),
    ],
)  # fmt: skip
def test_factors(source, target, factor):
    assert units.factor(source, target) == pytest.approx(factor, rel=1e-12)
    assert units.factor(target, source) == pytest.approx(1 / factor, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", " V", "V ", "V\n", ".V", "V.", "V..", "V,", "V;T", "V#2", "V@", "V!", "+V", "--V", "1V", "2 V", "V*1",
        "1.0", "1 1", "V//V", "V/", "{V}", "V @ T", "a.u.", "dF/F", "bel", "spikes", "dB/Hz", "nan", "V" * 300,
        None, 1, ["V"], {"units": "V"},
    ],
)  # fmt: skip
def test_what_pint_merely_tolerates_is_no_unit(text):
    assert not units.is_known(text)
    rec = ni.recording(np.zeros((2, 1)), modality="eeg", units="V", sampling_rate=1.0)
    rec.attrs["units"] = text
    with pytest.raises(ni.RecordingError, match="units are"):
        ni.check(rec)


@given(st.text(alphabet="mVsHz µ°²1/*^().-+;#, \n", max_size=12))
@QUICK
def test_any_text_is_a_unit_or_not_without_an_error(text):
    if units.is_known(text):
        unit = pint.UnitRegistry if text == "1" else units.registry().Unit(text)
        assert text == "1" or units.factor(text, str(unit)) == pytest.approx(1.0)
        assert text == text.strip()


NAMES = st.sampled_from(["V", "uV", "s", "Hz", "m", "T", "percent", "kelvin", "µm", "Ω"])
EXPONENTS = st.sampled_from(["", "**2", "^2", "**-1", "**0.5", "**(1/2)", "²"])
FACTORS = st.builds(lambda name, exponent: name + exponent, NAMES, EXPONENTS)
UNITS = st.builds(
    lambda first, rest: first + "".join(rest),
    FACTORS,
    st.lists(st.builds(lambda sign, one: sign + one, st.sampled_from(["*", "/", " ", " * ", " / ", "·"]), FACTORS)),
)


@given(UNITS)
@QUICK
def test_products_of_units_are_known_and_their_square_is_pints(text):
    if len(text) > 60:
        return
    assert units.is_known(text)
    square = units.power(text, 2)
    assert units.is_known(square)
    assert units.registry().Unit(square) == units.registry().Unit(text) ** 2


@pytest.mark.parametrize("text", ["degC", "°C", "degF", "dB", "dBm", "Np"])
def test_a_power_of_an_offset_or_a_logarithm_has_no_unit(text):
    with pytest.raises(ni.RecordingError, match=f"a power of values in '{text}' has no unit"):
        units.power(text, 2)
    with pytest.raises(ni.RecordingError, match="'volty' are not known"):
        units.power("volty", 2)
    assert units.power("1", 2) == "1"
