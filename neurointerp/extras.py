"""Optional libraries: which extra brings which, which are missing, and the command that adds them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec

ADDS = {
    "eeg": "EEG, MEG and iEEG files",
    "fmri": "NIfTI, CIFTI and GIFTI images",
    "nwb": "NWB files",
    "spikes": "spike-sorting formats",
    "models": "running and recording torch models",
    "hmm": "hidden Markov states of connectivity",
    "report": "the HTML report and all pictures",
    "dask": "larger than memory; stores and mirrors at a URL",
    "demo": "the embedded fMRI recording, wiring in workbooks",
    "parquet": "the flat table of worms",
}
"""What each extra is for."""


def libraries() -> dict[str, list[str]]:
    """Give the libraries of each extra, as the installed package declares them.

    Returns
    -------
    dict
        Names of distributions by extra, without `all`; empty where neurointerp runs without being installed.

    Examples
    --------
    >>> libraries()["nwb"]
    ['pynwb']
    """
    try:
        declared = metadata.requires("neurointerp") or []
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for line in declared:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if extra and name and name[0] != "neurointerp":
            found.setdefault(extra[1], []).append(name[0])
    return {extra: names for extra, names in found.items() if extra != "all"}


def installed(library: str) -> str | None:
    """Give the version of a distribution that is installed, or None.

    Examples
    --------
    >>> installed("no-such-library") is None
    True
    """
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def command(*extras: str) -> str:
    """Give the command that adds extras to the neurointerp that is installed.

    pip takes the copy that is there for satisfied and adds the libraries that its extras declare; so the same
    command serves a checkout, a wheel and an index.

    Examples
    --------
    >>> command("eeg", "report")
    "pip install 'neurointerp[eeg,report]'"
    """
    return f"pip install 'neurointerp[{','.join(extras)}]'"


def extra_of(module: str) -> str | None:
    """Give the extra that brings a module, or None.

    Examples
    --------
    >>> extra_of("mne_bids"), extra_of("numpy")
    ('eeg', None)
    """
    name = module.partition(".")[0].lower()
    held = ((extra, one.lower().replace("-", "_")) for extra, names in libraries().items() for one in names)
    return next((extra for extra, one in held if one == name), None)


def lacking(modules: Iterable[str]) -> str:
    """Say which of some modules are missing, and the one command that adds all of them.

    Parameters
    ----------
    modules
        Names to import, such as `matplotlib`.

    Returns
    -------
    str
        One line; empty where nothing is missing.

    Examples
    --------
    >>> lacking(["numpy"])
    ''
    """
    missing = [name for name in modules if find_spec(name.partition(".")[0]) is None]
    if not missing:
        return ""
    owners = {name: extra_of(name) for name in missing}
    wanted = list(dict.fromkeys(extra for extra in owners.values() if extra is not None))
    others = [f"pip install {name}" for name, extra in owners.items() if extra is None]
    remedy = "; ".join(([command(*wanted)] if wanted else []) + others)
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: {remedy}"
