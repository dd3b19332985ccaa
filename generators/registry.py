"""The engines that configs can ask for: the one place where an engine is registered."""

from collections.abc import Callable

from einloom.config import Config
from generators import bitmod, int_mac
from generators.design import Design
from generators.gemm import gemm_design
from hw.pe.spec import PeSpec

GEMM_ENGINES: dict[str, Callable[[Config], PeSpec]] = {"bitmod": bitmod.pe_spec, "int_mac": int_mac.pe_spec}


def pe_spec(config: Config) -> PeSpec:
    """The processing element of `config`'s engine."""
    return GEMM_ENGINES[config.engine.kind](config)


def generate(config: Config) -> Design:
    """The design of `config`."""
    return gemm_design(config, pe_spec(config))
