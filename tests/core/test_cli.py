import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurointerp as ni


def run(*arguments, check=0, cwd=None):
    """Run the command line as a user does; gives (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "neurointerp", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert done.returncode == check, done.stderr
    return done.stdout, done.stderr


def one_line(stderr):
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("comparing")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_help_is_light():
    code = (
        "import sys, neurointerp.cli as c, typer.testing as t;"
        "assert t.CliRunner().invoke(c.app, ['--help']).exit_code == 0;"
        "print([m for m in ('numpy', 'xarray', 'torch', 'mne', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    text, _ = run("--help")
    for command in ("datasets", "load", "convert", "info", "check", "record", "analyze", "compare", "report", "doctor"):
        assert command in text


def test_a_collection_is_summed_up(mirror, here):
    rows = {row["source"]: row for row in json.loads(here("datasets", "--collection", "celegans", "--json")[0])}
    assert len(rows) == 12
    assert sum(row["published"] for row in rows.values()) == 919
    assert {name: row["listed"] for name, row in rows.items() if row["listed"]} == {"dag2023": 3, "atanas2023": 1}
    assert "worms" not in rows["dag2023"]
    given = ("datasets", "--collection", "celegans", "--measure", "--mirror", mirror, "--json")
    measured = {row["source"]: row for row in json.loads(here(*given)[0])}
    wanted = {"worms": 3, "neurons": 146 + 141 + 130, "labeled": 99 + 87, "rate": 1.6666, "not_at_hand": []}
    assert {key: measured["dag2023"][key] for key in wanted} == wanted
    assert (measured["atanas2023"]["neurons"], measured["atanas2023"]["labeled"]) == (98, 0)
    assert (measured["kato2015"]["worms"], measured["kato2015"]["published"]) == (0, 12)


def test_what_is_not_at_hand_is_named(tmp_path, here):
    (tmp_path / "gone.csv").write_text("neuron,0,1\nAVAL,1,2\n")
    mine = ni.holdings.adopt("venkatachalam2024", tmp_path, tmp_path / "mine.yaml")
    (tmp_path / "gone.csv").unlink()
    given = ("datasets", "--collection", "celegans", "--measure", "--manifest", mine, "--json")
    (row,) = json.loads(here(*given)[0])
    assert (row["listed"], row["worms"], row["rate"]) == (1, 0, None)
    assert "no file at" in row["not_at_hand"][0]
    assert "10.1016/j.cell.2015.09.034" in here("datasets", "--collection", "celegans")[0]
    error = one_line(here("datasets", "--collection", "mice", check=1)[1])
    assert "no dataset is of the collection 'mice'; collections: celegans" in error
    assert "--measure goes with --collection" in here("datasets", "--measure", check=2)[1]


def test_datasets_and_doctor_speak_json(here):
    rows = json.loads(here("datasets", "--json")[0])
    assert [row["id"] for row in rows] == list(ni.datasets())
    assert {row["kind"] for row in rows} == {"real", "simulated"}
    about = json.loads(here("doctor", "--json")[0])
    assert {row["extra"] for row in about["extras"]} >= {"eeg", "fmri", "models", "report"}
    text, _ = here("doctor")
    assert all(row["installed"] in text for row in about["extras"])


def test_from_raw_array_to_result(tmp_path, here):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).standard_normal((200, 6)))
    store = tmp_path / "mine.zarr"
    run("convert", tmp_path / "mine.npy", store, "--modality", "ieeg", "--units", "uV", "--rate", "500")
    about = json.loads(here("info", store, "--json")[0])
    assert (about["sizes"], about["attrs"]["units"]) == ({"time": 200, "unit": 6}, "uV")
    assert "valid ieeg recording" in here("check", store)[0]
    out = json.loads(
        run("analyze", "factorization.pca", store, "-o", "rank=2", "--out", tmp_path / "pca.zarr", "--json")[0]
    )
    assert out["variables"]["features"]["shape"] == [2, 6]
    assert ni.open(tmp_path / "pca.zarr").attrs["analysis"] == "factorization.pca"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "nothing"], "'nothing' is neither a dataset nor a path"),
        (["load", "physionet-eegmmidb", "--out", "x.zarr"], "holds 4 items; name one of"),
        (["analyze", "magic.wand", "demo-eeg"], "no family of analyses 'magic'"),
        (["analyze", "factorization.magic", "demo-eeg"], "factorization has no method 'magic'; it has: "),
        (["analyze", "factorization.pca", "demo-eeg"], "factorization.pca needs --option rank=VALUE"),
        (["analyze", "factorization.pca", "demo-eeg", "-o", "rank"], "name=value is needed"),
        (["convert", "mine.npy", "x.zarr", "--modality", "eeg", "--rate", "5"], "pass, as they are, --units V"),
        (["convert", "mine.npy", "x.zarr", "--modality", "eeg", "--modality", "meg"], "2 --modality for one source"),
        (["convert", "mine.xyz", "x.zarr"], "its name does not tell what it holds; pass the modality"),
        (["compare", "demo-eeg", "--out", "mine.npy/out"], "cannot write to mine.npy/out"),
        (["compare", "demo-eeg", "--out", "mine.npy"], "it is a file, not a folder"),
        (["compare", "dead.npy", "--modality", "eeg", "--units", "V", "--rate", "10"], "missing values in 1 of 6"),
        (["report", "mine.npy"], "cannot be read as a zarr store"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_exit_one_and_leaves_nothing(tmp_path, monkeypatch, here, arguments, message):
    values = np.random.default_rng(0).standard_normal((200, 6))
    np.save(tmp_path / "mine.npy", values)
    (tmp_path / "mine.xyz").write_text("?")
    values[:, 2] = np.nan
    np.save(tmp_path / "dead.npy", values)
    before = sorted(path.name for path in tmp_path.rglob("*") if "cache" not in path.parts)
    monkeypatch.chdir(tmp_path)
    _, stderr = here(*arguments, check=1)
    assert message in one_line(stderr)
    assert sorted(path.name for path in tmp_path.rglob("*") if "cache" not in path.parts) == before


def test_a_manifest_without_datasets_lists_none(tmp_path, here):
    (tmp_path / "empty.yaml").write_text("datasets: []\n")
    assert here("datasets", "--manifest", tmp_path / "empty.yaml")[0].strip() == "none"
    assert json.loads(here("datasets", "--manifest", tmp_path / "empty.yaml", "--json")[0]) == []


def test_a_manifest_with_a_wrong_hash_is_one_line_and_leaves_nothing(tmp_path, here):
    (tmp_path / "rois.txt").write_text("1 2 3\n4 5 6\n")
    entry = {
        "id": "mine", "title": "t", "modality": "fmri", "version": "1", "loader": "fmri", "options": {"tr": 2.0},
        "sources": [{"url": (tmp_path / "rois.txt").as_uri(), "sha256": "0" * 64}],
        "system": "human", "license": "CC0", "citation": "none",
    }  # fmt: skip
    (tmp_path / "manifest.yaml").write_text(json.dumps({"datasets": [entry]}))
    arguments = ("load", "mine", "--manifest", tmp_path / "manifest.yaml", "--out", tmp_path / "out.zarr")
    _, stderr = here(*arguments, check=1)
    assert "the manifest says 0000" in one_line(stderr)
    assert not (tmp_path / "out.zarr").exists()
    _, stderr = run(*arguments, "--debug", check=1)
    assert "Traceback" in stderr


def test_wrong_usage_exits_two():
    run("compare", "--no-such-flag", check=2)
    run("convert", check=2)


def test_compare_writes_three_files_and_a_second_run_the_same_table(tmp_path, here):
    sizes = ("--max-samples", "100", "--nulls", "2", "--resamples", "0")
    arguments = ("compare", "demo-eeg", "demo-fmri", *sizes, "--json", "--workers")
    rows = json.loads(here(*arguments, 1, "--out", tmp_path / "a")[0])
    assert {row["kind"] for row in rows} == {"real", "simulated"}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["report.html", "results.zarr", "summary.csv"]
    shutil.copytree(tmp_path / "a", tmp_path / "first")
    run(*arguments, 2, "--out", tmp_path / "a")  # over the earlier run
    assert (tmp_path / "a" / "report.html").stat().st_mtime_ns > (tmp_path / "first" / "report.html").stat().st_mtime_ns
    assert (tmp_path / "a" / "summary.csv").read_bytes() == (tmp_path / "first" / "summary.csv").read_bytes()
    ours, theirs = (ni.digest(ni.open(tmp_path / out / "results.zarr")) for out in ("a", "first"))
    assert ours == theirs
    here("report", tmp_path / "a" / "results.zarr", "--out", tmp_path / "again.html")
    assert (tmp_path / "again.html").stat().st_size > 100_000


def test_a_study_file_is_run_again_for_what_is_new_alone(tmp_path, here):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).standard_normal((300, 10)))
    study = """
