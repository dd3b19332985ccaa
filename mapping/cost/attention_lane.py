"""When an attention lane takes its keys and values, and when its outputs are there."""

from collections import deque
from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.events import Events, Process, Signal, Steps
from einloom.mapping.cost.latencies import (
    DRAIN_CYCLES,
    ENGINE_START,
    GEARBOX_LATENCY,
    OUTPUT_LATENCY,
    SHORT_QUEUE,
    SPECIAL_STEPS,
    TILE_FIRST,
    TILE_JOBS,
    VALUE_QUEUE,
)
from einloom.mapping.cost.memory_port import Reader
from einloom.spec.cache_format import CacheFormat
from einloom.spec.manifest import AttentionManifest


@dataclass
class AttentionWork:
    """An `attend` on a lane: the tiles that it visits, and what becomes of it.

    Attributes
    ----------
    query_head, value_head : elements.
    keys, values : first beat and beats of each tile.
    queries : columns whose outputs leave by one port, on all lanes at work.
    taken : the cycle in which engine and reader take it.
    steps : cycles of the engine's steps, and of the divisions of its outputs.
    starved : cycles in which the engine waits for its keys or values.
    running, done : the cycles from which the engine works on it, and in which its last word is written, when known.
    """

    query_head: int
    value_head: int
    keys: list[tuple[int, int]]
    values: list[tuple[int, int]]
    queries: int
    taken: int
    steps: int = 0
    starved: int = 0
    running: int | None = None
    done: int | None = None

    @property
    def tiles(self) -> int:
        return len(self.keys)

    def order(self) -> list[tuple[bool, int]]:
        """Tiles in memory's order, as (is one of values, number): values follow their keys by one tile."""
        listed = [(False, 0)]
        for tile in range(1, self.tiles):
            listed += [(False, tile), (True, tile - 1)]
        return [*listed, (True, self.tiles - 1)]


