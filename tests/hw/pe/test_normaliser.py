"""The deferred division: states over denominators, rounded half away from zero."""

from collections.abc import Callable

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.normaliser import Divider, DivisionControl, division_steps
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.sim.golden.fusemax import State
from einloom.spec.attention_format import OUTPUT_BITS, AttentionFormat
from tests.hw.around import now_and_then

FORMAT = AttentionFormat(input_bits=8, max_head=32, max_keys=100)


class Divided(Part):
    """A Divider with its DivisionControl; states are written from outside."""

    def __init__(self, digits: int):
        address = range(FORMAT.max_head + 1)
        ports = {"state": In(FORMAT.state_bits), "write": In(1), "write_address": In(address), "start": In(1)}
        outputs = {"result": Out(OUTPUT_BITS), "valid": Out(1), "ready": In(1), "done": Out(1)}
        super().__init__({**ports, **outputs, "head": In(address)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        control = DivisionControl(FORMAT, self.digits).place(m, "control", platform)
        divider = Divider(FORMAT, self.digits).place(m, "divider", platform)
        m.d.comb += [
            control.start.eq(self.start),
            control.head.eq(self.head),
            control.ready.eq(self.ready),
            *(getattr(divider.control, n).eq(getattr(control, n)) for n in ("address", "divisor", "dividend", "step")),
            divider.control.write.eq(self.write),
            divider.control.write_address.eq(self.write_address),
            divider.state.eq(self.state),
            self.result.eq(divider.result),
            self.valid.eq(control.valid),
            self.done.eq(control.done),
        ]
        return m


def blocks() -> list[tuple[list[int], int]]:
    """(values, denominator): nothing seen, the largest quotients of both signs, ties, and random ones."""
    rng = np.random.default_rng(3)
    most = (1 << FORMAT.state_bits - 2) - 1
    found = [([0, 5, -5], 0), ([most, -most, 0, 1, -1], most // 2), ([1, -1, 3, -3, 2], 1 << 21), ([2, -2, 1], 1)]
    for _ in range(4):
        denominator = int(rng.integers(1, most // 2))
        found.append((rng.integers(-2 * denominator, 2 * denominator, 6).tolist(), denominator))
    return found


@pytest.mark.parametrize("chance", [1.0, 0.3], ids=["full-rate", "paused"])
@pytest.mark.parametrize("digits", [1, 2, 4, 8])
def test_quotients_are_golden_and_take_their_cycles(digits: int, chance: float) -> None:
    found: list[int] = []
    cycles: list[int] = []
    bench = PartBench(
        Divided(digits),
        partners=[driver(found, cycles, now_and_then(chance))],
        until=lambda: len(found) == sum(len(values) for values, _ in blocks()),
        limit=20_000,
    )
    bench.check(lambda _: {})
    expected = []
    for values, denominator in blocks():
        state = State(np.zeros(1, np.int64), np.array(values)[:, None], np.array([denominator]))
        expected += [int(n) & (1 << OUTPUT_BITS) - 1 for n in state.outputs()[:, 0]]
    for n, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one == other, f"quotient {n}"
    if chance == 1.0:
        assert cycles[1] - cycles[0] == 2 + division_steps(digits)


def driver(found: list[int], cycles: list[int], ready: Callable[[int], int]) -> Callable[[Cycle], None]:
    """Writes the states of one block after the other and takes their quotients."""
    todo = blocks()
    writes: list[tuple[int, int]] = []
    at_work = False

    def partner(cycle: Cycle) -> None:
        nonlocal at_work
        if cycle["valid"] and cycle["ready"]:
            found.append(cycle["result"])
            cycles.append(cycle.number)
        if cycle["done"]:
            at_work = False
            todo.pop(0)
        start = False
        if not at_work and todo:
            values, denominator = todo[0]
            writes[:] = [*enumerate(values), (FORMAT.max_head, denominator)]
            at_work = True
        elif writes:
            address, state = writes.pop(0)
            cycle.set("state", state & (1 << FORMAT.state_bits) - 1)
            cycle.set("write_address", address)
            start = not writes
        cycle.set("write", int(bool(writes) or start))
        # The denominator must be in memory before it is read.
        cycle.set("start", int(partner.started))
        partner.started = start
        cycle.set("head", len(todo[0][0]) if todo else 0)
        cycle.set("ready", ready(cycle.number))

    partner.started = False
    return partner
