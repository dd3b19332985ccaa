"""When the GEMM unit takes its weights, and when a product is complete."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.latencies import (
    CROSSING_ROOM,
    GEARBOX_LATENCY,
    GEMM_START,
    SUMS_LATENCY,
    WEIGHT_QUEUE_LATENCY,
)
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import BlockLayout, CoreManifest


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
    format = FORMATS[layout.steps[i["format"]].format]
    step, blocks, tiles = layout.step(format), i["blocks"], i["tiles"]
    separate = bool(layout.metadata.bits) and not layout.joined and not isinstance(layout, BlockLayout)
    if not isinstance(layout, BlockLayout):
        # A step of one term leaves no cycle in which metadata could be taken unnoticed.
        exposed = 1 if separate and step.cycles == 1 else 0
        terms = blocks * (layout.block // layout.lanes * step.cycles + exposed)
    elif format.of:
        bits = beats * layout.beat_bits / tiles - blocks * layout.metadata.bits
        terms = max(1, round(bits / step.bits))
    else:
        terms = blocks * layout.block_steps(format, None)
    slices = gemm.columns // core.lanes
    drain = gemm.pipeline_cycles + (tokens - 1) * slices + 1
    end = gemm.pipeline_cycles + SUMS_LATENCY + tokens * slices - 1
    first = GEMM_START + separate + bool(isinstance(layout, BlockLayout) and format.of)
    return Product(tiles, first, terms, max(terms, drain), end)


@dataclass(frozen=True)
class WeightPath:
    """The way of weights from a channel's master to the array.

    Attributes
    ----------
    cycles : from the master's beat to a term that it can be used in.
    holds : beats behind the master, up to the array.
    each : fewest cycles between beats that the array takes.
    """

    cycles: int
    holds: int
    each: float

    @classmethod
    def of(cls, core: CoreManifest, fifo_beats: int) -> "WeightPath":
        """That of a core whose channels' queues hold `fifo_beats`."""
        layout = core.gemm.weights
        widest = max(layout.metadata.bits * layout.joined + step.bits for step in layout.steps)
        at_once = layout.beats_at_once
        words = ceil(widest / (layout.beat_bits * at_once)) + 2  # of the gearbox
        holds = CROSSING_ROOM + at_once + fifo_beats + words * at_once
        return cls(WEIGHT_QUEUE_LATENCY + GEARBOX_LATENCY, holds, 1 / at_once)
