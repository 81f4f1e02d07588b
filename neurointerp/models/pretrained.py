"""Models as they are saved: folders and names of transformers, and of the small GPT."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurointerp.errors import ModelError

if TYPE_CHECKING:
    import torch

PIECE = 2**22


def open_model(
    source: str | os.PathLike[str], *, revision: str | None = None
) -> tuple[torch.nn.Module, Any, str | None]:
    """Read a saved model and its tokenizer.

    Parameters
    ----------
    source
        A folder that `save_pretrained` of transformers or `neurointerp.models.gpt.save` wrote, or the name of a model
        on the hub (which transformers fetches, or takes from its cache). Weights are read from safetensors only, and
        no code that comes with a model is run.
    revision
        Commit or tag of a model on the hub.

    Returns
    -------
    model : torch.nn.Module
        With the head it was saved with, in evaluation mode.
    tokenizer
        Its tokenizer, or None where it has none.
    revision : str or None
        For a folder `sha256:` and the checksum of its weights; for a model on the hub its commit.

    Raises
    ------
    ModelError
        When there is no such model, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from neurointerp.models import gpt
    >>> path = gpt.save(gpt.GPT(gpt.Config(layers=1, width=8, heads=2)), tempfile.mkdtemp() + "/model")
    >>> model, tokenizer, revision = open_model(path)
    >>> tokenizer("Hi"), revision[:7]
    ([72, 105], 'sha256:')
    """
    folder = Path(source)
    if not folder.exists() and (folder.is_absolute() or len(folder.parts) > 2 or str(source).startswith(".")):
        raise ModelError(f"{source} cannot be read as a model: no such folder")  # names on the hub have two parts
    settings = _settings(folder)
    if folder.is_dir() and not settings.get("model_type"):
        from neurointerp.models import gpt

        small = gpt.load(folder).eval()
        return small, small.tokenizer, _checksum(folder)
    try:
        import transformers
    except ImportError as error:
        raise ModelError("reading this model needs transformers: pip install 'neurointerp[models]'") from error
    options: dict[str, Any] = {"revision": revision} if revision and not folder.is_dir() else {}
    try:
        config = transformers.AutoConfig.from_pretrained(source, **options)
        kind = getattr(transformers, (config.architectures or [""])[0], transformers.AutoModel)
        model = kind.from_pretrained(source, use_safetensors=True, **options).eval()
    except (OSError, ValueError) as error:
        raise ModelError(f"{source} cannot be read as a model: {str(error).strip().splitlines()[0]}") from error
    found = _checksum(folder) if folder.is_dir() else getattr(model.config, "_commit_hash", None) or revision
    return model, _tokenizer(transformers, source, options), found


def _settings(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tokenizer(transformers: Any, source: Any, options: dict[str, Any]) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError):
        return None


def _checksum(folder: Path) -> str:
    """Give one checksum of all weight files."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    return f"sha256:{digest.hexdigest()}"
