"""Every step back to the sha256 of the raw file: for recordings, results, sessions and comparisons."""

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import xarray as xr

import neurointerp as ni
from neurointerp import fetch, statistics, surrogate
from neurointerp.analyses import comparison, factorization
from neurointerp.errors import AnalysisError
from neurointerp.history import Provenance
from neurointerp.recordings import add_history, version


def _fmri_sha256():
    return fetch.sha256_of(resources.files("nitime") / "data" / "fmri_timeseries.csv")


@pytest.fixture
def real():
    pytest.importorskip("nitime")
    return ni.load("demo-fmri")


def test_a_recording_leads_back_to_its_raw_file(real):
    chain = ni.provenance(surrogate.circular_shift(statistics.zscore(real), seed=5))
    assert chain.raw == ({"source": "package:nitime/data/fmri_timeseries.csv", "sha256": _fmri_sha256()},)
    steps = [step["function"] for step in chain.steps]
    assert steps[-3:] == ["load", "statistics.zscore", "surrogate.circular_shift"]
    assert steps[0].startswith("loaders.")
    assert {step["version"] for step in chain.steps} == {version()}
    assert chain.steps[-1]["parameters"]["seed"] == 5
    text = str(chain)
    assert text.splitlines()[0] == "demo-fmri: recording"
    for line in (
        f"sha256 {_fmri_sha256()}",
        f"{len(steps)}. surrogate.circular_shift",
        "license: BSD-3-Clause",
        "seed = 5",
    ):
        assert line in text
    assert json.loads(json.dumps(chain.as_dict())) == chain.as_dict()


def test_the_sha256_is_that_of_the_file_in_the_mirror(mirror):
    pytest.importorskip("mne")
    rec = ni.load("physionet-eegmmidb", "S001R03", mirror=mirror)
    chain = ni.provenance(rec)
    files = {fetch.sha256_of(path) for path in mirror.rglob("S001R03.edf")}
    assert len(files) == 1
    assert {file["sha256"] for file in chain.raw} == files
    assert all(file["source"].startswith("https://") for file in chain.raw)


def test_the_chain_survives_the_store(real, tmp_path):
    rec = ni.to_units(statistics.zscore(real), "percent")
    assert ni.provenance(ni.open(ni.save(rec, tmp_path / "rec.zarr"))) == ni.provenance(rec)


def test_a_simulation_says_that_it_has_no_raw_file():
    chain = ni.provenance(ni.load("demo-calcium"))
    assert chain.raw == ()
    assert "  raw: none, simulated" in str(chain).splitlines()
    assert chain.steps[0]["parameters"]["seed"] == 0


def test_arrays_of_ones_own_say_that_nothing_is_on_record():
    rec = ni.recording(np.zeros((3, 2)), modality="eeg", units="V", sampling_rate=1.0, name="mine")
    assert str(ni.provenance(rec)) == "mine: recording\n  raw: not on record"
    rec.attrs["source"] = "lab.edf"
    assert str(ni.provenance(rec)).endswith("  raw: lab.edf\n       sha256 not on record")


STEPS = {
    "to_units": lambda r: ni.to_units(r, "percent"),
    "statistics.zscore": statistics.zscore,
    "statistics.variance": lambda r: statistics.variance(r, dim="trial"),
    "surrogate.circular_shift": surrogate.circular_shift,
    "surrogate.phase_randomize": surrogate.phase_randomize,
    "surrogate.iaaft": surrogate.iaaft,
    "surrogate.shuffle_trials": surrogate.shuffle_trials,
    "surrogate.shuffle_labels": lambda r: surrogate.shuffle_labels(r, "stimulus"),
}


@pytest.mark.parametrize(("name", "call"), STEPS.items(), ids=STEPS)
def test_each_function_adds_one_step_and_leaves_those_before(name, call, recordings):
    rec = recordings["stimulus"]
    rec.attrs["history"] = [{"function": "before", "version": "0", "parameters": {}}]
    out = call(rec)
    assert (
        rec.attrs["history"] == out.attrs["history"][:-1] == [{"function": "before", "version": "0", "parameters": {}}]
    )
    step = out.attrs["history"][-1]
    assert step["function"] == name
    assert step["version"] == version()
    assert ("seed" in step["parameters"]) == name.startswith("surrogate.")
    ni.check(out)


def test_what_went_in_beside_the_recording_is_kept_as_its_digest(recordings):
    rec, other = recordings["eeg"], recordings["fmri"]
    step = add_history(rec, "mine.subtract", other=other, times=np.float64(2)).attrs["history"][-1]
    assert step["parameters"] == {"times": 2.0}
    assert step["inputs"] == {"other": ni.digest(other)}
    text = str(ni.provenance(add_history(rec, "mine.subtract", other=other)))
    assert f"other: digest {ni.digest(other)}" in text


