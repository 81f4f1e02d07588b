"""A trained model as a folder: weights as safetensors, everything else as JSON. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from neurointerp.errors import ModelError, StoreError

WEIGHTS, SETTINGS = "model.safetensors", "config.json"
Model = TypeVar("Model", bound=torch.nn.Module)


def write(model: torch.nn.Module, settings: dict[str, Any], path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Write weights and settings beside `path`, then rename: a crash leaves what was there."""
    target = Path(path)
    if target.exists() and not overwrite:
        raise StoreError(f"{target} exists: choose another path or pass overwrite=True")
    if target.exists() and not (target / SETTINGS).is_file():
        raise StoreError(f"{target} is not a saved model (no {SETTINGS}) and is not overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        new, old = stage / "new", stage / "old"
        new.mkdir()
        weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        save_file(weights, new / WEIGHTS)
        (new / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "utf-8")
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return target


def read(path: str | os.PathLike[str], kind: str, build: Callable[[dict[str, Any]], Model]) -> Model:
    """Give a saved model of one kind: what `build` makes of its settings, filled with its weights, for evaluation."""
    settings = _settings(path, kind)
    try:
        model = build(settings)
    except (KeyError, TypeError, ValueError, OverflowError, MemoryError, RuntimeError, ModelError) as error:
        raise StoreError(f"{path}: {SETTINGS} does not describe a model of kind {kind!r} ({error})") from error
    _fill(model, path)
    return model.eval()


def _settings(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    file = Path(path) / SETTINGS
    try:
        settings = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is not a saved model: {file.name} cannot be read ({error})") from error
    found = settings.get("kind") if isinstance(settings, dict) else None
    if found != kind:
        raise StoreError(f"{file} describes a model of kind {found!r}; {kind!r} is needed")
    return dict(settings)


def _fill(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Load the saved weights; every name and shape must fit."""
    file = Path(path) / WEIGHTS
    try:
        model.load_state_dict(load_file(file), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StoreError(f"{file} does not hold the weights that its {SETTINGS} describes: {error}") from error
