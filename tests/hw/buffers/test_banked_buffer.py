"""Words of one bank in, elements of all banks out; and words that lost a bit."""

import random

import pytest

from einloom.hw.buffers.banked_buffer import BankedBuffer, BufferBank
from einloom.hw.buffers.fifo import StreamFifo
from einloom.sim.bench.part_bench import Cycle, PartBench

SHAPES = {  # banks, words, lanes of a word, bits of an element, elements read at once
    "one by one": (3, 4, 4, 8, 1),
    "two at once": (2, 8, 4, 5, 2),
    "whole words": (2, 4, 2, 8, 2),
    "one bank": (1, 4, 2, 16, 1),
    "two words": (2, 8, 2, 5, 4),
    "four words": (1, 8, 1, 8, 4),
}


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_element_of_every_bank_is_what_was_written_last(shape: str, parity: bool) -> None:
    banks, words, lanes, bits, at_once = SHAPES[shape]
    part = BankedBuffer(banks, words, lanes, bits, at_once, parity=parity)
    rng, contents = random.Random(shape), {(b, w): 0 for b in range(banks) for w in range(words)}
    names = ("write", "bank", "address", "data", "read", "read_address")
    held: dict[str, list[int]] = {name: [] for name in names}
    expected = [0]
    for _ in range(400):
        write, read = rng.random() < 0.5, rng.random() < 0.6
        bank, address, data = rng.randrange(banks), rng.randrange(words), rng.getrandbits(lanes * bits)
        group = rng.randrange(words * lanes // at_once)
        for name, value in zip(names, (write, bank, address, data, read, group), strict=True):
            held[name].append(int(value))
        if read:
            size = at_once * bits
            whole = [sum(contents[b, w] << w * lanes * bits for w in range(words)) for b in range(banks)]
            parts = [bank >> group * size & (1 << size) - 1 for bank in whole]
            expected.append(sum(part << n * size for n, part in enumerate(parts)))
        else:
            expected.append(expected[-1])
        if write:
            contents[bank, address] = data
    golden = {"elements": expected} | ({"corrupt": [0] * 400} if parity else {})
    PartBench(part, held=held, tail=0).check(lambda _: golden)


def test_a_scrubbed_word_is_zero_in_every_bank() -> None:
    part = BankedBuffer(2, 2, 1, 8, parity=True)
    held = {
        "write": [1, 1, 0],
        "bank": [0, 1],
        "address": 1,
        "data": [7, 9],
        "scrub": [0, 0, 0, 1, 0],
        "scrub_address": 1,
        "read": 1,
        "read_address": 1,
    }
    PartBench(part, held=held, tail=0).check(lambda _: {"elements": [0, 0, 7, 7 | 9 << 8, 7 | 9 << 8, 0]})


@pytest.mark.parametrize("read_lanes", [1, 2, 4])
def test_a_bank_tells_of_a_word_that_is_not_what_was_written(read_lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words are written without their parity bit, so those with an odd number of ones look changed."""
    monkeypatch.setattr("einloom.hw.buffers.banked_buffer.with_parity", lambda word, _: word)
    part = BufferBank(4, 2, 4, read_lanes, parity=True)
    words = [0x00, 0x13, 0x11, 0x80]
    reads = [tuple(range(n, n + read_lanes)) for n in range(0, 8, read_lanes)]  # elements, two of a word
    held = {
        "write": [1] * 4 + [0],
        "address": list(range(4)),
        "data": words,
        "read": [0] * 4 + [1] * len(reads) + [0],
        "read_address": [0] * 4 + list(range(len(reads))),
    }
    corrupt = [0] * 5 + [max(words[n // 2].bit_count() & 1 for n in group) for group in reads]
    PartBench(part, held=held, tail=0).check(lambda _: {"corrupt": [*corrupt, 0]})


@pytest.mark.parametrize("depth", [4, 40])
def test_a_queue_tells_of_a_word_that_is_not_what_was_put(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("einloom.hw.buffers.fifo.with_parity", lambda word, _: word)
    words = [0, 1, 3, 7, 8, 15, 16]
    told: list[int] = []
    taken: list[int] = []

    def watch(cycle: Cycle) -> None:
        if taken and taken[-1] >= 0:
            told.append(cycle["corrupt"])
        word = cycle.taken("o")
        taken.append(-1 if word is None else word)

    bench = PartBench(StreamFifo(8, depth, parity=True), {"i": words}, pauses={"o": 0.3}, partners=[watch])
    bench.check(lambda inputs: {"o": inputs["i"]})
    assert told == [word.bit_count() & 1 for word in words]
