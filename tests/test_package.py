"""What the package promises about itself: import direction, light import, public names."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import neurointerp as ni

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "mne", "nibabel", "tensorly", "sklearn", "scipy", "pandas", "xarray", "numpy", "matplotlib", "pint")


def modules(folder):
    return [
        path
        for path in (ROOT / folder).rglob("*.py")
        if not {"loaders", "analyses"} & set(path.parts[len(ROOT.parts) + 1 :])
    ]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("neurointerp", ("neurointerp.loaders", "neurointerp.analyses")),
        ("loaders", ("neurointerp.analyses",)),
        ("analyses", ("neurointerp.loaders",)),
    ],
)
def test_imports_flow_one_way(folder, forbidden):
    files = [path for path in modules(folder) if "cli" not in path.relative_to(ROOT).parts]
    assert len(files) > 5
    wrong = [f"{path.name}: {name}" for path in files for name in imports(path) if name.startswith(forbidden)]
    assert wrong == []


def test_no_private_name_crosses_a_folder():
    for folder in ("neurointerp", "loaders", "analyses"):
        for path in modules(folder):
            package = ".".join(("neurointerp", *path.relative_to(ROOT).parts[:-1])).replace(
                "neurointerp.neurointerp", "neurointerp"
            )
            for name in imports(path):
                private = re.match(r"(neurointerp(?:\.\w+)*?)\.(_[a-z]\w*)", name)
                assert not private or private[1] == package or private[1].startswith(package), f"{path}: {name}"


def test_importing_the_package_brings_in_nothing_heavy():
    code = f"import sys, neurointerp; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_load_and_are_what_they_say():
    for name in ("recording", "session", "check", "save", "open", "digest", "to_units", "datasets", "load", "load_all"):
        assert callable(getattr(ni, name)), name
    from neurointerp import recordings  # importing the module must not hide the function

    assert ni.recording is recordings.recording
    assert issubclass(ni.LoaderError, ni.NeurointerpError)


def test_a_checkout_without_links_says_so(tmp_path):
    (tmp_path / "neurointerp").mkdir()
    (tmp_path / "neurointerp" / "__init__.py").write_text((ROOT / "neurointerp" / "__init__.py").read_text())
    (tmp_path / "neurointerp" / "loaders").write_text("../loaders")
    out = subprocess.run([sys.executable, "-c", "import neurointerp"], cwd=tmp_path, capture_output=True, text=True)
    assert "has lost its links to loaders/ and analyses/" in out.stderr
    assert "core.symlinks true" in out.stderr


def test_the_base_install_asks_for_no_heavy_library():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.split(r"[<>=\[;]", requirement)[0] for requirement in project["dependencies"]}
    assert not base & {"torch", "mne", "nibabel", "pynwb", "transformers", "matplotlib"}
    assert {"eeg", "fmri", "hmm", "nwb", "spikes", "models", "report", "dask", "demo", "parquet", "all"} == set(
        project["optional-dependencies"]
    )


def test_every_folder_of_the_package_is_one():
    for folder in ("neurointerp", "loaders", "analyses"):
        for path in modules(folder):
            assert (path.parent / "__init__.py").is_file(), path


def test_every_public_analysis_and_loader_is_documented():
    from neurointerp import analyses

    for family in (getattr(analyses, name) for name in analyses.__all__):
        for name in family.__all__:
            doc = getattr(family, name).__doc__ or ""
            function = inspect.isfunction(getattr(family, name))
            for section in ("Parameters", "Examples", *(("Returns", "Raises") if function else ("Attributes",))):
                assert f"{section}\n" in doc, f"{family.__name__}.{name} has no {section}"
