"""Checks of compiled programs: what must hold of every program that a core is given, after each pass that makes it.

`check_steps` holds instructions in program order against the regions that code generation notes for them.
`check_program` holds a whole program, in which units run side by side, against its own addresses and permits.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from einloom.mapping.check.footprint import Footprint, Footprints
from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.formats import FORMATS
from einloom.spec.instruction import Instruction
from einloom.spec.isa import PERMIT_LIMIT, UNITS, Unit
from einloom.spec.manifest import BlockLayout, Manifest
from einloom.spec.program import Program
from einloom.spec.stored_blocks import stored_beats

ON_CHIP = (Memory.VECTOR, Memory.ACTIVATIONS, Memory.QUERIES, Memory.STAGING, Memory.TOKENS)
WORD_ADDRESSED = (Memory.VECTOR, Memory.ACTIVATIONS, Memory.STAGING)
"""Memories whose regions are runs of the words that a footprint counts."""


def check_steps(steps: Sequence[Step], footprints: Footprints) -> None:
    """CheckFailed unless each step, executed in this order, touches only its regions and reads what was meant.

    A word must be written before it is read. Its last writer must have written it as part of a region that the reader
    names; otherwise a value that is still needed was overwritten through another region.
    """
    owners = {memory: np.full(footprints.sizes[memory], -1, np.int64) for memory in ON_CHIP}
    numbers: dict[Region, int] = {}
    for n, step in enumerate(steps):
        with _Place(n, step.instruction, step.note):
            found = footprints.of(step.instruction)
            _inside(found.reads, step.reads)
            _inside(found.writes, step.writes)
            named = {numbers.setdefault(region, len(numbers)) for region in step.reads}
            for memory, words in found.reads.items():
                if memory in owners:
                    _written_as(owners[memory][words], named, words, memory, numbers)
            for memory, words in found.writes.items():
                if memory in owners:
                    _own(owners[memory], words, memory, step.writes, numbers)


def check_program(program: Program, manifest: Manifest) -> None:
    """CheckFailed unless the program is right however fast each of its units is.

    The rules:

    * every word on the chip is written before it is read;
    * where two instructions touch a word and one of them writes it, the second waits for the first through permits;
    * every permit that is given is taken before the next barrier;
    * an instruction waits only for permits that an earlier instruction gives;
    * no more permits wait than a counter holds;
    * products take exactly the beats that were asked for.
    """
    footprints = Footprints(manifest, program.pieces)
    state = _Execution(footprints.sizes)
    weights = _WeightBeats(program, manifest)
    for n, instruction in enumerate(program.instructions):
        with _Place(n, instruction, program.notes[n] if program.notes else ""):
            if instruction.opcode.unit is Unit.CONTROL:
                state.barrier()
                weights.check()
                continue
            state.execute(n, instruction, footprints.of(instruction))
            weights.execute(instruction)


class _WeightBeats:
    """The beats of weights that were asked for, and those that products take."""

    def __init__(self, program: Program, manifest: Manifest) -> None:
        self._layout, self._stream = manifest.gemm.weights, program.weights[0]
        self._beat = manifest.gemm.weights.beat_bits // 8
        self._asked = self._taken = 0
        self._waiting = np.zeros(0, np.uint8)  # of the first channel: what was asked for and is not taken

    def execute(self, i: Instruction) -> None:
        """Account for an instruction."""
        if i.opcode.name == "weights":
            self._asked += i["beats"]
            found = self._stream[i["offset"] * self._beat :][: i["beats"] * self._beat]
            self._waiting = np.concatenate([self._waiting, found]) if len(self._waiting) else found
        elif i.opcode.name == "gemm":
            beats = self._beats(i)
            self._taken += beats
            self._waiting = self._waiting[beats * self._beat :]

    def check(self) -> None:
        """CheckFailed unless products take what was asked for."""
        if self._asked != self._taken:
            raise CheckFailed(f"{self._asked} beats of weights were asked for, but products take {self._taken}")

    def _beats(self, i: Instruction) -> int:
        """Beats of a product, as its stream says where blocks differ in length."""
        layout, size = self._layout, (i["blocks"], i["tiles"])
        step = layout.steps[i["format"]]
        if not isinstance(layout, BlockLayout):
            return layout.beats(step, *size)
        try:
            return stored_beats(self._waiting, layout, FORMATS[step.format], *size)
        except InputError as error:
            raise CheckFailed(str(error)) from error


class _Place:
    """Adds to a CheckFailed at which instruction it was."""

    def __init__(self, n: int, instruction: Instruction, note: str) -> None:
        self._text = f"instruction {n} ({note}{': ' if note else ''}{instruction.opcode.name})"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, CheckFailed):
            raise CheckFailed(f"{self._text}: {error}") from error


@dataclass
class _Execution:
    """Units side by side: what each instruction knows to be complete when it starts.

    Attributes
    ----------
    sizes : words of each memory.
    known : for each instruction, the last one of each unit that is complete at its start.
    """

    sizes: Mapping[Memory, int]
    known: dict[int, dict[Unit, int]] = field(default_factory=dict)
    _latest: dict[Unit, int] = field(default_factory=dict)
    _given: dict[tuple[Unit, Unit], deque[int]] = field(default_factory=dict)
    _touched: dict[tuple[Memory, str, Unit], npt.NDArray[np.int64]] = field(default_factory=dict)
    _written: dict[Memory, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def barrier(self) -> None:
        """Take a barrier: all units are idle, so everything before is complete."""
        for (giver, taker), gifts in self._given.items():
            if gifts:
                raise CheckFailed(
                    f"{len(gifts)} permits of {giver.name.lower()} for {taker.name.lower()} are left at this barrier; "
                    f"instruction {gifts[0]} gave the first"
                )
        self._latest.clear()
        for last in self._touched.values():
            last[:] = -1

    def execute(self, n: int, instruction: Instruction, footprint: Footprint) -> None:
        """Take the next instruction in program order."""
        unit = instruction.opcode.unit
        known = self.known[n] = self._at_start(instruction)
        for memory, words in footprint.reads.items():
            self._require_written(memory, words)
            self._require_complete(known, unit, memory, words, ("write",))
        for memory, words in footprint.writes.items():
            self._require_complete(known, unit, memory, words, ("write", "read"))
        for how, touched in (("read", footprint.reads), ("write", footprint.writes)):
            for memory, words in touched.items():
                self._last(memory, how, unit)[words] = n
        for memory, words in footprint.writes.items():
            self._writes(memory)[words] = True
        self._latest[unit] = n
        for taker in _units(instruction["signal"]):
            gifts = self._given.setdefault((unit, taker), deque())
            gifts.append(n)
            if len(gifts) > PERMIT_LIMIT:
                raise CheckFailed(f"{len(gifts)} permits may wait for {taker.name.lower()}, more than {PERMIT_LIMIT}")

    def _at_start(self, instruction: Instruction) -> dict[Unit, int]:
        unit = instruction.opcode.unit
        before = self._latest.get(unit)
        known = {} if before is None else self.known[before] | {unit: before}
        for giver in _units(instruction["wait"]):
            gifts = self._given.get((giver, unit))
            if not gifts:
                raise CheckFailed(f"waits for a permit of {giver.name.lower()} that no earlier instruction gives")
            m = gifts.popleft()
            for other, k in (self.known[m] | {giver: m}).items():
                known[other] = max(known.get(other, -1), k)
        return known

    def _require_written(self, memory: Memory, words: npt.NDArray[np.int64]) -> None:
        missing = words[~self._writes(memory)[words]]
        if memory in ON_CHIP and len(missing):
            raise CheckFailed(f"reads word {missing[0]} of the {memory.value}, which nothing has written")

    def _require_complete(
        self, known: Mapping[Unit, int], unit: Unit, memory: Memory, words: npt.NDArray[np.int64], hows: Sequence[str]
    ) -> None:
        """Every other unit's last access to the words is complete."""
        for how in hows:
            for other in UNITS:
                if other is unit or (memory, how, other) not in self._touched:
                    continue
                last = self._last(memory, how, other)[words]
                late = last > known.get(other, -1)
                if late.any():
                    at = int(np.argmax(late))
                    raise CheckFailed(
                        f"touches word {words[at]} of the {memory.value} without waiting for instruction {last[at]} of "
                        f"{other.name.lower()}, which may {how} it later"
                    )

    def _last(self, memory: Memory, how: str, unit: Unit) -> npt.NDArray[np.int64]:
        key = (memory, how, unit)
        if key not in self._touched:
            self._touched[key] = np.full(self.sizes[memory], -1, np.int64)
        return self._touched[key]

    def _writes(self, memory: Memory) -> npt.NDArray[np.bool_]:
        if memory not in self._written:
            self._written[memory] = np.zeros(self.sizes[memory], np.bool_)
        return self._written[memory]


