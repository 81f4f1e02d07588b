"""The command line. The one module of the core that sees loaders and analyses; heavy imports happen in commands."""

from __future__ import annotations

import json
import logging
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurointerp.errors import AnalysisError, LoaderError, NeurointerpError, StoreError

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Artificial and biological neural recordings as one kind of labelled array, and what can be asked of them.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Mirror = Annotated[str | None, typer.Option(help="Folder or URL with the raw files, searched before the network.")]
Manifest = Annotated[Path | None, typer.Option("--manifest", help="A manifest of your own instead of the package's.")]
Modality = Annotated[list[str] | None, typer.Option(help="Of a raw file (one for all, or one per raw file in order).")]
Units = Annotated[str | None, typer.Option(help="Units of the values of a raw file that does not state them.")]
Rate = Annotated[float | None, typer.Option(help="Samples per second of a raw file that does not state it.")]
BinWidth = Annotated[float | None, typer.Option(help="Width (s) of the bins that spike times are counted in.")]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.")]


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Set up messages on stderr. (`main` takes `--debug` out of the arguments, so that it may stand anywhere.)"""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("neurointerp")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


@app.command()
def datasets(manifest_file: Manifest = None, as_json: AsJson = False) -> None:
    """List the datasets of the manifest."""
    from neurointerp import manifest

    rows = [
        {
            "id": entry.id, "modality": entry.modality, "kind": "simulated" if entry.simulated else "real",
            "embedded": entry.embedded, "items": list(entry.all_items()), "title": entry.title,
            "license": entry.license,
        }
        for entry in manifest.datasets(manifest_file).values()
    ]  # fmt: skip
    _print_rows(rows, as_json, hide=("license", "items"))


@app.command()
def load(
    id: Annotated[str, typer.Argument(help="Dataset, or dataset:item.")],  # noqa: A002
    out: Annotated[Path, typer.Option(help="Store to write (.zarr).")],
    mirror: Mirror = None,
    manifest_file: Manifest = None,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a dataset, verify it and write it as a recording."""
    from neurointerp import store

    rec = _dataset(id, mirror, manifest_file)
    store.save(rec, out, overwrite=overwrite)
    _print_description(rec, as_json)


