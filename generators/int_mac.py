"""From a config to a plain int8 array."""

from einloom.config import Config
from hw.pe.int_mac import IntMacSpec
from hw.pe.spec import PeSpec


def pe_spec(config: Config) -> PeSpec:
    """The output-stationary int8 PE of `config`."""
    return IntMacSpec(lanes=config.gemm.lanes, max_inputs=config.gemm.max_inputs)
