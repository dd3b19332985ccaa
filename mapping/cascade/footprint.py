"""Live elements of each tensor when Einsums of one pass are fused.

The loops over the ranks stand in one order for the whole cascade. Going inwards, a tensor stays fused while its
producer and its consumers are at the same coordinate in the same pass: it needs one step of that rank. They part at
another pass, at a reduction, or at a consumer that uses the tensor again for every coordinate of a rank that it lacks.
From there inwards all of the tensor is live. The order with the smallest total is taken. Inputs only break ties,
because they can be fetched again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, permutations

from einloom.mapping.cascade.expression import Access, affine
from einloom.mapping.cascade.families import Family, nominal
from einloom.mapping.cascade.model import Cascade, Einsum
from einloom.mapping.cascade.passes import PassAnalysis, RankPasses
from einloom.mapping.cascade.size import Size

MOST_ORDERS = 720
"""Loop orders that are tried; all of them for up to six ranks."""

Stages = dict[tuple[str, str], int]
"""The pass over a rank in which an Einsum runs, by the Einsum's text and the rank."""


@dataclass(frozen=True)
class Footprints:
    """The live elements of each tensor under the loop order `order`, outermost first."""

    order: tuple[str, ...]
    live: dict[str, Size]


def footprints(analysis: PassAnalysis) -> Footprints:
    """The footprints under the loop order that keeps the fewest elements live."""
    cascade = analysis.cascade
    tensors = list(dict.fromkeys([*cascade.inputs, *(einsum.tensor for einsum in cascade.einsums)]))
    stages = _stages(analysis)
    use = {tensor: _Use(analysis, tensor, stages) for tensor in tensors}
    best: tuple[tuple[int, int], Footprints] | None = None
    reduced = {name for einsum in cascade.einsums for name in einsum.reduced}
    # Ranks that nothing reduces go outwards in most good orders, so those orders are tried first.
    ranks = sorted(analysis.ranks, key=lambda entry: bool(entry.family.variables & reduced))
    for order in islice(permutations(ranks), MOST_ORDERS):
        live = {tensor: use[tensor].live(order) for tensor in tensors}
        fetched = sum(_number(cascade, live[tensor]) for tensor in cascade.inputs)
        total = sum(_number(cascade, size) for size in live.values()) - fetched, fetched
        if best is None or total < best[0]:
            best = total, Footprints(tuple(entry.rank for entry in order), live)
    assert best is not None
    return best[1]


def _number(cascade: Cascade, size: Size) -> int:
    return size.evaluate({name: nominal(cascade, name) for name in size.names})


