"""The parts around chains of DSPs: codes become values, each lane in its cycle, and a group's sum is scaled."""

import random

import pytest

from einloom.generators.registry import pe_spec
from einloom.hw.arith.terms import SpecialValues
from einloom.hw.pe.column import codes_port
from einloom.hw.pe.dsp_column import ColumnTops, LaneDelay, ValueColumn, operand_layout
from einloom.hw.pe.group_scaler import GroupScaler
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.bench.part_ports import encode
from einloom.sim.strategies import make_config
from einloom.spec.formats import FORMATS, SCALE_BITS
from einloom.spec.lane_sets import LaneSets
from einloom.spec.sparsity import BLOCK, PATTERNS
from tests.hw.arith.test_terms import SPECIALS, terms_of

DELAYS = (0, 1, 3)
FOURS = LaneSets(lanes=8, columns=2, candidates=4, together=2)
LANES = len(DELAYS)
FORMATS_OF_COLUMN = tuple(FORMATS[name] for name in ("bitmod-fp4", "int3", "ternary"))


def test_each_lane_of_a_row_is_late_by_its_delay() -> None:
    rng = random.Random(1)
    steps = [[rng.randint(-128, 127) for _ in DELAYS] for _ in range(30)]
    words = [sum((a & 255) << 8 * n for n, a in enumerate(step)) for step in steps]
    taps = (*enumerate(DELAYS), (0, 3), (2, 1))  # a lane may be wanted in several cycles
    bench = PartBench(LaneDelay(8, LANES, taps), held={"activations": words}, watch=["shared"], cycles=30)
    shared = bench.check(lambda _: {}).traces["shared"]
    for n in range(3, 30):
        assert shared[n] == [steps[n - delay][lane] for lane, delay in taps]


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
        assert [trace[start + 1 + delay]["values"][lane] for lane, delay in enumerate(DELAYS)] == step


@pytest.mark.parametrize("column", [0, 1])
def test_kept_weights_meet_their_activations(column: int) -> None:
    """Each DSP of a column has a kept weight and its place; those of the other column have none."""
    rng, sparse, dense, lanes = random.Random(4), FORMATS["int4-2of4"], FORMATS["int4"], 8
    delays = tuple(range(lanes))
    part = ValueColumn((sparse, dense), 4, delays, 0, FOURS, column=column)
    steps = []
    held: dict[str, list] = {name: [] for name in ("load", "format", codes_port(sparse), codes_port(dense))}
    for _ in range(20):
        kept = [(rng.randrange(16), rng.randrange(16), rng.randrange(len(PATTERNS))) for _ in range(lanes // BLOCK)]
        codes, index = [rng.randrange(16) for _ in range(lanes)], rng.randrange(2)
        held["load"].append(1)
        held["format"].append(index)
        held[codes_port(sparse)].append([a | b << 4 | p << 8 for a, b, p in kept])
        held[codes_port(dense)].append(codes)
        steps.append((index, kept, codes))
    held["format"] = [f for f in held["format"] for _ in range(2)]  # it stays for the cycle of the codes
    for name in ("load", codes_port(sparse), codes_port(dense)):
        held[name] = [v for row in held[name] for v in (row, 0 if name == "load" else row)]
    trace = PartBench(part, held=held, watch=["operand"], cycles=60).check(lambda _: {}).traces["operand"]
    for n, (index, kept, codes) in enumerate(steps):
        for dsp in range(lanes):
            operand, own = trace[2 * n + 2 + dsp], FOURS.column_of(dsp) == column
            first, second, pattern = kept[dsp // BLOCK]
            code = codes[dsp] if index else (first, second)[dsp % 2] if own else 0
            assert operand["values"][dsp] == dense.table[code]
            if own:
                place = dsp % BLOCK if index else PATTERNS[pattern][dsp % 2]
                assert operand["indices"][dsp // BLOCK * 2 + dsp % 2] == place


def test_a_pair_of_tops_is_two_columns() -> None:
    rng, kinds = random.Random(5), (FORMATS["int4-2of4"],)
    pair_sets = LaneSets(lanes=4, columns=2, candidates=4, together=2)
    steps = [[rng.getrandbits(11) & 0x3FF for _ in range(2)] for _ in range(20)]
    port = codes_port(kinds[0])
    held = {"load": 1, port: [low | high << 11 for low, high in steps]}
    pair = PartBench(
        ColumnTops(2, kinds, 4, (0, 1, 2, 3), 0, pair_sets), held=held, watch=["operand"], cycles=20
    ).check(lambda _: {})
    for column in (0, 1):
        alone = ValueColumn(kinds, 4, (0, 1, 2, 3), 0, pair_sets, column=column)
        own = {"load": 1, port: [[step[column]] for step in steps]}
        run = PartBench(alone, held=own, watch=["operand"], cycles=20).check(lambda _: {})
        layout = operand_layout(4, 4, pair_sets, scale=False)
        words = [encode(layout, operand) for operand in run.traces["operand"]]
        assert words == [word >> column * layout.size & (1 << layout.size) - 1 for word in pair.traces["operand"]]


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
