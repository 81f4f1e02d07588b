"""Measures on real recordings beside the libraries that have them, and what is known of these recordings."""

import numpy as np
import pandas as pd
import pytest

import neurointerp as ni
from neurointerp import align
from neurointerp.analyses import connectivity

POSTERIOR = ["O1", "OZ", "O2", "PO3", "POZ", "PO4", "P3", "P4"]


def _rest(mirror, run):
    """Give the eyes-open (1) or eyes-closed (2) minute of a person, 64 electrodes, in epochs of two seconds."""
    eeg = pytest.importorskip("neurointerp.loaders.eeg")
    rec = eeg.load(mirror / f"eeg/physionet_eegmmidb/S001R0{run}_first60s.edf")
    names = [str(unit).strip(".").upper() for unit in rec["unit"].values]
    return align.windows(rec.assign_coords(unit=np.array(names, dtype=object)), 320)


@pytest.fixture(scope="module")
def rest(mirror):
    return {"open": _rest(mirror, 1), "closed": _rest(mirror, 2)}


def test_spectra_of_an_eeg_equal_mne_connectivity(rest):
    mne_connectivity = pytest.importorskip("mne_connectivity")
    rec = rest["closed"].sel(unit=POSTERIOR)
    names = {
        "coherence": "coh",
        "imaginary_coherence": "imcoh",
        "plv": "plv",
        "wpli": "wpli",
        "wpli2_debiased": "wpli2_debiased",
    }
    lower = np.tril_indices(len(POSTERIOR), -1)
    for mode in ("multitaper", "fourier"):
        found = connectivity.spectral(rec, measures=list(names), mode=mode, fmin=4, fmax=40)
        expected = mne_connectivity.spectral_connectivity_epochs(
            rec.values.transpose(0, 2, 1).astype(float),
            method=list(names.values()), mode=mode, sfreq=160.0, fmin=4, fmax=40, verbose=False,
        )  # fmt: skip
        tolerance = 1e-5 if rec.dtype == np.float32 else 1e-6
        for name, peer in zip(names, expected, strict=True):
            np.testing.assert_allclose(found[name].values[lower], peer.get_data("dense")[lower], rtol=0, atol=tolerance)


def test_alpha_lags_of_an_eeg_appear_with_closed_eyes(rest):
    options = {"bandwidth": 2.0}
    lower = np.tril_indices(64, -1)
    mean = {}
    for state, rec in rest.items():
        found = connectivity.wpli2_debiased(rec, fmin=9.0, fmax=30.0, **options).connectivity
        for band, (low, high) in {"alpha": (9, 11), "beta": (14, 30)}.items():
            mean[state, band] = found.sel(frequency=slice(low, high)).mean("frequency").values[lower].mean()
    assert mean["closed", "alpha"] > 1.8 * mean["open", "alpha"]
    assert 0.8 < mean["closed", "beta"] / mean["open", "beta"] < 1.25
    posterior = rest["closed"].sel(unit=POSTERIOR)
    options |= {"fmin": 9.0, "fmax": 11.0}
    for surrogate in ("shuffle_trials", "phase_randomize"):
        found = connectivity.null(posterior, "wpli2_debiased", surrogate=surrogate, draws=39, options=options)
        assert float((found.p_value <= 0.05).sum()) > 0.1 * float(found.p_value.notnull().sum())
        assert abs(float(found.null_mean.mean())) < 0.02  # debiased


def test_the_graph_of_alpha_lags_divides_the_head_into_front_and_back(rest):
    """wPLI in the alpha band is a graph of 64 electrodes like any other.

    With closed eyes it is strongest among frontal electrodes (of the common reference), weaker between front and back.
    """
    mean = {}
    for state, rec in rest.items():
        graph = connectivity.wpli(rec, fmin=8.0, fmax=13.0, bandwidth=2.0).connectivity.mean("frequency")
        np.testing.assert_allclose(graph.values, graph.values.T, atol=1e-6)
        side = np.array([{"F": 1, "A": 1, "P": -1, "O": -1}.get(unit[0], 0) for unit in graph.source.values])
        front, across = (side[:, None] * side == 1) & (side == 1), side[:, None] * side == -1
        np.fill_diagonal(front, False)
        mean[state, "front"], mean[state, "across"] = graph.values[front].mean(), graph.values[across].mean()
    assert mean["closed", "front"] > 1.2 * mean["open", "front"]
    assert mean["closed", "front"] > 1.3 * mean["closed", "across"]
    label = connectivity.communities(graph, runs=10).community.values
    assert len(set(label)) > 1
    same = label[:, None] == label
    assert same[front].mean() > 2 * same[across].mean()


