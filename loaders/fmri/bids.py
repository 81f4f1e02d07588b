"""Names of a BIDS dataset: entities, the files that go with an image, and metadata by inheritance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neurointerp.errors import LoaderError
from neurointerp.loaders import files
from neurointerp.loaders.fmri._files import stem

LONG = {
    "subject": "sub", "session": "ses", "acquisition": "acq", "reconstruction": "rec", "direction": "dir",
    "description": "desc", "hemisphere": "hemi", "resolution": "res", "density": "den",
}  # fmt: skip
"""Long names of entities, as mne-bids has them -> the key in file names."""
NUMBERS = ("run", "echo")
ROOT = "dataset_description.json"


def entities(path: files.PathLike) -> tuple[dict[str, str], str]:
    """Give the entities of a BIDS file name and its suffix.

    Parameters
    ----------
    path
        Such as `sub-01_task-rest_run-2_bold.nii.gz`.

    Returns
    -------
    tuple
        Entities (`{"sub": "01", "task": "rest", "run": "2"}`) and suffix (`"bold"`); no entities and the whole
        stem where the name is not one of BIDS.

    Examples
    --------
    >>> entities("sub-01_task-rest_bold.nii.gz")
    ({'sub': '01', 'task': 'rest'}, 'bold')
    """
    *pairs, suffix = stem(Path(path)).split("_")
    split = [pair.partition("-") for pair in pairs]
    if any(not key or not dash or not value for key, dash, value in split):
        return {}, stem(Path(path))
    return {key: value for key, _, value in split}, suffix


def find(root: files.PathLike, wanted: Mapping[str, Any] | None = None, *, suffix: str = "bold") -> Path:
    """Find the one image of a BIDS dataset that has the entities asked for.

    Parameters
    ----------
    root
        Folder of a dataset, raw or derivative (it holds the `sub-*` folders).
    wanted
        Entity -> value, by key (`sub`, `ses`, `task`, `run`, `space`, `desc`, ...) or long name (`subject`,
        `session`, ...). Runs and echoes are compared as numbers. None means that the entity must be absent.
    suffix
        What the file name ends in.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    LoaderError
        When no file or more than one file fits; the message names what there is.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp(), "sub-01", "func")
    >>> folder.mkdir(parents=True)
    >>> (folder / "sub-01_task-rest_run-02_bold.nii").touch()
    >>> find(folder.parents[1], {"subject": "01", "run": 2}).name
    'sub-01_task-rest_run-02_bold.nii'
    """
    folder = files.existing(root)
    asked = {LONG.get(key, key): value for key, value in (wanted or {}).items()}
    images = sorted(path for path in folder.glob(f"sub-*/**/*_{suffix}.*") if _is_image(path))
    if not images:
        raise LoaderError(f"{folder}: no sub-*/**/*_{suffix} image below it; pass the root of a BIDS dataset")
    fits = [path for path in images if _has(entities(path)[0], asked)]
    if len(fits) == 1:
        return fits[0]
    text = " ".join(f"{key}-{value}" for key, value in asked.items()) or "no entities"
    if not fits:
        raise LoaderError(f"{folder}: no {suffix} image has {text}; there are {_choices(images)}")
    raise LoaderError(f"{folder}: {len(fits)} {suffix} images have {text}; name one of {_choices(fits)} in entities=")


def metadata(path: files.PathLike | None) -> tuple[dict[str, Any], str]:
    """Read the JSON sidecars of a file: the one beside it and, in a BIDS dataset, those it inherits from.

    Parameters
    ----------
    path
        A data file; the sidecars need not exist. None, for an image that is no file, has none.

    Returns
    -------
    tuple
        The merged fields (the nearest file wins), and the name of the nearest sidecar ("" without any).
    """
    merged: dict[str, Any] = {}
    name = ""
    for sidecar in [] if path is None else inherited(path, ".json"):
        with files.reading(sidecar, "a JSON sidecar"):
            fields = json.loads(sidecar.read_text("utf-8"))
            merged |= dict(fields)
        name = sidecar.name
    return merged, name


def inherited(path: files.PathLike, ending: str, suffix: str | None = None, drop: tuple[str, ...] = ()) -> list[Path]:
    """List the files that apply to a data file by the inheritance principle of BIDS, the nearest last.

    Parameters
    ----------
    path
        The data file.
    ending
        Ending of the files looked for, such as `.json`.
    suffix
        Their suffix (`events`, `physio`); default: the data file's own.
    drop
        Entities of the files looked for that need not be in the name of the data file, such as `recording`.

    Returns
    -------
    list of pathlib.Path
        Files whose entities are all in the name of the data file, from the root of the dataset inwards.
        A file that is not named by BIDS has at most the one beside it with the same stem.
    """
    data = Path(path)
    own, kind = entities(data)
    if not own:
        beside = data.with_name(stem(data) + ending)
        return [beside] if suffix is None and beside.is_file() and beside != data else []
    found: list[Path] = []
    for folder in reversed(list(_folders(data))):
        candidates = folder.glob(f"*{suffix or kind}{ending}")
        ranked = sorted((len(entities(one)[0]), one) for one in candidates if _applies(one, own, suffix or kind, drop))
        found += [one for _, one in ranked]
    return found


def attrs(labels: Sequence[str]) -> dict[str, Any]:
    """Give `source` (file names), and `subject`, `session`, `task` where the name of the first is one of BIDS."""
    own = entities(labels[0])[0]
    named = {long: own[key] for long, key in (("subject", "sub"), ("session", "ses"), ("task", "task")) if key in own}
    return {"source": [Path(label).name for label in labels], **named}


def _folders(path: Path) -> Iterator[Path]:
    """Give the folder of a file and those above it, up to the root of the dataset."""
    parents = list(path.parents)
    roots = [number for number, parent in enumerate(parents) if (parent / ROOT).is_file()]
    yield from parents[: roots[0] + 1] if roots else parents[:1]


def _applies(path: Path, own: dict[str, str], suffix: str, drop: tuple[str, ...]) -> bool:
    if stem(path) == suffix:
        return True
    theirs, kind = entities(path)
    return kind == suffix and bool(theirs) and all(k in drop or own.get(k) == v for k, v in theirs.items())


def _has(own: dict[str, str], asked: dict[str, Any]) -> bool:
    return all(_equal(key, own.get(key), value) for key, value in asked.items())


def _equal(key: str, found: str | None, value: Any) -> bool:
    if found is None or value is None:
        return found is None and value is None
    text = str(value)
    if key in NUMBERS and found.isdigit() and text.isdigit():
        return int(found) == int(text)
    return found == text


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz", ".gii", ".gii.gz"))


def _choices(paths: list[Path], most: int = 6) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
