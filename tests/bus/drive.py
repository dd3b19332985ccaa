"""Driving the streams and knobs of a part from cocotb, with random pauses from a seed."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge


def pauses(rng: random.Random, chance: float) -> Iterator[bool]:
    """For cocotbext-axi's pause generators: a pause in a cycle with this chance."""
    return (rng.random() < chance for _ in itertools.count())


async def reset(dut) -> None:
    """Start the clock, with every input 0 but the streams' `ready`, and reset."""
    dut.rst.value = 1
    Clock(dut.clk, 2, unit="ns").start(start_high=False)
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)


class Source:
    """Puts words into a stream."""

    def __init__(self, dut, name: str, rng: random.Random, pause: float = 0.0):
        self.clock = dut.clk
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{x}") for x in ("payload", "valid", "ready"))
        self.rng = rng
        self.pause = pause
        self.valid.value = 0

    async def send(self, words: Iterable[int]) -> None:
        for word in words:
            while self.rng.random() < self.pause:
                await RisingEdge(self.clock)
            self.payload.value = word
            self.valid.value = 1
            await RisingEdge(self.clock)
            while not self.ready.value:
                await RisingEdge(self.clock)
            self.valid.value = 0


class Sink:
    """Takes words from a stream for ever, and fails when the stream's rules are broken."""

    def __init__(self, dut, name: str, rng: random.Random, pause: float = 0.0):
        self.dut = dut
        self.name = name
        self.clock = dut.clk
        self.payload, self.valid, self.ready = (getattr(dut, f"{name}__{x}") for x in ("payload", "valid", "ready"))
        self.rng = rng
        self.pause = pause
        self.words: list[int] = []
        self.forgiven = False  # a clear may withdraw a word
        self.ready.value = 0

    async def run(self) -> None:
        offered = None
        while True:
            await RisingEdge(self.clock)
            valid = bool(self.valid.value)
            now = self.payload.value.to_unsigned() if valid else None
            assert offered is None or self.forgiven or now == offered, f"{self.name} withdrew or changed a word"
            taken = valid and bool(self.ready.value)
            if taken:
                self.words.append(now)
            offered = None if taken else now
            self.ready.value = int(self.rng.random() >= self.pause)


async def until(dut, condition: Callable[[], bool], cycles: int = 20_000) -> int:
    """Wait for a condition; returns the cycles that took."""
    for cycle in range(cycles):
        if condition():
            return cycle
        await RisingEdge(dut.clk)
    raise AssertionError(f"waited {cycles} cycles in vain")
