"""Float32 multiplier, adder and converters: RTL against golden, and golden against exact arithmetic."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from amaranth import Cat, Module
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.part import Part
from einloom.hw.vector import float_adder, float_convert, float_multiplier
from einloom.hw.vector.float_adder import FloatAdder
from einloom.hw.vector.float_convert import FloatToInteger, IntegerToFloat
from einloom.hw.vector.float_multiplier import FloatMultiplier
from einloom.sim.bench.pipeline import Pipeline
from einloom.sim.golden import vector as golden
from tests.vector_operands import corner_pairs, corners, near_negative, random_numbers, random_pairs

RANDOM = 120_000
INTEGER_WIDTHS = (8, 16, 32)
FLOAT_WIDTHS = (8, 25, 48, 64)
LATENCY = max(float_multiplier.LATENCY, float_adder.LATENCY, float_convert.TO_FLOAT_LATENCY)
Bits = npt.NDArray[np.uint32]


class Arithmetic(Part):
    """All of them side by side with one latency, so that one simulator serves the tests below.

    `results` holds, 32 bits each, product, sum, integer, and the floats of the low bits of `integer`.
    """

    def __init__(self):
        ports = {"x": In(32), "y": In(32), "negate": In(1), "select": In(2), "integer_value": In(64)}
        super().__init__({**ports, "results": Out(32 * (3 + len(FLOAT_WIDTHS)))})

    def elaborate(self, platform):
        m = Module()
        multiplier = FloatMultiplier().place(m, "multiplier", platform)
        adder = FloatAdder().place(m, "adder", platform)
        to_integer = FloatToInteger(INTEGER_WIDTHS).place(m, "to_integer", platform)
        to_float = [IntegerToFloat(w).place(m, f"to_float_{w}", platform) for w in FLOAT_WIDTHS]
        m.d.comb += [
            multiplier.x.eq(self.x),
            multiplier.y.eq(self.y),
            multiplier.negate.eq(delayed(m, "negate", self.negate, 2)),
            adder.x.eq(self.x),
            adder.y.eq(self.y),
            to_integer.value.eq(self.x),
            to_integer.select.eq(delayed(m, "select", self.select, 1)),
            *(t.value.eq(self.integer_value) for t in to_float),
        ]
        results = [
            (multiplier.product, float_multiplier.LATENCY),
            (adder.sum, float_adder.LATENCY),
            (to_integer.result, float_convert.TO_INTEGER_LATENCY),
            *((t.result, float_convert.TO_FLOAT_LATENCY) for t in to_float),
        ]
        aligned = [delayed(m, f"result_{n}", value, LATENCY - late) for n, (value, late) in enumerate(results)]
        m.d.comb += self.results.eq(Cat(aligned))
        return m


@pytest.fixture(scope="module")
def arithmetic() -> Iterator[Pipeline]:
    pipeline = Pipeline(Arithmetic(), "results", LATENCY)
    yield pipeline
    pipeline.close()


def run(
    pipeline: Pipeline, a: Bits, b: Bits | int = 0, *, negate: int = 0, select: int = 0, integer: object = 0
) -> npt.NDArray[np.uint32]:
    """The results' words, [pairs, words]."""
    return pipeline.run(a, *map(np.asarray, (b, negate, select, integer)), word_bits=32).astype(np.uint32)


def check(actual: Bits, expected: Bits, *operands: npt.NDArray[np.generic]) -> None:
    wrong = np.flatnonzero(actual != expected)
    if len(wrong):
        n = wrong[0]
        shown = ", ".join(f"{o[n]:#x}" for o in operands)
        raise AssertionError(f"{len(wrong)} wrong, first ({shown}): hardware {actual[n]:#x}, golden {expected[n]:#x}")


