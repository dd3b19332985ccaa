"""What `einloom design` chooses for public models, beside what others report; and what shipped cores would reach.

python -m benchmarks.design_models [MODEL ...] [--board u280] [--goal decode] [--context 1024] [--shipped] [...]

Models are known by the sizes in their config.json alone.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

import einloom
from einloom.catalogue import load_config, shipped_configs
from einloom.designing import DesignReport, label
from einloom.fpga.design.choose import cycles_of, trial_of
from einloom.memory_sizes import sized
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from tests.published_models import PUBLISHED, write_model

OTHERS = {
    "llama-2-7b": "FlightLLM 55 (U280), AccLLM 164 (U280, simulated), llama-fpga 18 to 19 (U250), 5 (KV260)",
    "llama-3.2-1b": "FlexLLM 144 (U280, W4A4)",
    "bitnet-b1.58-2b-4t": "16.8 (KV260)",
}
"""Published tokens a second."""
BENCHMARKS = Path(__file__).parent


def reports(names: list[str], board: str, goal: str, context: int, engine: str) -> dict[str, DesignReport | InputError]:
    """What is chosen for each model, or why nothing is."""
    found: dict[str, DesignReport | InputError] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            model = write_model(Path(folder) / name, PUBLISHED[name])
            try:
                found[name] = einloom.design(model, board, goal=goal, context=context, engine=engine)
            except InputError as error:
                found[name] = error
    return found


def cores() -> list[Config]:
    """Shipped cores and those of benchmarks/."""
    files = [*shipped_configs().values(), *sorted(BENCHMARKS.glob("*.yaml"))]
    return [config for config in map(load_config, files) if config.core is not None]


def shipped(report: DesignReport) -> dict[str, float]:
    """Cycles of a token on cores that take the model in the weight format of a report, by their names."""
    wish = report.wish
    found: dict[str, float] = {}
    for config in cores():
        if wish.format.name not in [f.name for f in config.gemm.weight_formats]:
            continue
        try:
            cycles, tokens = cycles_of(wish, trial_of(wish, sized(config, wish.graph)))
        except InputError:
            continue
        found[config.name] = cycles / tokens
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[], metavar="MODEL", help=f"of {', '.join(PUBLISHED)}")
    parser.add_argument("--board", default="u280")
    parser.add_argument("--goal", default="decode")
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--engine", default="", help="look at this kind of engine alone")
    parser.add_argument("--shipped", action="store_true", help="also what shipped cores would reach")
    args = parser.parse_args()
    console = Console(width=200)
    columns = ("core", "tokens/s", "first token, s", "of peak", "LUT", "DSP", "BRAM36", "URAM", "binds", "s", "others")
    table = Table("model", *columns)
    found = reports(args.models or list(PUBLISHED), args.board, args.goal, args.context, args.engine)
    for name, report in found.items():
        if isinstance(report, InputError):
            console.print(str(report))
            continue
        taken, (binds, share) = report.choice.resources, report.choice.binding(report.board)
        numbers = (f"{n:,}" for n in (taken.lut, taken.dsp, taken.bram36, taken.uram))
        speed = (
            f"{report.tokens_per_second:.1f}",
            f"{report.time_to_first_token:.2f}",
            f"{report.share_of_memory:.1%}",
        )
        last = (f"{binds} {share:.1%}", f"{report.seconds:.0f}", OTHERS.get(name, ""))
        table.add_row(name, label(report.choice.config), *speed, *numbers, *last)
    console.print(table)
    if args.shipped:
        beside = Table("model", "core", "cycles of a token", "over the chosen one's")
        for name, report in found.items():
            if isinstance(report, InputError):
                continue
            for core, each in sorted(shipped(report).items(), key=lambda item: item[1]):
                beside.add_row(name, core, f"{each:,.0f}", f"{each / report.choice.each:.3f}")
        console.print(beside)


if __name__ == "__main__":
    main()
