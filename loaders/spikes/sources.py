"""Spike trains from any source: which reader takes it, and counts or a session from what it found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.spikes import _neo, _nwb, _objects, _phy, _steps, _tables
from neurointerp.loaders.spikes._trains import Trains, counts, tree

TEXT = ("time_units", "sampling_rate")
FORMATS = (
    "{unit: times}, an ALF or phy folder, .npz, .csv, .tsv, .dat, .txt, .nwb, a file or object of neo's, an NWBFile, "
    "a SpikeInterface sorting, a pynapple TsGroup, a Brian2 SpikeMonitor or SpikeGeneratorGroup, events of a NEST "
    "spike recorder, or a tensor (step, batch, unit)"
)


def load(
    source: Any,
    *,
    bin_width: float,
    start: float | None = None,
    stop: float | None = None,
    time_units: str | None = None,
    sampling_rate: float | None = None,
    columns: Mapping[str, str] | None = None,
    segment: int | None = None,
    reader: str | None = None,
) -> xr.DataArray:
    """Read spike times and count them in bins.

    Parameters
    ----------
    source
        A mapping from unit to spike times; an ALF folder (`spikes.times.npy`, `spikes.clusters.npy`); a phy or
        Kilosort folder (`spike_times.npy`, `spike_clusters.npy`); an `.npz` file with one array of times per unit;
        a table with one spike per row (`.csv`; `.tsv`, `.dat`: tabs); a text file with one time per line (`.txt`);
        an NWB file or `pynwb.NWBFile` with a units table; any other file or folder that neo reads; a neo SpikeTrain,
        list of them, Segment or Block; a SpikeInterface sorting; a pynapple TsGroup; a Brian2 SpikeMonitor or
        SpikeGeneratorGroup; the events of a NEST spike recorder (`times` in ms, `senders`); a tensor or array of spikes
        (step, unit) or (step, batch, unit), as snnTorch and Norse give it.
    bin_width
        Width of a bin (s); in steps for a tensor without `sampling_rate`.
    start, stop
        Interval `[start, stop)` (s) to bin; default from 0 to the end of the bin with the last spike. `stop` is
        rounded up to whole bins (`history` says to what). In steps for a tensor without `sampling_rate`, where bins
        that the steps do not fill are left out.
    time_units
        Units of the times of a mapping or `.npz` (default `"s"`), and of a table or text file, which must be given:
        `"s"`, `"ms"`, `"us"` or `"samples"` (whole numbers, with `sampling_rate`).
    sampling_rate
        Samples per second (Hz): of times in samples, of a phy folder without `params.py` (which is code, and only
        read as text), steps per second of a tensor.
    columns
        The columns of a table: `{"time": ..., "unit": ...}`.
    segment
        The segment of a neo file or sorting that holds several, each with its own clock; the interval of a TsGroup's
        time support.
    reader
        Name of neo's class (`"BlackrockIO"`, ...) where the suffix does not tell it.

    Returns
    -------
    xarray.DataArray
        (time, unit), int64 counts, units `"1"`; `time` is the left edge of each bin, and a spike on an edge belongs
        to the bin that begins there. A tensor with a batch gives (trial, time, unit). Units without a spike stay
        as columns of zeros. What the source knows of its units (ids, groups, metrics, positions in m, template
        shapes) are coordinates. `history` counts the spikes outside the interval: inside and outside add up to all;
        and the spikes that jumped back in time, which are sorted.

    Raises
    ------
    LoaderError
        When files are missing, cannot be read or do not fit together, labels repeat, a time is not finite, there is
        no spike and no `stop`, or an argument has no meaning for the source.
    AlignmentError
        When the width or the interval is empty.

    Notes
    -----
    ALF: International Brain Laboratory, ALF specification. NWB: Ruebel O, et al. (2022) eLife 11:e78362. Kilosort:
    Pachitariu M, et al. (2024) Nat Methods 21:914. neo: Garcia S, et al. (2014) Front Neuroinform 8:10. Nothing is
    ever unpickled or run.

    Examples
    --------
    >>> rec = load({"a": [0.01, 0.02, 0.31], "b": [0.15]}, bin_width=0.1)
    >>> rec.sel(unit="a").values
    array([2, 0, 0, 1])
    """
    options = _given(
        time_units=time_units, sampling_rate=sampling_rate, columns=columns, segment=segment, reader=reader
    )
    if _is_tensor(source):
        _only(options, ("sampling_rate",), "a tensor of spikes")
        return _steps.steps_recording(source, bin_width, start, stop, sampling_rate)
    return counts(_read(source, options), bin_width, start, stop)


def load_session(
    source: Any,
    *,
    bin_width: float | None = None,
    start: float | None = None,
    stop: float | None = None,
    time_units: str | None = None,
    sampling_rate: float | None = None,
    columns: Mapping[str, str] | None = None,
    segment: int | None = None,
    reader: str | None = None,
    signals: Sequence[str] = (),
) -> xr.DataTree:
    """Read spike times as counts and, beside them, the times themselves.

    Parameters
    ----------
    source, bin_width, start, stop, time_units, sampling_rate, columns, segment, reader
        As for `load`; an NWB file without units, read for its `signals`, needs no `bin_width`.
    signals
        Time series of an NWB file to read as well, by name (`"acquisition/ElectricalSeries"`); the names are those
        of the file's groups. `conversion`, `channel_conversion` and `offset` are applied, once.

    Returns
    -------
    xarray.DataTree
        Recording `spikes`; `structure/spike_times` (spike), s, ordered by unit, with the coordinate `spike_unit`
        and, where the source counts samples, `spike_sample` (int64) and the attr `sampling_rate`; events of the
        source where it has them (`events.times.npy`, NWB trials, neo events and epochs). phy: `structure/templates`
        (unit, template_sample, channel). NWB: `structure/electrodes` (unit, electrode), `structure/obs_intervals`,
        `structure/waveform_mean`, and the attrs `session_start_time` and `timestamps_reference_time` (which time 0
        is), as the file writes them.

    Raises
    ------
    LoaderError, AlignmentError
        As for `load`.

    Examples
    --------
    >>> tree = load_session({"a": [0.3, 0.1], "b": [0.2]}, bin_width=0.1)
    >>> tree["structure/spike_times/structure"].values
    array([0.1, 0.3, 0.2])
    """
    options = _given(
        time_units=time_units, sampling_rate=sampling_rate, columns=columns, segment=segment, reader=reader
    )
    options |= {"signals": (signals,) if isinstance(signals, str) else tuple(signals)} if signals else {}
    if _is_tensor(source):
        _only(options, ("sampling_rate",), "a tensor of spikes")
        return _steps.steps_session(source, _needed(bin_width), start, stop, sampling_rate)
    found = _read(source, options)
    return tree(found, bin_width if found.only_signals() else _needed(bin_width), start, stop)


def _read(source: Any, options: dict[str, Any]) -> Trains:
    read, takes, what = _file_reader(source, options) if _is_path(source) else _object_reader(source)
    _only(options, takes, what)
    return read(source if not _is_path(source) or what == "NWB" else files.existing(source), **options)


def _file_reader(source: Any, options: dict[str, Any]) -> tuple[Callable[..., Trains], tuple[str, ...], str]:
    path = files.existing(source)
    suffix = path.suffix.lower()
    if "reader" in options:
        return _neo.read_neo_file, ("reader", "segment"), "a file read with neo"
    if path.is_dir():
        if (path / "spike_times.npy").is_file():
            return _phy.read_phy, ("sampling_rate",), "a phy folder"
        if any(path.glob("spikes.*")) or not any(path.iterdir()):
            return _tables.read_alf, (), "an ALF folder"
        return _neo.read_neo_file, ("reader", "segment"), "a folder read with neo"
    if suffix == ".npz":
        return _tables.read_npz, TEXT, "an .npz file"
    if suffix == ".nwb":
        return _nwb.read_nwb, ("signals",), "NWB"
    if suffix in _tables.SEPARATORS:
        return _tables.read_table, (*TEXT, "columns"), "a table of spikes"
    if suffix == ".txt":
        return _tables.read_text, TEXT, "a text file of spike times"
    return _neo.read_neo_file, ("reader", "segment"), "a file read with neo"


def _object_reader(source: Any) -> tuple[Callable[..., Trains], tuple[str, ...], str]:
    if _objects.is_nest(source):
        return _objects.read_nest, (), "a NEST spike recorder"
    if _objects.is_tsgroup(source):  # itself a mapping
        return _objects.read_tsgroup, ("segment",), "a pynapple TsGroup"
    if isinstance(source, Mapping):
        return _tables.read_mapping, TEXT, "a mapping"
    if _neo.is_neo(source):
        return _neo.read_neo, ("segment",), "an object of neo's"
    if _objects.is_sorting(source):
        return _objects.read_sorting, ("segment",), "a SpikeInterface sorting"
    if _objects.is_brian2_monitor(source):
        return _objects.read_brian2_monitor, (), "a Brian2 SpikeMonitor"
    if _objects.is_brian2_generator(source):
        return _objects.read_brian2_generator, (), "a Brian2 SpikeGeneratorGroup"
    if type(source).__module__.partition(".")[0] == "pynwb":
        return _nwb.read_nwb, ("signals",), "NWB"
    raise LoaderError(f"{type(source).__name__} is no source of spikes; one of these is needed: {FORMATS}")


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _only(options: Mapping[str, Any], takes: tuple[str, ...], what: str) -> None:
    wrong = [name for name in options if name not in takes]
    if wrong:
        raise LoaderError(f"{wrong[0]}= has no meaning for {what}, which takes {', '.join(takes) or 'none of these'}")


def _needed(bin_width: float | None) -> float:
    if bin_width is None:
        raise LoaderError("spikes are counted in bins: pass bin_width= (s)")
    return bin_width


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _is_tensor(source: Any) -> bool:
    return not _is_path(source) and not _neo.is_neo(source) and _steps.is_steps(source)
