"""The core of a config: an accelerator around its two engines."""

from einloom.config import Config
from einloom.core_registers import core_registers
from einloom.errors import InputError
from einloom.manifest import CoreManifest
from generators.design import Design, make_design
from generators.fusemax import attention_spec
from generators.gemm import gemm_spec
from hw.core.core import Core
from hw.core.spec import CoreSpec
from hw.pe.spec import PeSpec


def core_design(config: Config, pe: PeSpec) -> Design:
    """The design of a config with the section core; InputError for one without."""
    core, attention = config.core, config.attention_config
    if core is None or attention is None:
        raise InputError(f"{config.name} has no core: add the sections core and attention")
    gemm, gemm_manifest = gemm_spec(config, pe)
    engine, attention_manifest = attention_spec(attention)
    spec = CoreSpec(
        gemm=gemm,
        attention=engine,
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
    return make_design(config, Core(spec), gemm=gemm_manifest, attention=attention_manifest, core=manifest)