class _Use:
    """Producers and consumers of one tensor, as far as its footprint depends on them."""

    def __init__(self, analysis: PassAnalysis, tensor: str, stages: Stages) -> None:
        self.cascade, self.tensor = analysis.cascade, tensor
        self.producers = [einsum for einsum in self.cascade.writers(tensor) if not _is_view(self.cascade, einsum)]
        self.consumers = self.cascade.readers(tensor)
        self.steps = {entry.rank: self._step(entry, stages) for entry in analysis.ranks}

    def live(self, order: Sequence[RankPasses]) -> Size:
        """The live elements under a loop order."""
        size, fused, met = Size.of(1), True, False
        for entry in order:
            whole, step, stays, has = self.steps[entry.rank]
            if not has and not self.producers and not met:
                continue  # an input is fetched again for every step of the loops around its own
            met = met or has
            size = size * (step if fused else whole)
            fused = fused and stays
        return size

    def _step(self, entry: RankPasses, stages: Stages) -> tuple[Size, Size, bool, bool]:
        """(all of the rank, what a fused step keeps, whether fusion goes on further in, whether the tensor has it)."""
        family = entry.family
        ranks = self._ranks(family)
        whole = _together(family, ranks, self.cascade)
        if not ranks:
            runs = [einsum for einsum in self.producers + self.consumers if _runs_over(einsum, family)]
            return whole, whole, not runs, False
        fiber = entry.fiber(self.tensor)
        if fiber is None or self._crosses(entry, stages):
            return whole, whole, False, True
        steps = family.steps_with(entry.leader)
        leading = {rank for rank in ranks if rank.lower() in steps}
        within = _together(family, [rank for rank in ranks if rank not in leading], self.cascade)
        if leading & family.wholes and family.splits:
            tiles = next(split for split in family.splits if entry.leader in split)
            within = _product([rank for rank in tiles if rank != entry.leader])
        return whole, within, not fiber.traversal.is_running(self.tensor), True

    def _ranks(self, family: Family) -> list[str]:
        """The ranks of the family that index the tensor: as written, or as read when it is an input."""
        writers = self.cascade.writers(self.tensor)
        outputs: list[Access] = [einsum.output for einsum in writers]
        if not writers:
            outputs = [access for einsum in self.consumers for access in einsum.reads if access.tensor == self.tensor]
        named: list[str] = []
        for position in range(len(outputs[0].indices)):
            forms = [affine(output.indices[position]) for output in outputs]
            # A position may be read through several families; it is counted in that of its first index.
            found = next(([*form.factors] for form in forms if form is not None and form.factors), [])
            inside = [name.upper() for name in found if name in family.variables]
            alike = [next(name for name, group in family.aliases.items() if rank in group) for rank in inside]
            named += list(dict.fromkeys(alike))
        return named

    def _crosses(self, entry: RankPasses, stages: Stages) -> bool:
        """True when the tensor is used in a later pass than it is made in, or at coordinates of another rank."""
        fiber = entry.fiber(self.tensor)
        assert fiber is not None
        steps = entry.family.steps_with(entry.leader)
        positions = fiber.traversal.positions(self.tensor)
        made = [stages[einsum.text, entry.rank] for einsum in self.producers if (einsum.text, entry.rank) in stages]
        used = []
        for einsum in self.consumers:
            indices = [a.indices[n] for a in einsum.reads if a.tensor == self.tensor for n in positions]
            forms = [affine(index) for index in indices]
            if any(form is None or (form.factors and not steps & set(form.factors)) for form in forms):
                return True
            if any(form is not None and form.factors for form in forms):  # and not the end of an iteration alone
                used.append(stages.get((einsum.text, entry.rank), 1))
                time = fiber.traversal.run_of(einsum)
                if time > 1 and einsum.tensor != self.tensor:
                    return True
        return bool(used) and max(used) > min(made or used)


def _stages(analysis: PassAnalysis) -> Stages:
    """The pass in which each Einsum is taken to run: its earliest, or later if only inputs feed it."""
    cascade = analysis.cascade
    stages: Stages = {}
    for entry in analysis.ranks:
        for einsum in reversed(cascade.einsums):
            if entry.pass_of(einsum) is None:
                continue
            earliest = entry.stage_of(einsum)
            follows = bool(entry.family.steps_with(entry.leader) & set(einsum.kept))
            later = [stages.get((reader.text, entry.rank), earliest) for reader in cascade.readers(einsum.tensor)]
            fed = all(access.tensor in cascade.inputs for access in einsum.reads)
            stages[einsum.text, entry.rank] = max(earliest, min(later)) if fed and follows and later else earliest
    return stages


def _is_view(cascade: Cascade, einsum: Einsum) -> bool:
    """True when an Einsum only renames an input's coordinates, such as BK[e, m1, m0] = K[e, m1*M0 + m0]."""
    return isinstance(einsum.value, Access) and not einsum.reduced and einsum.value.tensor in cascade.inputs


def _runs_over(einsum: Einsum, family: Family) -> bool:
    return bool(set(einsum.kept + einsum.reduced) & family.variables)


def _together(family: Family, ranks: Sequence[str], cascade: Cascade) -> Size:
    """The coordinates of several ranks of one family: all the tiles of a split make the undivided rank."""
    left = list(ranks)
    size = Size.of(1)
    for split in family.splits:
        if family.name in cascade.ranks and set(split) <= set(left) and family.name not in left:
            left = [family.name] + [rank for rank in left if rank not in split]
    return size * _product(left)


def _product(ranks: Sequence[str]) -> Size:
    size = Size.of(1)
    for rank in ranks:
        size = size * rank
    return size
