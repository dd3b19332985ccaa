"""Which attention lane has which heads of keys and values: the lanes take turns, head by head."""

from collections.abc import Iterator
from typing import NamedTuple

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.regions import Allocator, Operand, Region

LARGEST_STRIDE = 255
"""Words from one outer step of a vector instruction to the next."""


class HeadRun(NamedTuple):
    """Heads `first`, `first` + `step` and so on, `heads` of them, which are a lane's from turn `turn` on."""

    first: int
    step: int
    heads: int
    turn: int

    def of(self, operand: Operand, words: int) -> Operand:
        """The walk through these heads, of `words` each, of an operand that walks through all heads."""
        outer = self.step * words if self.heads > 1 else 0
        return Operand(operand.region, operand.offset + self.first * words, outer, operand.inner)


class LaneHeads:
    """Heads of keys and values on a core's attention lanes: head g is on lane g mod lanes, in turn g / lanes.

    Attributes
    ----------
    lanes : number of lanes.
    turns : jobs of all lanes in which every head has its turn; in the last one some lanes may have none.
    """

    def __init__(self, p: ProgramBuilder, heads: int) -> None:
        self._heads = heads
        self.lanes = p.core.attention_lanes
        self.turns = -(-heads // self.lanes)

    def at_work(self, turn: int) -> int:
        """Lanes that have a head in this turn; they are the first ones."""
        return min(self.lanes, self._heads - turn * self.lanes)

    def in_strides(self, turn: int, words: int) -> Iterator[range]:
        """The lanes at work in runs that a vector instruction can walk through in strides of so many words."""
        lanes = range(self.at_work(turn))
        yield from [lanes] if words <= LARGEST_STRIDE else (range(n, n + 1) for n in lanes)

    def regions(self, allocator: Allocator, name: str, words: int, tokens: int = 1) -> list[Region]:
        """For each lane a region at the same place of its own memory. Lanes' memories lie one behind the other."""
        first = allocator.region(name, words, tokens)
        size = allocator.use.words
        return [
            Region(f"{name} of lane {n}", first.memory, first.base + n * size, words, tokens) if n else first
            for n in range(self.lanes)
        ]

    def runs(self, lane: int, words: int) -> Iterator[HeadRun]:
        """A lane's heads, of `words` each, in runs that a vector instruction can walk through."""
        heads = range(lane, self._heads, self.lanes)
        if self.lanes * words <= LARGEST_STRIDE:
            yield from [HeadRun(lane, self.lanes, len(heads), 0)] if heads else []
        else:
            yield from (HeadRun(head, self.lanes, 1, turn) for turn, head in enumerate(heads))
