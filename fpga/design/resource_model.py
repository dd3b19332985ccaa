"""Resources of a core from its config, without a netlist.

LUTs are those of its parts (core_parts.py), with fitted factors. DSPs and memories are counted: what a PE multiplies
with, and the blocks that a memory of its size takes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from einloom.fpga.design.core_parts import CorePart, array_parts, other_parts
from einloom.fpga.design.on_chip import Memory
from einloom.fpga.resources import Resources
from einloom.generators.core import core_spec
from einloom.generators.registry import pe_spec
from einloom.hw.core.core import READER_FIFO
from einloom.hw.core.spec import CoreSpec
from einloom.hw.pe.int_mac import IntMacSpec
from einloom.hw.pe.sparse_dsp import SparseDspSpec
from einloom.hw.pe.spec import stored_bits
from einloom.spec.attention_format import QUERY_BITS, SCORE_BITS
from einloom.spec.config import Config
from einloom.spec.errors import InputError

FACTORS = Path(__file__).parent / "lut_factors.json"
"""LUTs for each term of each kind of part, with the points that they were fitted to (benchmarks/fit_resources.py)."""
SOFTMAX_DSPS, EXPONENTIAL_DSPS = 4, 5
"""DSPs of an attention column beside its PEs: of the softmax, and of serial exponentials."""


def core_resources(config: Config) -> Resources:
    """Resources of the core of `config`; InputError when it has a part that nobody has fitted."""
    spec = core_spec(config, pe_spec(config))
    return array_resources(spec) + other_resources(spec)


def array_resources(spec: CoreSpec) -> Resources:
    """Resources of the GEMM unit."""
    return _luts(array_parts(spec)) + Resources(dsp=_array_dsps(spec)) + _blocks(_array_memories(spec))


def other_resources(spec: CoreSpec) -> Resources:
    """Resources of all else; of the GEMM engine's size only its rows matter."""
    return _luts(other_parts(spec)) + Resources(dsp=_other_dsps(spec)) + _blocks(_other_memories(spec))


def _luts(parts: Iterable[CorePart]) -> Resources:
    return Resources(lut=round(sum(part.copies * part_luts(part) for part in parts)))


def _blocks(memories: Iterable[tuple[Memory, int]]) -> Resources:
    return sum((memory.blocks * copies for memory, copies in memories), Resources())


def part_luts(part: CorePart) -> float:
    """LUTs of one part; InputError when no part of its kind and variant was synthesised."""
    name = f"{part.kind}, {part.variant}" if part.variant else part.kind
    factors = _factors().get(name)
    if factors is None:
        raise InputError(
            f"resources of {name} are not known without synthesis: einloom synth tells them, or synth: true in a sweep"
        )
    return sum(factors.get(term, 0.0) * value for term, value in part.terms.items())


@cache
def _factors() -> Mapping[str, Mapping[str, float]]:
    record: dict[str, Any] = json.loads(FACTORS.read_text())
    return cast(Mapping[str, Mapping[str, float]], record["factors"])


def _array_dsps(spec: CoreSpec) -> int:
    """DSPs of chains and scalers, or of the lanes of plain PEs."""
    gemm, pe = spec.gemm, spec.gemm.pe
    if not isinstance(pe, SparseDspSpec):
        return gemm.rows * gemm.columns * pe.lanes if isinstance(pe, IntMacSpec) else 0
    scalers = 0 if pe.timing.scale_bits else pe.columns_per_pe * pe.tokens_per_pe
    return gemm.rows // pe.tokens_per_pe * (gemm.columns // pe.columns_per_pe) * (pe.lanes + scalers)


def _other_dsps(spec: CoreSpec) -> int:
    """DSPs of attention lanes, of the vector unit and of addresses."""
    attention, lanes = spec.attention, spec.attention_lanes
    each = attention.rows + SOFTMAX_DSPS + EXPONENTIAL_DSPS * attention.serial
    beside = lanes // 2 + 2 * lanes + 2 * spec.lanes + 1 + spec.cache_in_channels
    return lanes * (attention.columns * each + 1) + beside


def _array_memories(spec: CoreSpec) -> Iterator[tuple[Memory, int]]:
    """Memories of the GEMM unit, and how many there are of each."""
    gemm, lanes, parity = spec.gemm, spec.lanes, spec.parity
    stored, together = stored_bits(gemm.pe) * lanes // gemm.pe.inputs, max(1, gemm.pe.inputs // lanes)
    yield Memory(spec.activation_words // together, stored + parity), gemm.rows * together
    yield Memory(spec.fifo_beats // spec.beats_at_once, gemm.beat_bits + parity), gemm.channels


def _other_memories(spec: CoreSpec) -> Iterator[tuple[Memory, int]]:
    """All other memories that are not in LUTs in every core."""
    attention, format, lanes, parity = spec.attention, spec.attention.format, spec.lanes, spec.parity
    count = spec.attention_lanes
    columns = count * attention.columns
    yield Memory(spec.vector_words, 32 * lanes + lanes * parity, reads=3), 1
    yield Memory(spec.query_words, lanes * QUERY_BITS + parity), columns
    yield Memory(spec.staging_words, lanes * spec.cache.bits + parity), count * spec.gemm.rows
    yield Memory(format.max_head, attention.rows * (16 if spec.token_scales else 8) + parity), count
    yield Memory(format.max_head + 1, format.state_bits + parity), 2 * columns
    if attention.serial:
        yield Memory(attention.rows, SCORE_BITS + 1), columns
    yield Memory(READER_FIFO, spec.beat_bits + 1 + parity), sum(len(port.reads) for port in spec.ports)
