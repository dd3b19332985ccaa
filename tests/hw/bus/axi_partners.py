"""AXI4 memory and an AXI4-Lite host on the flat ports of a part, for PartBench."""

from collections import deque
from collections.abc import Iterable

from einloom.hw.bus.axi import Response
from einloom.sim.bench.part_bench import Cycle
from tests.hw.around import Memory


class AxiMemory:
    """Answers reads in order, a beat in every cycle, `latency` cycles later; with `writes`, takes writes at once.

    Parameters
    ----------
    port : the ports' prefix.
    size : of a beat in bytes.
    base : the address of byte 0 of `memory`.
    """

    def __init__(
        self, memory: Memory, size: int, port: str, *, base: int = 0, latency: int = 2, writes: bool = False
    ) -> None:
        self.memory = memory
        self.bursts: list[tuple[int, int]] = []  # (address, beats) of all reads
        self._size, self._port, self._base, self._latency, self._writes = size, port, base, latency, writes
        self._beats: deque[tuple[int, dict[str, int]]] = deque()
        self._announced: deque[list[int]] = deque()
        self._answers: deque[int] = deque()

    def __call__(self, cycle: Cycle) -> None:
        self._reads(cycle)
        if self._writes:
            self._take(cycle)

    def _get(self, cycle: Cycle, name: str) -> int:
        return cycle[f"{self._port}_{name}"]

    def _set(self, cycle: Cycle, **values: int) -> None:
        for name, value in values.items():
            cycle.set(f"{self._port}_{name}", value)

    def _reads(self, cycle: Cycle) -> None:
        if self._get(cycle, "rvalid") and self._get(cycle, "rready"):
            self._beats.popleft()
        if self._get(cycle, "arvalid") and self._get(cycle, "arready"):
            address, beats = self._get(cycle, "araddr"), self._get(cycle, "arlen") + 1
            self.bursts.append((address, beats))
            for n in range(beats):
                data = self.memory.word(address - self._base + n * self._size, self._size)
                values = {"rid": self._get(cycle, "arid"), "rdata": data, "rlast": int(n + 1 == beats)}
                self._beats.append((cycle.number + self._latency, values))
        here = bool(self._beats) and self._beats[0][0] <= cycle.number
        self._set(cycle, arready=1, rvalid=int(here), rresp=Response.OKAY.value, **(self._beats[0][1] if here else {}))

    def _take(self, cycle: Cycle) -> None:
        if self._get(cycle, "bvalid") and self._get(cycle, "bready"):
            self._answers.popleft()
        if self._get(cycle, "awvalid") and self._get(cycle, "awready"):
            self._announced.append([self._get(cycle, "awaddr") - self._base, self._get(cycle, "awlen") + 1])
        if self._get(cycle, "wvalid") and self._get(cycle, "wready"):
            burst = self._announced[0]  # a master announces a burst before its data
            word, strobe = self._get(cycle, "wdata"), self._get(cycle, "wstrb")
            for n in range(self._size):
                if strobe >> n & 1:
                    self.memory.put(burst[0] + n, 1, word >> 8 * n & 0xFF)
            burst[0] += self._size
            burst[1] -= 1
            assert self._get(cycle, "wlast") == (burst[1] == 0)
            if not burst[1]:
                self._announced.popleft()
                self._answers.append(cycle.number + self._latency)
        here = bool(self._answers) and self._answers[0] <= cycle.number
        self._set(cycle, awready=1, wready=1, bvalid=int(here), bresp=Response.OKAY.value)


class Host:
    """Writes and reads registers one after the other.

    Attributes
    ----------
    found : values read, by offset, the last one of each.
    idle : all is done.
    """

    def __init__(self, port: str) -> None:
        self.found: dict[int, int] = {}
        self._port = port
        self._todo: deque[tuple[int, int | None]] = deque()
        self._step = ""

    @property
    def idle(self) -> bool:
        return not self._todo

    def write(self, offset: int, value: int, words: int = 1) -> None:
        self._todo.extend((offset + 4 * n, value >> 32 * n & 0xFFFFFFFF) for n in range(words))

    def read(self, offsets: Iterable[int]) -> None:
        self._todo.extend((offset, None) for offset in offsets)

    def __call__(self, cycle: Cycle) -> None:
        def get(name: str) -> int:
            return cycle[f"{self._port}_{name}"]

        values = dict.fromkeys(("awvalid", "wvalid", "arvalid"), 0)
        # The channel that a step waits for, and the step behind it.
        waits = {
            "aw": ("awvalid", "awready", "w"),
            "w": ("wvalid", "wready", "b"),
            "b": ("bvalid", "bready", ""),
            "ar": ("arvalid", "arready", "r"),
            "r": ("rvalid", "rready", ""),
        }
        if self._step:
            valid, ready, behind = waits[self._step]
            if get(valid) and get(ready):
                if self._step == "r":
                    self.found[self._todo[0][0]] = get("rdata")
                self._step = behind
                if not behind:
                    self._todo.popleft()
        if not self._step and self._todo:
            self._step = "ar" if self._todo[0][1] is None else "aw"
        if self._step in {"aw", "w", "ar"}:
            values[f"{self._step}valid"] = 1
        if self._todo:
            offset, value = self._todo[0]
            values |= {"awaddr": offset, "araddr": offset, "wdata": value or 0}
        for name, value in {**values, "wstrb": 15, "bready": 1, "rready": 1}.items():
            cycle.set(f"{self._port}_{name}", value)
