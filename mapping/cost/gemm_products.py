"""When the GEMM unit takes its weights, and when a product is complete."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.events import Events, Signal, Steps
from einloom.mapping.cost.latencies import (
    GEARBOX_LATENCY,
    GEMM_START,
    SUMS_LATENCY,
    WEIGHT_QUEUE_LATENCY,
)
from einloom.mapping.cost.memory_port import Reader
from einloom.mapping.cost.operation_work import block_terms, format_of, product_macs
from einloom.mapping.cost.unit_queues import Presented
from einloom.mapping.cost.write_port import SumsComing, WritePort
from einloom.spec.manifest import BlockLayout, CoreManifest

WEIGHT_PATH = WEIGHT_QUEUE_LATENCY + GEARBOX_LATENCY  # cycles from the master's beat to the array
ROUNDING = 1e-6  # of cycles that are summed up


@dataclass(frozen=True)
class Product:
    """A matrix product on the engine.

    Attributes
    ----------
    tiles : of outputs.
    first : cycles from its start to the first term, if weights are there.
    tile : cycles of a tile's terms.
    following : cycles from one tile's end to the next one's: its terms, or the wait until the results of the one before
        have left the array, whichever is longer.
    end : cycles from the last term to the last word in the vector memory.
    """

    tiles: int
    first: int
    tile: int
    following: int
    end: int

    @property
    def cycles(self) -> int:
        """From the instruction to its completion, if weights never are late."""
        return self.first + self.tile + (self.tiles - 1) * self.following + self.end


def product(core: CoreManifest, i: Mapping[str, int], tokens: int, beats: int) -> Product:
    """The `gemm` instruction `i` of so many tokens, whose weights are `beats` of each channel.

    Where a format chooses how many weights of a block it keeps, the number of steps follows from the beats.
    """
    gemm, layout = core.gemm, core.gemm.weights
    format = format_of(gemm, i)
    step, blocks, tiles = layout.step(format), i["blocks"], i["tiles"]
    separate = bool(layout.metadata.bits) and not layout.joined and not isinstance(layout, BlockLayout)
    if format.of and isinstance(layout, BlockLayout):
        bits = beats * layout.beat_bits / tiles - blocks * layout.metadata.bits
        terms = max(1, round(bits / step.bits))
    else:
        terms = blocks * block_terms(gemm, format)
    slices = gemm.columns // core.lanes
    drain = gemm.pipeline_cycles + (tokens - 1) * slices + 1
    end = gemm.pipeline_cycles + SUMS_LATENCY + tokens * slices - 1
    first = GEMM_START + separate + bool(isinstance(layout, BlockLayout) and format.of)
    return Product(tiles, first, terms, max(terms, drain), end)


class Products:
    """The weights unit and the GEMM unit: requests, and the products that take their beats in the same order.

    Attributes
    ----------
    holds : beats between a channel's master and the array.
    """

    def __init__(self, core: CoreManifest, fifo_beats: int, events: Events, free: bool) -> None:
        """`fifo_beats` are a channel's queue; with `free` terms take no time."""
        layout = core.gemm.weights
        self._core, self._free = core, free
        widest = max(layout.metadata.bits * layout.joined + step.bits for step in layout.steps)
        words = ceil(widest / (layout.beat_bits * layout.beats_at_once)) + 2  # of the gearbox
        self.holds = fifo_beats + words * layout.beats_at_once
        self._ahead = words * layout.beats_at_once  # beats that the gearbox has when a product begins
        self._each = 0.0 if free else 1 / layout.beats_at_once  # fewest cycles between beats that the array takes
        self._asked = Signal(events)
        self._events = events
        self._requests: deque[int] = deque()  # beats of requests that no product has taken
        self._taken = self._burst = 0  # beats and bursts that products have taken

    def connect(self, reader: Reader, port: WritePort) -> None:
        """The channel's reader, and where sums are written."""
        self._reader, self._port = reader, port

    def request(self, p: Presented) -> Steps:
        """A `weights` instruction, complete when the master has its request."""
        beats, accepted = p.instruction["beats"], p.starts
        if not beats:
            return accepted
        while (ready := self._reader.ready(p.starts)) is None:
            yield self._reader.accepted
        self._reader.request(ready, p.instruction["offset"], beats)
        self._requests.append(beats)
        self._asked.raise_now()
        return ready

    def carry_out(self, p: Presented) -> Steps:
        """A `gemm`, complete when its last sums are written."""
        i, tokens = p.instruction.values, p.chunk.tokens
        if not (i["blocks"] and i["tiles"] and tokens):
            return p.starts
        while not self._requests:
            yield self._asked
        beats = self._requests.popleft()
        found = product(self._core, i, tokens, beats)
        terms = 0 if self._free else found.tile + (found.tiles - 1) * found.following
        pace = terms / beats
        words = tokens * (self._core.gemm.columns // self._core.lanes)
        cycle: float = p.starts + found.first
        ideal = cycle + terms
        first = p.starts + found.first + found.tile + found.end - words
        self._port.coming(SumsComing(first, max(1, pace * beats / found.tiles), found.tiles, words))
        until, supplied = self._taken + beats, cycle - (self._taken + self._ahead) * self._each
        self._reader.take(self._taken, cycle)
        while self._taken < until:
            while self._burst >= len(self._reader.bursts):
                yield self._reader.arrived
            end, first_beat, last_beat = self._reader.bursts[self._burst]
            spent = (end - self._taken) * pace
            cycle = max(
                cycle + spent,
                supplied + end * self._each,
                first_beat + WEIGHT_PATH + found.first - GEMM_START + spent,
                last_beat + WEIGHT_PATH + pace,
            )
            self._taken = end
            self._reader.take(end, cycle)
            self._burst += 1
        p.record.work = terms
        p.record.macs = product_macs(self._core.gemm, i, tokens)
        p.record.bytes = beats * self._core.gemm.weights.channels * self._core.beat_bytes
        p.record.starved = max(0, ceil(cycle - ideal - ROUNDING))
        there = ceil(cycle - ROUNDING) + found.end
        yield there
        while (written := self._port.sums_end(there, self._events.now)) is None:
            yield self._port.busy_until
        return written
