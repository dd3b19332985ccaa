"""Number formats of weights: the one definition that quantizer, golden model, decoder and memory packer share.

A weight of a format is an integer `value` times the format's `unit` times the scale of its group. The integer is what
the engines multiply; the unit is folded into the scale of the output channel.

Families:

* two's complement integers `int2` .. `int8` (a scale maps a group's largest weight to qmax, the largest value);
* `bipolar1` .. `bipolar4`: the odd numbers -(2^b - 1) .. 2^b - 1, evenly spaced and without a zero;
* `ternary`: -1, 0 and 1;
* `<name>-2of4`: the format of that name with at most two of four neighbouring weights other than zero;
* `<name>-nof<M>`: the format of that name, stored block by block with as few of each M neighbours as the block needs;
* BitMoD's `bitmod-fp3` and `bitmod-fp4` (BitMoD, HPCA 2025, sections III-B and IV-A): sign-magnitude minifloats whose
  redundant code, minus zero, means a *special value* that each group of weights picks from four candidates.

Every format also states how a value falls apart into bit-serial *terms* (section IV-B):
    value = sum over terms t of (-1)^sign_t * 2^exp_t * man_t * 2^bsig[t]
with a 1-bit sign, a 2-bit exponent, a 1-bit mantissa and the shared shifts `bsig` of the format; or into *planes* of
digits -1 and +1 (LUT Tensor Core, ISCA 2025, section III):
    2 * value = zero + sum over planes i of digit_i * 2^planes[i]
where `zero` is the same for all values. Formats that have no terms, or no planes, are not for engines that need them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import cast

import numpy as np
import numpy.typing as npt

from einloom.spec.errors import InputError
from einloom.spec.plugins import plugins
from einloom.spec.sparsity import BLOCK, KEPT, PATTERN_BITS
from einloom.spec.suggest import did_you_mean
from einloom.spec.trits import TRIT_VALUES, TRITS_PER_BYTE

EXPONENT_BITS = 2  # width of a term's exponent: |term| is 0, 1, 2, 4 or 8 before the shared shift
SELECTOR_BITS = 2  # width of a group's selector, the number of the special value that its special code means
LARGEST_DIGIT = 1 << ((1 << EXPONENT_BITS) - 1)
SPECIAL_COUNT = 1 << SELECTOR_BITS
MOST_PLANES = 4  # most planes of a format that tables are made for
SCALE_BITS = 8  # width of a group's unsigned second-level scale, which multiplies the output channel's float scale


@dataclass(frozen=True)
class Term:
    """One bit-serial digit, (-1)^sign * 2^exp * man; man = 0 is the digit zero."""

    sign: int
    exp: int
    man: int

    BITS = 2 + EXPONENT_BITS

    @property
    def value(self) -> int:
        """The digit's integer value before the shared shift."""
        return -self.magnitude if self.sign else self.magnitude

    @property
    def magnitude(self) -> int:
        return self.man << self.exp

    @property
    def bits(self) -> int:
        """The digit as hardware holds it: man in bit 0, exp in bits 1 and 2, sign in bit 3."""
        return self.man | self.exp << 1 | self.sign << (1 + EXPONENT_BITS)


ZERO = Term(0, 0, 0)


