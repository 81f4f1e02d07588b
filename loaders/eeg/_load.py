"""Reading: `load` and `load_session`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurointerp.loaders.eeg import _channels, _clock
from neurointerp.loaders.eeg._opened import GROUPS, Opened
from neurointerp.loaders.eeg._sources import opened_sources
from neurointerp.loaders.eeg._trials import trial_labels
from neurointerp.loaders.eeg._units import doubts, refuse_unknown, with_units
from neurointerp.loaders.eeg._values import sample_of, values_of
from neurointerp.recordings import add_history, recording, session

Picks = str | Sequence[str] | None
Units = str | Mapping[str, str] | None


def load(
    source: Any,
    *,
    modality: str | None = None,
    picks: Picks = None,
    units: Units = None,
    strip: str = "",
    entities: Mapping[str, str] | None = None,
    info: Any = None,
) -> xr.DataArray:
    """Read an EEG, MEG or intracranial EEG recording.

    Parameters
    ----------
    source
        A file or folder that MNE reads: raw (EDF, EDF+, BDF, GDF, BrainVision, EEGLAB, FIF, CTF, KIT, Curry, ...),
        epochs or averages (FIF, EEGLAB, FieldTrip `.mat`), or the root of a BIDS dataset. Or an `mne.io.Raw`, an
        `mne.Epochs`, an `mne.Evoked`, or a list of Evoked.
    modality
        `"eeg"`, `"meg"` or `"ieeg"`, or any recording that `load_session` gives (`"meg_grad"`, `"eog"`, ...).
        Default: that of the first of `picks`, or the first of eeg, meg, ieeg that the file holds. `"meg"` means
        magnetometers where there are any: gradiometers have another unit and are a recording of their own.
    picks
        Names or types of channels to read, in this order; default all of the modality.
    units
        Unit of the channels whose unit the file does not state, such as `"uV"`; the others keep their own. A
        mapping of channel names or types, such as `{"eeg": "uV"}`, corrects a unit that is stated wrongly.
    strip
        Characters to take off the end of every channel name: `"."` turns PhysioNet's `Oz..` into `Oz`.
    entities
        Of a BIDS dataset, the entities that name one recording: `{"subject": "01", "task": "rest"}`.
    info
        Of a FieldTrip file, the `mne.Info` of the original recording.

    Returns
    -------
    xarray.DataArray
        (time, unit), float64 in V, T or T/m; the clock starts at 0 s at the first sample. Epochs, and several
        averages, are (trial, time, unit) with `condition` along `trial`; their clock is the epoch's own. Files are
        read when values are used, and only the part that is used. Along `unit`: `channel_type`, `is_bad`, `index`
        in the file, and `x`, `y`, `z` (m, with a `frame` attr) where positions are known. `segment` counts the
        stretches between interruptions: the gaps of EDF+D, the skips of FIF (with their true times), and places
        that the file marks. The attr `annotations` has what MNE knows as annotations, `measured_at` the time of
        the first sample, without a zone where the file states none. Channels left out, units the caller gave,
        and what MNE warned of, are in `history`.

    Raises
    ------
    LoaderError
        When the file cannot be read or is shorter than its header says, holds nothing of the modality, states no
        usable unit, or swings by more than 1 V (1 mT, 0.1 T/m).

    Notes
    -----
    The format is MNE's work [1]_. Headers of EDF, BDF, BrainVision, GDF and Curry are read here too, for what MNE
    passes over: a missing tail, units that it does not know and takes for volts, gaps between the records of EDF+D
    (which it closes), and channels sampled more slowly than others (which it stretches): each rate is a recording,
    of GDF the fastest alone. Events of GDF count on the clock of their table, averages of FieldTrip on their own:
    MNE takes the rate of the signals, and 0 s.

    References
    ----------
    .. [1] Gramfort A, et al. (2013). MEG and EEG data analysis with MNE-Python. Front Neurosci 7:267.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["Fz", "Oz"], sfreq=100.0, ch_types="eeg")
    >>> raw = mne.io.RawArray(np.zeros((2, 50)), info, verbose="error")
    >>> rec = load(raw)
    >>> rec.sizes["time"], rec.attrs["units"], rec.attrs["sampling_rate"]
    (50, 'V', 100.0)
    """
    sources = with_units(opened_sources(source, entities=entities, info=info), units)
    one, group = _chosen(sources, modality or _channels.recording_of_picks(sources, picks, strip))
    return _recording(sources, one, group, picks, strip)


def load_session(
    source: Any,
    *,
    modality: str | None = None,
    units: Units = None,
    strip: str = "",
    entities: Mapping[str, str] | None = None,
    info: Any = None,
) -> xr.DataTree:
    """Read a whole EEG or MEG file: every kind of channel as a recording, and its events.

    Parameters
    ----------
    source, units, strip, entities, info
        As for `load`.
    modality
        The recording to put first; default as for `load`.

    Returns
    -------
    xarray.DataTree
        Recordings `eeg`, `meg` (magnetometers), `meg_grad`, `ieeg`, `eog`, `ecg`, `emg`, `stim`, ... as the file
        has them; channels of a lower rate apart, such as `eeg_1hz`. Events: `onset` (s from the first sample),
        `duration` (s), `trial_type`; of annotations, and of trigger channels, which are then read. Where triggers
        or channels are named there is a column `channel`. Epochs have their events on the dim `trial` instead.

    Raises
    ------
    LoaderError
        As for `load`.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["Fz", "STI"], sfreq=100.0, ch_types=["eeg", "stim"])
    >>> raw = mne.io.RawArray(np.zeros((2, 50)), info, verbose="error")
    >>> _ = raw.set_annotations(mne.Annotations(0.2, 0.1, "tone"))
    >>> tree = load_session(raw)
    >>> list(tree["recordings"]), tree["events/onset"].values
    (['eeg', 'stim'], array([0.2]))
    """
    sources = with_units(opened_sources(source, entities=entities, info=info), units)
    first, group = _chosen(sources, modality)
    named = _channels.named(sources)
    leading = _channels.recording_name(sources, first, group)
    order = [leading, *(name for name in named if name != leading)]
    recordings = {name: _recording(sources, *named[name], None, strip) for name in order}
    events = [one for one in sources if "stim" in one.groups()] or sources
    return session(recordings, events=_clock.events(events[0]), attrs=sources[0].about())


def _chosen(sources: Sequence[Opened], modality: str | None) -> tuple[Opened, str]:
    named = _channels.named(sources)
    if modality is not None and modality in named:
        return named[modality]
    return _channels.chosen(sources, modality)


def _recording(sources: Sequence[Opened], one: Opened, group: str, picks: Picks, strip: str) -> xr.DataArray:
    channels = _channels.picked(one, group, picks, strip)
    names = [one.names[index] for index in channels]
    refuse_unknown(one, names)
    modality, units, _ = GROUPS[group]
    scale = np.array([one.scale.get(name, 1.0) for name in names])
    kept, labels, attrs = _clocks(one)
    dims = ("trial", "time", "unit") if "trial" in labels else ("time", "unit")
    rec = recording(
        values_of(one.data, one.label, channels, scale, kept), modality=modality, units=units,
        sampling_rate=one.rate, time=labels.pop("time"), dims=dims,
        name=_channels.recording_name(sources, one, group),
        unit=[_channels.stripped(name, strip) for name in names],
        coords=_channels.coords(one, channels) | labels, attrs=one.about() | attrs,
    )  # fmt: skip
    odd = doubts(one, sample_of(rec), units, names) if modality in ("eeg", "meg", "ieeg") else []
    scaled = {name: factor for name, factor in zip(names, scale.tolist(), strict=True) if factor != 1}
    given = {name: one.given[name] for name in names if name in one.given}
    return add_history(
        rec, "loaders.eeg.load", modality=group,
        left_out=_channels.left_out(sources, one, group, channels), strip=strip,
        samples_skipped=0 if kept is None else one.data.n_times - kept.size, scaled_to_volts=scaled,
        warnings=[*one.said, *odd], **({"units_given": given} if given else {}),
        **({"projected": one.projected} if one.projected else {}),
    )  # fmt: skip


def _clocks(one: Opened) -> tuple[np.ndarray | None, dict[str, Any], dict[str, Any]]:
    """Give the samples kept, the labels along time and trial, and the attrs that go with them."""
    if not one.is_raw:
        return None, *trial_labels(one)
    kept, time, segment = _clock.clock(one)
    labels: dict[str, Any] = {"time": time}
    if segment is not None:
        labels["segment"] = ("time", segment)
    attrs: dict[str, Any] = {}
    found = _clock.annotated(one)
    if found:
        attrs["annotations"] = [
            {"onset": onset, "duration": duration, "description": text} | ({"channels": names} if names else {})
            for (onset, duration, text), names in zip(found, _clock.annotated_channels(one), strict=True)
        ]
    if one.data.first_samp:
        attrs["first_sample"] = int(one.data.first_samp)
    return kept, labels, attrs
