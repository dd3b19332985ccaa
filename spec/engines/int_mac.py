"""The section of a config for the engine `int_mac`."""

from typing import Literal

from pydantic import model_validator

from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.formats import FORMATS, Format
from einloom.spec.section import problem


class IntMacConfig(GemmConfig):
    """The plain output-stationary int8 array; one scale per output channel, so nothing but codes in the stream."""

    kind: Literal["int_mac"]

    @model_validator(mode="after")
    def _whole_steps(self) -> "IntMacConfig":
        if self.max_inputs % self.lanes:
            raise problem(f"max_inputs must be a multiple of the lanes, {self.lanes}, not {self.max_inputs}")
        return self

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return (FORMATS["int8"],)
