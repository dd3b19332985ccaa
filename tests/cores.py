"""Small cores and what runs on them, for tests that need some of either."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from einloom.generators.registry import describe
from einloom.mapping.pipeline import compile_model
from einloom.models.core_decoder import CoreDecoder
from einloom.models.decoder_model import DecoderModel
from einloom.models.importer.huggingface import load_folder
from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.config import Config, parse_config
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program
from tests.tiny_llama import write_tiny_llama

SECTIONS: Mapping[str, Mapping[str, object]] = {
    "engine": {"kind": "bitmod", "rows": 4, "columns": 16, "lanes": 4, "formats": ["int8"], "group": 32},
    "attention": {"kind": "fusemax", "rows": 8, "columns": 4},
    "core": {"lanes": 8},
    "memory": {},
}


def core_config(**changes: Mapping[str, object]) -> Config:
    """A core's config, with `changes` to the keys of its sections; one of engine.kind replaces the whole engine."""
    sections = {}
    for name, defaults in SECTIONS.items():
        given = changes.get(name, {})
        sections[name] = dict(given) if "kind" in given else {**defaults, **given}
    return parse_config(yaml.safe_dump({"name": "small", **sections}), "small.yaml")


def core_manifest(**changes: Mapping[str, object]) -> Manifest:
    """What a program must know of the core of `core_config`."""
    return describe(core_config(**changes))


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
