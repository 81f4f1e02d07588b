"""The command line. The one part of the core that sees loaders and analyses; heavy imports happen in commands."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from neurointerp.cli import data, doctor, record, study
from neurointerp.errors import NeurointerpError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Artificial and biological neural recordings as one kind of labelled array, and what can be asked of them.",
)


def _version(asked: bool) -> None:
    if asked:
        from neurointerp import extras

        typer.echo(f"neurointerp {extras.installed('neurointerp') or '0+uninstalled'}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Set up messages on stderr. (`main` takes `--debug` out of the arguments, so that it may stand anywhere.)"""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("neurointerp")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


for command in (
    data.datasets, data.load, data.convert, data.info, data.check, data.verify, record.record,
    study.methods, study.analyze, study.compare, study.report, doctor.doctor,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Run the command line: one line and exit code 1 for an error, 2 for wrong usage."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments)
    except (NeurointerpError, ModuleNotFoundError) as error:
        if len(arguments) < len(sys.argv) - 1 or (message := _message(error)) is None:
            raise
        typer.echo(f"error: {' '.join(message.split())}", err=True)
        sys.exit(1)


def _message(error: Exception) -> str | None:
    """Put an error as the command line says it; None for a module that no extra brings."""
    if isinstance(error, NeurointerpError):
        return str(error).replace("pass overwrite=True", "pass --overwrite")
    from neurointerp import extras

    module = (getattr(error, "name", None) or "").partition(".")[0]
    return extras.lacking([module]) or None if extras.extra_of(module) else None
