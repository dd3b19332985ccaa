"""The terms of every code of every format add up to its value."""

import pytest

from einloom.hw.arith.terms import TermDecoder
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.formats import TERM_FORMATS, Format

SPECIALS = (7, -3, 12, -16)
GROUPS = [("int8", "int6"), ("bitmod-fp4", "bitmod-fp3"), ("int3", "bitmod-fp4", "int5")]


def terms_of(value: int, format: Format) -> list[int]:
    return [term.bits for term in format.terms(value)]


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_terms_add_up_to_the_value_of_their_code(names: tuple[str, ...]) -> None:
    formats = tuple(TERM_FORMATS[name] for name in names)
    rows = [
        (f, code, selector, term)
        for f, format in enumerate(formats)
        for code in range(1 << format.bits)
        for selector in (range(4) if code == format.special_code else (0,))
        for term in range(format.terms_per_weight)
    ]
    minifloat = next((format for format in formats if format.special_code is not None), None)
    specials = [terms_of(value, minifloat) for value in SPECIALS] if minifloat else [[0, 0]] * 4
    fields = ("format", "code", "selector", "term")
    held = {name: [row[n] for row in rows] for n, name in enumerate(fields)} | {"specials": [specials]}
    bench = PartBench(TermDecoder(formats), held=held, watch=["digit"], cycles=len(rows), tail=0)
    digits = bench.check(lambda _: {}).traces["digit"]
    total: dict[tuple[int, int, int], int] = {}
    for (f, code, selector, term), digit in zip(rows, digits, strict=False):
        value = (-1) ** digit["sign"] * digit["man"] << digit["exp"] << formats[f].bsig[term]
        total[f, code, selector] = total.get((f, code, selector), 0) + value
    for (f, code, selector), value in total.items():
        special = code == formats[f].special_code
        assert value == (SPECIALS[selector] if special else formats[f].table[code]), (names[f], code, selector)
