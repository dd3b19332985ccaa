"""Cycles of a GEMM engine, from its manifest alone."""

from einloom.spec.formats import Format
from einloom.spec.manifest import GemmManifest


def gemm_cycles(gemm: GemmManifest, format: Format, *, tokens: int, inputs: int, outputs: int) -> int:
    """Cycles of one job when weights arrive at a beat a cycle and sums are taken at once.

    A tile lasts as long as its terms, its beats, or the wait for the tile before it to leave the array, whichever is
    longest; the first beats and the last results are paid once. `tokens` is at most the design's rows.
    """
    layout = gemm.weights
    step = layout.step(format)
    tiles, blocks, steps = -(-outputs // gemm.columns), inputs // layout.block, layout.block // layout.lanes
    # A step of one term leaves no cycle in which metadata could be taken unnoticed.
    exposed = 1 if layout.metadata.bits and step.cycles == 1 and not layout.joined else 0
    compute = blocks * (steps * step.cycles + exposed)
    bits = blocks * (layout.metadata.bits + steps * step.bits)
    memory = -(-bits // layout.beat_bits)
    drain = gemm.pipeline_cycles + tokens
    first_bits = layout.metadata.bits + step.bits if layout.joined else max(layout.metadata.bits, step.bits)
    first_word = 1 + -(-first_bits // layout.beat_bits)
    return first_word + max(compute, memory) + (tiles - 1) * max(compute, memory, drain) + drain


def peak_macs_per_cycle(gemm: GemmManifest, format: Format) -> float:
    """Multiply-accumulates per cycle when every row holds a token."""
    return gemm.macs_per_step / gemm.weights.step(format).cycles
