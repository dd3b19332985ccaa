"""Words of the vector memory that models need: with words of their own for all, and where what is never alive together
shares them.

    python -m benchmarks.vector_memory [MODEL ...] [--position N] [--layers N]

Models of some layers are compiled from their shapes for shipped cores, once with a vector memory that is as large as
all regions together (what a program gets if it can) and once with the smallest that is enough
(mapping/codegen/shared_words.py); and with the core's own, where all regions together are too many for it. A decoding
step of each is predicted by the cost model, with HBM2 behind each port.
"""

import argparse

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.random_llama import llama_graph
from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.program_cost import job_cycles
from einloom.mapping.fit import fit_problems, least_vector_words, needed_words
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming

SHAPES = {
    "SmolLM2-135M": {"hidden": 576, "inner": 1536, "heads": 9, "groups": 3, "vocab": 49152},
    "Llama-3.2-1B": {"hidden": 2048, "inner": 8192, "heads": 32, "groups": 8, "vocab": 128256},
    "LLaMA-2-7B": {"hidden": 4096, "inner": 11008, "heads": 32, "groups": 32, "vocab": 32000},
}
CONFIGS = ("default", "core-2ch", "core-16x32", "u280", "u280-dense")


def with_words(manifest: Manifest, words: dict[str, int]) -> Manifest:
    """The design with memories of other sizes."""
    return manifest.model_copy(update={"design": manifest.core.model_copy(update=words)})


def step_cycles(graph: DecoderGraph, manifest: Manifest, position: int) -> int:
    """Cycles of a decoding step."""
    program = shape_only_program(graph, manifest, context=position + 1)
    return job_cycles(manifest, program, MemoryTiming.hbm(8 * manifest.core.beat_bytes, CLOCK_MHZ), position, 1)


def main() -> int:
    """Print the table; 1 if sharing needs more words anywhere."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(SHAPES)}; all if none is named")
    parser.add_argument("--position", type=int, default=1023)
    parser.add_argument("--layers", type=int, default=2)
    arguments = parser.parse_args()
    table = Table(title=f"vector memory of models of {arguments.layers} layers", box=box.MARKDOWN)
    for heading in (
        "model",
        "core",
        "it has",
        "all regions",
        "shared",
        "fewer",
        "cycles, all",
        "in what it has",
        "in the fewest",
    ):
        table.add_column(heading, justify="left" if heading in ("model", "core") else "right")
    worse = False
    for model, shape in SHAPES.items():
        if arguments.models and model not in arguments.models:
            continue
        graph = llama_graph(**shape, layers=arguments.layers, context=arguments.position + 1)
        for config in CONFIGS:
            manifest = describe(load_config(config))
            if any("vector_words" not in problem for problem in fit_problems(graph, manifest, shared=False)):
                continue  # too small in other ways
            apart, least = needed_words(graph, manifest)["vector_words"], least_vector_words(graph, manifest)
            own = manifest.core.vector_words
            sizes = (apart, own, least) if least <= own < apart else (apart, None, least)
            cycles = [
                n and step_cycles(graph, with_words(manifest, {"vector_words": n}), arguments.position) for n in sizes
            ]
            worse |= least > apart
            told = (f"{n:,} ({n / (cycles[0] or n) - 1:+.2%})" if n else "" for n in cycles[1:])
            table.add_row(
                model,
                config,
                f"{own:,}",
                f"{apart:,}",
                f"{least:,}",
                f"{1 - least / apart:.0%}",
                f"{cycles[0]:,}",
                *told,
            )
    Console(width=160).print(table)
    return int(worse)


if __name__ == "__main__":
    raise SystemExit(main())
