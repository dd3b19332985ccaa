"""Helpers of the synthesis benchmarks: parts made in one go, configs of engines, libraries on the command line."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from amaranth import Cat, Module, Value
from amaranth.lib.wiring import Out

from einloom.fpga.recipes import Recipe, cell_library
from einloom.fpga.synthesise import Part as Made
from einloom.fpga.synthesise import synthesise
from einloom.generators.emit import SharedModules
from einloom.hw.part import Part
from einloom.spec.config import Config

TOP = "one_of_each"


def make_config(engine: dict[str, object]) -> Config:
    return Config.model_validate({"name": "pe", "engine": engine, "memory": {}})


def add_library_option(parser: ArgumentParser) -> None:
    parser.add_argument("--library", nargs="+", action="append", default=[], metavar=("NAME", "FILE"))


def read_libraries(options: Sequence[Sequence[str]]) -> dict[str, Recipe]:
    """The recipes of cell libraries by the names that the command line gives them."""
    return {name: cell_library({f: Path(f).read_text() for f in files}) for name, *files in options}


def synthesise_parts(parts: Sequence[Part], recipe: Recipe, *, jobs: int | None = None) -> list[Made]:
    """Synthesise each part by itself. A run of Yosys takes several of them, which saves its start-up time."""
    shared = SharedModules()
    result = synthesise(shared.emit(_OneOfEach(parts), TOP), TOP, recipe, jobs=jobs)
    by_name = {part.name: part for part in result.parts}
    return [by_name[shared._module_of(part)] for part in parts]


class _OneOfEach(Part):
    """Places all of them; nothing is left away, for all outputs are its own."""

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__({f"outputs_{n}": Out(len(_outputs(part))) for n, part in enumerate(parts)})

    def elaborate(self, platform):
        m = Module()
        for n, part in enumerate(self.parts):
            part.place(m, f"part_{n}", platform)
            m.d.comb += getattr(self, f"outputs_{n}").eq(_outputs(part))
        return m


def _outputs(part: Part) -> Value:
    members = part.signature.flatten(part)
    return Cat(Value.cast(value) for _, member, value in members if member.flow is Out)
