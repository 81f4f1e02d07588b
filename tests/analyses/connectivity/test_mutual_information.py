"""Mutual information against theory, and of what no line shows."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError


def _recording(values, **options):
    return ni.recording(values, **({"modality": "fmri", "units": "1", "sampling_rate": 0.5} | options))


@pytest.mark.parametrize("scale", [1.0, 1e-150])
@pytest.mark.parametrize("r", [0.0, 0.6, 0.9])
def test_of_normal_values_is_that_of_theory(r, scale):
    values = np.random.default_rng(0).multivariate_normal([0, 0], [[1, r], [r, 1]], 2000) * scale
    found = connectivity.mutual_information(_recording(values)).connectivity
    assert float(found[0, 1]) == pytest.approx(-0.5 * np.log(1 - r**2), abs=0.05)
    assert float(found[0, 1]) == float(found[1, 0])
    assert np.isnan(np.diag(found)).all()


def test_a_circle_has_information_and_no_correlation():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 800)
    values = np.stack([np.cos(angle), np.sin(angle), rng.standard_normal(800)], axis=1)
    found = connectivity.mutual_information(_recording(values)).connectivity
    assert abs(float(connectivity.correlation(_recording(values)).connectivity[0, 1])) < 0.1
    assert float(found[0, 1]) > 1.0 > 10 * float(found[0, 2])


def test_missing_values_are_left_out_pair_by_pair_and_subjects_averaged():
    values = np.random.default_rng(0).multivariate_normal([0, 0, 0], np.eye(3) * 0.5 + 0.5, 300)
    holes = values.copy()
    holes[:40, 0], holes[30:60, 1] = np.nan, np.nan
    found = connectivity.mutual_information(_recording(holes)).connectivity
    rest = connectivity.mutual_information(_recording(values[60:, :2])).connectivity
    assert float(found[0, 1]) == pytest.approx(float(rest[0, 1]), abs=1e-12)
    both = _recording(np.stack([values, holes]), dims=("subject", "time", "unit"))
    group = connectivity.mutual_information(both)
    whole = connectivity.mutual_information(_recording(values)).connectivity
    np.testing.assert_allclose(group.connectivity, (found.values + whole.values) / 2, atol=1e-12)
    np.testing.assert_allclose(group.by_subject[1], found, atol=1e-12)


def test_constant_units_are_undefined_and_no_neighbours_refused():
    values = np.random.default_rng(0).standard_normal((50, 3))
    values[:, 1] = 4.0
    found = connectivity.mutual_information(_recording(values)).connectivity
    assert np.isnan(found.values[1]).all()
    assert found.attrs["undefined_units"] == 1
    with pytest.raises(AnalysisError, match="n_neighbors is 0; at least 1 is needed"):
        connectivity.mutual_information(_recording(values), n_neighbors=0)
