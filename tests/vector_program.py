"""A few instructions of the vector unit as a program of their own, on the golden executor."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.regions import Memory, Region
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Memories
from einloom.spec.isa import Rows
from einloom.spec.manifest import Manifest

Floats = npt.NDArray[np.float32]
Emit = Callable[[ProgramBuilder, Sequence[Region], Region], None]


def computed(manifest: Manifest, inputs: Sequence[Floats], elements: int, emit: Emit) -> tuple[Floats, Memories]:
    """What the instructions that `emit` makes of operands [tokens, elements each] leave: the result [tokens, elements],
    and all memories.

    `emit` gets a region for each operand, padded with zeros to whole words, and one for the result.
    """
    p = ProgramBuilder(manifest)
    regions = [_load(p, f"input{n}", data) for n, data in enumerate(inputs)]
    result = p.per_token("result", p.words(elements))
    emit(p, regions, result)
    tokens, stride = len(inputs[0]), result.words * p.core.lanes * 4 // p.beat_bytes
    there = Region("output", Memory.SYSTEM, p.image.reserve("output", tokens * stride * p.beat_bytes), 1)
    p.emit(
        "store",
        {result},
        {there},
        offset=there.base,
        stride=stride,
        words=result.words,
        a_base=result.base,
        a_token=result.stride,
    )
    instructions, _ = p.finish()
    program = p.image.add("program", b"".join(i.encode() for i in instructions))
    core = GoldenCore(manifest, p.image.bytes(), ())
    core.run(program, len(instructions), 0, tokens)
    raw = core.system[there.base * p.beat_bytes :][: tokens * stride * p.beat_bytes]
    return raw.view("<f4").reshape(tokens, -1)[:, :elements], core.memories


def _load(p: ProgramBuilder, name: str, data: Floats) -> Region:
    region = p.per_token(name, p.words(data.shape[1]))
    offset, stride = p.image.rows(name, data, region.words * p.core.lanes)
    p.emit(
        "load",
        (),
        {region},
        offset=offset,
        rows=Rows.POSITIONS,
        stride=stride,
        words=region.words,
        d_base=region.base,
        d_token=region.stride,
    )
    return region
