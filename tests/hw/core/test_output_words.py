"""Attention's outputs, block after block, while the vector memory takes their words when it likes."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.sim import Simulator

from einloom.hw.core.output_words import OutputWords
from einloom.spec.attention_format import OUTPUT_BITS

LANES = 4
COLUMNS = 2
CYCLES = 5_000


@dataclass(frozen=True)
class Block:
    """The outputs of `queries` heads of a token, `size` elements each, and the word at which they begin."""

    base: int
    outputs: list[list[int]]  # for each element, those of all columns
    queries: int

    @property
    def fields(self) -> dict[str, int]:
        return {
            "base": self.base,
            "token": 0,
            "outer": len(self.outputs) // LANES,
            "tokens": 1,
            "group": self.queries,
            "value_head": len(self.outputs),
        }

    def words(self) -> dict[int, list[int]]:
        """What the vector memory is to hold, by address."""
        heads = np.array(self.outputs).T[: self.queries].reshape(-1, LANES)
        return {self.base + n: word.tolist() for n, word in enumerate(heads)}


def random_block(rng: random.Random, base: int, queries: int) -> Block:
    size = LANES * rng.randint(1, 3)
    largest = (1 << OUTPUT_BITS - 1) - 1
    return Block(base, [[rng.randint(-largest, largest) for _ in range(COLUMNS)] for _ in range(size)], queries)


def integers(word: int) -> list[int]:
    """The signed integers of a word."""
    fields = [word >> n * OUTPUT_BITS & (1 << OUTPUT_BITS) - 1 for n in range(LANES)]
    return [field - (field >> OUTPUT_BITS - 1 << OUTPUT_BITS) for field in fields]


def write(blocks: list[Block], ready: list[bool]) -> dict[int, list[int]]:
    """The words that are written for `blocks`, when the memory takes one in the cycles that `ready` says, again and
    again; TimeoutError when the last one never comes."""
    part = OutputWords(COLUMNS, LANES)
    written: dict[int, list[int]] = {}

    last: list[bool] = []  # of the words of the present block: it is marked as the last

    async def give(ctx):
        for block in blocks:
            for element in block.outputs:
                value = sum((n & (1 << OUTPUT_BITS) - 1) << i * OUTPUT_BITS for i, n in enumerate(element))
                ctx.set(part.outputs.payload, value)
                ctx.set(part.outputs.valid, 1)
                taken = False
                while not taken:
                    _, _, taken = await ctx.tick().sample(part.outputs.ready)
        ctx.set(part.outputs.valid, 0)

    async def take(ctx):
        cycle = 0
        while True:
            ctx.set(part.words.ready, ready[cycle % len(ready)])
            _, _, valid, word = await ctx.tick().sample(part.words.valid, part.words.payload)
            if valid and ready[cycle % len(ready)]:
                written[word.address] = integers(word.integers)
                last.append(bool(word.last))
            cycle += 1

    async def start(ctx):
        for block in blocks:
            ctx.set(part.block, block.fields)
            ctx.set(part.start, 1)
            await ctx.tick()
            ctx.set(part.start, 0)
            last.clear()
            for _ in range(CYCLES):
                await ctx.tick()
                if last and last[-1]:
                    break
            else:
                raise TimeoutError(f"the block at {block.base} does not end")

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give, background=True)
    simulator.add_testbench(take, background=True)
    simulator.add_testbench(start)
    simulator.run()
    return written


@pytest.mark.parametrize("pause", [0, 1, 5, 40])
def test_words_are_those_of_their_block_however_long_the_memory_waits(pause: int) -> None:
    """The next block's outputs are there before the last word of the one before is taken."""
    rng = random.Random(pause)
    blocks = [random_block(rng, 100 * n, rng.randint(1, COLUMNS)) for n in range(4)]
    expected = {address: word for block in blocks for address, word in block.words().items()}
    assert write(blocks, [True] + [False] * pause) == expected
