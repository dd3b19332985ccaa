"""The entry point of the `einloom` command: subcommands, loaded when they are asked for, and how their errors end."""

import errno
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from einloom.spec.errors import EinloomError
from einloom.spec.version import VERSION

REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.EFBIG),
    *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM),
}
"""Errors of a disk or of a machine's limits that are no bug of einloom, so they end in a sentence, not a traceback."""
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("run", "Generate text with a design, check it bit for bit, and say what it costs."),
    "compile": ("compile", "Compile a model for a design: program, listing, memory images, and a report."),
    "generate": ("generate", "Write the Verilog of a config, and the manifest that describes it."),
    "simulate": ("simulate", "Run a design's benches in Verilator and compare every result with the golden model."),
    "synth": ("synth", "Synthesise a design with Yosys: resources of each part, share of a board, logic depth."),
    "evaluate": ("evaluate", "Measure a design's perplexity on a text, and its agreement with the float model."),
    "cost": ("cost", "Predict what a model costs on a design: cycles, what bounds them, and what would help."),
    "design": ("design", "Choose the fastest core for a model that a board has room for, and say why."),
    "sweep": ("sweep", "Measure a grid or a sample of configs, jobs and models; goes on where it was ended."),
    "quantize": ("quantize", "Quantize the linear layers of a model; report bits per weight and error."),
    "cascade": ("cascade", "Count the passes that any mapping of a cascade must make, and say why."),
    "allocate": ("allocate", "Order operators and place their tensors in a scratchpad with the fewest words moved."),
    "fpga": ("fpga", "Write the folder in which `make` builds an xclbin, and check it."),
    "check": ("fpga", "Check a kernel folder without the vendor's tools."),
    "doctor": ("doctor", "Look for all that einloom needs, with the mend for what is missing."),
}
"""The module of each subcommand, and its line in the help: so that the help loads none of them."""


class LazyCommand(TyperCommand):
    """A subcommand that is loaded when it is used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        assert self.name is not None
        return real_command(self.name).make_context(info_name, args, parent, **extra)


class LazyGroup(TyperGroup):
    """The command with all its subcommands."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        _, line = COMMANDS[cmd_name]
        return LazyCommand(cmd_name, help=line, short_help=line)


def real_command(name: str) -> Any:
    """The subcommand itself."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name)(getattr(import_module(f"einloom.cli.{COMMANDS[name][0]}"), name))
    return typer.main.get_command(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"einloom {VERSION}")
        raise typer.Exit


def einloom_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One YAML file in, a verified language-model accelerator out."""


def make_app() -> typer.Typer:
    """The command with all its subcommands."""
    app = typer.Typer(
        cls=LazyGroup, name="einloom", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    app.callback()(einloom_command)
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
    except MemoryError as error:
        _fail(f"out of memory{f': {error}' if str(error) else ''}", EinloomError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, exit_code: int) -> None:
    typer.secho("error: ", fg=typer.colors.RED, err=True, nl=False)
    # Names from files may hold what a terminal obeys.
    typer.echo("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in message), err=True)
    sys.exit(exit_code)
