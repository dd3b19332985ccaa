"""The integer program of order and replacement, with or without addresses (COSMA, arXiv 2311.18246, section III).

Variables, for an operator o, a tensor a and a step t of a window of T steps:

    X[o,t]  o runs at t. A tensor that o writes is created then: COSMA's C[a,t].
    P[a,t]  a stays in the scratchpad from step t - 1 to step t; P[a,T] to what is behind the window.
    R[a,t]  a is loaded for step t.
    K[a]    a is stored, once: the sum of COSMA's S[a,t] over t. When is free: while it is there for the first time.
    L[a,t]  the word where a lies, with U[a,b,t]: a lies below b. Only with addresses.

One operator runs at each step and each runs once. Let in[a,t] = C[a,t] + P[a,t] + R[a,t] be 1 where a is there.

    X[o,t] <= P[a,t] + R[a,t]           for each a that o reads
    P[a,t] <= in[a,t-1]                 or, at t = 0, whether it enters the window
    R[a,t] <= K[a], R[a,t] <= the operators that read a at t
    sum of words[a] * in[a,t] <= the scratchpad's words
    minimise the sum of words[a] * (K[a] + R[a,t])

A load just before a use is never worse than an earlier one, and storing early costs nothing, so nothing is lost by
either. Steps of an operator are those that its ancestors and descendants leave. With addresses, and M the scratchpad's
words:

    0 <= L[a,t] <= M - words[a]
    |L[a,t] - L[a,t-1]| <= M * (1 - P[a,t])
    L[a,t] + words[a] <= L[b,t] + M * (3 - U[a,b,t] - in[a,t] - in[b,t]), and the same with a and b exchanged and 1 - U
"""

import math
from itertools import combinations

from einloom.mapping.allocation.schedule import Keeps, Order
from einloom.mapping.allocation.solver import Program, Solution, total
from einloom.mapping.allocation.window import Crossing, Window


