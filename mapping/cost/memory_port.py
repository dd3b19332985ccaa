"""A memory port: what is behind it in simulation, and the read masters that share it."""

from collections import deque
from collections.abc import Iterable, Iterator
from math import ceil, floor

from einloom.mapping.cost.events import Events, Process, Signal
from einloom.mapping.cost.latencies import (
    BURST_BYTES,
    CROSSING,
    MAX_BURST,
    MUX_LATENCY,
    READER_BEATS,
    READER_BURSTS,
    READER_LATENCY,
    REQUEST_LATENCY,
)
from einloom.spec.memory_timing import MemoryTiming

ROW_SHIFT, BANK_BITS = 10, 4  # of an HBM2 pseudo-channel: 1 KiB, 16 banks; as sim/bench/axi_memory.sv
APART = 401  # cycles between the refreshes of neighbouring memories, likewise
BEGUN = 10  # cycles from a job's preparation, at which refreshes begin, to its start, likewise
RECENT = 8  # bursts that writes are compared with
REQUESTS = 5  # of a master: two in the crossing, two in the check of the window, one that is cut into bursts


class MemoryPort:
    """The memory behind a port: the beats of each burst, in the order in which bursts are accepted.

    It is that of sim/bench/axi_memory.sv without its random stalls. Beats saved up while a port of less than a beat a
    cycle is idle are left out; so is the share of writes where memory gives a beat in each cycle.
    """

    def __init__(self, timing: MemoryTiming, number: int, *, at_once: bool = False) -> None:
        """Memory `number` of a core; with `at_once` a burst comes as a whole."""
        self._timing = timing
        self._each = 0.0 if at_once else 256 / timing.bandwidth if timing.bandwidth else 1.0  # cycles of a beat
        self._free = 0.0  # the cycle behind the last burst
        # Of the last bursts and writes the first cycle, and the one behind them.
        self._reads: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._written: deque[tuple[float, float]] = deque(maxlen=RECENT)
        # The cycle of the first refresh, or before the job's first one.
        self._refresh = (number * APART + timing.seed) % timing.refresh_every - BEGUN if timing.refresh_every else 0
        self._open: dict[int, int] = {}
        self._bank_free: dict[int, int] = {}

    def read(self, now: int, address: int, beats: int, beat_bytes: int) -> tuple[int, int]:
        """The cycles in which the first and the last beat of a burst come, whose address is accepted `now`."""
        wait = self._open_rows(now, address, beats * beat_bytes) if self._timing.row_miss else 0
        first, last = self._beats(max(now + self._timing.latency + wait, self._free), beats)
        while self._written and self._written[0][1] <= first:
            self._written.popleft()
        if self._written:
            last += self._beside(first, last + self._each, self._written) * self._each
        self._free = last + self._each
        self._reads.append((first, self._free))
        return ceil(first), ceil(last)

    def announce(self, now: int, beats: int) -> None:
        """So many beats will be written from `now` on."""
        if self._timing.bandwidth and self._each:
            self._written.append((now, now + beats * self._each))

    def write(self, now: int, beats: int, sends: int) -> int:
        """The cycle of the last of the announced `beats`, which come in so many cycles; what is read by then is known.

        Where there are beats to be read and to be written, memory alternates; a port of a beat a cycle reads two each
        time, since the second is announced before the write is counted.
        """
        if not self._timing.bandwidth or not self._each:
            return now + beats - 1
        beside = self._beside(now, now + max(sends, beats * self._each), self._reads)
        between = min(beats * (2 if self._each <= 1 else 1), round(beside))
        return ceil(self._beats(now, beats + between)[1])

    def _beside(self, first: float, end: float, others: Iterable[tuple[float, float]]) -> float:
        """Beats of `others` in the cycles from `first` up to `end`."""
        return sum(max(0.0, min(stop, end) - max(start, first)) for start, stop in others) / self._each

    def _beats(self, start: float, beats: int) -> tuple[float, float]:
        """The first and the last cycle of consecutive beats from `start` on, outside refreshes."""
        every, lasts = self._timing.refresh_every, self._timing.refresh_for
        if not every:
            return start, start + (beats - 1) * self._each
        first: float | None = None
        while True:
            since = (start - self._refresh) % every
            if start >= self._refresh and since < lasts:
                start += lasts - since
                since = lasts
            until = start + (self._refresh - start if start < self._refresh else every - since)
            first = start if first is None else first
            fit = floor((until - start) / self._each)
            if beats <= fit:
                return first, start + (beats - 1) * self._each
            beats -= fit
            start = until

    def _open_rows(self, now: int, address: int, size: int) -> int:
        """Cycles until the first row of a burst is open; the others are opened while it runs."""
        every = self._timing.refresh_every
        if every and (now - self._refresh) // every != getattr(self, "_epoch", None):
            self._epoch = (now - self._refresh) // every
            self._open.clear()
        last = (address + size - 1) >> ROW_SHIFT
        wait = 0
        for row in range(last, (address >> ROW_SHIFT) - 1, -1):
            bank, wait = row & ((1 << BANK_BITS) - 1), 0
            if self._open.get(bank) != row:
                begin = max(now, self._bank_free.get(bank, 0))
                wait = begin - now + self._timing.row_miss
                self._bank_free[bank] = begin + self._timing.row_again
                self._open[bank] = row
        return wait


