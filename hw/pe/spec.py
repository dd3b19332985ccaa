"""The interface between processing elements and the rows, columns and engines around them."""

from amaranth import Shape

from einloom.hw.part import Part
from einloom.hw.pe.timing import Timing
from einloom.spec.formats import Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.manifest import LookupLayout


class PeSpec:
    """Size of a PE and the widths that follow; the arrays are generic in it.

    Attributes
    ----------
    lanes : inputs multiplied at once.
    columns_per_pe : neighbouring columns that a PE and a column top serve; ports have a slice for each, the first one
        lowest.
    tokens_per_pe : rows of the grid are so many tokens; `activations` have a slice for each, the first one lowest.
    inputs : activations of a token that are read at once; `lanes` unless steps pick among more.
    activation_bits : width of an activation, int8 or fp16.
    operand_bits : width of a column's operand, which it sends down each cycle.
    value_bits, exponent_bits, exponent_bias : of a sum, as in einloom.spec.manifest.SumLayout.
    timing : delays of the PE's control signals.
    joined : its columns take a block's metadata together with the codes of its first step. So metadata take no cycle
        in formats of one term, too.
    lookup : the look-up tables, of PEs that have some.
    sets : lanes that share inputs to pick from, of PEs with formats of N of M weights.
    has_scales : blocks have scales.
    """

    lanes: int
    columns_per_pe: int = 1
    tokens_per_pe: int = 1
    activation_bits: int
    operand_bits: int
    value_bits: int
    exponent_bits: int = 0
    exponent_bias: int = 0
    timing: Timing
    joined: bool = False
    lookup: LookupLayout | None = None
    sets: LaneSets | None = None

    @property
    def inputs(self) -> int:
        return self.sets.inputs if self.sets else self.lanes

    @property
    def has_scales(self) -> bool:
        return self.timing.scale_bits > 0

    @property
    def sum_bits(self) -> int:
        """Width of a sum: value and exponent together."""
        return self.value_bits + self.exponent_bits

    def words(self, format: Format) -> int:
        """Words of a column in a step of `format`."""
        return self.sets.words(format) if self.sets else self.lanes // format.word_inputs

    def shifts(self, format: Format) -> tuple[int, ...]:
        """`control.bsig` in each of the cycles that a step of `format` takes."""
        raise NotImplementedError

    def part(self) -> Part:
        """The PE itself."""
        raise NotImplementedError

    def column(self, formats: tuple[Format, ...]) -> Part:
        """The top of a column, which makes operands of codes; `hw/pe/column.py` says which ports it may have."""
        raise NotImplementedError

    def row(self) -> Part | None:
        """The part that makes `shared` of a row's `activations`, once for all its PEs; None if PEs take them unchanged.

        It may have a port `control`.
        """
        return None

    def prepare(self) -> Part | None:
        """The part that makes `shared` of a step's `activations` a cycle before they are stored for the rows.

        None if they are stored unchanged.
        """
        return None


def stored_bits(spec: PeSpec) -> int:
    """Bits of a token's step as it is stored for the array."""
    part = spec.prepare()
    if part is None:
        return spec.inputs * spec.activation_bits
    part._MustUse__used = True  # only asked for its width
    return Shape.cast(part.signature.members["shared"].shape).width
