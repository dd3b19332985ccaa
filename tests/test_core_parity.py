"""Memories on the chip that lose a bit: with parity the core stops before the bit does harm."""

from collections.abc import Iterator

import numpy as np
import pytest

from einloom.isa import CoreError
from einloom.program import Program
from generators.registry import describe
from sim.bench.core import UPSETS
from sim.core import MemoryTiming, Upset
from einloom.driver import SYSTEM
from tests.core_bed import BITMOD, Bed, Shape, core_config, core_design, random_program, random_tokens, small_program

SHAPE = Shape()
PARITY = core_config("tiny-parity", core={"parity": True})
UPSETS_OF_EACH = 60
TOKENS = 4
CORE = BITMOD["core"]
LANES = int(str(CORE["lanes"]))
FLOAT_BITS = 32


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    design = core_design(PARITY)
    bed = Bed(design, random_program(design.manifest, SHAPE), upsets=True)
    yield bed
    bed.close()


def words_in_use(program: Program, memory: str) -> int:
    """One more than the highest address in any instruction, about."""
    if memory == "vector":
        return max(i["d_base"] + i["inner"] for i in program.instructions if i.opcode.name == "vector")
    return {"activations": 16, "queries": 20, "staging": 8}[memory]


def word_bits(memory: str) -> int:
    """Parity included."""
    bits = {"activations": 8, "queries": 16, "staging": 8}
    return LANES * (FLOAT_BITS + 1) if memory == "vector" else LANES * bits[memory] + 1


def test_texts_on_a_core_with_parity_are_golden(bed: Bed) -> None:
    rng = np.random.default_rng(1)
    for timing in (MemoryTiming(), MemoryTiming(latency=30, seed=3, stall=90, interleave=1)):
        bed.core.reset()  # so memories are cleared anew
        bed.check_text(random_tokens(rng, SHAPE, 7), random_tokens(rng, SHAPE, 2), timing)


@pytest.mark.parametrize("memory", UPSETS)
def test_a_lost_bit_stops_the_core_or_does_no_harm(bed: Bed, memory: str) -> None:
    rng = np.random.default_rng(list(UPSETS).index(memory))
    bed.core.timing = MemoryTiming()
    bed.resume().step(random_tokens(rng, SHAPE, TOKENS))
    cycles = bed.core.run(0, TOKENS).counters["cycles"]  # the same job again, which leaves memory as it is
    found = 0
    for _ in range(UPSETS_OF_EACH):
        word, bit = rng.integers(words_in_use(bed.program, memory)), rng.integers(word_bits(memory))
        upset = Upset(int(rng.integers(1, cycles)), memory, int(word), int(bit))
        result = bed.core.run(0, TOKENS, upset=upset)
        if result.error is CoreError.NONE:
            bed.check_memory(SYSTEM)
        else:
            assert result.error is CoreError.PARITY, upset
            assert result.index < len(bed.program.instructions)
            found += 1
    assert found
    bed.check_text(random_tokens(rng, SHAPE, TOKENS), [])  # what was lost is written anew


@pytest.mark.parametrize(
    "reader", ["store words=1 offset=32 wait=load", "vector op=mad inner=1 outer=1 d_base=5 wait=load"]
)
def test_the_error_is_of_the_instruction_that_read(bed: Bed, reader: str) -> None:
    lines = ["load words=1", "load words=1 offset=4 d_base=1 signal=store+vector", reader, "end"]
    program = small_program(bed, lines)
    bed.core.timing = MemoryTiming(latency=200)
    bed.core.load(SYSTEM, 0, program.system)
    bed.core.configure(program)
    for _ in range(2):  # the first one may have to wait until memories are cleared
        assert bed.core.run(0, 1).error is CoreError.NONE
    between = sum(last for _, index, _, last in bed.core.trace() if index < 2) // 2
    for bit in (0, 40, word_bits("vector") - 1):
        result = bed.core.run(0, 1, upset=Upset(between, "vector", 0, bit))
        assert (result.error, result.index) == (CoreError.PARITY, 2)
    bed.core.configure(bed.program)


def test_parity_costs_its_bits_and_nothing_where_it_is_off() -> None:
    with_parity, without = (core_design(config) for config in (PARITY, core_config()))
    rows, columns, tile_rows = BITMOD["engine"]["rows"], BITMOD["attention"]["columns"], BITMOD["attention"]["rows"]
    words = {"activation_words": rows, "query_words": columns, "staging_words": tile_rows}
    bits = CORE["vector_words"] * LANES + sum(CORE[name] * banks for name, banks in words.items())
    assert with_parity.manifest.memory_bits == without.manifest.memory_bits + bits
    assert "corrupt" in with_parity.verilog
    assert not any(word in without.verilog for word in ("corrupt", "scrub", "parity"))
    assert describe(PARITY).core == describe(core_config()).core
