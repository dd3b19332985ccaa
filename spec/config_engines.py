"""The sections of a config that say which engine to build, one model for each kind."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from einloom.spec.attention_format import MIN_HEAD
from einloom.spec.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, TERM_FORMATS, Format
from einloom.spec.suggest import did_you_mean

PositiveCount = Annotated[int, Field(strict=True, ge=1, le=1024)]


def problem(rule: str) -> PydanticCustomError:
    """An error whose message is `rule`."""
    return PydanticCustomError("einloom", "{rule}", {"rule": rule})


def _checked_formats(names: tuple[str, ...], known: Mapping[str, Format]) -> tuple[str, ...]:
    """`names`, when each of them is known and there once."""
    for name in names:
        if name not in known:
            raise problem(f"unknown format {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    if len(set(names)) != len(names):
        raise problem("a format is listed twice")
    return names


def _require_hidden_scale(name: str, group: int, lanes: int, terms: int, needed: int) -> None:
    """A problem unless a group is at work for the `needed` cycles in which the one before is scaled."""
    cycles = group // lanes * terms
    if cycles < needed:
        raise problem(
            f"a group of {group} {name} weights lasts {cycles} cycles with {lanes} lanes, but its bit-serial scale "
            f"needs {needed}: use fewer lanes or a larger group"
        )


class Section(BaseModel):
    """A mapping of the config file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GemmConfig(Section):
    """What every GEMM engine has: an array of `rows` tokens by `columns` output channels, `lanes` inputs at a time."""

    rows: PositiveCount = 16
    columns: PositiveCount = 16
    lanes: Literal[1, 2, 4, 8, 16] = 4
    max_inputs: Annotated[int, Field(strict=True, ge=32, le=1 << 20)] = 16384
    max_tiles: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] = 65536

    @property
    def scale_group(self) -> int | None:
        """Inputs that share a scale in the array; None for engines whose output channels have one scale each."""
        return None


class BitmodConfig(GemmConfig):
    """The bit-serial mixture-of-datatypes array (BitMoD, HPCA 2025)."""

    kind: Literal["bitmod"]
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bitmod-fp4",)
    group: Literal[32, 64, 128] = 128
    activations: Literal["int8", "fp16"] = "int8"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_formats(names, TERM_FORMATS)

    @model_validator(mode="after")
    def _dequantiser_hides(self) -> "BitmodConfig":
        needed = SCALE_BITS + (self.activations == "fp16")  # fp16 sums are aligned before they are scaled
        for name in self.formats:
            _require_hidden_scale(name, self.group, self.lanes, FORMATS[name].terms_per_weight, needed)
        if self.max_inputs % self.group:
            raise problem(f"max_inputs must be a multiple of the group, {self.group}, not {self.max_inputs}")
        return self

    @property
    def scale_group(self) -> int:
        return self.group

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)


class LutConfig(GemmConfig):
    """The array that multiplies by table look-up (LUT Tensor Core, ISCA 2025).

    Each row makes tables of up to `table_inputs` of its activations, which all columns share. `table` is what is kept
    of one: "full", all sums; "half", those with a plus in the last lane; "remap", half, with weights that were remapped
    offline. "int8" `entries` are rounded to eight bits with a dynamic power of two, which all tables of a row's "step"
    share, or of which each "table" has its own: `entry_scale`. "fp16" `activations` are aligned in the row to the
    largest exponent so far, so that tables are integers there too. `precompute` says where tables are made: in each
    "row" of the array, again for every tile of outputs, or "fused" with the operator that writes activations, once, in
    front of the buffer that then holds tables.
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
        return _checked_formats(names, PLANE_FORMATS)

    @model_validator(mode="after")
    def _dequantiser_hides(self) -> "LutConfig":
        if self.scale_group is not None:
            for name in self.formats:
                _require_hidden_scale(name, self.scale_group, self.lanes, len(FORMATS[name].planes), SCALE_BITS)
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
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.scale_group or self.lanes

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)


class IntMacConfig(GemmConfig):
    """The plain output-stationary int8 array; one scale per output channel, so nothing but codes in the stream."""

    kind: Literal["int_mac"]

    @model_validator(mode="after")
    def _whole_steps(self) -> "IntMacConfig":
        if self.max_inputs % self.lanes:
            raise problem(f"max_inputs must be a multiple of the lanes, {self.lanes}, not {self.max_inputs}")
        return self

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.lanes

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return (FORMATS["int8"],)


class FuseMaxConfig(Section):
    """The attention engine: `rows` keys by `columns` queries at once (FuseMax, MICRO 2024).

    With `spans` a beat of keys or values has that many tiles side by side, and a job of few queries can give each query
    that many columns, which share its keys (LeanAttention).
    """

    kind: Literal["fusemax"]
    rows: PositiveCount = 16
    columns: PositiveCount = 16
    input_bits: Literal[8, 16] = 8
    max_head: Annotated[int, Field(strict=True, ge=MIN_HEAD, le=1024)] = 128
    max_keys: Annotated[int, Field(strict=True, ge=1, le=1 << 24)] = 1 << 20
    quotient_bits: Literal[1, 2, 4, 8] = 2
    spans: PositiveCount = 1

    @field_validator("rows", "spans")
    @classmethod
    def _power_of_two(cls, count: int, info: ValidationInfo) -> int:
        if count & (count - 1):
            raise problem(
                f"{info.field_name} must be a power of two, so that positions divide into tiles by a shift, not {count}"
            )
        return count

    @model_validator(mode="after")
    def _a_whole_tile(self) -> "FuseMaxConfig":
        if self.max_keys < self.rows:
            raise problem(f"max_keys must hold at least one tile of {self.rows} keys, not {self.max_keys}")
        return self

    @model_validator(mode="after")
    def _whole_groups(self) -> "FuseMaxConfig":
        if self.columns % self.spans:
            raise problem(
                f"{self.spans} spans cannot share {self.columns} columns evenly: make columns a multiple of spans"
            )
        return self


GemmEngineConfig = BitmodConfig | IntMacConfig | LutConfig
EngineConfig = Annotated[GemmEngineConfig | FuseMaxConfig, Field(discriminator="kind")]