def test_what_was_joined_leads_to_the_raw_files_of_all(real):
    """However often two recordings are matched, each file stands once: the history does not grow with itself."""
    other = real.copy(data=real.values + 1)
    other.attrs = {**real.attrs, "source": ["lab.csv"], "history": [
        {"function": "load", "version": "0", "parameters": {"sha256": ["f" * 64]}}]}  # fmt: skip
    files = [{"source": "package:nitime/data/fmri_timeseries.csv", "sha256": _fmri_sha256()},
             {"source": "lab.csv", "sha256": "f" * 64}]  # fmt: skip
    one, two = real, other
    for _ in range(4):
        one, two = add_history(one, "mine.join", other=two), add_history(two, "mine.join", other=one)
    assert list(ni.provenance(one).raw) == files
    assert list(ni.provenance(two).raw) == files[::-1]
    assert one.attrs["history"][-1]["raw"] == {"other": files[::-1]}
    assert len(json.dumps(one.attrs["history"])) < 4 * 1000 + len(json.dumps(real.attrs["history"]))
    both = ni.align.concat([real, other.assign_coords(time=other["time"] + 1e4)])
    assert {file["sha256"]: file["source"] for file in ni.provenance(both).raw} == {
        file["sha256"]: file["source"] for file in files
    }


def test_a_result_names_what_it_was_computed_from(real):
    result = factorization.pca(real, 2, seed=3)
    chain = ni.provenance(result)
    assert (chain.name, chain.kind) == ("factorization.pca", "result")
    assert chain.steps[0]["parameters"]["seed"] == 3
    assert chain.inputs["recording"].about["digest"] == ni.digest(real)
    assert ni.digest(real) in str(chain)


def test_a_result_leads_to_the_raw_file_through_the_recording_it_was_computed_from(real):
    result = factorization.pca(real, 2)
    chain = ni.provenance(result, of=real)
    assert chain.inputs["demo-fmri"].raw[0]["sha256"] == _fmri_sha256()
    assert f"  sha256 {_fmri_sha256()}" in str(chain)
    with pytest.raises(AnalysisError, match=f"computed from {ni.digest(real)[:12]}; given are demo-fmri "):
        ni.provenance(result, of=real[1:])


def test_a_result_that_keeps_the_history_of_its_recording_leads_to_the_raw_file_alone(real):
    kept = {key: real.attrs[key] for key in ("history", "source", "license")}
    result = factorization.pca(real, 2).assign_attrs(provenance={"recording": kept})
    chain = ni.provenance(result)
    assert chain.inputs["recording"].raw[0]["sha256"] == _fmri_sha256()
    assert chain.inputs["recording"].about["digest"] == ni.digest(real)


def test_a_comparison_leads_to_the_raw_files_of_all(real, tmp_path):
    tree = comparison.compare(
        {"human": real, "worm": ni.load("demo-calcium")}, units=6, samples=80, nulls=2, resamples=0, seed=4
    )
    chain = ni.provenance(ni.open(ni.save(tree, tmp_path / "results.zarr")))
    assert chain == ni.provenance(tree)
    assert (chain.name, chain.steps[0]["parameters"]["seed"]) == ("comparison.compare", 4)
    assert chain.inputs["human"].raw[0]["sha256"] == _fmri_sha256()
    assert chain.inputs["human"].about["digest"] == ni.digest(real)
    assert chain.inputs["worm"].about["system"] == "simulated"


def test_a_session_leads_to_the_raw_files_of_its_recordings(real):
    tree = ni.session({"fmri": real, "eeg": ni.load("demo-eeg")}, attrs={"dataset": "mine", "source": "lab.edf"})
    chain = ni.provenance(tree)
    assert (chain.name, chain.kind) == ("mine", "session")
    assert chain.raw == ({"source": "lab.edf"},)
    assert chain.inputs["fmri"].raw[0]["sha256"] == _fmri_sha256()
    assert [line for line in str(chain).splitlines() if line.endswith(": recording")] == [
        "  fmri: recording", "  eeg: recording",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (xr.DataArray(np.zeros(2)), "this DataArray carries no history"),
        (xr.Dataset(), "this Dataset carries no history"),
        (xr.DataTree(), "holds no recordings and no analysis"),
        (3, "this int carries no history"),
    ],
)
def test_what_has_no_history_is_refused(obj, message):
    with pytest.raises(AnalysisError, match=message):
        ni.provenance(obj)


def test_the_function_is_not_hidden_by_its_module():
    code = (
        "import neurointerp.history, neurointerp as ni; print(callable(ni.provenance), ni.history.Provenance.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "Provenance"]
    assert isinstance(ni.provenance(ni.load("demo-eeg")), Provenance)


def test_info_shows_the_chain_of_a_dataset_a_store_and_a_result(real, tmp_path, here):
    def info(source, *options, check=0):
        return here("info", source, "--history", *options, check=check)

    ni.save(surrogate.circular_shift(real), tmp_path / "shifted.zarr")
    text, _ = info(tmp_path / "shifted.zarr")
    assert f"sha256 {_fmri_sha256()}" in text
    assert "surrogate.circular_shift" in text
    ni.save(factorization.pca(real, 2), tmp_path / "pca.zarr.zip")
    text, _ = info(tmp_path / "pca.zarr.zip", "--json")
    assert json.loads(text)["inputs"]["recording"]["about"]["digest"] == ni.digest(real)
    text, _ = info("demo-calcium", "--json")
    assert json.loads(text) == ni.provenance(ni.load("demo-calcium")).as_dict()
    _, error = info(tmp_path / "none.zarr", check=1)
    assert error.startswith("error: ")
