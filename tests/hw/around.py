"""What stands around a part in a core, for PartBench: memory behind its masters, and instructions for its units."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from einloom.hw.part import Part
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.instruction import Instruction

PAUSES = {"full-rate": 0.0, "paused": 0.5}


def instruction(name: str, **fields: int) -> int:
    """An encoded instruction."""
    return int.from_bytes(Instruction.make(name, **fields).encode(), "little")


def chunk(position: int = 0, tokens: int = 1, last: int = 1, place: int = 0) -> dict[str, int]:
    """The tokens at work."""
    return {"position": position, "tokens": tokens, "last": last, "place": place}


def table_rows(row: int = 0, tokens: int = 1, last: int = 1) -> dict[str, int]:
    """Rows of the table of tokens."""
    return {"row": row, "tokens": tokens, "last": last}


def following(stream: str, **held: Sequence[Any]) -> Callable[[Cycle], None]:
    """Plain inputs that change with each word of `stream` that is taken: value n belongs to word n."""
    count = 0

    def partner(cycle: Cycle) -> None:
        nonlocal count
        if cycle.number == 0:
            count = 0
        if cycle.taken(stream) is not None:
            count += 1
            for name, values in held.items():
                if count < len(values):
                    cycle.set(name, values[count])

    return partner


class Memory:
    """Bytes, all of them different ones before they are written."""

    def __init__(self, seed: int = 1) -> None:
        self.written: dict[int, int] = {}
        self._seed = seed

    def byte(self, address: int) -> int:
        """The byte at an address."""
        return self.written.get(address, (address * 0x9E3779B1 + self._seed * 0x85EBCA6B >> 13) & 0xFF)

    def word(self, address: int, size: int) -> int:
        """`size` bytes from an address on, the first lowest."""
        return sum(self.byte(address + n) << 8 * n for n in range(size))

    def put(self, address: int, size: int, word: int) -> None:
        """Set `size` bytes."""
        self.written |= {address + n: word >> 8 * n & 0xFF for n in range(size)}


def reader(memory: Memory, beat_bytes: int, request: str = "request", beats: str = "beats") -> Callable[[Cycle], None]:
    """A read master and its memory: answers each request with its beats."""

    def partner(cycle: Cycle) -> None:
        asked = cycle.taken(request)
        if asked is not None:
            for n in range(asked["beats"]):
                word = memory.word(asked["offset"] + n * beat_bytes, beat_bytes)
                cycle.put(beats, {"data": word, "last": n + 1 == asked["beats"]})

    return partner


class Writer:
    """A write master and its memory: takes the beats of one request after the other, and answers a few cycles later."""

    def __init__(
        self, beat_bytes: int, prefix: str = "", latency: int = 3, memory: dict[int, int] | None = None
    ) -> None:
        self.memory: dict[int, int] = {} if memory is None else memory
        self.answers = 0
        self._beat_bytes, self._latency = beat_bytes, latency
        self._request, self._beats, self._answered = f"{prefix}request", f"{prefix}beats", f"{prefix}answered"
        self._spans: list[list[int]] = []
        self._due: list[int] = []

    def __call__(self, cycle: Cycle) -> None:
        asked, beat = cycle.taken(self._request), cycle.taken(self._beats)
        if asked is not None:
            self._spans.append([asked["offset"], asked["beats"]])
        if beat is not None:
            assert self._spans, "a beat before its request"
            span = self._spans[0]
            for n in range(self._beat_bytes):
                if beat["strobe"] >> n & 1:
                    self.memory[span[0] + n] = beat["data"] >> 8 * n & 0xFF
            span[0] += self._beat_bytes
            span[1] -= 1
            if not span[1]:
                self._spans.pop(0)
                self._due.append(cycle.number + self._latency)
        answer = bool(self._due) and cycle.number >= self._due[0]
        if answer:
            self._due.pop(0)
            self.answers += 1
        cycle.set(self._answered, int(answer))


class Events:
    """Counts the cycles in which plain outputs of one bit are set."""

    def __init__(self, *names: str) -> None:
        self.cycles: dict[str, list[int]] = {name: [] for name in names}

    def __call__(self, cycle: Cycle) -> None:
        for name, cycles in self.cycles.items():
            if cycle[name]:
                cycles.append(cycle.number)


def now_and_then(chance: float, seed: int = 1) -> Callable[[int], int]:
    """A bit that is set with this chance in each cycle."""
    return lambda cycle: int(random.Random(f"{seed}/{cycle}").random() < chance)


def check_pipeline(
    part: Part,
    output: str,
    latency: int,
    expected: Sequence[Any],
    *,
    late: Mapping[str, tuple[int, Sequence[Any]]] | None = None,
    **inputs: Sequence[Any],
) -> None:
    """Operands of a part without back-pressure, one in each cycle, and its results `latency` cycles later.

    `late` are inputs that come so many cycles behind the operands; `None` in `expected` is any result.
    """
    held: dict[str, Any] = {name: list(values) for name, values in inputs.items()}
    held |= {name: [0] * cycles + list(values) for name, (cycles, values) in (late or {}).items()}
    PartBench(part, held=held, tail=0).check(lambda _: {output: [None] * latency + list(expected)})
