"""What a GEMM engine fetches and issues, step by step and term by term."""

import pytest

from einloom.hw.array.sequencer import Sequencer
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import now_and_then

BSIG = ((0, 2, 4), (0,), (3, 1))
STEPS = 3
JOBS = [(0, 2, 2, 3), (1, 1, 3, 1), (2, 4, 1, 2), (0, 1, 1, 1)]
"""(format, blocks, tiles, tokens)"""


def part(*, has_metadata: bool, joined: bool = False) -> Sequencer:
    sizes = {"max_blocks": 8, "max_tiles": 8, "rows": 4}
    return Sequencer(bsig=BSIG, steps=STEPS, has_metadata=has_metadata, joined=joined, **sizes)


def words(has_metadata: bool, joined: bool) -> list[tuple[int, int, int]]:
    """(the gearbox's size of word, first step of a block, activation step) of each word that is fetched."""
    found = []
    for format, blocks, tiles, _ in JOBS:
        for _ in range(tiles):
            for block in range(blocks):
                found += [(0, 0, -1)] if has_metadata and not joined else []
                for step in range(STEPS):
                    others = 1
                    if joined:
                        others = len(BSIG) if step else 0
                    found.append((others + format, int(step == 0), block * STEPS + step))
    return found


def terms() -> list[dict[str, int]]:
    found = []
    for format, blocks, tiles, _ in JOBS:
        last_term = len(BSIG[format]) - 1
        for _ in range(tiles):
            for block in range(blocks):
                for step in range(STEPS):
                    for n, bsig in enumerate(BSIG[format]):
                        ends = step == STEPS - 1 and n == last_term
                        found.append({
                            "valid": 1,
                            "bsig": bsig,
                            "first": int(step == 0 and n == 0),
                            "block_last": int(ends),
                            "tile_first": int(block == 0),
                            "tile_last": int(ends and block == blocks - 1),
                        })
    return found


@pytest.mark.parametrize("chance", [1.0, 0.5], ids=["full-rate", "paused"])
@pytest.mark.parametrize("metadata", ["before", "joined", "none"])
def test_words_and_terms_come_in_their_order(metadata: str, chance: float) -> None:
    kind = {"has_metadata": metadata != "none", "joined": metadata == "joined"}
    taken: list[tuple[int, int, int]] = []
    issued: list[dict[str, int]] = []
    cycles: list[int] = []
    aligns = 0
    there, free = now_and_then(chance, 1), now_and_then(chance, 2)
    addresses: list[int] = []

    def around(cycle: Cycle) -> None:
        nonlocal aligns
        if cycle["take"]:
            alone = cycle["load_metadata"] and not kind["joined"]
            assert alone + cycle["load"] == 1
            assert not kind["joined"] or cycle["load_metadata"] == cycle["first"]
            taken.append((cycle["select"], 0 if alone else cycle["first"], -1 if alone else cycle["address"]))
            assert cycle["read"] == cycle["load"]
        if cycle["issue"]["valid"]:
            issued.append(cycle["issue"])
            cycles.append(cycle.number)
            assert not (cycle["issue"]["tile_last"] and cycle["draining"])
        aligns += cycle["align"]
        cycle.set("metadata_there", (7 if kind["joined"] else 1) * there(cycle.number))
        cycle.set("steps_there", 7 * there(cycle.number + 1))
        cycle.set("draining", 1 - free(cycle.number))
        addresses.append(cycle["address"])

    fields = ("format", "blocks", "tiles", "tokens")
    sequencer = part(**kind)
    bench = PartBench(
        sequencer,
        {"job": [dict(zip(fields, job, strict=True)) for job in JOBS]},
        pauses={"job": 1 - chance},
        partners=[around],
        until=lambda: len(issued) >= len(terms()),
        watch=["idle"],
    )
    run = bench.check(lambda _: {})
    assert taken == words(**kind)
    for n, (one, other) in enumerate(zip(issued, terms(), strict=True)):
        assert one == other, f"term {n}"
    assert aligns == len(JOBS)  # what is left of a beat goes with its job
    assert run.traces["idle"][-1] == 1
    if chance == 1.0:
        first = len(BSIG[0]) * STEPS * 4  # all of the first job, whose metadata hide behind terms
        assert cycles[:first] == list(range(cycles[0], cycles[0] + first))
