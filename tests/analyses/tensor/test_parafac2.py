"""PARAFAC2 against planted components, tensorly, and its own bookkeeping."""

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

import neurointerp as ni
from neurointerp.analyses import tensor
from neurointerp.errors import AnalysisError

LENGTHS = (30, 45, 25, 60, 40, 33)


def planted(noise=0.05, rank=3, units=12, seed=0, lengths=LENGTHS):
    """Give subjects of unequal length that share unit factors and the Gram matrix of their time courses."""
    rng = np.random.default_rng(seed)
    H = np.linalg.cholesky(0.3 + 0.7 * np.eye(rank)).T
    V = rng.random((units, rank))
    D = rng.uniform(1, 3, (len(lengths), rank))
    own = [np.linalg.qr(rng.standard_normal((n, rank)))[0] @ H for n in lengths]
    subjects = {}
    for k, course in enumerate(own):
        values = course * D[k] @ V.T
        values += noise * values.std() * rng.standard_normal(values.shape)
        subjects[f"s{k}"] = ni.recording(
            values, modality="calcium", units="1", sampling_rate=10.0, coords={"region": ("unit", ["a", "b"] * 6)}
        )
    return subjects, own, V / np.linalg.norm(V, axis=0), D / np.linalg.norm(D, axis=0)


def model_of(res, k, over="subject", ragged="time", shared="unit"):
    course = res[f"factor_{ragged}"].values[k]
    return course * (res[f"factor_{over}"].values[k] * res["weight"].values) @ res[f"factor_{shared}"].values.T


