"""FuseMax as its paper models it: one pass over the keys, both arrays busy in every phase of an epoch.

A tile is a block of keys as high as the 2D array times a block of queries as wide. One PE holds one score. Cycles per
tile, from the operations of the 1-pass cascade (exp is a subtraction and 6 multiply-adds on the PE's own multiplier):

    phase   2D array             1D array
    1       QK E, LM 1           RD 1, RNV F, and AV F once per block of queries
    2       -                    RM 1
    3       SLN 7, SLD 1         PRM 7, SPD 1
    4       SLNV F               SPNV F

Epochs are pipelined, so the Einsums of a phase belong to different tiles and never wait for each other. A phase lasts
as long as its slower array. With M1 = M / 256 blocks of keys and E = F a block of queries takes

    cycles = M1 * (2F + 10) + F,        of which the 2D array is busy M1 * (2F + 9).

Why the published 2D utilisation is 0.8896 at 1K and 0.9648 at 4K: F = 64 gives M1 * 137 / (M1 * 138 + 64), which is
548 / 616 and 2192 / 2272. The 64 is AV, the deferred division of F outputs per query. It runs on the 1D array after the
last tile, where no 2D Einsum is left in its phase, so it is paid once per block of queries and fades as 1 / M. It is
not the fill and drain of the systolic array, which this model has at zero, because QK and SLNV alternate cycle by cycle
and keep the array full from the first block of queries to the last. The limit 137 / 138 is RM, the phase without 2D
work.

Source: FuseMax, MICRO 2024 (cascade, binding, mapping), and its authors' model at FPSG-UIUC/micro24-fusemax-artifact
(cycles per operation, the rule for P1, DRAM traffic).
"""

from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.attention.cost import Cost, overlapped
from einloom.mapping.cost.attention.hardware import FUSEMAX, Hardware
from einloom.mapping.cost.attention.workloads import Attention

EXP_CYCLES = 1 + 6  # a subtraction, then a polynomial of degree 5 and a scaling by a power of two


@dataclass(frozen=True)
class Phase:
    """A part of an epoch: cycles per tile on the two arrays, and cycles of the 1D array once per block of queries."""

    array: int
    row: int
    row_once: int = 0


def phases(e: int, f: int) -> tuple[Phase, ...]:
    """The four phases of an epoch for embeddings of `e` and `f` words."""
    qk, lm, sln, sld, slnv = e, 1, EXP_CYCLES, 1, f
    rm, prm, spd, rd, spnv, rnv, av = 1, EXP_CYCLES, 1, 1, f, f, f
    return (
        Phase(qk + lm, rd + rnv, row_once=av),
        Phase(0, rm),
        Phase(sln + sld, prm + spd),
        Phase(slnv, spnv),
    )


def resident_blocks(attention: Attention, hardware: Hardware = FUSEMAX) -> int:
    """P1: the blocks of queries whose state stays in the buffer while all keys pass by.

    A query holds Q (E words), RM, RD and RNV (F words). One block of keys and one of values share the buffer. P1
    divides the number of blocks, so that every sweep over the keys serves equally many queries.
    """
    e, f, word = attention.e, attention.f, hardware.word_bytes
    free = hardware.buffer_bytes - hardware.rows * (e + f) * word
    fitting = free // ((e + 1 + 1 + f) * word * hardware.columns)
    if fitting < 1:
        raise ValueError(f"a buffer of {hardware.buffer_bytes} bytes is too small for one block of queries")
    blocks = ceil(attention.queries / hardware.columns)
    return max(p1 for p1 in range(1, min(fitting, blocks) + 1) if blocks % p1 == 0)


def dram_bytes(attention: Attention, hardware: Hardware = FUSEMAX) -> int:
    """Bytes across DRAM: Q and AV once, K and V once per sweep. No tensor of M times P ever leaves the chip."""
    blocks = ceil(attention.queries / hardware.columns)
    sweeps = blocks // resident_blocks(attention, hardware)
    words = attention.e + attention.f
    return attention.heads * words * (attention.queries + sweeps * attention.keys) * hardware.word_bytes


def fusemax_cost(attention: Attention, hardware: Hardware = FUSEMAX) -> Cost:
    """The cost of `attention` on FuseMax. The 1D array has one lane per column."""
    if hardware.lanes != hardware.columns:
        raise ValueError(f"FuseMax has one 1D lane per column, not {hardware.lanes} for {hardware.columns}")
    tiles = ceil(attention.keys / hardware.rows)
    passes = attention.heads * ceil(attention.queries / hardware.columns)
    parts = phases(attention.e, attention.f)
    cycles = passes * sum(max(tiles * part.array, tiles * part.row + part.row_once) for part in parts)
    busy_2d = passes * tiles * sum(part.array for part in parts)
    busy_1d = passes * sum(tiles * part.row + part.row_once for part in parts)
    return overlapped(cycles, busy_2d, busy_1d, dram_bytes(attention, hardware), hardware)
