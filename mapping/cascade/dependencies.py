"""The order in which a cascade can be evaluated: one Einsum after the other, and loops over iterative ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

from einloom.mapping.cascade.expression import Access, Affine, affine
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.size import Size
from einloom.spec.errors import InputError


@dataclass(frozen=True)
class Loop:
    """Einsums that feed each other from one coordinate of `variable` to the next; `direction` is 1, or -1 for down."""

    variable: str
    direction: int
    body: "tuple[Block, ...]"

    @property
    def einsums(self) -> list[Einsum]:
        """All Einsums in the loop and in those inside it."""
        return [einsum for block in self.body for einsum in (block.einsums if isinstance(block, Loop) else [block])]


Block = Einsum | Loop


class CyclicCascade(InputError):
    """Einsums that need each other's results at the same coordinates."""

    def __init__(self, einsums: list[Einsum]) -> None:
        super().__init__("cyclic dependency")
        self.einsums = einsums


@dataclass(frozen=True)
class Edge:
    """Einsum `reader` reads what `writer` writes; `steps` says how many coordinates earlier, for variables of both."""

    writer: int
    reader: int
    steps: tuple[tuple[str, int], ...]

    def step(self, variable: str) -> int | None:
        return dict(self.steps).get(variable)


def blocks(cascade: Cascade) -> tuple[Block, ...]:
    """The cascade in an order that respects its dependencies, as near to the file's as can be."""
    return _arrange(cascade.einsums, list(range(len(cascade.einsums))), _edges(cascade))


def _edges(cascade: Cascade) -> list[Edge]:
    edges = []
    for reader, einsum in enumerate(cascade.einsums):
        for access in einsum.reads:
            for writer, source in enumerate(cascade.einsums):
                if source.tensor != access.tensor or not overlap(cascade, source.output, access):
                    continue
                steps = {}
                for out, read in zip(source.output.indices, access.indices, strict=True):
                    a, b = affine(out), affine(read)
                    if a is None or b is None or len(a.factors) != 1 or a.factors != b.factors:
                        continue
                    distance = (a.constant - b.constant).constant
                    if distance is not None:
                        steps[next(iter(a.factors))] = distance
                edges.append(Edge(writer, reader, tuple(sorted(steps.items()))))
    return edges


def overlap(cascade: Cascade, output: Access, other: Access) -> bool:
    """True when an element that an Einsum writes at `output` may be one that `other` names."""
    if len(output.indices) != len(other.indices):
        return False  # reported as an arity mismatch
    forms = [(affine(a), affine(b)) for a, b in zip(output.indices, other.indices, strict=True)]
    return all(a is None or b is None or _meet(cascade, a, b) for a, b in forms)


def _meet(cascade: Cascade, first: Affine, second: Affine) -> bool:
    """True when two indices can be equal, each variable running from 0 to the end of its rank."""
    if first.factors and second.factors:
        return True
    if not first.factors and not second.factors:
        return first.constant == second.constant
    constant, ranged = (second, first) if first.factors else (first, second)
    if len(ranged.factors) > 1 or next(iter(ranged.factors.values())).constant != 1:
        return True
    rank = next(iter(ranged.factors)).upper()
    past = constant.constant - ranged.constant  # which value of the variable the constant is
    if past in {Size.of(rank), cascade.sizes.get(rank)}:
        return False  # one past the last: where an iteration that runs down starts
    return past.constant is None or past.constant >= 0


def _arrange(einsums: Sequence[Einsum], members: list[int], edges: list[Edge]) -> tuple[Block, ...]:
    inside = [edge for edge in edges if edge.writer in members and edge.reader in members]
    ordered: list[Block] = []
    for group in _components(members, inside):
        own = [edge for edge in inside if edge.writer in group and edge.reader in group]
        ordered.append(_loop(einsums, group, own) if own else einsums[group[0]])
    return tuple(ordered)


def _loop(einsums: Sequence[Einsum], group: list[int], edges: list[Edge]) -> Loop:
    """The loop that breaks a cycle: over a variable along which every dependency goes the same way."""
    shared = [name for name in einsums[group[0]].kept if all(name in einsums[n].kept for n in group)]
    for variable in shared:
        steps = [edge.step(variable) for edge in edges]
        for direction in (1, -1):
            if all(step is not None and step * direction >= 0 for step in steps) and any(steps):
                rest = [edge for edge in edges if edge.step(variable) == 0]
                return Loop(variable, direction, _arrange(einsums, group, rest))
    raise CyclicCascade([einsums[n] for n in group])


def _components(members: list[int], edges: list[Edge]) -> list[list[int]]:
    """Strongly connected groups in an order that respects `edges`; ties go to what stands first in the file."""
    reach = {n: {n} for n in members}
    for _ in members:
        for edge in edges:
            reach[edge.reader] |= reach[edge.writer]
    groups: list[list[int]] = []
    for n in members:
        if not any(n in group for group in groups):
            groups.append([k for k in members if k in reach[n] and n in reach[k]])
    ordered: list[list[int]] = []
    done: set[int] = set()
    while groups:
        ready = next(group for group in groups if all(reach[n] <= done | set(group) for n in group))
        ordered.append(ready)
        groups.remove(ready)
        done |= set(ready)
    return ordered
