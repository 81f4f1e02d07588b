"""From a path or an object of MNE to what the loader works on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.eeg import _brainvision, _curry, _edf, _gdf
from neurointerp.loaders.eeg._opened import Opened, asking
from neurointerp.loaders.eeg._units import is_voltage
from neurointerp.units import factor

SIDECARS = (".json", ".tsv", ".eeg", ".vmrk", ".fdt", ".dat", ".tsv.gz")
"""Files beside a recording that have its name."""
PARTS = {".fdt": ".set", ".eeg": ".vhdr", ".vmrk": ".vhdr"}
"""Part of a recording -> the file beside it that stands for the whole."""
KIT = (".sqd", ".con")


def opened_sources(source: Any, *, entities: Mapping[str, str] | None, info: Any) -> list[Opened]:
    """Open a source: one object of MNE for each sampling rate that the file holds, the fastest first."""
    mne = files.library("mne", "eeg")
    if isinstance(source, mne.io.BaseRaw | mne.BaseEpochs | mne.Evoked):
        return [_object(source)]
    if isinstance(source, list | tuple) and source and all(isinstance(one, mne.Evoked) for one in source):
        return [Opened(_alike(list(source), "MNE Evoked"), "MNE Evoked", zoned=True)]
    if not isinstance(source, str | os.PathLike):
        raise LoaderError(f"a path or an mne.io.Raw is needed, found {type(source).__name__}")
    path = files.existing(source)
    if entities is not None or (path / "dataset_description.json").is_file():
        return _bids(path, entities or {})
    return _path(path, info)


def _object(source: Any) -> Opened:
    mne = files.library("mne", "eeg")
    names = [one for one in getattr(source, "filenames", None) or [getattr(source, "filename", None)] if one]
    kind = "Raw" if hasattr(source, "first_samp") else "Evoked" if isinstance(source, mne.Evoked) else "Epochs"
    label = Path(str(names[0])).name if names else f"MNE {kind}"
    if kind == "Evoked":
        return Opened([source], label, zoned=True)
    if kind == "Epochs":
        if not getattr(source, "_bad_dropped", True):
            source = source.copy().load_data()  # only then is it known which epochs there are
        return Opened(source, label, zoned=True)
    if type(source).__name__ in ("RawEDF", "RawBDF"):
        return _edf_object(source, label, names)
    path = Path(str(names[0])) if names else None
    if type(source).__name__ == "RawGDF" and path is not None and path.is_file():
        return _with_gdf_units(Opened(source, label), _gdf.header(path))
    if type(source).__name__ == "RawCurry" and path is not None and path.is_file():
        return _with_curry_units(Opened(source, label), path)
    of_file = isinstance(source, mne.io.Raw | mne.io.RawArray)  # FIF files state UTC; nothing is known of arrays
    return _noted(Opened(source, label, zoned=of_file))


def _edf_object(raw: Any, label: str, names: list[Any]) -> Opened:
    """Take a Raw of an EDF file; where the file has gaps, its clock is read from the file again."""
    opened = Opened(raw, label, stated=dict(getattr(raw, "_orig_units", None) or {}))
    opened = replace(
        opened, applied={name: _edf.APPLIED[unit] for name, unit in opened.stated.items() if unit in _edf.APPLIED}
    )
    path = Path(str(names[0])) if names else None
    if path is None or not path.is_file():
        return opened
    head = _edf.header(path)
    if head.kind[3:] != "+D":
        return opened
    samples = next(iter(head.rates), 0)
    if len(names) == 1 and raw.first_samp == 0 and raw.n_times == head.records * samples:
        return replace(opened, marks=_edf.marks(path, head, samples))
    raise LoaderError(f"{label}: is a part of an {head.kind} file, whose gaps MNE has closed; crop after loading it")


def _path(path: Path, info: Any) -> list[Opened]:
    suffix = path.suffix.lower()
    if suffix == ".snirf":
        raise LoaderError(
            f"{path}: is SNIRF, light intensities of fNIRS, which no modality of a recording covers; read it with "
            "mne.io.read_raw_snirf and give its values to neurointerp.recording(..., modality='behavior')"
        )
    whole = path.with_suffix(PARTS.get(suffix, suffix))
    if suffix in PARTS and whole.is_file():
        raise LoaderError(f"{path}: is a part of {whole.name}, which lies beside it; pass that")
    if suffix in _edf.SUFFIXES:
        return _of_edf(path, None)
    if suffix == ".mat":
        return [_fieldtrip(path, info)]
    if path.name.lower().endswith((".fif", ".fif.gz")):
        return [_fif(path)]
    if suffix in _brainvision.SUFFIXES:
        return [_of_brainvision(path, _read(path))]
    if suffix == ".set":
        return [_eeglab(path)]
    if suffix in _gdf.SUFFIXES:
        return [_of_gdf(path)]
    if _curry.is_curry(path):
        return [_of_curry(path)]
    return [replace(_noted(_read(path)), zoned=suffix in KIT)]  # KIT counts seconds from 1970 in UTC


def _read(path: Path) -> Opened:
    mne = files.library("mne", "eeg")
    with asking(path) as said:
        raw = mne.io.read_raw(path, preload=False, verbose="warning")
    return Opened(raw, str(path), said=tuple(said))


def _read_edf(path: Path, exclude: list[str]) -> Opened:
    from neurointerp.loaders.eeg._edf_raw import SparingBDF, SparingEDF

    reader = SparingBDF if path.suffix.lower() == ".bdf" else SparingEDF
    with asking(path) as said:
        raw = reader(path, exclude=exclude, preload=False, verbose="warning")
    return Opened(raw, str(path), said=tuple(said))


def _noted(opened: Opened) -> Opened:
    """Take the units that MNE noted of a format whose header is not read here; it has scaled those it knew."""
    noted: Mapping[str, str] = getattr(opened.data, "_orig_units", None) or {}
    stated = {name: noted[name] for name in opened.names if name in noted}
    applied = {name: factor(unit, "V") for name, unit in stated.items() if unit != "n/a" and is_voltage(unit)}
    others = {name: 1.0 for name, unit in stated.items() if unit not in ("", "n/a") and name not in applied}
    return replace(opened, stated=stated, applied=applied | others)


def _of_edf(path: Path, raw: Any) -> list[Opened]:
    """Open an EDF or BDF file once per sampling rate: MNE would stretch slow channels to the fastest rate."""
    head = _edf.header(path)
    if not head.rates:
        raise LoaderError(f"{path}: holds annotations alone, no signal; read them with mne.read_annotations")
    gaps = head.kind[3:] == "+D"
    late = _edf.first_onset(path, head) if head.kind[3:4] == "+" else 0.0
    sources = []
    for samples, signals in head.rates.items():
        names = {head.names[i] for i in signals}
        others = sorted({head.names[i] for i in head.signals} - names)
        alone = raw is not None and len(head.rates) == 1
        opened = Opened(raw, str(path)) if alone else _read_edf(path, others)
        if len(signals) != len(opened.names):
            raise LoaderError(f"{path}: the header names {len(signals)} signals, MNE reads {len(opened.names)}")
        stated = dict(zip(opened.names, (head.units[i] for i in signals), strict=True))
        applied = {name: _edf.APPLIED[unit] for name, unit in stated.items() if unit in _edf.APPLIED}
        marks = _edf.marks(path, head, samples) if gaps else None
        if marks is not None:  # what MNE says of annotations beyond the end is said of the clock it closed
            opened = replace(opened, said=tuple(line for line in opened.said if "annotation" not in line))
        sources.append(replace(opened, stated=stated, applied=applied, marks=marks, late=late))
    return sources


def _of_brainvision(path: Path, opened: Opened) -> Opened:
    units = _brainvision.header(path)
    stated = dict(zip(opened.names, units, strict=False))
    applied = {name: _brainvision.APPLIED[unit] for name, unit in stated.items() if unit in _brainvision.APPLIED}
    return replace(opened, stated=stated, applied=applied)


def _of_gdf(path: Path) -> Opened:
    """Open a GDF file; channels sampled more slowly are left out, for MNE would stretch them."""
    head = _gdf.header(path)
    opened = _read(path)
    said = tuple(line for line in opened.said if "physical dimension" not in line)
    slow = [head.names[i] for i in head.signals if head.samples[i] < max(head.samples)]
    events = _gdf.events(path, head, opened.rate)
    if events is not None:
        mne = files.library("mne", "eeg")
        with asking(path) as more:
            opened.data.set_annotations(mne.Annotations(*events))
        said = (*(line for line in said if "annotation" not in line), *more)
    if slow:
        said = (*said, f"left out, sampled more slowly than the others: {', '.join(slow)}")
        with asking(path):
            opened.data.drop_channels(slow)
    return _with_gdf_units(replace(opened, said=said), head)


def _with_gdf_units(opened: Opened, head: _edf.Header) -> Opened:
    units, applied = dict(zip(head.names, head.units, strict=True)), _gdf.applied(head)
    return replace(
        opened,
        stated={name: units[name] for name in opened.names if name in units},
        applied={name: applied[name] for name in opened.names if name in applied},
    )


def _of_curry(path: Path) -> Opened:
    """Open a Curry recording; MNE needs another library for it, which reads the whole file for its header."""
    files.library("curryreader", "eeg")
    mne = files.library("mne", "eeg")
    with _curry.reading(), asking(path) as said:
        data = mne.io.read_raw_curry(path, preload=False, verbose="warning")
        if isinstance(data, mne.BaseEpochs):
            data.load_data()  # only then is it known which epochs there are
    return _with_curry_units(Opened(data, str(path), said=tuple(said)), path)


def _with_curry_units(opened: Opened, path: Path) -> Opened:
    kinds = opened.info.get_channel_types()
    units = zip(opened.names, kinds, _curry.units(path, kinds), strict=True)
    stated = {name: unit for name, kind, unit in units if kind != "mag"}
    applied = {name: _curry.APPLIED[unit] for name, unit in stated.items() if unit in _curry.APPLIED}
    return replace(opened, stated=stated, applied=applied)


def _fif(path: Path) -> Opened:
    """Open a FIF file as what it holds, trying first what its name says."""
    mne = files.library("mne", "eeg")
    readers: dict[str, Callable[[], Any]] = {
        "raw": lambda: mne.io.read_raw_fif(path, preload=False, verbose="warning"),
        "epo": lambda: mne.read_epochs(path, preload=False, verbose="warning"),
        "ave": lambda: _alike(mne.read_evokeds(path, verbose="warning"), str(path)),
    }
    ending = path.name.lower().removesuffix(".gz").removesuffix(".fif")[-3:]
    refusals: list[Exception] = []
    with asking(path) as said:
        for kind in sorted(readers, key=lambda kind: kind != ending):
            try:
                data = readers[kind]()
                break
            except ValueError as refusal:  # how MNE says that a file holds nothing of a kind
                refusals.append(refusal)
        else:
            raise refusals[0]
    return Opened(data, str(path), said=tuple(line for line in said if "conform to MNE naming" not in line), zoned=True)


def _alike(averages: list[Any], label: str) -> list[Any]:
    """Refuse averages that cannot lie beside each other in one array."""
    first = averages[0]
    for one in averages[1:]:
        if one.ch_names != first.ch_names or one.times.shape != first.times.shape or (one.times != first.times).any():
            raise LoaderError(
                f"{label}: the averages {first.comment!r} and {one.comment!r} differ in channels or times; pass one "
                "of mne.read_evokeds(...)"
            )
    return averages


def _eeglab(path: Path) -> Opened:
    mne = files.library("mne", "eeg")
    try:
        opened = _read(path)
    except LoaderError as error:
        if "number of trials" not in str(error):
            raise
        with asking(path) as said:
            data = mne.io.read_epochs_eeglab(path, verbose="warning")
        opened = Opened(data, str(path), said=tuple(said))
    micro = dict.fromkeys(opened.names, 1e-6)  # EEGLAB states no unit: by habit microvolts, as MNE has it
    return replace(opened, applied=micro)


def _fieldtrip(path: Path, info: Any) -> Opened:
    """Read a FieldTrip structure: an average or epochs; its file does not say all that an Info holds."""
    mne = files.library("mne", "eeg")
    if info is None:
        raise LoaderError(
            f"{path}: a FieldTrip structure states no units and no channel types; pass info= with the mne.Info of "
            "the original file (mne.io.read_info)"
        )
    with asking(path) as said:
        tree = files.library("pymatreader", "eeg").read_mat(path)
        name = next((key for key, value in tree.items() if isinstance(value, Mapping) and "label" in value), None)
        if name is None:
            raise LoaderError(f"{path}: holds no FieldTrip structure (a struct with labels); it holds {sorted(tree)}")
        if "avg" in tree[name]:
            data = [_on_its_clock(mne.read_evoked_fieldtrip(path, info, data_name=name), tree[name])]
        elif np.ndim(tree[name].get("trial", [[]])) == 2 or len(tree[name]["trial"]) == 1:
            data = mne.io.read_raw_fieldtrip(path, info, data_name=name)
        else:
            data = mne.read_epochs_fieldtrip(path, info, data_name=name)
    return Opened(data, str(path), said=tuple(said), zoned=True)


def _on_its_clock(average: Any, structure: Mapping[str, Any]) -> Any:
    """Take the first time and the number of trials from the file: MNE begins every average at 0 s, and counts one."""
    average.shift_time(float(np.ravel(structure["time"])[0]), relative=False)
    counts = np.unique(structure.get("dof", 1))
    average.nave = int(counts[0]) if counts.size == 1 else average.nave
    return average


def _bids(root: Path, entities: Mapping[str, str]) -> list[Opened]:
    mne_bids = files.library("mne_bids", "eeg")
    with asking(root) as said:
        asked = mne_bids.BIDSPath(root=root, **entities)
        found = [
            one for one in asked.match()
            if one.datatype in ("eeg", "meg", "ieeg") and one.suffix == one.datatype and one.extension not in SIDECARS
        ]  # fmt: skip
    if len(found) != 1:
        listed = ", ".join(sorted(one.basename for one in found)[:12]) or "nothing"
        raise LoaderError(
            f"{root}: {len(found)} recordings have the entities {dict(entities)}; pass entities= that name one "
            f"(subject, session, task, run, ...): {listed}"
        )
    path = Path(found[0].fpath)
    with asking(path) as more:
        raw = mne_bids.read_raw_bids(found[0], verbose="warning")
    attrs = {
        key: str(found[0].entities[key]) for key in ("subject", "session", "task", "run") if found[0].entities[key]
    }
    opened = Opened(raw, str(path), said=(*said, *more), attrs=attrs)
    if path.suffix.lower() in _edf.SUFFIXES:
        sources = _of_edf(path, raw)
        return [replace(one, attrs=attrs, said=opened.said) for one in sources]
    if path.suffix.lower() in _brainvision.SUFFIXES:
        return [_of_brainvision(path, opened)]
    return [replace(_noted(opened), zoned=path.suffix == ".fif")]
