"""`einloom run`: text from a model, every operation of which is computed by the generated core."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from einloom.catalogue import load_config, load_model, load_windowed
from einloom.choice import core_for
from einloom.cli.options import AttentionWindow, Calibration, ConfigName, Context, Model, Schedule, Sinks, Weights
from einloom.cli.progress import TokenProgress
from einloom.cli.talk import talk
from einloom.compiled import compile
from einloom.run_report import RunReport
from einloom.running import (
    Accelerator,
    Backend,
    check_backend,
    check_counts,
    check_memory,
    encode_prompt,
    open,
    require_simulation,
)
from einloom.spec.errors import CheckFailed, InputError
from einloom.spec.sampling import Sampling

DEFAULT_PROMPT = "ROMEO:"
CHAT = (
    "Take the prompt as a message that the model answers, by its chat template. Without a prompt, messages come from "
    "the standard input, a line each, and answers are shown as they are made."
)


def run(
    model: Model = None,
    config: ConfigName = None,
    weights: Weights = "",
    calibration: Calibration = None,
    schedule: Schedule = "standard",
    attention_window: AttentionWindow = None,
    sinks: Sinks = 0,
    context: Context = None,
    prompt: Annotated[
        str | None,
        typer.Option("-p", "--prompt", help="The text to continue, or the message.", show_default=DEFAULT_PROMPT),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help=CHAT)] = False,
    tokens: Annotated[int, typer.Option("-n", "--tokens", help="Tokens to generate, at most.")] = 32,
    backend: Annotated[
        Backend,
        typer.Option(
            help="rtl: simulate the design's Verilog; golden: its golden model alone; kernel: simulate the "
            "kernel that Vitis gets, under a card's host program; card: the card."
        ),
    ] = Backend.rtl,
    temperature: Annotated[float, typer.Option(help="0 takes the most probable token, above 0 samples.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Sample from so many tokens, the most probable ones; 0 for all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Sample from the most probable tokens whose probabilities add up to so much.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the sampling.")] = 0,
    speculate: Annotated[
        int,
        typer.Option(
            help="Tokens of a job: one, and guesses from the text so far, which a design of several rows checks for "
            "the price of one. The text is the same."
        ),
    ] = 1,
    draft: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="A smaller model with the same tokens, which guesses for --speculate."),
    ] = None,
    timeline: Annotated[
        Path | None,
        typer.Option(
            help="Draw what each unit did for the last token into this SVG or PNG file, or JSON for Perfetto."
        ),
    ] = None,
    waves: Annotated[
        str | None,
        typer.Option(
            metavar="FROM:TO",
            help="Leave the waves of these cycles, counted over all jobs, in this folder: FST, or VCD without zlib and "
            "lz4.",
        ),
    ] = None,
    memory: Annotated[
        str,
        typer.Option(
            metavar="ideal|hbm",
            help="Behind the ports of a simulated core: a beat in each cycle, or HBM2's bandwidth, refreshes and rows.",
        ),
    ] = "ideal",
    clock: Annotated[
        float | None,
        typer.Option(metavar="MHZ", help="The core's clock beside an HBM, from 50 to 500.", show_default="300"),
    ] = None,
    xclbin: Annotated[Path | None, typer.Option(help="What to load into the card.")] = None,
    board: Annotated[str, typer.Option(help="The card: u280 or u55c.")] = "u280",
    device: Annotated[int, typer.Option(help="Which card, as XRT counts them.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate text with a design, check it bit for bit, and say what it costs."""
    console = Console(stderr=True)
    if config is not None:
        _ = load_config(config).core_section
    check_counts(tokens, speculate)
    if draft is not None and speculate == 1:
        raise InputError("--draft needs --speculate N, the tokens of a job, above 1")
    sampling = Sampling(temperature, top_k, top_p, seed)
    check_backend(backend, xclbin, board)
    if timeline is not None:
        require_simulation(backend, "--timeline")
    span = None if waves is None else _span(waves)
    if span is not None:
        require_simulation(backend, "--waves")
    check_memory(backend, memory, clock)
    loaded = load_windowed(model, attention_window, sinks, context)
    drafting = None if draft is None else load_model(draft)
    talks, prompt = chat and prompt is None, DEFAULT_PROMPT if prompt is None else prompt
    encode_prompt(loaded, prompt, chat=chat)
    chosen, reason = core_for(loaded, config)
    if reason:
        console.print(f"{chosen.name}: {reason}", soft_wrap=True, markup=False, highlight=False)
    opened = None
    try:
        with console.status("compiling the model") as status:
            compiled = compile(loaded, chosen, weights=weights, calibration=calibration, schedule=schedule)
            if compiled.found:
                console.print(compiled.found.summary, soft_wrap=True, markup=False, highlight=False)
            opened = open(
                compiled,
                backend,
                xclbin=xclbin,
                board=board,
                device=device,
                waves=span,
                memory=memory,
                clock_mhz=clock,
                status=status.update,
            )
        if talks:
            with opened:
                conversation = opened.converse(tokens, sampling=sampling, speculate=speculate, draft=drafting)
                talk(opened, conversation, console)
            return
        with opened, TokenProgress(console, lambda: opened.cycles, tokens) as progress:
            report = opened.generate_text(
                prompt,
                tokens,
                chat=chat,
                sampling=sampling,
                speculate=speculate,
                draft=drafting,
                on_token=progress.advance,
            )
            if timeline is not None:
                opened.draw_timeline(timeline)
    except CheckFailed as error:
        command = ["einloom", "run", *([] if model is None else [str(model)]), "-c", config or chosen.name]
        command += [*(["--chat"] if chat else []), "-p", prompt, "-n", str(tokens), "--backend", backend]
        command += ["--temperature", str(temperature), "--seed", str(seed)]
        rarer = (
            ("--weights", weights, ""),
            ("--calibration", calibration, None),
            ("--schedule", schedule, "standard"),
            ("--top-k", top_k, 0),
            ("--top-p", top_p, 1.0),
            ("--speculate", speculate, 1),
            ("--draft", draft, None),
            ("--memory", memory, "ideal"),
            ("--clock", clock, None),
        )
        command += [word for option, value, usual in rarer if value != usual for word in (option, str(value))]
        failure = CheckFailed(f"{error}; {_rerun(command, opened)}")
        if as_json:
            typer.echo(json.dumps({"bit_exact": False, "error": str(failure)}))
        raise failure from error
    _tell(report, as_json=as_json)


def _span(waves: str) -> tuple[int, int]:
    """The cycles of FROM:TO; InputError when it isn't that."""
    first, separator, last = waves.partition(":")
    if not (separator and first.isdecimal() and last.isdecimal()):
        raise InputError(f"--waves must be FROM:TO, two cycles, not {waves!r}")
    return int(first), int(last)


def _rerun(command: list[str], opened: Accelerator | None) -> str:
    """How to run a text that failed again, with the waves of the job in which it did, where it was simulated."""
    if opened is None or opened.backend not in (Backend.rtl, Backend.kernel):
        return f"rerun: {shlex.join(command)}"
    first, end = opened.last_job
    return f"rerun with the waves of that job: {shlex.join([*command, '--waves', f'{first}:{end}'])}"


def _tell(report: RunReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
        return
    typer.echo(report.text)
    for table in report.tables():
        Console().print(table)