recordings:
  scalp: {source: demo-eeg, group: outside, subject: a}
  sparks: {source: demo-spikes, group: inside, subject: a}
  own: {source: own.npy, modality: ieeg, units: uV, rate: 200, group: inside, subject: b}
  image: {source: demo-fmri, group: outside, subject: b}
units: 4
samples: 100
nulls: 2
resamples: 10
"""  # of so few units no part is left out: intervals are tested elsewhere
    (tmp_path / "study.yaml").write_text(study)
    arguments = ("compare", tmp_path / "study.yaml", "--cache", tmp_path / "kept", "--json", "--workers", 1)
    rows = json.loads(here(*arguments, "--out", tmp_path / "a")[0])
    assert {row["recording"] for row in rows} == {"scalp", "sparks", "own", "image"}
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 4
    here(*arguments, "--out", tmp_path / "b")
    assert (tmp_path / "a" / "summary.csv").read_bytes() == (tmp_path / "b" / "summary.csv").read_bytes()
    assert sorted((tmp_path / "kept").iterdir()) == kept
    tree = ni.open(tmp_path / "b" / "results.zarr")
    assert tree["group"].values.tolist() == ["outside", "inside", "inside", "outside"]
    assert tree["subject"].values.tolist() == ["a", "a", "b", "b"]
    assert "mixed_difference" in tree
    assert tree["interval"].attrs["resamples"] == 10
    (tmp_path / "study.yaml").write_text(study + "rate: quick\nquality: eyes\nreliability: 2\nsensitivity: perhaps\n")
    wrong = one_line(here(*arguments, "--out", tmp_path / "c", check=1)[1])
    assert "rate.literal['slowest']: Input should be 'slowest'" in wrong
    assert "quality: Input should be 'repeats' or 'units'" in wrong
    assert "reliability: Input should be less than or equal to 1" in wrong
    assert "sensitivity: Input should be a valid boolean" in wrong
    (tmp_path / "study.yaml").write_text(study.replace(", subject: a", "", 1))
    assert "'scalp' has no subject" in one_line(here(*arguments, "--out", tmp_path / "c", check=1)[1])
    (tmp_path / "study.yaml").write_text(study.replace("  own:", "  scalp:"))
    assert "'scalp' is there twice" in one_line(here(*arguments, "--out", tmp_path / "c", check=1)[1])
    (tmp_path / "study.yaml").write_text(study.replace("nulls: 2", "nulls: 1\ncolour: red"))
    assert "nulls: Input should be greater" in one_line(here(*arguments, "--out", tmp_path / "c", check=1)[1])
    (tmp_path / "study.yaml").write_text(study.replace(", group: inside", "", 1))
    assert "'sparks' has no group" in one_line(here(*arguments, "--out", tmp_path / "c", check=1)[1])
    beside = here(*arguments, "--seed", 3, "--max-units", 4, "--out", tmp_path / "c", check=1)[1]
    assert "--max-units, --seed beside a study file" in one_line(beside)
    same = here(*arguments, "--nulls", 20, "--resamples", 10, "--out", tmp_path / "c", check=1)[1]
    assert "--nulls, --resamples beside a study file" in one_line(same)  # the default of the command, not of the study
    assert not (tmp_path / "c").exists()


def test_options_of_a_comparison_are_flags_too(tmp_path, here):
    """Worms and scalps need no rates in common: the faster is brought to the slower, with noise to its quality."""
    out = tmp_path / "out"
    sizes = ("--max-units", "8", "--max-samples", "60", "--nulls", "2", "--workers", "1")
    pair = ("compare", "demo-eeg", "demo-calcium")
    here(*pair, *sizes, "--resamples", "0", "--match-rate", "8", "--match-quality", "units", "--out", out)
    matching = ni.open(out / "results.zarr").attrs["matching"]
    assert {one["at_one_rate"]["rate"] for one in matching.values()} == {8.0}
    assert len({one["of_equal_quality"]["reliability"] for one in matching.values()}) == 1
    for extra, message in (
        (("--match-rate", "quick"), "--match-rate is 'quick': a number (Hz) or 'slowest'"),
        (("--group", "demo-eeg"), "--group is 'demo-eeg': recording=label"),
        (("--subject", "demo-eeg=s"), "subjects without groups"),
    ):
        assert message in one_line(here(*pair, *sizes, *extra, "--out", tmp_path / "c", check=1)[1])


def test_a_users_own_files_of_four_kinds(mirror, tmp_path, here):
    edf = mirror / "eeg/physionet_eegmmidb/S001R03.edf"
    nifti = mirror / "fmri/pymvpa_bold/bold.nii.gz"
    np.save(tmp_path / "own.npy", np.random.default_rng(0).standard_normal((300, 10)))
    suite2p = tmp_path / "suite2p"
    shutil.copytree(mirror / "calcium/suite2p_pynapple/suite2p", suite2p)
    sizes = ("--nulls", "2", "--resamples", "0", "--max-samples", "120", "--max-units", "12")
    for extra in (
        [edf],
        [nifti],
        [suite2p, "--rate", "30"],
        [tmp_path / "own.npy", "--modality", "ieeg", "--units", "uV", "--rate", "200"],
    ):
        rows = json.loads(here("compare", *extra, *sizes, "--json", "--out", tmp_path / "out")[0])
        assert all(row["data"] is not None for row in rows), extra
        assert {row["kind"] for row in rows} == {"not stated"}
        assert {row["recording"] for row in rows} == {Path(extra[0]).name.split(".")[0]}


def test_broken_raw_files_are_one_clear_line(mirror, tmp_path, here):
    whole = (mirror / "eeg/physionet_eegmmidb/S001R03.edf").read_bytes()
    (tmp_path / "cut.edf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii").write_text("this is not an image")
    for name, word in (("cut.edf", "cut.edf"), ("text.nii", "text.nii")):
        _, stderr = here("convert", tmp_path / name, tmp_path / "out.zarr", check=1)
        assert word in one_line(stderr)
        assert not (tmp_path / "out.zarr").exists()
