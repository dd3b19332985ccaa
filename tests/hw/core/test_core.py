"""The core around a stand-in for its machine: registers, windows, masters, counters, reports and errors.

tests/hw/core/test_machine.py has the machine, and tests/test_core.py both together, in Verilator.
"""

from dataclasses import replace

import pytest
from amaranth import Module, Signal

from einloom.hw.core import core as core_module
from einloom.hw.core.core import Core
from einloom.hw.core.machine import Machine
from einloom.hw.core.spec import CoreSpec
from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.core_registers import core_registers, report_names
from einloom.spec.isa import UNITS, CoreError, Unit
from einloom.spec.memory_ports import memory_ports
from einloom.spec.registers import CTRL
from tests.hw.around import Memory
from tests.hw.bus.axi_partners import AxiMemory, Host
from tests.hw.core.small import small

BASE, SIZE, WEIGHTS = 0x1_0000_0000, 1 << 12, 0x40000
BEAT = 32
REPORT = 100  # beat
INDICES = {unit: 50 + unit for unit in UNITS}


class Walker(Part):
    """In the place of Machine: for `length` rounds reads a beat of the program, one of a load and one of weights, and
    writes their exclusive or; `row` is where it loads and, in beats behind it, where it stores."""

    def __init__(self, spec: CoreSpec):
        like = Machine(spec)
        like._MustUse__used = True  # only asked for its ports
        super().__init__(dict(like.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total, left = Signal(8 * BEAT), Signal(8)
        place = Signal(16)
        reads = (
            (self.program_request, self.program_beats, self.program + place),
            (self.load_request, self.load_beats, self.row + place),
            (self.weights_requests[0], self.weights[0], place),
        )
        for n, unit in enumerate(UNITS):
            m.d.comb += self.indices[n].eq(INDICES[unit])
        m.d.comb += [self.index.eq(7), self.oldest.eq(3), self.busy.eq(left != 0)]
        with m.FSM():
            with m.State("idle"):
                with m.If(self.start):
                    m.d.sync += [left.eq(self.length), place.eq(0)]
                    m.next = "ask 0"
            for n, (request, beats, at) in enumerate(reads):
                with m.State(f"ask {n}"):
                    m.d.comb += [request.valid.eq(1), request.payload.beats.eq(1), request.payload.offset.eq(at * BEAT)]
                    with m.If(request.ready):
                        m.next = f"get {n}"
                with m.State(f"get {n}"):
                    m.d.comb += beats.ready.eq(1)
                    with m.If(beats.valid):
                        m.d.sync += total.eq((total if n else 0) ^ beats.payload.data)
                        m.next = f"ask {n + 1}"
            with m.State("ask 3"):
                to = self.store_request
                m.d.comb += [
                    to.valid.eq(1),
                    to.payload.beats.eq(1),
                    to.payload.offset.eq((self.row + place) * BEAT),
                ]
                with m.If(to.ready):
                    m.next = "put"
            with m.State("put"):
                out = self.store_beats
                m.d.comb += [out.valid.eq(1), out.payload.data.eq(total), out.payload.strobe.eq(~0)]
                with m.If(out.ready):
                    m.next = "answer"
            with m.State("answer"):
                with m.If(self.store_answered):
                    m.d.comb += self.completed.eq(1)
                    m.d.sync += [left.eq(left - 1), place.eq(place + 1)]
                    m.next = "ask 0"
                    with m.If(left == 1):
                        m.next = "end"
            with m.State("end"):
                m.d.comb += self.done.eq(1)
                m.next = "idle"
        return m


class Card:
    """A core with its memories and a host that starts one job after the other.

    A job is a dict of registers; `errors` has (error, error_index) of each that has ended.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jobs: list[dict[str, int]]) -> None:
        monkeypatch.setattr(core_module, "Machine", Walker)
        spec = small("int_mac").spec
        self.spec = replace(spec, gemm=replace(spec.gemm, channels=1))
        self.system, self.weights = Memory(2), Memory(3)
        self.bus = AxiMemory(self.system, BEAT, "m_axi_system", base=BASE, writes=True)
        self.table = {r.name: r for r in core_registers(memory_ports(1))}
        self.errors: list[tuple[int, int]] = []
        self.host = Host("s_axi_control")
        self._jobs, self._phase = list(jobs), "start"
        windows = {"system_base": BASE, "system_size": SIZE, "weights0_base": WEIGHTS, "weights0_size": SIZE}
        self._write({**windows, "watchdog": 300})

    def _write(self, values: dict[str, int]) -> None:
        for name, value in values.items():
            self.host.write(self.table[name].offset, value, self.table[name].words)

    def _drive(self, _: Cycle) -> None:
        errors = [self.table[name].offset for name in ("error", "error_index")]
        if not self.host.idle or (self._phase == "start" and not self._jobs):
            return
        if self._phase == "start":
            self._write(self._jobs.pop(0))
            self.host.write(CTRL, 1)
            self._phase = "poll"
        elif self._phase == "poll":
            if self.host.found.pop(CTRL, 0) & 2:  # ap_done
                self.host.read(errors)
                self._phase = "read"
            else:
                self.host.read([CTRL])
        else:
            self.errors.append((self.host.found[errors[0]], self.host.found[errors[1]]))
            self._phase = "start"

    def run(self) -> None:
        jobs = len(self._jobs)
        weights = AxiMemory(self.weights, BEAT, "m_axi_weights0", base=WEIGHTS)
        bench = PartBench(
            Core(self.spec),
            partners=[self.bus, weights, self.host, self._drive],
            until=lambda: len(self.errors) == jobs,
            limit=20_000,
        )
        bench.check(lambda _: {})


def test_jobs_end_and_are_reported_and_requests_outside_a_window_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"program": 2, "row": 40, "length": 3, "report": REPORT}
    beats = SIZE // BEAT
    card = Card(
        monkeypatch,
        [
            good,
            {**good, "program": beats, "report": 0},
            {"program": 0, "row": beats - 1, "length": 2},
            {"row": 60},
        ],
    )
    fresh, weights = Memory(2), Memory(3)
    card.run()
    # The program's reader is blamed at the machine's place, the loads' at their unit's instruction.
    assert card.errors == [
        (CoreError.NONE, 0),
        (CoreError.WINDOW, 7),
        (CoreError.WINDOW, INDICES[Unit.LOAD]),
        (CoreError.NONE, 0),
    ]

    def stored(program: int, position: int, n: int) -> int:
        source = fresh.word((program + n) * BEAT, BEAT) ^ fresh.word((position + n) * BEAT, BEAT)
        return source ^ weights.word(n * BEAT, BEAT)

    for n in range(3):
        assert card.system.word((40 + n) * BEAT, BEAT) == stored(2, 40, n)
    assert card.system.word((beats - 1) * BEAT, BEAT) == stored(0, beats - 1, 0)
    assert card.system.word(60 * BEAT, BEAT) == stored(0, 60, 0)
    numbers = {name: card.system.word(REPORT * BEAT + 8 * n, 8) for n, name in enumerate(report_names(memory_ports(1)))}
    assert numbers["design"] == card.spec.design
    wanted = {"error": 0, "completed": 3, "system_read_beats": 6, "system_write_beats": 3, "weights0_beats": 3}
    assert {name: numbers[name] for name in wanted} == wanted
    assert numbers["cycles"] >= numbers["weights_busy"] > 0
    assert numbers["gemm_busy"] == 0
    assert all(BASE <= address < BASE + SIZE for address, _ in card.bus.bursts)
    written = {at // BEAT for at in card.system.written}
    reported = range(REPORT, REPORT - (-8 * len(report_names(memory_ports(1))) // BEAT))
    assert written == {40, 41, 42, 60, 61, beats - 1, *reported}
