"""Permits between units: given, available, taken, and too many."""

import random

import pytest

from einloom.hw.core.permit_board import PermitBoard
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.isa import PERMIT_LIMIT, UNITS

PART = PermitBoard()
COUNT = len(UNITS)


def run(gives: list[dict[tuple[int, int], int]], takes: list[dict[tuple[int, int], int]]) -> None:
    """Counters by (giver, taker) of UNITS, as of the cycle before; an overflow is told two cycles later."""
    permits = {(p, c): 0 for p in UNITS for c in UNITS}
    held: dict[str, list[int]] = {f"{kind}_{n}": [] for kind in ("give", "take") for n in range(COUNT)}
    expected: dict[str, list[int | None]] = {f"available_{n}": [] for n in range(COUNT)} | {"overflow": [0, 0]}
    for given, taken in zip(gives, takes, strict=True):
        for n, unit in enumerate(UNITS):
            lost = any(count > PERMIT_LIMIT for count in permits.values())
            mask = None if lost else sum(1 << p for p in UNITS if permits[p, unit] > 0)
            expected[f"available_{n}"].append(mask)
            held[f"give_{n}"].append(sum(1 << c for c in UNITS if given.get((unit, c))))
            held[f"take_{n}"].append(sum(1 << p for p in UNITS if taken.get((p, unit))))
        over = False
        for pair in permits:
            permits[pair] += given.get(pair, 0) - taken.get(pair, 0)
            over |= permits[pair] > PERMIT_LIMIT and pair in given
        expected["overflow"].append(int(over))
    PartBench(PART, held=held).check(lambda _: {k: v[: len(gives)] for k, v in expected.items()})


@pytest.mark.parametrize("chance", [0.2, 0.6])
def test_a_permit_is_available_from_the_cycle_behind_its_giving_until_it_is_taken(chance: float) -> None:
    rng = random.Random(chance)
    pairs = [(p, c) for p in UNITS for c in UNITS if p is not c]
    waiting = dict.fromkeys(pairs, 0)
    gives, takes = [], []
    for _ in range(150):
        taken = {pair: 1 for pair in pairs if waiting[pair] and rng.random() < 0.5}
        given = {pair: 1 for pair in pairs if rng.random() < chance * 0.8}
        gives.append(given)
        takes.append(taken)
        for pair in pairs:
            waiting[pair] += given.get(pair, 0) - taken.get(pair, 0)
    run(gives, takes)


def test_one_permit_more_than_can_be_counted_is_an_overflow() -> None:
    pair = (UNITS[2], UNITS[5])
    gives = [{pair: 1}] * (PERMIT_LIMIT + 3) + [{}] * 4
    takes = [{}] * PERMIT_LIMIT + [{pair: 1}] * 2 + [{}] * 5  # a permit that is taken makes room in the same cycle
    run(gives, takes)
