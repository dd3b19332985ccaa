"""The engines that configs can ask for: the one place where an engine is registered."""

from collections.abc import Callable

from einloom.generators import bitmod, fusemax, int_mac, lut
from einloom.generators.core import core_design, core_manifest
from einloom.generators.design import Design
from einloom.generators.gemm import gemm_design
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.config_engines import LutConfig
from einloom.spec.manifest import Manifest

GEMM_ENGINES: dict[str, Callable[[Config], PeSpec]] = {
    "bitmod": bitmod.pe_spec,
    "int_mac": int_mac.pe_spec,
    "lut": lut.pe_spec,
}
ATTENTION_ENGINES: dict[str, Callable[[Config], Design]] = {"fusemax": fusemax.generate}


def pe_spec(config: Config) -> PeSpec:
    """The processing element of `config`'s GEMM engine."""
    return GEMM_ENGINES[config.engine.kind](config)


def generate_all(config: Config) -> list[Design]:
    """What `config` builds: its core, or else its engine, and the attention engine beside it if there is one."""
    if config.core is not None:
        return [core_design(config, pe_spec(config))]
    beside = config.attention_config
    return [generate(config), *([generate(beside)] if beside is not None else [])]


def describe(config: Config) -> Manifest:
    """The manifest of the core of `config`, without its Verilog: at once. InputError when it has none."""
    _ = config.core_section
    return core_manifest(config, pe_spec(config))


def generate(config: Config) -> Design:
    """The design of `config`'s engine alone."""
    if config.engine.kind in ATTENTION_ENGINES:
        return ATTENTION_ENGINES[config.engine.kind](config)
    return gemm_design(config, pe_spec(_alone(config)))


def _alone(config: Config) -> Config:
    """`config` without what only a core can do for its engine: to make look-up tables before it."""
    if not isinstance(config.engine, LutConfig):
        return config
    return config.model_copy(update={"engine": config.engine.model_copy(update={"precompute": "row"})})
