"""The units of a core side by side, as far as permits go: queues, counters and barriers, in any order of events."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS, Unit

Move = tuple[str, Unit]
"""What may happen next: `dispatch`, `start` or `complete`, of a unit."""


@dataclass
class Execution:
    """One that has come to its end.

    Attributes
    ----------
    started, completed : of each instruction, the number of the event.
    most : permits that waited at once, at most, by (giving, taking) unit.
    """

    started: dict[int, int] = field(default_factory=dict)
    completed: dict[int, int] = field(default_factory=dict)
    most: dict[tuple[Unit, Unit], int] = field(default_factory=dict)


class Units:
    """An execution of `instructions` that goes on by one event at a time.

    The sequencer hands them out in order, to queues that hold `depth` of them each, and stops at instructions of
    CONTROL until everything is complete.

    Attributes
    ----------
    execution : so far.
    running : the instruction that each unit is at, if it is at one.
    """

    def __init__(self, instructions: Sequence[Instruction], depth: int) -> None:
        self.execution = Execution()
        self._instructions, self._depth = instructions, depth
        self._next, self._events = 0, 0
        self._queues: dict[Unit, deque[int]] = {u: deque() for u in UNITS}
        self.running: dict[Unit, int] = {}
        self._permits = {(giver, taker): 0 for giver in UNITS for taker in UNITS}

    def moves(self) -> list[Move]:
        """What may happen next; nothing when the end is reached, or never will be."""
        found = [("complete", u) for u in UNITS if u in self.running]
        for u in UNITS:
            if u not in self.running and self._queues[u] and self._may_start(u, self._queues[u][0]):
                found.append(("start", u))
        if self._next < len(self._instructions):
            unit = self._instructions[self._next].opcode.unit
            idle = not self.running and not any(self._queues.values())
            if idle if unit is Unit.CONTROL else len(self._queues[unit]) < self._depth:
                found.append(("dispatch", unit))
        return found

    def move(self, move: Move) -> None:
        """Let it happen."""
        kind, unit = move
        self._events += 1
        if kind == "dispatch":
            if unit is Unit.CONTROL:
                assert not any(self._permits.values()), f"permits are left at the barrier {self._next}: {self._permits}"
            else:
                self._queues[unit].append(self._next)
            self._next += 1
        elif kind == "start":
            n = self.running[unit] = self._queues[unit].popleft()
            for giver in self._partners(n, "wait"):
                self._permits[giver, unit] -= 1
            self.execution.started[n] = self._events
        else:
            n = self.running.pop(unit)
            for taker in self._partners(n, "signal"):
                self._permits[unit, taker] += 1
                most = self.execution.most
                most[unit, taker] = max(most.get((unit, taker), 0), self._permits[unit, taker])
            self.execution.completed[n] = self._events

    def _may_start(self, unit: Unit, n: int) -> bool:
        return all(self._permits[giver, unit] for giver in self._partners(n, "wait"))

    def _partners(self, n: int, name: str) -> list[Unit]:
        return [u for u in UNITS if self._instructions[n][name] >> u & 1]


def execute(instructions: Sequence[Instruction], depth: int, choose: Callable[[list[Move]], Move]) -> Execution:
    """An execution in which `choose` says what happens; AssertionError when it ends early or leaves permits."""
    units = Units([*instructions, Instruction.make("end")], depth)
    while moves := units.moves():
        units.move(choose(moves))
    left = sorted(set(range(len(instructions))) - {*units.execution.completed, *_control(instructions)})
    assert not left, f"nothing can happen any more, but instructions {left} are not complete"
    return units.execution


def _control(instructions: Sequence[Instruction]) -> list[int]:
    return [n for n, i in enumerate(instructions) if i.opcode.unit is Unit.CONTROL]
