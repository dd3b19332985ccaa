"""Instructions of a unit: in order, when their permits are there, and those whose condition does not hold left out."""

import random
from collections.abc import Callable

import pytest

from einloom.hw.core.unit_queue import DEPTH, UnitQueue
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.isa import UNITS, Condition
from tests.hw.around import PAUSES, chunk, instruction

KINDS = {"plain": {}, "overlaps": {"overlaps": True}, "skips": {"overlaps": True, "skips": True}}
PARTS = {name: UnitQueue(**options) for name, options in KINDS.items()}
MASKS = [0, 1 << UNITS[0], 1 << UNITS[2] | 1 << UNITS[5], 1 << UNITS[4]]
CHUNKS = {"middle": chunk(tokens=3, last=0), "last": chunk(tokens=3, last=1), "empty": chunk(tokens=0, last=1)}


def program(seed: int) -> list[dict[str, int]]:
    """Header fields of 40 instructions, all conditions and `first` around the chunk's three tokens among them."""
    rng = random.Random(seed)
    conditions = [(Condition.TOKEN_PRESENT, first) for first in (0, 2, 3, 255)]
    conditions += [(Condition.ALWAYS, 0), (Condition.ALWAYS, 200), (Condition.LAST_CHUNK, 0)]
    return [
        {"condition": condition, "first": first, "wait": rng.choice(MASKS), "signal": rng.choice(MASKS)}
        for condition, first in (rng.choice(conditions) for _ in range(40))
    ]


def holds(i: dict[str, int], now: dict[str, int]) -> bool:
    """The conditions of the instruction set; nothing is carried out in a job of no tokens."""
    if i["condition"] == Condition.TOKEN_PRESENT:
        return i["first"] < now["tokens"]
    return now["tokens"] > 0 and (i["condition"] == Condition.ALWAYS or now["last"] == 1)


class Board:
    """The permits for the unit: given at random, taken by the queue, never more than are there."""

    def __init__(self, seed: int, chance: float) -> None:
        self.permits = dict.fromkeys(UNITS, 0)
        self.takes: list[int] = []
        self.gives: list[int] = []
        self.completed = 0
        self._rng, self._chance = random.Random(seed), chance

    def __call__(self, cycle: Cycle) -> None:
        take = cycle["take"]
        assert not take & ~self.mask, "a permit is taken that is not there"
        if take:
            self.takes.append(take)
        if cycle["give"]:
            self.gives.append(cycle["give"])
        self.completed += cycle["completed"]
        for unit in UNITS:
            self.permits[unit] += (self._rng.random() < self._chance) - (take >> unit & 1)
        cycle.set("available", self.mask)

    @property
    def mask(self) -> int:
        return sum(1 << unit for unit in UNITS if self.permits[unit] > 0)


def words(fields: list[dict[str, int]]) -> list[dict[str, int]]:
    return [{"instruction": instruction("load", offset=n, **f), "index": 3 * n} for n, f in enumerate(fields)]


def check(kind: str, now: dict[str, int], pauses: dict[str, float], chance: float, **held: object) -> Board:
    fields, board = program(seed=7), Board(seed=1, chance=chance)
    given = words(fields)
    presented = [w["instruction"] for w, f in zip(given, fields, strict=True) if kind == "skips" or holds(f, now)]
    skips = [int(not holds(f, now)) for f in fields]
    found: list[int] = []

    def indices(cycle: Cycle) -> None:
        if cycle.taken("instruction") is not None:
            assert cycle["index"] == 3 * (cycle.taken("instruction") >> 32 & 0xFFFFFFFF)
            found.append(cycle["skip"])

    bench = PartBench(
        PARTS[kind],
        {"i": given},
        held={"chunk": now, **held},
        pauses=pauses,
        partners=[board, indices],
        until=lambda: board.completed == len(fields),
    )
    bench.check(lambda _: {"instruction": presented})
    assert board.takes == [f["wait"] for f in fields if f["wait"]]
    gives = {
        "plain": [f["signal"] for f in fields],  # what is skipped gives its permits, too
        "overlaps": [f["signal"] for f in fields if not holds(f, now)],
        "skips": [],
    }[kind]
    assert board.gives == [mask for mask in gives if mask]
    assert board.completed == len(fields)
    assert found == (skips if kind == "skips" else [0] * len(presented))
    return board


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("now", CHUNKS)
@pytest.mark.parametrize("kind", KINDS)
def test_instructions_wait_for_their_permits_and_conditions(kind: str, now: str, pause: float) -> None:
    idle: Callable[[int], int] = lambda cycle: int(cycle % 7 > 3)  # noqa: E731
    check(kind, CHUNKS[now], {"i": pause, "instruction": pause}, chance=0.3, unit_idle=idle)


def test_an_instruction_without_its_permit_is_not_presented() -> None:
    bench = PartBench(
        PARTS["plain"], {"i": words([{"wait": 2}, {}])}, held={"chunk": CHUNKS["last"]}, watch=["waiting"]
    )
    run = bench.check(lambda _: {"idle": [1] + [0] * 40})
    assert run.traces["waiting"][10:] == [1] * len(run.traces["waiting"][10:])


def test_one_follows_the_other_without_a_gap() -> None:
    given = words([{}] * DEPTH)
    bench = PartBench(PARTS["plain"], {"i": given}, held={"chunk": CHUNKS["last"]})
    cycles = bench.check(lambda _: {"instruction": [w["instruction"] for w in given]}).cycles["instruction"]
    assert cycles == list(range(cycles[0], cycles[0] + DEPTH))


def test_the_queue_holds_as_many_as_it_says_and_the_one_presented() -> None:
    bench = PartBench(PARTS["plain"], {"i": words([{"wait": 2}] * (DEPTH + 1))}, held={"chunk": CHUNKS["last"]})
    bench.check(lambda _: {})
    one_more = PartBench(
        PARTS["plain"], {"i": words([{"wait": 2}] * (DEPTH + 2))}, held={"chunk": CHUNKS["last"]}, limit=100
    )
    with pytest.raises(AssertionError, match=r"still waits: i \(17 of 18 given\)"):
        one_more.check(lambda _: {})
