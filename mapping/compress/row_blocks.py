"""Matrices in blocks of rows, so that temporaries stay in the cache however large the matrix is."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

BLOCK_WEIGHTS = 1 << 17
T = TypeVar("T")


def row_blocks(shape: tuple[int, ...], weights: int = BLOCK_WEIGHTS) -> Iterator[slice]:
    """Slices that cover the rows of a matrix [N, K], each of about so many `weights` and at least one row."""
    outputs, inputs = shape
    step = max(1, weights // max(1, inputs))
    return (slice(start, min(start + step, outputs)) for start in range(0, outputs, step))


def for_row_blocks(shape: tuple[int, ...], work: Callable[[slice], T]) -> list[T]:
    """What `work` gives for each block of rows, in their order.

    Blocks are worked on side by side: NumPy lets other threads run while it is in its loops, which are long enough.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, row_blocks(shape)))
