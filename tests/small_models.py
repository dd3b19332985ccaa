"""Models for small cores, and their programs, for tests that need some of either."""

from pathlib import Path
from typing import Any

from einloom.mapping.pipeline import compile_model
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_model import DecoderModel
from einloom.models.importer.huggingface import load_folder
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.tiny_llama import write_tiny_llama


def small_llama(folder: Path, **changes: Any) -> DecoderModel:
    """A tiny Llama with heads that an attention engine takes, with `changes` to its config."""
    return load_folder(write_tiny_llama(folder, **{"head_dim": 32, **changes}))


def compiled(model: DecoderModel, manifest: Manifest) -> Program:
    """The model's program, as the command line makes it."""
    return compile_model(model, manifest)[0]


def golden_decoder(program: Program, manifest: Manifest) -> CoreDecoder:
    """The program on the golden executor, at the start of a text."""
    driver = GoldenDriver(manifest, program)
    return CoreDecoder(driver, program, manifest.gemm.rows, manifest.core.beat_bytes, tile=manifest.core.job_tile)
