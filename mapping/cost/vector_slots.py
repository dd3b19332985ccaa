"""When the vector unit issues the slots of its instructions."""

from collections.abc import Mapping

from einloom.mapping.cost.latencies import (
    ADD_LATENCY,
    VECTOR_CONVERT,
    VECTOR_RESULT,
    VECTOR_REUSE,
    VECTOR_START,
)
from einloom.mapping.cost.write_port import WritePort
from einloom.spec.isa import FLOAT_OPS, REDUCE_PARTIALS, REDUCTIONS, Operand, Space, VectorOp

ONE_OPERAND = (VectorOp.TOINT, VectorOp.TOFLOAT, VectorOp.MAXABS)
Walk = tuple[int, int, int, int]
"""An operand: its base, and its strides of token, outer and inner step."""


def tail_slots(op: int, inner: int, lanes: int) -> int:
    """Slots of a row of a reduction behind those of its `inner` words (hw/vector/reduction.py).

    A MAXABS combines the lanes in pairs. A SUM is filled up to REDUCE_PARTIALS words; then these meet pair by pair, and
    the lanes' sums after them, each addition ADD_LATENCY cycles after its operands.
    """
    steps = (lanes - 1).bit_length()
    if op == VectorOp.MAXABS:
        return steps
    place, half = REDUCE_PARTIALS // 2 + ADD_LATENCY, REDUCE_PARTIALS // 2
    while half:
        place += half // 2 + ADD_LATENCY
        half //= 2
    return place + (steps - 1) * ADD_LATENCY - (inner - 1) % REDUCE_PARTIALS


def instruction_slots(i: Mapping[str, int], tokens: int, lanes: int) -> int:
    """Slots of an instruction for so many tokens; a cycle each, if nothing waits."""
    rows, inner, op = tokens * i["outer"], i["inner"], i["op"]
    if not rows * inner:
        return 1
    return rows * (inner + (tail_slots(op, inner, lanes) if op in REDUCTIONS else 0))


