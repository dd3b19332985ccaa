"""The greedy allocator: first fit, and Belady's rule when nothing fits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from einloom.mapping.allocation.graph import OperatorGraph, uses
from einloom.mapping.allocation.packing import pack
from einloom.mapping.allocation.schedule import Keeps, Run, runs_of
from einloom.spec.errors import InputError


@dataclass
class _Lying:
    """A tensor in the scratchpad: its word, the step since when, and the steps still to come that use it."""

    address: int
    since: int
    coming: list[int]


@dataclass
class Placement:
    """What an allocator decides for an order: what stays, and where each run lies."""

    keeps: Keeps
    addresses: dict[Run, int] = field(default_factory=dict)


def greedy(graph: OperatorGraph, order: Sequence[int], words: int, planned: Keeps | None = None) -> Placement:
    """Place tensors one by one at the lowest address that is free for them.

    When none is free for the next one, the tensor whose next use is farthest away is moved out (Belady, 1966), and so
    on until it fits. What the present operator needs stays. When that alone is scattered so that nothing fits, it is
    moved together, which costs as if it had been moved out and in again.

    With `planned` keeps, what they drop is dropped at once and the rule is the last resort.

    Raises InputError when an operator needs more than `words`.
    """
    check_fits(graph, words)
    return _Greedy(graph, order, words, planned).run()


def greedy_packed(graph: OperatorGraph, order: Sequence[int], words: int) -> Placement | None:
    """Belady's rule where only the sum of words counts, and addresses for the outcome as a whole, as an allocator that
    plans ahead finds them; None when it finds none.

    Raises InputError when an operator needs more than `words`.
    """
    check_fits(graph, words)
    keeps = _Greedy(graph, order, words, None, holes=False).run().keeps
    addresses = pack(runs_of(graph, order, keeps), words)
    return None if addresses is None else Placement(keeps, addresses)


def check_fits(graph: OperatorGraph, words: int) -> None:
    """InputError with the operator that needs most, unless each operator fits alone."""
    needed = graph.largest_footprint
    if needed > words:
        operator = graph.operators[graph.footprints.index(needed)]
        raise InputError(
            f"{graph.name}: a scratchpad of {words:,} words is too small: {operator.name} needs {needed:,} at once; "
            f"give --words {needed} or more"
        )


class _Greedy:
    """The walk. Without `holes` a tensor fits where as many words are free, wherever they are."""

    def __init__(
        self, graph: OperatorGraph, order: Sequence[int], words: int, planned: Keeps | None, *, holes: bool = True
    ) -> None:
        self._holes = holes
        self._graph, self._order, self._words, self._planned = graph, order, words, planned
        self._uses = uses(graph, order)
        self._there: dict[str, _Lying] = {}
        self._keeps: dict[str, list[bool]] = {tensor: [True] * (len(u) - 1) for tensor, u in self._uses.items() if u}
        self._placed: dict[Run, int] = {}

    def run(self) -> Placement:
        """Walk through the order."""
        for step, n in enumerate(self._order):
            operator = self._graph.operators[n]
            needed = list(dict.fromkeys((*operator.reads, *operator.writes)))
            missing = [tensor for tensor in needed if tensor not in self._there]
            for tensor in sorted(missing, key=lambda t: -self._graph.sizes[t]):
                if not self._place(step, tensor, set(needed)):
                    self._gather(step, needed)
                    break
            self._leave(step)
        keeps = {tensor: tuple(self._keeps.get(tensor, ())) for tensor in self._graph.sizes}
        return Placement(keeps, self._placed)

    def _place(self, step: int, tensor: str, needed: set[str]) -> bool:
        """Put a tensor somewhere; False when only what is needed now is left in the way."""
        while (address := self._hole(self._graph.sizes[tensor])) is None:
            others = [t for t in self._there if t not in needed]
            if not others:
                return False
            self._drop(max(others, key=lambda t: self._there[t].coming[0]), step - 1)
        self._there[tensor] = _Lying(address, step, [s for s in self._uses[tensor] if s >= step])
        return True

    def _gather(self, step: int, needed: list[str]) -> None:
        """Put all that this step needs side by side from word 0 on."""
        for tensor in list(self._there):
            if self._there[tensor].since < step:
                self._drop(tensor, step - 1)
        self._there.clear()
        address = 0
        for tensor in needed:
            self._there[tensor] = _Lying(address, step, [s for s in self._uses[tensor] if s >= step])
            address += self._graph.sizes[tensor]

    def _leave(self, step: int) -> None:
        """After a step: what nothing uses any more goes, and what the plan drops."""
        for tensor, lying in list(self._there.items()):
            if lying.coming and lying.coming[0] == step:
                lying.coming.pop(0)
                gap = self._uses[tensor].index(step)
                if not lying.coming or (self._planned is not None and not self._planned[tensor][gap]):
                    self._drop(tensor, step)

    def _drop(self, tensor: str, step: int) -> None:
        """The tensor's run ends at its last use up to `step`."""
        lying = self._there.pop(tensor)
        steps = self._uses[tensor]
        last = max(s for s in steps if s <= step)
        if (gap := steps.index(last)) < len(steps) - 1:
            self._keeps[tensor][gap] = False
        self._placed[Run(lying.since, last, tensor, self._graph.sizes[tensor])] = lying.address

    def _hole(self, size: int) -> int | None:
        """The lowest address where `size` words are free."""
        if not self._holes:
            return 0 if size + self._graph.words(self._there) <= self._words else None
        address = 0
        for start, end in sorted((t.address, t.address + self._graph.sizes[name]) for name, t in self._there.items()):
            if start - address >= size:
                return address
            address = end
        return address if self._words - address >= size else None
