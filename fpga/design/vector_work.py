"""Cycles of the vector unit in a job, from the program of one core for each number of lanes and of tokens."""

from dataclasses import dataclass, field

from einloom.fpga.design.arrays import Array
from einloom.fpga.design.core_config import config_of
from einloom.fpga.design.space import Heads, Ports
from einloom.fpga.design.wish import Wish
from einloom.generators.registry import describe
from einloom.mapping.cost.trial import Trial
from einloom.spec.config import largest_memories
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class VectorWork:
    """The vector unit's work for a wish.

    It follows from the unit's lanes and the tokens of a job. What else a core has only changes how much is padded, so
    that one core tells what all take.
    """

    wish: Wish
    _found: dict[tuple[int, int], int | None] = field(default_factory=dict)

    def cycles(self, ports: Ports, array: Array, heads: Heads) -> int | None:
        """Cycles in which the unit is busy in a job of as many tokens as the array has rows; None if the largest
        memories that a core can have are too small for so many."""
        key = ports.lanes, array.rows
        if key not in self._found:
            self._found[key] = self._count(ports, array, heads)
        return self._found[key]

    def _count(self, ports: Ports, array: Array, heads: Heads) -> int | None:
        wish = self.wish
        try:
            config = config_of("candidate", wish.graph, wish.format, ports, array, heads, wish.cache_bits)
            manifest = describe(config.with_memories(largest_memories(heads.lanes)))
            timing = wish.board.timing(ports.beat_bits, wish.clock_mhz)
            return Trial(wish.graph, manifest, wish.format, wish.context, timing).vector_slots(array.rows)
        except InputError:
            return None
