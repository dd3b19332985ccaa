"""Memories on the chip that lose a bit: with parity the core stops, and the next job is as if nothing had been."""

import re
from collections.abc import Iterator

import numpy as np
import pytest

from einloom.generators.registry import describe
from einloom.generators.verilog_text import without_comments
from einloom.sim.simulated_core import EACH_WORD, Upset
from einloom.spec.driver import SYSTEM
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from tests.core_bed import Bed, Shape, core_config, core_design, random_program, random_tokens, small_program
from tests.marks import slow

SHAPE = Shape(inner=64)
SMALL = {"engine": {"rows": 2, "columns": 8}, "memory": {"channels": 1}, "attention": {"columns": 2}}
# Words that are no power of two: what is fetched ahead beyond the last one has no parity.
WORDS = {"activation_words": 12, "query_words": 20, "staging_words": 12}
PARITY = core_config("small", **SMALL, core={**WORDS, "parity": True})
BASE = 1 << 16  # bytes in front of each window
MEMORIES = (
    *("vector", "activations", "queries", "staging", "states", "dividends", "values", "weights"),
    *("program_beats", "load_beats", "cache_beats", "weight_beats"),
)
TIMES = 50
ENOUGH = 3  # of them that stop the core
TOKENS = 4
FLOAT_BITS = 32
USERS = {
    "vector": {"vector", "store"},
    "activations": {"gemm"},
    "queries": {"attend"},
    "staging": {"store_kv"},
    "states": {"attend"},
    "dividends": {"attend"},
    "values": {"attend"},
    "weights": {"gemm"},
    "load_beats": {"load", "tokens"},
    "cache_beats": {"attend"},
}
"""The instructions that use a memory's words; of those that are missing, any may be blamed."""
SELDOM = {"queries", "dividends"}
"""Memories in which a lost bit is seldom noticed, so that many must be tried."""
QUEUES = {"values", "weights", "program_beats", "load_beats", "cache_beats", "weight_beats"}
"""Few of their words are in use at a time, and not for long."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    design = core_design(PARITY)
    bed = Bed(design, random_program(design.manifest, SHAPE), base=BASE, upsets=True)
    yield bed
    bed.close()


def size(bed: Bed, memory: str) -> tuple[int, int]:
    """Words that the program uses, and bits of each with parity."""
    core = bed.design.manifest.core
    assert core is not None
    attention = bed.design.manifest.attention
    assert attention is not None
    words, bits = {
        "vector": (max(i["d_base"] + i["inner"] for i in bed.program.instructions if i.opcode.name == "vector"), 0),
        "activations": (core.activation_words, 8 * core.lanes),
        "queries": (core.query_words, 16 * core.lanes),
        "staging": (core.staging_words, core.cache_bits * core.lanes),
        "states": (SHAPE.head, attention.input_bits),
        "dividends": (SHAPE.head, attention.input_bits),
        "values": (0, 8 * attention.rows),
    }.get(memory, (0, 8 * bed.beat_bytes))
    return words, core.lanes * (FLOAT_BITS + 1) if memory == "vector" else bits + 1


def outside(bed: Bed) -> bytes:
    """All of system memory that is not in the window."""
    end = BASE + bed.core.sizes[SYSTEM]
    parts = (0, BASE), (end, bed.core.memory_sizes[SYSTEM] - end)
    return b"".join(bed.core.dump_memory(SYSTEM, *part).tobytes() for part in parts)


def test_texts_on_a_core_with_parity_are_golden(bed: Bed) -> None:
    rng = np.random.default_rng(1)
    for timing in (MemoryTiming(), MemoryTiming(latency=30, seed=3, stall=90, interleave=1)):
        bed.core.reset()
        bed.check_text(random_tokens(rng, SHAPE, 7), random_tokens(rng, SHAPE, 2), timing)


@pytest.mark.parametrize("memory", [slow(name) if name in SELDOM else name for name in MEMORIES])
def test_a_lost_bit_stops_the_core_or_does_no_harm(bed: Bed, memory: str) -> None:
    rng = np.random.default_rng(MEMORIES.index(memory))
    bed.core.timing = MemoryTiming()
    text = bed.resume()
    for _ in range(2):
        text.step(random_tokens(rng, SHAPE, TOKENS))
    cycles = bed.core.run(TOKENS, TOKENS).counters["cycles"]  # the same job again, which leaves memory as it is
    before = outside(bed)
    words, bits = size(bed, memory)
    blamed: list[str] = []
    for _ in range(TIMES):
        word = EACH_WORD if memory in QUEUES else int(rng.integers(words))
        upset = Upset(int(rng.integers(1, cycles)), memory, word, int(rng.integers(bits)))
        result = bed.core.run(TOKENS, TOKENS, upset=upset)
        if result.error is not CoreError.NONE:
            assert result.error is CoreError.PARITY, upset
            blamed.append(bed.program.instructions[result.index].opcode.name)
            assert bed.core.run(TOKENS, TOKENS).error is CoreError.NONE, upset
        bed.check_memory(SYSTEM)
        if len(blamed) == ENOUGH:
            break
    assert blamed
    assert set(blamed) <= USERS.get(memory, set(blamed))
    assert outside(bed) == before
    bed.check_text(random_tokens(rng, SHAPE, TOKENS), [])


def test_a_job_that_does_not_write_the_word_again_runs_all_the_same(bed: Bed) -> None:
    """Rows of the array without a token read what an earlier job left there."""
    rng = np.random.default_rng(0)
    bed.core.timing = MemoryTiming()
    text = bed.resume()
    text.step(random_tokens(rng, SHAPE, TOKENS))
    token = random_tokens(rng, SHAPE, 1)
    text.step(token)
    assert bed.core.run(TOKENS, 1, upset=Upset(1, "activations", 0, 0)).error is CoreError.PARITY
    assert bed.core.run(TOKENS, 1).error is CoreError.NONE
    bed.check_memory(SYSTEM)


@pytest.mark.parametrize(
    "reader",
    [
        "store words=1 offset=32 wait=load",
        "vector op=mad inner=1 outer=1 d_base=5 wait=load",
        "vector op=mad inner=3 outer=1 a_inner=0 d_base=5 wait=load",
    ],
)
def test_the_error_is_of_the_instruction_that_read(bed: Bed, reader: str) -> None:
    lines = ["load words=1", "load words=1 offset=4 d_base=1 signal=store+vector", reader]
    lines += ["vector op=mad inner=1 outer=1 a_base=1 d_base=9"] * 2 + ["end"]
    program = small_program(bed, lines)
    bed.core.timing = MemoryTiming(latency=200)
    bed.core.load(SYSTEM, 0, program.system)
    bed.core.configure(program)
    for bit in (0, 40, size(bed, "vector")[1] - 1):
        for _ in range(2):  # the first one may have to wait until all words have parity
            assert bed.core.run(0, 1).error is CoreError.NONE
        between = sum(last for _, index, _, last in bed.core.trace() if index < 2) // 2
        result = bed.core.run(0, 1, upset=Upset(between, "vector", 0, bit))
        assert (result.error, result.index) == (CoreError.PARITY, 2)
    bed.core.configure(bed.program)


def test_parity_is_nowhere_in_a_core_without(bed: Bed) -> None:
    without = core_design(core_config("small", **SMALL, core=WORDS))
    assert bed.design.manifest.memory_bits > without.manifest.memory_bits
    assert bed.design.manifest.core == without.manifest.core == describe(PARITY).core
    assert "corrupt" in bed.design.verilog
    assert not re.search("corrupt|scrub|parity", without_comments(without.verilog))