def _units(mask: int) -> Iterator[Unit]:
    return (unit for unit in UNITS if mask >> unit & 1)


def _within(words: npt.NDArray[np.int64], region: Region) -> npt.NDArray[np.bool_]:
    """Which words, in the numbers of a footprint, lie in a region."""
    inside: npt.NDArray[np.bool_] = (words >= region.base) & (words < region.base + region.words * region.tokens)
    return inside


def _inside(touched: Mapping[Memory, npt.NDArray[np.int64]], regions: frozenset[Region]) -> None:
    """CheckFailed when words lie in none of the regions, for memories that have their words in regions."""
    for memory, words in touched.items():
        named = [region for region in regions if region.memory is memory]
        if memory in WORD_ADDRESSED:
            inside = np.zeros(len(words), np.bool_)
            for region in named:
                inside |= _within(words, region)
            outside = words[~inside]
            if len(outside):
                names = ", ".join(sorted(region.name for region in named)) or "none"
                raise CheckFailed(f"touches word {outside[0]} of the {memory.value}, outside its regions ({names})")
        elif memory in ON_CHIP and not named:
            raise CheckFailed(f"touches the {memory.value}, but names no region of it")


def _own(
    owners: npt.NDArray[np.int64],
    words: npt.NDArray[np.int64],
    memory: Memory,
    regions: frozenset[Region],
    numbers: dict[Region, int],
) -> None:
    """The words now belong to those of `regions` in which they lie."""
    for region in regions:
        if region.memory is memory:
            mine = words[_within(words, region)] if memory in WORD_ADDRESSED else words
            owners[mine] = numbers.setdefault(region, len(numbers))


def _written_as(
    owners: npt.NDArray[np.int64],
    named: set[int],
    words: npt.NDArray[np.int64],
    memory: Memory,
    numbers: Mapping[Region, int],
) -> None:
    wrong = np.ones(len(owners), np.bool_)
    for number in named:
        wrong &= owners != number
    if not wrong.any():
        return
    at = int(np.argmax(wrong))
    if owners[at] < 0:
        raise CheckFailed(f"reads word {words[at]} of the {memory.value}, which nothing has written")
    owner = next(region.name for region, number in numbers.items() if number == owners[at])
    raise CheckFailed(f"reads word {words[at]} of the {memory.value}, but it was last written as part of {owner}")
