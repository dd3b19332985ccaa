"""The table of tokens: what the host writes for each, and two sequences that share a job."""

import numpy as np
import numpy.typing as npt
import pytest

from einloom.models.core_decoder import CoreDecoder
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.driver import SYSTEM, Driver
from einloom.spec.isa import CoreError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.core_bed import BITMOD, LANES, Bed, Shape, Tree, core_config, core_design, random_program

SHAPE = Shape(heads=4, groups=2, context=64)
FIRST, SECOND = [7, 31, 2, 9, 9, 12], [30, 1, 1, 5, 8, 22, 3, 17]
Floats = npt.NDArray[np.float32]


def test_a_row_is_a_beat_of_an_id_a_position_and_a_place() -> None:
    rows = token_rows([3, 1 << 24], 9, 32, place=500).view("<u4").reshape(2, 8)
    assert rows[:, :3].tolist() == [[3, 9, 500], [1 << 24, 10, 500]]
    assert not rows[:, 3:].any()


def alone(program: Program, manifest: Manifest, text: list[int]) -> Floats:
    """Golden's logits after the last token of a text that has the core for itself."""
    decoder = CoreDecoder(GoldenDriver(manifest, program), program, manifest.gemm.rows, manifest.core.beat_bytes)
    return decoder.step(text)[-1]


def logits(driver: Driver, program: Program, beat: int, row: int) -> Floats:
    """Of a token of the last job's last chunk."""
    raw = driver.dump(SYSTEM, (program.symbols.logits + row * program.symbols.logits_stride) * beat, 4 * SHAPE.vocab)
    return raw.view("<f4")


@pytest.mark.parametrize("base", [BITMOD, LANES], ids=["cache in the system's memory", "cache behind the channels"])
def test_chunks_of_a_job_may_be_of_two_sequences(base: Tree) -> None:
    """Each finds what it would have found alone: its half of every head's tiles is its own."""
    design = core_design(core_config(base=base))
    manifest, core = design.manifest, design.manifest.core
    program, chunk, beat = random_program(manifest, SHAPE), manifest.gemm.rows, core.beat_bytes
    tiles = SHAPE.context // 2 // core.cache.rows
    place = tiles * core.cache.tile_bytes(SHAPE.head) * 8 // core.cache.beat_bits
    bed = Bed(design, program)
    try:
        bed.core.prepare()
        job = [(FIRST[:4], 0, 0), (SECOND[:4], 0, place), (FIRST[4:], 4, 0), (SECOND[4:], 4, place)]
        for row, (ids, position, at) in enumerate(job):
            for driver in (bed.core, bed.golden):
                rows = token_rows(ids, position, beat, at)
                driver.load(SYSTEM, (program.symbols.tokens + row * chunk) * beat, rows)
        for first, length in ((0, 2 * chunk), (2 * chunk, len(FIRST) - 4), (3 * chunk, len(SECOND) - 4)):
            for driver in (bed.core, bed.golden):
                assert driver.run(first, length).error is CoreError.NONE
            bed.check_memory()
            text = FIRST if first == 2 * chunk else SECOND[: 4 if not first else None]
            found = logits(bed.core, program, beat, (length - 1) % chunk)
            assert np.array_equal(found, alone(program, manifest, text))
    finally:
        bed.close()
