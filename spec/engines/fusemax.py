"""The section of a config for the engine `fusemax`."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from einloom.spec.attention_format import MIN_HEAD
from einloom.spec.section import PositiveCount, Section, problem


class FuseMaxConfig(Section):
    """The attention engine: `rows` keys by `columns` queries at once (FuseMax, MICRO 2024).

    A beat of keys or values has `spans` tiles side by side. A job of few queries can give each query `spans` columns,
    which share its keys (LeanAttention).

    Exponentials are computed in each PE ("parallel"), all of a tile at once, or by one unit for each column ("serial"),
    one after the other. The latter takes far fewer LUTs. It costs time where a tile's values are fewer than two
    for each key and 31 more.
    """

    kind: Literal["fusemax"]
    rows: PositiveCount = 16
    columns: PositiveCount = 16
    input_bits: Literal[8, 16] = 8
    max_head: Annotated[int, Field(strict=True, ge=MIN_HEAD, le=1024)] = 128
    max_keys: Annotated[int, Field(strict=True, ge=1, le=1 << 24)] = 1 << 20
    quotient_bits: Literal[1, 2, 4, 8] = 2
    spans: PositiveCount = 1
    exponentials: Literal["parallel", "serial"] = "parallel"

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
    def _serial_columns(self) -> "FuseMaxConfig":
        if self.exponentials == "serial" and self.spans > 1:
            raise problem(f"serial exponentials need columns with keys of their own: set spans to 1, not {self.spans}")
        if self.exponentials == "serial" and self.rows < 2:
            raise problem(f"serial exponentials need at least 2 rows, not {self.rows}")
        return self

    @model_validator(mode="after")
    def _whole_groups(self) -> "FuseMaxConfig":
        if self.columns % self.spans:
            raise problem(
                f"{self.spans} spans cannot share {self.columns} columns evenly: make columns a multiple of spans"
            )
        return self
