"""Artificial networks: named sites of any torch model, interventions on them, and systems that can be trained small.

Most of it needs torch: `pip install 'neurointerp[models]'`. Importing this loads nothing.
"""

from typing import Any

import lazy_loader

from neurointerp.errors import ModelError

_load, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "edges", "freezing", "gradients", "interventions", "parameters", "pretrained", "responders", "running", "sites",
        "stimuli", "taps", "tuning",
        "elm", "gpt", "hatchling", "readouts", "reservoir", "separable", "spiking",
    ],
    submod_attrs={
        "edges": ["edge"],
        "freezing": ["frozen"],
        "gradients": ["gradient", "vjp"],
        "interventions": ["add", "clamp", "intervene", "mean", "patch", "resample", "scale", "zero"],
        "parameters": ["replace", "weights"],
        "pretrained": ["open_model"],
        "responders": ["Responder", "fitted", "responder"],
        "sites": ["Site", "find_sites", "site_names", "sites_of"],
        "stimuli": ["optimise"],
        "tuning": ["divergence", "tune"],
    },
)  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a name when it is first used; without torch, say what brings it."""
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("torch", "safetensors", "transformers"):
            raise
        raise ModelError(f"models.{name} needs {error.name}: pip install 'neurointerp[models]'") from error
