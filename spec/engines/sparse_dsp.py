"""The section of a config for the engine `sparse_dsp`."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from einloom.spec.engines.gemm import GemmConfig, checked_formats, require_hidden_scale
from einloom.spec.formats import FORMATS, SCALE_BITS, Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.section import problem

LARGEST_OF_THREE = 8
"""Three fields of a DSP hold products of int8 activations with weights from the negative of this to one less."""


def three_fit(format: Format) -> bool:
    """Whether a DSP's fields hold three products of weights of `format`."""
    within = all(-LARGEST_OF_THREE <= value < LARGEST_OF_THREE for value in format.table)
    return within and format.neighbours == 1 and format.special_code is None


class SparseDspConfig(GemmConfig):
    """The array that multiplies in chains of DSPs, two or three products a DSP (FlightLLM, FPGA 2024).

    A DSP multiplies two weights by one activation, or three of few bits, or one weight by the activations of two tokens
    (`packing`). Group scales multiply bit by bit in LUTs, or in a DSP of their own for each column and token
    (`scaling`); `auto` is in LUTs where every group lasts long enough.
    """

    kind: Literal["sparse_dsp"]
    lanes: Literal[1, 2, 4, 8, 16, 32] = 16  # type: ignore[assignment] # long chains have room for more
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bitmod-fp4",)
    group: Literal[32, 64, 128] = 128
    packing: Literal["weights", "three_weights", "tokens"] = "weights"
    scaling: Literal["auto", "serial", "dsp"] = "auto"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return checked_formats(names, FORMATS)

    @model_validator(mode="after")
    def _pairs_and_groups(self) -> "SparseDspConfig":
        if self.packing == "tokens" and self.rows % 2:
            raise problem(f"two tokens share a DSP: use an even number of rows, not {self.rows}")
        if self.group % self.lanes:
            raise problem(f"lanes must divide the group, {self.group}")
        if self.max_inputs % self.group:
            raise problem(f"max_inputs must be a multiple of the group, {self.group}, not {self.max_inputs}")
        if self.packing == "three_weights":
            self._check_three()
        self._check_sets()
        if self.scaling == "serial":
            for name, steps in self._shortest.items():
                require_hidden_scale(name, steps * self.lanes, self.lanes, 1, SCALE_BITS)
        return self

    def _check_three(self) -> None:
        for f in self.weight_formats:
            if f.neighbours > 1:
                raise problem(f"three columns share a DSP, which {f.name} gives to two: set packing to weights")
            if not three_fit(f):
                raise problem(
                    f"three products of {f.name} overflow a DSP's fields, which hold weights from -{LARGEST_OF_THREE} "
                    f"to {LARGEST_OF_THREE - 1}: set packing to weights, or use formats of fewer bits"
                )

    def _check_sets(self) -> None:
        sets = self.sets
        if sets is None:
            return
        chosen = [f.name for f in self.weight_formats if f.neighbours > 1][0]
        if self.lanes % sets.sharing:
            raise problem(
                f"{sets.sharing} lanes share a set of inputs for {chosen}: use a multiple of so many lanes, "
                f"not {self.lanes}"
            )
        if self.group % sets.inputs:
            raise problem(
                f"a step of {chosen} picks among {sets.inputs} inputs with {self.lanes} lanes, more than the group of "
                f"{self.group}: use fewer lanes or a larger group"
            )

    @property
    def sets(self) -> LaneSets | None:
        """Lanes that share inputs to pick from; None where formats have a code for every weight."""
        return LaneSets.of(self.weight_formats, self.lanes, self.columns_together)

    @property
    def _shortest(self) -> dict[str, int]:
        """Steps of the shortest block of each format."""
        sets = self.sets
        if sets is None:
            return dict.fromkeys(self.formats, self.group // self.lanes)
        words = self.group // sets.inputs
        return {f.name: words * sets.steps(f, sets.counts(f)[0]) for f in self.weight_formats}

    @property
    def scales_in_dsps(self) -> bool:
        """Group scales multiply in DSPs."""
        if self.scaling == "auto":
            return min(self._shortest.values()) < SCALE_BITS
        return self.scaling == "dsp"

    @property
    def by_blocks(self) -> bool:
        """Blocks of weights differ in length, or steps read more inputs than there are lanes."""
        return self.sets is not None and (self.sets.inputs != self.lanes or any(f.of for f in self.weight_formats))

    @property
    def step_inputs(self) -> int:
        return self.lanes if self.sets is None else self.sets.inputs

    @property
    def columns_together(self) -> int:
        return {"weights": 2, "three_weights": 3, "tokens": 1}[self.packing]

    @property
    def scale_group(self) -> int | None:
        return self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)
