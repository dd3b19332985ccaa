"""Random accepted configs of every engine, and of cores with models: generated, simulated, bit-exact; seconds of each.

python -m benchmarks.random_configs [--count 100] [--seed 1] [--only KIND]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from einloom.generators.registry import generate
from einloom.sim.engine_benches import simulate
from einloom.sim.strategies import bitmod_configs, fusemax_configs, int_mac_configs, lut_configs, sparse_dsp_configs
from einloom.spec.config import Config
from tests.core_bed import Bed, Shape, core_design, random_program, random_tokens
from tests.core_strategies import cores_with_models, timings

CASES = 12
ENGINES: dict[str, st.SearchStrategy[Config]] = {
    "int_mac": int_mac_configs(),
    "bitmod": bitmod_configs(),
    "lut": lut_configs(),
    "sparse_dsp": sparse_dsp_configs(),
    "fusemax": fusemax_configs(),
}


def drawn(strategy: st.SearchStrategy[Any], seed: int, count: int) -> list[Any]:
    """`count` different draws of a strategy."""
    found: dict[str, Any] = {}

    @seeded(seed)
    @settings(max_examples=10 * count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(value: Any) -> None:
        found.setdefault(repr(value), value)

    collect()
    return list(islice(found.values(), count))


def engine_run(config: Config, seed: int) -> tuple[float, int]:
    """Seconds that generation took, and jobs that were golden."""
    started = time.perf_counter()
    design = generate(config)
    generated = time.perf_counter() - started
    return generated, simulate(design, seed=seed, cases=CASES).cases


def core_run(config: Config, shape: Shape, seed: int) -> tuple[float, int]:
    """Seconds that generation took, and texts of a random model that were golden."""
    rng = np.random.default_rng(seed)
    started = time.perf_counter()
    design = core_design(config)
    generated = time.perf_counter() - started
    bed = Bed(design, random_program(design.manifest, shape, seed))
    try:
        (timing,) = drawn(timings, seed, 1)
        length = int(rng.integers(1, shape.context - 2))
        bed.check_text(random_tokens(rng, shape, length), random_tokens(rng, shape, 2), timing)
    finally:
        bed.close()
    return generated, 1


def runs(count: int, seed: int) -> Iterator[tuple[str, str, Callable[[], tuple[float, int]]]]:
    """Kind, description and run of each config: as many of each engine, and of cores."""
    each = count // (len(ENGINES) + 1)
    for kind, strategy in ENGINES.items():
        for config in drawn(strategy, seed, each):
            section = config.model_dump(mode="json", exclude_none=True)["engine"]
            text = " ".join(f"{key}={value}" for key, value in section.items() if key != "kind")
            yield kind, text, lambda config=config: engine_run(config, seed)
    for config, shape in drawn(cores_with_models(), seed, count - each * len(ENGINES)):
        text = f"{config.engine.kind} {config.gemm.rows}x{config.gemm.columns} {shape}"
        yield "core", text, lambda config=config, shape=shape: core_run(config, shape, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*ENGINES, "core"], help="leave out all others, but draw the same configs")
    options = parser.parse_args()
    seconds: list[float] = []
    failures = 0
    for kind, text, run in runs(options.count, options.seed):
        if options.only not in (None, kind):
            continue
        started = time.perf_counter()
        try:
            generated, cases = run()
            told = f"bit-exact in {cases} cases, generated in {generated:.1f} s"
        except Exception as error:  # the rest is still tried
            failures += 1
            told = f"FAILED: {type(error).__name__}: {error}"
        seconds.append(time.perf_counter() - started)
        print(f"{len(seconds):3} {kind:8} {seconds[-1]:6.1f} s  {told}  {text}", flush=True)
    print(
        f"{len(seconds) - failures} of {len(seconds)} bit-exact; seconds per config: median "
        f"{np.median(seconds):.1f}, largest {max(seconds):.1f}"
    )
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
