"""`einloom compile`: a model becomes the program and the memory images that a config's core runs."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from einloom.cli.figures import print_figures
from einloom.cli.locate import find_config, find_model
from einloom.generators.registry import describe
from einloom.mapping.pipeline import compile_model
from einloom.mapping.report import mapping_report
from einloom.models.importer.huggingface import load_llama
from einloom.spec.files import write_folder
from einloom.spec.manifest import Manifest
from einloom.spec.program import LISTING, PROGRAM, SYSTEM, Program

REPORT = "report.txt"


def compile(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the program and its images.")],
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of a Hugging Face Llama, or the name of a shipped model; shakespeare-1m if left out."
        ),
    ] = None,
    config: Annotated[
        str, typer.Option("-c", "--config", help="A YAML file, or the name of a shipped config.")
    ] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compile a model for a design: program, listing, memory images, and a report of the mapping."""
    started = time.perf_counter()
    manifest = describe(find_config(config))
    loaded = load_llama(find_model(model))
    with Console(stderr=True).status("compiling the model"):
        program, bits = compile_model(loaded, manifest)
    write_folder(output, program.files() | {REPORT: mapping_report(program, manifest).encode()})
    figures = _figures(program, manifest, output) | {
        "bits_per_weight": round(bits, 4),
        "seconds": round(time.perf_counter() - started, 3),
    }
    if as_json:
        typer.echo(json.dumps(figures))
        return
    memories = figures.pop("memories")
    shown = figures | {name: f"{m['used']:,} of {m['words']:,} words" for name, m in memories.items()}
    shown["weight_beats"] = ", ".join(f"{beats:,}" for beats in figures["weight_beats"])
    print_figures(shown, title="Compiled", column=manifest.name, as_json=False)


def _figures(program: Program, manifest: Manifest, folder: Path) -> dict[str, Any]:
    """What `--json` says; `memories` has the words used of each memory on the chip."""
    beat_bytes = manifest.gemm.weights.beat_bits // 8
    return {
        "program": str(folder / PROGRAM),
        "image": str(folder / SYSTEM),
        "listing": str(folder / LISTING),
        "report": str(folder / REPORT),
        "digest": program.digest,
        "instructions": len(program.instructions),
        "program_bytes": program.program_bytes,
        "image_bytes": program.image_bytes,
        "system_beats": program.system.size // beat_bytes,
        "weight_beats": [w.size // beat_bytes for w in program.weights],
        "beat_bytes": beat_bytes,
        "context": program.symbols.context,
        "chunk_tokens": manifest.gemm.rows,
        "memories": {m.name: {"used": m.used, "words": m.words} for m in program.memories},
    }
