"""The first minutes: what doctor tells, what a missing library says, what comes next, and own files and models."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import neurointerp as ni
from neurointerp import cli, extras, models
from neurointerp.analyses import comparison, encoding, geometry
from neurointerp.cli import app
from neurointerp.loaders import activations, eeg

ROOT = Path(__file__).parents[2]


def run(*arguments, check=0):
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=check == 0)
    assert done.exit_code == check, (done.output, done.exception)
    return done.stdout, done.stderr


def without(library, *arguments, cwd=None):
    """Run the command line where a library cannot be imported, and give (exit code, stderr)."""
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv = ['neurointerp', *{[str(a) for a in arguments]!r}];"
        "from neurointerp.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)
    return done.returncode, done.stderr


def test_doctor_knows_every_extra_and_its_libraries():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    declared.pop("all")
    assert set(extras.libraries()) == set(declared) == set(extras.ADDS)
    about = json.loads(run("doctor", "--json")[0])
    assert [row["extra"] for row in about["extras"]] == list(declared)
    for row in about["extras"]:
        for name in extras.libraries()[row["extra"]]:
            assert f"{name} {extras.installed(name)}" in row["installed"] or f"missing {name}" in row["installed"]
    assert "mne-bids" in str(about["extras"])
    assert str(os.cpu_count()) in about["threads"]
    assert about["cache"].startswith(os.environ["NEUROINTERP_CACHE"])


def test_doctor_says_what_is_missing_and_the_one_command(monkeypatch):
    real = extras.metadata.version
    gone = {"neo", "pymatreader"}

    def version(name):
        if name in gone:
            raise extras.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(extras.metadata, "version", version)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    text, _ = run("doctor")
    assert "missing pymatreader: pip install 'neurointerp[eeg]'" in text
    assert "to add all that is missing: pip install 'neurointerp[eeg,spikes]'" in text
    assert "OMP_NUM_THREADS=3" in text
    gone.clear()
    assert "nothing is missing" in run("doctor")[0]


def test_several_missing_libraries_are_one_line_with_one_command(monkeypatch):
    assert extras.lacking(["numpy", "jinja2"]) == ""
    for name in ("jinja2", "nitime", "zarr"):
        monkeypatch.setitem(sys.modules, name, None)
    assert extras.lacking(["jinja2", "nitime", "zarr"]) == (
        "jinja2, nitime, zarr are not installed: pip install 'neurointerp[report,demo]'; pip install zarr"
    )


def test_compare_without_its_libraries_says_so_before_the_work(tmp_path):
    code, said = without("nitime", "compare", "--out", tmp_path / "out")
    assert (code, said) == (1, "error: compare: nitime is not installed: pip install 'neurointerp[demo]'\n")
    code, said = without("jinja2", "compare", "demo-eeg", "--out", tmp_path / "out")
    assert (code, said) == (1, "error: compare: jinja2 is not installed: pip install 'neurointerp[report]'\n")
    assert list(tmp_path.iterdir()) == []


def test_models_and_files_without_their_library_name_the_extra(tmp_path):
    (tmp_path / "mine.edf").write_bytes(b"0")
    code = "import sys; sys.modules['torch'] = None; from neurointerp.models import gpt"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModelError: models.gpt needs torch: pip install 'neurointerp[models]'" in done.stderr
    gone = ModuleNotFoundError("No module named 'mne_bids'", name="mne_bids")
    assert cli._message(gone) is None  # it is there after all: the error is another's, and keeps its traceback
    code, said = without("mne", "info", "mine.edf", cwd=tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert "pip install 'neurointerp[eeg]'" in said


def test_version_and_methods():
    assert run("--version")[0].startswith("neurointerp ")
    rows = json.loads(run("methods", "--json")[0])
    names = [row["method"] for row in rows]
    assert {"factorization.semi_nmf", "connectivity.wpli", "encoding.ridge", "tensor.cp", "geometry.rdm"} <= set(names)
    assert "factorization.match" not in names  # it takes results, not recordings
    about = {row["method"]: row for row in rows}
    assert (about["factorization.semi_nmf"]["options"], about["connectivity.wpli"]["options"]) == (["rank"], [])
    assert about["decoding.linear"]["recordings"] == ["recording"]
    assert all(callable(cli._sources.method_of(name)) for name in names)
    text, said = run("methods", "connectivity")
    assert "connectivity.wpli" in text
    assert "factorization" not in text
    assert "neurointerp analyze FAMILY.METHOD" in said


def responses(folder, name, seed, units):
    """Keep the responses of some units to twelve stimuli, driven by the same four latents."""
    latent = np.random.default_rng(0).standard_normal((12, 4))
    rng = np.random.default_rng(seed)
    values = latent @ rng.standard_normal((4, units)) + 0.3 * rng.standard_normal((12, units))
    rec = ni.recording(
        values, modality="fmri", units="1", dims=("trial", "unit"), name=name,
        coords={"stimulus": ("trial", [f"s{i:02}" for i in range(12)])},
    )  # fmt: skip
    ni.save(rec, folder / f"{name}.zarr")
    return rec


def test_a_method_of_many_recordings_takes_them_under_their_names(tmp_path):
    recs = {name: responses(tmp_path, name, seed, 6 + seed) for seed, name in enumerate(("one", "two", "three"))}
    stores = [tmp_path / f"{name}.zarr" for name in recs]
    run("analyze", "geometry.cka", *stores, "-o", "permutations=20", "--seed", 1, "--out", tmp_path / "cka.zarr")
    found = ni.open(tmp_path / "cka.zarr")
    assert found["recording"].values.tolist() == ["one", "two", "three"]
    assert ni.digest(found) == ni.digest(geometry.cka(recs, permutations=20, seed=1))
    run("analyze", "encoding.banded_ridge", *stores, "--out", tmp_path / "bands.zarr")
    bands = encoding.banded_ridge({name: recs[name] for name in ("one", "two")}, recs["three"])
    assert ni.digest(ni.open(tmp_path / "bands.zarr")) == ni.digest(bands)
    rows = {row["method"]: row for row in json.loads(run("methods", "--json")[0])}
    assert rows["geometry.cka"]["recordings"] == ["recordings..."]
    assert rows["geometry.gcca"]["options"] == ["rank"]
    assert rows["encoding.banded_ridge"]["recordings"] == ["features...", "responses"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["geometry.cka", "demo-eeg"], "geometry.cka takes RECORDINGS..., recordings beside each other: 1 are too few"),
        (["geometry.cka", "demo-eeg", "demo-fmri"], "stimulus"),
        (["connectivity.correlation", "demo-eeg", "demo-fmri"], "takes 1 recording: 2 are too many"),
        (
            ["geometry.aligned", "demo-eeg"],
            "does not run on recordings alone: call analyses.geometry.aligned in Python",
        ),
        (["comparison.compare", "demo-eeg"], "run `neurointerp compare`"),
        (["encoding.banded_ridge", "demo-eeg"], "takes FEATURES... RESPONSES"),
    ],
)
def test_a_method_that_cannot_run_so_says_what_to_call(arguments, message):
    done = CliRunner().invoke(app, ["analyze", *arguments])
    assert isinstance(done.exception, ni.NeurointerpError), done.exception
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["analyze", "semi_nmf", "demo-eeg"], "did you mean factorization.semi_nmf?"),
        (["analyze", "factorization.semi-nmf", "demo-eeg"], "did you mean factorization.semi_nmf?"),
        (["methods", "magic"], "no family of analyses 'magic'; there are: comparison, connectivity"),
        (["info", "demo-egg"], "did you mean demo-eeg"),
        (["load", "demo-egg", "--out", "e.zarr"], "did you mean demo-eeg"),
        (["analyze", "connectivty.correlation", "demo-eeg"], "did you mean connectivity.correlation?"),
        (["analyze", "factorization.semi_nmf", "gone.edf"], "factorization.semi_nmf needs --option rank=VALUE"),
        (["compare", "demo-eeg", "--max-units", "3"], "compare: units is 3; 4 at least are needed"),
        (["compare", "demo-eeg", "--max-samples", "10"], "compare: samples is 10; 60 at least are needed"),
        (["info", "gone.edf"], "'gone.edf' is neither a dataset nor a path: no such file or folder"),
    ],
)
def test_a_near_miss_is_told_what_was_meant(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ni.NeurointerpError)
    assert message in str(done.exception)


def test_completion_is_offered_installed_and_works(tmp_path):
    # whichever shell runs the tests, the one that is named is asked for
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

    def shell(*arguments, **more):
        code = "import sys; sys.argv[0] = 'neurointerp'; from neurointerp.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True, text=True, env={**environment, **more}, check=False,
        )  # fmt: skip
        return done.stdout

    assert "complete -o default -F _neurointerp_completion neurointerp" in shell("--show-completion", "bash")
    assert "bash completion installed" in shell("--install-completion", "bash")
    assert "neurointerp" in (tmp_path / ".bashrc").read_text("utf-8")
    asked = {"_NEUROINTERP_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    assert shell(COMP_WORDS="neurointerp co", **asked).split() == ["convert", "compare"]


def test_ones_own_recording_from_file_to_result(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    eeg.to_mne(ni.load("demo-eeg")).save("mine_raw.fif", verbose="error")
    assert "time 1280 x unit 32" in run("info", "mine_raw.fif")[0]
    text, said = run("convert", "mine_raw.fif", "mine.zarr", "--system", "human")
    assert "wrote mine.zarr; next: neurointerp compare mine.zarr  or  neurointerp methods" in said
    assert "system" in text
    assert run("convert", "mine_raw.fif", "mine.zarr", "--overwrite", "--json")[1] == ""
    _, said = run("analyze", "factorization.pca", "mine.zarr", "-o", "rank=3")
    assert "nothing was kept: --out FILE.zarr writes it" in said
    _, said = run("analyze", "factorization.pca", "mine.zarr", "-o", "rank=3", "--out", "parts.zarr")
    assert "wrote parts.zarr; next: neurointerp info parts.zarr" in said
    text = run("info", "parts.zarr")[0]
    assert text.startswith('factorization.pca {"rank": 3')
    assert "explained_variance" in text
    assert json.loads(run("info", "parts.zarr", "--json")[0])["variables"]["features"]["shape"] == [3, 32]
    ni.save(ni.load_session("demo-eeg"), "session.zarr")
    assert "/recordings/eeg_sources" in run("info", "session.zarr")[0]
    done = subprocess.run(
        [sys.executable, "-m", "neurointerp", "convert", "mine_raw.fif", "mine.zarr"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr.strip().endswith("choose another path or pass --overwrite")


def test_a_real_file_under_another_name(mirror, tmp_path):
    mine = tmp_path / "tuesday 3.edf"
    mine.write_bytes((mirror / "eeg/physionet_eegmmidb/S001R03.edf").read_bytes())
    text, said = run("convert", mine, tmp_path / "tuesday 3.zarr")
    assert "T0 (15), T1 (8), T2 (7)" in text
    assert f"neurointerp compare '{tmp_path}/tuesday 3.zarr'" in said


def test_ones_own_models_are_recorded_and_their_mistakes_explained(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.up, self.act, self.down = (
                torch.nn.Linear(8, 8), torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 8),
            )  # fmt: skip

        def forward(self, x):
            x = x + self.mix(x).cumsum(1)
            return x + self.down(self.act(self.up(x)))

    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = torch.nn.Embedding(20, 8)
            self.blocks = torch.nn.ModuleList([Block(), Block()])

        def forward(self, ids):
            x = self.embed(ids)
            for block in self.blocks:
                x = block(x)
            return x

    torch.manual_seed(0)
    model, ids = Mine(), [[3, 14, 15], [9, 2, 6, 5]]
    with pytest.raises(ni.ModelError) as refused:
        activations.record(model, ids, sites="mlp.post")
    told = str(refused.value).rpartition("sites=")[2]
    assert told == "{'mlp.post': 'blocks.{layer}.act'}"  # and what it says works:
    rec = activations.record(model, ids, sites={"mlp.post": "blocks.{layer}.act"}, out=tmp_path / "mine.zarr")
    assert (dict(rec.sizes), rec.layer.values[[0, -1]].tolist()) == ({"time": 7, "unit": 64}, [0, 1])
    with torch.no_grad():
        x = model.embed(torch.tensor([ids[1]]))
        block = model.blocks[0]
        x = x + block.mix(x).cumsum(1)
        expected = block.act(block.up(x))[0].numpy()
    np.testing.assert_allclose(rec.values[3:, :32], expected, rtol=1e-5, atol=1e-6)

    plain = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU())
    with pytest.raises(ni.ModelError, match=r"'relu' matches no module; the nearest are '\d"):
        activations.record(plain, torch.zeros(3, 4), sites="relu")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(6, 4)), batch_size=2)
    with pytest.raises(ni.LoaderError, match="batches of a DataLoader: join them"):
        activations.record(plain, loader, sites="1")
    assert activations.record(plain, torch.cat([batch[0] for batch in loader]), sites="1").sizes["trial"] == 6
    assert models.site_names(plain) == []


def test_a_file_of_weights_is_no_model_and_the_way_is_told(tmp_path):
    (tmp_path / "mine.pt").write_bytes(b"PK")
    (tmp_path / "text.txt").write_text("hello\n")
    given = ("record", tmp_path / "mine.pt", tmp_path / "text.txt", "--out", tmp_path / "o.zarr", "--sites", "mlp.post")
    done = CliRunner().invoke(app, [str(one) for one in given])
    assert isinstance(done.exception, ni.LoaderError)
    assert "loaders.activations.record(model, inputs" in str(done.exception)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ([], "--modality eeg --units V --rate 250"),
        (["--modality", "eeg", "--rate", "250"], "--units V"),
        (["--modality", "activations"], "--units V --rate 250. Values on another clock than seconds"),
    ],
)
def test_what_an_array_lacks_is_asked_for_at_once(given, asked, tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((80, 4)))
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "mine.npy"), str(tmp_path / "m.zarr"), *given])
    assert isinstance(done.exception, ni.LoaderError)
    assert f"pass, as they are, {asked}" in str(done.exception)


def test_a_table_is_asked_for_its_modality_and_its_rate_and_a_report_for_a_comparison(tmp_path):
    for name in ("regions.csv", "mine.edf"):
        (tmp_path / name).write_text("a,b\n1,2\n", "utf-8")
    done = CliRunner().invoke(app, ["info", str(tmp_path / "regions.csv")])
    assert "--modality eeg, fmri, ...), and the rate of a table of regions, 1 / TR (--rate)" in str(done.exception)
    done = CliRunner().invoke(app, ["report", str(tmp_path / "mine.edf")])
    assert isinstance(done.exception, ni.StoreError)
    assert "give the results.zarr that compare wrote" in str(done.exception)


def test_a_comparison_of_unknown_kind_says_how_to_state_it(tmp_path, caplog):
    from neurointerp.cli._printing import print_summary

    values = np.random.default_rng(0).standard_normal((80, 6))
    recs = [ni.recording(values, modality="eeg", units="V", sampling_rate=100.0, name=name) for name in ("a", "b")]
    recs[1].attrs["system"] = "human"
    with caplog.at_level("INFO", logger="neurointerp"):
        print_summary(comparison.compare(recs, nulls=2, resamples=0))
    assert "real or simulated: a; `neurointerp convert FILE OUT.zarr --system human`" in caplog.text
