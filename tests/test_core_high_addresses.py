"""High bits of counts and addresses, which small models leave 0: rows of many words, queries far up in their buffer."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.driver import SYSTEM
from einloom.spec.errors import CheckFailed
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from tests.core_bed import SMALLEST, Bed, Shape, core_config, core_design, random_program, small_program

ROWS = 6000
"""Of the vocabulary, so that the system window holds long rows."""
LONGEST = (1 << 12) - 1
"""Words of a row: all that an instruction has bits for."""
TABLE, KEYS, VALUES, RESULT = 64, 5000, 5064, 6000
"""First beats."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    core = {"vector_words": 8192, "query_words": 8192}
    design = core_design(core_config("high", **SMALLEST | {"core": core}))
    bed = Bed(design, random_program(design.manifest, Shape(vocab=ROWS, heads=1)))
    yield bed
    bed.close()


def check(bed: Bed, lines: Sequence[str]) -> None:
    """A job of one token on memory of random bytes leaves in it what golden leaves."""
    program = small_program(bed, [*lines, "end"])
    golden = GoldenDriver(bed.design.manifest, program)
    image = program.system
    floats = np.random.default_rng(1).normal(0, 1, (len(image) - TABLE * bed.beat_bytes) // 4).astype("<f4")
    image[TABLE * bed.beat_bytes :] = floats.view(np.uint8)
    for driver in (bed.core, golden):
        driver.load(SYSTEM, 0, image)
    bed.core.configure(program)
    bed.core.timing = MemoryTiming()
    results = bed.core.run(0, 1), golden.run(0, 1)
    assert [result.error for result in results] == [CoreError.NONE] * 2
    found, expected = (driver.dump(SYSTEM, 0, len(image)) for driver in (bed.core, golden))
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        raise CheckFailed(f"byte {wrong[0]} is {found[wrong[0]]}, golden has {expected[wrong[0]]}; {len(wrong)} differ")
    assert (found != image).any()


@pytest.mark.parametrize("words", [511, 512, 513, 1024, 2048, LONGEST])
def test_rows_of_any_length_are_loaded_and_stored(bed: Bed, words: int) -> None:
    check(
        bed,
        [
            f"load offset={TABLE} words={words} d_base=4097 signal=store",
            f"store offset={RESULT} words={words} a_base=4097 wait=load",
        ],
    )


@pytest.mark.parametrize("inner", [513, 1025, 2049, LONGEST])
def test_a_vector_instruction_takes_as_many_steps(bed: Bed, inner: int) -> None:
    vector = f"vector op=mad outer=1 inner={inner} a_base=0 a_inner=1 d_base=4097"
    check(
        bed,
        [
            f"load offset={TABLE} words={inner} d_base=0 signal=vector",
            f"{vector} x=immediate immediate=2.5 wait=load signal=store",
            f"store offset={RESULT} words={inner} a_base=4097 wait=vector",
        ],
    )


@pytest.mark.parametrize("word", [0, 511, 512, 1023, 2049, 4095, 4096, 8192 - 8])
def test_queries_lie_anywhere_in_their_buffer(bed: Bed, word: int) -> None:
    """Queries at `word`, and others where a lost bit of the address would find them."""
    lanes = bed.design.manifest.core.lanes
    words = 32 // lanes
    lines = [f"load offset={TABLE} words=64 d_base=0 signal=vector"]
    vector = "vector op=mad outer=1 a_inner=1 x=immediate"
    for n, base in enumerate(sorted({word & ~(1 << bit) for bit in range(13)} - {word}) + [word]):
        wait, signal = " wait=load" * (n == 0), " signal=attention" * (base == word)
        lines += [
            f"{vector} space=queries inner={words} a_base={n} d_base={base} immediate=9000.0{wait}",
            f"{vector} space=query_scale inner=1 a_base={n} d_base={base + words} immediate=300.0{signal}",
        ]
    attend = f"attend keys={KEYS} values={VALUES} queries={word * lanes} query_head=32 value_head=32 group=1 count=1"
    lines += [
        f"{attend} d_base=100 wait=vector signal=store",
        f"store offset={RESULT} words={words} a_base=100 wait=attention",
    ]
    check(bed, lines)
