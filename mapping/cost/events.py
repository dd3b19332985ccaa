"""A discrete-event simulation in which processes exchange times.

A process is a generator that yields what it waits for: a `Signal`, until another process raises it, or a cycle, until
everything that happens earlier is known. Results carry the cycles in which they happen, which may lie ahead. So a
process waits for a cycle only where the order of two processes matters, as at a memory port that they share; all else
runs as soon as the times that it depends on are known, and the number of events grows with bursts and instructions, not
with cycles.
"""

from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush

Process = Generator["Signal | int", None, None]
Steps = Generator["Signal | int", None, int]
"""Steps of a process that end with a cycle."""


class Signal:
    """Something that processes wait for; each looks again when it is raised."""

    __slots__ = ("_events", "_waiting")

    def __init__(self, events: "Events") -> None:
        self._events = events
        self._waiting: list[Process] = []

    def wait(self, process: Process) -> None:
        """Resume `process` when the signal is raised."""
        self._waiting.append(process)

    def raise_now(self) -> None:
        """Resume all that wait."""
        if self._waiting:
            self._events.ready.extend(self._waiting)
            self._waiting.clear()


class Events:
    """Processes, and the cycles for which they wait.

    Attributes
    ----------
    now : the cycle up to which everything is known.
    ready : processes that can go on.
    """

    def __init__(self) -> None:
        self.now = 0
        self.ready: deque[Process] = deque()
        self._later: list[tuple[int, int, Process]] = []
        self._count = 0

    def start(self, process: Process) -> None:
        """Add a process."""
        self.ready.append(process)

    def run(self) -> None:
        """Go on until no process can."""
        ready, later = self.ready, self._later
        while True:
            while ready:
                process = ready.popleft()
                wanted = next(process, None)
                if isinstance(wanted, Signal):
                    wanted.wait(process)
                elif wanted is not None:
                    self._count += 1
                    heappush(later, (wanted, self._count, process))
            if not later:
                return
            cycle, _, process = heappop(later)
            self.now = max(self.now, cycle)
            ready.append(process)
