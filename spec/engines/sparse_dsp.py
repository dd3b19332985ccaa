"""The section of a config for the engine `sparse_dsp`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from einloom.spec.engines.gemm import GemmConfig, checked_formats, require_hidden_scale
from einloom.spec.formats import FORMATS, SCALE_BITS, Format
from einloom.spec.section import problem
from einloom.spec.sparsity import BLOCK


class SparseDspConfig(GemmConfig):
    """The array that multiplies in chains of DSPs, two weights a DSP (FlightLLM, FPGA 2024)."""

    kind: Literal["sparse_dsp"]
    lanes: Literal[1, 2, 4, 8, 16] = 16
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bitmod-fp4",)
    group: Literal[32, 64, 128] = 128

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_formats(names, FORMATS)

    @model_validator(mode="after")
    def _pairs_and_groups(self) -> "SparseDspConfig":
        for name in self.formats:
            require_hidden_scale(name, self.group, self.lanes, 1, SCALE_BITS)
        if self.max_inputs % self.group:
            raise problem(f"max_inputs must be a multiple of the group, {self.group}, not {self.max_inputs}")
        sparse = [format.name for format in self.weight_formats if format.sparse]
        if sparse and self.lanes % BLOCK:
            raise problem(
                f"{sparse[0]} takes {BLOCK} inputs at a time: use a multiple of so many lanes, not {self.lanes}"
            )
        return self

    @property
    def columns_together(self) -> int:
        return 2

    @property
    def scale_group(self) -> int:
        return self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)
