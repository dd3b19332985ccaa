"""Bytes of instructions for every prompt length and every decoding position: one program.

    python -m benchmarks.program_size

LLaMA-2-7B is compiled for the core below without its weights: the instructions are those of the real model, the images
are laid out but not made. FlightLLM (FPGA 2024) has a program for each bucket of lengths; its released generator's
instructions for 120 buckets of decoding alone, for the same model, take 372 MB. The exit code is 1 above 1 MB.
"""

from rich.console import Console
from rich.table import Table

from benchmarks.random_llama import llama_graph
from einloom.catalogue import find_model, load_config
from einloom.generators.registry import describe
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.pipeline import compile_model
from einloom.models.importer.huggingface import load_folder
from einloom.spec.config import parse_config
from einloom.spec.isa import INSTRUCTION_BYTES
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program

LLAMA_2_7B = {"hidden": 4096, "inner": 11008, "layers": 32, "heads": 32, "groups": 32, "vocab": 32000}
CONTEXTS = (2048, 4096)
CORE = """
name: llama-2-7b
engine: {kind: bitmod, rows: 16, columns: 128, lanes: 4, formats: [bitmod-fp4], group: 128}
memory: {channels: 4, beat_bits: 512}
attention: {kind: fusemax, rows: 32, columns: 16}
core: {lanes: 32, vector_words: 65536, activation_words: 1024, query_words: 1024, staging_words: 512}
"""
FLIGHTLLM_BYTES = 372_000_000
LIMIT = 1 << 20


def main() -> int:
    """Print the table; 1 if the program of LLaMA-2-7B is too large."""
    table = Table(title=f"instructions of {INSTRUCTION_BYTES} bytes, for every prompt length and decoding position")
    for heading in ("model", "core", "context", "instructions", "bytes", "share of FlightLLM's", "vector words used"):
        table.add_column(heading, justify="right")

    def row(name: str, manifest: Manifest, program: Program, share: str) -> None:
        figures = (program.symbols.context, len(program.instructions), program.program_bytes)
        used = program.memories[0].used
        table.add_row(name, manifest.name, *(f"{n:,}" for n in figures), share, f"{used:,}")

    largest, manifest = 0, describe(parse_config(CORE, "CORE"))
    for context in CONTEXTS:
        program = shape_only_program(llama_graph(**LLAMA_2_7B, context=context), manifest)
        largest = max(largest, program.program_bytes)
        row("LLaMA-2-7B", manifest, program, f"1 / {FLIGHTLLM_BYTES // program.program_bytes:,}")
    default = describe(load_config("default"))
    row("default", default, compile_model(load_folder(find_model()), default)[0], "")
    Console(width=120).print(table)
    return int(largest > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
