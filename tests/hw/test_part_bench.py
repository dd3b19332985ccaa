"""The bench of parts itself: what it finds, what it says, and Verilator's word for it."""

import random

import pytest
from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.sim.bench.part_ports import decode, encode, ports_of
from einloom.sim.bench.part_session import Mismatch, TimedOut

WORD = data.StructLayout({"number": 8, "last": 1})


class Wrong(Part):
    """Passes words on, with a fault: "withdraws" or "changes" a word that waits, or gives one "twice"; or none."""

    def __init__(self, fault: str):
        word = stream.Signature(WORD)
        super().__init__({"i": In(word), "o": Out(word), "count": Out(8), "offset": In(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waited, again = Signal(), Signal()
        m.d.sync += waited.eq(self.o.valid & ~self.o.ready)
        taken = self.o.valid & self.o.ready
        with m.If(taken):
            m.d.sync += [self.count.eq(self.count + 1), again.eq(self.i.payload.last & ~again)]
        m.d.comb += [
            self.o.payload.number.eq(self.i.payload.number + self.offset + (waited if self.fault == "changes" else 0)),
            self.o.payload.last.eq(self.i.payload.last),
            self.o.valid.eq(self.i.valid & ~(waited if self.fault == "withdraws" else 0)),
            self.i.ready.eq(Mux((self.fault == "twice") & self.i.payload.last & ~again, 0, taken)),
        ]
        return m


def words(count: int) -> list[dict[str, int]]:
    return [{"number": n, "last": int(n + 1 == count)} for n in range(count)]


def bench(fault: str, **options: object) -> PartBench:
    return PartBench(Wrong(fault), {"i": words(5)}, pauses={"o": [0, 0, 1]}, **options)


def test_a_right_part_passes_and_counts_by_cycle() -> None:
    run = bench("", held={"offset": 3}).check(
        lambda inputs: {"o": [{**w, "number": w["number"] + 3} for w in inputs["i"]], "count": [0, 1, 2, 2, 3, 4, 4, 5]}
    )
    assert run.cycles["o"] == [0, 1, 3, 4, 6]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("withdraws", r"o\[2\]: withdrawn in cycle 3 before it was taken"),
        ("changes", r"o\[2\]: changed in cycle 3 before it was taken, from 0x2 to 0x3"),
        ("twice", r"o\[5\]: nothing more should come, found 0x104"),
    ],
)
def test_a_stream_that_breaks_the_rules_is_found(fault: str, message: str) -> None:
    with pytest.raises(Mismatch, match=message):
        bench(fault).check(lambda inputs: {"o": inputs["i"]})


def test_a_wrong_word_is_shown_with_how_to_run_it_again() -> None:
    with pytest.raises(Mismatch) as found:
        bench("", held={"offset": 1}, seed=7).check(lambda inputs: {"o": inputs["i"]})
    assert str(found.value) == (
        "Wrong(): o[0] of 5: found {number: 1, last: 0}, expected {number: 0, last: 0}\n"
        "again with seed=7, pauses={'o': [0, 0, 1]}, backend='pysim'"
    )


def test_a_wrong_value_of_a_plain_output_is_found_in_its_cycle() -> None:
    with pytest.raises(Mismatch, match=r"count\[2\] of 3: found 2, expected 1"):
        bench("").check(lambda inputs: {"o": inputs["i"], "count": [None, 1, 1]})


def test_a_time_out_names_what_waits() -> None:
    part = StreamFifo(8, 2)
    with pytest.raises(TimedOut, match=r"after 50 cycles still waits: o \(3 of 4 came\)"):
        PartBench(part, {"i": [1, 2, 3]}, limit=50).check(lambda inputs: {"o": [*inputs["i"], 4]})
    with pytest.raises(TimedOut, match=r"still waits: i \(2 of 3 given\); `until`"):
        PartBench(part, {"i": [1, 2, 3]}, pauses={"o": [1] * 99 + [0]}, limit=50, until=lambda: False).run({})


def test_a_part_that_offers_nothing_before_ready_is_found() -> None:
    class Coy(Wrong):
        """Offers a word when it is asked for one."""

        def elaborate(self, platform: object) -> Module:
            m = Module()
            m.d.comb += [self.o.valid.eq(self.i.valid & self.o.ready), self.i.ready.eq(self.o.ready)]
            return m

    with pytest.raises(TimedOut, match=r"o \(0 of 5 came\)"):
        PartBench(Coy(""), {"i": words(5)}, pauses={"o": "patient"}).check(lambda _: {"o": [0] * 5})


def test_partners_see_a_cycle_and_act_in_the_next() -> None:
    seen = []

    def partner(cycle: Cycle) -> None:
        seen.append((cycle.number, cycle["count"], cycle.taken("o") and cycle.taken("o")["number"]))
        if cycle.number == 2:
            cycle.set("offset", 9)
            cycle.put("i", {"number": 1, "last": 0})

    PartBench(Wrong(""), {"i": words(1)}, partners=[partner], cycles=5).check(
        lambda _: {"o": [{"number": 0, "last": 1}, {"number": 10, "last": 0}]}
    )
    assert seen[:5] == [(0, 0, 0), (1, 1, None), (2, 1, None), (3, 1, 10), (4, 2, None)]


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(KeyError, match="Wrong has no input stream 'x'; it has i"):
        PartBench(Wrong(""), {"x": []})
    with pytest.raises(KeyError, match="Wrong has no plain input 'count'; it has offset"):
        PartBench(Wrong(""), held={"count": 1})
    with pytest.raises(KeyError, match="no output 'i'"):
        bench("").check(lambda _: {"i": []})


def test_payloads_are_encoded_by_their_layouts() -> None:
    class Colour(enum.Enum, shape=2):
        RED = 2

    layout = data.StructLayout({"a": data.ArrayLayout(4, 2), "b": WORD, "c": Colour})
    payload = {"a": [1, -1], "b": {"last": 1}, "c": Colour.RED}
    bits = encode(layout, payload)
    assert bits == 0x1 | 0xF << 4 | 1 << 16 | 2 << 17
    assert decode(layout, bits) == {"a": [1, 15], "b": {"number": 0, "last": 1}, "c": 2}
    with pytest.raises(ValueError, match="256 does not fit into 8 bits"):
        encode(WORD, {"number": 256})
    with pytest.raises(KeyError):
        encode(WORD, {"colour": 1})


def test_ports_are_found_wherever_they_are() -> None:
    part = Wrong("")
    part._MustUse__used = True  # only asked for its ports
    streams, plain = ports_of(part)
    assert {name: s.is_input for name, s in streams.items()} == {"i": True, "o": False}
    assert {name: port.is_input for name, port in plain.items()} == {"count": False, "offset": True}
    assert streams["i"].payload.verilog == "i__payload"


@pytest.mark.parametrize("backend", ["pysim", "verilator"])
def test_both_simulators_find_the_same(backend: str) -> None:
    rng = random.Random(1)
    given = [rng.getrandbits(16) for _ in range(200)]
    pauses = {"i": 0.4, "o": [0, 1, 1, 0, 1]}
    bench = PartBench(SkidBuffer(16), {"i": given}, pauses=pauses, seed=5, backend=backend)
    run = bench.check(lambda inputs: {"o": inputs["i"]})
    assert run.cycles["o"][-1] == 503
    with pytest.raises(Mismatch, match=r"o\[199\] of 200: found 0x\w+, expected 0x\w+"):
        bench.check(lambda inputs: {"o": [*inputs["i"][:-1], inputs["i"][-1] ^ 1]})
