"""The section of a config for the engine `lut`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from einloom.spec.activations import ACTIVATIONS, ActivationFormat
from einloom.spec.engines.gemm import GemmConfig, checked_formats, require_hidden_scale
from einloom.spec.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, Format
from einloom.spec.section import problem


class LutConfig(GemmConfig):
    """The array that multiplies by table look-up (LUT Tensor Core, ISCA 2025).

    Each row makes tables of up to `table_inputs` of its activations, which all columns share.

    * `table`: the part of a table that is kept. "full" keeps all sums, "half" those with a plus in the last lane;
      "remap" is half with weights that were remapped offline.
    * `entries`: "exact", or "int8", rounded to eight bits with a dynamic power of two.
    * `entry_scale`: that power is shared by all tables of a row's "step", or each "table" has its own.
    * `activations`: "int8", or "fp16", which the row aligns to the largest exponent so far, so that tables are integers
      there too.
    * `precompute`: in each "row" of the array tables are made again for every tile of outputs. "fused" with the
      operator that writes activations, they are made once, in front of the buffer, which then holds tables.
    """

    kind: Literal["lut"]
    lanes: Literal[1, 2, 4, 8, 16, 32, 64] = 16  # type: ignore[assignment] # one look-up serves several lanes
    table_inputs: Annotated[int, Field(strict=True, ge=1, le=6)] = 4
    table: Literal["full", "half", "remap"] = "remap"
    entries: Literal["exact", "int8"] = "exact"
    entry_scale: Literal["step", "table"] = "step"
    precompute: Literal["row", "fused"] = "row"
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bipolar4",)
    group: Literal[32, 64, 128, "channel"] = 128
    activations: Literal["int8", "fp16"] = "int8"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_formats(names, PLANE_FORMATS)

    @model_validator(mode="after")
    def _dequantizer_hides(self) -> "LutConfig":
        if self.scale_group is not None:
            for name in self.formats:
                require_hidden_scale(name, self.scale_group, self.lanes, len(FORMATS[name].planes), SCALE_BITS)
        if self.max_inputs % self.block:
            raise problem(f"max_inputs must be a multiple of {self.block}, not {self.max_inputs}")
        return self

    @model_validator(mode="after")
    def _rounded_sums_are_plain(self) -> "LutConfig":
        whole = [name for name in self.formats if FORMATS[name].zero]
        if self.entries == "int8" and whole:
            raise problem(f"{whole[0]} has a zero point, which int8 entries don't go with: use bipolar formats")
        if self.entries == "exact" and self.entry_scale == "table":
            raise problem("exact entries have no scale: set entries to int8, or leave entry_scale out")
        return self

    @property
    def scale_group(self) -> int | None:
        return None if self.group == "channel" else self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)

    @property
    def activation_format(self) -> ActivationFormat:
        return ACTIVATIONS[self.activations]

    def core_problems(self) -> Iterator[str]:
        yield from super().core_problems()
        if self.entries != "exact":
            yield "a core's sums are exact: set engine.entries to exact"

    def alone_problems(self) -> Iterator[str]:
        if self.precompute != "row":
            yield "only a core has an operator to fuse table precompute with: set engine.precompute to row"

    def alone(self) -> "LutConfig":
        return self.model_copy(update={"precompute": "row"})
