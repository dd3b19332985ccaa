"""Quantization of activations and queries to the engines' integers, as instructions of the vector unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from einloom.mapping.attention_operands import QUERY_LIMIT
from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import reciprocal, rsqrt
from einloom.mapping.regions import Operand, Region
from einloom.spec.isa import Space, VectorOp

LARGEST_CODE = 127
"""int8 activations are symmetric."""
SMALLEST_ABSMAX = 1e-30
"""Least absmax of a token. A token all but zero is quantized as if its largest element were this, so 1 / absmax is
finite."""


@dataclass(frozen=True)
class Scratch:
    """Words of each token for the scalars of a token."""

    absmax: Region
    inverse: Region
    square: Region
    t: Region
    u: Region

    @classmethod
    def of(cls, p: ProgramBuilder) -> "Scratch":
        return cls(*(p.per_token(f"scratch.{name}", 1) for name in ("absmax", "inverse", "square", "t", "u")))


def quantize(
    p: ProgramBuilder, s: Scratch, x: Operand, d: Region, scale: Region, *, words: int, maxima: Region | None = None
) -> None:
    """d = int8 codes of the `words` of `x` with one scale per token: absmax / 127, which goes to `scale`.

    The largest magnitude of `x` is that of `maxima`, if they are given.
    """
    if maxima:
        p.vec(VectorOp.MAXABS, s.absmax.at(), maxima.at(), inner=maxima.words)
    else:
        p.vec(VectorOp.MAXABS, s.absmax.at(), x, inner=words)
    p.vec(VectorOp.MAX, s.absmax.at(), s.absmax.at(), SMALLEST_ABSMAX, inner=1)
    reciprocal(p, s.inverse.at(), s.absmax.at(), s.t.at())
    p.vec(VectorOp.MAD, s.inverse.at(), s.inverse.at(), float(LARGEST_CODE), inner=1)
    p.vec(VectorOp.MAD, d.at(), x, s.inverse.each, inner=words, space=Space.ACTIVATIONS)
    p.vec(VectorOp.MAD, scale.at(), s.absmax.at(), 1.0 / LARGEST_CODE, inner=1)


def quantize_normalised(
    p: ProgramBuilder,
    s: Scratch,
    x: Region,
    gamma: Operand,
    weighted: Region,
    d: Region,
    scale: Region,
    *,
    words: int,
    elements: int,
    epsilon: float,
) -> None:
    """d = int8 codes of RMSNorm(x) * gamma, and their scale; `words` hold `elements`, and zeros behind them.

    The root mean square cancels out of the codes, so only the scale is divided by it. That takes the root off the
    critical path, because the GEMM unit waits for the codes first. `weighted` is overwritten.
    """
    p.vec(VectorOp.MAD, weighted.at(), x.at(), gamma, inner=words)
    quantize(p, s, weighted.at(), d, scale, words=words)
    p.vec(VectorOp.SUM, s.square.at(), x.at(), x.at(), inner=words)
    p.vec(VectorOp.MAD, s.square.at(), s.square.at(), 1.0 / elements, p.constant(epsilon), inner=1)
    rsqrt(p, s.inverse.at(), s.square.at(), s.t.at(), s.u.at())
    p.vec(VectorOp.MAD, scale.at(), scale.at(), s.inverse.at(), inner=1)


def layer_norm(
    p: ProgramBuilder,
    s: Scratch,
    x: Region,
    gamma: Operand,
    beta: Operand,
    d: Region,
    *,
    words: int,
    elements: int,
    epsilon: float,
    mask: Operand | None = None,
) -> None:
    """d = (x - mean) / sqrt(variance + epsilon) * gamma + beta, over each token's elements; d may be x.

    `words` hold `elements`, and zeros behind them. These need a `mask`, ones for the elements and zeros behind: with
    the mean subtracted, zeros would count in the variance. gamma and beta are zeros there.
    """
    p.vec(VectorOp.SUM, s.t.at(), x.at(), negate=True, inner=words)
    p.vec(VectorOp.MAD, s.t.at(), s.t.at(), 1.0 / elements, inner=1)  # minus the mean
    if mask is None:
        p.vec(VectorOp.MAD, d.at(), x.at(), None, s.t.each, inner=words)
    else:
        p.vec(VectorOp.MAD, d.at(), mask, s.t.each, x.at(), inner=words)
    p.vec(VectorOp.SUM, s.square.at(), d.at(), d.at(), inner=words)
    p.vec(VectorOp.MAD, s.square.at(), s.square.at(), 1.0 / elements, p.constant(epsilon), inner=1)
    rsqrt(p, s.inverse.at(), s.square.at(), s.t.at(), s.u.at())
    p.vec(VectorOp.MAD, d.at(), d.at(), s.inverse.each, inner=words)
    p.vec(VectorOp.MAD, d.at(), d.at(), gamma, beta, inner=words)


@dataclass(frozen=True)
class HeadScratch:
    """Words of each token and head for scales."""

    scale: Region
    inverse: Region
    t: Region

    @classmethod
    def of(cls, p: ProgramBuilder, heads: int, name: str = "queries") -> "HeadScratch":
        return cls(*(p.per_token(f"{name}.{part}", heads) for part in ("scale", "inverse", "t")))


@dataclass(frozen=True)
class HeadNormScratch:
    """Words of each token and head for norms of heads."""

    square: Region
    inverse: Region
    t: Region
    u: Region

    @classmethod
    def of(cls, p: ProgramBuilder, heads: int) -> "HeadNormScratch":
        return cls(*(p.per_token(f"heads.{name}", heads) for name in ("square", "inverse", "t", "u")))


def quantize_queries(
    p: ProgramBuilder, s: HeadScratch, x: Region, buffers: Sequence[tuple[Region, int]], *, head: int, block: int
) -> None:
    """The query buffers' words of the heads in `x`: int16 codes, and the integer scale of each head.

    `x` holds heads of `head` words, so many for each buffer as stand beside it, in units in which code * scale is the
    engine's score times a key (mapping/attention_operands.py). The scale is the smallest integer for which all codes
    fit, but for rounding, which saturation takes care of.
    """
    heads = sum(count for _, count in buffers)
    p.vec(VectorOp.MAXABS, s.scale.at(outer=1), x.at(outer=head), outer=heads, inner=head)
    p.vec(VectorOp.MAD, s.scale.at(), s.scale.at(), 1.0 / QUERY_LIMIT, p.constant(0.5), inner=heads)
    p.vec(VectorOp.TOINT, s.scale.at(), s.scale.at(), inner=heads)
    p.vec(VectorOp.TOFLOAT, s.scale.at(), s.scale.at(), inner=heads)
    p.vec(VectorOp.MAX, s.scale.at(), s.scale.at(), 1.0, inner=heads)
    reciprocal(p, s.inverse.at(), s.scale.at(), s.t.at(), inner=heads)
    first = 0
    for buffer, group in buffers:
        scale, inverse = s.scale.at(first, outer=1, inner=0), s.inverse.at(first, outer=1, inner=0)
        codes = x.at(first * head, outer=head)
        p.vec(VectorOp.MAD, buffer.at(head), scale, outer=group, inner=1, space=Space.QUERY_SCALE, block=block)
        p.vec(VectorOp.MAD, buffer.at(), codes, inverse, outer=group, inner=head, space=Space.QUERIES, block=block)
        first += group
