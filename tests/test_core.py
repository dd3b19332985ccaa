"""Whole decoders on the core's Verilog: every logit and every byte of memory is golden's."""

import dataclasses
import re
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from einloom.generators.design import Design
from einloom.generators.registry import describe
from einloom.mapping.schedule.schedule import Schedule
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.driver import SYSTEM
from einloom.spec.errors import CheckFailed
from einloom.spec.isa import INSTRUCTION_BYTES
from einloom.spec.memory_timing import MemoryTiming
from tests.core_bed import (
    BITMOD,
    LANES,
    Bed,
    Shape,
    Tree,
    core_config,
    core_design,
    decoder,
    random_program,
    random_tokens,
)
from tests.marks import slow

SHAPE = Shape(layers=2, context=320)
INT_MAC: Tree = {
    "engine": {"kind": "int_mac", "rows": 3, "columns": 16, "lanes": 2},
    "memory": {"channels": 1, "beat_bits": 512},
    "attention": {"kind": "fusemax", "rows": 8, "columns": 2, "max_head": 32, "max_keys": 1024, "quotient_bits": 4},
    "core": {
        "lanes": 16,
        "vector_words": 2048,
        "activation_words": 8,
        "query_words": 32,
        "staging_words": 16,
        "fifo_beats": 64,
        "cache_bits": 4,
    },
}
"""Everything that a config can change, changed: the engine, wide beats and words, a cache of 4 bits, odd rows."""
DSP: Tree = INT_MAC | {
    "memory": {"channels": 1, "beat_bits": 256},
    "engine": {"kind": "sparse_dsp", "rows": 3, "columns": 8, "lanes": 8, "formats": ["int4-nof16", "ternary"]},
    "core": {**INT_MAC["core"], "lanes": 8, "activation_words": 32, "staging_words": 32},
}
"""The same with chains of DSPs, whose steps read four words of activations, and with blocks that keep N of 16."""
LUT: dict[str, object] = {
    "kind": "lut",
    "lanes": 8,
    "table_inputs": 3,
    "formats": ["bipolar2", "ternary", "int4"],
    "group": "channel",
}
TIMINGS = {
    "at once": MemoryTiming(latency=1),
    "far away": MemoryTiming(latency=500),
    "a beat in eight cycles": MemoryTiming(bandwidth=32),
    "stalls": MemoryTiming(latency=20, seed=3, stall=100),
    "HBM": MemoryTiming.hbm(256, 450),
    "stalls and any order": MemoryTiming(latency=70, seed=11, stall=60, interleave=1),
    "stalls, any order and half the bandwidth": MemoryTiming(
        latency=9, seed=77, stall=160, interleave=1, bandwidth=128
    ),
}


@pytest.fixture(scope="module", params=[BITMOD, DSP, slow(INT_MAC)], ids=["bitmod", "sparse_dsp", "int_mac"])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    design = core_design(core_config(base=request.param))
    bed = Bed(design, random_program(design.manifest, SHAPE))
    yield bed
    bed.close()


@pytest.mark.parametrize("timing", TIMINGS.values(), ids=TIMINGS)
def test_a_prompt_of_ragged_chunks_and_decoding_are_golden(bed: Bed, timing: MemoryTiming) -> None:
    rng = np.random.default_rng(timing.latency)
    bed.check_text(random_tokens(rng, SHAPE, 11), random_tokens(rng, SHAPE, 2), timing)


def test_a_program_of_another_schedule_is_golden() -> None:
    design = core_design(core_config(base=BITMOD))
    other = Schedule(most_pieces=16, piece_words=1, query_words=1, piece_maxima=True, queries_first=True, ahead=2)
    program = random_program(design.manifest, SHAPE, schedule=other)
    assert program.instructions != random_program(design.manifest, SHAPE).instructions
    bed, rng = Bed(design, program), np.random.default_rng(5)
    try:
        bed.check_text(random_tokens(rng, SHAPE, 11), random_tokens(rng, SHAPE, 2), TIMINGS["stalls and any order"])
    finally:
        bed.close()


def check_a_text(design: Design, seed: int, prompt: int, decoded: int) -> None:
    """A random model reads so many random tokens at once and so many one by one, on memory that stalls."""
    bed = Bed(design, random_program(design.manifest, SHAPE))
    try:
        rng = np.random.default_rng(seed)
        tokens = random_tokens(rng, SHAPE, prompt), random_tokens(rng, SHAPE, decoded)
        bed.check_text(*tokens, TIMINGS["stalls and any order"])
    finally:
        bed.close()


