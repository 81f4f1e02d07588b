"""The command that records an artificial network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurointerp.cli._options import AsJson
from neurointerp.cli._printing import print_description, print_next
from neurointerp.cli.data import AFTERWARDS
from neurointerp.errors import LoaderError


def record(
    model: Annotated[str, typer.Argument(help="Folder of a saved model, or its name on the hub.")],
    text: Annotated[Path, typer.Argument(help="Text file (UTF-8), one prompt a line.")],
    out: Annotated[Path, typer.Option(help="Store to write (.zarr).")],
    sites: Annotated[
        list[str], typer.Option(help="What to record, such as mlp.post, L3.resid.post or a module's name; repeatable.")
    ],
    window: Annotated[
        int | None, typer.Option(help="Cut the whole text into prompts of so many tokens instead.", min=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts per pass.", min=1)] = 8,
    dtype: Annotated[str | None, typer.Option(help="Precision to run in, such as bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to run, such as cuda:0.")] = None,
    special_tokens: Annotated[
        bool, typer.Option("--special-tokens", help="Keep the tokens that frame a text.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Commit of a model on the hub.")] = None,
    overwrite: bool = False,
    as_json: AsJson = False,
) -> None:
    """Run a language model on a text and record what its sites hold; run again after a kill, it goes on."""
    from neurointerp.loaders import activations
    from neurointerp.models import open_model

    if Path(model).is_file():
        raise LoaderError(
            f"{model} is a file: a folder that save_pretrained wrote is needed; a model of your own is recorded from "
            "Python: loaders.activations.record(model, inputs, sites=..., out='FILE.zarr')"
        )
    try:
        lines = text.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoaderError(f"{text} cannot be read as text: {error}") from error
    network, tokenizer, known = open_model(model, revision=revision)
    if tokenizer is None:
        raise LoaderError(f"{model} comes without a tokenizer: record it from Python, with tokenizer=")
    rec = activations.record(
        network,
        _prompts(lines, window, tokenizer) if window else [line for line in lines.splitlines() if line.strip()],
        sites=[one.strip() for several in sites for one in several.split(",")],
        tokenizer=tokenizer,
        batch_size=batch_size,
        dtype=dtype,
        device=device,
        special_tokens=special_tokens,
        revision=known,
        attrs={"source": text.name},
        out=out,
        overwrite=overwrite,
    )
    print_description(rec, as_json)
    if not as_json:
        print_next(out, *AFTERWARDS)


def _prompts(text: str, window: int, tokenizer: object) -> list[list[int]]:
    """Cut a text into prompts of equal length, without tokens that frame a text; what is left over is the last."""
    call = tokenizer if callable(tokenizer) else None
    assert call is not None
    try:
        found = call(text, add_special_tokens=False, verbose=False)
    except TypeError:  # a tokenizer that is a plain function
        found = call(text)
    ids = list(found["input_ids"] if hasattr(found, "keys") else found)
    return [ids[start : start + window] for start in range(0, len(ids), window)]
