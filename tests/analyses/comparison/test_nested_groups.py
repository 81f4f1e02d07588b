"""Groups of recordings nested in subjects: level and power on planted data, and agreement with statsmodels."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import kstest

import neurointerp as ni
from neurointerp.analyses.comparison._groups import group_tests
from neurointerp.analyses.comparison._mixed import random_intercept

METRICS = 30


def nested(groups, subjects, *, effect=0.0, between=1.0, within=0.5, seed=0, metrics=METRICS):
    """Give a summary of recordings whose figures hold a subject's own level, and an effect of the group "a"."""
    rng = np.random.default_rng(seed)
    names = [f"r{i}" for i in range(len(groups))]
    level = {s: between * rng.standard_normal(metrics) for s in dict.fromkeys(subjects)}
    rows = [
        level[s] + effect * (g == "a") + within * rng.standard_normal(metrics)
        for g, s in zip(groups, subjects, strict=True)
    ]
    summary = xr.Dataset(
        {"summary": (("recording", "metric", "arm"), np.array(rows)[..., None])},
        coords={"recording": np.array(names, dtype=object), "arm": ["data"], "clock": ("recording", ["s"] * len(names)),
                "unit_of_metric": ("metric", ["clock"] + ["1"] * (metrics - 1))},
    )  # fmt: skip
    return summary, dict(zip(names, groups, strict=True)), dict(zip(names, subjects, strict=True))


BETWEEN = (list("aaaaaaaaaabbbbbbbbbb"), [f"s{i // 2}" for i in range(20)])
WITHIN = (list("aabb" * 6), [f"s{i // 4}" for i in range(24)])


def p_values(design, repeats=4, **options):
    found = [group_tests(*nested(*design, seed=seed, **options), seed)["group_p"].values for seed in range(repeats)]
    return np.concatenate(found)


@pytest.mark.parametrize("design", [BETWEEN, WITHIN], ids=["between", "within"])
def test_p_is_uniform_without_an_effect_though_recordings_of_a_subject_are_alike(design):
    p = p_values(design)
    # p-values of permutations are discrete: the smallest distance that a discrete uniform has is allowed for
    assert kstest(p, "uniform").statistic < 1.63 / np.sqrt(len(p)) + 0.02
    assert (p <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(p))


def test_without_subjects_the_same_data_give_false_alarms():
    summary, groups, _ = nested(*BETWEEN, between=2.0, metrics=60)
    assert (group_tests(summary, groups, None, 0)["group_p"] <= 0.05).mean() > 0.15


def test_an_effect_within_subjects_is_found_that_differences_between_them_hide():
    """The same effect, half a standard deviation between subjects: within subjects it is found, between seldom."""
    effect = {"effect": 1.0, "between": 2.0}
    assert (p_values(WITHIN, 1, **effect) <= 0.05).mean() > 0.9
    assert (p_values(BETWEEN, 1, **effect) <= 0.05).mean() < 0.5
    assert (p_values(BETWEEN, 1, effect=3.0, between=1.0) <= 0.05).mean() > 0.9


@pytest.mark.parametrize("design", [BETWEEN, WITHIN], ids=["between", "within"])
def test_mixed_models_agree_with_statsmodels(design):
    from statsmodels.regression.mixed_linear_model import MixedLM

    summary, groups, subjects = nested(*design, effect=0.7, metrics=3, seed=4)
    summary["summary"][5, 0] = np.nan  # a recording without the figure takes no part
    found = group_tests(summary, groups, subjects, 0)
    for metric in range(3):
        frame = pd.DataFrame(
            {"y": summary["summary"].values[:, metric, 0], "a": [g == "a" for g in groups.values()],
             "s": list(subjects.values())}
        ).dropna()  # fmt: skip
        design_matrix = np.column_stack([np.ones(len(frame)), frame["a"].astype(float)])
        fit = MixedLM(frame["y"], design_matrix, groups=frame["s"]).fit(reml=True)
        one = found.isel(metric=metric)
        assert float(one["mixed_difference"].sel(group_name="a")) == pytest.approx(fit.fe_params.iloc[1], abs=1e-4)
        assert float(one["mixed_difference"].sel(group_name="b")) == 0
        assert float(one["subject_variance"]) == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-2)
        assert float(one["residual_variance"]) == pytest.approx(fit.scale, rel=1e-2)
        low, high = one["mixed_interval"].sel(group_name="a").values
        freedom = 8 if design is BETWEEN else len(frame) - 6 - 1
        from scipy.stats import t

        assert (high - low) / 2 == pytest.approx(t.ppf(0.975, freedom) * fit.bse_fe.iloc[1], rel=1e-2)


def test_without_a_difference_between_subjects_the_mixed_model_is_least_squares():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(5), 4)
    values = rng.standard_normal(20)
    values -= np.array([values[subject == s].mean() for s in range(5)])[subject]  # subjects are more alike than chance
    design = np.column_stack([np.ones(20), np.arange(20) % 2])
    fit = random_intercept(values, design, subject)
    assert fit.subject_variance == 0
    np.testing.assert_allclose(fit.effects, np.linalg.lstsq(design, values, rcond=None)[0])


def test_small_designs_are_dealt_in_every_way():
    """Two subjects with two recordings each: four ways within, of which the observed and its mirror are as far out."""
    summary, groups, subjects = nested(list("abab"), list("ssuu"), effect=9.0, metrics=1)
    found = group_tests(summary, groups, subjects, 0).isel(metric=0)
    assert float(found["group_p"]) == pytest.approx(0.5)
    first, second = (summary["summary"].values[i, 0, 0] - summary["summary"].values[i + 1, 0, 0] for i in (0, 2))
    assert float(found["group_statistic"]) == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("subjects", [None, "sstuvwwx"])
def test_times_on_different_clocks_are_not_tested(subjects):
    summary, groups, of = nested(list("aaaabbbb"), list(subjects or "stuvwxyz"), effect=2.0, metrics=2)
    whole = group_tests(summary, groups, of if subjects else None, 0)
    assert np.isfinite(whole["group_p"]).all()
    summary["clock"][0] = "token"
    found = group_tests(summary, groups, of if subjects else None, 0)
    assert [
        name for name in ("group_mean", "group_p", "group_q") if np.isfinite(found[name].isel(metric=0)).any()
    ] == []
    assert found["group_p"][1] == found["group_q"][1] == whole["group_p"][1]  # corrected for one figure, not for two


@pytest.mark.parametrize(
    ("groups", "subjects", "message"),
    [
        ("aabb", "stuv", "every subject has one recording"),
        ("aabb", "ssst", "'s' alone has recordings in several groups"),
        ("aaab", "sstu", "two subjects or more each"),
        ("ababcc", "ssttuv", "two subjects that take part or more each.*'c': 0"),
    ],
)
def test_designs_without_a_test_are_refused(groups, subjects, message):
    with pytest.raises(ni.AnalysisError, match=message):
        group_tests(*nested(list(groups), list(subjects), metrics=1), 0)