@app.command()
def convert(
    source: Path,
    out: Annotated[Path, typer.Argument(help="Store to write (.zarr).")],
    modality: Modality = None,
    units: Units = None,
    rate: Rate = None,
    bin_width: BinWidth = None,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Read a raw file and write it as a recording."""
    from neurointerp import store
    from neurointerp.loaders import raw

    kind = modality[0] if modality else None
    rec = raw.load(source, modality=kind, units=units, sampling_rate=rate, bin_width=bin_width)
    store.save(rec, out, overwrite=overwrite)
    _print_description(rec, as_json)


@app.command()
def info(source: str, mirror: Mirror = None, as_json: AsJson = False) -> None:
    """Describe a dataset, a store or a raw file whose name tells its kind."""
    _print_description(_source(source, mirror=mirror), as_json)


@app.command()
def check(source: str, mirror: Mirror = None, as_json: AsJson = False) -> None:
    """Check a recording against the contract."""
    from neurointerp import schema

    rec = _source(source, mirror=mirror)
    schema.check(rec)
    _echo(
        json.dumps({"source": source, "ok": True})
        if as_json
        else f"{source}: a valid {rec.attrs['modality']} recording"
    )


@app.command()
def analyze(
    method: Annotated[str, typer.Argument(help="family.method, such as factorization.semi_nmf.")],
    sources: Annotated[list[str], typer.Argument(help="Datasets or paths.")],
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="name=value, such as rank=4.")] = None,
    out: Annotated[Path | None, typer.Option(help="Store to write the result to (.zarr).")] = None,
    mirror: Mirror = None,
    seed: Seed = 0,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Run one analysis and write or describe its result."""
    from neurointerp import store

    call = _method(method)
    recs = [_source(source, mirror=mirror) for source in sources]
    try:
        result = call(*recs, **_options(option), seed=seed)
    except TypeError as error:
        raise AnalysisError(f"{method}: {error}; options are given as --option name=value") from error
    if out is not None:
        store.save(result, out, overwrite=overwrite)
    variables = {
        str(name): {"dims": list(map(str, v.dims)), "shape": list(v.shape), "value": v.item() if v.ndim == 0 else None}
        for name, v in result.data_vars.items()
    }
    rows = [{"variable": name, **about} for name, about in variables.items()]
    _echo(json.dumps({"attrs": result.attrs, "variables": variables})) if as_json else _print_rows(rows, False)


@app.command()
def compare(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Datasets or paths; the embedded five by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html, summary.csv and results.zarr.")] = Path("compare"),
    mirror: Mirror = None,
    modality: Modality = None,
    units: Units = None,
    rate: Rate = None,
    bin_width: BinWidth = None,
    max_units: Annotated[int | None, typer.Option(help="Match to at most this many units.")] = None,
    max_samples: Annotated[int | None, typer.Option(help="Match to at most this many samples.")] = None,
    nulls: Annotated[int, typer.Option(help="Circular-shift surrogates per recording.")] = 20,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Set recordings side by side on the same figures, with their nulls, and write one report."""
    from neurointerp import manifest, report, store
    from neurointerp.analyses import comparison

    report.require_libraries()  # before the work, not after it
    stage = _staging_folder(out)
    try:
        ids = sources or [entry.id for entry in manifest.datasets().values() if entry.embedded]
        recs = _several(ids, mirror, modality or [], units, rate, bin_width)
        tree = comparison.compare(recs, units=max_units, samples=max_samples, nulls=nulls, seed=seed)
        rows = report.table(tree)
        rows.to_csv(stage / "summary.csv", index=False, lineterminator="\n", float_format="%.6g")
        report.write(tree, stage / "report.html", command=shlex.join(["neurointerp", *sys.argv[1:]]))
        store.save(tree, stage / "results.zarr")
        _deliver(stage, out)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    if as_json:
        _echo(rows.to_json(orient="records"))
    else:
        _print_summary(tree)
    logging.getLogger("neurointerp").info("report: %s", out / "report.html")


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="The results.zarr of a comparison.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a finished comparison again."""
    from neurointerp import report as html
    from neurointerp import store

    tree = store.open(results)
    if not hasattr(tree, "subtree"):
        raise AnalysisError(f"{results} is not a comparison: give the results.zarr that compare wrote")
    html.write(tree, out, command=f"neurointerp report {results}")
    _echo(json.dumps({"report": str(out)}) if as_json else str(out))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Tell what is installed, what each missing extra would add, and where the cache is."""
    from importlib import metadata

    from neurointerp import fetch, recordings

    wanted = {
        "eeg": ("mne", "EEG, MEG and iEEG files"), "fmri": ("nibabel", "NIfTI images"),
        "nwb": ("pynwb", "NWB files"), "spikes": ("neo", "spike-sorting formats"),
        "models": ("torch", "recording torch models"), "report": ("matplotlib", "the HTML report"),
        "dask": ("dask", "larger than memory"), "demo": ("nitime", "the embedded fMRI recording"),
    }  # fmt: skip
    rows = []
    for extra, (library, adds) in wanted.items():
        try:
            state = metadata.version(library)
        except metadata.PackageNotFoundError:
            state = f"missing: pip install 'neurointerp[{extra}]'"
        rows.append({"extra": extra, "library": library, "adds": adds, "installed": state})
    about = {"neurointerp": recordings.version(), "python": sys.version.split()[0], "cache": str(fetch.cache_folder())}
    if as_json:
        _echo(json.dumps({**about, "extras": rows}))
    else:
        _echo("\n".join(f"{key}: {value}" for key, value in about.items()))
        _print_rows(rows, False)


def main() -> None:
    """Run the command line: one line and exit code 1 for an error, 2 for wrong usage."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except NeurointerpError as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


def _source(
    text: str, *, mirror: str | None = None, modality: str | None = None, units: str | None = None,
    rate: float | None = None, bin_width: float | None = None,
) -> xr.DataArray:  # fmt: skip
    """Give the recording that an argument names: a dataset (`id` or `id:item`), a store or a raw file."""
    from neurointerp import manifest
    from neurointerp.loaders import raw

    if text.partition(":")[0] in manifest.datasets():
        return _dataset(text, mirror)
    if not Path(text).exists():
        raise LoaderError(f"{text!r} is neither a dataset nor a path; datasets: {', '.join(manifest.datasets())}")
    return raw.load(text, modality=modality, units=units, sampling_rate=rate, bin_width=bin_width)


def _dataset(text: str, mirror: str | None, manifest_file: Path | None = None) -> xr.DataArray:
    from neurointerp import manifest

    name, _, item = text.partition(":")
    return manifest.load(name, item or None, mirror=mirror, manifest=manifest_file)


def _several(
    ids: list[str], mirror: str | None, modality: list[str], units: str | None, rate: float | None,
    bin_width: float | None,
) -> dict[str, xr.DataArray]:  # fmt: skip
    from neurointerp import manifest

    files = [text for text in ids if text.partition(":")[0] not in manifest.datasets() and ".zarr" not in text]
    if len(modality) > 1 and len(modality) != len(files):
        raise LoaderError(f"{len(modality)} --modality for {len(files)} raw files: give one for all, or one each")
    given = modality * len(files) if len(modality) == 1 else modality
    kinds = dict(zip(files, given, strict=True)) if given else {}
    out: dict[str, xr.DataArray] = {}
    for text in ids:
        rec = _source(text, mirror=mirror, modality=kinds.get(text), units=units, rate=rate, bin_width=bin_width)
        name = str(rec.name)
        out[name if name not in out else f"{name}-{len(out)}"] = rec
    return out


def _method(name: str) -> Any:
    from importlib import import_module

    family, _, method = name.partition(".")
    try:
        module = import_module(f"neurointerp.analyses.{family}")
    except ModuleNotFoundError as error:
        raise AnalysisError(f"no family of analyses {family!r}; methods are named family.method") from error
    if method not in getattr(module, "__all__", ()):
        raise AnalysisError(f"{family} has no method {method!r}; it has: {', '.join(module.__all__)}")
    return getattr(module, method)


def _options(pairs: list[str] | None) -> dict[str, Any]:
    import yaml

    bad = [pair for pair in pairs or [] if "=" not in pair]
    if bad:
        raise AnalysisError(f"--option {bad[0]!r}: name=value is needed, such as rank=4")
    return {pair.partition("=")[0]: yaml.safe_load(pair.partition("=")[2]) for pair in pairs or []}


def _staging_folder(out: Path) -> Path:
    """Make the folder that the files are written in before they are moved into `out`; fails early if it cannot."""
    try:
        if out.exists() and not out.is_dir():
            raise StoreError(f"cannot write to {out}: it is a file, not a folder")
        near = out if out.is_dir() else next(parent for parent in out.absolute().parents if parent.exists())
        return Path(tempfile.mkdtemp(prefix=".neurointerp.", suffix=".partial", dir=near))
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error


def _deliver(stage: Path, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(stage.iterdir()):
            target = out / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error


def _print_description(rec: xr.DataArray, as_json: bool) -> None:
    about = {
        "name": rec.name, "dims": list(rec.dims), "sizes": {str(k): int(v) for k, v in rec.sizes.items()},
        "dtype": str(rec.dtype), "coords": sorted(map(str, rec.coords)), "attrs": rec.attrs,
    }  # fmt: skip
    if as_json:
        _echo(json.dumps(about))
        return
    _echo(f"{rec.name}: {rec.attrs['modality']} {dict(rec.sizes)} {rec.dtype}, units {rec.attrs['units']}")
    _echo(f"coords: {', '.join(sorted(map(str, rec.coords)))}")
    for key, value in rec.attrs.items():
        _echo(f"{key}: {json.dumps(value) if isinstance(value, list | dict) else value}")


def _print_rows(rows: list[dict[str, Any]], as_json: bool, hide: tuple[str, ...] = ()) -> None:
    if as_json:
        _echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Column, Table

    columns = [key for key in rows[0] if key not in hide]
    table = Table(*(Column(key, no_wrap=key != columns[-1]) for key in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            *(" ".join(map(str, row[key])) if isinstance(row[key], list) else str(row[key]) for key in columns)
        )
    Console(width=None if sys.stdout.isatty() else 400, markup=False).print(table)


def _print_summary(tree: xr.DataTree) -> None:
    """Print the table of figures: value and z-score of each recording."""
    summary = tree.to_dataset(inherit=False)
    labels = zip(summary["recording"].values, summary["kind"].values, strict=True)
    names = [f"{name} ({kind})" for name, kind in labels]
    rows = []
    for j, metric in enumerate(summary["metric"].values):
        values, z = summary["summary"].values[:, j, 0], summary["z_score"].values[:, j]
        cells = {name: f"{v:.3g} (z {s:.3g})" for name, v, s in zip(names, values, z, strict=True)}
        rows.append({"figure": str(metric), **cells})
    _print_rows(rows, False)


def _echo(text: str | None) -> None:
    typer.echo(text or "")
