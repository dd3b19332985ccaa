"""Mutation runs: how many random single-point faults in a design's netlist its benches catch.

All faults of a design are in one simulator and chosen at run time. Each fault in an engine runs against what
`einloom simulate` runs by default. One that nothing catches then runs against many times as many jobs with other seeds.
A fault counts as observable when it is caught, or when any port of the design has another value in any cycle of either
run; of the ports of streams and addresses only what is valid counts.

    python -m benchmarks.mutate int_mac bitmod --seeds 11 12 13 --mutants 50
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.mutants_of_core import judge_core
from benchmarks.mutants_of_engines import judge_engine
from benchmarks.mutations import Mutant, Outcome, design_with_sources, plant
from einloom.generators.design import Design
from einloom.sim.bench.build import ATTENTION_BENCH, GEMM_BENCH
from einloom.sim.bench.core import CORE_BENCH
from einloom.sim.strategies import make_config
from einloom.spec.config import Config
from einloom.spec.manifest import AttentionManifest, CoreManifest, GemmManifest
from tests.core_bed import SMALLEST, core_config

SEEDS = (11, 12, 13)
PER_SEED = 50
CONFIGS: Mapping[str, Config] = {
    "int_mac": make_config({"kind": "int_mac", "rows": 3, "columns": 4, "lanes": 2}, channels=2, beat_bits=64),
    "bitmod": make_config(
        {"kind": "bitmod", "rows": 2, "columns": 4, "formats": ["bitmod-fp4", "int6", "int8"], "group": 32},
        beat_bits=128,
    ),
    "lut": make_config(
        {
            "kind": "lut",
            "rows": 2,
            "columns": 4,
            "lanes": 8,
            "table_inputs": 3,
            "formats": ["ternary", "bipolar2", "int4"],
            "group": 32,
        },
        beat_bits=128,
    ),
    "sparse_dsp": make_config(
        {
            "kind": "sparse_dsp",
            "rows": 2,
            "columns": 4,
            "lanes": 8,
            "formats": ["bitmod-fp4", "int8-2of4"],
            "group": 64,
        },
        beat_bits=128,
    ),
    "sparse_blocks": make_config(
        {
            "kind": "sparse_dsp",
            "rows": 2,
            "columns": 2,
            "lanes": 8,
            "formats": ["int4-nof4", "bitmod-fp3"],
            "group": 32,
            "packing": "tokens",
        },
        beat_bits=128,
    ),
    "sparse_three": make_config(
        {
            "kind": "sparse_dsp",
            "rows": 2,
            "columns": 3,
            "lanes": 8,
            "formats": ["ternary", "int3"],
            "group": 32,
            "packing": "three_weights",
        },
        beat_bits=128,
    ),
    "fusemax": make_config({"kind": "fusemax", "rows": 4, "columns": 4, "spans": 2, "max_head": 64, "max_keys": 4096}),
    "core": core_config(**SMALLEST),
}
"""Small designs with all that their engine has, and a small core."""


@dataclass(frozen=True)
class Verdict:
    """What the benches made of a fault: caught by `case`, or only `shown` by a longer look, or neither."""

    mutant: Mutant
    case: str | None
    shown: str | None = None

    @property
    def observable(self) -> bool:
        return self.case is not None or self.shown is not None

    def __str__(self) -> str:
        return f"{self.mutant}: {self.shown or 'no difference seen'}"


def verdicts(mutants: Sequence[Mutant], default: Mapping[int, Outcome], longer: Mapping[int, Outcome]) -> list[Verdict]:
    """Of each fault, by its outcome in the default bench, and in the longer look at those that it missed."""
    found = []
    for mutant in mutants:
        outcome = default[mutant.number]
        shown = outcome.shown or longer.get(mutant.number, Outcome()).shown
        found.append(Verdict(mutant, outcome.case, None if outcome.case else shown))
    return found


def figures(name: str, found: Sequence[Verdict], seeds: Sequence[int]) -> dict[str, object]:
    """Totals, and those of each seed; the faults that were missed, and those that nothing shows."""

    def totals(those: Sequence[Verdict]) -> dict[str, int | float]:
        caught, observable = sum(v.case is not None for v in those), sum(v.observable for v in those)
        share = round(caught / observable, 4) if observable else 1.0
        return {"injected": len(those), "observable": observable, "caught": caught, "share": share}

    return {
        "design": name,
        **totals(found),
        "seeds": {str(seed): totals([v for v in found if v.mutant.seed == seed]) for seed in seeds},
        "missed": [str(v) for v in found if v.case is None and v.observable],
        "unseen": [str(v.mutant) for v in found if not v.observable],
    }


def bench_of(design: Design) -> str:
    """The module of the bench that a design runs in."""
    benches = {GemmManifest: GEMM_BENCH, AttentionManifest: ATTENTION_BENCH, CoreManifest: CORE_BENCH}
    return benches[type(design.manifest.design)]


def run(name: str, seeds: Sequence[int], count: int) -> dict[str, object]:
    """Plant `count` faults for each seed in the design `name`, and judge them."""
    design = design_with_sources(CONFIGS[name])
    planted = plant(design, bench_of(design), seeds, count)
    judge = judge_core if isinstance(design.manifest.design, CoreManifest) else judge_engine
    default = judge(planted, planted.mutants)
    missed = [m for m in planted.mutants if default[m.number].case is None]
    longer = judge(planted, missed, longer=True)
    return figures(name, verdicts(planted.mutants, default, longer), seeds)


def show(found: Mapping[str, object], unseen: bool) -> None:
    """Print the figures of a design as lines."""

    def line(title: str, totals: Mapping[str, object]) -> str:
        caught, observable, injected = totals["caught"], totals["observable"], totals["injected"]
        share = 100 * float(str(totals["share"]))
        return f"{title}: {caught} caught of {observable} observable of {injected}, {share:.1f} %"

    print(line(str(found["design"]), found))
    for seed, totals in found["seeds"].items():  # type: ignore[attr-defined]
        print(line(f"  seed {seed}", totals))
    for title in ("missed", "unseen")[: 1 + unseen]:
        for each in found[title]:  # type: ignore[attr-defined]
            print(f"  {title}: {each}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("designs", nargs="*", choices=[*CONFIGS, []], help=f"of {', '.join(CONFIGS)}; all unless told")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the choice of faults")
    parser.add_argument("--mutants", type=int, default=PER_SEED, help="faults for each seed")
    parser.add_argument("--unseen", action="store_true", help="list the faults that nothing shows, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object per design")
    options = parser.parse_args()
    for name in options.designs or CONFIGS:
        found = run(name, options.seeds, options.mutants)
        if options.json:
            print(json.dumps(found), flush=True)
        else:
            show(found, options.unseen)


if __name__ == "__main__":
    main()
