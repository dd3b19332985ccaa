"""Three words read and one written in every cycle, and who waits."""

import random

import pytest

from einloom.hw.core.vector_memory import PAUSE_CYCLES, READ_LATENCY, WRITERS, VectorMemory
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES

WORDS, LANES = 16, 2
PARTS = {parity: VectorMemory(WORDS, LANES, parity) for parity in (False, True)}
READS = ("a", "b", "c")


class Model:
    """The memory as its docstring says; drives reads and the vector unit's writes at random, and checks each cycle."""

    def __init__(self, seed: int, writes: float) -> None:
        self.memory = dict.fromkeys(range(WORDS), 0)
        self.waited = dict.fromkeys(WRITERS, 0)
        self._rng, self._writes = random.Random(seed), writes
        self._due: list[dict[str, int]] = [{} for _ in range(READ_LATENCY)]

    def __call__(self, cycle: Cycle) -> None:
        for name, word in self._due.pop(0).items():
            assert cycle[f"{name}_data"] == word, f"{name} in cycle {cycle.number}"
        # What is written in the cycle of a word's address, or later, is not seen.
        store = cycle["store_read"] and not cycle["c_read"]
        assert cycle["store_granted"] == store
        reads = {name: self.memory[cycle[f"{name}_address"]] for name in READS if cycle[f"{name}_read"]}
        self._due.append(reads | ({"store": self.memory[cycle["store_address"]]} if store else {}))
        self._write(cycle)
        for name in (*READS, "store"):
            cycle.set(f"{name}_read", self._rng.getrandbits(1))
            cycle.set(f"{name}_address", self._rng.randrange(WORDS))
        cycle.set("vector_write", int(self._rng.random() < self._writes))
        word = {"address": self._rng.randrange(WORDS), "data": self._rng.getrandbits(LANES * 32)}
        cycle.set("vector_word", word)

    def _write(self, cycle: Cycle) -> None:
        """The vector unit's result, else a word of attention, of a load, of sums: in that order."""
        offered = [name for name in ("attention", "load", "gemm") if cycle.valid(name)]
        taken = {name: cycle.taken(name) for name in WRITERS if cycle.taken(name) is not None}
        if cycle["vector_write"]:
            assert not taken
            word = cycle["vector_word"]
        else:
            assert list(taken) == offered[:1]
            word = taken[offered[0]] if offered else None
        if word:
            self.memory[word["address"]] = word["data"]


def words(seed: int, count: int = 60) -> list[dict[str, int]]:
    rng = random.Random(seed)
    return [{"address": rng.randrange(WORDS), "data": rng.getrandbits(LANES * 32)} for _ in range(count)]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("parity", PARTS)
def test_words_are_written_by_priority_and_read_two_cycles_later(parity: bool, pause: float) -> None:
    bench = PartBench(
        PARTS[parity],
        {name: words(n) for n, name in enumerate(WRITERS)},
        pauses=dict.fromkeys(WRITERS, pause),
        partners=[Model(seed=3, writes=0.5)],
        tail=100,
    )
    bench.check(lambda _: {"corrupt": [0] * 300, "store_corrupt": [0] * 300} if parity else {})


def test_who_waits_for_a_busy_vector_unit_gets_one_cycle_in_four() -> None:
    """A vector unit that writes in every cycle but those in which it was asked, a cycle before, to pause."""
    writes = []

    def busy(cycle: Cycle) -> None:
        writes.append(cycle["vector_write"])
        cycle.set("vector_write", 1 - cycle["crowded"])

    bench = PartBench(PARTS[False], {"gemm": words(1, 20)}, held={"vector_write": 1}, partners=[busy])
    bench.check(lambda _: {})
    last = max(n for n, write in enumerate(writes) if not write)
    assert last <= PAUSE_CYCLES * 22
    assert writes[last + 1 :] == [1] * len(writes[last + 1 :])


def test_the_store_gets_a_turn_beside_a_vector_unit_that_reads_three_words_a_cycle() -> None:
    granted = []

    def busy(cycle: Cycle) -> None:
        granted.append(cycle["store_granted"])
        cycle.set("c_read", 1 - cycle["crowded"])

    PartBench(PARTS[False], held={"store_read": 1}, partners=[busy], cycles=80).check(lambda _: {})
    assert sum(granted[10:80]) >= 70 // PAUSE_CYCLES - 1


def test_a_scrubbed_word_is_zero_and_has_parity() -> None:
    seen: list[tuple[int, int]] = []

    def look(cycle: Cycle) -> None:
        seen.append((cycle["a_data"], cycle["corrupt"]))

    bench = PartBench(
        PARTS[True],
        held={
            "vector_write": [1, 0],
            "vector_word": {"address": 5, "data": 0xF00D},
            "scrub": [0, 1, 0],
            "scrub_address": 5,
            "a_read": [0, 1, 1, 0],
            "a_address": 5,
        },
        partners=[look],
        cycles=12,
    )
    bench.check(lambda _: {})
    assert seen[1 + READ_LATENCY][0] == 0xF00D
    assert seen[2 + READ_LATENCY][0] == 0
    assert [corrupt for _, corrupt in seen] == [0] * len(seen)
