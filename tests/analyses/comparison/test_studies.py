"""Studies: what is kept and found again, and groups of recordings."""

import importlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import neurointerp as ni
from neurointerp.analyses import comparison
from neurointerp.analyses.comparison import _analysed

SIZES = {"units": 8, "samples": 200, "nulls": 2, "resamples": 0}


def planted(units=12, samples=400, factors=3, noise=0.5, seed=0, **changes):
    """Give a recording whose units share a few slow latents."""
    rng = np.random.default_rng(seed)
    latent = np.stack(
        [np.convolve(rng.standard_normal(samples + 20), np.ones(20) / 20, "valid")[:samples] for _ in range(factors)]
    )
    values = (latent / latent.std(axis=1, keepdims=True)).T @ np.repeat(np.eye(factors), units // factors, axis=1)
    values = values + noise * rng.standard_normal(values.shape)
    return ni.recording(values, **({"modality": "calcium", "units": "1", "sampling_rate": 10.0} | changes))


@pytest.fixture
def counted(monkeypatch):
    """Count how many recordings are computed and not taken from what is kept."""
    names = []
    computed = _analysed._computed
    monkeypatch.setattr(_analysed, "_computed", lambda name, *rest: names.append(name) or computed(name, *rest))
    return names


def test_adding_a_recording_computes_it_alone_and_gives_the_bytes_of_a_fresh_run(tmp_path, counted):
    recs = {f"r{i}": planted(seed=i, samples=300) for i in range(3)}
    first = comparison.compare({k: recs[k] for k in ("r0", "r1")}, cache=tmp_path, **SIZES)
    assert counted == ["r0", "r1"]
    whole = comparison.compare(recs, cache=tmp_path, **SIZES)
    assert counted == ["r0", "r1", "r2"]
    assert ni.digest(whole) == ni.digest(comparison.compare(recs, **SIZES))
    assert ni.digest(comparison.compare({k: recs[k] for k in ("r0", "r1")}, cache=tmp_path, **SIZES)) == ni.digest(
        first
    )


def test_of_intervals_and_sensitivity_too_only_what_is_new_is_computed(tmp_path, counted, monkeypatch):
    degraded = []
    compute = _analysed.degraded_figures
    monkeypatch.setattr(
        _analysed, "degraded_figures", lambda name, *rest: degraded.append(name) or compute(name, *rest)
    )
    monkeypatch.setattr(_analysed, "LEVELS", (1.0, 0.5))
    monkeypatch.setattr(_analysed, "REPLICATES", 1)
    module = importlib.import_module("neurointerp.analyses.comparison.compare")  # the name is the function's
    monkeypatch.setattr(module, "LEVELS", (1.0, 0.5))
    recs = {f"r{i}": planted(seed=i, samples=300) for i in range(2)}
    options = {"units": 8, "samples": 130, "nulls": 2, "resamples": 10, "cache": tmp_path}
    comparison.compare({"r0": recs["r0"]}, **options)
    assert (counted, degraded) == (["r0"], [])
    comparison.compare({"r0": recs["r0"]}, sensitivity=True, **options)  # nulls and intervals are taken
    assert (counted, degraded) == (["r0"], ["r0"])
    whole = comparison.compare(recs, sensitivity=True, **options)
    assert (counted, degraded) == (["r0", "r1"], ["r0", "r1"])
    again = comparison.compare(recs, sensitivity=True, **options)
    assert (counted, degraded) == (["r0", "r1"], ["r0", "r1"])
    assert ni.digest(again) == ni.digest(whole)
    assert whole["sensitivity/value"].dims == ("recording", "metric", "factor", "level", "replicate")


def test_what_decides_an_answer_decides_what_is_found_again(tmp_path, counted):
    rec = planted(samples=300)
    comparison.compare({"a": rec}, cache=tmp_path, **SIZES)
    changed = rec.copy(deep=True)
    changed[:, 0] += 1e-3 * np.sin(np.arange(300))
    for recs, options in (
        ({"a": changed}, SIZES),
        ({"b": rec}, SIZES),
        ({"a": rec}, SIZES | {"nulls": 3}),
        ({"a": rec}, SIZES | {"resamples": 10}),
        ({"a": rec}, SIZES | {"seed": 1}),
        ({"a": rec}, SIZES | {"units": 6}),
    ):
        before = len(counted)
        comparison.compare(recs, cache=tmp_path, **options)
        assert len(counted) == before + 1
    comparison.compare({"a": rec}, cache=tmp_path, **SIZES)
    assert len(counted) == 7


def test_what_was_damaged_is_made_again(tmp_path, counted, caplog):
    rec = planted(samples=300)
    whole = comparison.compare({"a": rec}, cache=tmp_path, **SIZES)
    chunk = max((p for p in tmp_path.rglob("*") if p.is_file() and "c" in p.parts), key=lambda p: p.stat().st_size)
    held = bytearray(chunk.read_bytes())
    held[len(held) // 2] ^= 0xFF
    chunk.write_bytes(held)
    again = comparison.compare({"a": rec}, cache=tmp_path, **SIZES)
    assert counted == ["a", "a"]
    assert "made again" in caplog.text
    assert ni.digest(again) == ni.digest(whole)


def test_groups_that_differ_are_told_from_groups_that_do_not(tmp_path):
    """Two latents shared by all units against none; then the same recordings, dealt alternately."""
    recs = {f"shared{i}": planted(seed=i, samples=300, noise=0.3) for i in range(4)}
    for i in range(4):
        alone = np.random.default_rng(50 + i).standard_normal((300, 12))
        recs[f"alone{i}"] = ni.recording(alone, modality="calcium", units="1", sampling_rate=10.0)
    groups = {name: name[:-1] for name in recs}
    root = comparison.compare(recs, groups=groups, cache=tmp_path, **SIZES)
    found = root.to_dataset(inherit=False).sel(metric="effective_dimension")
    assert list(root["group_name"].values) == ["shared", "alone"]
    assert float(found.group_p) == pytest.approx(2 / 70)  # the fewest of 70 ways to deal eight, and its mirror image
    means = found["summary"].sel(arm="data")
    assert float(found.group_statistic) == pytest.approx(float(means[:4].mean() - means[4:].mean()))
    dealt = {name: "ab"[int(name[-1]) % 2] for name in recs}
    mixed = comparison.compare(recs, groups=dealt, cache=tmp_path, **SIZES)
    assert float(mixed["group_p"].sel(metric="effective_dimension")) > 0.3
    three = {name: "abc"[min(int(name[-1]), 2)] for name in recs}
    ratio = comparison.compare(recs, groups=three, cache=tmp_path, **SIZES)
    from scipy.stats import f_oneway

    parts = [means.sel(recording=[n for n in recs if three[n] == kind]).values for kind in "abc"]
    assert float(ratio["group_statistic"].sel(metric="effective_dimension")) == pytest.approx(
        f_oneway(*parts).statistic
    )


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"a": "x", "b": "x", "c": "y"}, "'d' has no group"),
        ({"a": "x", "b": "x", "c": "y", "d": "y", "e": "y"}, "'e' is no recording"),
        ({"a": "x", "b": "x", "c": "x", "d": "y"}, "two recordings or more each"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, message, tmp_path):
    recs = {name: planted(samples=100) for name in "abcd"}
    with pytest.raises(ni.AnalysisError, match=message):
        comparison.compare(recs, groups=groups, cache=tmp_path, units=8, samples=80, nulls=2, resamples=0)


