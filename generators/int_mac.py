"""The PE of a plain int8 array, from its config."""

from einloom.hw.pe.int_mac import IntMacSpec
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config


def pe_spec(config: Config) -> PeSpec:
    """The output-stationary int8 PE of `config`."""
    return IntMacSpec(lanes=config.gemm.lanes, max_inputs=config.gemm.max_inputs)
