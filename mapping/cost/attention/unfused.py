"""Attention without fusion: QK, softmax and AV one after the other, scores through DRAM in between.

Each step overlaps its own arithmetic with its own traffic; the steps do not overlap. QK and AV take E and F cycles per
block of 256 x 256 scores with all PEs busy. QK is written and read, A is written and read.

Source: FuseMax, MICRO 2024, and the model at FPSG-UIUC/micro24-fusemax-artifact, where Timeloop's mapper searches the
two matrix products. What it finds varies: the unfused latencies of two published versions differ by up to 0.2 %.
"""

from math import ceil

from einloom.mapping.cost.attention.cost import Cost
from einloom.mapping.cost.attention.hardware import UNFUSED, Hardware
from einloom.mapping.cost.attention.softmax_row import softmax_cycles
from einloom.mapping.cost.attention.workloads import Attention


def sweeps(length: int, words: int, hardware: Hardware) -> int:
    """Number of times that the streamed operand of a product is read: once for each part of the other operand.

    The other operand, `length` rows of `words` each, is held in equal parts that fit the buffer beside one block of the
    streamed operand. ValueError when two blocks don't fit.
    """
    blocks = ceil(length / hardware.columns)
    fitting = hardware.buffer_bytes // (hardware.columns * words * hardware.word_bytes) - 1
    if fitting < 1:
        raise ValueError(f"a buffer of {hardware.buffer_bytes} bytes is too small for two blocks of {words} words")
    return blocks // max(part for part in range(1, min(fitting, blocks) + 1) if blocks % part == 0)


def unfused_cost(attention: Attention, hardware: Hardware = UNFUSED) -> Cost:
    """The cost of `attention`, one Einsum after the other."""
    a, word = attention, hardware.word_bytes
    if a.keys * word > hardware.buffer_bytes:
        raise ValueError(f"a row of {a.keys} scores does not fit in {hardware.buffer_bytes} bytes")
    tiles = a.heads * ceil(a.queries / hardware.columns) * ceil(a.keys / hardware.rows)
    row_cycles = softmax_cycles(a, hardware)
    qk_words = a.scores + a.heads * a.e * (a.queries + sweeps(a.queries, a.e, hardware) * a.keys)
    av_words = a.scores + a.heads * a.f * (a.queries + sweeps(a.queries, a.f, hardware) * a.keys)
    steps = ((tiles * a.e, qk_words), (row_cycles, 2 * a.scores), (tiles * a.f, av_words))
    times = [(cycles / hardware.clock_hz, words * word / hardware.dram_bytes_per_second) for cycles, words in steps]
    return Cost(
        seconds=sum(max(pair) for pair in times),
        busy_2d=tiles * (a.e + a.f),
        busy_1d=row_cycles,
        dram_bytes=sum(words for _, words in steps) * word,
        memory_bound=any(memory > compute for compute, memory in times),
    )
