"""A program's walk: what each unit's queue gets, chunk by chunk, and its mistakes."""

import pytest

from einloom.hw.core.sequencer import Sequencer
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.isa import BY_CODE, INSTRUCTION_BYTES, UNITS, CoreError, VectorOp
from tests.hw.around import PAUSES, Memory, instruction, reader, table_rows

TOKENS = 4
FORMATS = 3
PARTS = {bits: Sequencer(TOKENS, bits, FORMATS) for bits in (256, 512)}
BEAT = 50  # where the program starts
STREAMS = ("request", "beats", *(f"queues_{n}" for n in range(len(UNITS))))
BODY = [
    instruction("load", offset=1, rows=2, words=3),
    instruction("weights", offset=9, beats=4),
    instruction("vector", op=VectorOp.MAXABS, outer=1, inner=2, wait=1 << 5),
    instruction("gemm", format=FORMATS - 1, blocks=1, tiles=1),
    *(instruction("store_kv", offset=n, elements=8) for n in range(30)),
    instruction("attend", keys=1, count=2),
]
PROGRAM = [*BODY, instruction("next"), instruction("store", words=1), instruction("end")]


class Walk:
    """Runs a program from memory, `length` tokens from a row of the table on, and records what the machine would see.

    `claimed` is the number of instructions that the host gives.
    """

    def __init__(self, program: list[int], *, row: int = 5, length: int = 10, claimed: int | None = None) -> None:
        self.program, self.row, self.length = program, row, length
        self.claimed = len(program) if claimed is None else claimed
        self.done: list[int] = []
        self.error = self.at = self._busy = 0
        self.chunks: list[dict[str, int]] = []

    def check(self, bits: int, pause: float, executed: list[int]) -> None:
        """`executed`: the numbers of the instructions that are handed out."""
        memory, beat = Memory(), bits // 8
        for n, word in enumerate(self.program):
            memory.put(BEAT * beat + n * INSTRUCTION_BYTES, INSTRUCTION_BYTES, word)
        # The program is fetched ahead, so how many requests there are is nobody's business.
        queues: dict[str, list | None] = {f"queues_{n}": [] for n in range(len(UNITS))} | {"request": None}
        for n in executed:
            unit = BY_CODE[self.program[n] & 63].unit
            queues[f"queues_{UNITS.index(unit)}"].append({"instruction": self.program[n], "index": n})
        bench = PartBench(
            PARTS[bits],
            held={
                "start": [0, 1, 0],
                "program": BEAT,
                "instructions": self.claimed,
                "row": self.row,
                "length": self.length,
            },
            pauses=dict.fromkeys(STREAMS, pause),
            partners=[reader(memory, beat), self._watch],
            until=lambda: bool(self.done or self.error),
            optional=["beats"],  # of a program that is left before its end
        )
        run = bench.check(lambda _: queues)
        end = BEAT + -(-self.claimed * INSTRUCTION_BYTES // beat)
        assert all(
            BEAT * beat <= r["offset"] and r["offset"] // beat + r["beats"] <= end for r in run.outputs["request"]
        )

    def _watch(self, cycle: Cycle) -> None:
        if cycle["done"]:
            self.done.append(cycle.number)
        self.error, self.at = cycle["error"], cycle["index"]
        taken = any(cycle.taken(f"queues_{n}") is not None for n in range(len(UNITS)))
        if taken and (not self.chunks or self.chunks[-1] != cycle["chunk"]):
            self.chunks.append(cycle["chunk"])
        self._busy = 9 if taken else max(self._busy - 1, 0)  # units are at work for some cycles
        cycle.set("units_idle", int(self._busy == 0))


def numbers(chunks: int) -> list[int]:
    """What PROGRAM hands out: its body for each chunk, and once what is between `next` and `end`."""
    return [*range(len(BODY))] * chunks + [len(BODY) + 1]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("bits", PARTS)
def test_each_chunk_goes_through_the_program_and_the_last_one_to_its_end(bits: int, pause: float) -> None:
    walk = Walk(PROGRAM)
    walk.check(bits, pause, numbers(3))
    assert walk.chunks == [table_rows(5, 4, 0), table_rows(9, 4, 0), table_rows(13, 2, 1)]
    assert (len(walk.done), walk.error) == (1, CoreError.NONE)


@pytest.mark.parametrize(("length", "chunks"), [(0, [(0, 1)]), (1, [(1, 1)]), (4, [(4, 1)]), (5, [(4, 0), (1, 1)])])
def test_chunks_hold_all_tokens(length: int, chunks: list[tuple[int, int]]) -> None:
    walk = Walk(PROGRAM, row=7, length=length)
    walk.check(256, 0.0, numbers(len(chunks)))
    assert walk.chunks == [table_rows(7 + 4 * n, tokens, last) for n, (tokens, last) in enumerate(chunks)]
    assert len(walk.done) == 1


MISTAKES = {
    "opcode": 63,
    "rows-without-a-meaning": instruction("load", rows=3),
    "condition-without-a-meaning": instruction("load") | 3 << 6,
    "operation-without-a-meaning": instruction("vector", op=11),
    "format-that-there-is-not": instruction("gemm", format=FORMATS),
    "permit-of-its-own-unit": instruction("store", wait=1 << 6),
    "permit-for-the-sequencer": instruction("store", signal=1),
    "bit-behind-the-last-field": instruction("tokens") | 1 << 64,
    "the-last-bit": instruction("end") | 1 << 255,
}


@pytest.mark.parametrize("word", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("bits", PARTS)
def test_a_mistake_is_found_when_all_before_it_is_done(bits: int, word: int) -> None:
    walk = Walk([*BODY[:5], word, *BODY])
    walk.check(bits, 0.0, list(range(5)))
    assert (walk.error, walk.at, walk.done) == (CoreError.ILLEGAL, 5, [])


@pytest.mark.parametrize("claimed", [0, 3, 16, 17])
def test_a_program_without_an_end_is_found(claimed: int) -> None:
    walk = Walk(BODY, claimed=claimed)
    walk.check(512, 0.0, list(range(claimed)))
    assert (walk.error, walk.at, walk.done) == (CoreError.PAST_END, claimed, [])


def test_an_instruction_every_other_cycle() -> None:
    program = [instruction("tokens", offset=n) for n in range(40)]
    taken: list[int] = []
    walk = Walk(program)
    part_watch = walk._watch

    def watch(cycle: Cycle) -> None:
        part_watch(cycle)
        if cycle.taken("queues_4") is not None:
            taken.append(cycle.number)

    walk._watch = watch
    walk.check(512, 0.0, list(range(40)))
    assert [b - a for a, b in zip(taken, taken[1:], strict=False)] == [2] * 39, taken
