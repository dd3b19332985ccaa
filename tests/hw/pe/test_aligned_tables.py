"""fp16 activations as integers in the row's unit, by exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from einloom.hw.arith.fp16 import ALIGN_BITS, UNIT_EXPONENT
from einloom.hw.pe.aligned_tables import AlignedTables, aligned_cycles, match_cycles
from einloom.hw.pe.lut_fp16 import LutFp16Spec
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.formats import PLANE_FORMATS
from tests.hw.pe.test_table_generator import entries, split


def spec(lanes: int) -> LutFp16Spec:
    return LutFp16Spec(
        lanes=lanes,
        table_inputs=2,
        table="half",
        entries="exact",
        entry_scale="step",
        formats=(PLANE_FORMATS["bipolar2"],),
        group=None,
        max_inputs=1024,
    )


def numbers(lanes: int, seed: int) -> np.ndarray:
    """Finite fp16 [steps, lanes] of rising and falling exponents, subnormals and zeros among them."""
    rng = np.random.default_rng(seed)
    steps = 40
    exponent = np.clip(
        rng.integers(0, 31, (steps, 1)) * rng.random((steps, 1)) + rng.integers(-3, 4, (steps, lanes)), 0, 30
    )
    raw = rng.integers(0, 2, (steps, lanes)) << 15 | exponent.astype(int) << 10 | rng.integers(0, 1024, (steps, lanes))
    return np.where(rng.random((steps, lanes)) < 0.1, 0, raw).astype(np.uint16)


@pytest.mark.parametrize("lanes", [2, 4, 8])
def test_activations_are_rounded_to_the_largest_exponent_so_far(lanes: int) -> None:
    part, given = AlignedTables(spec(lanes)), numbers(lanes, lanes)
    tile = 10  # steps
    late = match_cycles(lanes)
    control = [{}] * late + [{"enter": 1, "renew": int(n % tile == 0)} for n in range(len(given))] + [{}]
    words = [sum(int(a) << 16 * k for k, a in enumerate(step)) for step in given]
    bench = PartBench(part, held={"activations": words, "control": control}, watch=["shared"], cycles=len(given) + 30)
    shared = bench.check(lambda _: {}).traces["shared"]
    latency, sizes = aligned_cycles(lanes) + 1, part.spec.sizes
    highest = 0
    for n, step in enumerate(given):
        fields = np.maximum(step >> 10 & 31, 1).astype(int)
        highest = max(0 if n % tile == 0 else highest, int(fields.max()))
        unit = Fraction(2) ** (highest - UNIT_EXPONENT - ALIGN_BITS)
        aligned = [round(Fraction(float(a)) / unit) for a in step.view(np.float16)]
        for t, own in enumerate(split(aligned, sizes)):
            table = shared[n + latency + part.spec.table_delays[t]]["tables"][f"table_{t}"]
            found = [2 * entry + table["parity"] for entry in table["entries"]]
            assert found == entries(own, halved=True), f"table {t} of step {n}"
