"""Choices of `einloom design`, built: resources by synthesis over those predicted, and a small model on their RTL.

    python -m benchmarks.design_choices [MODEL:BOARD:GOAL ...] [--no-synth] [--no-run] [--tokens 2]

Each choice is made from the sizes in a config.json alone (tests/published_models.py) and written as a file, which is
what is read from then on. The shipped model runs on the core's RTL in the choice's own weight format, with a channel of
HBM2 behind each port, and golden is compared in every bit. Cycles of its last token stand beside those that `einloom
cost` predicts for it.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import einloom
from einloom.designing import DesignReport, label
from einloom.fpga.resources import Resources
from tests.published_models import PUBLISHED, write_model

CHOICES = (
    *("smollm2-135m:kv260:decode", "bitnet-b1.58-2b-4t:kv260:decode", "llama-3.2-1b:kv260:decode"),
    "llama-3-8b:u280:decode",
)
COUNTED = ("lut", "dsp", "bram36", "uram")
PROMPT = "ROMEO:"


@dataclass(frozen=True)
class Built:
    """A choice, and what became of it.

    Attributes
    ----------
    synthesised : its resources, and the most LUTs between two registers; None if it was not.
    cycles : of the small model's last token on RTL, and as predicted; None if it did not run.
    """

    name: str
    report: DesignReport
    synthesised: tuple[Resources, int] | None
    cycles: tuple[int, int] | None


def build(name: str, folder: Path, synth: bool, tokens: int) -> Built:
    """Make a choice, MODEL:BOARD:GOAL, and build it; CheckFailed where RTL is not golden."""
    model, board, goal = name.split(":")
    report = einloom.design(write_model(folder / model, PUBLISHED[model]), board, goal=goal)
    file = folder / f"{model}-{board}-{goal}.yaml"
    report.write(file)
    print(f"{name}: {label(report.choice.config)}", flush=True)
    synthesised = cycles = None
    if synth:
        started = time.perf_counter()
        found = einloom.synthesise(file, board if board in ("u280", "u55c") else "u280")
        synthesised = found.total, max(result.levels for result in found.results.values())
        print(f"  synthesised in {time.perf_counter() - started:.0f} s: {found.total}", flush=True)
    if tokens:
        cycles = run(file, report.wish.format.name, tokens)
        print(f"  RTL is golden's in every bit: {cycles[0]:,} cycles for the last token", flush=True)
    return Built(name, report, synthesised, cycles)


def run(file: Path, format: str, tokens: int) -> tuple[int, int]:
    """Cycles of the last token of the shipped model on RTL, and as predicted."""
    compiled = einloom.compile(None, file, weights=format)
    started = time.perf_counter()
    with einloom.open(compiled, "rtl", memory="hbm") as core:
        print(f"  simulator built in {time.perf_counter() - started:.0f} s", flush=True)
        found = core.generate_text(PROMPT, tokens)
    assert found.bit_exact
    assert found.cycles_per_token is not None
    last = found.prompt_tokens + found.tokens - 2
    predicted = einloom.cost(None, file, position=last, weights=format, memory="hbm").step.cycles
    return found.cycles_per_token, predicted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("choices", nargs="*", default=CHOICES, metavar="MODEL:BOARD:GOAL")
    parser.add_argument("--no-synth", action="store_true")
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--tokens", type=int, default=2)
    args = parser.parse_args()
    table = Table("choice", "", *COUNTED, "levels", "cycles of a token of the shipped model")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.choices:
            built = build(name, Path(folder), not args.no_synth, 0 if args.no_run else args.tokens)
            said = built.report.choice.resources
            rtl, foretold = map("{:,}".format, built.cycles) if built.cycles else ("", "")
            table.add_row(name, "predicted", *(f"{getattr(said, key):,}" for key in COUNTED), "", foretold)
            if built.synthesised:
                total, levels = built.synthesised
                table.add_row("", "synthesised", *(f"{getattr(total, key):,}" for key in COUNTED), str(levels), "")
                off = f"{said.lut / total.lut - 1:+.1%}"
                table.add_row("", "off by", off, *(f"{getattr(said, k) - getattr(total, k):+}" for k in COUNTED[1:]))
            if built.cycles:
                error = f"{built.cycles[1] / built.cycles[0] - 1:+.2%}"
                table.add_row("", "RTL", *("" for _ in COUNTED), "", f"{rtl} (predicted {error})")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
