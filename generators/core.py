"""The core of a config: an accelerator around its two engines."""

from dataclasses import replace

from einloom.generators.design import Design
from einloom.generators.fusemax import attention_spec
from einloom.generators.gemm import gemm_spec
from einloom.generators.make_design import describe, make_design
from einloom.hw.core.core import Core, probes
from einloom.hw.core.spec import CoreSpec
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.core_registers import core_registers, design_number
from einloom.spec.manifest import CoreManifest, Manifest


def core_design(config: Config, pe: PeSpec) -> Design:
    """The design of a config with the section core; InputError for one without."""
    spec, manifest = spec_and_manifest(config, pe)
    return make_design(config, Core(spec), manifest, instances=probes(spec))


def core_manifest(config: Config, pe: PeSpec) -> Manifest:
    """Manifest of that design. No Verilog is made for it, so it takes no time."""
    return describe(config, spec_and_manifest(config, pe)[1])


def core_spec(config: Config, pe: PeSpec) -> CoreSpec:
    """Parts and sizes of that core, for simulation in Amaranth."""
    return spec_and_manifest(config, pe)[0]


def spec_and_manifest(config: Config, pe: PeSpec) -> tuple[CoreSpec, CoreManifest]:
    """Parts and sizes of that core, and what its manifest says of it."""
    core, attention = config.core_section, config.attention_config
    assert attention is not None  # the schema asks for it
    gemm_engine, gemm = gemm_spec(config, pe, core.beats_at_once)
    attention_engine, attention_part = attention_spec(attention)
    spec = CoreSpec(
        gemm=gemm_engine,
        attention=replace(
            attention_engine,
            parity=core.parity,
            format=replace(attention_engine.format, sink_queries=core.cache_ring),
        ),
        beats_at_once=core.beats_at_once,
        lanes=core.lanes,
        **config.memory_words(),
        fifo_beats=core.fifo_beats,
        cache_bits=core.cache_bits,
        token_scales=core.cache_scales == "token",
        cache_recent=core.cache_recent,
        cache_ring=core.cache_ring,
        attention_lanes=core.attention_lanes,
        cache_in_channels=core.cache_memory == "channels",
        design=design_number(config.digest),
        parity=core.parity,
    )
    manifest = CoreManifest(
        gemm=gemm,
        attention=attention_part,
        lanes=core.lanes,
        **config.memory_words(),
        cache_bits=core.cache_bits,
        cache_scales=core.cache_scales,
        cache_recent=core.cache_recent,
        cache_ring=core.cache_ring,
        attention_lanes=core.attention_lanes,
        ports=spec.ports,
        registers=core_registers(spec.ports),
    )
    return spec, manifest
