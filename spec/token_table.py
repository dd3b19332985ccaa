"""The table of tokens: a row of the system window for each token of a job, which the host writes.

A row is a beat: the token's id, its position in its sequence, and the place of the sequence's keys and values, each an
unsigned number of 32 bits, lowest byte first. The place is in beats of the cache, from where the program says that the
first sequence's are. A chunk of tokens is of one sequence, and its first token's row says where the chunk is.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ID_BITS = POSITION_BITS = 25
"""Bits in use of an id, and of a position: `attention.max_keys` is at most 2^24."""
NUMBER_BYTES = 4
NUMBERS = ("id", "position", "place")
"""Of a row, in this order."""
Bytes = npt.NDArray[np.uint8]


def token_rows(ids: Sequence[int], position: int, beat_bytes: int, place: int = 0) -> Bytes:
    """Rows [tokens * beat_bytes] of tokens that follow each other from `position` on, of the sequence at `place`."""
    rows = np.zeros((len(ids), beat_bytes // NUMBER_BYTES), "<u4")
    rows[:, 0], rows[:, 1], rows[:, 2] = ids, np.arange(position, position + len(ids)), place
    return rows.view(np.uint8).ravel()
