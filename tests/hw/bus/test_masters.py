"""Both masters between a unit and a memory: bursts, beats, and what a stop leaves."""

import pytest

from einloom.hw.bus.axi import PAGE_BYTES, BusError
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.write_master import WriteMaster
from einloom.sim.bench.part_bench import PartBench
from tests.hw.around import PAUSES, Memory
from tests.hw.bus.axi_partners import AxiMemory

BEAT, BASE, SIZE = 8, 0x10F00, 1 << 14
REQUESTS = [(0, 3), (0x78, 40), (PAGE_BYTES - 8, 2), (SIZE - 8, 1), (16, 130)]
"""(offset, beats)"""
READER = ReadMaster(64, address_bits=32, max_burst=16, fifo_beats=32, max_outstanding=4)
WRITER = WriteMaster(64, address_bits=32, max_burst=16, max_outstanding=4)
WINDOW = {"window_base": BASE, "window_size": SIZE}
GIVEN = [{"offset": offset, "beats": beats} for offset, beats in REQUESTS]


def legal(bursts: list[tuple[int, int]], beats: int) -> None:
    assert sum(count for _, count in bursts) == beats
    for address, count in bursts:
        assert BASE <= address
        assert address + count * BEAT <= BASE + SIZE
        assert address // PAGE_BYTES == (address + count * BEAT - 1) // PAGE_BYTES
        assert count <= 16


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_a_reader_gives_the_beats_of_its_requests_in_order(pause: float) -> None:
    memory = Memory(3)
    bus = AxiMemory(memory, BEAT, "axi", base=BASE, latency=1 if not pause else 7)
    beats = [
        {"data": memory.word(offset + n * BEAT, BEAT), "last": int(n + 1 == count)}
        for offset, count in REQUESTS
        for n in range(count)
    ]
    bench = PartBench(
        READER,
        {"request": GIVEN},
        held=WINDOW,
        pauses={"request": pause, "output": pause},
        partners=[bus],
        watch=["error"],
    )
    run = bench.check(lambda _: {"output": beats})
    legal(bus.bursts, len(beats))
    assert {*run.traces["error"]} == {BusError.NONE.value}
    if not pause:
        cycles = run.cycles["output"]
        assert cycles[-1] - cycles[0] < len(beats) + 12


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_a_writer_puts_strobed_beats_where_they_belong(pause: float) -> None:
    memory = Memory(4)
    bus = AxiMemory(memory, BEAT, "axi", base=BASE, writes=True, latency=1 if not pause else 7)
    beats = sum(count for _, count in REQUESTS)
    data = [{"data": (n * 0x0101010101010101) % (1 << 64), "strobe": (n * 37 | 1) & 0xFF} for n in range(beats)]
    expected: dict[int, int] = {}
    places = [offset + n * BEAT for offset, count in REQUESTS for n in range(count)]
    for at, beat in zip(places, data, strict=True):
        expected |= {at + k: beat["data"] >> 8 * k & 0xFF for k in range(BEAT) if beat["strobe"] >> k & 1}
    done = []
    bench = PartBench(
        WRITER,
        {"request": GIVEN, "data": data},
        held=WINDOW,
        pauses={"request": pause, "data": pause},
        partners=[_WriteOnly(bus), lambda cycle: done.append(cycle["done"])],
        until=lambda: sum(done) == len(REQUESTS),
    )
    bench.check(lambda _: {})
    assert memory.written == expected


class _WriteOnly:
    """An AxiMemory for a port without the channels of reads."""

    def __init__(self, bus: AxiMemory) -> None:
        self._bus = bus

    def __call__(self, cycle) -> None:
        self._bus._take(cycle)


@pytest.mark.parametrize("part", [READER, WRITER], ids=["reader", "writer"])
def test_a_request_outside_the_window_halts_the_master(part: ReadMaster | WriteMaster) -> None:
    bench = PartBench(
        part,
        {"request": [{"offset": SIZE, "beats": 1}, {"offset": 0, "beats": 1}]},
        held=WINDOW,
        optional=["request"],
        watch=["error", "idle"],
        cycles=40,
    )
    run = bench.check(lambda _: {} if part is WRITER else {"output": []})
    assert run.traces["error"][-1] == BusError.WINDOW.value
    assert run.traces["idle"][-1] == 1
