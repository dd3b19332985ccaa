"""`einloom run`: text from a model, every operation of which is computed by the generated core."""

import dataclasses
import json
import math
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from einloom.cli.locate import find_config, find_model
from einloom.cli.progress import TokenProgress
from einloom.cli.run_report import JobTotals, RunReport, report_of
from einloom.fpga.boards import BOARDS
from einloom.fpga.host.card import CardDriver
from einloom.fpga.host.xrt import pyxrt
from einloom.fpga.kernel.interface import kernel_interface
from einloom.fpga.kernel.kernel_xml import kernel_xml
from einloom.fpga.kernel.wrapper import wrapper
from einloom.generators.registry import describe, generate_all
from einloom.mapping.pipeline import compile_model
from einloom.models.agreement import agreement_with_float
from einloom.models.core_decoder import CheckedDecoder, CoreDecoder
from einloom.models.importer.huggingface import load_llama
from einloom.models.text_generation import generate_text
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config
from einloom.spec.driver import SYSTEM, Driver
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program

if TYPE_CHECKING:
    from einloom.sim.core import SimulatedCore


SIMULATED_XCLBIN = Path("simulated.xclbin")


class Backend(StrEnum):
    """What runs the program."""

    rtl = "rtl"
    """The simulated core."""
    golden = "golden"
    kernel = "kernel"
    """The simulated kernel, as Vitis gets it, by the host program that runs on a card."""
    card = "card"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for; InputError when it can't be done."""

    model: Path
    config: Config
    prompt: str
    tokens: int
    backend: Backend
    temperature: float
    seed: int
    timeline: Path | None
    xclbin: Path | None
    board: str
    device: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise InputError(f"--tokens must be at least 1, not {self.tokens}")
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"--temperature must be 0 or a positive number, not {self.temperature}")
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")
        _ = self.config.core_section
        if self.board not in BOARDS:
            raise InputError(f"--board must be one of {', '.join(BOARDS)}, not {self.board!r}")
        if (self.backend == Backend.card) != (self.xclbin is not None):
            raise InputError("--backend card needs --xclbin FILE, and no other backend takes one")
        if self.xclbin is not None and not self.xclbin.is_file():
            raise InputError(f"{self.xclbin}: no such file")
        if self.timeline is not None and self.backend in (Backend.golden, Backend.card):
            raise InputError(f"--timeline needs a simulation, which --backend {self.backend} has not")


def run(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of a Hugging Face Llama, or the name of a shipped model; shakespeare-1m if left out."
        ),
    ] = None,
    config: Annotated[
        str, typer.Option("-c", "--config", help="A YAML file, or the name of a shipped config.")
    ] = "default",
    prompt: Annotated[str, typer.Option("-p", "--prompt", help="The text to continue.")] = "ROMEO:",
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to generate, at most.")] = 32,
    backend: Annotated[
        Backend,
        typer.Option(
            help="rtl: simulate the design's Verilog; golden: its golden model alone; kernel: simulate the "
            "kernel that Vitis gets, under a card's host program; card: the card."
        ),
    ] = Backend.rtl,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token, above 0 samples.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    timeline: Annotated[
        Path | None, typer.Option(help="Draw what each unit did for the last token into this SVG or PNG file.")
    ] = None,
    xclbin: Annotated[Path | None, typer.Option(help="What to load into the card.")] = None,
    board: Annotated[str, typer.Option(help="The card: u280 or u55c.")] = "u280",
    device: Annotated[int, typer.Option(help="Which card, as XRT counts them.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate text with a design, check it bit for bit, and say what it costs."""
    request = Request(
        find_model(model),
        find_config(config),
        prompt,
        tokens,
        backend,
        temperature,
        seed,
        timeline,
        xclbin,
        board,
        device,
    )
    try:
        report = _fulfil(request, Console(stderr=True))
    except CheckFailed as error:
        if as_json:
            typer.echo(json.dumps({"bit_exact": False, "error": str(error)}))
        raise
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
    else:
        typer.echo(report.text)
        for table in report.tables():
            Console().print(table)


def _fulfil(request: Request, console: Console) -> RunReport:
    """Load, compile, generate and compare with the float model; status and progress go to `console`."""
    model = load_llama(request.model)
    prompt = model.encode(request.prompt)
    manifest = describe(request.config)
    with console.status("compiling the model"):
        program, bits = compile_model(model, manifest)
    totals = JobTotals()
    with ExitStack() as opened:
        under_test, simulation = _open(request, program, manifest, console, opened)
        golden = GoldenDriver(manifest, program)
        reference = _decoder(golden, program, manifest)
        decoder: CoreDecoder | CheckedDecoder = reference
        if under_test is not None:
            decoder = CheckedDecoder(_decoder(under_test, program, manifest, totals), reference)
        with TokenProgress(console, lambda: simulation.cycles if simulation else 0, request.tokens) as progress:
            generation = generate_text(
                decoder,
                prompt,
                request.tokens,
                stop=model.config.eos_token_id,
                temperature=request.temperature,
                seed=request.seed,
                on_token=progress.advance,
            )
        if under_test is not None:
            _compare_memory(under_test, golden, program)
            if request.timeline is not None and simulation is not None:
                from einloom.cli.timeline import draw_timeline

                draw_timeline(simulation.trace(), program.instructions, request.timeline)
    seen = generation.tokens[:-1]
    return report_of(
        model,
        manifest,
        program,
        generation,
        backend=str(request.backend),
        bits_per_weight=bits,
        agreement=agreement_with_float(model, seen, generation.logits),
        totals=totals,
        seconds=progress.seconds,
    )


def _open(
    request: Request, program: Program, manifest: Manifest, console: Console, opened: ExitStack
) -> "tuple[Driver | None, SimulatedCore | None]":
    """The driver of what is compared with golden, and the simulation behind it; None where there is none."""
    board = BOARDS[request.board]
    if request.backend == Backend.golden:
        return None, None
    if request.backend == Backend.card:
        assert request.xclbin is not None
        with console.status("loading the card"):
            return CardDriver(pyxrt(), request.xclbin, manifest, program, board, device=request.device), None
    # The simulator's toolchain is needed here only.
    from einloom.sim.core import SimulatedCore
    from einloom.sim.xrt import SimulatedXrt

    with console.status("generating the design"):
        (design,) = generate_all(request.config)
    build = console.status("building the simulator (first time only)")
    if request.backend == Backend.rtl:
        with build:
            simulation = opened.enter_context(SimulatedCore(design, program))
        return simulation, simulation
    kernel = kernel_interface(design.manifest, board)
    with build:
        xrt = opened.enter_context(SimulatedXrt(design, wrapper(design.manifest, kernel), kernel_xml(kernel), program))
    return CardDriver(xrt, SIMULATED_XCLBIN, manifest, program, board), xrt.core


def _decoder(driver: Driver, program: Program, manifest: Manifest, totals: JobTotals | None = None) -> CoreDecoder:
    beat_bytes = manifest.gemm.weights.beat_bits // 8
    return CoreDecoder(driver, program, manifest.gemm.rows, beat_bytes, totals.add if totals else None)


def _compare_memory(simulation: Driver, golden: Driver, program: Program) -> None:
    """CheckFailed when the system's memory is not in the end what golden left."""
    found, expected = (d.dump(SYSTEM, 0, program.system.size) for d in (simulation, golden))
    wrong = (found != expected).nonzero()[0]
    if len(wrong):
        raise CheckFailed(
            f"byte {wrong[0]} of the system's memory is {found[wrong[0]]}, golden has {expected[wrong[0]]}; "
            f"{len(wrong)} bytes differ"
        )
