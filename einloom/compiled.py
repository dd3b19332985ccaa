"""Compiles a model: the program and the memory images that a config's core runs."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config, load_model
from einloom.generators.registry import describe
from einloom.html import figures_table
from einloom.mapping.cached_program import cached_program
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.cost.cached_schedule_search import STANDARD_NAME, schedule_named
from einloom.mapping.cost.schedule_search import Found
from einloom.mapping.pipeline import Compression
from einloom.mapping.report import mapping_report
from einloom.mapping.schedule.schedule import STANDARD
from einloom.memory_sizes import sized
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.files import read_text, write_folder
from einloom.spec.formats import Format, format_named
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming
from einloom.spec.program import LISTING, PROGRAM, SYSTEM, Program

REPORT = "report.txt"
FILES = ".safetensors"
"""Ends the names of files that hold weights; formats have no such names."""


@dataclass(frozen=True)
class CompiledModel:
    """A model as a program for a design.

    Attributes
    ----------
    model : the model that was compiled.
    manifest : the design, without its Verilog.
    program : instructions and memory images.
    bits_per_weight : stored, over all weights of linear layers.
    seconds : time that compilation took.
    found : the schedule, if it was searched for.
    """

    model: DecoderModel
    manifest: Manifest
    program: Program
    bits_per_weight: float
    seconds: float
    found: Found | None = None

    @property
    def padding(self) -> float:
        """Share of the weights, and of what a token multiplies, 0 to 1, that are zeros to fill up blocks and tiles."""
        core = self.manifest.core
        return PaddedSizes.of(self.model.graph, core).padding(self.model.graph, core.gemm.columns)

    @property
    def report(self) -> str:
        """Report of how the model was mapped, in words and tables."""
        report = mapping_report(self.program, self.manifest, self.padding)
        return f"{report}\n{self.found.summary}\n" if self.found else report

    def write(self, folder: str | Path) -> None:
        """Write program, listing, images and report; InputError when that fails, with nothing half-written."""
        write_folder(Path(folder), self.program.files() | {REPORT: self.report.encode()})

    def figures(self, folder: str | Path = "") -> dict[str, Any]:
        """Figures that `einloom compile --json` prints; paths are those in `folder`."""
        program, core, inside = self.program, self.manifest.core, Path(folder)
        return {
            "program": str(inside / PROGRAM),
            "image": str(inside / SYSTEM),
            "listing": str(inside / LISTING),
            "report": str(inside / REPORT),
            "digest": program.digest,
            "instructions": len(program.instructions),
            "program_bytes": program.program_bytes,
            "image_bytes": program.image_bytes,
            "system_beats": program.system.size // core.beat_bytes,
            "weight_beats": [w.size // core.beat_bytes for w in program.weights],
            "beat_bytes": core.beat_bytes,
            "context": program.symbols.context,
            "chunk_tokens": core.gemm.rows,
            "memories": {m.name: {"used": m.used, "words": m.words} for m in program.memories},
            "schedule": asdict(self.found) if self.found else None,
            "bits_per_weight": round(self.bits_per_weight, 4),
            "padding": round(self.padding, 4),
            "seconds": round(self.seconds, 3),
        }

    def table(self, folder: str | Path = "") -> dict[str, str | int | float]:
        """The figures, each as one value, for people."""
        figures = self.figures(folder)
        memories, schedule = figures.pop("memories"), figures.pop("schedule")
        figures["weight_beats"] = ", ".join(f"{beats:,}" for beats in figures["weight_beats"])
        figures |= {name: f"{m['used']:,} of {m['words']:,} words" for name, m in memories.items()}
        return figures | ({"schedule": self.found.changed} if self.found and schedule else {})

    def _repr_html_(self) -> str:
        return figures_table(f"Compiled for {self.manifest.name}", self.table())


def compile(
    model: str | Path | DecoderModel | None = None,
    config: str | Path | Mapping[str, Any] | Config = "default",
    *,
    weights: str = "",
    calibration: str | Path | None = None,
    schedule: str = STANDARD_NAME,
) -> CompiledModel:
    """Compile a model for the core of a config.

    Parameters
    ----------
    weights : one of the design's weight formats, or "auto:BITS" for a format for each matrix; the first if empty. Or a
        file that `einloom quantize -c` wrote.
    calibration : a file with the text that matrices and cache are calibrated on; what the model writes if left out.
    schedule : "standard", or one that is searched for, by the cost model beside HBM2 at 300 MHz: "decode" for the
        fastest token at the end of the context, "prefill" for the fastest chunk.

    InputError when the model doesn't fit the design, the design doesn't have the format, or the file was made for
    another model or another design.
    """
    started = time.perf_counter()
    loaded = load_model(model)
    manifest = describe(sized(load_config(config), loaded.graph))
    timing = MemoryTiming.hbm(8 * manifest.core.beat_bytes, CLOCK_MHZ)
    format = _searched_format(manifest, weights)
    found = schedule_named(schedule, loaded.graph, manifest, format, loaded.graph.context, timing)
    compression, chosen = compression_of(weights, calibration), found.schedule if found else STANDARD
    program, bits = cached_program(loaded, manifest, compression, chosen)
    return CompiledModel(loaded, manifest, program, bits, time.perf_counter() - started, found)


def _searched_format(manifest: Manifest, weights: str) -> Format:
    """The weight format that a schedule is searched for: the one that is named, if the design has it, or its first.

    Of a mixture the matrices' formats are not known yet. One that keeps N of M weights stands for its dense codes.
    """
    names = [step.format for step in manifest.gemm.weights.steps]
    return format_named(weights if weights in names else names[0])


def compression_of(weights: str, calibration: str | Path | None) -> Compression:
    """What the options mean, see `compile`; InputError when they don't go together, or a file can't be read."""
    if Path(weights).suffix != FILES:
        return Compression(weights, "" if calibration is None else read_text(Path(calibration)))
    if calibration is not None:
        raise InputError(f"--weights {weights} is calibrated already: leave out --calibration")
    return Compression(file=Path(weights))
