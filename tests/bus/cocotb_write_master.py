"""WriteMaster against cocotbext-axi's memory."""

import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiRamWrite, AxiWriteBus

from einloom.sim.bench.driver import SETTINGS
from tests.bus.drive import Source, pauses, reset, until

BYTES = SETTINGS.get("data_bits", 0) // 8
BASE, SIZE = 0x1_0000_3000 - 5 * BYTES, 0x4000 + 7 * BYTES  # a window that no burst or page fits
MARGIN = 0x1000  # checked around it
NONE, WINDOW, RESPONSE = range(3)


class Memory(AxiRamWrite):
    """A memory that answers writes to one beat with SLVERR."""

    def __init__(self, *arguments):
        super().__init__(*arguments, size=1 << 34)
        self.log.setLevel("WARNING")
        self.bad = None

    async def _write(self, address, data):
        assert BASE <= address <= address + len(data) <= BASE + SIZE, "a write outside the window"
        if self.bad is not None and address // BYTES == self.bad // BYTES:
            raise ValueError("as ordered")
        await super()._write(address, data)


class Bench:
    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.requests = Source(dut, "request", self.rng, pause)
        self.data = Source(dut, "data", self.rng, pause)
        self.memory = Memory(AxiWriteBus.from_prefix(dut, "axi", bus_separator="__"), dut.clk, dut.rst)
        self.contents = bytearray(self.rng.randbytes(SIZE + 2 * MARGIN))
        self.memory.write(BASE - MARGIN, bytes(self.contents))
        for channel in (self.memory.aw_channel, self.memory.w_channel, self.memory.b_channel):
            if pause:
                channel.set_pause_generator(pauses(self.rng, pause))
        self.done = 0
        for name, value in {"stop": 0, "clear": 0, "window_base": BASE, "window_size": SIZE}.items():
            getattr(dut, name).value = value

    async def start(self) -> None:
        await reset(self.dut)
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.done += bool(self.dut.done.value)

    def random_request(self) -> tuple[int, int]:
        """Offset and beats; often up to the window's very end."""
        beats = self.rng.choice((1, 2, 3, 15, 64, 65, 200))
        last = SIZE // BYTES - beats
        return BYTES * self.rng.choice((0, last, self.rng.randint(0, last))), beats

    def beats_of(self, requests: list[tuple[int, int]], *, keep: bool) -> list[int]:
        """Random beats for the requests; `keep`: expect them in memory."""
        words = []
        for offset, beats in requests:
            for n in range(beats):
                beat = self.rng.randbytes(BYTES)
                strobe = self.rng.choice((0, (1 << BYTES) - 1, self.rng.getrandbits(BYTES)))
                words.append(int.from_bytes(beat, "little") | strobe << 8 * BYTES)
                at = MARGIN + offset + n * BYTES
                for i in range(BYTES):
                    if keep and strobe >> i & 1:
                        self.contents[at + i] = beat[i]
        return words

    async def write(self, requests: list[tuple[int, int]]) -> None:
        """Write all of them and compare all of memory."""
        self.done = 0
        sending = cocotb.start_soon(self.data.send(self.beats_of(requests, keep=True)))
        await self.requests.send([offset | beats << 40 for offset, beats in requests])
        await until(self.dut, lambda: self.done == len(requests))
        self.compare()  # done means written
        await ClockCycles(self.dut.clk, 10)
        await sending
        assert self.done == len(requests)
        assert self.dut.idle.value
        assert self.error == NONE

    def compare(self) -> None:
        assert self.memory.read(BASE - MARGIN, len(self.contents)) == bytes(self.contents)

    async def halted(self, *sending) -> None:
        """Wait for the end of a halt, and clear it."""
        await until(self.dut, lambda: bool(self.dut.idle.value))
        for task in sending:
            task.cancel()
        self.dut.request__valid.value = 0
        self.dut.data__valid.value = 0
        self.dut.clear.value = 1
        await ClockCycles(self.dut.clk, 1)
        self.dut.clear.value = 0
        self.dut.stop.value = 0
        await ClockCycles(self.dut.clk, 3)
        assert self.error == NONE
        # What the halt left is whole beats, each as it was or as it was sent; from here on it is what is expected.
        self.contents = bytearray(self.memory.read(BASE - MARGIN, len(self.contents)))

    @property
    def error(self) -> int:
        return self.dut.error.value.to_unsigned()


