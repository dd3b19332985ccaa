"""The section of a config for the engine `bitmod`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from einloom.spec.activations import ACTIVATIONS, ActivationFormat
from einloom.spec.engines.gemm import GemmConfig, checked_formats, require_hidden_scale
from einloom.spec.formats import FORMATS, SCALE_BITS, TERM_FORMATS, Format
from einloom.spec.section import problem


class BitmodConfig(GemmConfig):
    """The bit-serial mixture-of-datatypes array (BitMoD, HPCA 2025)."""

    kind: Literal["bitmod"]
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bitmod-fp4",)
    group: Literal[32, 64, 128] = 128
    activations: Literal["int8", "fp16"] = "int8"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_formats(names, TERM_FORMATS)

    @model_validator(mode="after")
    def _dequantizer_hides(self) -> "BitmodConfig":
        needed = SCALE_BITS + (self.activations == "fp16")  # fp16 sums are aligned before they are scaled
        for name in self.formats:
            require_hidden_scale(name, self.group, self.lanes, FORMATS[name].terms_per_weight, needed)
        if self.max_inputs % self.group:
            raise problem(f"max_inputs must be a multiple of the group, {self.group}, not {self.max_inputs}")
        return self

    @property
    def scale_group(self) -> int:
        return self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)

    @property
    def activation_format(self) -> ActivationFormat:
        return ACTIVATIONS[self.activations]
