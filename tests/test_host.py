"""The card's host program, on the simulated kernel: jobs equal to golden's, reports, and what it refuses."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from einloom.driver import SYSTEM
from einloom.errors import InputError
from einloom.isa import CoreError
from einloom.program import Program
from fpga.boards import BOARDS
from fpga.host.card import CardDriver, check_banks
from fpga.kernel.folder import kernel_folder
from fpga.kernel.interface import kernel_interface, kernel_name
from generators.design import Design
from generators.registry import describe
from sim.core import MemoryTiming
from sim.golden.driver import GoldenDriver
from sim.xrt import SimulatedXrt
from tests.core_bed import BITMOD, Shape, core_config, core_design, random_program, random_tokens

BOARD = BOARDS["u280"]
XCLBIN = Path("kernel.xclbin")
SHAPE = Shape()


@pytest.fixture(scope="module")
def design() -> Design:
    return core_design(core_config(base=BITMOD))


@pytest.fixture(scope="module")
def program(design: Design) -> Program:
    return random_program(design.manifest, SHAPE)


@pytest.fixture(scope="module")
def files(design: Design) -> dict[str, str]:
    """What `einloom fpga` writes."""
    return {path: raw.decode() for path, raw in kernel_folder(design, BOARD, clock_mhz=300, slr=None).items()}


@pytest.fixture(scope="module")
def xrt(design: Design, program: Program, files: dict[str, str]) -> Iterator[SimulatedXrt]:
    top = files[f"rtl/{kernel_name(design.manifest.digest)}.v"]
    timing = MemoryTiming(stall=40, seed=3)
    with SimulatedXrt(design, top, files["kernel.xml"], program, timing=timing) as simulated:
        yield simulated


def test_jobs_through_registers_and_buffers_are_golden(xrt: SimulatedXrt, design: Design, program: Program) -> None:
    card = CardDriver(xrt, XCLBIN, design.manifest, program, BOARD)
    golden = GoldenDriver(design.manifest, program)
    beat = design.manifest.gemm.weights.beat_bits // 8
    for position, tokens in ((0, 5), (5, 1), (6, 2)):
        ids = random_tokens(np.random.default_rng(position), SHAPE, tokens)
        data = np.zeros((tokens, beat), np.uint8)
        data[:, :4] = np.array(ids, "<u4").view(np.uint8).reshape(-1, 4)
        for driver in (card, golden):
            driver.load(SYSTEM, (program.symbols.ids + position) * beat, data.ravel())
        result = card.run(position, tokens)
        assert golden.run(position, tokens).error is CoreError.NONE
        assert result.error is CoreError.NONE
        assert np.array_equal(card.dump(SYSTEM, 0, program.system.size), golden.dump(SYSTEM, 0, program.system.size))
        # The report in memory says what the registers say.
        assert result.counters == {name: xrt.core.read(name) for name in result.counters}
        assert result.counters["cycles"] > 0


def test_a_job_that_goes_wrong_is_reported_and_the_next_one_is_not(
    xrt: SimulatedXrt, design: Design, program: Program
) -> None:
    card = CardDriver(xrt, XCLBIN, design.manifest, program, BOARD)
    beat = design.manifest.gemm.weights.beat_bits // 8
    bad = np.full(beat, 0xFF, np.uint8)
    card.load(SYSTEM, program.symbols.program * beat, bad)
    result = card.run(0, 1)
    assert (result.error, result.index) == (CoreError.ILLEGAL, 0)
    card.load(SYSTEM, program.symbols.program * beat, program.system[program.symbols.program * beat :][:beat])
    assert card.run(0, 1).error is CoreError.NONE


def test_an_xclbin_of_another_config_is_refused(xrt: SimulatedXrt, program: Program) -> None:
    other = describe(core_config(base=BITMOD, name="another"))
    mine = dataclasses.replace(program, digest=other.digest)
    with pytest.raises(InputError, match=rf"{XCLBIN}: it holds the kernel of config \w+, and the design is of config"):
        CardDriver(xrt, XCLBIN, other, mine, BOARD)


def test_a_program_of_another_config_is_refused(xrt: SimulatedXrt, design: Design, program: Program) -> None:
    with pytest.raises(InputError, match="was compiled for config 000000000000"):
        CardDriver(xrt, XCLBIN, design.manifest, dataclasses.replace(program, digest="0" * 64), BOARD)


def test_an_image_larger_than_its_bank_is_refused(design: Design) -> None:
    kernel = kernel_interface(design.manifest, BOARD)
    sizes = [4096] * len(kernel.memories)
    check_banks(sizes, kernel)
    with pytest.raises(InputError, match=r"m_axi_weights0 needs 268,439,552 bytes and its bank HBM\[0\] of the u280"):
        check_banks([4096, (256 << 20) + 4096, *sizes[2:]], kernel)


def test_more_channels_than_banks_are_refused(design: Design) -> None:
    few = dataclasses.replace(BOARD, hbm_banks=2)
    with pytest.raises(InputError, match="weight channels and the system's memory need"):
        kernel_interface(design.manifest, few)