@pytest.mark.slow  # tests of the engine, and of shipped cores, have both by default
@pytest.mark.parametrize("precompute", ["fused", "row"])
def test_look_up_tables_made_in_either_place_are_golden(precompute: str) -> None:
    design = core_design(
        core_config(base=BITMOD | {"engine": {"rows": 3, "columns": 16, "precompute": precompute, **LUT}})
    )
    check_a_text(design, 5, 11, 2)


@pytest.mark.slow  # one with recent tiles is built below
@pytest.mark.parametrize("bits", [4, 8])
def test_a_cache_with_scales_per_token_is_golden(bits: int) -> None:
    sizes = {"cache_bits": bits, "cache_scales": "token", "staging_words": 40}
    design = core_design(core_config(attention={"rows": 8, "input_bits": 16}, core=sizes))
    check_a_text(design, bits, 11, 2)


def test_a_cache_with_recent_tiles_is_golden() -> None:
    """Three tiles: the first and the last have eight bits, and the one between has four."""
    sizes = {"cache_bits": 4, "cache_scales": "token", "cache_recent": 1, "staging_words": 40}
    design = core_design(core_config(attention={"rows": 8, "input_bits": 16}, core=sizes))
    check_a_text(design, 1, 22, 3)


RECENT_LANES = {
    "vector_words": 4096,
    "cache_ring": False,
    "cache_bits": 4,
    "cache_scales": "token",
    "cache_recent": 1,
    "staging_words": 64,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        slow({"attention": {"exponentials": "parallel"}}),
        slow({"core": {**RECENT_LANES, "attention_lanes": 4}, "attention": {"input_bits": 16}}),
    ],
    ids=["two channels a lane", "parallel exponentials", "recent tiles"],
)
def test_attention_lanes_behind_the_channels_are_golden(changes: Mapping[str, Mapping[str, object]]) -> None:
    """Five heads of keys and values, so some lanes have none in the last turn; the column of attention takes the two
    query heads of each in turn."""
    shape = dataclasses.replace(SHAPE, heads=10, groups=5)
    design = core_design(core_config(base=LANES, **changes))
    bed = Bed(design, random_program(design.manifest, shape))
    try:
        rng = np.random.default_rng(len(changes))
        bed.check_text(random_tokens(rng, shape, 18), random_tokens(rng, shape, 3), TIMINGS["stalls and any order"])
    finally:
        bed.close()


@pytest.mark.parametrize("sinks", [slow(0), 8])
def test_a_text_many_times_as_long_as_its_window_is_golden(sinks: int) -> None:
    """Rings of four tiles; they are full after 32 tokens, and have gone around twice in the end."""
    shape = dataclasses.replace(SHAPE, heads=5, groups=5, window=20, sinks=sinks, context=400)
    design = core_design(core_config(base=LANES))
    program = random_program(design.manifest, shape)
    assert program.symbols.cache_beats * 4 * 32 == 2 * 2 * 3 * 2 * (4 + (sinks > 0)) * 8 * 32
    bed = Bed(design, program)
    try:
        rng = np.random.default_rng(sinks)
        bed.check_text(random_tokens(rng, shape, 61), random_tokens(rng, shape, 12), TIMINGS["stalls and any order"])
    finally:
        bed.close()


@pytest.mark.slow
def test_heads_of_256_are_golden() -> None:
    sizes = {"vector_words": 8192, "query_words": 160, "staging_words": 128, "activation_words": 80}
    design, shape = core_design(core_config(attention={"max_head": 256}, core=sizes)), Shape(head=256, context=64)
    bed = Bed(design, random_program(design.manifest, shape), watchdog=1 << 17)
    try:
        rng = np.random.default_rng(8)
        bed.check_text(random_tokens(rng, shape, 9), random_tokens(rng, shape, 2))
    finally:
        bed.close()


@pytest.mark.parametrize("length", [1, 7, 64])
def test_one_program_serves_prompts_of_any_length(bed: Bed, length: int) -> None:
    rng = np.random.default_rng(length)
    bed.check_text(random_tokens(rng, SHAPE, length), random_tokens(rng, SHAPE, 2))
    assert_program_is_untouched(bed)


@pytest.mark.slow
def test_a_prompt_of_300_tokens_and_decoding_to_the_limit_are_golden(bed: Bed) -> None:
    rng = np.random.default_rng(5)
    bed.check_text(random_tokens(rng, SHAPE, 300), random_tokens(rng, SHAPE, SHAPE.context - 300))
    assert_program_is_untouched(bed)


