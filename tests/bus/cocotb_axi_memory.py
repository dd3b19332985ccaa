"""axi_memory.sv driven by cocotbext-axi's master."""

import random
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBurstType, AxiBus, AxiMaster, AxiResp

from einloom.sim.bench.driver import SETTINGS
from tests.bus.drive import pauses, reset

BYTES, BEATS, BASE = (SETTINGS.get(key, 0) for key in ("bytes", "beats", "base"))
NUMBER = 3
ROW, BANKS = 1 << 10, 16
"""Bytes of a row, and banks, of the memory."""
KNOBS = {
    "latency": 1,
    "bandwidth": 0,
    "seed": 0,
    "stall": 0,
    "refresh_every": 0,
    "refresh_for": 0,
    "row_miss": 0,
    "row_again": 0,
    "interleave": 0,
    "error_read": 0,
    "error_write": 0,
    "restart": 0,
    "load": 0,
    "dump": 0,
    "file_offset": 0,
    "file_bytes": BEATS * BYTES,
    "window_base": 0,
    "window_size": 0,
}


class Bench:
    def __init__(self, dut, pause: float = 0.0, **knobs: int):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.axi = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        reads, writes = self.axi.read_if, self.axi.write_if
        for part in (reads, writes):
            part.log.setLevel("WARNING")
        if pause:
            channels = [reads.ar_channel, reads.r_channel[0] if isinstance(reads.r_channel, list) else reads.r_channel]
            for channel in [*channels, writes.aw_channel, writes.w_channel, writes.b_channel]:
                channel.set_pause_generator(pauses(self.rng, pause))
        self.set(**KNOBS | knobs)

    def set(self, **knobs: int) -> None:
        for name, value in knobs.items():
            getattr(self.dut, name).value = value

    async def pulse(self, name: str) -> None:
        self.set(**{name: 1})
        await ClockCycles(self.dut.clk, 1)
        self.set(**{name: 0})
        await ClockCycles(self.dut.clk, 2)

    async def load(self) -> bytearray:
        """Random contents from a file."""
        contents = bytearray(self.rng.randbytes(BEATS * BYTES))
        Path(f"memory_{NUMBER}.bin").write_bytes(contents)
        await self.pulse("load")
        return contents

    async def dumped(self) -> bytes:
        await self.pulse("dump")
        return Path(f"memory_{NUMBER}.dump").read_bytes()

    def count(self, name: str) -> int:
        return int(getattr(self.dut, name).value)


async def _started(dut, pause: float = 0.0, **knobs: int) -> Bench:
    bench = Bench(dut, pause, **knobs)
    await reset(dut)
    await bench.pulse("restart")
    return bench


async def _use_like_a_memory(bench: Bench, jobs: int = 60) -> None:
    """Random reads and writes of any alignment against an array of bytes."""
    contents = await bench.load()
    for _ in range(jobs):
        at = bench.rng.randrange(len(contents))
        length = min(bench.rng.choice((1, 3, BYTES, 5 * BYTES + 1, 600)), len(contents) - at)
        if bench.rng.random() < 0.5:
            value = bench.rng.randbytes(length)
            await bench.axi.write(BASE + at, value, burst=AxiBurstType.INCR)
            contents[at : at + length] = value
        else:
            assert (await bench.axi.read(BASE + at, length)).data == contents[at : at + length]
    assert await bench.dumped() == contents
    assert bench.count("escaped") == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def it_holds_what_is_written(dut):
    await _use_like_a_memory(await _started(dut))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def it_holds_what_is_written_with_stalls_on_both_sides(dut):
    bench = await _started(dut, 0.3, seed=77, stall=100, latency=23, bandwidth=130, interleave=1)
    await _use_like_a_memory(bench)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def parts_of_it_are_loaded_and_dumped(dut):
    bench = await _started(dut)
    contents = await bench.load()
    piece = bench.rng.randbytes(3 * BYTES)
    Path(f"memory_{NUMBER}.bin").write_bytes(piece)
    bench.set(file_offset=5 * BYTES)
    await bench.pulse("load")
    contents[5 * BYTES : 8 * BYTES] = piece
    bench.set(file_offset=4 * BYTES, file_bytes=9 * BYTES)
    assert await bench.dumped() == contents[4 * BYTES : 13 * BYTES]


