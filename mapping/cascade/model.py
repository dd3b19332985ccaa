"""A cascade: Einsums that feed each other, their tensors and their ranks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from einloom.mapping.cascade.expression import Access, Expression, accesses, operators, variables
from einloom.mapping.cascade.grammar import Reduction
from einloom.mapping.cascade.size import Size


@dataclass(frozen=True)
class Einsum:
    """One extended Einsum (EDGE): at each point of its iteration space, map; then reduce what shares an output point.

    Attributes
    ----------
    output : the element that a point adds to.
    value : expression that a point computes.
    reductions : applied from the last to the first; every variable that `output` lacks is in one of them.
    condition : points for which it is false contribute nothing.
    otherwise : value of an output point for which the condition is false; it then uses the output's variables only.
    text, line : text as written and its line, for messages.
    """

    output: Access
    value: Expression
    reductions: tuple[Reduction, ...]
    condition: Expression | None
    otherwise: Expression | None
    text: str
    line: int | None

    @property
    def tensor(self) -> str:
        """The tensor that it writes."""
        return self.output.tensor

    @cached_property
    def kept(self) -> list[str]:
        """The variables of the output."""
        return variables(self.output)

    @cached_property
    def reduced(self) -> list[str]:
        """The variables that are reduced away."""
        return [name for reduction in self.reductions for name in reduction.variables]

    @cached_property
    def reads(self) -> list[Access]:
        """The elements that a point reads, each once."""
        parts = [part for part in (self.value, self.condition, self.otherwise) if part is not None]
        return list(dict.fromkeys(access for part in parts for access in accesses(part)))

    @property
    def map_operators(self) -> list[str]:
        """The operators of the map action, innermost first."""
        return operators(self.value)

    def __str__(self) -> str:
        return str(self.output)


@dataclass(frozen=True)
class Cascade:
    """Einsums in the order of the file; `tensors` gives every tensor's ranks, `sizes` those ranks that have a size."""

    name: str
    file: Path | str
    tensors: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, Size]
    ranks: tuple[str, ...]
    einsums: tuple[Einsum, ...]

    def writers(self, tensor: str) -> list[Einsum]:
        """The Einsums that write a tensor: several when it is iterative, for its initial values."""
        return [einsum for einsum in self.einsums if einsum.tensor == tensor]

    def readers(self, tensor: str) -> list[Einsum]:
        """The Einsums that read a tensor."""
        return [einsum for einsum in self.einsums if any(access.tensor == tensor for access in einsum.reads)]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that are read and that no Einsum writes."""
        written = {einsum.tensor for einsum in self.einsums}
        read = dict.fromkeys(access.tensor for einsum in self.einsums for access in einsum.reads)
        return tuple(name for name in read if name not in written)