async def _started(dut, pause: float) -> Bench:
    bench = Bench(dut, pause)
    await bench.start()
    return bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_are_written_at_full_rate(dut):
    bench = await _started(dut, 0.0)
    await bench.write([bench.random_request() for _ in range(30)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_are_written_under_back_pressure(dut):
    bench = await _started(dut, 0.4)
    await bench.write([bench.random_request() for _ in range(20)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def requests_outside_the_window_are_refused(dut):
    bench = await _started(dut, 0.1)
    most = (1 << 24) - 1
    outside = [
        (SIZE, 1),
        (SIZE - BYTES, 2),
        (0, SIZE // BYTES + 1),
        (0, most),
        ((1 << 40) - BYTES, most),
        (1, 1),  # not aligned
        (0, 0),  # no beat
    ]
    for offset, beats in outside:
        sending = cocotb.start_soon(bench.data.send(bench.beats_of([(0, 300)], keep=False)))
        await bench.requests.send([offset | beats << 40])
        await until(dut, lambda: bench.error == WINDOW)
        await ClockCycles(dut.clk, 20)
        bench.compare()
        await bench.halted(sending)
        await bench.write([bench.random_request()])
    dut.window_size.value = 2 * BYTES - 1  # a byte less than two beats
    await bench.write([(0, 1)])
    await bench.requests.send([2 << 40])
    await until(dut, lambda: bench.error == WINDOW)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def an_error_of_the_memory_stops_the_master(dut):
    bench = await _started(dut, 0.3)
    for _ in range(10):
        requests = [bench.random_request() for _ in range(4)]
        offset, beats = requests[2]
        bench.memory.bad = BASE + offset + BYTES * bench.rng.randrange(beats)
        words = [word | ((1 << BYTES) - 1) << 8 * BYTES for word in bench.beats_of(requests, keep=False)]
        bench.done = 0
        sending = (
            cocotb.start_soon(bench.data.send(words)),
            cocotb.start_soon(bench.requests.send([offset | beats << 40 for offset, beats in requests])),
        )
        await until(dut, lambda: bench.error == RESPONSE)
        await until(dut, lambda: bool(dut.idle.value))
        assert bench.done <= 2
        bench.memory.bad = None
        await bench.halted(*sending)
        await bench.write([bench.random_request()])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_stop_at_any_time_completes_bursts_without_writing(dut):
    bench = await _started(dut, 0.3)
    for n in range(30):
        requests = [bench.random_request() for _ in range(4)]
        words = bench.beats_of(requests, keep=False)
        sending = (
            cocotb.start_soon(bench.data.send(words)),
            cocotb.start_soon(bench.requests.send([offset | beats << 40 for offset, beats in requests])),
        )
        await ClockCycles(dut.clk, bench.rng.randint(1, 100))
        dut.stop.value = 1
        await RisingEdge(dut.clk)
        dut.stop.value = n % 2  # a pulse is enough
        if n % 3 == 0:  # the stream may dry up at once
            sending[0].cancel()
            dut.data__valid.value = 0
        waiting = True  # a beat that stood on W before the stop may still come
        announced = True
        while not (dut.idle.value and not announced):
            await RisingEdge(dut.clk)
            if not waiting and dut.axi__wvalid.value:
                assert dut.axi__wstrb.value.to_unsigned() == 0, "a beat was written after the stop"
            waiting = waiting and bool(dut.axi__wvalid.value) and not dut.axi__wready.value
            assert announced or not dut.axi__awvalid.value, "a burst was announced after the stop"
            announced = announced and bool(dut.axi__awvalid.value)
        await bench.halted(*sending)
        await bench.write([bench.random_request()])
