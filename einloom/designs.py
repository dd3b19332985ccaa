"""Generates the Verilog of a config."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config
from einloom.generators.cached_designs import cached_designs
from einloom.generators.design import MANIFEST, Design
from einloom.html import figures_table
from einloom.memory_sizes import sized_for
from einloom.models.decoder_model import DecoderModel
from einloom.spec.config import Config
from einloom.spec.manifest import Manifest

ATTENTION = "attention"  # the folder of the attention engine beside a GEMM engine


@dataclass(frozen=True)
class GeneratedDesign:
    """Designs of one config.

    Attributes
    ----------
    design : the core, or else the engine.
    beside : the attention engine of a config that has one and no core.
    seconds : time that generation took.
    """

    design: Design
    beside: Design | None
    seconds: float

    @property
    def verilog(self) -> str:
        return self.design.verilog

    @property
    def manifest(self) -> Manifest:
        return self.design.manifest

    def write(self, folder: str | Path) -> None:
        """Write Verilog and manifest into `folder`, those of the attention engine into `attention` below it."""
        self.design.write(Path(folder))
        if self.beside is not None:
            self.beside.write(Path(folder) / ATTENTION)

    def figures(self, folder: str | Path = "") -> dict[str, str | int | float]:
        """Figures that `einloom generate --json` prints; paths are those in `folder`."""
        figures = _figures(self.design, Path(folder))
        if self.beside is not None:
            beside = _figures(self.beside, Path(folder) / ATTENTION)
            figures |= {f"{ATTENTION}_{name}": value for name, value in beside.items()}
        return figures | {"seconds": round(self.seconds, 3)}

    def _repr_html_(self) -> str:
        return figures_table(f"Verilog of {self.manifest.name}", self.figures())


def generate(
    config: str | Path | Mapping[str, Any] | Config, *, model: str | Path | DecoderModel | None = None
) -> GeneratedDesign:
    """The Verilog of a config, and the manifest that describes it.

    Memories that are `auto` become as large as `model` needs. InputError when the config can't be built, or a model is
    named that does not fit it.
    """
    started = time.perf_counter()
    design, *beside = cached_designs(sized_for(load_config(config), model))
    return GeneratedDesign(design, beside[0] if beside else None, time.perf_counter() - started)


def _figures(design: Design, folder: Path) -> dict[str, str | int | float]:
    manifest = design.manifest
    return {
        "verilog": str(folder / manifest.verilog),
        "manifest": str(folder / MANIFEST),
        "bytes": len(design.verilog.encode()),
        "modules": len(manifest.modules),
        "register_bits": manifest.register_bits,
        "memory_bits": manifest.memory_bits,
    }
