"""The steps of epochs: which, how many, and in how many cycles."""

import pytest

from einloom.hw.array.attention_sequencer import AttentionSequencer
from einloom.hw.pe.fusemax import Step
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.attention_format import EXP2_STEPS, AttentionFormat
from tests.hw.around import now_and_then

FORMAT = AttentionFormat(input_bits=8, max_head=40, max_keys=100)
ROWS = 4
PART = AttentionSequencer(FORMAT, ROWS)
# (first word of the queries, E, F, keys)
JOBS = [(100, 32, 33, 9), (0, 35, 32, 4), (500, 32, 40, 17)]
Found = list[tuple]


def job(queries: int, size: int, head: int, keys: int) -> dict[str, int]:
    ends = {"keys": keys, "last_position": keys - 1, "first_position": keys - 1}
    return {"queries": queries, "query_head": size, "value_head": head, **ends}


def tiles(keys: int) -> int:
    return -(-keys // ROWS)


def run(chance: float) -> tuple[Found, list[int], int, int]:
    """(steps, the addresses of queries, and the keys and values that are taken)"""
    found: Found = []
    reads: list[int] = []
    keys, values = now_and_then(chance, 1), now_and_then(chance, 2)
    taken = {"key": 0, "value": 0}

    def around(cycle: Cycle) -> None:
        for name in taken:
            taken[name] += cycle[f"{name}_take"] and cycle[f"{name}_valid"]
        if cycle["query_read"]:
            reads.append(cycle["query_address"])
        issue = cycle["issue"]
        if issue["valid"]:
            found.append((Step(issue["step"]), cycle.number, issue))
        cycle.set("key_valid", keys(cycle.number))
        cycle.set("value_valid", values(cycle.number))

    bench = PartBench(
        PART,
        {"job": [job(*one) for one in JOBS]},
        held={"dividers_free": 1, "key_valid": 1, "value_valid": 1},
        partners=[around],
        until=lambda: sum(issue["end"] & issue["last"] for *_, issue in found) == len(JOBS),
        limit=20_000,
    )
    bench.check(lambda _: {})
    return found, reads, taken["key"], taken["value"]


@pytest.mark.parametrize("chance", [1.0, 0.6], ids=["full-rate", "paused"])
def test_each_tile_has_its_steps(chance: float) -> None:
    found, reads, keys, values = run(chance)
    counts = {step: sum(kind is step for kind, *_ in found) for step in Step}
    count = [tiles(job[3]) for job in JOBS]
    assert counts[Step.SCORE] == sum(n * job[1] for n, job in zip(count, JOBS, strict=True)) == keys
    assert counts[Step.SCALE] == sum(count)
    assert counts[Step.EXP] == EXP2_STEPS * sum(count)
    assert counts[Step.VALUE] == sum(n * (job[2] + 1) for n, job in zip(count, JOBS, strict=True))
    assert values == sum(n * job[2] for n, job in zip(count, JOBS, strict=True))
    # The words of a query for each tile: its elements, its scale, and on the first tile its position.
    for start, size, _, length in JOBS:
        own = [address for address in reads if start <= address < start + size + 3]
        assert own.count(start) == tiles(length)
        assert own.count(start + size) == tiles(length)
        assert {*own} == {*range(start, start + size + 3)}


def test_values_and_their_denominator_come_in_order_and_the_last_ones_are_marked() -> None:
    found, *_ = run(1.0)
    issued = [issue for step, _, issue in found if step is Step.VALUE]
    for _, _, head, keys in JOBS:
        for tile in range(tiles(keys)):
            mine, issued = issued[: head + 1], issued[head + 1 :]
            assert [issue["address"] for issue in mine] == [FORMAT.max_head, *range(head)]
            assert [issue["end"] for issue in mine] == [0] * head + [1]
            assert {issue["last"] for issue in mine} == {int(tile + 1 == tiles(keys))}


def test_an_epoch_takes_as_many_cycles_as_it_has_steps() -> None:
    """E + F + 6 for each tile: the scores of one, and the values of the one before."""
    found, *_ = run(1.0)
    scales = [cycle for step, cycle, _ in found if step is Step.SCALE]
    long = [b - a for a, b in zip(scales, scales[1:], strict=False)]
    _, size, head, keys = JOBS[0]
    assert long[: tiles(keys) - 1][1:] == [size + head + 6] * (tiles(keys) - 2)
