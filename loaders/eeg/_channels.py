"""Which channels a recording takes, and what is known of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders.eeg._opened import FRAMES, PREFERRED, Opened

MAGNETIC = ("mag", "grad", "ref_meg", "ref_meg_grad")
REST_OF_LOC = range(3, 12)
"""Numbers of MNE's channel location after x, y, z: the axes of an MEG coil, the reference of an electrode."""


def chosen(opened: Sequence[Opened], modality: str | None) -> tuple[Opened, str]:
    """Give the source and the group that `load` reads."""
    wanted = PREFERRED if modality is None else ("meg", "meg_grad") if modality == "meg" else (modality,)
    for name in wanted:
        for one in opened:
            if name in one.groups():
                return one, name
    for one in opened:
        if modality in (None, "eeg") and one.foreign:
            _refuse_foreign(one)
    asked = "EEG, MEG or iEEG" if modality is None else repr(modality)
    groups = dict.fromkeys(name for one in opened for name in one.groups())
    held = ", ".join(groups) or ", ".join(sorted({kind for one in opened for kind in one.kinds})) or "no channels"
    raise LoaderError(f"{opened[0].label}: no channels of {asked}; it holds {held}")


def _refuse_foreign(opened: Opened) -> None:
    units = ", ".join(sorted({repr(unit) for unit in opened.foreign.values()}))
    raise LoaderError(
        f"{opened.label}: its channels are in {units}, no voltage; pass units={{'eeg': 'uV'}} if they are"
    )


def picked(opened: Opened, group: str, picks: str | Sequence[str] | None, strip: str) -> list[int]:
    """Give the channel indices of a group, cut to the names or types asked for, in the order asked for."""
    channels = opened.groups()[group]
    if picks is None:
        return channels
    names, kinds = opened.names, opened.kinds
    asked = [picks] if isinstance(picks, str) else list(picks)
    found: list[int] = []
    for one in asked:
        if not isinstance(one, str):
            raise LoaderError(f"picks= takes names or types of channels, found {one!r}")
        here = [i for i in channels if one in (names[i], stripped(names[i], strip))]
        here = here or [i for i in channels if one in (kinds[i], group)]
        if not here:
            near = difflib.get_close_matches(one, [names[i] for i in channels], n=3)
            meant = f"; did you mean {', '.join(near)}?" if near else f", such as {names[channels[0]]!r}"
            raise LoaderError(f"{opened.label}: picks= names {one!r}, which is none of its {group} channels{meant}")
        found += [i for i in here if i not in found]
    if not found:
        raise LoaderError(f"{opened.label}: picks= is empty; leave it out to read all {len(channels)} channels")
    return found


def recording_of_picks(opened: Sequence[Opened], picks: str | Sequence[str] | None, strip: str) -> str | None:
    """Give the recording that holds the first channel picked: what is asked for by name needs no modality."""
    first = picks if isinstance(picks, str) else next(iter(picks or []), None)
    recordings = named(opened) if first else {}
    for name in sorted(recordings, key=lambda name: recordings[name][1] not in PREFERRED):
        one, group = recordings[name]
        names, kinds = one.names, one.kinds
        if any(first in (names[i], stripped(names[i], strip), kinds[i], name) for i in one.groups()[group]):
            return name
    return None


def stripped(name: str, strip: str) -> str:
    """Give a channel name without what the caller takes off its end."""
    return name.rstrip(strip) if strip else name


def coords(opened: Opened, channels: Sequence[int]) -> dict[str, Any]:
    """Give the coordinates on `unit`: type, badness, index in the file, position, and what `to_mne` needs."""
    kinds, bads = opened.kinds, set(opened.info["bads"])
    described = [opened.info["chs"][index] for index in channels]
    found: dict[str, Any] = {
        "channel_type": ("unit", [kinds[index] for index in channels]),
        "is_bad": ("unit", np.array([channel["ch_name"] in bads for channel in described])),
        "index": ("unit", np.asarray(channels, dtype=np.int64)),
    }
    loc = np.array([channel["loc"] for channel in described], dtype=np.float64).reshape(-1, 12)
    rest = loc[:, REST_OF_LOC.start :]
    if (np.isfinite(rest) & (rest != 0)).any():
        found |= {f"loc{i}": ("unit", loc[:, i]) for i in REST_OF_LOC}
    if kinds[channels[0]] in MAGNETIC:
        found["coil_type"] = ("unit", np.array([int(channel["coil_type"]) for channel in described], dtype=np.int64))
    places = loc[:, :3].copy()
    places[(places == 0).all(axis=1)] = np.nan  # FIF writes zeros where it knows no position
    frames = {int(channel["coord_frame"]) for channel in described}
    if np.isfinite(places).all(axis=1).any() and len(frames) == 1:
        about = {"units": "m", "frame": FRAMES.get(frames.pop(), "unknown")}
        found |= {axis: ("unit", places[:, i], about) for i, axis in enumerate("xyz")}
    return found


def left_out(opened: Sequence[Opened], taken: Opened, group: str, channels: Sequence[int]) -> dict[str, list[str]]:
    """Give the channels that a recording leaves, by the recording that holds them."""
    left: dict[str, list[str]] = {}
    for one in opened:
        names, groups = one.names, one.groups()
        used: set[int] = set()
        for name, indices in groups.items():
            used |= set(indices)
            rest = [names[i] for i in indices if not (one is taken and name == group and i in channels)]
            if rest:
                left.setdefault(recording_name(opened, one, name), []).extend(rest)
        others = [channel for index, channel in enumerate(names) if index not in used]
        if others:
            left.setdefault("other", []).extend(others)
    return left


def recording_name(opened: Sequence[Opened], one: Opened, group: str) -> str:
    """Name a recording after its group; slower channels of the same group have their rate in the name."""
    first = next(other for other in opened if group in other.groups())
    return group if one is first else f"{group}_{one.rate:g}hz"


def named(opened: Sequence[Opened]) -> Mapping[str, tuple[Opened, str]]:
    """Give every recording of the source by name."""
    return {recording_name(opened, one, group): (one, group) for one in opened for group in one.groups()}
