"""The card's host program, on the simulated kernel: jobs equal to golden's, reports, and what it refuses."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from einloom.cli.run import run
from einloom.fpga.boards import BOARDS
from einloom.fpga.host.card import CardDriver, check_banks
from einloom.fpga.kernel.folder import kernel_folder
from einloom.fpga.kernel.interface import kernel_interface, kernel_name
from einloom.fpga.kernel.kernel_xml import kernel_xml
from einloom.fpga.kernel.wrapper import wrapper
from einloom.generators.design import Design
from einloom.generators.registry import describe
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.xrt import Kernel, SimulatedXrt
from einloom.spec.driver import SYSTEM
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.core_bed import BITMOD, SMALLEST, Shape, core_config, core_design, random_program, random_tokens
from tests.tiny_llama import write_tiny_llama

BOARD = BOARDS["u280"]
XCLBIN = Path("kernel.xclbin")
SHAPE = Shape()
HANGS = 50_000
"""Cycles, of a job of some thousands."""


@pytest.fixture(scope="module")
def design() -> Design:
    return core_design(core_config(base=BITMOD, core={"query_words": 64, "activation_words": 32}))


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
        rows = token_rows(random_tokens(np.random.default_rng(position), SHAPE, tokens), position, beat)
        for driver in (card, golden):
            driver.load(SYSTEM, (program.symbols.tokens + position) * beat, rows)
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
    with pytest.raises(InputError, match=r"m_axi_weights0 needs 268,439,552 bytes and its memory HBM\[0\] of the u280"):
        check_banks([4096, (256 << 20) + 4096, *sizes[2:]], kernel)


def test_more_channels_than_banks_are_refused(design: Design) -> None:
    for few in ({"hbm_banks": 1}, {"hbm_banks": 2, "ddr_banks": 0}):
        with pytest.raises(InputError, match="2 weight channels and the system's memory need"):
            kernel_interface(design.manifest, dataclasses.replace(BOARD, **few))


@pytest.mark.parametrize(("hbm", "system"), [(2, "DDR[0]"), (3, "HBM[2]"), (5, "HBM[2:4]")])
def test_the_systems_memory_is_all_that_the_channels_leave(design: Design, hbm: int, system: str) -> None:
    kernel = kernel_interface(design.manifest, dataclasses.replace(BOARD, hbm_banks=hbm))
    assert [memory.banks.name for memory in kernel.memories] == [system, "HBM[0]", "HBM[1]"]


@pytest.mark.usefixtures("xrt")  # whose simulator the command finds built
def test_the_command_runs_a_model_through_the_kernel(
    design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("einloom.running.cached_designs", lambda _: [design])  # once is enough
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(design.manifest.config.model_dump(mode="json")))
    app = typer.Typer()
    app.command()(run)
    arguments = [write_tiny_llama(tmp_path / "model"), "-c", config, "-p", "To be", "-n", 2, "--backend"]
    results = [CliRunner().invoke(app, [*map(str, arguments), backend, "--json"]) for backend in ("kernel", "golden")]
    assert [result.exit_code for result in results] == [0, 0], [result.exception for result in results]
    told, golden = (json.loads(result.stdout) for result in results)
    assert told["bit_exact"] is True
    assert told["text"] == golden["text"]


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def check_a_job(xrt: SimulatedXrt, design: Design, program: Program) -> None:
    """CheckFailed when a job that the host starts is not golden's."""
    card = CardDriver(xrt, XCLBIN, design.manifest, program, BOARD)
    golden = GoldenDriver(design.manifest, program)
    errors = [driver.run(0, 3).error for driver in (card, golden)]
    found, expected = (driver.dump(SYSTEM, 0, program.system.size) for driver in (card, golden))
    if errors != [CoreError.NONE] * 2 or not np.array_equal(found, expected):
        raise CheckFailed(f"the job is not golden's: {errors[0].name}")


def test_a_kernel_that_is_reset_in_a_job_does_the_next_one(xrt: SimulatedXrt, design: Design, program: Program) -> None:
    check_a_job(xrt, design, program)
    assert xrt.core.reset_during(0, 3, cycle=500)
    check_a_job(xrt, design, program)


XML_FAULTS = {
    "offsets exchanged": (
        ('offset="0x024"', 'offset="0x000"'),
        ('offset="0x02c"', 'offset="0x024"'),
        ('offset="0x000"', 'offset="0x02c"'),
    ),
    "pointers of each other's ports": (
        ('port="m_axi_weights0"', 'port="m_axi"'),
        ('port="m_axi_weights1"', 'port="m_axi_weights0"'),
        ('port="m_axi"', 'port="m_axi_weights1"'),
    ),
}


@pytest.mark.parametrize("fault", XML_FAULTS)
def test_a_wrong_kernel_xml_fails(
    xrt: SimulatedXrt,
    design: Design,
    program: Program,
    files: dict[str, str],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_a_job(xrt, design, program)
    xml = files["kernel.xml"]
    for old, new in XML_FAULTS[fault]:
        xml = changed(xml, old, new)
    monkeypatch.setattr(xrt, "described", Kernel.parse(xml))
    with pytest.raises(CheckFailed):
        check_a_job(xrt, design, program)


TOP_FAULTS = {
    "reset not inverted": (("~ap_rst_n", "ap_rst_n"),),
    "ports exchanged": (
        (".m_axi_weights0_araddr(m_axi_weights0_araddr)", ".m_axi_weights0_araddr(m_axi_weights1_araddr)"),
        (".m_axi_weights1_araddr(m_axi_weights1_araddr)", ".m_axi_weights1_araddr(m_axi_weights0_araddr)"),
    ),
}


@pytest.fixture(scope="module")
def smallest() -> Design:
    return core_design(core_config(base=BITMOD, **SMALLEST))


@pytest.mark.slow  # each builds a simulator
@pytest.mark.parametrize("fault", TOP_FAULTS)
def test_a_wrong_top_module_fails(smallest: Design, fault: str) -> None:
    program = random_program(smallest.manifest, Shape(inner=32, heads=1))
    kernel = kernel_interface(smallest.manifest, BOARD)
    top = wrapper(smallest.manifest, kernel)
    for old, new in TOP_FAULTS[fault]:
        top = changed(top, old, new)
    with SimulatedXrt(smallest, top, kernel_xml(kernel), program, limit=HANGS) as xrt, pytest.raises(CheckFailed):
        check_a_job(xrt, smallest, program)
