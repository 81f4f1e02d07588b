"""Calcium of one thermosensory neuron on a temperature ramp: Bryant et al. 2022 (Zeiss ZEN tables)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.recordings import add_history, recording, session

ABOUT = {"citation": "Bryant AS, et al. (2022) Curr Biol 32:2206"}
CHANNELS = ("CFP", "YFP")
REGIONS = ("soma", "background")


def load(path: files.PathLike) -> xr.DataArray:
    """Read the two channels of a neuron and of the background beside it.

    Parameters
    ----------
    path
        A ZEN export (`.csv`): a line of names, a line of units, then two rows per frame, soma before background.

    Returns
    -------
    xarray.DataArray
        (time, unit), mean intensities as stored, units `"1"`: `soma_CFP`, `soma_YFP`, `background_CFP`,
        `background_YFP`, with `region` and `channel`. The clock is the acquisition time of the first channel,
        s since the first frame; it is not regular. No background is subtracted and no ratio taken. `history` has
        the start (as written, without a time zone) and the largest lag between the channels.

    Raises
    ------
    LoaderError
        When the table is not of this layout or a frame has not two rows.

    Notes
    -----
    The neuron and strain are in the folder's name (`IK890`: AFD), not in the file.
    """
    return _recording(*_table(path))


def load_session(path: files.PathLike) -> xr.DataTree:
    """Read one table as a session that holds the recording `calcium`; parameters and errors as for `load`."""
    rec = load(path)
    return session({"calcium": rec}, attrs={**ABOUT, "source": rec.attrs["source"]})


def _table(path: files.PathLike) -> tuple[Path, Any]:
    import pandas as pd

    found = files.existing(path)
    with files.reading(found, "a ZEN table"):
        table = pd.read_csv(found, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    table = table.rename(columns=lambda name: str(name).partition("::")[0])
    needed = [f"Channel_{number}_{name}" for number, name in enumerate(CHANNELS, start=1)]
    needed = [f"{name}.{what}" for name in needed for what in ("Intensity Mean Value", "Image Acquisition Time")]
    missing = [name for name in needed if name not in table.columns]
    if missing or len(table.columns) < 2:
        raise LoaderError(f"{found}: no column {missing[0]}; it has {', '.join(table.columns)}")
    rows = table[table.iloc[:, 1] != ""]
    frames = rows.iloc[:, 1].to_numpy().reshape(-1, 2) if len(rows) % 2 == 0 else np.empty((0, 2))
    if not len(frames) or (frames[:, 0] != frames[:, 1]).any():
        raise LoaderError(f"{found}: two rows per frame (soma, background) are needed, found {len(rows)} rows")
    return found, rows


def _recording(path: Path, rows: Any) -> xr.DataArray:
    with files.reading(path, "a ZEN table"):
        channels = [f"Channel_{number}_{name}" for number, name in enumerate(CHANNELS, start=1)]
        values = np.stack([rows[f"{name}.Intensity Mean Value"].to_numpy().astype(np.float64) for name in channels], -1)
        texts = [rows[f"{name}.Image Acquisition Time"].to_numpy()[::2] for name in channels]
        stamps = [text.astype("datetime64[ns]") for text in texts]
        time = (stamps[0] - stamps[0][0]) / np.timedelta64(1, "s")
        lag = np.abs((stamps[1] - stamps[0]) / np.timedelta64(1, "s")).max()
        pairs = [(region, channel) for region in REGIONS for channel in CHANNELS]
        rec = recording(
            values.reshape(len(time), 4), modality="calcium", units="1", time=time, name="calcium",
            unit=[f"{region}_{channel}" for region, channel in pairs],
            coords={
                "region": ("unit", [region for region, _ in pairs]),
                "channel": ("unit", [channel for _, channel in pairs]),
            },
            attrs={**ABOUT, "source": path.name, "session": path.stem},
        )  # fmt: skip
    return add_history(rec, "loaders.datasets.bryant2022.load", start=str(texts[0][0]), largest_channel_lag=float(lag))
