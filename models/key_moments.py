"""Means of a layer's keys, and factors between its queries and its keys, both of which attention does not see.

    q . (k - m)          is q . k less what is the same for all keys, so that softmax does not see it
    (q / b) . (k b)      is q . k, also behind RoPE if b is the same for both elements of a pair

Keys less their means are smaller, and what is left gets finer codes from the same bits. If the errors of codes are
equal in all elements, they cost the scores least with b = (mean of q^2 / mean of k^2)^(1/4) for each pair.

Keys turn with their positions. So their mean is that of keys turned back, turned again by all of POSITIONS: nearly
nothing for pairs that turn fast.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_graph import Rope
from einloom.models.float_functions import angles
from einloom.models.linears import Floats

Wide = npt.NDArray[np.float64]
FIRST = 4
"""Positions whose keys are unlike all others, and which are left out."""
POSITIONS = 1024
POWER = 0.25
LARGEST = 16.0
"""Factors are at most that, and at least its inverse."""


@dataclass
class KeyMoments:
    """Sums over the tokens of one layer.

    Attributes
    ----------
    count : tokens.
    keys : sum of keys turned back to position 0, [groups, size].
    key_squares, query_squares : sums of squared norms of pairs, [groups, size / 2]; queries are those of all of a key's
        heads.
    """

    count: int
    keys: Wide
    key_squares: Wide
    query_squares: Wide

    @classmethod
    def none(cls, groups: int, size: int) -> "KeyMoments":
        """Of no tokens yet."""
        pairs = np.zeros((groups, size // 2))
        return cls(0, np.zeros((groups, size)), pairs, pairs)

    def add(self, queries: Floats, keys: Floats, rope: Rope | None) -> None:
        """Take the tokens of queries [..., T, G, R, D]; keys [..., S, G, D] are theirs and those before them."""
        new, count = queries.shape[-4], keys.shape[-3]
        positions = np.arange(max(FIRST, count - new), count)
        if not len(positions):
            return
        own = keys[..., -len(positions) :, :, :].reshape(-1, len(positions), *keys.shape[-2:]).astype(np.float64)
        of_heads = queries[..., -len(positions) :, :, :, :].reshape(-1, *queries.shape[-3:]).astype(np.float64)
        self.count += len(own) * len(positions)
        self.keys = self.keys + _turned(own.sum(axis=0), rope, positions, back=True).sum(axis=0)
        self.key_squares = self.key_squares + _pairs(own).sum(axis=(0, 1))
        self.query_squares = self.query_squares + _pairs(of_heads).mean(axis=2).sum(axis=0)

    def means(self, rope: Rope | None) -> Floats:
        """What is best taken off keys at POSITIONS, float32 [groups, size]."""
        mean = self.keys / max(self.count, 1)
        positions = np.arange(POSITIONS)
        turned = _turned(np.broadcast_to(mean, (POSITIONS, *mean.shape)), rope, positions, back=False)
        result: Floats = turned.mean(axis=0).astype(np.float32)
        return result

    def factors(self, rope: Rope | None) -> Floats:
        """b of each element, float32 [groups, size], of which the product over a head is 1."""
        count = max(self.count, 1)
        keys = np.maximum(self.key_squares / count - _pairs(self.means(rope).astype(np.float64)), 1e-12)
        powers = (np.maximum(self.query_squares / count, 1e-12) / keys) ** POWER
        powers = np.clip(powers / np.exp(np.log(powers).mean(axis=-1, keepdims=True)), 1 / LARGEST, LARGEST)
        result: Floats = np.concatenate([powers, powers], axis=-1).astype(np.float32)
        return result


def _pairs(x: Wide) -> Wide:
    """Squared norms of the pairs (i, i + D / 2)."""
    first, second = np.split(x, 2, axis=-1)
    result: Wide = np.square(first) + np.square(second)
    return result


def _turned(x: Wide, rope: Rope | None, positions: npt.NDArray[np.int64], *, back: bool) -> Wide:
    """x [T, groups, size] turned by RoPE to the positions, or back from them."""
    if rope is None:
        return x
    cos, sin = (table[:, None].astype(np.float64) for table in angles(rope, positions))
    first, second = np.split(x, 2, axis=-1)
    if back:
        scale = np.square(cos) + np.square(sin)
        cos, sin = cos / scale, -sin / scale
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
