"""Several subjects at once: each as it is alone, averaged as is said, and units that some of them lack."""

import numpy as np
import pytest
from scipy.stats import combine_pvalues

import neurointerp as ni
from neurointerp.analyses import connectivity
from neurointerp.errors import AnalysisError

FISHER = ("coherence", "imaginary_coherence", "correlation", "partial_correlation", "lagged")
SPECTRAL = ("coherence", "imaginary_coherence", "plv", "ciplv", "pli", "wpli", "wpli2_debiased", "psi")
OPTIONS = {
    **{name: {"window": 50, "fmin": 4.0, "fmax": 12.0} for name in SPECTRAL},
    "correlation": {},
    "partial_correlation": {},
    "covariance": {},
    "mutual_information": {},
    "lagged": {"max_lag": 3},
    "granger": {"order": 2},
    "spectral_granger": {"order": 2, "n_frequencies": 5},
    "effective": {"order": 2},
    "transfer_entropy": {"threshold": 0.0},
}


def people(seed=0, subjects=3, samples=600, units=4):
    """Give subjects in each of whom the first unit drives the second, with a strength of its own."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((subjects, samples, units))
    for s in range(subjects):
        x[s, 1:, 1] += (0.5 + s) * x[s, :-1, 0]
    return ni.recording(
        x, modality="eeg", units="V", sampling_rate=100.0, unit=list("abcd"), dims=("subject", "time", "unit"),
        coords={"subject": [f"s{s}" for s in range(subjects)]},
    )  # fmt: skip


@pytest.mark.parametrize("measure", OPTIONS)
def test_each_subject_is_as_alone_and_the_average_is_as_said(measure):
    rec, call = people(), getattr(connectivity, measure)
    found = call(rec, **OPTIONS[measure])
    alone = [call(rec.sel(subject=s, drop=True), **OPTIONS[measure]).connectivity for s in rec.subject.values]
    assert list(found.by_subject.subject.values) == ["s0", "s1", "s2"]
    for s, one in enumerate(alone):
        np.testing.assert_allclose(found.by_subject.values[s], one.values, rtol=1e-12, atol=1e-14)
    each = np.stack([one.values for one in alone])
    with np.errstate(divide="ignore"):
        expected = np.tanh(np.arctanh(each).mean(axis=0)) if measure in FISHER else each.mean(axis=0)
    np.testing.assert_allclose(found.connectivity.values, expected, rtol=1e-9, atol=1e-12)
    assert found.connectivity.dims == alone[0].dims
    off = ~np.eye(4, dtype=bool)
    assert (found.subjects.values[off] == 3).all()


@pytest.mark.parametrize("measure", [name for name in OPTIONS if name not in ("partial_correlation", "effective")])
def test_a_unit_that_a_subject_lacks_takes_no_part_there(measure):
    rec, call = people(), getattr(connectivity, measure)
    lacking = rec.copy(deep=True)
    lacking[2, :, 1] = np.nan
    found, whole = call(lacking, **OPTIONS[measure]), call(rec, **OPTIONS[measure])
    own = found.by_subject.sel(subject="s2")
    assert own.sel(source="b").isnull().all()
    assert own.sel(target="b").isnull().all()
    others = list("acd")
    np.testing.assert_allclose(
        own.sel(source=others, target=others).values,
        whole.by_subject.sel(subject="s2", source=others, target=others).values,
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    two = call(rec.isel(subject=[0, 1]), **OPTIONS[measure]).connectivity
    np.testing.assert_allclose(
        found.connectivity.sel(source="a", target="b").values, two.sel(source="a", target="b").values, rtol=1e-9
    )
    assert int(found.subjects.sel(source="a", target="b")) == 2
    assert int(found.subjects.sel(source="a", target="c")) == 3
    assert found.connectivity.attrs["undefined_units"] == 0


@pytest.mark.parametrize("measure", ["coherence", "granger", "transfer_entropy", "effective", "lagged"])
def test_a_single_missing_value_is_refused(measure):
    rec = people()
    rec[1, 5:8, 2] = np.nan
    with pytest.raises(AnalysisError, match=r"3 missing values within units that subject 1 otherwise has, .* 'c'"):
        getattr(connectivity, measure)(rec, **OPTIONS[measure])


def test_one_pass_holds_every_measure_of_every_subject():
    found = connectivity.spectral(people(), window=50, fmin=4.0, fmax=12.0, measures=("wpli", "psi"))
    assert found.wpli_by_subject.dims == ("subject", "source", "target", "frequency")
    assert found.psi_by_subject.dims == ("subject", "source", "target")
    np.testing.assert_allclose(found.psi, found.psi_by_subject.mean("subject"))
    assert found.subjects.dims == ("source", "target")


def test_p_values_of_subjects_are_combined_by_fishers_method():
    rec = people(samples=120)
    for measure in ("granger", "transfer_entropy"):
        found = getattr(connectivity, measure)(rec, **OPTIONS[measure])
        each = found.p_value_by_subject.values
        for i, j in ((0, 1), (1, 0), (2, 3)):
            expected = combine_pvalues(each[:, i, j], method="fisher").pvalue
            assert float(found.p_value[i, j]) == pytest.approx(expected, rel=1e-9)
        assert float(found.p_value[0, 1]) < each[:, 0, 1].max()


def test_one_order_serves_all_subjects():
    rec = people()
    for t in range(3, 600):
        rec.values[2, t] += 0.8 * rec.values[2, t - 3]
    assert int(connectivity.granger(rec.isel(subject=[0, 1])).order) == 1
    assert int(connectivity.granger(rec).order) == 3


def test_nulls_keep_subjects_apart():
    found = connectivity.null(people(), "wpli2_debiased", draws=19, options=OPTIONS["wpli2_debiased"])
    assert float(found.p_value.sel(source="a", target="b").min()) == 0.05
    assert float(found.p_value.sel(source="c", target="d").min()) > 0.05
