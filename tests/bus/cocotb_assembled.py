"""Readers, multiplexer and writer against the simulated memory: traffic of all kinds, rates, errors and stops."""

import json
import random
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles

from einloom.sim.bench.driver import SETTINGS
from tests.bus.drive import Sink, Source, reset, until

BYTES, BEATS, READERS = (SETTINGS.get(key, 0) for key in ("bytes", "beats", "readers"))
SIZE = BEATS * BYTES
WRITTEN = SIZE // 2  # the upper half is written, the lower one read
DRAM = ("refresh_every", "refresh_for", "row_miss", "row_again")
KNOBS = ("latency", "bandwidth", "seed", "stall", *DRAM, "interleave", "error_read", "error_write")
KNOBS += ("restart", "load", "dump")


class Bench:
    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.requests = [Source(dut, f"request_{n}", self.rng, pause) for n in range(READERS)]
        self.outputs = [Sink(dut, f"output_{n}", self.rng, pause) for n in range(READERS)]
        self.writes = Source(dut, "request", self.rng, pause)
        self.data = Source(dut, "data", self.rng, pause)
        self.contents = bytearray(self.rng.randbytes(SIZE))
        self.set(window_base=0, window_size=SIZE, stop=0, clear=0, file_offset=0, file_bytes=SIZE)
        self.set(**dict.fromkeys(KNOBS, 0))
        self.running: list = []

    def set(self, **values: int) -> None:
        for name, value in values.items():
            getattr(self.dut, name).value = value

    async def pulse(self, name: str) -> None:
        self.set(**{name: 1})
        await ClockCycles(self.dut.clk, 1)
        self.set(**{name: 0})
        await ClockCycles(self.dut.clk, 2)

    async def start(self, **knobs: int) -> None:
        await reset(self.dut)
        self.set(**knobs)
        Path("memory_0.bin").write_bytes(self.contents)
        await self.pulse("load")
        await self.pulse("restart")
        for output in self.outputs:
            cocotb.start_soon(output.run())

    async def dumped(self) -> bytes:
        await self.pulse("dump")
        return Path("memory_0.dump").read_bytes()

    def some(self, low: int, high: int, most: int = 100) -> tuple[int, int]:
        """A random request between two offsets."""
        beats = self.rng.randint(1, most)
        return BYTES * self.rng.randint(low // BYTES, high // BYTES - beats), beats

    def expected(self, requests: list[tuple[int, int]]) -> list[int]:
        return [
            int.from_bytes(self.contents[offset + n * BYTES :][:BYTES], "little") | (n == beats - 1) << 8 * BYTES
            for offset, beats in requests
            for n in range(beats)
        ]

    def traffic(self, reads: int, writes: int) -> tuple[list[list[tuple[int, int]]], list[tuple[int, int]]]:
        """Random requests for each reader and the writer, all on their way."""
        asked = [[self.some(0, WRITTEN) for _ in range(reads)] for _ in range(READERS)]
        written = [self.some(WRITTEN, SIZE) for _ in range(writes)]
        words = []
        for offset, beats in written:
            for n in range(beats):
                beat = self.rng.randbytes(BYTES)
                words.append(int.from_bytes(beat, "little") | ((1 << BYTES) - 1) << 8 * BYTES)
                self.contents[offset + n * BYTES : offset + (n + 1) * BYTES] = beat
        jobs = [(source, _words(r)) for source, r in zip(self.requests, asked, strict=True)]
        jobs += [(self.writes, _words(written)), (self.data, words)]
        self.running = [cocotb.start_soon(source.send(items)) for source, items in jobs]
        return asked, written

    async def finished(self, asked: list[list[tuple[int, int]]]) -> None:
        """Wait for what was asked for, and compare."""
        expected = [self.expected(requests) for requests in asked]
        for task in self.running:
            await task
        for output, words in zip(self.outputs, expected, strict=True):
            await until(self.dut, lambda output=output, words=words: len(output.words) >= len(words))
        await until(self.dut, lambda: bool(self.dut.idle.value))
        await ClockCycles(self.dut.clk, 5)
        for output, words in zip(self.outputs, expected, strict=True):
            assert output.words == words
            output.words.clear()
        assert await self.dumped() == self.contents
        self.nothing_broken()

    def nothing_broken(self) -> None:
        assert int(self.dut.escaped.value) == 0
        assert int(self.dut.violations.value) == 0

    async def abort(self) -> None:
        """Stop everything, wait, and clear, as a core does."""
        self.set(stop=1)
        await ClockCycles(self.dut.clk, 1)
        for task in self.running:
            task.cancel()
        for source in (*self.requests, self.writes, self.data):
            source.valid.value = 0
        await until(self.dut, lambda: bool(self.dut.idle.value))
        for output in self.outputs:
            output.forgiven = True
        self.set(clear=1)
        await ClockCycles(self.dut.clk, 1)
        self.set(clear=0, stop=0)
        await ClockCycles(self.dut.clk, 3)
        for output in self.outputs:
            output.forgiven = False
            output.words.clear()
        assert int(self.dut.errors.value) == 0


def _words(requests: list[tuple[int, int]]) -> list[int]:
    return [offset | beats << 40 for offset, beats in requests]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def mixed_traffic_arrives(dut):
    bench = Bench(dut, 0.2)
    await bench.start(latency=20, seed=9, stall=60, interleave=1)
    asked, _ = bench.traffic(20, 20)
    await bench.finished(asked)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def beats_flow_in_every_cycle(dut):
    """Behind a latency of 100 cycles, for long and for short requests, once the first beat is there."""
    bench = Bench(dut, 0.0)
    await bench.start(latency=100)
    figures = {}
    for name, beats, count in (("long", 4000, 1), ("short", 16, 250)):
        before = int(dut.read_beats.value)
        sending = cocotb.start_soon(bench.requests[0].send([(n * beats * BYTES) | beats << 40 for n in range(count)]))
        first = await until(dut, lambda before=before: int(dut.read_beats.value) > before)
        rest = await until(dut, lambda before=before: int(dut.read_beats.value) == before + 4000)
        figures[f"read {name}"] = {"first": first, "share": 3999 / rest}
        await sending
    words = [n | ((1 << BYTES) - 1) << 8 * BYTES for n in range(4000)]
    for name, beats, count in (("long", 4000, 1), ("short", 16, 250)):
        before = int(dut.write_beats.value)
        requests = [(n * beats * BYTES) | beats << 40 for n in range(count)]
        bench.running = [cocotb.start_soon(bench.data.send(words)), cocotb.start_soon(bench.writes.send(requests))]
        first = await until(dut, lambda before=before: int(dut.write_beats.value) > before)
        rest = await until(dut, lambda before=before: int(dut.write_beats.value) == before + 4000)
        figures[f"write {name}"] = {"first": first, "share": 3999 / rest}
        await until(dut, lambda: bool(dut.idle.value))
    Path(SETTINGS["report"]).write_text(json.dumps(figures))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def readers_take_turns(dut):
    bench = Bench(dut, 0.0)
    await bench.start(latency=30)
    running = [cocotb.start_soon(source.send([2000 << 40])) for source in bench.requests]
    await ClockCycles(dut.clk, 1500)
    taken = [len(output.words) for output in bench.outputs]
    assert max(taken) - min(taken) <= 64, taken
    assert sum(taken) > 1300, taken
    for task in running:
        await task


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def errors_and_stops_leave_memory_and_the_next_job_whole(dut):
    bench = Bench(dut, 0.1)
    await bench.start(latency=15, seed=3, stall=40, interleave=1)
    for _ in range(25):
        kind = bench.rng.choice(("error_read", "error_write", "stop"))
        bench.set(error_read=0, error_write=0)
        if kind != "stop":
            bench.set(**{kind: bench.rng.randint(1, 6)})
        await bench.pulse("restart")
        bench.traffic(6, 6)
        if kind == "stop":
            await ClockCycles(dut.clk, bench.rng.randint(1, 300))
        else:
            await until(dut, lambda: int(dut.errors.value) != 0)
        await bench.abort()
        bench.set(error_read=0, error_write=0)
        after = await bench.dumped()
        assert after[:WRITTEN] == bench.contents[:WRITTEN]
        bench.contents[WRITTEN:] = after[WRITTEN:]  # any part of what was to be written may have been
        asked, _ = bench.traffic(2, 2)
        await bench.finished(asked)
    bench.nothing_broken()