@pytest.mark.slow
def test_a_study_that_was_killed_computes_only_what_is_missing(tmp_path):
    """The process is killed (SIGKILL) once two of five recordings are kept; the same command then ends the study."""
    names = [f"r{i}" for i in range(5)]
    for i, name in enumerate(names):
        np.save(tmp_path / f"{name}.npy", planted(seed=i, samples=300).values)
    members = [f"  {name}: {{source: {name}.npy, modality: calcium, units: '1', rate: 10}}" for name in names]
    sizes = ["units: 8", "samples: 200", "nulls: 4", "resamples: 0"]
    (tmp_path / "study.yaml").write_text("\n".join(["recordings:", *members, *sizes]), "utf-8")

    def command(cache, out):
        words = ["compare", tmp_path / "study.yaml", "--cache", tmp_path / cache, "--out", tmp_path / out]
        return [sys.executable, "-m", "neurointerp", *map(str, words)]

    def kept():
        return sorted((tmp_path / "kept").glob("[!.]*.zarr"))

    process = subprocess.Popen(command("kept", "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(kept()) < 2 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    survived = kept()
    assert 2 <= len(survived) < len(names)
    assert not (tmp_path / "out").exists()
    assert all(ni.verify(path) > 0 for path in survived)
    before = {path: path.stat().st_mtime_ns for path in survived}
    done = subprocess.run(command("kept", "out"), capture_output=True, text=True, check=True)
    assert done.stderr.count(": taken from ") == len(survived)
    assert len(kept()) == len(names)
    assert {path: path.stat().st_mtime_ns for path in survived} == before
    subprocess.run(command("fresh", "anew"), capture_output=True, check=True)
    ours, theirs = (ni.open(tmp_path / out / "results.zarr") for out in ("out", "anew"))
    assert ni.digest(ours) == ni.digest(theirs)
