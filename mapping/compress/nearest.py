"""Rounding to the nearest value of a number format, by one table look-up per weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from einloom.spec.formats import Format

Float32 = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Levels:
    """The values that a weight of a group can take, and which of them is nearest to a real number.

    All values are integers in the format's steps, so which one is nearest changes only at multiples of one half. Real
    numbers fall into *positions*, the intervals between such multiples (or, with `half_even`, those around integers),
    and the tables hold the nearest value of each position.

    Attributes
    ----------
    half_even : ties go to the even value, as for plain integers; otherwise to the lower one, as in BitMoD's quantizer.
    first : number of the first position.
    values : float32 [positions], the nearest value.
    codes : uint8 [positions], that value's code.
    largest : largest magnitude among the values; the scale of a group maps its largest weight to it.
    """

    half_even: bool
    first: int
    values: Float32
    codes: npt.NDArray[np.uint8]
    largest: np.float32

    def positions(self, steps: Float32) -> Positions:
        """The positions of real numbers given in integer steps; look up with `mode="clip"`, which saturates."""
        return _intervals(steps, self.half_even, self.first).astype(np.intp)

    def round(self, steps: Float32) -> Float32:
        """The nearest values."""
        return self.values.take(self.positions(steps), mode="clip")

    def encode(self, steps: Float32) -> npt.NDArray[np.uint8]:
        """The codes of the nearest values."""
        return self.codes.take(self.positions(steps), mode="clip")


@dataclass(frozen=True)
class GroupLevels:
    """The levels of all selectors of a format side by side, for weights whose groups have chosen already.

    Attributes
    ----------
    half_even, first : as for Levels; all selectors share the positions.
    values : float32 [selectors, positions], the nearest value.
    codes : uint8 [selectors, positions], that value's code.
    largest : float32 [selectors], largest magnitude among a selector's values.
    """

    half_even: bool
    first: int
    values: Float32
    codes: npt.NDArray[np.uint8]
    largest: Float32

    @classmethod
    @cache
    def of(cls, format: Format) -> "GroupLevels":
        """The levels of a format."""
        sets = levels(format)
        first = min(s.first for s in sets)
        last = max(s.first + len(s.values) for s in sets)
        inside = [np.clip(np.arange(first, last) - s.first, 0, len(s.values) - 1) for s in sets]
        return cls(
            sets[0].half_even,
            first,
            np.stack([s.values[at] for s, at in zip(sets, inside, strict=True)]),
            np.stack([s.codes[at] for s, at in zip(sets, inside, strict=True)]),
            np.array([s.largest for s in sets]),
        )

    def positions(self, steps: Float32) -> Positions:
        """The positions of real numbers given in integer steps; look up with `mode="clip"`, which saturates."""
        return _intervals(steps, self.half_even, self.first).astype(np.intp)

    def offsets(self, selectors: npt.NDArray[np.uint8]) -> Positions:
        """Where the positions of selectors begin in `values` and `codes` as flat arrays."""
        offsets: Positions = selectors.astype(np.intp) * self.values.shape[1]
        return offsets

    def places(self, steps: Float32, offsets: Positions) -> Positions:
        """Where the nearest values of real numbers, in integer steps, lie in `values` and `codes` as flat arrays."""
        found = _intervals(steps, self.half_even, self.first)
        np.maximum(found, np.float32(0), out=found)
        np.minimum(found, np.float32(self.values.shape[1] - 1), out=found)
        places = found.astype(np.intp)
        places += offsets
        return places


def _intervals(steps: Float32, half_even: bool, first: int) -> Float32:
    """The numbers of positions, whole but not limited."""
    found = np.rint(steps) if half_even else steps * np.float32(2)
    if not half_even:
        np.ceil(found, out=found)
    found -= np.float32(first)
    return found


@cache
def levels(format: Format) -> tuple[Levels, ...]:
    """Sets of values for the weights of a group: one per special value, a single one for formats without."""
    if format.is_integer:
        return (_integers(format),)
    if format.special_code is None:
        return (_of_values({value: code for code, value in enumerate(format.table)}),)
    return tuple(_with_special(format, special) for special in format.specials)


def _integers(format: Format) -> Levels:
    """All values of the table; a scale maps the largest weight to qmax, so that the lowest code is for clipped ones."""
    values = np.array(sorted(set(format.table)))
    codes = [format.table.index(v) for v in values]
    return Levels(True, int(values[0]), values.astype(np.float32), np.array(codes, np.uint8), np.float32(format.qmax))


def _with_special(format: Format, special: int) -> Levels:
    """The base values and one special value, ties to the lower value."""
    assert format.special_code is not None
    code_of = {special: format.special_code} | {v: c for c, v in enumerate(format.table) if c != format.special_code}
    return _of_values(code_of)


def _of_values(code_of: Mapping[int, int]) -> Levels:
    """Values with these codes, ties to the lower value."""
    ordered = sorted(code_of)
    # Twice the midpoint of neighbours is their sum, an integer; a position up to and including it is the lower one's.
    first, last = 2 * ordered[0], 2 * ordered[-1]
    boundaries = np.add(ordered[1:], ordered[:-1])
    index = np.searchsorted(boundaries, np.arange(first, last + 1), side="left")
    values = np.array(ordered, np.float32)
    codes = np.array([code_of[v] for v in ordered], np.uint8)
    return Levels(False, first, values[index], codes[index], np.abs(values).max())
