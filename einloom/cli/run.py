"""`einloom run`: text from a model whose linear layers are computed by the generated design."""

import dataclasses
import json
import math
from contextlib import ExitStack, closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from einloom.attention import AttentionFormat
from einloom.cli.locate import default_model, find_config
from einloom.cli.progress import TokenProgress
from einloom.cli.run_report import RunReport, report_of
from einloom.config import Config
from einloom.errors import CheckFailed, InputError
from mapping.compress.for_engine import quantize_for_engine
from mapping.importer.huggingface import load_llama
from sim.device import Device, GoldenDevice
from sim.golden.agreement import agreement_with_float
from sim.golden.attention import IntegerAttention, float_attention, golden_runner
from sim.golden.generate import generate
from sim.golden.linears import DeviceLinears
from sim.golden.llama import Decoder

if TYPE_CHECKING:
    from sim.attention import AttentionDevice


class Backend(StrEnum):
    """What computes the linear layers."""

    rtl = "rtl"
    golden = "golden"


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

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise InputError(f"--tokens must be at least 1, not {self.tokens}")
        if not 0 <= self.temperature < math.inf:
            raise InputError(f"--temperature must be 0 or a positive number, not {self.temperature}")
        if self.seed < 0:
            raise InputError(f"--seed must be 0 or more, not {self.seed}")
        if self.config.engine.kind == "bitmod" and self.config.engine.activations != "int8":
            raise InputError(
                f"config {self.config.name}: engine.activations is {self.config.engine.activations}, but `einloom run` "
                "computes with int8 activations only"
            )


def run(
    model: Annotated[
        Path | None, typer.Argument(help="Folder of a Hugging Face Llama; einloom's own small one if left out.")
    ] = None,
    config: Annotated[
        str, typer.Option("-c", "--config", help="A YAML file, or the name of a shipped config.")
    ] = "default",
    prompt: Annotated[str, typer.Option("-p", "--prompt", help="The text to continue.")] = "ROMEO:",
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to generate, at most.")] = 32,
    backend: Annotated[
        Backend, typer.Option(help="Simulate the design's Verilog, or compute with its golden model alone.")
    ] = Backend.rtl,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token, above 0 samples.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate text with a design, check it bit for bit, and say what it costs."""
    request = Request(model or default_model(), find_config(config), prompt, tokens, backend, temperature, seed)
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
        Console().print(report.table())


def _fulfil(request: Request, console: Console) -> RunReport:
    """Load, quantise, generate and compare with the float model; status and progress go to `console`."""
    model = load_llama(request.model)
    prompt = model.encode(request.prompt)
    with console.status("quantising the model"):
        tensors = quantize_for_engine(request.config.gemm, model.linears)
    with ExitStack() as opened:
        device = opened.enter_context(closing(_open_device(request, console)))
        attention, attention_device = _open_attention(request, console, opened)
        linears = DeviceLinears(device, tensors)
        with TokenProgress(console, device, request.tokens) as progress:
            generation = generate(
                Decoder(model, linears, attention or float_attention),
                prompt,
                request.tokens,
                stop=model.config.eos_token_id,
                temperature=request.temperature,
                seed=request.seed,
                on_token=progress.advance,
            )
        return report_of(
            model,
            request.config,
            tensors,
            generation,
            backend=str(request.backend),
            agreement=agreement_with_float(model, generation.tokens[:-1], generation.logits),
            counters=device.counters,
            peak_macs_per_cycle=device.peak_macs_per_cycle,
            linear_layers=linears.calls,
            attention_jobs=attention.jobs if attention else 0,
            attention=attention_device.outcome if attention_device else None,
            seconds=progress.seconds,
        )


def _open_device(request: Request, console: Console) -> Device:
    if request.backend == Backend.golden:
        return GoldenDevice()
    # The simulator's toolchain is needed here only.
    from sim.rtl import RtlDevice

    with console.status("building the simulator (first time only)"):
        return RtlDevice(request.config)


def _open_attention(
    request: Request, console: Console, opened: ExitStack
) -> "tuple[IntegerAttention | None, AttentionDevice | None]":
    """The attention of the config's attention engine, and its simulation on the rtl backend; neither without one."""
    engine = request.config.attention
    config = request.config.attention_config
    if engine is None or config is None:
        return None, None
    format = AttentionFormat(engine.input_bits, engine.max_head, engine.max_keys)
    if request.backend == Backend.golden:
        run = golden_runner(format, engine.rows)
        return IntegerAttention(run, format, engine.columns, engine.spans), None
    from sim.attention import AttentionDevice

    with console.status("building the attention simulator (first time only)"):
        device = opened.enter_context(AttentionDevice(config))
    return IntegerAttention(lambda jobs: device.run(jobs)[0], format, engine.columns, engine.spans), device
