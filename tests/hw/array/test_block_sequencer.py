"""What a GEMM engine with blocks of different lengths fetches and issues, step by step."""

import pytest

from einloom.hw.array.block_sequencer import BlockSequencer
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.formats import FORMATS
from einloom.spec.lane_sets import LaneSets
from tests.hw.around import now_and_then

NAMES = ("int4-nof8", "int4-2of4", "int3")
FORMATS_OF_JOBS = tuple(FORMATS[name] for name in NAMES)
WORDS = ("int4-nof8", "int4", "int4-2of4", "int3")
SETS = LaneSets(lanes=8, columns=2, candidates=8, together=2)
BLOCK, MAX_BLOCKS = 32, 8
COUNTS = SETS.counts(FORMATS["int4-nof8"])
JOBS = [(0, 4, 2, 3), (1, 1, 3, 1), (2, 4, 1, 2), (0, 8, 3, 1), (0, 1, 1, 1)]
"""(format, blocks, tiles, tokens)"""
KEPT = [
    [[2, 0, 4, 8], [0, 0, 0, 2]],
    [],
    [],
    [[8, 8, 2, 0, 0, 0, 0, 2], [0, 2, 0, 2, 0, 2, 0, 2], [2, 2, 2, 2, 2, 2, 2, 2]],
    [[4]],
]
"""N of each block of each tile of jobs that choose it."""


def part() -> BlockSequencer:
    sizes = {"max_blocks": MAX_BLOCKS, "max_tiles": 8, "rows": 4}
    words = tuple(FORMATS[name] for name in WORDS)
    return BlockSequencer(formats=FORMATS_OF_JOBS, words=words, sets=SETS, block=BLOCK, **sizes)


def steps_of(name: str, kept: int | None) -> list[tuple[str, int]]:
    """(word, turn) of each step of an activation word, from what LaneSets says of it."""
    if name == "int3" or kept == 8:
        return [("int3" if name == "int3" else "int4", turn) for turn in range(2)]  # 8 candidates, 4 at a time
    if name == "int4-2of4":
        return [(name, turn) for turn in range(2)]  # two blocks of four
    assert kept is not None
    return [(name, 0)] * (kept // 2)


def fetched() -> tuple[list[dict[str, int]], list[dict[str, int]], list[int]]:
    """Steps, their terms, and the headers that come with words of metadata, in order."""
    steps: list[dict[str, int]] = []
    terms: list[dict[str, int]] = []
    headers: list[int] = []
    for (format, blocks, tiles, _), kept in zip(JOBS, KEPT, strict=True):
        said: list[int] = []
        for tile in range(tiles):
            stored = (
                [(b, kept[tile][b]) for b in range(blocks) if kept[tile][b]]
                if kept
                else [(b, None) for b in range(blocks)]
            )
            before = -1
            for place, (block, count) in enumerate(stored):
                said.append((COUNTS.index(count) | (block - before - 1) << 2) if count else 0)
                before = block
                rows = [
                    (word, *step) for word in range(BLOCK // SETS.inputs) for step in steps_of(NAMES[format], count)
                ]
                for n, (word, kind, turn) in enumerate(rows):
                    own = [s for s in rows if s[0] == word]
                    ends = n == len(rows) - 1
                    steps.append({
                        "select": 2 * WORDS.index(kind) + (n > 0),
                        "address": block * (BLOCK // SETS.inputs) + word,
                        "read": int(n % len(own) == 0),
                        "turn": turn,
                        "full": int(kind in ("int4", "int3")),
                    })
                    terms.append({
                        "valid": 1,
                        "bsig": 0,
                        "first": int(n == 0),
                        "block_last": int(ends),
                        "tile_first": int(place == 0),
                        "tile_last": int(ends and block == blocks - 1),
                    })
        headers += [*(said if kept else []), 0] if kept else said
    return steps, terms, headers


@pytest.mark.parametrize("chance", [1.0, 0.5], ids=["full-rate", "paused"])
def test_steps_come_in_their_order(chance: float) -> None:
    steps, terms, headers = fetched()
    taken: list[dict[str, int]] = []
    issued: list[dict[str, int]] = []
    cycles: list[int] = []
    alone = aligns = said = 0
    there, free = now_and_then(chance, 1), now_and_then(chance, 2)

    def around(cycle: Cycle) -> None:
        nonlocal alone, aligns, said
        if cycle["load"]:
            assert cycle["take"]
            assert cycle["load_metadata"] == cycle["first"]
            taken.append({name: cycle[name] for name in steps[0]})
            said += cycle["first"]
        elif cycle["take"]:
            assert cycle["select"] == 2 * len(WORDS)
            alone, said = alone + 1, said + 1
        if cycle["issue"]["valid"]:
            issued.append(cycle["issue"])
            cycles.append(cycle.number)
            assert not (cycle["issue"]["tile_last"] and cycle["draining"])
        aligns += cycle["align"]
        header = headers[said] if said < len(headers) else 0
        cycle.set("header", {"density": header & 3, "skip": header >> 2})
        cycle.set("metadata_there", 15 * there(cycle.number))
        cycle.set("alone_there", there(cycle.number + 3))
        cycle.set("steps_there", 15 * there(cycle.number + 1))
        cycle.set("draining", 1 - free(cycle.number))

    fields = ("format", "blocks", "tiles", "tokens")
    bench = PartBench(
        part(),
        {"job": [dict(zip(fields, job, strict=True)) for job in JOBS]},
        pauses={"job": 1 - chance},
        partners=[around],
        until=lambda: len(issued) >= len(terms),
        watch=["idle"],
    )
    run = bench.check(lambda _: {})
    for n, (one, other) in enumerate(zip(taken, steps, strict=True)):
        assert one == other, f"step {n}"
    for n, (one, other) in enumerate(zip(issued, terms, strict=True)):
        assert one == other, f"term {n}"
    assert aligns == len(JOBS)
    assert alone == sum(FORMATS_OF_JOBS[job[0]].of > 0 for job in JOBS)
    assert run.traces["idle"][-1] == 1
    if chance == 1.0:  # empty blocks and tiles' ends cost no cycle
        jobs_end = [n for n, gap in enumerate(zip(cycles, cycles[1:], strict=False)) if gap[1] != gap[0] + 1]
        assert len(jobs_end) == len(JOBS) - 1
