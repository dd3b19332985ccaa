"""Keys and values as codes with a scale for each token and head, as instructions of the vector unit."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import reciprocal
from einloom.mapping.codegen.lane_heads import HeadRun, LaneHeads
from einloom.mapping.codegen.padding import Heads
from einloom.mapping.codegen.parameters import LayerParameters
from einloom.mapping.codegen.quantize import HeadScratch
from einloom.mapping.regions import Operand, Region
from einloom.spec.cache_format import LARGEST_SCALE
from einloom.spec.isa import Space, VectorOp

Floats = npt.NDArray[np.float32]
MOST_STEPS = 255
"""Outer steps of an instruction."""
WORD_BITS = 32
SCALE_FIELD = 16


class TokenCoder:
    """Spreads heads by a Hadamard matrix over their words, and codes them with the smallest scale that holds them.

    Where lanes can exchange elements, the matrix goes over a word's elements too.

    Element e of word w meets element e of the head's other words: sums and differences of whole words are all that it
    takes. What is large in one word becomes small in all of them, so a head's largest element is nearer to the others
    (QuaRot, Ashkboos et al., NeurIPS 2024, which mixes all elements). Queries and keys are spread alike, which leaves
    their products; outputs are spread back, since the matrix is its own inverse but for a factor.

    Attributes
    ----------
    stages : of sums and differences: log2 of the words that are mixed, the largest power of two that divides a head's,
        and log2 of the lanes.
    gain : sqrt(2^stages), by which `spread` makes norms larger.
    """

    def __init__(self, p: ProgramBuilder, heads: Heads, lanes: LaneHeads) -> None:
        self._p, self._heads, self._lanes = p, heads, lanes
        self._words = p.words(heads.size)
        self._word_stages = (self._words & -self._words).bit_length() - 1
        self._lane_stages = (p.core.lanes - 1).bit_length() if p.core.cache.exchanges else 0
        self.stages = self._word_stages + self._lane_stages
        self.gain = 2.0 ** (self.stages / 2)
        self._scratch = HeadScratch.of(p, heads.groups, "cache")

    def parameters(self) -> dict[str, Floats]:
        """The shifts that bring each lane its part of a scale, low first, to the top of 32 bits; and for each stage
        over lanes the sign of a lane's own element."""
        width = self._p.core.cache.code_bits
        parts = SCALE_FIELD // width
        shifts = [WORD_BITS - width * (lane % parts + 1) for lane in range(self._p.core.lanes)]
        lanes = np.arange(self._p.core.lanes)
        signs = [1 - 2 * (lanes >> stage & 1) for stage in range(self._lane_stages)]
        return {"cache.shifts": np.array(shifts, np.uint32).view(np.float32)} | {
            f"cache.signs{stage}": sign.astype(np.float32) for stage, sign in enumerate(signs)
        }

    def spread(self, x: Region, other: Region, heads: int, parameters: LayerParameters) -> Region:
        """Where the `heads` of `x` are, mixed: in `x` or in `other`, both of which are overwritten.

        Stage n puts the sum of words 2^n apart into the place of the first, and their difference into that of the
        second, which is Sylvester's matrix.
        """
        for stage in range(self._word_stages):
            half, step = 1 << stage, 2 << stage
            pairs = heads * self._words // step
            for first in range(0, pairs, MOST_STEPS):
                at, outer = first * step, min(MOST_STEPS, pairs - first)
                low, high = x.at(at, outer=step), x.at(at + half, outer=step)
                for offset, negate in ((0, False), (half, True)):
                    d = other.at(at + offset, outer=step)
                    self._p.vec(VectorOp.MAD, d, high, None, low, negate=negate, outer=outer, inner=half)
            x, other = other, x
        for stage in range(self._lane_stages):
            sign = parameters.operand(f"cache.signs{stage}")
            sign = sign.region.at(sign.offset, inner=0)
            self._p.vec(
                VectorOp.EXCHANGE, other.at(), x.at(), sign, x.at(), distance=1 << stage, inner=heads * self._words
            )
            x, other = other, x
        return x

    def emit(self, x: Region, other: Region, staged: Sequence[Region], parameters: LayerParameters) -> None:
        """The headers and codes of all heads in `x`, which holds elements of the attention engine over `gain`."""
        p, s, groups, words, cache = self._p, self._scratch, self._heads.groups, self._words, self._p.core.cache
        x = self.spread(x, other, groups, parameters)
        steps = 2.0**cache.scale_shift
        p.vec(VectorOp.MAXABS, s.scale.at(outer=1), x.at(outer=words), outer=groups, inner=words)
        p.vec(VectorOp.MAD, s.scale.at(), s.scale.at(), steps / cache.largest_code, p.constant(0.5), inner=groups)
        p.vec(VectorOp.MIN, s.scale.at(), s.scale.at(), float(LARGEST_SCALE), inner=groups)
        p.vec(VectorOp.TOINT, s.scale.at(), s.scale.at(), inner=groups)
        p.vec(VectorOp.TOFLOAT, s.scale.at(), s.scale.at(), inner=groups)
        p.vec(VectorOp.MAX, s.scale.at(), s.scale.at(), 1.0, inner=groups)
        reciprocal(p, s.inverse.at(), s.scale.at(), s.t.at(), inner=groups)
        p.vec(VectorOp.MAD, s.inverse.at(), s.inverse.at(), steps, inner=groups)
        for d, run in self._staged(staged, 1):
            inverse = run.of(s.inverse.at(inner=0), 1)
            a = run.of(x.at(), words)
            p.vec(VectorOp.MAD, d, a, inverse, outer=run.heads, inner=words, space=Space.KEY_VALUES)
        shifts = parameters.operand("cache.shifts").region.at(parameters["cache.shifts"].offset, inner=0)
        p.vec(VectorOp.TOINT, s.t.at(), s.scale.at(), inner=groups)
        p.vec(VectorOp.SHL, s.t.at(), s.t.at(), shifts, inner=groups)
        p.vec(VectorOp.SHR, s.t.at(), s.t.at(), WORD_BITS - cache.code_bits, inner=groups)
        for header, run in self._staged(staged, 0):
            fields = run.of(s.t.at(inner=0), 1)
            p.vec(VectorOp.TOFLOAT, header, fields, outer=run.heads, inner=1, space=Space.KEY_VALUES)

    def _staged(self, staged: Sequence[Region], offset: int) -> Iterator[tuple[Operand, HeadRun]]:
        """Where the heads of each run are staged, from word `offset` of each on."""
        head = self._words + 1
        for lane, region in enumerate(staged):
            for run in self._lanes.runs(lane, head):
                yield region.at(run.turn * head + offset, outer=head), run
