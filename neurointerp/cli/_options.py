"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]
Mirror = Annotated[str | None, typer.Option(help="Folder or URL with the raw files, searched before the network.")]
Manifest = Annotated[Path | None, typer.Option("--manifest", help="A manifest of your own instead of the package's.")]
Modality = Annotated[list[str] | None, typer.Option(help="Of a raw file (one for all, or one per raw file in order).")]
Units = Annotated[str | None, typer.Option(help="Units of the values of a raw file that does not state them.")]
Rate = Annotated[float | None, typer.Option(help="Samples per second of a raw file that does not state it.")]
BinWidth = Annotated[float | None, typer.Option(help="Width (s) of the bins that spike times are counted in.")]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.")]
Subject = Annotated[str | None, typer.Option(help="Of a BIDS root: the subject's label, such as 01.")]
Visit = Annotated[str | None, typer.Option("--session", help="Of a BIDS root: the session's label.")]
Task = Annotated[str | None, typer.Option(help="Of a BIDS root: the task.")]
Run = Annotated[str | None, typer.Option(help="Of a BIDS root: the run.")]
Entity = Annotated[list[str] | None, typer.Option(help="Of a BIDS root: any other, such as space=MNI152NLin6Asym.")]
