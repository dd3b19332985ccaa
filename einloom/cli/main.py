"""The entry point of the `einloom` command: its subcommands, and how their errors end."""

import errno
import signal
import sys
from typing import Annotated

import typer

import einloom
from einloom.cli.cascade import cascade
from einloom.cli.compile import compile
from einloom.cli.fpga import check, fpga
from einloom.cli.generate import generate
from einloom.cli.quantize import quantize
from einloom.cli.run import run
from einloom.cli.simulate import simulate
from einloom.cli.synth import synth
from einloom.spec.errors import EinloomError

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG}
"""What a disk may answer that is no bug of einloom."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"einloom {einloom.__version__}")
        raise typer.Exit


def einloom_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One YAML file in, a verified language-model accelerator out."""


def make_app() -> typer.Typer:
    """The command with all its subcommands."""
    app = typer.Typer(name="einloom", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(einloom_command)
    for command in (run, compile, generate, simulate, synth, quantize, cascade, fpga, check):
        app.command()(command)
    return app


def main() -> None:
    """Run the command line; exits 0, 1 when a check failed, 2 on bad input, 130 on Ctrl-C and 143 when terminated."""
    # As an exception, so that simulators and temporary folders go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        make_app()()
    except EinloomError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        _fail(f"{error.filename or 'output'}: {error.strerror}", EinloomError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, exit_code: int) -> None:
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    # Names from files may hold what a terminal obeys.
    typer.echo("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in message), err=True)
    sys.exit(exit_code)
