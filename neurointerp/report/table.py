"""A comparison as one tidy table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray as xr

from neurointerp.report.overview import interval

if TYPE_CHECKING:
    import pandas as pd


def table(comparison: xr.DataTree) -> pd.DataFrame:
    """Give the summary of a comparison as a table, one row per recording and figure.

    Parameters
    ----------
    comparison
        What `comparison.compare` gave.

    Returns
    -------
    pandas.DataFrame
        Columns recording, modality, kind (real, simulated, not stated), family, metric, unit, data, low and high (ends
        of its interval, missing where there is none), null_mean, null_sd, z_score, status.
    """
    import pandas as pd

    summary = comparison.to_dataset(inherit=False)
    rows = []
    for i, name in enumerate(summary["recording"].values):
        for j, metric in enumerate(summary["metric"].values):
            cell = summary.isel(recording=i, metric=j)
            unit = str(cell["unit_of_metric"].item())
            low, high = interval(summary, i, j) or (float("nan"), float("nan"))
            rows.append({
                "recording": name,
                "modality": cell["modality"].item(),
                "kind": cell["kind"].item(),
                "family": cell["family"].item(),
                "metric": metric,
                "unit": cell["clock"].item() if unit == "clock" else unit,
                "data": float(cell["summary"].sel(arm="data")),
                "low": low,
                "high": high,
                "null_mean": float(cell["summary"].sel(arm="null")),
                "null_sd": float(cell["null_sd"]),
                "z_score": float(cell["z_score"]),
                "status": cell["status"].item(),
            })  # fmt: skip
    return pd.DataFrame(rows)
