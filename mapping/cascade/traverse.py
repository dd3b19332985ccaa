"""One fiber through a cascade: in which traversal of it each Einsum can run at the earliest.

The question behind a pass (FuseMax, MICRO 2024) is whether an element must be used again only after every other element
of its fiber was. Here it is asked of one tensor's fiber along one rank family. Every tensor gets a time:

- 0: it doesn't depend on the fiber;
- 2k - 1, during pass k: its element at a coordinate is there as soon as the traversal has come to that coordinate;
- 2k, after pass k: it is there only when the traversal has come to the end.

An Einsum that meets the fiber's elements one by one, and needs something that is there only after pass k, runs during
pass k + 1. One that doesn't meet them runs whenever its operands are there, and adds no pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from einloom.mapping.cascade.dependencies import Block, Loop
from einloom.mapping.cascade.expression import Access, affine
from einloom.mapping.cascade.families import Family
from einloom.mapping.cascade.model import Cascade, Einsum


class TooFewPasses(Exception):
    """The directions that were assumed for the passes don't suffice."""


@dataclass(frozen=True)
class Barrier:
    """Why `einsum` cannot run before pass `number`: it reads `element` again, and also `whole`.

    `chain` are the Einsums from the one that completes a traversal up to `einsum`; it is empty when what forces the
    pass is a direction: a scan down a fiber that the pass before runs up, or the reverse.
    """

    number: int
    einsum: Einsum
    element: Access | None
    whole: Access | None
    chain: tuple[Einsum, ...]


@dataclass(frozen=True)
class Operand:
    """An access of an Einsum: its time, and if it meets the fiber's elements one by one (`stepwise`).

    `again` marks an element of the fiber that is read through another rank, at a coordinate of that rank's choosing.
    """

    access: Access
    time: int
    stepwise: bool
    again: bool = False


