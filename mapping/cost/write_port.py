"""The write port of the vector memory, which the vector unit shares with sums and loads."""

from collections import deque
from dataclasses import dataclass

from einloom.mapping.cost.latencies import PAUSE_CYCLES, VECTOR_RESULT

RUNS = 64  # of the vector unit's writes, with which a load is compared


@dataclass(frozen=True)
class SumsComing:
    """Words of sums of a product, `words` at each tile's end.

    Attributes
    ----------
    first : the cycle in which the first word could be written.
    period : cycles from one tile to the next.
    """

    first: int
    period: float
    tiles: int
    words: int

    def by(self, cycle: float) -> int:
        """Words that could be written up to `cycle`."""
        since = cycle - self.first
        if since < 0:
            return 0
        tile = int(since // self.period)
        if tile >= self.tiles:
            return self.tiles * self.words
        return tile * self.words + min(self.words, int(since - tile * self.period) + 1)


class WritePort:
    """One word a cycle; the vector unit's first, then loads, then sums.

    Sums are written in cycles in which the vector unit writes nothing. While some wait, it leaves out one slot in
    PAUSE_CYCLES; since its results come VECTOR_RESULT cycles later, it does so a few times more than there are words
    (hw/core/vector_memory.py). Waits of attention's outputs and of the store are left out: they are few.
    """

    def __init__(self) -> None:
        self._sums: SumsComing | None = None
        self._gone = self._gone_at = 0  # words of `_sums` that are written, and the cycle of the last one
        self._begin = self._end = 0  # cycles of the vector unit's last unbroken run of writes
        self._holes: deque[int] = deque()  # cycles inside it in which it writes nothing
        self._runs: deque[tuple[int, int]] = deque(maxlen=RUNS)  # first cycle and the one behind, of its last runs
        self._loads = (0, -1, 1)  # first and last word of the last load, and cycles from one to the next

    def coming(self, sums: SumsComing) -> None:
        """A product has begun."""
        self._sums, self._gone = sums, 0

    def load(self, first: int, last: int, step: int) -> None:
        """A load writes a word in every `step`-th cycle from `first` to `last`."""
        self._loads = (first, last, step)

    def written(self, first: int, last: int) -> int:
        """Cycles from `first` to `last` in which the vector unit writes."""
        runs = (*self._runs, (self._begin, self._end))
        return sum(max(0, min(end, last + 1) - max(begin, first)) for begin, end in runs)

    def issue(self, cycle: int, slots: int) -> int:
        """Issue `slots` that write the vector memory, from `cycle` on; the cycle of the last one."""
        write = cycle + VECTOR_RESULT
        if write > self._end:
            self._drain(write - self._end, write)
            self._runs.append((self._begin, self._end))
            self._begin = write
            self._holes.clear()
        sums = self._sums
        if sums is None or sums.by(cycle + slots + slots // 2) <= self._gone:
            self._end = write + slots
            return cycle + slots - 1
        last = cycle - 1
        while slots:
            turn = cycle + -cycle % PAUSE_CYCLES
            count = min(turn - cycle, slots)
            cycle, slots = cycle + count, slots - count
            if count:
                last = cycle - 1
            if not slots:
                break
            while self._holes and self._holes[0] < turn:
                self._drain(1, self._holes.popleft())
            if sums.by(turn - 1) > self._gone:
                self._holes.append(turn + VECTOR_RESULT)
                cycle += 1
            last, cycle, slots = cycle, cycle + 1, slots - 1
        self._end = last + VECTOR_RESULT + 1
        return last

    def _drain(self, cycles: int, until: int) -> None:
        """Sums go in so many free cycles, those that are there by `until`."""
        if self._sums is not None:
            count = min(cycles, self._sums.by(until) - self._gone)
            if count > 0:
                self._gone += count
                self._gone_at = until

    def sums_end(self, cycle: int, now: int) -> int | None:
        """The cycle in which the last word of sums is written, which is there in `cycle`; None before `busy_until`.

        What is known up to `now` is counted.
        """
        sums = self._sums
        assert sums is not None
        left, at = sums.tiles * sums.words - self._gone, max(cycle, now)
        if left <= 0:
            cycle = max(cycle, self._gone_at)
        elif self._begin <= at < self._end:
            if len(self._holes) < left:
                return None
            cycle = max(cycle, self._holes[left - 1])
        elif at >= self._end:  # what waited then has a cycle for each word
            cycle = max(cycle, self._end + left - 1)
        self._sums = None
        first, last, step = self._loads
        if first <= cycle <= last:
            # The words of a tile find every other cycle taken, or all of them.
            cycle = last + 1 if step == 1 else cycle + min(sums.words, last - cycle + 1, cycle - first + 1)
        return cycle

    @property
    def busy_until(self) -> int:
        """The cycle before which the vector unit writes in each but those in which it pauses."""
        return self._end
