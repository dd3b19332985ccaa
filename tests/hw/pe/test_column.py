"""The tops of columns: what codes become, a term or a plane at a time, and group scales bit by bit."""

import random

import numpy as np
import pytest

from einloom.hw.pe.column import BitmodColumn, CodeColumn, codes_port
from einloom.hw.pe.plane_column import PlaneColumn
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, TERM_FORMATS, Format
from einloom.spec.lookup import remap
from tests.hw.arith.test_terms import SPECIALS, terms_of

LANES = 3
FORMATS_OF_TERMS = (TERM_FORMATS["int5"], TERM_FORMATS["bitmod-fp4"])


def test_codes_pass_two_registers() -> None:
    format, rng = FORMATS["int8"], random.Random(1)
    steps = [[rng.getrandbits(8) for _ in range(LANES)] for _ in range(30)]
    loads = [rng.getrandbits(1) for _ in range(30)]
    expected: list[list[int] | None] = [None, None]
    held_codes: list[int] | None = None
    for step, load in zip(steps, loads, strict=True):
        held_codes = step if load else held_codes
        expected.append(held_codes)
    part = CodeColumn(format, LANES)
    held = {codes_port(format): steps, "load": [*loads, 0]}
    PartBench(part, held=held, tail=0).check(lambda _: {"operand": expected})


def value_of(digits: list[dict[str, int]], shift: int) -> list[int]:
    return [(-1) ** d["sign"] * d["man"] << d["exp"] << shift for d in digits]


def test_a_steps_terms_add_up_to_its_values() -> None:
    """Each step is loaded, and its terms are asked for in the cycles behind; selectors come with the metadata."""
    rng = random.Random(2)
    names = ("load", "first", "format", "term", "selector", "load_metadata")
    held: dict[str, list] = {name: [] for name in (*names, *map(codes_port, FORMATS_OF_TERMS))}
    values: list[tuple[int, list[int], int, int]] = []  # (cycle of the first term, codes, format, selector)

    def cycle(**now: object) -> None:
        for name, row in held.items():
            default = [0] * LANES if name.startswith("codes") else (row[-1] if row and name == "format" else 0)
            row.append(now.get(name, default))

    for _ in range(40):
        format, selector = rng.randrange(2), rng.randrange(4)
        codes = [rng.randrange(1 << FORMATS_OF_TERMS[format].bits) for _ in range(LANES)]
        cycle(load_metadata=1, selector=selector)
        cycle(load=1, first=1, format=format, **{codes_port(FORMATS_OF_TERMS[format]): codes})
        values.append((len(held["load"]), codes, format, selector))
        for term in range(FORMATS_OF_TERMS[format].terms_per_weight):
            cycle(format=format, term=term)
    cycle()
    fields = {**held, "specials": [[terms_of(value, FORMATS_OF_TERMS[1]) for value in SPECIALS]]}
    bench = PartBench(
        BitmodColumn(FORMATS_OF_TERMS, LANES), held=fields, watch=["operand"], cycles=len(held["load"]) + 1
    )
    operands = bench.check(lambda _: {}).traces["operand"]
    for start, codes, format, selector in values:
        kind: Format = FORMATS_OF_TERMS[format]
        total = [0] * LANES
        for term, shift in enumerate(kind.bsig):
            terms = value_of(operands[start + term + 1], shift)  # a cycle behind the term
            total = [a + b for a, b in zip(total, terms, strict=True)]
        assert total == [SPECIALS[selector] if c == kind.special_code else kind.table[c] for c in codes], kind.name


def test_a_groups_scale_leaves_bit_by_bit_while_the_next_one_waits() -> None:
    scales = [0xA5, 0x3C, 0xFF, 0x01]
    names = ("scale", "load_metadata", "load", "first", "last", "capture", "dequantise")
    held: dict[str, list[int]] = {name: [] for name in names}

    def cycle(**now: int) -> None:
        for name, row in held.items():
            row.append(now.get(name, 0))

    expected: list[int | None] = []
    cycle(load_metadata=1, scale=scales[0])
    for n, scale in enumerate(scales):
        cycle(load=1, first=1)
        following = scales[(n + 1) % len(scales)]
        cycle(last=1, load_metadata=1, scale=following)
        cycle(capture=1)
        start = len(held["scale"])
        expected += [None] * (start - len(expected))
        for bit in range(SCALE_BITS):
            cycle(dequantise=1)
            expected.append(scale >> bit & 1)
    bench = PartBench(BitmodColumn(FORMATS_OF_TERMS, LANES), held=held, tail=0)
    bench.check(lambda _: {"scale_bit": expected})


@pytest.mark.parametrize("remapped", [False, True])
@pytest.mark.parametrize("name", ["int4", "bipolar2", "ternary"])
def test_a_plane_has_the_digits_of_its_codes(name: str, remapped: bool) -> None:
    """With a remap the digits of a table are those of its remapped codes (spec/lookup.py)."""
    format, rng, sizes = PLANE_FORMATS[name], random.Random(3), (2, 1)
    zero = int(bool(format.zero))
    part = PlaneColumn((format,), sizes, remapped, False, (), (0,) * (LANES + zero), None)
    codes = [[rng.randrange(3 if format.in_trits else 1 << format.bits) for _ in range(LANES)] for _ in range(20)]
    held: dict[str, list] = {codes_port(format): [], "load": [], "term": []}
    expected: list[int | None] = []
    for step in codes:
        held[codes_port(format)] += [step, *[[0] * LANES] * len(format.planes)]
        held["load"] += [1, *[0] * len(format.planes)]
        held["term"] += [0, *range(len(format.planes))]
        planes = []
        for n in range(len(format.planes)):
            digits = np.array([format.digits[code] >> n & 1 for code in step], np.uint8)
            bits = remap(digits, sizes) if remapped else digits
            word = sum(int(bit) << lane for lane, bit in enumerate(bits))
            planes.append(word | (int(n == format.planes.index(0)) << LANES if zero else 0))
        expected += [None, None, *planes][1:]
    expected = [None, *expected]
    PartBench(part, held=held, tail=0).check(lambda _: {"operand": expected})
