"""Commands for studies: analyze, compare, report; and the methods there are."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from neurointerp.cli._folder import deliver, staged
from neurointerp.cli._options import AsJson, BinWidth, Mirror, Modality, Rate, Seed, Units
from neurointerp.cli._printing import echo, print_next, print_result, print_rows, print_summary
from neurointerp.cli._sources import (
    arguments_of,
    families,
    method_of,
    methods_of,
    options_of,
    require_options,
    several,
)
from neurointerp.errors import AnalysisError, NeurointerpError, StoreError

log = logging.getLogger("neurointerp")


def methods(
    family: Annotated[str | None, typer.Argument(help="One family, such as connectivity; all by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the analyses that `analyze` runs, with the options that each needs."""
    rows = [row for name in ([family] if family else families()) for row in methods_of(name)]
    print_rows(rows, as_json)
    if not as_json:
        print_next(None, "analyze FAMILY.METHOD SOURCE --option NAME=VALUE --out FILE.zarr")


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
    """Run one analysis and write or describe its result.

    A method of many recordings (geometry.cka) takes two sources or more, and knows each by its name.
    """
    from neurointerp import store

    call = method_of(method)
    options = options_of(option)
    require_options(method, call, options)
    recs = arguments_of(method, call, sources, mirror)
    try:
        result = call(*recs, **options, seed=seed)
    except TypeError as error:
        raise AnalysisError(f"{method}: {error}; options are given as --option name=value") from error
    if out is not None:
        store.save(result, out, overwrite=overwrite)
    print_result(result, as_json)
    if not as_json:
        print_next(out, "info {}") if out is not None else log.info("nothing was kept: --out FILE.zarr writes it")


def compare(
    context: typer.Context,
    sources: Annotated[
        list[str] | None, typer.Argument(help="Datasets or paths, or one study.yaml; the embedded five by default.")
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
    resamples: Annotated[int, typer.Option(help="Draws behind each interval; 0 for none.")] = 10,
    match_rate: Annotated[
        str | None, typer.Option(help="Bring clocks in seconds to this rate (Hz), or to the slowest.")
    ] = None,
    match_quality: Annotated[
        str | None, typer.Option(help="Add noise until all are equally reliable by repeats or units.")
    ] = None,
    reliability: Annotated[float | None, typer.Option(help="The reliability to match to; the lowest there is.")] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="Add the figures of degraded recordings.")] = False,
    group: Annotated[list[str] | None, typer.Option(help="recording=group, for each recording.")] = None,
    subject: Annotated[list[str] | None, typer.Option(help="recording=subject, for each recording.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps what was computed (of a study: the cache)."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Recordings computed at once; one per core by default.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Set recordings side by side on the same figures, with their nulls, and write one report."""
    from neurointerp import cluster, extras, fetch, manifest, report, store
    from neurointerp.analyses import comparison
    from neurointerp.cli._study_file import is_study, read_study, recordings_of, refuse_beside

    # before the work, not after it: what draws the report and, of the embedded five, carries the fMRI
    if missing := extras.lacking(["matplotlib", "jinja2", *([] if sources else ["nitime"])]):
        raise NeurointerpError(f"compare: {missing}")
    workers = cluster.cores() if workers is None else workers
    with staged(out) as stage:
        if sources and is_study(sources):
            study = read_study(sources[0])
            refuse_beside(context)
            recs = recordings_of(study, Path(sources[0]).parent, mirror)
            tree = comparison.compare(
                recs, units=study.units, samples=study.samples, nulls=study.nulls, resamples=study.resamples,
                rate=study.rate, quality=study.quality, reliability=study.reliability,
                groups=study.labels("group"), subjects=study.labels("subject"), sensitivity=study.sensitivity,
                cache=cache or fetch.cache_folder() / "comparisons",
                workers=workers, seed=study.seed,
            )  # fmt: skip
        else:
            ids = sources or [entry.id for entry in manifest.datasets().values() if entry.embedded]
            recs = several(ids, mirror, modality or [], units, rate, bin_width)
            tree = comparison.compare(
                recs, units=max_units, samples=max_samples, nulls=nulls, resamples=resamples,
                rate=_rate(match_rate), quality=match_quality, reliability=reliability,  # type: ignore[arg-type]
                groups=_labels(group, "--group"), subjects=_labels(subject, "--subject"),
                sensitivity=sensitivity, cache=cache, workers=workers, seed=seed,
            )  # fmt: skip
        rows = report.table(tree)
        rows.to_csv(stage / "summary.csv", index=False, lineterminator="\n", float_format="%.6g")
        report.write(tree, stage / "report.html", command=shlex.join(["neurointerp", *sys.argv[1:]]))
        store.save(tree, stage / "results.zarr")
        deliver(stage, out)
    if as_json:
        echo(rows.to_json(orient="records"))
    else:
        print_summary(tree)
    log.info("report: %s", out / "report.html")


def _rate(text: str | None) -> float | Literal["slowest"] | None:
    if text is None or text == "slowest":
        return text  # type: ignore[return-value]
    try:
        return float(text)
    except ValueError:
        raise AnalysisError(f"compare: --match-rate is {text!r}: a number (Hz) or 'slowest' is needed") from None


def _labels(given: list[str] | None, option: str) -> dict[str, str] | None:
    pairs = [one.rpartition("=") for one in given or []]
    wrong = [one for one, (name, _, label) in zip(given or [], pairs, strict=True) if not name or not label]
    if wrong:
        raise AnalysisError(f"compare: {option} is {wrong[0]!r}: recording=label is needed")
    return {name: label for name, _, label in pairs} or None


def report(
    results: Annotated[Path, typer.Argument(help="The results.zarr of a comparison.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a finished comparison again."""
    from neurointerp import report as html
    from neurointerp import store

    try:
        tree = store.open(results)
    except StoreError as error:
        raise StoreError(f"{error}; give the results.zarr that compare wrote") from error
    if not hasattr(tree, "subtree"):
        raise AnalysisError(f"{results} is not a comparison: give the results.zarr that compare wrote")
    html.write(tree, out, command=shlex.join(["neurointerp", "report", str(results)]))
    echo(json.dumps({"report": str(out)}) if as_json else str(out))