class Consumption:
    """How far a stream has been taken: a line from each point (beats in all, cycle) to the next."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque()
        self._before = (0, 0.0)

    def add(self, beats: int, cycle: float) -> None:
        """`beats` in all are taken by `cycle`; neither is less than before."""
        self._points.append((beats, cycle))

    def when(self, beats: int) -> float | None:
        """The cycle by which so many are taken, None if it isn't known; `beats` never decreases."""
        while self._points and self._points[0][0] < beats:
            self._before = self._points.popleft()
        if beats <= self._before[0]:
            return self._before[1]
        if not self._points:
            return None
        (start, begin), (end, finish) = self._before, self._points[0]
        return begin + (finish - begin) * (beats - start) / (end - start)


class Reader:
    """A read master with its crossings: bursts of requests, announced when there is room for their beats.

    Attributes
    ----------
    bursts : of all that came: beats in all up to its end, and the cycles in which its first and last beat are the
        consumer's.
    arrived : raised with each.
    taken : how far the consumer has taken them; it holds up to `holds` beats itself before it has to.
    accepted : raised when a request may be made that had to wait.
    """

    def __init__(
        self,
        events: Events,
        port: MemoryPort,
        beat_bytes: int,
        *,
        shared: bool,
        holds: int | None = None,
        crossing: int = CROSSING,
    ) -> None:
        self._events, self._port, self._beat_bytes = events, port, beat_bytes
        self._lead = CROSSING + REQUEST_LATENCY - 1  # from a request to its first burst's announcement
        self._address_cycles = 1 + (MUX_LATENCY if shared else 0)
        self._holds = holds
        self._behind = READER_LATENCY + crossing  # from a beat's cycle at the port to the consumer's
        self._requests: deque[tuple[int, int, int]] = deque()
        self._requested, self.accepted, self.arrived = Signal(events), Signal(events), Signal(events)
        self._took = Signal(events)
        self._announced: list[int] = []  # cycle of each request's last burst
        self._count = 0
        self._asked = 0
        self.bursts: list[tuple[int, int, int]] = []
        self.taken = Consumption()
        self._arrival = 0  # index of a burst
        events.start(self._run())

    def ready(self, cycle: int) -> int | None:
        """The cycle from `cycle` on in which the next request is accepted, None if it isn't known."""
        waits_for = self._count - REQUESTS
        if waits_for < 0:
            return cycle
        return max(cycle, self._announced[waits_for] + 1) if waits_for < len(self._announced) else None

    def request(self, cycle: int, offset: int, beats: int) -> None:
        """Ask for beats from `offset` of the window on."""
        self._count += 1
        self._requests.append((cycle, offset, beats))
        self._requested.raise_now()

    def take(self, beats: int, cycle: float) -> None:
        """The consumer has used `beats` in all by `cycle`."""
        self.taken.add(beats, cycle)
        self._took.raise_now()

    def _run(self) -> Process:
        announce = 0
        while True:
            while not self._requests:
                yield self._requested
            cycle, offset, beats = self._requests.popleft()
            announce = max(announce, cycle + self._lead - 1)
            for address, length in bursts(offset, beats, self._beat_bytes):
                self._asked += length
                while (room := self._room()) is None:
                    yield self._took
                answered = self.bursts[-READER_BURSTS][2] - READER_LATENCY if len(self.bursts) >= READER_BURSTS else 0
                announce = max(announce + 1, ceil(room), answered)
                yield announce + self._address_cycles
                now = announce + self._address_cycles
                first, last = self._port.read(now, address, length, self._beat_bytes)
                self.bursts.append((self._asked, first + self._behind, last + self._behind))
                self.arrived.raise_now()
            self._announced.append(announce)
            self.accepted.raise_now()

    def _room(self) -> float | None:
        """The cycle by which there is room for all that is asked for, None if it isn't known."""
        wanted = self._asked - READER_BEATS
        if wanted <= 0:
            return 0
        while self.bursts[self._arrival][0] < wanted:
            self._arrival += 1
        end, first, last = self.bursts[self._arrival]
        start = self.bursts[self._arrival - 1][0] if self._arrival else 0
        arrival = first + (last - first) * (wanted - start) / (end - start)
        if self._holds is None or wanted <= self._holds:
            return arrival
        used = self.taken.when(wanted - self._holds)
        return None if used is None else max(arrival, used + 1)


def bursts(offset: int, beats: int, beat_bytes: int) -> Iterator[tuple[int, int]]:
    """(address, beats) of each burst of a request, which ends at multiples of the longest one."""
    longest = min(MAX_BURST, BURST_BYTES // beat_bytes)
    end = offset + beats
    while offset < end:
        length = min(longest - offset % longest, end - offset)
        yield offset * beat_bytes, length
        offset += length