def test_correlations_of_resting_parcels_equal_nilearn(mirror):
    connectome = pytest.importorskip("nilearn.connectome")
    from sklearn.covariance import EmpiricalCovariance

    table = pd.read_csv(mirror / "fmri/seaborn/brain_networks.csv", header=[0, 1, 2], index_col=0)
    unit = ["-".join(k) for k in table]
    runs = np.stack([table.values[:460], table.values[460:]])
    rec = ni.recording(runs, modality="fmri", units="1", sampling_rate=0.5, unit=unit, dims=("subject", "time", "unit"))
    for method, kind in (("correlation", "correlation"), ("partial_correlation", "partial correlation")):
        z = [(run - run.mean(0)) / run.std(0) for run in runs]
        # nilearn shrinks correlations too by default; ours are those of the values
        options = {"cov_estimator": EmpiricalCovariance()} if method == "correlation" else {}
        expected = connectome.ConnectivityMeasure(kind=kind, standardize=None, **options).fit_transform(z)
        found = getattr(connectivity, method)(rec)
        np.testing.assert_allclose(found.by_subject, expected, rtol=0, atol=1e-9)


def test_causality_among_resting_regions_equals_statsmodels(mirror):
    tools = pytest.importorskip("statsmodels.tsa.stattools")
    table = pd.read_csv(mirror / "fmri/nitime/fmri_timeseries.csv")
    values = table.iloc[:, 1:6].to_numpy(dtype=float)
    rec = ni.recording(values, modality="fmri", units="1", sampling_rate=1 / 1.89)
    found = connectivity.granger(rec, order=2)
    z = (values - values.mean(axis=0)) / values.std(axis=0)
    for source, target in [(0, 1), (1, 0), (4, 2)]:
        tests = tools.grangercausalitytests(z[:, [target, source]], [2])[2][0]
        assert float(found.f_statistic[source, target]) == pytest.approx(tests["ssr_ftest"][0], rel=1e-6)


def test_covariance_of_language_regions_equals_scikit_learn_with_and_without_holes(mirror):
    from sklearn.covariance import OAS, LedoitWolf

    values = np.loadtxt(mirror / "fmri/alice_brennan2016/6mm/s18-timecourses.txt")
    regions = ["LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"]
    rec = ni.recording(values, modality="fmri", units="1", sampling_rate=0.5, unit=regions)
    for method, peer in (("ledoit_wolf", LedoitWolf), ("oas", OAS)):
        found = connectivity.covariance(rec, method=method)
        np.testing.assert_allclose(found.connectivity, peer().fit(values).covariance_, rtol=1e-9)
    holes = rec.copy(deep=True)
    holes[40:60, 1], holes[200:230, 4] = np.nan, np.nan
    frame = pd.DataFrame(holes.values)
    np.testing.assert_allclose(connectivity.correlation(holes).connectivity, frame.corr().values, atol=1e-10)
    spearman = connectivity.correlation(holes, method="spearman").connectivity
    np.testing.assert_allclose(spearman, frame.corr(method="spearman").values, atol=1e-10)


def test_probe_units_tell_of_each_other_more_than_their_shifted_selves(mirror):
    spikes = pytest.importorskip("neurointerp.loaders.spikes")
    rec = spikes.load(mirror / "spikes/ibl_alf", bin_width=0.005)
    busiest = np.argsort(-rec.values.sum(axis=0))[:12]
    found = connectivity.null(rec.isel(unit=np.sort(busiest)), "transfer_entropy", draws=19, seed=1)
    assert float(found.p_value.min()) == 0.05
    assert float((found.z_score > 3).mean()) > 0.05
