"""Run the study of `docs/study.md` again and write its tables (`docs/studies`) and pictures (`docs/_static`).

    python docs/make_study.py [--mirror DIR] [--cache DIR]      or      make study MIRROR=DIR
    python docs/make_study.py --time                            what a 13th recording costs, printed

The main table is what `neurointerp compare docs/studies/modalities.yaml` writes; other draws of units and windows, and
the controls, are the same comparison with other seeds and of treated recordings.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import neurointerp as ni
from neurointerp import matrix, plot, report
from neurointerp.analyses import comparison
from neurointerp.plot.results import COLOURS

HERE = Path(__file__).parent
STUDIES, STATIC = HERE / "studies", HERE / "_static"
SEEDS = range(1, 8)
SHOWN = ("effective_dimension", "semi_nmf_explained_rank4", "tensor_fit_rank4", "connectivity_density", "modularity")
CONTROLLED = ("effective_dimension", "connectivity_density", "self_prediction")
PLAIN = {"resamples": 0}  # other draws and controls need no intervals of their own
TREATMENTS = ("differenced", "common signal removed")
KEYS = ["recording", "metric"]


def main() -> None:
    """Write everything the page holds, or measure what one more recording costs."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--mirror")
    options.add_argument("--cache", default=str(Path(tempfile.gettempdir()) / "neurointerp-study"))
    options.add_argument("--time", action="store_true")
    given = options.parse_args()
    study = yaml.safe_load((STUDIES / "modalities.yaml").read_text("utf-8"))
    if given.time:
        measure(study, given.mirror)
        return
    tree = run("modalities", given, STUDIES / "modalities.csv")
    groups(run("scales", given, None))
    recs = {name: load(one["source"], given.mirror).rename(name) for name, one in study["recordings"].items()}
    seeds = other_draws(recs, study, tree, given.cache)
    controls = controlled(recs, study, tree, given.cache)
    write_table(tree, seeds, controls)
    draw_figures(tree, seeds)
    draw_controls(tree, controls)


def run(name, given, table) -> xr.DataTree:
    """Run the command on a study and keep its table."""
    with tempfile.TemporaryDirectory() as folder:
        command(STUDIES / f"{name}.yaml", given.mirror, given.cache, Path(folder) / "out")
        if table is not None:
            shutil.copy(Path(folder) / "out" / "summary.csv", table)
        return ni.open(Path(folder) / "out" / "results.zarr").load()


def command(study, mirror, cache, out) -> None:
    """Call `neurointerp compare` as a user does."""
    words = ["compare", str(study), "--cache", str(cache), "--out", str(out), *(["--mirror", mirror] if mirror else [])]
    subprocess.run([sys.executable, "-m", "neurointerp", *words], check=True, stdout=subprocess.DEVNULL)


def load(source, mirror) -> xr.DataArray:
    """Load `id` or `id:item`."""
    name, _, item = source.partition(":")
    return ni.load(name, item or None, mirror=mirror)


def groups(tree) -> None:
    """Keep the tests between the two groups of `scales.yaml`."""
    held = tree.to_dataset(inherit=False)
    means = held["group_mean"].to_pandas().T
    tests = held[["group_statistic", "group_p", "group_q"]].to_dataframe()[["group_statistic", "group_p", "group_q"]]
    write(means.join(tests).reset_index(), "scales")


def other_draws(recs, study, tree, cache) -> pd.DataFrame:
    """Give the least and greatest of each figure over eight draws of window, units and random starts."""
    tables = [report.table(tree)]
    sizes = {key: study[key] for key in ("units", "samples")} | PLAIN
    tables += [report.table(comparison.compare(recs, **sizes, nulls=2, seed=seed, cache=cache)) for seed in SEEDS]
    drawn = pd.concat(tables).groupby(KEYS, sort=False)["data"].agg(["min", "max", "mean", "std"]).reset_index()
    write(drawn, "modalities_seeds")
    return drawn


def controlled(recs, study, tree, cache) -> pd.DataFrame:
    """Give the figures of the recordings as they are, of their differences, and without what all units share."""
    options = {key: study[key] for key in ("units", "samples", "nulls", "seed")} | PLAIN
    tables = [report.table(tree).assign(control="as recorded")]
    for name, treat in zip(TREATMENTS, (differenced, without_common), strict=True):
        treated = {key: treat(rec) for key, rec in recs.items()}
        tables.append(report.table(comparison.compare(treated, **options, cache=cache)).assign(control=name))
    found = pd.concat(tables)
    found = found[found.metric.isin(CONTROLLED)][["control", *KEYS, "data", "null_mean", "null_sd", "z_score"]]
    write(found, "modalities_controls")
    return found


def differenced(rec: xr.DataArray) -> xr.DataArray:
    """Take the differences of neighbouring samples within segments: what is slow is gone."""
    values = rec.values.astype(float)
    pieces = [rec.isel(time=slice(s.start + 1, s.stop)) for s in matrix.stretches(rec) if s.stop - s.start > 1]
    steps = [np.diff(values[s], axis=0) for s in matrix.stretches(rec) if s.stop - s.start > 1]
    kept = xr.concat(pieces, "time") if len(pieces) > 1 else pieces[0]
    return ni.recording(
        np.concatenate(steps), modality=rec.attrs["modality"], units=rec.attrs["units"], name=rec.name,
        unit=list(rec["unit"].values), time=("time", kept["time"].values, dict(rec["time"].attrs)),
        coords={"segment": ("time", kept["segment"].values)} if "segment" in kept.coords else None,
        attrs={key: rec.attrs[key] for key in ("system",) if key in rec.attrs},
    )  # fmt: skip


