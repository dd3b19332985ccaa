"""Number of passes over each rank that any mapping of a cascade must make, from its dependencies alone.

Definition: FuseMax (MICRO 2024). Names play no part, except that a rank variable runs over the rank of its name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from einloom.mapping.cascade.dependencies import Block, Loop, blocks
from einloom.mapping.cascade.expression import variables
from einloom.mapping.cascade.families import Family, families
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.size import Size
from einloom.mapping.cascade.traverse import Barrier, TooFewPasses, Traversal

ROUNDS = 3
"""Rounds of the loops over other ranks, after which their growth is taken to be steady."""


@dataclass(frozen=True)
class FiberPasses:
    """The passes over one tensor's fiber, as a size because a loop may repeat them, and the traversal behind it."""

    tensor: str
    count: Size
    traversal: Traversal


@dataclass(frozen=True)
class RankPasses:
    """The passes over a rank: the most that the fiber of some tensor needs.

    Attributes
    ----------
    rank : the family, or one tile rank of it.
    leader : the rank that the traversals step through outermost.
    fibers : fibers of all tensors that have the rank.
    """

    rank: str
    family: Family
    leader: str
    fibers: tuple[FiberPasses, ...]

    @cached_property
    def count(self) -> Size:
        """The number of passes, a constant unless an iteration over another rank repeats them."""
        return max((fiber.count for fiber in self.fibers), key=_weight)

    @cached_property
    def why(self) -> tuple[Barrier, ...]:
        """One barrier for each pass after the first, along the fiber that needs the most."""
        worst = max(self.fibers, key=lambda fiber: _weight(fiber.count))
        found: dict[int, Barrier] = {}
        for barrier in worst.traversal.barriers:
            found.setdefault(barrier.number, barrier)
        return tuple(found[number] for number in sorted(found))

    def fiber(self, tensor: str) -> FiberPasses | None:
        """The passes over a tensor's fiber; None when it has none along this rank."""
        return next((fiber for fiber in self.fibers if fiber.tensor == tensor), None)

    def pass_of(self, einsum: Einsum) -> int | None:
        """The earliest pass of the rank that an Einsum can be fused into; None when it doesn't run over the rank."""
        if not set(einsum.kept + einsum.reduced) & self.family.steps_with(self.leader):
            return None
        last = max(fiber.traversal.passes for fiber in self.fibers)
        return min(self.stage_of(einsum), last)

    def stage_of(self, einsum: Einsum) -> int:
        """The earliest pass of an Einsum, not capped at the rank's last pass as `pass_of` is.

        An Einsum that waits for the end of the last pass gets the number behind it.
        """
        return max([1, *((fiber.traversal.run_of(einsum) + 2) // 2 for fiber in self.fibers)])


@dataclass(frozen=True)
class PassAnalysis:
    """Passes over every rank, and over the ranks within a tile, which a tile's buffer serves."""

    cascade: Cascade
    ranks: tuple[RankPasses, ...]
    tiles: tuple[RankPasses, ...]

    def rank(self, name: str) -> RankPasses:
        """The passes over the rank `name`; KeyError when nothing runs over it."""
        found = next((entry for entry in self.ranks if entry.rank == name), None)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def counts(self) -> dict[str, Size]:
        """The number of passes over each rank."""
        return {entry.rank: entry.count for entry in self.ranks}


def analyse(cascade: Cascade) -> PassAnalysis:
    """The passes over every rank of a cascade."""
    order = blocks(cascade)
    ranks, tiles = [], []
    for family in families(cascade):
        found = _rank_passes(cascade, order, family, family.name, family.leaders)
        ranks.append(replace(found, fibers=found.fibers + tuple(_shared(cascade, order, family))))
        for leader in family.leaders if family.splits else []:
            inside = Family(leader, family.aliases[leader], (), family.aliases, family.aliases[leader] | family.wholes)
            tiles.append(_rank_passes(cascade, order, inside, leader, [leader]))
    return PassAnalysis(cascade, tuple(ranks), tuple(tiles))


def _shared(cascade: Cascade, order: Sequence[Block], family: Family) -> Iterator[FiberPasses]:
    """Fibers of tensors that are read through two ranks, as in Y[m] = X[m] + sum(j) A[m, j] * X[j].

    Neither rank alone shows that X[m] is read again after every X[j]: one family is followed here, and elements that
    are read through the other count. What is found belongs to the rank that the tensor is declared with.
    """
    others = families(cascade)
    for tensor, ranks in cascade.tensors.items():
        reads = [access for einsum in cascade.einsums for access in einsum.reads if access.tensor == tensor]
        for position in (n for n, rank in enumerate(ranks) if rank in family.ranks):
            names = {name for access in reads for name in variables(access.indices[position])}
            through = [other for other in others if names & other.variables]
            for other in through if len(through) > 1 else []:
                if Traversal(cascade, other, other.leaders[0], tensor).positions(tensor):
                    yield _fiber(cascade, order, other, other.leaders[0], tensor, revisits=True)


def _rank_passes(
    cascade: Cascade, order: Sequence[Block], family: Family, rank: str, leaders: Sequence[str]
) -> RankPasses:
    """The passes with the outermost rank that needs the fewest."""
    options = [RankPasses(rank, family, leader, _fibers(cascade, order, family, leader)) for leader in leaders]
    return min(options, key=lambda option: _weight(option.count))


def _fibers(cascade: Cascade, order: Sequence[Block], family: Family, leader: str) -> tuple[FiberPasses, ...]:
    found = []
    for tensor in dict.fromkeys([*cascade.inputs, *(einsum.tensor for einsum in cascade.einsums)]):
        # A tensor without the outermost rank, such as a maximum per tile, is a fiber along the first rank that it has.
        for rank in [leader, *family.leaders]:
            if Traversal(cascade, family, rank, tensor).positions(tensor):
                found.append(_fiber(cascade, order, family, rank, tensor))
                break
    return tuple(found)


def _fiber(
    cascade: Cascade, order: Sequence[Block], family: Family, leader: str, tensor: str, *, revisits: bool = False
) -> FiberPasses:
    """The passes over one fiber; what a loop over another rank adds each time round is multiplied by its size."""
    steps = family.steps_with(leader)
    loops = list(dict.fromkeys(loop.variable for loop in _loops(order) if loop.variable not in steps))
    rounds = dict.fromkeys(loops, ROUNDS)
    base = _fewest(cascade, order, Traversal(cascade, family, leader, tensor, unroll=rounds, revisits=revisits))
    count = Size.of(base.passes)
    for variable in loops:
        more = Traversal(cascade, family, leader, tensor, unroll={**rounds, variable: ROUNDS + 1}, revisits=revisits)
        growth = _fewest(cascade, order, more).passes - base.passes
        count = count + (Size.of(variable.upper()) - ROUNDS) * growth
    return FiberPasses(tensor, count, base)


def _fewest(cascade: Cascade, order: Sequence[Block], start: Traversal) -> Traversal:
    """The traversal with the fewest passes, over all choices of a direction for each of them."""
    ways = {loop.direction for loop in _loops(order) if loop.variable in start.steps}
    for number in range(1, 2 * len(cascade.einsums) * ROUNDS):
        for directions in product((1, -1), repeat=number) if len(ways) > 1 else [()]:
            traversal = replace(start, directions=directions)
            try:
                return traversal.go(order)
            except TooFewPasses:
                continue
    raise AssertionError("every pass can be given the direction that its scans need")


def _loops(order: Sequence[Block]) -> Iterator[Loop]:
    for block in order:
        if isinstance(block, Loop):
            yield block
            yield from _loops(block.body)


def _weight(count: Size) -> tuple[int, int]:
    """Sort key of numbers of passes: one that grows with a rank is more than one that doesn't."""
    growth = sum(factor for names, factor in count.terms if names)
    return growth, count.evaluate(dict.fromkeys(count.names, 0))