class AttentionLane:
    """A TileReader, an AttentionEngine and OutputWords, from jobs to their last words.

    An epoch of the engine is a tile long: the scores of its keys, then the values of the tile before and its own
    exponentials (mapping/cost/fusemax.py). Here keys and values come when memory brings them.

    Attributes
    ----------
    progress : raised when a job is requested as a whole, runs, or is done.
    """

    def __init__(
        self,
        events: Events,
        reader: Reader,
        attention: AttentionManifest,
        cache: CacheFormat,
        lanes: int,
        *,
        free: bool = False,
    ) -> None:
        """`lanes` are the vector unit's. With `free` only memory takes time."""
        self._free = free
        self._reader, self._attention, self._cache = reader, attention, cache
        self.lanes = lanes
        self._work: deque[AttentionWork] = deque()
        self._offered = Signal(events)
        self.progress = Signal(events)
        self._to_request: deque[AttentionWork] = deque()
        self._requests = 0  # jobs that are requested as a whole
        self._requested_at = 0
        self._delivered: list[int] = []  # the cycles in which jobs' last values are taken
        self._delivery: float = 0  # the cycle by which the present element is delivered
        self._first: float = 0  # ... the present tile's first one
        self._values: tuple[float, float] = (0, 0)  # ... the first and the last one of the last tile of values
        self._queue = VALUE_QUEUE if attention.max_head > SHORT_QUEUE else 1
        self._used, self._burst = 0, 0
        self._divided = 0  # the cycle in which the dividers are free again
        self._written = 0  # ... and OutputWords
        events.start(self._request())
        events.start(self._engine())

    def offer(self, work: AttentionWork) -> None:
        """Engine and reader take a job."""
        self._work.append(work)
        self._to_request.append(work)
        self._offered.raise_now()

    def _request(self) -> Process:
        """Ask for the tiles of one job after the other."""
        while True:
            while not self._to_request:
                yield self._offered
            work = self._to_request.popleft()
            cycle = work.taken + TILE_FIRST
            for is_values, tile in work.order():
                offset, beats = (work.values if is_values else work.keys)[tile]
                while (accepted := self._reader.ready(cycle)) is None:
                    yield self._reader.accepted
                self._reader.request(accepted, offset, beats)
                cycle = accepted + 1
            self._requested_at = cycle
            self._requests += 1
            self.progress.raise_now()

    def free(self, jobs: int, before: AttentionWork | None) -> int | None:
        """The cycle from which on job number `jobs` can be taken, behind the job `before`; None if it isn't known."""
        if before is None:
            return 0
        if self._requests < jobs or before.running is None or len(self._delivered) < jobs - TILE_JOBS:
            return None
        queued = self._delivered[jobs - TILE_JOBS - 1] if jobs > TILE_JOBS else 0
        return max(self._requested_at, before.running, queued)

    def _deliver(self, beats: int, elements: int, start: float) -> Process:
        """Bring a tile's elements to the engine, from `start` on: `_delivery` is then the cycle of the last one."""
        end = self._used + beats
        # A beat a cycle, even if more are there.
        pace = 0.0 if self._free else max(1.0, (elements + self._cache.header_bytes) / beats)
        cycle = max(self._delivery, start)
        self._first = cycle
        self._reader.take(self._used, cycle)
        while self._used < end:
            while self._burst >= len(self._reader.bursts):
                yield self._reader.arrived
            until, first, last = self._reader.bursts[self._burst]
            spent = (until - self._used) * pace
            if until - self._used == until - end + beats:
                self._first = max(cycle, first + GEARBOX_LATENCY)
            cycle = max(cycle + spent, first + GEARBOX_LATENCY + spent, last + GEARBOX_LATENCY + min(1.0, pace))
            self._used = until
            self._reader.take(until, cycle)
            self._burst += 1
        self._delivery = cycle

    def _engine(self) -> Process:
        time = 0  # start of an epoch
        back: tuple[AttentionWork, int] | None = None
        while True:
            if back is None:
                while not self._work:
                    yield self._offered
            elif not self._work:
                yield time  # a job that is known by now is taken without a gap
            known = bool(self._work) and (back is None or self._work[0].taken + ENGINE_START - 1 <= time)
            if not known and back is not None:
                time = yield from self._epoch(time, None, 0, back)
                back = None
                continue
            work = self._work.popleft()
            time = max(time, work.taken + ENGINE_START)
            work.running = time
            self.progress.raise_now()
            for tile in range(work.tiles):
                time = yield from self._epoch(time, work, tile, back)
                back = work, tile

    def _epoch(
        self, time: int, front: AttentionWork | None, tile: int, back: tuple[AttentionWork, int] | None
    ) -> Steps:
        """An epoch from `time` on, of the scores of a tile and the values of the tile before; returns its end."""
        specials, exponentials, at = 0, 0, time + (0 if self._free else DRAIN_CYCLES)
        last = back is not None and back[1] == back[0].tiles - 1
        if back is not None and last:  # its values come before the next job's keys
            yield from self._deliver_values(back)
        if front is not None:
            yield from self._deliver(front.keys[tile][1], front.query_head, time)
            scored = time + (0 if self._free else front.query_head)
            at = max(scored, ceil(self._delivery))
            front.steps += scored - time
            front.starved += at - scored
            if not self._free:
                specials = SPECIAL_STEPS - 1 + self._attention.exp_steps
                exponentials = self._attention.exp_end
        if back is None:
            return at + exponentials
        if not last:
            yield from self._deliver_values(back)
        before = back[0]
        start = max(at, self._divided) if last else at
        # The first step needs no value; a value goes through its queue.
        late = max(0, ceil(self._values[0]) + self._queue - start - 1)
        whole = start + (0 if self._free else before.value_head + 1 + specials)
        end = max(whole + late, ceil(self._values[1]) + self._queue)
        before.steps += whole - start
        before.starved += end - whole
        if last:
            self._finish(before, end)
        return max(end, start + exponentials)

    def _deliver_values(self, back: tuple[AttentionWork, int]) -> Process:
        """Bring the values of a tile to their queue."""
        work, tile = back
        yield from self._deliver(work.values[tile][1], work.value_head, 0)
        self._values = self._first, self._delivery

    def _finish(self, work: AttentionWork, end: int) -> None:
        """Divide a job's states, and send its outputs, whose last VALUE step is taken in the cycle before `end`."""
        each, lanes = 0 if self._free else self._attention.division_cycles, self.lanes
        words, leave = work.value_head // lanes, work.queries
        work.steps += words * lanes * each
        divided = max(end, self._written) + self._attention.row_cycles
        for word in range(words):
            # The first division of a further word runs while the one before leaves.
            divided += lanes * each if word == 0 else (lanes - 1) * each + max(each, leave + 1)
        self._divided = divided
        self._written = divided - 1 + OUTPUT_LATENCY + leave - 1
        work.done = self._written
        self._delivered.append(end)
        self.progress.raise_now()
