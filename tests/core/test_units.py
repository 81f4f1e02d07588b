import numpy as np
import pytest

import neurointerp as ni


def test_conversion_scales_records_and_leaves_the_input(recordings):
    rec = recordings["eeg"]
    out = ni.to_units(rec, "uV")
    np.testing.assert_allclose(out.values, rec.values * 1e6)
    assert (out.attrs["units"], rec.attrs["units"]) == ("uV", "V")
    assert out.attrs["history"][-1]["function"] == "to_units"
    np.testing.assert_allclose(ni.to_units(out, "V").values, rec.values)
    ni.check(out)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [("V", "T", "cannot convert 'V' to 'T'"), ("degC", "kelvin", "more than a factor"), ("V", "volty", "not known")],
)
def test_conversions_that_are_no_factor_are_refused(source, target, message):
    rec = ni.recording(np.zeros((2, 1)), modality="behavior", units=source, sampling_rate=1.0)
    with pytest.raises(ni.RecordingError, match=message):
        ni.to_units(rec, target)
