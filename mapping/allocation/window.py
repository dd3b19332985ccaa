"""Part of a schedule: steps whose order and moves may change while everything before and behind them stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from einloom.mapping.allocation.graph import OperatorGraph, uses
from einloom.mapping.allocation.schedule import Keeps, Order


@dataclass(frozen=True)
class Crossing:
    """What a window has to know of a tensor that it touches or that passes through it.

    Attributes
    ----------
    enters : it is in the scratchpad when the window begins.
    may_leave : it is used behind the window, and may stay in the scratchpad at the window's end.
    stays_behind : it is used behind the window, and as the schedule is, it stays until then if it is there at the end.
    needed_later : it is used behind the window.
    outside : it is outside anyway: an input, an output, or a tensor that is loaded before or behind the window.
    first_free : its first load costs nothing extra, because any schedule makes it.
    """

    enters: bool
    may_leave: bool
    stays_behind: bool
    needed_later: bool
    outside: bool
    first_free: bool


@dataclass(frozen=True)
class Window:
    """The steps from `start` to before `stop` of a schedule.

    With `cut` the window ends at a cut: all that passes on is there at its last step, and what is behind decides
    whether it stays.
    """

    graph: OperatorGraph
    order: Order
    keeps: Keeps
    start: int
    stop: int
    cut: bool = False

    @property
    def operators(self) -> Order:
        """The operators of the window, in their present order."""
        return self.order[self.start : self.stop]

    @cached_property
    def uses(self) -> dict[str, list[int]]:
        """The steps at which each tensor is used."""
        return uses(self.graph, self.order)

    @cached_property
    def crossings(self) -> dict[str, Crossing]:
        """The tensors that matter: used in the window, or in the scratchpad throughout it."""
        found = {}
        for tensor, steps in self.uses.items():
            inside = [s for s in steps if self.start <= s < self.stop]
            before = [s for s in steps if s < self.start]
            behind = [s for s in steps if s >= self.stop]
            kept = self.keeps[tensor]
            enters = bool(before) and (
                (before[-1] == self.start - 1 and len(before) < len(steps)) or _at(kept, len(before) - 1)
            )
            leaves = bool(behind) and (behind[0] == self.stop or _at(kept, len(steps) - len(behind) - 1))
            if not inside and not (enters and leaves):
                continue
            found[tensor] = Crossing(
                enters,
                leaves or (self.cut and bool(behind)),
                leaves,
                bool(behind),
                self._outside(tensor),
                tensor in self.graph.inputs and not before,
            )
        return found

    def _outside(self, tensor: str) -> bool:
        """It is outside whatever the window decides."""
        if tensor in self.graph.inputs or tensor in self.graph.outputs:
            return True
        steps, kept = self.uses[tensor], self.keeps[tensor]
        return any(
            not stays and (at <= self.start - 1 or steps[n] >= self.stop)
            for n, (stays, at) in enumerate(zip(kept, steps[1:], strict=True))
        )

    def merged(self, operators: Sequence[int], present: dict[str, set[int]], leaving: set[str]) -> tuple[Order, Keeps]:
        """The whole schedule with the window's operators in this order.

        `present` has of each tensor the steps of the window for which it stays from the step before; `leaving` are the
        tensors that stay at its end.
        """
        order = (*self.order[: self.start], *operators, *self.order[self.stop :])
        keeps: Keeps = {}
        for tensor, steps in uses(self.graph, order).items():
            keeps[tensor] = tuple(
                self._kept(tensor, a, b, present.get(tensor, set()), leaving)
                for a, b in zip(steps, steps[1:], strict=False)
            )
        return order, keeps

    def _kept(self, tensor: str, a: int, b: int, present: set[int], leaving: set[str]) -> bool:
        """The tensor stays from its use at step a to its next at step b of the new order."""
        if b < self.start or a >= self.stop:  # the uses are those of the old order
            return self.keeps[tensor][self.uses[tensor].index(a)]
        crossing = self.crossings.get(tensor)
        if crossing is None:
            return False
        if a < self.start and not crossing.enters:
            return False
        if b >= self.stop and not (crossing.stays_behind and tensor in leaving):
            return False
        return all(s in present for s in range(max(a + 1, self.start), min(b + 1, self.stop)))


def _at(kept: tuple[bool, ...], n: int) -> bool:
    """The n-th gap is kept; a gap that does not exist is not."""
    return 0 <= n < len(kept) and kept[n]
