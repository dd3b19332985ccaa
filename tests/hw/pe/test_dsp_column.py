"""The parts around chains of DSPs: codes become values, each lane in its cycle, and a group's sum is scaled."""

import random

import pytest

from einloom.generators.registry import pe_spec
from einloom.hw.arith.terms import SpecialValues
from einloom.hw.pe.column import codes_port
from einloom.hw.pe.dsp_column import LaneDelay, ValueColumn
from einloom.hw.pe.group_scaler import GroupScaler
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS, SCALE_BITS
from tests.hw.arith.test_terms import SPECIALS, terms_of

DELAYS = (0, 1, 3)
FORMATS_OF_COLUMN = tuple(FORMATS[name] for name in ("bitmod-fp4", "int3", "ternary"))


def test_each_lane_of_a_row_is_late_by_its_delay() -> None:
    rng = random.Random(1)
    steps = [[rng.randint(-128, 127) for _ in DELAYS] for _ in range(30)]
    words = [sum((a & 255) << 8 * n for n, a in enumerate(step)) for step in steps]
    bench = PartBench(LaneDelay(8, DELAYS), held={"activations": words}, watch=["shared"], cycles=30)
    shared = bench.check(lambda _: {}).traces["shared"]
    for n in range(3, 30):
        assert shared[n] == [steps[n - delay][lane] for lane, delay in enumerate(DELAYS)]


def test_codes_become_values_in_the_cycle_of_their_lane() -> None:
    """Formats and special values change between steps; late lanes still have those of their own step."""
    rng = random.Random(2)
    names = ("load", "first", "format", "selector", "load_metadata")
    held: dict[str, list] = {name: [] for name in (*names, *map(codes_port, FORMATS_OF_COLUMN))}
    values: list[tuple[int, list[int]]] = []  # (cycle in which the codes are held, their values)
    selector = index = 0
    for n in range(60):
        first = n % 4 == 0
        if first:
            selector = rng.randrange(4)
        before, index = index, rng.randrange(3)
        format = FORMATS_OF_COLUMN[index]
        codes = [rng.randrange(len(format.table)) for _ in DELAYS]
        for load in (False, True):
            row = {
                "load_metadata": int(load and first),
                "selector": selector if load and first else rng.randrange(4),
                "load": int(load),
                "first": int(first),
                "format": index if load else before,  # it stays for the cycle in which the codes are decoded
                codes_port(format): codes if load else [0] * len(DELAYS),
            }
            for name, column in held.items():
                column.append(row.get(name, [0] * len(DELAYS) if name.startswith("codes") else 0))
        values.append((
            len(held["load"]),
            [SPECIALS[selector] if c == format.special_code else format.table[c] for c in codes],
        ))
    part = ValueColumn(FORMATS_OF_COLUMN, 6, DELAYS, 0)
    held_values = held | {"special_values": [list(SPECIALS)]}
    operands = PartBench(part, held=held_values, watch=["operand"], cycles=len(held["load"]) + 6).check(lambda _: {})
    trace = operands.traces["operand"]
    for start, step in values[:-2]:
        assert [trace[start + 1 + delay][lane] for lane, delay in enumerate(DELAYS)] == step


def test_special_values_are_what_their_terms_add_up_to() -> None:
    values = [*SPECIALS, -24, 24, 0, 8]
    table = FORMATS["bitmod-fp4"]
    rows = [[terms_of(v, table) for v in values[n : n + 4]] for n in (0, 4)]
    bench = PartBench(SpecialValues(), held={"specials": rows}, tail=0)
    bench.check(lambda _: {"special_values": [None, values[:4], values[4:]]})


@pytest.mark.parametrize("negated", [False, True])
def test_a_groups_sum_is_scaled_and_added(negated: bool) -> None:
    rng, spec = random.Random(3), pe_spec(make_config({"kind": "sparse_dsp", "max_inputs": 1024}))
    control: list[dict[str, int]] = []
    rows: dict[str, list[int]] = {"group_sum": [], "scale_bit": []}

    def cycle(group_sum: int = 0, scale_bit: int = 0, **signals: int) -> None:
        control.append(signals)
        rows["group_sum"].append(group_sum)
        rows["scale_bit"].append(scale_bit)

    expected: list[int | None] = []
    for _ in range(5):
        total = 0
        for group in range(3):
            group_sum, scale = rng.randint(-(1 << 18), (1 << 18) - 1), rng.randrange(256)
            total += scale * group_sum
            cycle(group_sum, capture=1)
            for bit in range(SCALE_BITS):
                cycle(0, scale >> bit & 1, dequantise=1, restart=int(bit == 0 and group == 0))
        cycle(load=1)
        expected += [None] * (len(control) - len(expected))
        expected.append((-total if negated else total) & (1 << spec.sum_bits) - 1)
        cycle()
    part = GroupScaler(spec, 19, negated)
    PartBench(part, held={**rows, "control": control}, tail=0).check(lambda _: {"drain_out": expected})