def without_common(rec: xr.DataArray) -> xr.DataArray:
    """Take the mean over units of z-scored activity off every unit: one reference or global signal is gone."""
    values = rec.values.astype(float)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    scaled[:, spread > 0] -= scaled[:, spread > 0].mean(axis=1, keepdims=True)
    return rec.copy(data=scaled).assign_attrs(units="1")


def write_table(tree, seeds, controls) -> None:
    """Write the table of the page from the tables beside it."""
    main = report.table(tree).set_index(KEYS)
    drawn, treated = seeds.set_index(KEYS), controls.set_index(["control", *KEYS])
    lines = ["| recording | modality | effective dimension | null | over draws | of differences | null | without the "
             "common signal | null | pairs above 0.3 |", "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in tree["recording"].values:
        own, spread = main.loc[(name, "effective_dimension")], drawn.loc[(name, "effective_dimension")]
        parts = [treated.loc[(control, name, "effective_dimension")] for control in TREATMENTS]
        cells = [name, f"{own.modality}, {own.kind}", f"{own.data:.1f}", beside(own),
                 f"{spread['min']:.1f} to {spread['max']:.1f}"]  # fmt: skip
        for part in parts:
            cells += [f"{part.data:.1f}", beside(part)]
        lines.append("| " + " | ".join([*cells, f"{main.loc[(name, 'connectivity_density')].data:.2f}"]) + " |")
    (STUDIES / "table.md").write_text("\n".join(lines) + "\n", "utf-8")


def beside(row) -> str:
    """Give the mean and standard deviation of a null."""
    return f"{row.null_mean:.1f} (sd {row.null_sd:.1f})"


def write(table: pd.DataFrame, name: str) -> None:
    """Write a table as the command does."""
    table.to_csv(STUDIES / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")


def draw_figures(tree, seeds) -> None:
    """Draw five figures of every recording, coloured by modality, with their nulls and the spread over draws."""
    summary = tree.to_dataset(inherit=False).sel(metric=list(SHOWN))
    summary = summary.drop_vars("interval", errors="ignore")  # the spread over draws is drawn instead
    figure = Figure(figsize=(12, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    plot.figure_strips(xr.DataTree(summary), figure)
    kinds = list(dict.fromkeys(summary["modality"].values))
    colours = [COLOURS[kinds.index(kind) % len(COLOURS)] for kind in summary["modality"].values]
    for panel, metric in zip(figure.axes, SHOWN, strict=True):
        rows = seeds[seeds.metric == metric].set_index("recording").loc[list(summary["recording"].values)]
        for line, colour in zip(panel.lines, colours, strict=True):
            line.set(color=colour, markersize=5)
        panel.hlines(range(len(rows)), rows["min"], rows["max"], color=colours, linewidth=1.2)
        panel.set_ylim(len(rows) - 0.5, -0.5)
    figure.axes[0].set_yticks(range(len(rows)), list(rows.index), fontsize=7)  # the simulated ones say so by name
    save(figure, "study_figures.png")


def draw_controls(tree, controls) -> None:
    """Draw the effective dimension and density of each recording under each control, beside the null of each."""
    names = list(tree["recording"].values)
    figure = Figure(figsize=(10, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2, sharey=True)
    offsets = dict(zip(("as recorded", *TREATMENTS), (-0.25, 0.0, 0.25), strict=True))
    for ax, metric in zip(axes, CONTROLLED[:2], strict=True):
        for colour, (control, offset) in zip(COLOURS, offsets.items(), strict=False):
            rows = controls[(controls.metric == metric) & (controls.control == control)]
            rows = rows.set_index("recording").loc[names]
            place = np.arange(len(names)) + offset
            ax.hlines(place, rows.null_mean - 2 * rows.null_sd, rows.null_mean + 2 * rows.null_sd, color="#bbbbbb",
                      linewidth=3)  # fmt: skip
            ax.plot(rows.data, place, "o", color=colour, markersize=4, label=control)
        ax.set_title(metric.replace("_", " "), fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    axes[1].legend(fontsize=7, frameon=False)
    save(figure, "study_controls.png")


def save(figure, name) -> None:
    """Write a picture without a stamp of what drew it."""
    figure.savefig(STATIC / name, metadata={"Software": None}, pil_kwargs={"optimize": True})


def measure(study, mirror) -> None:
    """Print what the command takes on twelve recordings, on the same again, with one more, and on all again."""
    names = list(study["recordings"])
    with tempfile.TemporaryDirectory() as folder:
        runs = {"twelve, nothing kept": names[:12], "the same again": names[:12], "with a thirteenth": names[:13],
                "the same thirteen again": names[:13]}  # fmt: skip
        for label, some in runs.items():
            part = {**study, "recordings": {name: study["recordings"][name] for name in some}}
            path = Path(folder) / "part.yaml"
            path.write_text(yaml.safe_dump(part, sort_keys=False), "utf-8")
            wall, used = time.perf_counter(), cpu()
            command(path, mirror, Path(folder) / "kept", Path(folder) / "out")
            print(f"{label}: {cpu() - used:.1f} s of the processor, {time.perf_counter() - wall:.1f} s", flush=True)


def cpu() -> float:
    """Give the processor time of the commands so far."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
