"""Programs for a small core, and the memory that they run in."""

import struct

import numpy as np

from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step, insert_permits
from einloom.spec.instruction import Instruction
from einloom.spec.isa import INSTRUCTION_BYTES, Operand, Rows, Space, VectorOp
from einloom.spec.manifest import Manifest
from einloom.spec.token_table import token_rows

HEAD = 16
VOCABULARY = 8
BEATS = 256
TOKENS, TABLE, KEYS, VALUES, OUTPUTS = 48, 64, 128, 176, 224
"""First beats; the program is at the start."""


def immediate(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def every_unit(manifest: Manifest) -> list[Instruction]:
    """A row of the table for each token, times a matrix, through attention, and the sum of both into memory."""
    layout, lanes = manifest.gemm.weights, manifest.core.lanes
    words = HEAD // lanes
    tiles = HEAD // manifest.gemm.columns
    beats = layout.beats(layout.steps[0], HEAD // layout.block, tiles)
    row = HEAD * 4 * 8 // layout.beat_bits

    def vector(a: int, d: int, space: Space, scale: float, **fields: int) -> Instruction:
        common = {"outer": 1, "inner": words, "a_token": words, "a_inner": 1, "c_token": words, "c_inner": 1}
        factor = {"x": Operand.IMMEDIATE, "immediate": immediate(scale)}
        values = {**common, **factor, "a_base": a, "d_base": d, "space": space, **fields}
        return Instruction.make("vector", op=VectorOp.MAD, **values)

    heads = {"query_head": HEAD, "value_head": HEAD, "group": 1, "count": manifest.gemm.rows}
    x, y, z, total = (n * words * manifest.gemm.rows for n in range(4))
    make = Instruction.make
    block = (manifest.gemm.rows - 1).bit_length()
    load = {"offset": TABLE, "rows": Rows.TOKENS, "stride": row, "words": words, "d_base": x, "d_token": words}
    plan: list[tuple[Instruction, str, str]] = [
        (make("tokens", offset=TOKENS), "", "tokens"),
        (make("load", **load), "tokens", "x"),
        (vector(x, 0, Space.ACTIVATIONS, 40.0), "x", "activations"),
        (make("weights", beats=beats), "", "weights"),
        (
            make("gemm", blocks=HEAD // layout.block, tiles=tiles, d_base=y, d_token=words),
            "activations weights",
            "y",
        ),
        (vector(y, 0, Space.KEY_VALUES, 0.01), "y", "staged"),
        (make("store_kv", offset=KEYS, base=0, elements=HEAD), "staged", "keys"),
        (vector(x, words, Space.KEY_VALUES, 30.0), "x", "staged_values"),
        (make("store_kv", offset=VALUES, base=words, elements=HEAD), "staged_values", "values"),
        (vector(y, 0, Space.QUERIES, 0.5, block=block, d_token=0), "y", "queries"),
        (vector(x, words, Space.QUERY_SCALE, 100.0, block=block, inner=1), "x", "queries"),
        (
            make("attend", keys=KEYS, values=VALUES, d_base=z, d_token=words, **heads),
            "queries keys values",
            "z",
        ),
        (vector(z, total, Space.VECTOR, 0.001, y=Operand.VECTOR, c_base=x, d_token=words), "z x", "total"),
        (make("store", offset=OUTPUTS, stride=row, words=words, a_base=total, a_token=words), "total", "outputs"),
    ]
    names = dict.fromkeys(name for _, *touched in plan for text in touched for name in text.split())
    regions = {name: Region(name, Memory.SYSTEM, n, 1) for n, name in enumerate(names)}

    def of(text: str) -> frozenset[Region]:
        return frozenset(regions[name] for name in text.split())

    steps = [Step(i, of(reads), of(writes)) for i, reads, writes in plan]
    return insert_permits([*steps, Step(make("next")), Step(make("end"))])


def image(program: list[Instruction], manifest: Manifest) -> np.ndarray:
    """System memory: the program, ids, and a table of random rows."""
    beat = manifest.gemm.weights.beat_bits // 8
    memory = np.zeros(BEATS * beat, np.uint8)
    raw = b"".join(i.encode() for i in program)
    assert len(raw) == len(program) * INSTRUCTION_BYTES <= TOKENS * beat
    memory[: len(raw)] = np.frombuffer(raw, np.uint8)
    rng = np.random.default_rng(7)
    for n in range(TABLE - TOKENS):
        memory[(TOKENS + n) * beat : (TOKENS + n + 1) * beat] = token_rows([int(rng.integers(VOCABULARY))], n, beat)
    table = rng.normal(0, 1, (VOCABULARY, HEAD)).astype("<f4")
    memory[TABLE * beat :][: table.nbytes] = table.reshape(-1).view(np.uint8)
    return memory
