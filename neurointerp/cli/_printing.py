"""What commands print: data on stdout, as a table for people or as JSON."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import xarray as xr


def print_description(rec: xr.DataArray, as_json: bool) -> None:
    if as_json:
        about = {
            "name": rec.name, "dims": list(rec.dims), "sizes": {str(k): int(v) for k, v in rec.sizes.items()},
            "dtype": str(rec.dtype), "coords": sorted(map(str, rec.coords)), "attrs": rec.attrs,
        }  # fmt: skip
        return echo(json.dumps(about))
    from neurointerp.cli._describing import described

    rows = described(rec)
    width = max(len(what) for what, _ in rows)
    echo("\n".join(f"{what:{width}}  {value}" for what, value in rows))


def print_result(result: xr.Dataset, as_json: bool) -> None:
    """Print the variables of a result, with the value of those that are one number."""
    variables = {
        str(name): {"dims": list(map(str, v.dims)), "shape": list(v.shape), "value": v.item() if v.ndim == 0 else None}
        for name, v in result.data_vars.items()
    }
    if as_json:
        return echo(json.dumps({"attrs": result.attrs, "variables": variables}))
    rows = [{"variable": name, **about} for name, about in variables.items()]
    print_rows([{**row, "value": "" if row["value"] is None else row["value"]} for row in rows], False)


def print_tree(tree: xr.DataTree, as_json: bool) -> None:
    """Print what each node of a session or a comparison holds."""
    rows = [
        {"node": node.path, "variable": str(name), "dims": list(map(str, v.dims)), "shape": list(v.shape)}
        for node in tree.subtree
        for name, v in node.data_vars.items()
    ]
    print_rows(rows, as_json)


def print_next(path: Path | str | None, *commands: str) -> None:
    """Suggest what may come next, on stderr; `{}` in a command stands for the path."""
    log = logging.getLogger("neurointerp")
    lead = "next:" if path is None else f"wrote {path}; next:"
    target = "" if path is None else shlex.quote(str(path))
    log.info("%s %s", lead, "  or  ".join(f"neurointerp {command.format(target)}" for command in commands))


def print_rows(rows: list[dict[str, Any]], as_json: bool, hide: tuple[str, ...] = ()) -> None:
    if as_json:
        echo(json.dumps(rows))
        return
    if not rows:
        return echo("none")
    from rich.console import Console
    from rich.table import Column, Table

    columns = [key for key in rows[0] if key not in hide]
    table = Table(*(Column(key, no_wrap=key != columns[-1]) for key in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            *(" ".join(map(str, row[key])) if isinstance(row[key], list) else str(row[key]) for key in columns)
        )
    Console(width=None if sys.stdout.isatty() else 400, markup=False).print(table)


def print_summary(tree: xr.DataTree) -> None:
    """Print the table of figures: value and z-score of each recording."""
    summary = tree.to_dataset(inherit=False)
    labels = zip(summary["recording"].values, summary["kind"].values, strict=True)
    names = [f"{name} ({kind})" for name, kind in labels]
    rows = []
    for j, metric in enumerate(summary["metric"].values):
        values, z = summary["summary"].values[:, j, 0], summary["z_score"].values[:, j]
        cells = {name: f"{v:.3g} (z {s:.3g})" for name, v, s in zip(names, values, z, strict=True)}
        rows.append({"figure": str(metric), **cells})
    print_rows(rows, False)
    if unknown := [str(name) for name in summary["recording"].values[summary["kind"].values == "not stated"]]:
        logging.getLogger("neurointerp").info(
            "not stated whether real or simulated: %s; `neurointerp convert FILE OUT.zarr --system human` states it",
            ", ".join(unknown),
        )


def echo(text: str | None) -> None:
    typer.echo(text or "")
