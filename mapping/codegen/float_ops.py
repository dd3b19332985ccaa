"""Functions that the vector unit has no operation for, as sequences of its operations.

All work on `outer` times `inner` words of every token. An operand that is written must not be one that is read, unless
the function says so.
"""

import math

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.regions import Operand
from einloom.spec.isa import VectorOp

RECIPROCAL_SEED = 0x7EF311C7
"""Integer that, less the bits of x, gives 1 / x within 12 %. It does because a float's bits are about its logarithm."""
RSQRT_SEED = 0x5F3759DF
"""Integer that, less half the bits of x, gives 1 / sqrt(x) within 3.5 %."""
NEWTON_STEPS = 3
"""Newton's steps. Each squares the error: 0.12, 0.015, 2e-4, 5e-8; for rsqrt 0.035, 2e-3, 5e-6, 4e-11."""
EXP2_POLYNOMIAL = (1.0, 0.693147, 0.24022242, 0.055507336, 0.009671513, 0.0013264726)
"""2^f for |f| <= 1/2, lowest power first: least relative error, 9e-8 and 1.7e-7 with float32's rounding."""
SIGMOID_LIMIT = 64.0
"""Beyond, the sigmoid is 0 or 1 to all bits that matter, and 2^x stays far from overflow."""
GELU_CUBE = 0.044715
MANTISSA_BITS = 23


def reciprocal(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, *, inner: int = 1, outer: int = 1) -> None:
    """d = 1 / x for normal |x| below 2^126, by Newton's iteration; `t` is overwritten."""
    p.vec(VectorOp.ISUB, d, x, RECIPROCAL_SEED, inner=inner, outer=outer)
    for _ in range(NEWTON_STEPS):
        p.vec(VectorOp.MAD, t, x, d, 2.0, negate=True, inner=inner, outer=outer)
        p.vec(VectorOp.MAD, d, d, t, inner=inner, outer=outer)


def rsqrt(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int = 1) -> None:
    """d = 1 / sqrt(x) for x from 2^-125 to 2^125, beyond which half of x or 1 / x would be subnormal, by Newton's
    iteration; `t` and `u` are overwritten."""
    p.vec(VectorOp.SHR, t, x, 1, inner=inner)
    p.vec(VectorOp.ISUB, d, t, RSQRT_SEED, inner=inner)
    p.vec(VectorOp.MAD, u, x, 0.5, inner=inner)
    for _ in range(NEWTON_STEPS):
        p.vec(VectorOp.MAD, t, d, d, inner=inner)
        p.vec(VectorOp.MAD, t, t, u, 1.5, negate=True, inner=inner)
        p.vec(VectorOp.MAD, d, d, t, inner=inner)


def sigmoid(
    p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int, factor: float = 1.0
) -> None:
    """d = 1 / (1 + exp(-factor * x)); `t` and `u` are overwritten, d may be x."""
    p.vec(VectorOp.MAD, t, x, -factor * math.log2(math.e), inner=inner)
    p.vec(VectorOp.MAX, t, t, -SIGMOID_LIMIT, inner=inner)
    p.vec(VectorOp.MIN, t, t, SIGMOID_LIMIT, inner=inner)
    exp2(p, d, t, u, inner=inner)
    p.vec(VectorOp.MAD, t, d, None, 1.0, inner=inner)
    reciprocal(p, d, t, u, inner=inner)


def gelu(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int) -> None:
    """d = GELU(x) in its tanh form (Hendrycks and Gimpel, 2016), which is x * sigmoid(2 y) with
    y = sqrt(2 / pi) * (x + GELU_CUBE * x^3); `t` and `u` are overwritten."""
    p.vec(VectorOp.MAD, t, x, x, inner=inner)
    p.vec(VectorOp.MAD, t, t, GELU_CUBE, p.constant(1.0), inner=inner)
    p.vec(VectorOp.MAD, d, t, x, inner=inner)
    sigmoid(p, d, d, t, u, inner=inner, factor=2 * math.sqrt(2 / math.pi))
    p.vec(VectorOp.MAD, d, d, x, inner=inner)


def exp2(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, *, inner: int) -> None:
    """d = 2^x for |x| <= 126; `x` and `t` are overwritten."""
    p.vec(VectorOp.TOINT, t, x, inner=inner)
    p.vec(VectorOp.TOFLOAT, d, t, inner=inner)
    p.vec(VectorOp.MAD, x, d, p.constant(-1.0), x, inner=inner)  # the fraction
    p.vec(VectorOp.SHL, t, t, MANTISSA_BITS, inner=inner)  # the whole part, where it is added to an exponent
    *low, top = EXP2_POLYNOMIAL
    p.vec(VectorOp.MAD, d, x, p.constant(top), low[-1], inner=inner)
    for coefficient in low[-2::-1]:
        p.vec(VectorOp.MAD, d, d, x, coefficient, inner=inner)
    p.vec(VectorOp.IADD, d, d, t, inner=inner)