def test_planted_components_come_back_and_the_books_are_right():
    subjects, own, V, D = planted()
    res = tensor.parafac2(subjects, 3, restarts=3)
    cosine = np.abs(res["factor_unit"].values.T @ V)
    rows, columns = linear_sum_assignment(cosine, maximize=True)
    assert cosine[rows, columns].min() > 0.99
    assert np.abs(res["factor_subject"].values[:, rows].T @ D[:, columns]).diagonal().min() > 0.99
    error, power = 0.0, 0.0
    for k, rec in enumerate(subjects.values()):
        course = res["factor_time"].values[k, : len(own[k])]
        assert np.isnan(res["factor_time"].values[k, len(own[k]) :]).all()
        np.testing.assert_allclose(np.linalg.norm(course, axis=0), 1)
        assert np.abs((course[:, rows] * own[k][:, columns]).sum(axis=0)).min() > 0.97
        error += ((rec.values - model_of(res, k)[: len(own[k])]) ** 2).sum()
        power += (rec.values**2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error / power, rel=1e-8)
    grams = [res["factor_time"].values[k, :n].T @ res["factor_time"].values[k, :n] for k, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(grams, [grams[0]] * len(grams), atol=1e-10)  # what makes it PARAFAC2
    assert np.diff(res["loss"].values).max() <= 0
    np.testing.assert_array_equal(res["region"].values, subjects["s0"]["region"].values)
    np.testing.assert_array_equal(res["time"].values, subjects["s3"]["time"].values)
    everything = np.concatenate([rec.values for rec in subjects.values()])
    about = ((everything - everything.mean(axis=0)) ** 2).sum()
    assert float(res["explained_variance"]) == pytest.approx(1 - error / about, abs=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_not_worse_than_tensorly():
    from tensorly.decomposition import parafac2

    subjects, *_ = planted(noise=0.5)
    values = [rec.values for rec in subjects.values()]
    theirs = []
    for start in range(2):
        weights, (D, H, V), bases = parafac2(
            values, 3, n_iter_max=300, tol=1e-9, init="random", random_state=start, nn_modes=None
        )
        models = [P @ H * (D[k] * weights) @ V.T for k, P in enumerate(bases)]
        theirs.append(sum(((X - M) ** 2).sum() for X, M in zip(values, models, strict=True)))
    ours = float(tensor.parafac2(subjects, 3, restarts=2, tolerance=1e-11)["relative_error"]) ** 2
    assert ours <= min(theirs) / sum((X**2).sum() for X in values) * 1.001


def test_padded_trials_give_what_ragged_ones_give():
    subjects, *_ = planted()
    padded = np.full((len(subjects), max(LENGTHS), 12), np.nan)
    for k, rec in enumerate(subjects.values()):
        padded[k, : rec.sizes["time"]] = rec.values
    trials = ni.recording(
        padded, modality="calcium", units="1", sampling_rate=10.0, dims=("trial", "time", "unit"),
        coords={"condition": ("trial", ["go", "stop"] * 3)},
    )  # fmt: skip
    one, two = tensor.parafac2(subjects, 3), tensor.parafac2(trials, 3)
    np.testing.assert_array_equal(two["factor_time"].values, one["factor_time"].values)
    np.testing.assert_array_equal(two["factor_trial"].values, one["factor_subject"].values)
    assert list(two["condition"].values) == ["go", "stop"] * 3


def test_units_may_differ_where_the_clock_is_shared():
    subjects, _, V, _ = planted(noise=0.0)
    turned = {
        name: ni.recording(
            rec.values.T, modality="calcium", units="1", sampling_rate=10.0,
            unit=[f"{name}.{i}" if i > 2 else f"both{i}" for i in range(rec.sizes["time"])],
        )
        for name, rec in subjects.items()
    }  # fmt: skip
    res = tensor.parafac2(turned, 3, dim="unit", restarts=2)
    assert res["factor_unit"].dims == ("subject", "unit", "component")
    assert res.sizes["unit"] == sum(LENGTHS) - 3 * (len(LENGTHS) - 1)
    assert int(res["factor_unit"].notnull().all("component").sum()) == sum(LENGTHS)
    cosine = np.abs(res["factor_time"].values.T @ V)
    assert cosine[linear_sum_assignment(cosine, maximize=True)].min() > 0.99
    for name, rec in turned.items():
        found = res.sel(subject=name, unit=rec["unit"].values)
        model = (found["factor_time"] * found["factor_subject"] * found["weight"]).values @ found[
            "factor_unit"
        ].values.T
        assert np.linalg.norm(model - rec.values) < 0.02 * np.linalg.norm(rec.values)


def test_order_scale_seed_and_the_store(tmp_path):
    subjects, *_ = planted(noise=0.3)
    before = {name: ni.digest(rec) for name, rec in subjects.items()}
    res = tensor.parafac2(subjects, 3)
    assert {name: ni.digest(rec) for name, rec in subjects.items()} == before
    assert ni.digest(tensor.parafac2(subjects, 3)) == ni.digest(res)
    assert ni.open(ni.save(res, tmp_path / "res.zarr")).load().identical(res)
    larger = tensor.parafac2({name: (8 * rec).assign_attrs(rec.attrs) for name, rec in subjects.items()}, 3)
    np.testing.assert_allclose(larger["weight"].values, 8 * res["weight"].values, rtol=1e-9)
    np.testing.assert_allclose(larger["factor_unit"].values, res["factor_unit"].values, atol=1e-9)


def test_what_it_cannot_do_is_refused():
    subjects, *_ = planted()
    hole = {**subjects, "s1": subjects["s1"].copy(deep=True)}
    hole["s1"][3:6, 2] = np.nan
    with pytest.raises(AnalysisError, match="3 missing values in subject 's1', in samples that are otherwise there"):
        tensor.parafac2(hole, 2)
    with pytest.raises(
        AnalysisError, match=r"rank is 26; a whole number from 1 to 25 \(the shortest slice along 'time'"
    ):
        tensor.parafac2(subjects, 26)
    with pytest.raises(AnalysisError, match=r"subject 's2' has dims .* or other labels of 'unit' than the first"):
        tensor.parafac2({**subjects, "s2": subjects["s2"].isel(unit=slice(1, None))}, 2)
    with pytest.raises(AnalysisError, match="subject 's1' is in 'V', the first in '1'"):
        tensor.parafac2({**subjects, "s1": subjects["s1"].assign_attrs(units="V")}, 2)
    with pytest.raises(AnalysisError, match=r"dims are \('time', 'unit'\); three are needed"):
        tensor.parafac2(subjects["s0"], 2)
    with pytest.raises(AnalysisError, match="dim is 'trial'; one of time, unit is needed"):
        tensor.parafac2(subjects, 2, dim="trial")
    gone = {**subjects, "s1": xr.full_like(subjects["s1"], np.nan)}
    with pytest.raises(AnalysisError, match="subject 's1' has no values at all: leave it out"):
        tensor.parafac2(gone, 2)
    repeated = {
        name: ni.recording(
            rec.values, modality="calcium", units="1", dims=("trial", "unit"), coords={"trial": rec["time"].values // 1}
        )
        for name, rec in subjects.items()
    }
    with pytest.raises(AnalysisError, match="subject 's0' has labels of 'trial' twice; number them anew"):
        tensor.parafac2(repeated, 2, dim="trial")
    with pytest.raises(AnalysisError, match="all values are zero"):
        tensor.parafac2({name: (0 * rec).assign_attrs(rec.attrs) for name, rec in subjects.items()}, 2)


def test_more_components_than_units_still_share_one_gram_matrix():
    rng = np.random.default_rng(0)
    subjects = {
        f"s{k}": ni.recording(rng.standard_normal((n, 3)), modality="calcium", units="1", sampling_rate=10.0)
        for k, n in enumerate((20, 25, 30, 6))
    }
    res = tensor.parafac2(subjects, 5, max_iter=30)
    courses = [course[np.isfinite(course[:, 0])] for course in res["factor_time"].values]
    for course in courses:
        np.testing.assert_allclose(course.T @ course, courses[0].T @ courses[0], atol=1e-10)
    left = sum(((rec.values - model_of(res, k)[: len(rec)]) ** 2).sum() for k, rec in enumerate(subjects.values()))
    power = sum((rec.values**2).sum() for rec in subjects.values())
    assert float(res["relative_error"]) ** 2 == pytest.approx(left / power, rel=1e-6)