def test_decoding_at_the_limit_of_the_context_is_golden(bed: Bed) -> None:
    """On a cache of random bytes, which cost less to make than 300 positions."""
    rng = np.random.default_rng(6)
    bed.core.timing = MemoryTiming()
    text = bed.restart()
    symbols, beat = bed.program.symbols, bed.beat_bytes
    cache = rng.integers(0, 256, symbols.cache_beats * beat).astype(np.uint8)
    for driver in (bed.core, bed.golden):
        driver.load(SYSTEM, symbols.cache * beat, cache)
    text.rewind(SHAPE.context - 6)
    text.step(random_tokens(rng, SHAPE, 5))
    text.step(random_tokens(rng, SHAPE, 1))
    bed.check_memory()
    assert text.position == text.context


def assert_program_is_untouched(bed: Bed) -> None:
    start = bed.program.symbols.program * bed.beat_bytes
    found = bed.core.dump(SYSTEM, start, bed.core.sizes[SYSTEM] - start)
    assert found.tobytes().startswith(b"".join(i.encode() for i in bed.program.instructions))


@pytest.mark.parametrize("base", [BITMOD, pytest.param(INT_MAC, marks=pytest.mark.slow)], ids=["bitmod", "int_mac"])
def test_a_text_leaves_the_same_memory_however_it_is_cut_into_jobs(base: Tree) -> None:
    """Golden alone: prompts of 1, 7, 64 and 300 tokens, then decoding to the context's limit, by one program."""
    manifest = describe(core_config(base=base))
    program = random_program(manifest, dataclasses.replace(SHAPE, layers=1))
    text = random_tokens(np.random.default_rng(8), SHAPE, SHAPE.context)
    caches, logits = [], []
    for length in (1, 7, 64, 300):
        golden = GoldenDriver(manifest, program)
        model = decoder(golden, manifest, program)
        model.step(text[:length])
        for token in text[length:]:
            last = model.step([token])
        logits.append(last[-1])
        beat = manifest.config.memory.beat_bits // 8
        caches.append(golden.dump(SYSTEM, program.symbols.cache * beat, program.symbols.cache_beats * beat))
    assert all((cache == caches[0]).all() for cache in caches)
    assert all((row == logits[0]).all() for row in logits)
    assert caches[0].any()
    assert program.program_bytes == len(program.instructions) * INSTRUCTION_BYTES


# Faults in the Verilog text, each active when the bench's seed is its number: one build has them all. An input of an
# instance in a module gets another value.
FAULTS = {
    "tokens are never waited for": ("machine", "available", "8'hff"),
    "keys are stored in the next row": ("store_unit", "chunk", "{0} + 34'h1"),
    "sums of a token lie a word too far": ("gemm_unit", "stride", "{0} + 16'h1"),
    "the position of a query is one too small": ("machine", "write__token", "{0} - 8'h1"),
    "a word of the row before is written": ("store_unit", "word__data", "{0} >> 32"),
}
FIRST_FAULT = 1000


def with_faults(design: Design) -> str:
    """The design's Verilog with all faults."""
    text = design.verilog
    for number, (module, port, wrong) in enumerate(FAULTS.values(), FIRST_FAULT):
        start = text.index(f"\nmodule {design.manifest.top}_{module}(")
        end = text.index("\nendmodule", start)

        def plant(match: re.Match[str], number: int = number, port: str = port, wrong: str = wrong) -> str:
            return f".{port}(core_bench.seed == {number} ? {wrong.format(match[1])} : {match[1]})"

        body, count = re.subn(rf"\.{port}\(([^()]+)\)", plant, text[start:end])
        assert count, f"{module} connects no {port}"
        text = text[:start] + body + text[end:]
    return text


@pytest.fixture(scope="module")
def faulty() -> Iterator[Bed]:
    design = core_design(core_config())
    bed = Bed(design, random_program(design.manifest, SHAPE), verilog=with_faults(design))
    yield bed
    bed.close()


@pytest.mark.parametrize("seed", range(FIRST_FAULT, FIRST_FAULT + len(FAULTS)), ids=list(FAULTS))
def test_the_comparison_finds_a_planted_fault(faulty: Bed, seed: int) -> None:
    rng = np.random.default_rng(2)
    prompt, decoded = random_tokens(rng, SHAPE, 6), random_tokens(rng, SHAPE, 1)
    faulty.core.reset()
    faulty.check_text(prompt, decoded)
    with pytest.raises(CheckFailed):
        faulty.check_text(prompt, decoded, MemoryTiming(seed=seed))
