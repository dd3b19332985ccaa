"""The numbers of the attention engine: fixed-point formats, their widths with reasons, and jobs.

Attention is computed in base 2, on integers only:

    qk[m, p]  = sum over e of Q[e, p] * K[e, m]                    exact
    x[m, p]   = clamp(round(round(qk / 2^qk_drop) * scale[p] / 2^SCALE_SHIFT))     the score, SCORE_FRACTION bits
    exp2(d)   = 2^d for d <= 0, PROBABILITY_FRACTION bits, by a polynomial of degree 4 and a shift
    state     = round(state * exp2(RM_old - RM_new)) + round(sum over the tile of exp2(x - RM_new) * V / 2^value_drop)
    output    = round(state[f] / state[denominator])

so log2(e) / sqrt(E) is part of Q's scale. `round` is half up, except that outputs round half away from zero. The
denominator is the state of one more column of V, which is constant: it is one `unit` for every key.

In a job that is split over spans, span s has the tiles t with t % spans = s, and states of its own. The above holds for
each of them, with one exception: RM of the last `spans` tiles is the maximum over all spans. So the states can be added
at the end.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUERY_BITS = 16  # queries and their scales are int16, whatever the keys are
SCALE_SHIFT = 5  # leaves scales of 1 for the smallest scores and of 2^15 - 1 for scores beyond 1e4
OPERAND_BITS = 27  # the wider operand of a DSP48E2's multiplier; the other is 18 bits wide
SCORE_FRACTION = 14  # resolution of 2^-14 in log2: 2e-5 of a probability
SCORE_LIMIT = (1 << (16 + SCORE_FRACTION)) - 1  # scores of +-65536 in log2, 45426 in nature
SCORE_BITS = 17 + SCORE_FRACTION
MASKED = -SCORE_LIMIT - 1  # score of a masked key in the search for the maximum; the mask sets its probability to 0

POWER_FRACTION = 20  # fraction bits of 2^f during Horner's steps
# 2^f for 0 <= f < 1, lowest power first: least relative error, 3.5e-6 with the rounding, and 2^0 is exactly 1.
EXP2_COEFFICIENTS = (1048576, 726710, 253001, 54780, 14079)
EXP2_STEPS = len(EXP2_COEFFICIENTS) - 1
POWER_BITS = POWER_FRACTION + 3  # below 2.1, signed
EXPONENT_LIMIT = 31  # shifts beyond 20 leave 0, so a clamped exponent is as good as a larger one
PROBABILITY_FRACTION = 18
PROBABILITY_BITS = PROBABILITY_FRACTION + 2  # 0 to 1 inclusive, signed
MIN_HEAD = 32  # the exponentials of a tile hide behind this many values
POSITION_WORDS = 2  # a query's position is two words of QUERY_BITS behind its elements and its scale
OUTPUT_BITS = 24
QUERY_ADDRESS_BITS = 16


@dataclass(frozen=True)
class AttentionFormat:
    """Widths of an engine for keys and values of `input_bits`, heads up to `max_head` and up to `max_keys` keys.

    With `sink_queries` a job has queries of their own for tiles of sinks.
    """

    input_bits: int
    max_head: int
    max_keys: int
    sink_queries: bool = False

    @property
    def qk_bits(self) -> int:
        """Width of an exact dot product plus half of 2^qk_drop: max_head products up to 2^15 * 2^(input_bits - 1)."""
        return (self.max_head << (QUERY_BITS + self.input_bits - 2)).bit_length() + 2

    @property
    def qk_drop(self) -> int:
        """Low bits of a dot product that are rounded away, so that the rest is an operand of the multiplier."""
        return max(0, self.qk_bits - OPERAND_BITS)

    @property
    def unit(self) -> int:
        """The constant column of V whose state is the denominator: as large as a value, so it is as precise."""
        return 1 << (self.input_bits - 2)

    @property
    def value_drop(self) -> int:
        """Low bits of a tile's sum that are rounded away: the state keeps 14 (int8) or 10 (int16) fraction bits."""
        return 4 if self.input_bits == 8 else 8

    @property
    def product_bits(self) -> int:
        """Width of probability times value."""
        return PROBABILITY_FRACTION + self.input_bits + 1

    @property
    def state_bits(self) -> int:
        """Width of RNV and RD.

        Each key adds at most 2^PROBABILITY_FRACTION * 2^(input_bits - 1) / 2^value_drop, and each tile with a visible
        key at most 1 by rounding. Corrections never increase the magnitude. Sums over spans fit too, because each key
        is in one span only.
        """
        per_key = (1 << (PROBABILITY_FRACTION + self.input_bits - 1 - self.value_drop)) + 1
        return (self.max_keys * per_key).bit_length() + 1

    @property
    def output_fraction(self) -> int:
        """Outputs are values of V with this many more fraction bits."""
        return OUTPUT_BITS - self.input_bits

    @property
    def position_bits(self) -> int:
        """Width of positions and of counts of keys."""
        return self.max_keys.bit_length()


@dataclass(frozen=True)
class Mask:
    """Mask of the keys that a query sees, out of `keys`.

    A query at position p sees key m when m <= p (if `causal`), and when m > p - window (if `window`) or m < sinks.
    """

    keys: int
    causal: bool = False
    window: int = 0
    sinks: int = 0

    def visible(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """[keys, queries] for queries at `positions`."""
        m, p = np.arange(self.keys)[:, None], np.asarray(positions)[None, :]
        seen = np.ones((self.keys, p.shape[1]), np.bool_)
        if self.causal:
            seen &= m <= p
        if self.window:
            seen &= (m > p - self.window) | (m < self.sinks)
        return seen

    def tiles(self, positions: npt.NDArray[np.int64], rows: int) -> list[int]:
        """The tiles of `rows` keys that an engine visits for queries at `positions`, at least one.

        Tiles that are masked as a whole are left out: those behind the last position, and those between the sinks and
        the first window.
        """
        first, last = int(np.min(positions)), int(np.max(positions))
        limit = min(self.keys, last + 1) if self.causal else self.keys
        last_tile = (max(limit, 1) - 1) // rows
        if not self.window:
            return list(range(last_tile + 1))
        window_tile = min(max(first + 1 - self.window, 0) // rows, last_tile)
        sink_tiles = -(-self.sinks // rows)
        return [t for t in range(last_tile + 1) if t < sink_tiles or t >= window_tile]