class OrderProgram:
    """The program of a window; `solve` gives the whole schedule with the window at its best."""

    def __init__(self, window: Window, words: int, *, addresses: bool = False) -> None:
        self._window, self._graph = window, window.graph
        self._steps = range(window.stop - window.start)
        self._unit = math.gcd(*(self._graph.sizes[tensor] for tensor in window.crossings))
        self._words = words // self._unit
        self._program = Program()
        self._x: dict[tuple[int, int], int] = {}
        self._p: dict[tuple[str, int], int] = {}
        self._r: dict[tuple[str, int], int] = {}
        self._k: dict[str, int] = {}
        self._l: dict[tuple[str, int], int] = {}
        self._u: dict[tuple[str, str, int], int] = {}
        self._constant = 0
        """Units that the window pays whatever it decides."""
        self._orders()
        for tensor, crossing in window.crossings.items():
            self._replacement(tensor, crossing)
        for n in window.operators:
            self._inputs(n)
        for t in self._steps:
            there = [(v, float(self._size(a))) for a in window.crossings for v in self._there(a, t)]
            self._program.at_most(total(there), self._words)
        if addresses:
            self._addresses()

    @property
    def size(self) -> tuple[int, int]:
        """Variables and rows."""
        return self._program.size

    def solve(self, seconds: float) -> tuple[Order, Keeps, Solution]:
        """Order and keeps of the whole schedule, the present ones if nothing better was found in time, and what the
        solver said, its figures in words that the window pays."""
        found = self._program.minimise(seconds, self._present())
        units = Solution(
            found.values,
            (found.objective + self._constant) * self._unit,
            (found.bound + self._constant) * self._unit,
            found.optimal,
            found.infeasible,
        )
        if not found.values:
            return self._window.order, self._window.keeps, units
        start, on = self._window.start, [value > 0.5 for value in found.values]
        operators = [n for _, n in sorted((t, n) for (n, t), x in self._x.items() if on[x])]
        present: dict[str, set[int]] = {}
        leaving = set[str]()
        for (tensor, t), p in self._p.items():
            if on[p] and t < len(self._steps):
                present.setdefault(tensor, set()).add(start + t)
            elif on[p]:
                leaving.add(tensor)
        order, keeps = self._window.merged(operators, present, leaving)
        return order, keeps, units

    def _size(self, tensor: str) -> int:
        return self._graph.sizes[tensor] // self._unit

    def _orders(self) -> None:
        """X, within the steps that each operator can have, one each; and what it needs before it."""
        operators, program = self._window.operators, self._program
        inside = sum(1 << n for n in operators)
        before = {n: self._graph.before[n] & inside for n in operators}
        behind = {n: sum(1 << m for m in operators if before[m] >> n & 1) for n in operators}
        for n in operators:
            for t in range(before[n].bit_count(), len(operators) - behind[n].bit_count()):
                self._x[n, t] = program.binary()
        for n in operators:
            program.equal({self._x[n, t]: 1.0 for t in self._steps if (n, t) in self._x}, 1)
        for t in self._steps:
            program.equal({self._x[n, t]: 1.0 for n in operators if (n, t) in self._x}, 1)
        for n in operators:
            needed = {self._graph.producer[a] for a in self._graph.operators[n].reads if a in self._graph.producer}
            for m in sorted(needed & set(operators)):
                self._after(n, m)

    def _after(self, n: int, m: int) -> None:
        """n runs after m: by step t no more of n than of m by step t - 1."""
        for t in self._steps:
            if (n, t) in self._x:
                earlier = {self._x[m, s]: -1.0 for s in range(t) if (m, s) in self._x}
                self._program.at_most({self._x[n, s]: 1.0 for s in range(t + 1) if (n, s) in self._x} | earlier, 0)

    def _readers(self, tensor: str) -> list[int]:
        return [n for n in self._window.operators if tensor in self._graph.operators[n].reads]

    def _replacement(self, tensor: str, crossing: Crossing) -> None:
        """P, R and K of a tensor."""
        program, readers, size = self._program, self._readers(tensor), self._size(tensor)
        last = max((t for n, t in self._x if n in readers), default=-1)
        if crossing.may_leave:
            last = len(self._steps)
        loads = list[int]()
        store = None if crossing.outside else program.binary(size)
        if store is not None:
            self._k[tensor] = store
        for t in range(last + 1):
            if (earlier := self._there(tensor, t - 1)) or (t == 0 and crossing.enters):
                p = self._p[tensor, t] = program.binary()
                if t:
                    program.at_most({p: 1.0} | dict.fromkeys(earlier, -1.0), 0)
            reading = [self._x[n, t] for n in readers if (n, t) in self._x]
            if reading and t < len(self._steps):
                r = self._r[tensor, t] = program.binary(size)
                loads.append(r)
                program.at_most({r: 1.0} | dict.fromkeys(reading, -1.0), 0)
                if (tensor, t) in self._p:
                    program.at_most({r: 1.0, self._p[tensor, t]: 1.0}, 1)
        if crossing.first_free and loads:
            self._constant -= size
        self._at_the_end(tensor, crossing, store)
        if store is not None:
            for r in loads:
                program.at_most({r: 1.0, store: -1.0}, 0)

    def _at_the_end(self, tensor: str, crossing: Crossing, store: int | None) -> None:
        """What does not stay until its use behind the window is loaded there, and was stored."""
        size, leaves = self._size(tensor), self._p.get((tensor, len(self._steps)))
        if not crossing.needed_later:
            return
        self._constant += size
        if leaves is not None:
            self._program.charge(leaves, -size)
            if store is not None:
                self._program.at_least({leaves: 1.0, store: 1.0}, 1)
        elif store is not None:
            self._program.at_least({store: 1.0}, 1)

    def _there(self, tensor: str, t: int) -> list[int]:
        """The variables whose sum says that the tensor is there at step t."""
        found = [v for v in (self._p.get((tensor, t)), self._r.get((tensor, t))) if v is not None]
        producer = self._graph.producer.get(tensor, -1)
        return found + ([self._x[producer, t]] if (producer, t) in self._x else [])

    def _inputs(self, n: int) -> None:
        """What an operator reads is there."""
        for tensor in self._graph.operators[n].reads:
            for t in self._steps:
                if (n, t) in self._x:
                    there = [v for v in (self._p.get((tensor, t)), self._r.get((tensor, t))) if v is not None]
                    self._program.at_most({self._x[n, t]: 1.0} | dict.fromkeys(there, -1.0), 0)

    def _addresses(self) -> None:
        program, most = self._program, self._words
        for tensor in self._window.crossings:
            for t in self._steps:
                if not self._there(tensor, t):
                    continue
                here = self._l[tensor, t] = program.variable(0, most - self._size(tensor))
                if t and (tensor, t) in self._p:
                    there, p = self._l[tensor, t - 1], self._p[tensor, t]
                    program.at_most({here: 1.0, there: -1.0, p: float(most)}, most)
                    program.at_most({there: 1.0, here: -1.0, p: float(most)}, most)
        for t in self._steps:
            for a, b in combinations([a for a in self._window.crossings if (a, t) in self._l], 2):
                u = self._u[a, b, t] = program.binary()
                self._apart(a, b, t, {u: 1.0}, 3)
                self._apart(b, a, t, {u: -1.0}, 2)

    def _apart(self, a: str, b: str, t: int, below: dict[int, float], free: int) -> None:
        """a ends where b begins, or earlier, where both are there and the binary of `below` says so."""
        most = float(self._words)
        terms = [(self._l[a, t], 1.0), (self._l[b, t], -1.0), *((u, f * most) for u, f in below.items())]
        terms += [(v, most) for v in (*self._there(a, t), *self._there(b, t))]
        self._program.at_most(total(terms), free * most - self._size(a))

    def _present(self) -> list[float]:
        """The present schedule as a start; none with addresses, which the solver has to find itself."""
        if self._l:
            return []
        start = self._window.start
        values = [0.0] * self._program.size[0]
        at = {n: t for t, n in enumerate(self._window.operators)}
        for n, t in at.items():
            values[self._x[n, t]] = 1.0
        for tensor, crossing in self._window.crossings.items():
            self._present_tensor(tensor, crossing, start, values)
        return values

    def _present_tensor(self, tensor: str, crossing: Crossing, start: int, values: list[float]) -> None:
        steps, kept = self._window.uses[tensor], self._window.keeps[tensor]

        def stays(t: int) -> bool:
            """From step t - 1 to step t of the window."""
            return any(a < start + t <= b and k for a, b, k in zip(steps, steps[1:], kept, strict=False))

        dropped = False
        for t in range(len(self._steps) + 1):
            if (tensor, t) in self._p and stays(t):
                values[self._p[tensor, t]] = 1.0
            elif (tensor, t) in self._r and start + t in steps:
                values[self._r[tensor, t]] = 1.0
                dropped = True
        left = values[self._p[tensor, len(self._steps)]] if (tensor, len(self._steps)) in self._p else 0.0
        if tensor in self._k and (dropped or (crossing.needed_later and not left)):
            values[self._k[tensor]] = 1.0
