"""Fewest cycles of a job on a core: what its memory, its array, its attention engines and its vector unit are busy for.

The array waits while attention works, since one makes what the other takes; weights come in meanwhile. So a job lasts
at least as long as memory is busy, and at least as long as array and attention together. The vector unit works on a
piece of a product while the array makes the next one, but only within a layer's operation.
"""

from collections import Counter
from dataclasses import dataclass

from einloom.mapping.codegen.group_parts import group_parts
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.cost.gemm_products import product
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.formats import Format
from einloom.spec.manifest import BlockLayout, CoreManifest

HIDDEN_MEMORY, HIDDEN_VECTOR = 0.1, 0.5
"""Shares of the memory's and the vector unit's work that cannot be hidden behind the engines', of simulated cores."""
SCORE_CYCLES, SERIAL_SCORE_CYCLES = 6, 2
"""Cycles of a tile beside those of its elements (hw/array/attention_engine.py)."""


@dataclass(frozen=True)
class Work:
    """Work of a part of a core: beats of a weight channel, and cycles in which it is busy."""

    beats: int
    cycles: int


@dataclass(frozen=True)
class Bound:
    """Fewest cycles of a job.

    Attributes
    ----------
    memory : in which a weight channel brings beats.
    array, attention : in which the GEMM engine, and an attention lane, are at work.
    vector : in which the vector unit is.
    """

    memory: float
    array: int
    attention: int
    vector: int

    @property
    def cycles(self) -> float:
        return max(self.memory, self.array + self.attention, self.vector)

    @property
    def likely(self) -> float:
        """Cycles that a job may take: some of what could overlap doesn't."""
        engines = self.array + self.attention
        return self.cycles + HIDDEN_MEMORY * min(self.memory, engines) + HIDDEN_VECTOR * min(self.vector, engines)


def linear_work(graph: DecoderGraph, core: CoreManifest, format: Format, tokens: int) -> Work:
    """All products of so many tokens with a model's matrices."""
    layout, sizes = core.gemm.weights, PaddedSizes.of(graph, core)
    step, beats, cycles = layout.step(format), 0, 0
    shapes = Counter(sizes.shape(tensor) for tensor in graph.linears())
    for (outputs, inputs), count in shapes.items():
        blocks, tiles = inputs // layout.block, -(-outputs // core.gemm.columns)
        if isinstance(layout, BlockLayout):
            each = layout.whole_beats(tiles * blocks * layout.block_bits(format, None))
        else:
            each = layout.beats(step, blocks, tiles)
        job = {"format": step.index, "blocks": blocks, "tiles": tiles}
        beats += count * each
        cycles += count * product(core, job, tokens, each).cycles
    return Work(beats, cycles)


def attention_work(graph: DecoderGraph, core: CoreManifest, context: int, tokens: int, serial: bool) -> Work:
    """Attention of the tokens at the end of `context` positions, in all layers; beats are of each channel of a lane, or
    of the system's memory."""
    cache, lanes = core.cache, core.attention_lanes
    heads = PaddedSizes.of(graph, core).heads
    turns = -(-heads.groups // lanes)
    parts = group_parts(heads.group, core.attention.columns)
    at_once = max(1, core.attention.columns // parts[-1].size)
    jobs = turns * len(parts) * -(-tokens // at_once)
    beats = cycles = 0
    for layer in graph.layers:
        scores = layer.attention.scores
        keys = min(context, scores.window + scores.sinks + tokens) if scores.window else context
        tiles = -(-keys // core.attention.rows)
        extra = SERIAL_SCORE_CYCLES if serial else SCORE_CYCLES
        bits = core.attention.rows * cache.bits * heads.size
        coded = -(-bits // cache.beat_bits)
        beats += jobs * 2 * tiles * coded
        # An element a cycle, or as fast as beats come.
        element = max(heads.size, coded)
        cycles += jobs * (tiles * (2 * element + extra) + heads.size * core.attention.division_cycles)
    return Work(beats, cycles)
