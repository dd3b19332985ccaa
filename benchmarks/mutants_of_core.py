"""Faults in a small core, each against texts and programs that the tests of a core run.

A fault is caught when a logit, a byte of memory, an error, its place or a counter is not what it must be.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.mutations import Mutant, Mutants, Outcome
from einloom.spec.errors import EinloomError
from einloom.spec.isa import CoreError
from einloom.spec.memory_timing import MemoryTiming
from tests import test_core_counters as counters
from tests.core_bed import Bed, Shape, random_program, random_tokens, small_program
from tests.test_core import TIMINGS
from tests.test_core_containment import run_both

SHAPE = Shape(layers=2, context=320, groups=2)
WATCHDOG = 1 << 13
LIMIT = 1 << 19
"""Cycles of a job that hangs although it has a watchdog."""
FEW_TIMINGS = ("at once", "a beat in eight cycles", "stalls and any order")
"""Of the six of tests/test_core.py, which also has longer texts: a fault counts as missed that those would find."""
FAILURES = (EinloomError, AssertionError, RuntimeError, OSError)
Check = Callable[[Bed], object]


def text(length: int, decoded: int, timing: MemoryTiming) -> Check:
    """A prompt, some tokens, and all memory."""

    def check(bed: Bed) -> None:
        rng = np.random.default_rng(length)
        bed.check_text(random_tokens(rng, SHAPE, length), random_tokens(rng, SHAPE, decoded), timing)

    return check


def stopped(lines: Sequence[str], error: CoreError, index: int, **settings: int) -> Check:
    """A program that is stopped at an instruction."""

    def check(bed: Bed) -> None:
        bed.core.timing = MemoryTiming()
        result, _ = run_both(bed, small_program(bed, [*lines, "end"]), **settings)
        assert (result.error, result.index) == (error, index)

    return check


def counted(lines: Sequence[str], first: str, unit: str, others: set[str]) -> Check:
    """A program of which the counters are known."""
    return lambda bed: counters.check(bed, counters.run(bed, list(lines)).counters, first, unit, set(others))


DEFAULT: Mapping[str, Check] = {
    **{
        f"counters, {unit} behind a load": counted(
            [f"load words=1 signal={unit}", *lines], "load", unit, counters.OTHERS.get(unit, set())
        )
        for unit, lines in counters.BEHIND_A_LOAD.items()
    },
    "counters, load behind a store": counted(
        [f"store offset={counters.FREE} words=1 signal=load", "load words=1 wait=store"],
        "store",
        "load",
        {"system_write_beats"},
    ),
    "counters of attention": counters.test_what_attention_waits_for_is_counted_by_its_cause,
    "counters of weights": counters.test_beats_of_weights_are_counted_for_each_channel_and_hunger_for_them_as_such,
    "a permit that never comes": stopped(["load words=1", "vector op=mad wait=store"], CoreError.WATCHDOG, 1),
    "a load outside the window": stopped(["load words=1", f"load words=1 offset={1 << 31}"], CoreError.WINDOW, 1),
    "an abort": stopped(["load words=1", "vector op=mad wait=store"], CoreError.ABORTED, 1, abort_at=300),
    "2 tokens": text(2, 0, MemoryTiming()),  # finds most of what texts find, in a quarter of the time
    **{f"11 tokens and 2, {name}": text(11, 2, TIMINGS[name]) for name in FEW_TIMINGS},
    "25 tokens and 2": text(25, 2, MemoryTiming()),
}
LONGER: Mapping[str, Check] = {
    **{
        f"{length} tokens and 3, seed {seed}": text(
            length, 3, MemoryTiming(latency=40 * seed % 130 + 1, seed=seed, stall=60 * (seed % 3), interleave=seed % 2)
        )
        for seed, length in enumerate((5, 30), 21)
    }
}


def judge_core(planted: Mutants, mutants: Sequence[Mutant], *, longer: bool = False) -> dict[int, Outcome]:
    """The outcome of each of `mutants`, by its number, in the checks of a core or in longer ones."""
    session = _Session(planted, LONGER if longer else DEFAULT)
    try:
        found = {}
        for mutant in mutants:
            found[mutant.number] = outcome = session.judge(mutant.number, stop_early=longer)
            print(f"{len(found)} of {len(mutants)}: {mutant}: {outcome}", file=sys.stderr, flush=True)
        return found
    finally:
        session.close()


class _Session:
    """A simulated core with faults, and the signatures of its ports behind each check when none is active."""

    def __init__(self, planted: Mutants, checks: Mapping[str, Check]) -> None:
        self._planted, self._checks = planted, checks
        self._program = random_program(planted.design.manifest, SHAPE)
        self._bed = self._open()
        self._reference = self._signatures()
        assert len(self._reference) == len(checks)

    def _open(self) -> Bed:
        return Bed(self._planted.design, self._program, watchdog=WATCHDOG, limit=LIMIT)

    def _signatures(self) -> list[int]:
        """Of the core without a fault; CheckFailed when it is not what it must be."""
        self._reset(0)
        found = []
        for check in self._checks.values():
            check(self._bed)
            found.append(self._bed.core.signature)
        return found

    def _reset(self, mutant: int) -> None:
        """Load all memories, reset, and let the fault be active."""
        self._bed.core.mutant = 0
        self._bed.core.reset()
        self._bed.core.prepare()
        self._bed.core.mutant = mutant
        self._bed.core.reset()

    def judge(self, mutant: int, *, stop_early: bool) -> Outcome:
        shown, failed = None, "the reset"
        try:
            self._reset(mutant)
            for (name, check), signature in zip(self._checks.items(), self._reference, strict=True):
                failed = name
                check(self._bed)
                if self._bed.core.signature != signature and shown is None:
                    shown = f"other ports in {name}"
                    if stop_early:
                        return Outcome(None, shown)
        except FAILURES:
            self._recover()
            return Outcome(failed, f"another result in {failed}")
        return Outcome(None, shown)

    def _recover(self) -> None:
        """Go on with a core without a fault that does what it did at first: a new one if the present one doesn't.

        A job that hung leaves words behind, which the first job after it may show where they mean nothing.
        """
        check = next(iter(self._checks.values()))
        try:
            for _ in range(2):
                self._reset(0)
                check(self._bed)
            healthy = self._bed.core.signature == self._reference[0]
        except FAILURES:
            healthy = False
        if not healthy:
            with contextlib.suppress(*FAILURES):
                self._bed.close()
            self._bed = self._open()

    def close(self) -> None:
        self._bed.close()