async def _burst(dut, beats: int) -> tuple[int, int]:
    """Cycles from AR to the first beat of a burst, and from its first beat to its last, measured on the wires."""
    cycle = asked = first = 0
    left = beats
    while left:
        await RisingEdge(dut.clk)
        cycle += 1
        if dut.s_axi_arvalid.value and dut.s_axi_arready.value:
            asked = cycle
        if dut.s_axi_rvalid.value and dut.s_axi_rready.value:
            first = first or cycle
            left -= 1
    return first - asked, cycle - first


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_and_bandwidth_are_as_asked(dut):
    bench = await _started(dut)
    beats = 32
    for latency in (1, 2, 100):
        bench.set(latency=latency)
        watching = cocotb.start_soon(_burst(dut, beats))
        await bench.axi.read(BASE, beats * BYTES)
        assert await watching == (latency, beats - 1)
    bench.set(latency=1, bandwidth=64)
    watching = cocotb.start_soon(_burst(dut, beats))
    await bench.axi.read(BASE, beats * BYTES)
    # A quarter of a beat each cycle, less the four beats that may be saved up.
    assert 4 * (beats - 1 - 4) <= (await watching)[1] <= 4 * (beats - 1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_row_takes_time_to_open_and_a_bank_between_rows(dut):
    latency, miss, again = 10, 7, 40
    bench = await _started(dut, latency=latency, row_miss=miss, row_again=again)

    async def waits(row: int, beats: int = 1, offset: int = 0) -> int:
        """Cycles to the first beat of a burst to a row, counted over all banks."""
        watching = cocotb.start_soon(_burst(dut, beats))
        await bench.axi.read(BASE + row * ROW + offset, beats * BYTES)
        first, further = await watching
        assert further == beats - 1, "rows of a burst are opened while it runs"
        return first - latency

    assert await waits(0) == miss
    assert [await waits(0, offset=n) for n in (BYTES, ROW // 2, ROW - BYTES)] == [0, 0, 0]
    assert await waits(1) == miss
    assert await waits(1, 64, offset=ROW - 8 * BYTES) == 0, "row 1, which goes on into row 2"
    assert await waits(2) == 0
    assert await waits(3) == miss
    conflict = await waits(3 + BANKS)
    assert miss < conflict < miss + again, "the bank opened another row a few cycles ago"
    await ClockCycles(dut.clk, again)
    assert await waits(3) == miss
    bench.set(row_miss=0)
    assert await waits(3 + BANKS) == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refreshes_stop_beats_and_close_rows(dut):
    every, lasts = 100, 25
    bench = await _started(dut, latency=1, refresh_every=every, refresh_for=lasts)
    cycles: list[int] = []

    async def watch():
        cycle = 0
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            if dut.s_axi_rvalid.value and dut.s_axi_rready.value:
                cycles.append(cycle)

    watching = cocotb.start_soon(watch())
    await bench.axi.read(BASE, BEATS * BYTES)
    watching.cancel()
    gaps = [b - a - 1 for a, b in zip(cycles, cycles[1:], strict=False)]
    assert sorted({gap for gap in gaps if gap >= lasts}) == [lasts]
    refreshes = gaps.count(lasts)
    assert refreshes == (cycles[-1] - cycles[0]) // every or refreshes == (cycles[-1] - cycles[0]) // every + 1
    bench.set(row_miss=9, refresh_every=1000)
    await bench.pulse("restart")
    found = []
    for _ in range(3):
        watching = cocotb.start_soon(_burst(dut, 1))
        await bench.axi.read(BASE, BYTES)
        found.append((await watching)[0] - 1)
        if len(found) == 2:
            await ClockCycles(dut.clk, 300)
    assert found == [9, 0, 9]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ordered_bursts_get_errors(dut):
    bench = await _started(dut, error_read=2, error_write=3)
    contents = await bench.load()
    assert [(await bench.axi.read(BASE, BYTES)).resp for _ in range(3)] == [AxiResp.OKAY, AxiResp.SLVERR, AxiResp.OKAY]
    value = bytes(2 * BYTES)
    answers = [(await bench.axi.write(BASE + n * 2 * BYTES, value)).resp for n in range(4)]
    assert answers == [AxiResp.OKAY, AxiResp.OKAY, AxiResp.SLVERR, AxiResp.OKAY]
    contents[: 4 * BYTES] = bytes(4 * BYTES)
    contents[6 * BYTES : 8 * BYTES] = value
    assert await bench.dumped() == contents
    assert (bench.count("read_bursts"), bench.count("write_bursts")) == (3, 4)
    assert (bench.count("read_beats"), bench.count("write_beats")) == (3, 8)
    await bench.pulse("restart")
    assert (await bench.axi.read(BASE, BYTES)).resp == AxiResp.OKAY
    assert (await bench.axi.read(BASE, BYTES)).resp == AxiResp.SLVERR


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def accesses_outside_are_counted_and_do_no_harm(dut):
    bench = await _started(dut)
    contents = await bench.load()
    end = BASE + BEATS * BYTES
    assert (await bench.axi.read(end - BYTES, 2 * BYTES)).resp == AxiResp.DECERR
    assert bench.count("escaped") == 1
    assert (await bench.axi.write(end, bytes(3 * BYTES))).resp == AxiResp.DECERR
    assert bench.count("escaped") == 4
    assert (await bench.axi.write(BASE - BYTES, bytes(BYTES))).resp == AxiResp.DECERR
    assert bench.count("escaped") == 5
    assert await bench.dumped() == contents


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def bursts_outside_a_window_are_counted(dut):
    bench = await _started(dut)
    base, size = BASE + 8 * BYTES, 4 * BYTES
    for window, strayed in ((0, 0), (size, 4)):
        bench.set(window_base=base, window_size=window)
        await bench.axi.read(base, size)
        await bench.axi.write(base + size - BYTES, bytes(BYTES))
        assert bench.count("strayed") == 0
        await bench.axi.read(base - BYTES, BYTES)
        await bench.axi.read(base, size + BYTES)
        await bench.axi.write(base - BYTES, bytes(2 * BYTES))
        await bench.axi.write(base + size, bytes(BYTES))
        assert bench.count("strayed") == strayed


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def different_ids_are_interleaved_when_asked(dut):
    bench = await _started(dut, latency=40, seed=5)
    contents = await bench.load()
    for interleave in (0, 1):
        bench.set(interleave=interleave)
        ids: list[int] = []

        async def watch(ids=ids):
            while True:
                await RisingEdge(dut.clk)
                if dut.s_axi_rvalid.value and dut.s_axi_rready.value:
                    ids.append(int(dut.s_axi_rid.value))

        watching = cocotb.start_soon(watch())
        reads = [cocotb.start_soon(bench.axi.read(BASE + n * 64 * BYTES, 8 * BYTES, arid=n)) for n in range(4)]
        for n, read in enumerate(reads):
            assert (await read).data == contents[n * 64 * BYTES :][: 8 * BYTES]
        watching.cancel()
        changes = sum(a != b for a, b in zip(ids, ids[1:], strict=False))
        assert (changes > 8) if interleave else (changes == 3)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def broken_rules_are_counted(dut):
    bench = await _started(dut)
    await bench.axi.read(BASE, 4 * BYTES)
    assert bench.count("violations") == 0
    await bench.axi.read(BASE + 1, 1, size=0)
    assert bench.count("violations") == 2  # neither full width nor aligned
    await bench.axi.write(BASE, bytes(4), burst=AxiBurstType.FIXED)
    assert bench.count("violations") == 3