@dataclass
class Traversal:
    """The times of one fiber: that of `source` along `family`, stepping through `leader` outermost.

    Attributes
    ----------
    directions : direction of each pass, 1 or -1; empty when all scans of the fiber go the same way.
    unroll : number of rounds of each loop over another rank.
    revisits : True when elements of the fiber that are read through another rank count as read again.
    times : times of the tensors.
    runs : times of the Einsums, by their place in the cascade; odd when they meet the fiber's elements.
    barriers : reasons that forced each run of an Einsum out of the pass before.
    """

    cascade: Cascade
    family: Family
    leader: str
    source: str
    directions: Sequence[int] = ()
    unroll: dict[str, int] = field(default_factory=dict)
    revisits: bool = False
    times: dict[str, int] = field(default_factory=dict, init=False)
    runs: dict[int, int] = field(default_factory=dict, init=False)
    barriers: list[Barrier] = field(default_factory=list, init=False)
    _origin: dict[str, tuple[Einsum, ...]] = field(default_factory=dict, init=False)
    _scanned: dict[str, int] = field(default_factory=dict, init=False)
    _elsewhere: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.steps = self.family.steps_with(self.leader)
        self._place = {id(einsum): n for n, einsum in enumerate(self.cascade.einsums)}

    def go(self, blocks: Sequence[Block]) -> "Traversal":
        """Follow the fiber through all of `blocks`."""
        for block in blocks:
            self._note_scans(block)
        for block in blocks:
            self._block(block)
        return self

    @property
    def passes(self) -> int:
        """The passes over the fiber: 1 even when nothing but a reduction reads it."""
        return max([(time + 1) // 2 for time in self.runs.values() if time % 2] + [1])

    def run_of(self, einsum: Einsum) -> int:
        """The time of an Einsum, 0 when it doesn't depend on the fiber."""
        return self.runs.get(self._place[id(einsum)], 0)

    def is_running(self, tensor: str) -> bool:
        """True when a tensor holds running values along the fiber, each made from the one before."""
        return tensor in self._scanned and len(self.cascade.writers(tensor)) > 1

    def _note_scans(self, block: Block) -> None:
        """Note the tensors that hold running values of the fiber, and at which of their positions."""
        if not isinstance(block, Loop):
            return
        for einsum in block.einsums:
            for position, index in enumerate(einsum.output.indices):
                form = affine(index)
                if block.variable in self.steps and form is not None and block.variable in form.factors:
                    self._scanned[einsum.tensor] = position
        for inner in block.body:
            self._note_scans(inner)

    def _block(self, block: Block) -> None:
        if not isinstance(block, Loop):
            self._execute([block], 0)
        elif block.variable in self.steps:
            self._execute(block.einsums, block.direction)
        else:
            for _ in range(self.unroll.get(block.variable, 1)):
                for inner in block.body:
                    self._block(inner)

    def _execute(self, einsums: Sequence[Einsum], direction: int) -> None:
        """Run Einsums that go together: one alone, or all those of a loop along the fiber."""
        inner = {einsum.tensor for einsum in einsums} if direction else set()
        # What a loop has computed itself is there when it is needed; its initial values may come from elsewhere.
        operands = [
            (einsum, self._operand(access))
            for einsum in einsums
            for access in einsum.reads
            if access.tensor not in inner or access.tensor == self.source or self.times.get(access.tensor, 0)
        ]
        time = max((operand.time for _, operand in operands), default=0)
        stepwise = [(einsum, operand) for einsum, operand in operands if operand.stepwise]
        again = [(einsum, operand) for einsum, operand in operands if operand.again]
        if stepwise or (again and time):
            met = (stepwise or again)[0]
            time = self._pass_for(time, direction, met, [operand for _, operand in operands])
        elif again:
            self._elsewhere |= {einsum.tensor for einsum in einsums}
        for einsum in einsums:
            self._finish(einsum, time, [operand for owner, operand in operands if owner is einsum])

    def _pass_for(self, time: int, direction: int, met: tuple[Einsum, Operand], operands: Sequence[Operand]) -> int:
        """The first pass that an Einsum which meets the fiber's elements can run in."""
        einsum, element = met
        if time % 2 == 0:
            time += 1
            whole = max(operands, key=lambda operand: operand.time)
            chain = (*self._origin.get(whole.access.tensor, ()), einsum)
            self.barriers.append(Barrier((time + 1) // 2, einsum, element.access, whole.access, chain))
        while self.directions and direction:
            number = (time + 1) // 2
            if number > len(self.directions):
                raise TooFewPasses
            if self.directions[number - 1] == direction:
                break
            time += 2
            self.barriers.append(Barrier(number + 1, einsum, element.access, None, ()))
        if self.directions and (time + 1) // 2 > len(self.directions):
            raise TooFewPasses
        return time

    def _finish(self, einsum: Einsum, time: int, operands: Sequence[Operand]) -> None:
        place = self._place[id(einsum)]
        self.runs[place] = max(time, self.runs.get(place, 0))
        follows = bool(self.steps & set(einsum.kept))
        done = time if time % 2 == 0 or follows else time + 1
        if done < self.times.get(einsum.tensor, 0) or einsum.tensor == self.source:
            return
        self.times[einsum.tensor] = done
        if time % 2:
            self._origin[einsum.tensor] = (einsum,)
        elif time:
            last = max(operands, key=lambda operand: operand.time)
            self._origin[einsum.tensor] = (*self._origin.get(last.access.tensor, ()), einsum)

    def _operand(self, access: Access) -> Operand:
        """The access as an operand: its time, from its tensor's time and from its indices."""
        time = 1 if access.tensor == self.source else self.times.get(access.tensor, 0)
        if time % 2 == 0:
            return Operand(access, time, False, access.tensor in self._elsewhere)
        for position, index in enumerate(access.indices):
            if position not in self.positions(access.tensor):
                continue
            form = affine(index)
            scanned = self._scanned.get(access.tensor) == position
            if form is None or not form.factors:
                # A constant: an initial or a single element is no obstacle, but the last running value is the end.
                last = scanned and form is not None and form.constant.constant is None
                return Operand(access, time + 1 if last else time - 1, False)
            met = [factor for name, factor in form.factors.items() if name in self.steps]
            if met:
                backwards = scanned and any(factor.leading < 0 for factor in met)
                return Operand(access, time + 1 if backwards else time, not backwards)
        return Operand(access, time - 1, False, self.revisits)

    def positions(self, tensor: str) -> set[int]:
        """The positions of a tensor's indices that step with the fiber."""
        writers = self.cascade.writers(tensor)
        outputs = [einsum.output for einsum in writers]
        if not writers:
            outputs = [access for einsum in self.cascade.einsums for access in einsum.reads if access.tensor == tensor]
        found = set()
        for output in outputs:
            for position, index in enumerate(output.indices):
                form = affine(index)
                if form is not None and self.steps & set(form.factors):
                    found.add(position)
        return found
