"""The core of a config: an accelerator around its two engines."""

from typing import TypedDict

from einloom.config import Config
from einloom.core_registers import core_registers
from einloom.errors import InputError
from einloom.manifest import AttentionManifest, CoreManifest, GemmManifest, Manifest
from generators.design import Design, describe, make_design
from generators.fusemax import attention_spec
from generators.gemm import gemm_spec
from hw.core.core import Core
from hw.core.spec import CoreSpec
from hw.pe.spec import PeSpec


def core_design(config: Config, pe: PeSpec) -> Design:
    """The design of a config with the section core; InputError for one without."""
    spec, parts = _parts(config, pe)
    return make_design(config, Core(spec), **parts)


def core_manifest(config: Config, pe: PeSpec) -> Manifest:
    """What a program needs to know of that design, without its Verilog: at once."""
    return describe(config, **_parts(config, pe)[1])


class _Parts(TypedDict):
    """The engines' and the core's own parts of the manifest."""

    gemm: GemmManifest
    attention: AttentionManifest
    core: CoreManifest


def _parts(config: Config, pe: PeSpec) -> tuple[CoreSpec, _Parts]:
    core, attention = config.core, config.attention_config
    if core is None or attention is None:
        raise InputError(f"{config.name} has no core: add the sections core and attention")
    gemm_engine, gemm = gemm_spec(config, pe, core.beats_at_once)
    attention_engine, attention_part = attention_spec(attention)
    spec = CoreSpec(
        gemm=gemm_engine,
        attention=attention_engine,
        beats_at_once=core.beats_at_once,
        lanes=core.lanes,
        vector_words=core.vector_words,
        activation_words=core.activation_words,
        query_words=core.query_words,
        staging_words=core.staging_words,
        fifo_beats=core.fifo_beats,
        cache_bits=core.cache_bits,
    )
    manifest = CoreManifest(
        lanes=core.lanes,
        vector_words=core.vector_words,
        activation_words=core.activation_words,
        query_words=core.query_words,
        staging_words=core.staging_words,
        cache_bits=core.cache_bits,
        registers=core_registers(config.memory.channels),
    )
    return spec, {"gemm": gemm, "attention": attention_part, "core": manifest}
