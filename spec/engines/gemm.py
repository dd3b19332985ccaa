"""The section of a config that every GEMM engine has, and rules that several of them share."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from einloom.spec.activations import ACTIVATIONS, ActivationFormat
from einloom.spec.formats import Format
from einloom.spec.section import PositiveCount, Section, problem
from einloom.spec.suggest import did_you_mean


class GemmConfig(Section):
    """An array of `rows` tokens by `columns` output channels, `lanes` inputs at a time.

    An engine's section derives from this one, has a Literal `kind`, and answers what follows here.
    """

    kind: str
    rows: PositiveCount = 16
    columns: PositiveCount = 16
    lanes: Literal[1, 2, 4, 8, 16] = 4
    max_inputs: Annotated[int, Field(strict=True, ge=32, le=1 << 20)] = 16384
    max_tiles: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] = 65536

    @property
    def scale_group(self) -> int | None:
        """Inputs that share a scale in the array; None for engines whose output channels have one scale each."""
        return None

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.scale_group or self.lanes

    @property
    def step_inputs(self) -> int:
        """Inputs whose activations are before the array at once."""
        return self.lanes

    @property
    def columns_together(self) -> int:
        """Neighbouring columns that need the same memory channel."""
        return 1

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        """The formats that the engine takes, in the order of a job's index."""
        raise NotImplementedError

    @property
    def activation_format(self) -> ActivationFormat:
        """The format of its activations."""
        return ACTIVATIONS["int8"]

    def core_problems(self) -> Iterator[str]:
        """Reasons why a core can't have this engine: sentences, each with its mend."""
        if self.activation_format.name != "int8":
            yield "a core quantizes activations to int8: set engine.activations to int8"

    def alone_problems(self) -> Iterator[str]:
        """Reasons why a config without a core can't have this engine: sentences, each with its mend."""
        yield from ()

    def alone(self) -> "GemmConfig":
        """The engine without what only a core can do for it."""
        return self


def checked_formats(names: tuple[str, ...], known: Mapping[str, Format]) -> tuple[str, ...]:
    """`names`, when each of them is known and there once."""
    for name in names:
        if name not in known:
            raise problem(f"unknown format {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    if len(set(names)) != len(names):
        raise problem("a format is listed twice")
    return names


def require_hidden_scale(name: str, group: int, lanes: int, terms: int, needed: int) -> None:
    """A problem unless a group is at work for the `needed` cycles in which the one before is scaled."""
    cycles = group // lanes * terms
    if cycles < needed:
        raise problem(
            f"a group of {group} {name} weights lasts {cycles} cycles with {lanes} lanes, but its bit-serial scale "
            f"needs {needed}: use fewer lanes or a larger group"
        )