class VectorSlots:
    """The unit's state from one instruction to the next: the slots whose results are still under way.

    A slot is issued a cycle after the one before, but not before all that it reads is in the vector memory. A result
    for another memory takes longer, and those behind it may not overtake it. A SUM waits for all results, and then for
    nothing (hw/vector/issue.py).

    Attributes
    ----------
    issued : slots in all.
    """

    def __init__(self, lanes: int, port: WritePort, *, free: bool = False) -> None:
        """With `free` instructions take no time."""
        self._lanes, self._port, self._free = lanes, port, free
        self._leaves = -1  # the last slot's issue
        self._writes: dict[int, int] = {}  # by address: issue of the slot that writes it
        self._written = -VECTOR_REUSE  # issue of the last slot that writes the vector memory
        self._slower = -VECTOR_REUSE  # ... another memory
        self.issued = 0

    def run(self, i: Mapping[str, int], tokens: int, start: int) -> tuple[int, int]:
        """(cycle in which the instruction is taken, cycle in which its last result is there), from `start` on.

        The instruction is taken when its last slot waits behind the one before; the next one is presented then.
        """
        if self._free:
            return start, start
        self._writes = {a: t for a, t in self._writes.items() if t > start - VECTOR_REUSE}
        outer, inner, op = i["outer"], i["inner"], i["op"]
        if not (outer and inner and tokens):
            return self._slots(start, 1), self._leaves + VECTOR_RESULT
        to_memory = i["space"] == Space.VECTOR
        if op in REDUCTIONS:
            taken = self._reduce(i, tokens, start)
        else:
            taken = self._elementwise(i, tokens, start)
        if not to_memory:
            self._slower = self._leaves
        return taken, self._leaves + VECTOR_RESULT + (0 if to_memory else VECTOR_CONVERT)

    def _slots(self, start: int, count: int, earliest: int = 0, writes: bool = False) -> int:
        """Issue `count` slots as soon as they may, the first not before `earliest`; returns when the last is taken in.

        Each of them `writes` the vector memory or none does.
        """
        taken = max(self._leaves, start + VECTOR_START - 1)
        first = max(self._leaves + 1, start + VECTOR_START, earliest)
        if writes:
            before = self._port.issue(first, count - 1) if count > 1 else taken
            taken = before
            self._leaves = self._port.issue(max(before + 1, first), 1)
        else:
            taken = taken if count == 1 else first + count - 2
            self._leaves = first + count - 1
        self.issued += count
        return taken

    def _elementwise(self, i: Mapping[str, int], tokens: int, start: int) -> int:
        outer, inner = i["outer"], i["inner"]
        reads, write = _reads(i), _walk(i, "d")
        to_memory = i["space"] == Space.VECTOR
        total, slot, taken = tokens * outer * inner, 0, start
        earliest = self._slower + 1 + VECTOR_CONVERT if to_memory else 0
        # Only results of earlier instructions are waited for: one never reads what it has written.
        last = max(self._writes.values(), default=-VECTOR_REUSE) + VECTOR_REUSE
        while slot < total and max(self._leaves + 1, start + VECTOR_START) < last:
            at = _step(slot, outer, inner)
            awaited = max(self._writes.get(_address(walk, at), -VECTOR_REUSE) for walk in reads)
            taken = self._slots(start, 1, max(awaited + VECTOR_REUSE, earliest), to_memory)
            if to_memory:
                self._writes[_address(write, at)] = self._leaves
            slot, earliest = slot + 1, 0
        if slot < total:
            taken = self._slots(start, total - slot, earliest, to_memory)
            for back in range(min(total - slot, VECTOR_REUSE) if to_memory else 0):
                self._writes[_address(write, _step(total - 1 - back, outer, inner))] = self._leaves - back
        if to_memory:
            self._written = self._leaves
        return taken

    def _reduce(self, i: Mapping[str, int], tokens: int, start: int) -> int:
        outer, inner, op = i["outer"], i["inner"], i["op"]
        tail, walk = tail_slots(op, inner, self._lanes), _walk(i, "a")
        write, to_memory, taken = _walk(i, "d"), i["space"] == Space.VECTOR, start
        earliest = self._slower + 1 + VECTOR_CONVERT if to_memory else 0
        if op == VectorOp.SUM:
            earliest = max(earliest, self._written + VECTOR_REUSE)
        for row in range(tokens * outer):
            at = _step(row, outer, 1)
            if op == VectorOp.MAXABS:
                base = _address(walk, at)
                for n in range(inner):
                    awaited = self._writes.get(base + n * walk[3], -VECTOR_REUSE) + VECTOR_REUSE
                    self._slots(start, 1, max(awaited, earliest))
                    earliest = 0
                taken = self._slots(start, tail)
            else:
                taken = self._slots(start, inner + tail, earliest)
                earliest = 0
            if to_memory:
                self._writes[_address(write, at)] = self._written = self._leaves
        return taken


def _walk(i: Mapping[str, int], name: str) -> Walk:
    return i[f"{name}_base"], i[f"{name}_token"], i[f"{name}_outer"], i[f"{name}_inner"] if name != "d" else 1


def _reads(i: Mapping[str, int]) -> list[Walk]:
    """The operands that are words of the vector memory."""
    walks = [_walk(i, "a")]
    if i["x"] == Operand.VECTOR and i["op"] not in ONE_OPERAND:
        walks.append(_walk(i, "b"))
    if i["y"] == Operand.VECTOR and i["op"] in FLOAT_OPS:
        walks.append(_walk(i, "c"))
    return walks


def _step(slot: int, outer: int, inner: int) -> tuple[int, int, int]:
    """Token, outer and inner step of a slot."""
    row, n = divmod(slot, inner)
    token, o = divmod(row, outer)
    return token, o, n


def _address(walk: Walk, at: tuple[int, int, int]) -> int:
    base, token, outer, inner = walk
    return base + at[0] * token + at[1] * outer + at[2] * inner
