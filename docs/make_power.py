"""Measure how often `comparison.differences` is right and write `docs/studies/power.csv` and `power.md`.

    python docs/make_power.py [--sets 5]      or      make power POWER="--sets 5"

Cultures of cells are simulated whose truth is known: four recordings in a set, three of one kind of culture (good,
good again, poor) and one of another. Seeds are other ones than those on which sizes and bounds were chosen. What
was measured already is kept, so that more sets can be added. A slow test measures two points again.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neurointerp import synthetic
from neurointerp.analyses import comparison

STUDIES = Path(__file__).parent / "studies"
SIZES = ((10, 150), (16, 300), (30, 600))
RATE = 10.0
KIND = {"n_ensembles": 6}
OTHER = {"n_ensembles": 1, "ensemble_size": 50, "overlap": 0.0}
GOOD = {"sampling_rate": 2 * RATE, "n_samples": 2400, "noise": 0.05}
POOR = {"sampling_rate": RATE, "n_samples": 1200, "noise": 0.3, "keep": 30}
RECORDINGS = {"good": GOOD | KIND, "again": GOOD | KIND, "poor": POOR | KIND, "other": GOOD | OTHER}
BEYOND = "beyond what recording explains"
SAME = ("within chance", "within what recording explains")
QUESTIONS = {
    "one kind, recorded alike": ("good", "again", ("within chance",), "within chance"),
    "one kind, recorded well and poorly": ("good", "poor", SAME, "not beyond what recording explains"),
    "two kinds, recorded alike": ("good", "other", (BEYOND,), "beyond what recording explains"),
    "two kinds, recorded poorly and well": ("poor", "other", (BEYOND,), "beyond what recording explains"),
}
"""What is true of a pair of recordings, the pair, the verdicts that are right, and how the page calls these."""


def main() -> None:
    """Measure what is not there yet, one set and size after the other, and write the table."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--sets", type=int, default=5)
    given = options.parse_args()
    path = STUDIES / "power.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["units", "samples", "set"])
    for number in range(given.sets):
        for units, samples in SIZES:
            if not ((table.units == units) & (table.samples == samples) & (table.set == number)).any():
                table = pd.concat([table, verdicts(number, units, samples)], ignore_index=True)
                table = table.sort_values(["units", "set"], kind="stable", ignore_index=True)
                table.to_csv(path, index=False, lineterminator="\n", float_format="%.3f")
                print(f"set {number}, {units} cells, {samples} samples", flush=True)
    (STUDIES / "power.md").write_text(written(table), "utf-8")


def culture(seed, *, keep=60, **options):
    """Record some of the 60 cells of a culture, drawn at random."""
    rec = synthetic.calcium_ensembles(seed=seed, **options)["recordings/calcium_ensembles/recording"]
    return rec.isel(unit=np.sort(np.random.default_rng(seed).choice(60, keep, replace=False)))


def verdicts(number, units, samples) -> pd.DataFrame:
    """Compare the recordings of one set at one size, and give what is said of each pair, a row each."""
    recs = {name: culture(1000 + 4 * number + i, **RECORDINGS[name]) for i, name in enumerate(RECORDINGS)}
    sizes = {"units": units, "samples": samples, "rate": RATE, "seed": number}
    tree = comparison.compare(recs, nulls=2, resamples=20, **sizes)
    worse = comparison.sensitivity(recs, levels=[0.5], replicates=2, **sizes)  # few, to be quick
    found = comparison.differences(tree.assign(sensitivity=xr.DataTree(worse)))
    rows = []
    for question, (one, other, right, _) in QUESTIONS.items():
        pair = found.sel(recording=one, recording2=other)
        explained = np.fmin.reduce([
            *pair["excess_explained"].values,
            *found.sel(recording=other, recording2=one)["excess_explained"].values,
        ])  # fmt: skip
        verdict = str(pair["verdict"].item())
        rows.append({"units": units, "samples": samples, "set": number, "question": question, "verdict": verdict,
                     "right": verdict in right, "excess": pair["excess"].item(), "explained": explained})  # fmt: skip
    return pd.DataFrame(rows)


def written(table: pd.DataFrame) -> str:
    """Give the table of the page: of each question, how many verdicts were right, and what the others were."""
    sizes = list(table[["units", "samples"]].drop_duplicates().itertuples(index=False, name=None))
    heads = [f"{units} cells, {samples / RATE:g} s" for units, samples in sizes]
    lines = ["| truth | right is | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for question, (_, _, _, asked) in QUESTIONS.items():
        cells = []
        for units, samples in sizes:
            rows = table[(table.units == units) & (table.samples == samples) & (table.question == question)]
            cells.append(f"{int(rows.right.sum())} of {len(rows)}")
        lines.append(f"| {question} | {asked} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
