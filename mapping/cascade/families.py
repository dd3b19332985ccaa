"""Families of ranks that are one fiber: tiles that a rank is split into, and other names for the same coordinates."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from einloom.mapping.cascade.expression import Access, affine
from einloom.mapping.cascade.model import Cascade
from einloom.mapping.cascade.size import Size


@dataclass(frozen=True)
class Family:
    """A rank with the tile ranks that it is split into.

    Attributes
    ----------
    name : the undivided rank.
    ranks : every rank in it: the undivided one, its tiles, and aliases of both.
    splits : each way in which it is cut, as ranks from the outermost (the tile's number) inwards; empty if it is not.
    aliases : the ranks that are other names for one rank, under that rank.
    wholes : the ranks that run over all of it.
    """

    name: str
    ranks: frozenset[str]
    splits: tuple[tuple[str, ...], ...]
    aliases: dict[str, frozenset[str]]
    wholes: frozenset[str]

    @cached_property
    def leaders(self) -> list[str]:
        """Ranks that a traversal may step through outermost: the tile's number first."""
        if not self.splits:
            return [self.name]
        return list(dict.fromkeys([split[0] for split in self.splits] + [rank for s in self.splits for rank in s]))

    def steps_with(self, leader: str) -> frozenset[str]:
        """The variables that take one coordinate of each step when `leader` is outermost."""
        majors = {split[0] for split in self.splits}
        chosen = majors if leader in majors else {leader}
        named = {alias for rank in chosen for alias in self.aliases[rank]} | self.wholes
        return frozenset(rank.lower() for rank in named)

    @cached_property
    def variables(self) -> frozenset[str]:
        """All variables that run over some part of it."""
        return frozenset(rank.lower() for rank in self.ranks)


def families(cascade: Cascade) -> list[Family]:
    """The ranks of a cascade that some Einsum runs over, each with its tiles, in the order of the file."""
    used = {name.upper() for einsum in cascade.einsums for name in einsum.kept + einsum.reduced}
    order = list(dict.fromkeys([*cascade.ranks, *sorted(used)]))
    splits = _splits(cascade, used)
    same = _aliases(cascade, order, splits)
    named = {rank: min(group, key=order.index) for group in same for rank in group}
    parents: dict[str, list[tuple[str, ...]]] = {}
    for parent, digits in splits:
        cut = tuple(named[rank] for rank in digits)
        if cut not in parents.setdefault(named[parent], []):
            parents[named[parent]].append(cut)
    found = []
    for group in _joined([[parent, *rank] for parent, cuts in parents.items() for rank in cuts], set(named.values())):
        inner = {rank for parent in group for cut in parents.get(parent, []) for rank in cut}
        top = min(group - inner or group, key=order.index)
        ranks = frozenset(rank for rank in order if named[rank] in group)
        if ranks & used:
            aliases = {name: frozenset(rank for rank in ranks if named[rank] == name) for name in group}
            wholes = frozenset(rank for name in group - inner for rank in aliases[name])
            found.append(Family(top, ranks, _leaves(top, group, parents), aliases, wholes))
    return sorted(found, key=lambda family: order.index(family.name))


def _leaves(top: str, group: set[str], parents: dict[str, list[tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """The cuts of a family down to ranks that are not cut themselves."""

    def expand(rank: str) -> list[tuple[str, ...]]:
        if rank not in parents:
            return [(rank,)]
        cuts = []
        for cut in parents[rank]:
            options: list[tuple[str, ...]] = [()]
            for part in cut:
                options = [head + tail for head in options for tail in expand(part)]
            cuts += options
        return cuts

    tops = sorted({rank for rank in group if rank in parents}, key=lambda rank: (rank != top, rank))
    inner = {rank for parent in tops for cut in parents[parent] for rank in cut}
    return tuple(dict.fromkeys(cut for rank in tops if rank not in inner for cut in expand(rank)))


def _splits(cascade: Cascade, used: set[str]) -> list[tuple[str, tuple[str, ...]]]:
    """(rank, tiles) for every index such as m1*M0 + m0, and for every size such as M: M1*M0."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for access in _accesses(cascade):
        for rank, index in zip(cascade.tensors[access.tensor], access.indices, strict=True):
            form = affine(index)
            if form is None or len(form.factors) < 2 or any(factor.leading < 0 for factor in form.factors.values()):
                continue
            tiles = sorted(form.factors, key=lambda name: _weight(cascade, form.factors[name]), reverse=True)
            cut = tuple(name.upper() for name in tiles)
            if rank not in cut:
                found.append((rank, cut))
    for rank, size in cascade.sizes.items():
        names = size.terms[0][0] if len(size.terms) == 1 else ()
        known = {frozenset(cut) for parent, cut in found if parent == rank}
        if len(set(names)) > 1 and set(names) <= used and frozenset(names) not in known:
            found.append((rank, tuple(sorted(names, key=cascade.ranks.index))))
    return list(dict.fromkeys(found))


def _weight(cascade: Cascade, factor: Size) -> tuple[int, int]:
    """Sort key of the variables of an index: size of the step that each takes, largest for the outermost."""
    degree = len(factor.terms[0][0])
    return degree, factor.evaluate({name: nominal(cascade, name) for name in factor.names})


def nominal(cascade: Cascade, rank: str, default: int = 1024) -> int:
    """A number for a rank, to compare sizes by: that of the file if it gives one."""
    size = cascade.sizes.get(rank)
    if size is None:
        return default
    return size.evaluate({name: nominal(cascade, name, default) for name in size.names})


def _accesses(cascade: Cascade) -> Iterator[Access]:
    for einsum in cascade.einsums:
        yield from [einsum.output, *einsum.reads]


def _aliases(cascade: Cascade, order: list[str], splits: list[tuple[str, tuple[str, ...]]]) -> list[set[str]]:
    """Groups of ranks that index the same position of some tensor.

    Two ranks that one Einsum runs over together stay apart: queries and keys may both come from one sequence, and
    yet a fiber of keys is one for a fixed query.
    """
    together = [frozenset(name.upper() for name in einsum.kept + einsum.reduced) for einsum in cascade.einsums]
    groups = [{rank} for rank in order]
    nested = [{parent, tile} for parent, tiles in splits for tile in tiles]
    nested += [set(pair) for _, tiles in splits for pair in combinations(tiles, 2)]
    for access in _accesses(cascade):
        for rank, index in zip(cascade.tensors[access.tensor], access.indices, strict=True):
            form = affine(index)
            if form is None or len(form.factors) != 1:
                continue
            first = next((group for group in groups if rank in group), None)
            second = next(group for group in groups if next(iter(form.factors)).upper() in group)
            if first is None or first is second:
                continue
            apart = any(run & first and run & second for run in together)
            if not apart and not any(len(pair & first) and len(pair & second) for pair in nested):
                first |= second
                groups.remove(second)
    return groups


def _joined(links: Iterable[list[str]], members: set[str]) -> list[set[str]]:
    groups = [{member} for member in sorted(members)]
    for link in links:
        touched = [group for group in groups if group & set(link)]
        groups = [group for group in groups if group not in touched] + [set().union(*touched)]
    return groups
