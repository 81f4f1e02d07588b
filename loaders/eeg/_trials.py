"""Labels of epochs and averages."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurointerp.loaders.eeg._opened import Opened

TAKEN = ("trial", "time", "unit", "condition", "code", "sample", "segment")


def trial_labels(opened: Opened) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the labels along time and trial of Epochs or Evoked, and the attrs that go with them."""
    return _averages(opened.data) if isinstance(opened.data, list) else _epochs(opened.data)


def _averages(averages: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    first = averages[0]
    labels: dict[str, Any] = {"time": np.array(first.times, dtype=np.float64)}
    if len(averages) == 1:
        return labels, {"condition": first.comment or "", "averaged": int(first.nave), "kind": first.kind}
    labels["trial"] = np.arange(len(averages))
    labels["condition"] = ("trial", [one.comment or "" for one in averages])
    labels["averaged"] = ("trial", np.array([one.nave for one in averages], dtype=np.int64))
    return labels, {"kind": first.kind}


def _epochs(epochs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {code: name for name, code in epochs.event_id.items()}
    codes = np.asarray(epochs.events[:, 2], dtype=np.int64)
    labels: dict[str, Any] = {
        "time": np.array(epochs.times, dtype=np.float64),
        "trial": np.arange(len(codes)),
        "condition": ("trial", [names.get(int(code), str(code)) for code in codes]),
        "code": ("trial", codes),
        "sample": ("trial", np.asarray(epochs.events[:, 0], dtype=np.int64)),
    }
    for name, column in {} if epochs.metadata is None else epochs.metadata.items():
        values = np.asarray(column)
        text = values.dtype.kind in "OUT" and all(isinstance(value, str) for value in values)
        if str(name) not in TAKEN and (values.dtype.kind in "biuf" or text):
            labels[str(name)] = ("trial", values.astype(object) if text else values)
    attrs = {"baseline": list(epochs.baseline)} if epochs.baseline is not None else {}
    return labels, attrs
