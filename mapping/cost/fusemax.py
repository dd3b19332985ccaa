"""Cycles of the FuseMax engine, from its manifest and the shapes of its jobs alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from einloom.mapping.attention_operands import AttentionJob
from einloom.spec.attention_format import Mask
from einloom.spec.manifest import AttentionManifest

JOB_CYCLES = 4  # from the offer of the first job to its first step
DRAIN_CYCLES = 3  # cycles of the half epoch without a tile, which completes the last exponentials


@dataclass(frozen=True)
class AttentionShape:
    """A block of queries at the positions `first` to `last`, with heads of E and F, under a mask.

    Each query has `spans` columns.
    """

    query_head: int
    value_head: int
    first: int
    last: int
    mask: Mask
    spans: int = 1

    @classmethod
    def of(cls, job: AttentionJob) -> "AttentionShape":
        """Shape of `job`: all that its cost depends on."""
        first, last = int(job.positions.min()), int(job.positions.max())
        return cls(job.query_head, job.value_head, first, last, job.mask, job.spans)

    def tiles(self, rows: int) -> int:
        """Visited tiles of `rows` keys, or of that for each span."""
        return len(self.mask.tiles(np.array([self.first, self.last]), rows * self.spans))


@dataclass(frozen=True)
class AttentionCost:
    """Cycles of a batch of blocks, and those in which the 2D array and the 1D row are at work."""

    cycles: int
    busy: int
    row_busy: int

    @property
    def utilisation(self) -> float:
        return self.busy / self.cycles

    @property
    def row_utilisation(self) -> float:
        return self.row_busy / self.cycles


def tile_steps(manifest: AttentionManifest, query_head: int, value_head: int) -> int:
    """Steps of the 2D array for one tile: also the scale, the exponential, and the denominator's sum."""
    return query_head + value_head + 2 + manifest.exp_steps


def tile_cycles(manifest: AttentionManifest, query_head: int, value_head: int) -> int:
    """Cycles of one tile when its operands are at hand: its steps, or more where the exponentials take longer."""
    return max(tile_steps(manifest, query_head, value_head), query_head + manifest.exp_end)


def attention_cycles(manifest: AttentionManifest, blocks: Sequence[AttentionShape]) -> AttentionCost:
    """Cost of blocks that run back to back, when keys and values come at a beat a cycle and outputs are taken at once.

    An epoch is one tile of keys. Its first half is the SCORE steps of that tile (E). Its second half is the VALUE steps
    of the tile before (F + 1), and the other steps of the tile itself. The first epoch has no tile before, and the
    last half epoch has no tile of its own. The divisions of a block run beside the tiles of the next block, whose last
    epoch waits for their end. Merging spans takes no step of any array; only the pipelines from a score to its
    exponential and from a state to its division are longer.
    """
    time, busy, row_busy = JOB_CYCLES, 0, 0
    divided = 0  # cycle in which the dividers are free again
    before: tuple[int, bool] | None = None  # value_head of the tile before, and whether it was its block's last

    def values(at: int, front: bool) -> int:
        """Cycle in which the second half of an epoch ends, if the epoch begins `at`."""
        nonlocal divided
        if before is None:
            return at + manifest.exp_end
        head, last = before
        start = max(at, divided) if last else at
        end = start + head + 1 + (1 + manifest.exp_steps) * front
        if last:
            divided = end + manifest.row_cycles + head * manifest.division_cycles
        return max(end, start + manifest.exp_end * front)  # no place of a half passes while its first step waits

    for block in blocks:
        count = block.tiles(manifest.rows)
        busy += count * tile_steps(manifest, block.query_head, block.value_head)
        row_busy += count * (block.value_head + 1 + manifest.exp_steps)
        epoch = tile_cycles(manifest, block.query_head, block.value_head)
        time = values(time + block.query_head, True)
        before = (block.value_head, count == 1)
        if count > 1:
            before = (block.value_head, False)
            time += (count - 2) * epoch
            time = values(time + block.query_head, True)
            before = (block.value_head, True)
    values(time + DRAIN_CYCLES, False)
    return AttentionCost(divided, busy, row_busy)
