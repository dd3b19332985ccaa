"""The schedule with which a model takes fewest cycles on a design, by the cost model's event simulation."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from einloom.mapping.cost.trial import Trial
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming

VALUES: Mapping[str, tuple[Any, ...]] = {
    "queries_first": (False, True),
    "query_words": (2, 4, 8, 16, 32, 64),
    "piece_maxima": (False, True),
    "most_pieces": (1, 2, 4, 8, 16),
    "piece_words": (8, 16, 32, 64),
    "ahead": (4, 8, 12),
}
"""What is tried of each choice, in the order in which they are looked at."""
WORTH = 0.0002
"""Share of the cycles that a change must save, so that chance doesn't make schedules odd."""
ROUNDS = 3
"""Most times that all choices are looked at."""


class ScheduleGoal(StrEnum):
    """What a schedule is to be fast at."""

    decode = "decode"
    """A token at the end of the context."""
    prefill = "prefill"
    """A chunk as large as the array takes, at the end of the context."""


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    cycles : that the cost model predicts for the goal.
    standard_cycles : likewise, with the standard schedule.
    tried : schedules that were simulated; those for which the design's memories are too small are not counted.
    """

    schedule: Schedule
    goal: ScheduleGoal
    cycles: int
    standard_cycles: int
    tried: int

    @property
    def saved(self) -> float:
        """Share of the standard schedule's cycles."""
        return 1 - self.cycles / self.standard_cycles

    @property
    def changes(self) -> dict[str, Any]:
        """Choices that differ from the standard's."""
        ours = {f.name: getattr(self.schedule, f.name) for f in fields(Schedule)}
        return {name: value for name, value in ours.items() if value != getattr(STANDARD, name)}

    @property
    def changed(self) -> str:
        """These choices in words."""
        said = (f"{name} {str(value).lower()}" for name, value in self.changes.items())
        return ", ".join(said).replace("_", " ") or "the standard one"

    @property
    def summary(self) -> str:
        """What won and by how much, in a sentence."""
        return (
            f"schedule for {self.goal}: {self.changed}; {self.cycles:,} cycles predicted instead of "
            f"{self.standard_cycles:,} ({self.saved:.2%} fewer), of {self.tried} schedules"
        )


def search(
    graph: DecoderGraph, manifest: Manifest, format: Format, context: int, goal: ScheduleGoal, timing: MemoryTiming
) -> Found:
    """The best schedule for a goal: one choice after the other is set to its best value, until none helps any more.

    Where `graph` has layers that are alike, a few of them are simulated. The search is deterministic. InputError when
    the model doesn't fit the design with the standard schedule.
    """
    cycles: dict[Schedule, int | None] = {}

    def of(schedule: Schedule) -> int | None:
        if schedule not in cycles:
            trial = Trial(graph, manifest, format, context, timing, schedule)
            try:
                cycles[schedule] = _cycles(trial, goal)
            except InputError:
                if schedule == STANDARD:
                    raise
                cycles[schedule] = None  # the design's memories are too small for it
        return cycles[schedule]

    best, least = STANDARD, of(STANDARD)
    assert least is not None
    standard = least
    for _ in range(ROUNDS):
        before = best
        for name, values in VALUES.items():
            for value in values:
                schedule = replace(best, **{name: value})
                found = of(schedule)
                if found is not None and found < least * (1 - WORTH):
                    best, least = schedule, found
        if best == before:
            break
    return Found(best, goal, least, standard, sum(found is not None for found in cycles.values()))


def _cycles(trial: Trial, goal: ScheduleGoal) -> int:
    tokens = min(trial.manifest.gemm.rows, trial.context) if goal is ScheduleGoal.prefill else 1
    return trial.cycles(trial.context - tokens, tokens)