@dataclass(frozen=True)
class Format:
    """A weight format.

    Parameters
    ----------
    name : the name in configs and files.
    bits : width of a code.
    unit : real value of one integer step.
    table : integer value of each code; 0 for the special code. All `2 ** bits` of them are codes, but for `ternary`.
    bsig : shared shift of each term, in the order in which the terms are processed; its length is the number of cycles
        that a bit-serial engine spends on a weight.
    planes : shift of each digit.
    digits : digits of each code: bit i is set when digit i is +1.
    sparse : at most two of four neighbouring inputs have a code other than 0, which is zero (spec/sparsity.py).
    of : M of formats whose blocks keep N of each M neighbours, with N a power of two, 0 or M, chosen for each block; 0
        for other formats. Any codes will do: more zeros are fewer bits and steps.
    kept : N that a quantizer keeps of each M neighbours, of formats that `format_named` makes of names such as
        `int4-4of16`; 0 for those that are stored.
    special_code : the code that means the group's special value, or None.
    specials : the special values, one per selector, in integer steps. They are data, not hardware: engines take them
        with each job, so `dataclasses.replace` gives a format with others.
    """

    name: str
    bits: int
    unit: float
    table: tuple[int, ...]
    bsig: tuple[int, ...]
    special_code: int | None = None
    specials: tuple[int, ...] = ()
    planes: tuple[int, ...] = ()
    digits: tuple[int, ...] = ()
    sparse: bool = False
    of: int = 0
    kept: int = 0

    @property
    def pruned(self) -> tuple[int, int] | None:
        """N and M when a quantizer must prune to N of M, else None."""
        return (KEPT, BLOCK) if self.sparse else (self.kept, self.of) if self.kept else None

    @property
    def stored(self) -> "Format":
        """The format of codes that were quantized in this one."""
        return FORMATS[f"{self.full.name}-nof{self.of}"] if self.kept else self

    @property
    def neighbours(self) -> int:
        """Inputs of which a pattern or an index picks some; 1 for formats with a code for every weight."""
        return BLOCK if self.sparse else self.of or 1

    @property
    def full(self) -> "Format":
        """The same format with a code for every weight."""
        return (
            replace(self, name=self.name.rpartition("-")[0], sparse=False, of=0, kept=0)
            if self.neighbours > 1
            else self
        )

    @property
    def word_inputs(self) -> int:
        """Inputs whose weights are one word in the stream; of `nof` formats an input that is kept."""
        return BLOCK if self.sparse else 1

    @property
    def word_bits(self) -> int:
        """Width of that word."""
        if self.sparse:
            return KEPT * self.bits + PATTERN_BITS
        return self.bits + (self.of.bit_length() - 1 if self.of else 0)

    @property
    def terms_per_weight(self) -> int:
        """Bit-serial cycles per weight."""
        return len(self.bsig)

    @property
    def is_integer(self) -> bool:
        """True when the values are all integers of -qmax .. qmax, and at most one more."""
        return self.special_code is None and 2 * self.qmax + 1 <= len(self.table)

    @property
    def is_twos_complement(self) -> bool:
        """True when a code, read as a two's complement number, is its value."""
        return self.table == _twos_complement(self.bits)

    @property
    def needs_scale_search(self) -> bool:
        """True when a scale that maps the largest weight to the largest value gives more error than zeros would.

        So it is where every value is large: most weights are nearer to 0 than to any of them.
        """
        return 2 * min(abs(value) for value in self.table) > self.qmax and self.special_code is None

    @property
    def in_trits(self) -> bool:
        """True when codes are stored five to a byte (spec/trits.py), and not `bits` by `bits`."""
        return len(self.table) == TRIT_VALUES

    @property
    def stored_bits(self) -> float:
        """Bits that a code takes in memory; in files of `nof` formats, whose streams depend on their zeros."""
        if self.of:
            return self.bits
        return 8 / TRITS_PER_BYTE if self.in_trits else self.word_bits / self.word_inputs

    def stream_bits(self, count: int) -> int:
        """Bits of a word of `count` codes: whole bytes."""
        return self.step_bits(count // self.word_inputs)

    def step_bits(self, words: int) -> int:
        """Bits of so many words: whole bytes."""
        return 8 * -(-words // TRITS_PER_BYTE) if self.in_trits else 8 * -(-words * self.word_bits // 8)

    @property
    def zero(self) -> int:
        """Constant left over by digits: 2 * value - sum of digits * 2^planes, for every code; see the module's text."""
        return 2 * self.table[0] - sum(
            (1 if self.digits[0] >> i & 1 else -1) << shift for i, shift in enumerate(self.planes)
        )

    @property
    def qmax(self) -> int:
        """The value that a group's largest weight becomes, in integer steps and without special values."""
        return max(self.table)

    @property
    def max_magnitude(self) -> int:
        """Largest |value| of any code, with any special values that terms can express; engine widths follow from it."""
        largest_special = 0 if self.special_code is None else sum(LARGEST_DIGIT << s for s in self.bsig)
        return max(largest_special, *(abs(v) for v in self.table))

    @cached_property
    def array(self) -> npt.NDArray[np.int64]:
        """`table` as an array, for decoding by index."""
        return np.array(self.table, np.int64)

    def decode(
        self,
        codes: npt.NDArray[np.uint8],
        selectors: npt.NDArray[np.uint8] | None = None,
    ) -> npt.NDArray[np.int64]:
        """Integer values of `codes` [..., G]; `selectors` [...] names the special value of each group of G codes."""
        values = self.array[codes]
        if self.special_code is None:
            return values
        if selectors is None:
            raise ValueError(f"{self.name} needs a selector per group")
        chosen = np.array(self.specials, np.int64)[selectors]
        return np.where(codes == self.special_code, chosen[..., None], values)

    def terms(self, value: int) -> tuple[Term, ...]:
        """The bit-serial terms of an integer value, one per entry of `bsig`.

        Raises InputError when the value has no such form (a special value that needs three terms, say).
        """
        found = _booth(value, len(self.bsig)) if self.is_integer else _two_terms(value)
        if found is None or sum(t.value << s for t, s in zip(found, self.bsig, strict=True)) != value:
            raise InputError(f"{self.name}: the value {value} needs more than {self.terms_per_weight} terms")
        return found


def _booth(value: int, digits: int) -> tuple[Term, ...]:
    """Radix-4 Booth digits, least significant first: digit i is b[2i-1] + b[2i] - 2 b[2i+1]."""
    found = []
    for i in range(digits):
        high, middle = value >> (2 * i + 1) & 1, value >> (2 * i) & 1
        low = value >> (2 * i - 1) & 1 if i else 0
        digit = low + middle - 2 * high
        found.append(Term(int(digit < 0), int(abs(digit) == 2), int(digit != 0)))
    return tuple(found)


@cache
def _two_terms(value: int) -> tuple[Term, Term] | None:
    """`value` as 2 * (first digit) + (second digit), or None.

    Fewest non-zero digits first, then sums before differences (6 = 4 + 2, but 7 = 8 - 1), then the largest first
    digit: where two bits suffice these are the leading one and the other set bit of the paper.
    """
    digits = [ZERO] + [Term(sign, exp, 1) for sign, exp in product((0, 1), range(1 << EXPONENT_BITS))]
    fits = [(a, b) for a in digits for b in digits if 2 * a.value + b.value == value]

    def cost(form: tuple[Term, Term]) -> tuple[int, int, int]:
        against = sum(d.value * value < 0 for d in form)
        return form[0].man + form[1].man, against, -form[0].magnitude

    return min(fits, key=cost, default=None)


def _twos_complement(bits: int) -> tuple[int, ...]:
    return tuple(code - (code >> (bits - 1) << bits) for code in range(1 << bits))


def _integer(bits: int) -> Format:
    codes, table = range(1 << bits), _twos_complement(bits)
    booth = tuple(range(0, bits, 2))
    if bits > MOST_PLANES:
        return Format(f"int{bits}", bits, 1.0, table, bsig=booth)
    # With the sign bit inverted a code counts the steps from the lowest value: 2 * value = -1 + sum of digit_i * 2^i.
    digits = tuple(code ^ 1 << (bits - 1) for code in codes)
    return Format(f"int{bits}", bits, 1.0, table, bsig=booth, planes=tuple(range(bits)), digits=digits)


def _bipolar(bits: int) -> Format:
    """Each bit of a code is a digit; the unit is one half, so that values are one unit's double apart."""
    codes = range(1 << bits)
    table = tuple(2 * code - (1 << bits) + 1 for code in codes)
    return Format(f"bipolar{bits}", bits, 0.5, table, bsig=(), planes=tuple(range(1, bits + 1)), digits=tuple(codes))


def _minifloat(name: str, unit: float, magnitudes: Sequence[int], specials: tuple[int, int, int, int]) -> Format:
    table = (*magnitudes, *(-m for m in magnitudes))
    bits = (len(table) - 1).bit_length()
    return Format(name, bits, unit, table, bsig=(1, 0), special_code=len(magnitudes), specials=specials)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        *(_integer(bits) for bits in range(2, 9)),
        *(_bipolar(bits) for bits in range(1, MOST_PLANES + 1)),
        # Code 0 is 0, as in integers. Two digits of one weight: both -1, both +1, or one of each.
        Format("ternary", 2, 1.0, table=(0, 1, -1), bsig=(), planes=(0, 0), digits=(0b01, 0b11, 0b00)),
        # Steps of 1: 0, 1, 2, 4 and a special of +-3 (extra resolution) or +-6 (extra asymmetry).
        _minifloat("bitmod-fp3", 1.0, (0, 1, 2, 4), (3, -3, 6, -6)),
        # Steps of 1/2: E2M1's 0, .5, 1, 1.5, 2, 3, 4, 6 and a special of +-5 or +-8.
        _minifloat("bitmod-fp4", 0.5, (0, 1, 2, 3, 4, 6, 8, 12), (10, -10, 16, -16)),
    )
}