def operand_pairs() -> tuple[Bits, Bits]:
    rng = np.random.default_rng(1)
    a, b = random_pairs(rng, RANDOM)
    c = a[: RANDOM // 4]
    pairs = (corner_pairs(), (a, b), (c, near_negative(rng, c)))
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def product(a: Bits, b: Bits, negate: int = 0) -> Bits:
    exact = golden.multiply(golden.floats(a), golden.floats(b))
    return golden.bits(-exact if negate else exact)


def total(a: Bits, b: Bits) -> Bits:
    return golden.bits(golden.add(golden.floats(a), golden.floats(b)))


# RTL against golden.


@pytest.mark.parametrize("negate", [0, 1])
def test_products_are_golden(arithmetic: Pipeline, negate: int) -> None:
    a, b = operand_pairs()
    check(run(arithmetic, a, b, negate=negate)[:, 0], product(a, b, negate), a, b)


def test_sums_are_golden(arithmetic: Pipeline) -> None:
    a, b = operand_pairs()
    check(run(arithmetic, a, b)[:, 1], total(a, b), a, b)


@pytest.mark.parametrize("width", INTEGER_WIDTHS)
def test_conversion_to_integers_is_golden(arithmetic: Pipeline, width: int) -> None:
    a = np.concatenate([corners(), random_numbers(np.random.default_rng(width), RANDOM)])
    expected = golden.to_integer(golden.floats(a), width).view(np.uint32)
    check(run(arithmetic, a, select=INTEGER_WIDTHS.index(width))[:, 2], expected, a)


def integers(width: int) -> npt.NDArray[np.int64]:
    """Of `width` bits and of every magnitude, the extremes among them, and ties between two floats."""
    rng = np.random.default_rng(width)
    lengths = rng.integers(64 - width, 64, RANDOM)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    few = np.int64(-1) << rng.integers(0, max(width - 24, 1), RANDOM)
    drawn = rng.integers(-(1 << 63), (1 << 63) - 1, RANDOM) >> lengths & few
    return np.concatenate([np.array([0, 1, -1, low, low + 1, high, high - 1]), drawn])


@pytest.mark.parametrize("width", FLOAT_WIDTHS)
def test_conversion_to_floats_is_golden(arithmetic: Pipeline, width: int) -> None:
    values = integers(width)
    found = run(arithmetic, np.zeros(len(values), np.uint32), integer=values)[:, 3 + FLOAT_WIDTHS.index(width)]
    check(found, values.astype(np.float32).view(np.uint32), values)


# Golden against exact arithmetic.


def rounded(exact: Fraction) -> float:
    """To the nearest float32, ties to even; zero below the smallest normal number."""
    if abs(exact) < Fraction(2) ** -126:
        return 0.0
    exponent = abs(exact.numerator).bit_length() - exact.denominator.bit_length()
    exponent -= abs(exact) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    value = round(exact / unit) * unit  # Python rounds ties to even
    return float(value) if abs(value) < Fraction(2) ** 128 else float("inf") * (1 if exact > 0 else -1)


@pytest.mark.parametrize(
    ("operation", "exact"),
    [(golden.multiply, lambda x, y: x * y), (golden.add, lambda x, y: x + y)],
)
def test_golden_rounds_the_exact_result(
    operation: Callable[..., npt.NDArray[np.float32]], exact: Callable[[Fraction, Fraction], Fraction]
) -> None:
    rng = np.random.default_rng(9)
    pairs = [corner_pairs(), random_pairs(rng, 2000)]
    a, b = (golden.flushed(golden.floats(np.concatenate([p[n] for p in pairs]))) for n in (0, 1))
    finite = np.isfinite(a) & np.isfinite(b)
    a, b = a[finite], b[finite]
    expected = [rounded(exact(Fraction(float(x)), Fraction(float(y)))) for x, y in zip(a, b, strict=True)]
    assert operation(a, b).tolist() == expected


# Planted faults.


def no_sticky(_m, value, amount, _name):
    return value >> amount


def ties_away(_significand, below):
    return below[-1]


@pytest.mark.parametrize(
    ("module", "name", "wrong", "part", "output", "latency", "expected"),
    [
        (float_adder, "shifted_right_sticky", no_sticky, FloatAdder, "sum", float_adder.LATENCY, total),
        (float_multiplier, "rounds_up", ties_away, FloatMultiplier, "product", float_multiplier.LATENCY, product),
    ],
)
def test_a_planted_fault_is_found(
    module: object,
    name: str,
    wrong: object,
    part: type[Part],
    output: str,
    latency: int,
    expected: Callable[[Bits, Bits], Bits],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, name, wrong)
    pipeline = Pipeline(part(), output, latency)
    a, b = operand_pairs()
    operands = (a, b) if part is FloatAdder else (a, b, np.zeros(len(a), np.uint32))
    found = pipeline.run(*operands)[:, 0].astype(np.uint32)
    pipeline.close()
    with pytest.raises(AssertionError, match="wrong, first"):
        check(found, expected(a, b), a, b)
