"""The section of a config for the engine `addsub`."""

from typing import Literal

from pydantic import model_validator

from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.formats import FORMATS, Format
from einloom.spec.section import problem


class AddSubConfig(GemmConfig):
    """An output-stationary array for weights of two bits, -2 to 1; one scale per output channel."""

    kind: Literal["addsub"]

    @model_validator(mode="after")
    def _whole_steps(self) -> "AddSubConfig":
        if self.max_inputs % self.lanes:
            raise problem(f"max_inputs must be a multiple of the lanes, {self.lanes}, not {self.max_inputs}")
        return self

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return (FORMATS["int2"],)
