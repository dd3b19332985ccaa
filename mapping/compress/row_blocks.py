"""Matrices in blocks of rows, so that temporaries stay in the cache however large the matrix is."""

from collections.abc import Iterator

BLOCK_WEIGHTS = 1 << 15


def row_blocks(shape: tuple[int, ...], weights: int = BLOCK_WEIGHTS) -> Iterator[slice]:
    """Slices that cover the rows of a matrix [N, K], each of about so many `weights` and at least one row."""
    outputs, inputs = shape
    step = max(1, weights // max(1, inputs))
    return (slice(start, min(start + step, outputs)) for start in range(0, outputs, step))
