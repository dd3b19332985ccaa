"""Puts a program together: instructions with the regions they touch, constants, and data of the memory image."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.check.footprint import Footprints
from einloom.mapping.check.program import check_steps
from einloom.mapping.codegen.image import ImageBuilder
from einloom.mapping.regions import Allocator, Memory, Operand, Region
from einloom.mapping.schedule.permits import Step, insert_permits
from einloom.mapping.schedule.prefetch import hoist_weights
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.spec.instruction import Instruction, float_bits
from einloom.spec.isa import Condition, Space, VectorOp
from einloom.spec.isa import Operand as Source
from einloom.spec.manifest import Manifest
from einloom.spec.program import MemoryUse

Floats = npt.NDArray[np.float32]
CONSTANT_WORDS = 8
"""Words of the vector memory for constant operands, needed where an instruction has used its immediate already."""
Constant = float | int
"""An immediate: a float is a float32, an int 32 bits as they are."""


class ProgramBuilder:
    """A program for a core, in the order in which it would be computed by one unit alone.

    Attributes
    ----------
    core, gemm, attention : the design, from its manifest; InputError when it has no core.
    schedule : what is free in it.
    contents : the image is made, not just laid out.
    image : the system memory's contents.
    vector, activations, queries, staging : allocators of the core's memories.
    finished : the whole program's instructions in program order, when it is finished.
    """

    def __init__(
        self,
        manifest: Manifest,
        schedule: Schedule = STANDARD,
        *,
        contents: bool = True,
        check: bool = False,
        vector_bases: Sequence[int] | None = None,
    ) -> None:
        """Begin a program. Without `contents` only the image's layout is kept; with `check` every pass is checked.

        `vector_bases` are the first words of the vector memory's regions, in the order in which they are asked for; one
        behind the other if None.
        """
        core = self.core = manifest.core
        self.gemm, self.attention = core.gemm, core.attention
        self.schedule, self.contents = schedule, contents
        self._manifest, self._check = manifest, check
        self.image = ImageBuilder(self.beat_bytes, contents=contents)
        self.vector = Allocator(Memory.VECTOR, core.vector_words, "core.vector_words", vector_bases)
        self.activations = Allocator(Memory.ACTIVATIONS, core.activation_words, "core.activation_words")
        self.queries = Allocator(Memory.QUERIES, core.query_words, "core.query_words")
        self.staging = Allocator(Memory.STAGING, core.staging_words, "core.staging_words")
        self._steps: list[Step] = []
        self.finished: list[Step] = []
        self._constants: dict[int, int] = {}
        self._constant_region: Region | None = None
        self._note = ""

    @property
    def tokens(self) -> int:
        """Most tokens of a chunk."""
        return self.gemm.rows

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat of a memory channel."""
        return self.gemm.weights.beat_bits // 8

    @property
    def memories(self) -> tuple[MemoryUse, ...]:
        """Words in use of each of the core's memories."""
        return tuple(a.use for a in (self.vector, self.activations, self.queries, self.staging))

    def words(self, elements: int) -> int:
        """Words of the vector memory that hold so many elements; they must fill them."""
        return -(-elements // self.core.lanes)

    def per_token(self, name: str, words: int) -> Region:
        """A region of the vector memory with `words` for each token."""
        return self.vector.region(name, words, self.tokens)

    def note(self, text: str) -> None:
        """Say what the next instructions are for; the listing shows it."""
        self._note = text

    def emit(self, name: str, reads: Iterable[Region] = (), writes: Iterable[Region] = (), **fields: int) -> None:
        """Append an instruction that touches these regions."""
        self._steps.append(Step(Instruction.make(name, **fields), frozenset(reads), frozenset(writes), self._note))

    def constant(self, value: float) -> Operand:
        """A word of the vector memory with float32 `value` in every lane."""
        bits = immediate(float(value))
        if self._constant_region is None:
            self._constant_region = self.vector.region("constants", CONSTANT_WORDS)
        index = self._constants.setdefault(bits, len(self._constants))
        if index >= CONSTANT_WORDS:
            raise ValueError(f"more than {CONSTANT_WORDS} constants")
        return Operand(self._constant_region, index, 0, 0)

    def vec(
        self,
        op: VectorOp,
        d: Operand,
        a: Operand,
        x: Operand | Constant | None = None,
        y: Operand | Constant | None = None,
        *,
        inner: int,
        outer: int = 1,
        negate: bool = False,
        distance: int = 0,
        space: Space = Space.VECTOR,
        block: int = 0,
        condition: Condition = Condition.ALWAYS,
    ) -> None:
        """d = op(a, x, y) over `outer` times `inner` words of every token; lanes exchange y over `distance`."""
        fields: dict[str, int] = a.fields("a") | d.fields("d")
        reads = {a.region}
        for field, letter, operand in (("x", "b", x), ("y", "c", y)):
            if isinstance(operand, Operand):
                fields |= operand.fields(letter) | {field: Source.VECTOR}
                reads.add(operand.region)
            elif operand is not None:
                fields |= {field: Source.IMMEDIATE, "immediate": immediate(operand)}
        if x is not None and y is not None and not isinstance(x, Operand) and not isinstance(y, Operand):
            raise ValueError("an instruction has one immediate: make one of the two a constant")
        if op is VectorOp.EXCHANGE:
            fields["immediate"] = distance
        self.emit(
            "vector",
            reads,
            {d.region},
            op=op,
            space=space,
            outer=outer,
            inner=inner,
            negate=int(negate),
            block=block,
            condition=condition,
            **fields,
        )

    def finish(self) -> tuple[list[Instruction], list[str]]:
        """The whole program with its permits, and a note for each instruction; `end` and the load of the constants are
        included.

        CheckFailed when a pass made a program that would not compute what was meant, which is a bug of the compiler.
        """
        self.emit("end")
        steps = self._steps
        if self._constant_region is not None:
            region = self._constant_region
            data = np.zeros((region.words, self.core.lanes), np.uint32)
            for bits, index in self._constants.items():
                data[index] = bits
            offset = self.image.floats("constants", data.view(np.float32).ravel(), data.size)
            first = Instruction.make("load", offset=offset, words=region.words, d_base=region.base)
            steps = [Step(first, frozenset(), frozenset({region}), "constants"), *steps]
        self.finished = steps
        footprints = Footprints(self._manifest, self.image.pieces)
        for reordered in (steps, hoist_weights(steps, self.schedule.ahead)):
            steps = reordered
            if self._check:
                check_steps(steps, footprints)
        return insert_permits(steps), [step.note for step in steps]


def immediate(value: Constant) -> int:
    """The 32 bits of a constant."""
    return value & 0xFFFFFFFF if isinstance(value, int) else float_bits(value)