SPARSE_OF = ("int2", "int3", "int4", "int8", "bitmod-fp3", "bitmod-fp4")
"""Formats that are there in a sparse form, too."""
FORMATS |= {f"{name}-2of4": replace(FORMATS[name], name=f"{name}-2of4", sparse=True) for name in SPARSE_OF}
NEIGHBOURS = (4, 8, 16)
"""M of the formats that choose N of M for each block."""
FORMATS |= {f"{n}-nof{m}": replace(FORMATS[n], name=f"{n}-nof{m}", of=m) for n in SPARSE_OF for m in NEIGHBOURS}

FORMATS |= {format.name: format for format in cast(tuple[Format, ...], plugins("einloom.formats"))}
"""Weight formats of this package, and of packages with an entry point in the group `einloom.formats`."""


TERM_FORMATS = {name: f for name, f in FORMATS.items() if f.bsig and f.neighbours == 1}
"""Formats that bit-serial engines take."""
PLANE_FORMATS = {name: f for name, f in FORMATS.items() if f.planes and f.neighbours == 1}
"""Formats that table look-up takes."""


OF = re.compile(r"(.+)-(\d+)of(\d+)")


def format_named(name: str) -> Format:
    """The format called `name`; InputError with the nearest name when there is none.

    `int4-4of16` is `int4-nof16` of which a quantizer keeps 4 of each 16 neighbours.
    """
    match = OF.fullmatch(name)
    if name not in FORMATS and match and (base := f"{match[1]}-nof{match[3]}") in FORMATS:
        kept, of = int(match[2]), int(match[3])
        if not 0 < kept < of or kept & kept - 1:
            raise InputError(f"{name!r} keeps {kept} of {of}: N is a power of two below {of}")
        return replace(FORMATS[base], name=name, kept=kept)
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}{did_you_mean(name, FORMATS)}; known: {', '.join(FORMATS)}")
    return FORMATS[name]
