"""The integer program of replacement and addresses for an order that is given.

Between two uses of a tensor is a gap. Variables, for a tensor a and its n-th use at step t(a,n):

    P[a,n]  a stays through the gap after its n-th use
    K[a]    a is stored
    L[a,n]  the word where a lies at that use and through the gap, if it stays
    U       which of two tensors lies below the other, from the later one of two uses on

Where a use of b falls on a use of a, they lie apart; where it falls into a gap of a, they do if a stays. It is COSMA's
program (arXiv 2311.18246, section III) with the operators' steps known, and far smaller.
"""

import math
from collections.abc import Sequence

from einloom.mapping.allocation.graph import OperatorGraph, uses
from einloom.mapping.allocation.greedy import Placement
from einloom.mapping.allocation.schedule import Run
from einloom.mapping.allocation.solver import Program, Solution


class AddressProgram:
    """The program of an order."""

    def __init__(self, graph: OperatorGraph, order: Sequence[int], words: int, *, addresses: bool = True) -> None:
        """With `addresses`, or only that what is there fits `words` together."""
        self._graph, self._addresses = graph, addresses
        self._uses = {tensor: steps for tensor, steps in uses(graph, order).items() if steps}
        self._unit = math.gcd(*(graph.sizes[tensor] for tensor in self._uses))
        self._words = words // self._unit
        self._program = Program()
        self._p: dict[tuple[str, int], int] = {}
        self._l: dict[tuple[str, int], int] = {}
        self._constant = 0
        for tensor, steps in self._uses.items():
            self._replacement(tensor, len(steps))
        self._pairs(len(order))

    def solve(self, seconds: float, start: Placement | None = None) -> tuple[Placement | None, Solution]:
        """What stays and where it lies; None if nothing was found in time. Costs are words moved beyond the compulsory
        ones."""
        given = self._values(start) if start is not None and not self._addresses else []
        found = self._program.minimise(seconds, given)
        extra = (found.objective + self._constant) * self._unit, (found.bound + self._constant) * self._unit
        solution = Solution(found.values, *extra, found.optimal, found.infeasible)
        if not found.values:
            return None, solution
        keeps = {tensor: tuple[bool, ...]() for tensor in self._graph.sizes}
        placed: dict[Run, int] = {}
        for tensor, steps in self._uses.items():
            kept = tuple(found.values[self._p[tensor, n]] > 0.5 for n in range(len(steps) - 1))
            keeps[tensor] = kept
            first = 0
            for n in range(len(steps)):
                if n == len(steps) - 1 or not kept[n]:
                    if self._addresses:
                        run = Run(steps[first], steps[n], tensor, self._graph.sizes[tensor])
                        placed[run] = round(found.values[self._l[tensor, first]]) * self._unit
                    first = n + 1
        return Placement(keeps, placed), solution

    def _size(self, tensor: str) -> int:
        return self._graph.sizes[tensor] // self._unit

    def _replacement(self, tensor: str, count: int) -> None:
        program, size = self._program, self._size(tensor)
        outside = tensor in self._graph.inputs or tensor in self._graph.outputs
        gaps = range(count - 1)
        for n in gaps:
            self._p[tensor, n] = program.binary(-size)
        self._constant += size * len(gaps)
        if gaps and not outside:
            store = program.binary(size)
            for n in gaps:
                program.at_least({store: 1.0, self._p[tensor, n]: 1.0}, 1)
        if not self._addresses:
            return
        most = self._words
        for n in range(count):
            self._l[tensor, n] = program.variable(0, most - size, integer=True)
        for n in gaps:
            here, there, p = self._l[tensor, n], self._l[tensor, n + 1], self._p[tensor, n]
            program.at_most({here: 1.0, there: -1.0, p: float(most)}, most)
            program.at_most({there: 1.0, here: -1.0, p: float(most)}, most)

    def _pairs(self, steps: int) -> None:
        """What is there fits, at each step; with addresses no two tensors meet."""
        apart = set[tuple[tuple[str, int], tuple[str, int]]]()
        for step in range(steps):
            used, staying = list[tuple[str, int]](), list[tuple[str, int]]()
            for tensor, at in self._uses.items():
                n = sum(1 for s in at if s <= step) - 1
                if n >= 0 and at[n] == step:
                    used.append((tensor, n))
                elif 0 <= n < len(at) - 1:
                    staying.append((tensor, n))
            free = self._words - sum(self._size(tensor) for tensor, _ in used)
            if staying:
                self._program.at_most({self._p[a]: float(self._size(a[0])) for a in staying}, free)
            if self._addresses:
                for k, a in enumerate(used):
                    for b in (*used[k + 1 :], *staying):
                        if (a, b) not in apart:
                            apart.add((a, b))
                            self._apart(a, b, self._p[b] if b in staying else None)
        # Two that stay through a step meet first where the later one is used, so that step has their row.

    def _apart(self, a: tuple[str, int], b: tuple[str, int], stays: int | None) -> None:
        program, most = self._program, float(self._words)
        below = program.binary()
        on = {stays: most} if stays is not None else {}
        slack = most if stays is not None else 0.0
        la, lb = self._l[a], self._l[b]
        program.at_most({la: 1.0, lb: -1.0, below: most} | on, most + slack - self._size(a[0]))
        program.at_most({lb: 1.0, la: -1.0, below: -most} | on, slack - self._size(b[0]))

    def _values(self, start: Placement) -> list[float]:
        """A start without addresses."""
        values = [0.0] * self._program.size[0]
        for (tensor, n), p in self._p.items():
            values[p] = float(start.keeps[tensor][n])
        for tensor, kept in start.keeps.items():
            if (tensor, 0) in self._p and not (tensor in self._graph.inputs or tensor in self._graph.outputs):
                store = self._p[tensor, len(kept) - 1] + 1
                values[store] = float(not all(kept))
        return values
