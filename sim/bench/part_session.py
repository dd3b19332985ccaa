"""Cycle by cycle: what goes into a part and what comes out, for any simulator."""

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

PATIENT = "patient"
Pause = float | str | Sequence[int]
"""Pauses of a stream: the chance of one in a cycle, or bits that are repeated for ever, 1 for a pause. PATIENT is for
outputs: `ready` comes only when there is a word, which finds a part that waits for `ready` before it offers one."""


class Mismatch(AssertionError):
    """A part does not do what it should."""


class TimedOut(Mismatch):
    """A part waits for ever."""


def pause_bits(pause: Pause, seed: int, name: str) -> Iterator[bool]:
    """Pauses of the stream `name`, cycle by cycle: True in a cycle in which it pauses."""
    if pause == PATIENT:
        return itertools.repeat(False)
    if isinstance(pause, float | int):
        if not 0 <= pause < 1:
            raise ValueError(f"{name}: the chance of a pause must be from 0 up to below 1, not {pause!r}")
        rng = random.Random(f"{seed}/{name}")
        return (rng.random() < pause for _ in itertools.count()) if pause else itertools.repeat(False)
    bits = [bool(bit) for bit in pause]
    if all(bits):
        raise ValueError(f"{name}: a stream must not pause for ever")
    return itertools.cycle(bits)


@dataclass
class Feed:
    """An input stream: offers one word after the other; an offered word stays until it is taken."""

    name: str
    words: deque[int]
    pauses: Iterator[bool]
    offered: bool = False
    given: int = 0

    def offer(self) -> tuple[int, int | None]:
        """(valid, payload) of this cycle, None if it does not matter."""
        pause = next(self.pauses)
        self.offered = self.offered or (bool(self.words) and not pause)
        return int(self.offered), self.words[0] if self.offered else None

    def edge(self, ready: int) -> int | None:
        """The word that is taken at the end of the cycle, if one is."""
        if not (self.offered and ready):
            return None
        self.offered = False
        self.given += 1
        return self.words.popleft()


@dataclass
class Drain:
    """An output stream: takes words when it does not pause, and holds the part to the rules of streams."""

    name: str
    pauses: Iterator[bool]
    wanted: int | None
    patient: bool = False
    ready: bool = False
    pending: int | None = None
    words: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    def invite(self) -> int:
        self.ready = not next(self.pauses) and (not self.patient or self.pending is not None)
        return int(self.ready)

    def edge(self, cycle: int, valid: int, word: int) -> int | None:
        """The word that is taken at the end of the cycle, if one is."""
        if self.pending is not None and not valid:
            raise Mismatch(f"{self.name}[{len(self.words)}]: withdrawn in cycle {cycle} before it was taken")
        if self.pending is not None and word != self.pending:
            raise Mismatch(
                f"{self.name}[{len(self.words)}]: changed in cycle {cycle} before it was taken, "
                f"from {self.pending:#x} to {word:#x}"
            )
        self.pending = word if valid and not self.ready else None
        if not (valid and self.ready):
            return None
        self.words.append(word)
        self.cycles.append(cycle)
        return word


class Session:
    """The streams of a part, from the first cycle to the end of its idle tail.

    Parameters
    ----------
    feeds : words of each input stream.
    wanted : number of words that each output stream is to give, None for any number. The session ends when they are
        there, all input is taken, and then `tail` cycles have brought nothing more.
    pauses, seed : see `pause_bits`.
    held : values of plain inputs by cycle; the last one holds.
    limit : cycles up to the tail.
    least : cycles at least, for those who watch plain outputs.
    optional : input streams whose words need not be taken.
    until : condition that must hold before the tail as well.
    """

    def __init__(
        self,
        feeds: Mapping[str, Iterable[int]],
        wanted: Mapping[str, int | None],
        pauses: Mapping[str, Pause],
        held: Mapping[str, Sequence[int]],
        *,
        seed: int,
        limit: int,
        tail: int,
        least: int = 0,
        optional: Sequence[str] = (),
        until: Callable[[], bool] | None = None,
    ) -> None:
        def bits(name: str) -> Iterator[bool]:
            return pause_bits(pauses.get(name, 0.0), seed, name)

        self.feeds = {name: Feed(name, deque(words), bits(name)) for name, words in feeds.items()}
        self.drains = {
            name: Drain(name, bits(name), count, pauses.get(name) == PATIENT) for name, count in wanted.items()
        }
        self.held = held
        self.cycle = 0
        self.over = False
        self.taken: dict[str, int | None] = {}
        self._limit, self._tail, self._least = limit, tail, least
        self._optional, self._until = optional, until
        self._quiet_since: int | None = None

    def drive(self) -> Iterator[tuple[str, str, int]]:
        """(stream or port, member or "", value) of each input that is set in this cycle."""
        for name, feed in self.feeds.items():
            valid, payload = feed.offer()
            yield name, "valid", valid
            if payload is not None:
                yield name, "payload", payload
        for name, drain in self.drains.items():
            yield name, "ready", drain.invite()
        for name, values in self.held.items():
            yield name, "", values[min(self.cycle, len(values) - 1)]

    def edge(self, ready: Mapping[str, int], offered: Mapping[str, tuple[int, int]]) -> None:
        """The end of a cycle, with the `ready` of input streams, and (valid, payload) of output streams, before it."""
        self.taken = {name: feed.edge(ready[name]) for name, feed in self.feeds.items()}
        for name, drain in self.drains.items():
            self.taken[name] = drain.edge(self.cycle, *offered[name])
            if drain.wanted is not None and len(drain.words) > drain.wanted:
                raise Mismatch(f"{name}[{drain.wanted}]: nothing more should come, found {drain.words[-1]:#x}")
        self.cycle += 1

    def close(self) -> None:
        """End a cycle, after the edge and after partners have put their words: find out if the session is over."""
        waits = self.waits()
        if waits:
            self._quiet_since = None
            if self.cycle >= self._limit:
                raise TimedOut(f"after {self.cycle} cycles still waits: {'; '.join(waits)}")
        elif self._quiet_since is None:
            self._quiet_since = self.cycle
        self.over = not waits and self.cycle - self._quiet_since >= self._tail and self.cycle >= self._least

    def waits(self) -> list[str]:
        """Inputs not given, outputs that did not come, and `until` if it does not hold."""
        left = (f for f in self.feeds.values() if f.words and f.name not in self._optional)
        inputs = (f"{f.name} ({f.given} of {f.given + len(f.words)} given)" for f in left)
        missing = (d for d in self.drains.values() if d.wanted is not None and len(d.words) < d.wanted)
        outputs = (f"{d.name} ({len(d.words)} of {d.wanted} came)" for d in missing)
        return [*inputs, *outputs, *(["`until`"] if self._until and not self._until() else [])]
