"""Cycles that the cost model predicts, against those of the simulated core."""

from collections.abc import Iterator

import pytest

from einloom.mapping.cost.core_simulation import CoreSimulation
from einloom.mapping.cost.program_cost import job_cycles, prompt_cycles
from einloom.spec.driver import SYSTEM, JobResult
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.token_table import token_rows
from tests.core_bed import LANES, Bed, Shape, core_config, core_design, random_program, small_program

BOUND = 0.02
"""Of a model's job, predicted over RTL cycles, less 1."""
IDEAL = MemoryTiming()
FEW = 1
"""Cycles by which a program of a few instructions may be off."""
PROGRAMS = {
    "loads": ["load words=8", "load words=3 d_base=40", "load rows=positions words=2 stride=2 d_base=60", "tokens"],
    "vector": [
        "vector op=mad x=vector outer=2 inner=9 a_inner=1 a_outer=9 b_inner=1 d_base=100 d_outer=9",
        "vector op=maxabs outer=2 inner=9 a_base=100 a_inner=1 a_outer=9 d_base=200 d_outer=1",
        "vector op=sum x=vector outer=1 inner=11 a_base=100 a_inner=1 b_base=100 b_inner=1 d_base=300",
        "vector op=mad x=vector outer=1 inner=1 a_base=300 b_base=200 d_base=301",
    ],
    "products": ["weights beats=40", "gemm blocks=2 tiles=2", "weights offset=40 beats=20", "gemm blocks=1 tiles=2"],
    "attention": ["attend values=4 query_head=32 value_head=32 group=1 count=1"] * 3,
    "stores": ["store offset=16 words=3", "store_kv offset=64 elements=32", "store offset=16 words=1"],
    "permits": [
        "load words=8 signal=vector",
        "vector op=mad outer=1 inner=8 a_inner=1 d_base=30 wait=load signal=store",
        "store offset=16 words=8 a_base=30 wait=vector",
    ],
}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    design = core_design(core_config())
    bed = Bed(design, random_program(design.manifest, Shape()))
    yield bed
    bed.close()


def run(bed: Bed, position: int, tokens: int) -> JobResult:
    """A job of the model's program."""
    bed.core.prepare()
    bed.core.configure(bed.program)
    table = bed.program.symbols.tokens
    bed.core.load(SYSTEM, (table + position) * bed.beat_bytes, token_rows(range(tokens), position, bed.beat_bytes))
    return bed.core.run(position, tokens)


@pytest.mark.parametrize("name", PROGRAMS)
def test_small_programs(bed: Bed, name: str) -> None:
    program = small_program(bed, [*PROGRAMS[name], "end"])
    bed.core.load(0, 0, program.system)
    bed.core.configure(program)
    bed.core.timing = IDEAL
    result = bed.core.run(0, 1)
    assert result.error is CoreError.NONE
    predicted = job_cycles(bed.design.manifest, program, IDEAL, 0)
    assert abs(predicted - result.counters["cycles"]) <= FEW


@pytest.mark.parametrize("memory", ["ideal", "hbm", "slow"])
@pytest.mark.parametrize(("position", "tokens"), [(0, 1), (21, 1), (2, 4), (0, 11)])
def test_a_model(bed: Bed, memory: str, position: int, tokens: int) -> None:
    manifest, program = bed.design.manifest, bed.program
    beat_bits = 8 * manifest.core.beat_bytes
    timing = {"ideal": IDEAL, "hbm": MemoryTiming.hbm(beat_bits, 300), "slow": MemoryTiming(latency=300)}[memory]
    bed.core.timing = timing
    result = run(bed, position, tokens)
    assert result.error is CoreError.NONE
    simulation = CoreSimulation(manifest, program.instructions, timing)
    assert simulation.run(position, tokens) == pytest.approx(result.counters["cycles"], rel=BOUND)
    beats = sum(count for name, count in result.counters.items() if name.endswith("_beats"))
    assert simulation.bytes == beats * bed.beat_bytes


def test_instructions_are_where_the_trace_has_them(bed: Bed) -> None:
    """Each unit's instructions, in their order, start within a few cycles of those of the trace."""
    bed.core.timing = IDEAL
    cycles = run(bed, 5, 1).counters["cycles"]
    simulation = CoreSimulation(bed.design.manifest, bed.program.instructions, IDEAL)
    simulation.run(5, 1)
    starts = {(int(e.unit) - 1, e.index): e.starts for e in simulation.executed}
    trace = {(unit, index): first for unit, index, first, _ in bed.core.trace() if unit}
    assert {key for key in starts if key[0]} == set(trace)
    late = [first - starts[key] for key, first in trace.items()]
    assert max(late) - min(late) < BOUND * cycles


def test_a_long_prompts_chunks_are_sampled(bed: Bed) -> None:
    manifest, program = bed.design.manifest, bed.program
    whole = job_cycles(manifest, program, IDEAL, 0, 31)
    assert prompt_cycles(manifest, program, IDEAL, 31) == pytest.approx(whole, rel=0.01)
    assert prompt_cycles(manifest, program, IDEAL, 12) == job_cycles(manifest, program, IDEAL, 0, 12)


def test_bytes_of_lanes_behind_the_channels() -> None:
    """Two attention lanes of two channels each: one lane is simulated, and the bytes are those of all."""
    design = core_design(core_config(base=LANES))
    lanes = Bed(design, random_program(design.manifest, Shape(heads=4, groups=2)))
    try:
        for position, tokens in ((0, 1), (21, 1), (2, 4)):
            counters = run(lanes, position, tokens).counters
            simulation = CoreSimulation(design.manifest, lanes.program.instructions, IDEAL)
            simulation.run(position, tokens)
            beats = sum(count for name, count in counters.items() if name.endswith("_beats"))
            assert simulation.bytes == beats * lanes.beat_bytes
    finally:
        lanes.close()
