"""From a config to a plain int8 array."""

from einloom.config import Config
from generators.design import Design
from generators.gemm import gemm_design
from hw.pe.int_mac import IntMacSpec


def generate(config: Config) -> Design:
    """The output-stationary int8 array of `config`."""
    return gemm_design(config, IntMacSpec(lanes=config.engine.lanes, max_inputs=config.engine.max_inputs))
