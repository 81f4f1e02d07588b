"""Real recordings of five modalities as tensors: the objective that tensorly reaches, and trials of unequal length."""

import numpy as np
import pytest

import neurointerp as ni
from neurointerp import align
from neurointerp.analyses import tensor

RANK, STARTS = 4, 3


def trials(mirror, modality):
    """Give a small trial tensor (trial, time, unit) of a real recording."""
    source = {
        "eeg": ("physionet-eegmmidb", "S001R03"),
        "fmri": ("haxby2001", None),
        "calcium": ("dag2023", "2022-07-26-38"),
        "spikes": ("ibl2019", None),
        "activations": ("fernandes2023", None),
    }[modality]
    rec = ni.load(*source, mirror=str(mirror))
    if modality == "eeg":
        return align.windows(rec.isel(unit=slice(None, None, 4)), 80)[:40]
    if modality == "fmri":
        runs = align.fold(rec.isel(unit=slice(None, None, 16)))
        return (100 * (runs / runs.mean("time") - 1)).assign_attrs({**runs.attrs, "units": "percent"})
    if modality == "calcium":
        return align.windows(align.interpolate(rec.isel(unit=slice(None, None, 4)), 1.5), 40)
    if modality == "spikes":
        return align.windows(rec.isel(unit=slice(None, None, 4)), 20)
    return align.windows(rec.isel(unit=slice(None, None, 40)), 12)[:100]


def rebuilt(factors, weights):
    return np.einsum("ir,jr,kr,r->ijk", *factors, weights)


@pytest.mark.parametrize("modality", ["eeg", "fmri", "calcium", "spikes", "activations"])
@pytest.mark.parametrize("method", ["cp", "nonnegative_cp"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_objective_is_that_of_tensorly_or_better(mirror, method, modality):
    """Best of three starts of each, as many sweeps."""
    from tensorly.decomposition import non_negative_parafac_hals, parafac

    rec = trials(mirror, modality)
    if method == "nonnegative_cp":
        rec = rec.copy(data=np.abs(rec.values))
    X = rec.values.astype(np.float64)
    X /= np.abs(X).max()
    solver = parafac if method == "cp" else non_negative_parafac_hals
    theirs = []
    for seed in range(STARTS):
        weights, factors = solver(X, RANK, n_iter_max=300, init="random", tol=1e-8, random_state=seed)
        theirs.append(np.linalg.norm(X - rebuilt(factors, weights)) / np.linalg.norm(X))
    ours = getattr(tensor, method)(rec, RANK, restarts=STARTS, max_iter=300)
    found = [ours[f"factor_{dim}"].values.astype(np.float64) for dim in rec.dims]
    scale = np.abs(rec.values.astype(np.float64)).max()
    own = np.linalg.norm(X - rebuilt(found, ours["weight"].values / scale)) / np.linalg.norm(X)
    assert own == pytest.approx(float(ours["relative_error"]), rel=1e-3)
    assert own <= 1.001 * min(theirs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_raw_bold_needs_the_svd_start_which_is_as_good_as_tensorly(mirror):
    """The mean carries 99.9% of the sum of squares: of random starts most end 6% or more above."""
    from tensorly.decomposition import non_negative_parafac_hals

    rec = align.fold(ni.load("haxby2001", mirror=str(mirror)).isel(unit=slice(None, None, 16)))
    X = rec.values.astype(np.float64) / float(rec.max())
    theirs = []
    for seed in range(STARTS):
        weights, factors = non_negative_parafac_hals(X, RANK, n_iter_max=300, init="random", random_state=seed)
        theirs.append(np.linalg.norm(X - rebuilt(factors, weights)) / np.linalg.norm(X))
    assert float(tensor.nonnegative_cp(rec, RANK, init="svd")["relative_error"]) <= 1.001 * min(theirs)


def test_prompts_of_unequal_length_are_masked_not_padded(mirror):
    rec = ni.load("fernandes2023", mirror=str(mirror)).isel(unit=slice(None, None, 40), time=slice(0, 1200))
    ragged = abs(align.fold(rec, "sequence")).assign_attrs(rec.attrs)
    assert 0.01 < float(ragged.isnull().mean()) < 0.99
    res = tensor.nonnegative_cp(ragged, 3, max_iter=100)
    model = rebuilt([res[f"factor_{dim}"].values for dim in ragged.dims], res["weight"].values)
    seen = ragged.notnull().values
    error = ((ragged.values - model)[seen] ** 2).sum() / (ragged.values[seen] ** 2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error, rel=1e-3)
    padded = tensor.nonnegative_cp(ragged.fillna(0).assign_attrs(ragged.attrs), 3, max_iter=100)
    as_if = rebuilt([padded[f"factor_{dim}"].values for dim in ragged.dims], padded["weight"].values)
    assert error < ((ragged.values - as_if)[seen] ** 2).sum() / (ragged.values[seen] ** 2).sum()


def test_two_worms_share_components_of_their_common_neurons(mirror):
    """PARAFAC2 over animals with unequal recordings: each keeps its clock, neurons keep their names."""
    worms = {}
    for worm, length in (("2022-07-26-31", 800), ("2022-07-26-38", 640)):
        rec = ni.load("dag2023-common", worm, mirror=str(mirror))
        worms[worm] = rec.isel(time=slice(0, length)).dropna("unit", how="any")
    both = [
        unit for unit in worms["2022-07-26-31"]["unit"].values if unit in set(worms["2022-07-26-38"]["unit"].values)
    ]
    worms = {name: rec.sel(unit=both) for name, rec in worms.items()}
    res = tensor.parafac2(worms, 3, max_iter=200)
    assert list(res["unit"].values) == both
    held = res["factor_time"].notnull().all("component").sum("time")
    assert held.values.tolist() == [rec.sizes["time"] for rec in worms.values()]
    error, power = 0.0, 0.0
    for name, rec in worms.items():
        one = res.sel(subject=name, time=rec["time"].values)
        model = (one["factor_time"] * one["factor_subject"] * one["weight"]).values @ one["factor_unit"].values.T
        error, power = error + ((rec.values - model) ** 2).sum(), power + (rec.values**2).sum()
    assert float(res["relative_error"]) ** 2 == pytest.approx(error / power, rel=1e-6)
    assert error / power < 0.7
