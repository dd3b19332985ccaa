"""ReadMaster against cocotbext-axi's memory."""

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiRamRead, AxiReadBus

from einloom.sim.bench.driver import SETTINGS
from tests.bus.drive import Sink, Source, pauses, reset, until

BYTES = SETTINGS.get("data_bits", 0) // 8
BASE, SIZE = 0x1_0000_3000 - 5 * BYTES, 0x8000 + 7 * BYTES  # a window that no burst or page fits
NONE, WINDOW, RESPONSE = range(3)


class Memory(AxiRamRead):
    """A memory that records the addresses of beats, with one that answers SLVERR."""

    def __init__(self, *arguments):
        super().__init__(*arguments, size=1 << 34)
        self.log.setLevel("WARNING")
        self.bad = None
        self.addresses: list[int] = []

    async def _read(self, address, length):
        self.addresses.append(address)
        if address == self.bad:
            raise ValueError("as ordered")
        return await super()._read(address, length)


class Bench:
    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.requests = Source(dut, "request", self.rng, pause)
        self.output = Sink(dut, "output", self.rng, pause)
        self.memory = Memory(AxiReadBus.from_prefix(dut, "axi", bus_separator="__"), dut.clk, dut.rst)
        self.checked = self.answered = 0
        self.contents = self.rng.randbytes(SIZE)
        self.memory.write(BASE, self.contents)
        for channel in (self.memory.ar_channel, self.memory.r_channel):
            if pause:
                channel.set_pause_generator(pauses(self.rng, pause))
        for name, value in {"stop": 0, "clear": 0, "window_base": BASE, "window_size": SIZE}.items():
            getattr(dut, name).value = value

    async def start(self) -> None:
        await reset(self.dut)
        cocotb.start_soon(self.output.run())
        cocotb.start_soon(self._never_waits())
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        """Count what the master reports of requests."""
        while True:
            await RisingEdge(self.dut.clk)
            self.checked += bool(self.dut.checked.value)
            self.answered += bool(self.dut.answered.value)

    async def _never_waits(self) -> None:
        """Fail when memory has a beat that was asked for and the master does not take it."""
        dut, owed = self.dut, 0
        while True:
            await RisingEdge(dut.clk)
            assert dut.axi__rready.value or not owed, "RREADY fell while beats were due"
            owed -= bool(dut.axi__rvalid.value) and bool(dut.axi__rready.value)
            if dut.axi__arvalid.value and dut.axi__arready.value:
                owed += dut.axi__arlen.value.to_unsigned() + 1

    def random_request(self) -> tuple[int, int]:
        """Offset and beats; often up to the window's very end."""
        beats = min(self.rng.choice((1, 2, 3, 15, 64, 65, 200)), SIZE // BYTES)
        last = SIZE // BYTES - beats
        return BYTES * self.rng.choice((0, last, self.rng.randint(0, last))), beats

    def expected(self, requests: list[tuple[int, int]]) -> list[int]:
        words = []
        for offset, beats in requests:
            for n in range(beats):
                at = offset + n * BYTES
                word = int.from_bytes(self.contents[at : at + BYTES], "little")
                words.append(word | (n == beats - 1) << 8 * BYTES)
        return words

    async def read(self, requests: list[tuple[int, int]]) -> None:
        """Read all of them and compare."""
        self.output.words.clear()
        expected = self.expected(requests)
        self.checked = self.answered = 0
        await self.requests.send([offset | beats << 40 for offset, beats in requests])
        await until(self.dut, lambda: len(self.output.words) >= len(expected))
        await until(self.dut, lambda: bool(self.dut.idle.value))
        await ClockCycles(self.dut.clk, 10)
        assert self.output.words == expected
        assert self.checked == self.answered == len(requests)
        assert self.error == NONE

    async def clear(self) -> None:
        await until(self.dut, lambda: bool(self.dut.idle.value))
        self.output.forgiven = True
        self.dut.clear.value = 1
        await ClockCycles(self.dut.clk, 1)
        self.dut.clear.value = 0
        self.dut.stop.value = 0
        await ClockCycles(self.dut.clk, 3)
        self.output.forgiven = False
        assert self.error == NONE

    @property
    def error(self) -> int:
        return self.dut.error.value.to_unsigned()


async def _started(dut, pause: float) -> Bench:
    bench = Bench(dut, pause)
    await bench.start()
    return bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_are_read_at_full_rate(dut):
    bench = await _started(dut, 0.0)
    await bench.read([bench.random_request() for _ in range(30)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_are_read_under_back_pressure(dut):
    bench = await _started(dut, 0.4)
    await bench.read([bench.random_request() for _ in range(30)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_outside_the_window_are_refused(dut):
    bench = await _started(dut, 0.1)
    most = (1 << 24) - 1
    outside = [
        (SIZE, 1),
        (SIZE - BYTES, 2),
        (0, SIZE // BYTES + 1),
        (0, most),
        ((1 << 40) - BYTES, 1),
        ((1 << 40) - BYTES, most),
        (1, 1),  # not aligned
        (0, 0),  # no beat
    ]
    for offset, beats in outside:
        before = len(bench.memory.addresses)
        await bench.requests.send([offset | beats << 40])
        await until(dut, lambda: bench.error == WINDOW)
        dut.request__valid.value = 1  # nothing is taken until the clear
        await ClockCycles(dut.clk, 20)
        assert not dut.request__ready.value
        dut.request__valid.value = 0
        assert len(bench.memory.addresses) == before, (offset, beats)
        await bench.clear()
        await bench.read([bench.random_request()])
    assert all(BASE <= address < BASE + SIZE for address in bench.memory.addresses)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def windows_that_wrap_or_are_not_aligned_hold_nothing(dut):
    bench = await _started(dut, 0.1)
    top = 1 << 64
    short = BYTES - 1
    for base, size in (
        (top - 2 * BYTES, 3 * BYTES),
        (top - BYTES, top - BYTES),
        (BASE + 1, SIZE),
        (BASE, 0),
        (BASE, short),  # a byte less than a beat
    ):
        dut.window_base.value, dut.window_size.value = base, size
        await bench.requests.send([1 << 40])
        await until(dut, lambda: bench.error == WINDOW)
        await bench.clear()
    assert not bench.memory.addresses
    dut.window_base.value, dut.window_size.value = BASE, BYTES + short
    await bench.read([(0, 1)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def an_error_of_the_memory_stops_the_master(dut):
    bench = await _started(dut, 0.3)
    for _ in range(10):
        requests = [bench.random_request() for _ in range(4)]
        offset, beats = bench.rng.choice(requests)
        bench.memory.bad = BASE + offset + BYTES * bench.rng.randrange(beats)
        bench.output.words.clear()
        bench.answered = 0
        sending = cocotb.start_soon(bench.requests.send([offset | beats << 40 for offset, beats in requests]))
        await until(dut, lambda: bench.error == RESPONSE)
        await until(dut, lambda: bool(dut.idle.value))
        sending.cancel()
        dut.request__valid.value = 0
        await ClockCycles(dut.clk, 600)  # what was good may still be taken
        expected = bench.expected(requests)
        assert bench.output.words == expected[: len(bench.output.words)]
        assert len(bench.output.words) < len(expected)
        assert bench.answered < len(requests)
        bench.memory.bad = None
        await bench.clear()
        await bench.read([bench.random_request()])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_stop_at_any_time_drains_and_a_clear_forgets(dut):
    bench = await _started(dut, 0.3)
    for n in range(30):
        requests = [bench.random_request() for _ in range(4)]
        sending = cocotb.start_soon(bench.requests.send([offset | beats << 40 for offset, beats in requests]))
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        dut.stop.value = 1
        await RisingEdge(dut.clk)
        dut.stop.value = n % 2  # a pulse is enough
        await RisingEdge(dut.clk)
        announced = bool(dut.axi__arvalid.value)
        for _ in range(30):
            await RisingEdge(dut.clk)
            assert announced or not dut.axi__arvalid.value, "a burst was announced after the stop"
            announced = announced and bool(dut.axi__arvalid.value)
        await until(dut, lambda: bool(dut.idle.value))
        sending.cancel()
        dut.request__valid.value = 0
        await bench.clear()
        await bench.read([bench.random_request()])
