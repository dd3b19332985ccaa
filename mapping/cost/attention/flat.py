"""FLAT as the FuseMax paper models it: scores of some query rows stay in the buffer, softmax runs on the 1D array.

The cascade has three passes, so a row of scores is complete before its exps begin. FLAT holds `rows` complete rows of
scores in the buffer. What does not fit spills: that share of every access to a score goes to DRAM. Or the scores are
stored in DRAM altogether. The arrays and DRAM overlap perfectly, so latency is the largest of the three times.

Which mapping FLAT takes is searched here by latency, then traffic. The number of query rows is 256 (the array's width),
512 or 1024, because these are all that the mappings used in the paper have (column P1 of flat_validation.csv in the
authors' repository). From 256K on the buffer holds too little of even 256 rows, so scores cross DRAM four times and
FLAT becomes memory-bound.

Source: FuseMax, MICRO 2024, and the model at FPSG-UIUC/micro24-fusemax-artifact. FLAT itself: ASPLOS 2023.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from einloom.mapping.cost.attention.cost import Cost, overlapped
from einloom.mapping.cost.attention.hardware import FLAT, Hardware
from einloom.mapping.cost.attention.softmax_row import softmax_cycles
from einloom.mapping.cost.attention.workloads import Attention

PAPER_ROWS = (256, 512, 1024)

# Accesses to a score in the buffer: QK is written, read by the maximum and by the exp; SN is written, and read by the
# division (the sum takes it in passing); A is written, and read by AV.
BUFFER_ACCESSES = 7
# Accesses to a score in DRAM where QK and A are stored there, and a row fits in the buffer during its softmax: QK is
# written and read, A is written and read.
DRAM_ACCESSES = 4


@dataclass(frozen=True)
class FlatMapping:
    """The choices that FLAT has.

    Attributes
    ----------
    rows
        Rows of scores, that is queries, that are worked on at a time.
    scores_on_chip
        True when QK and A live in the buffer (and spill), False when they live in DRAM.
    keep_keys
        True when K and V of a head stay in the buffer, False when they are read again for each `rows` queries.
    scores_stationary
        True when scores stay in the PEs during AV: F cycles per block, all PEs busy. False when outputs do: as many
        cycles as the array has rows, F rows busy. The published mappings keep outputs.
    """

    rows: int
    scores_on_chip: bool
    keep_keys: bool
    scores_stationary: bool = True


def spilled_share(attention: Attention, mapping: FlatMapping, hardware: Hardware) -> float | None:
    """The share of scores that spills; None if the mapping needs room that no spilling of scores can give."""
    words = attention.e + attention.f
    keys_held = attention.keys if mapping.keep_keys else min(hardware.rows, attention.keys)
    # Q and AV of the rows, K and V: twice, as FLAT fetches and stores one part while it works on the other.
    held = 2 * (mapping.rows + keys_held) * words * hardware.word_bytes
    if held + attention.keys * hardware.word_bytes > hardware.buffer_bytes:  # one row of scores, at least
        return None
    if not mapping.scores_on_chip:
        return 0.0
    scores = mapping.rows * attention.keys * hardware.word_bytes
    return max(0.0, 1 - hardware.buffer_bytes / (held + scores))


def flat_dram_bytes(attention: Attention, mapping: FlatMapping, spilled: float, hardware: Hardware) -> float:
    """Bytes across DRAM: Q and AV once, K and V once per `rows` queries unless kept, and the scores outside."""
    sweeps = 1 if mapping.keep_keys else ceil(attention.queries / mapping.rows)
    operands = attention.heads * (attention.e + attention.f) * (attention.queries + sweeps * attention.keys)
    accesses = BUFFER_ACCESSES * spilled if mapping.scores_on_chip else DRAM_ACCESSES
    return (operands + accesses * attention.scores) * hardware.word_bytes


def cost_of(attention: Attention, mapping: FlatMapping, hardware: Hardware = FLAT) -> Cost | None:
    """The cost of `attention` under `mapping`; None if the mapping does not fit."""
    spilled = spilled_share(attention, mapping, hardware)
    if spilled is None:
        return None
    blocks = ceil(attention.queries / mapping.rows) * ceil(mapping.rows / hardware.columns)
    tiles = attention.heads * blocks * ceil(attention.keys / hardware.rows)
    if mapping.scores_stationary:
        av_cycles = attention.f
    else:
        av_cycles = hardware.rows * ceil(attention.f / hardware.rows)
    array_cycles = tiles * (attention.e + av_cycles)
    row_cycles = softmax_cycles(attention, hardware)
    traffic = flat_dram_bytes(attention, mapping, spilled, hardware)
    busy = attention.macs / hardware.pes  # the published utilisation counts multiplications, not occupied cycles
    return overlapped(max(array_cycles, row_cycles), busy, row_cycles, traffic, hardware)


def mappings(attention: Attention, rows: Sequence[int], scores_stationary: bool) -> Iterator[FlatMapping]:
    """All mappings with a number of query rows from `rows`."""
    for count in rows:
        if count <= attention.queries:
            for on_chip in (True, False):
                for keep in (True, False):
                    yield FlatMapping(count, on_chip, keep, scores_stationary)


def best_mapping(
    attention: Attention,
    hardware: Hardware = FLAT,
    *,
    rows: Sequence[int] = PAPER_ROWS,
    scores_stationary: bool = True,
) -> tuple[FlatMapping, Cost]:
    """The fastest mapping, and of equally fast ones the one with the least traffic."""
    found = [(m, cost_of(attention, m, hardware)) for m in mappings(attention, rows, scores_stationary)]
    fitting = [(mapping, cost) for mapping, cost in found if cost is not None]
    if not fitting:
        raise ValueError(f"no mapping of {attention} fits in {hardware.buffer_bytes} bytes with rows from {rows}")
    return min(fitting, key=lambda pair: (pair[1].seconds, pair[1].dram_bytes))


def flat_cost(attention: Attention, hardware: Hardware = FLAT) -> Cost:
    """The cost of `attention` on FLAT with the choices of the paper."""
    return best_mapping(attention, hardware)[1]
