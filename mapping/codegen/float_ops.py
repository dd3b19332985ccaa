"""Functions that the vector unit has no operation for, as sequences of its operations.

All work on `outer` times `inner` words of every token. An operand that is written must not be one that is read, unless
the function says so.
"""

import math

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.regions import Operand
from einloom.models.decoder_graph import Activation
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
NORMAL_LOGIT = (1.595655153, 0.07293986058, -2.509516929e-4, -6.093454834e-5, 2.225272629e-6)
"""ln(Phi(x) / Phi(-x)) / x in powers of x^2, lowest first, for the normal distribution's Phi: fitted for |x| < 6 so
that x * Phi(x) is off by 3.1e-6 at most. Beyond, it goes on rising."""
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


def exact_gelu(p: ProgramBuilder, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int) -> None:
    """d = GELU(x) = x * Phi(x) within 4e-6, with Phi(x) as the sigmoid of NORMAL_LOGIT; `t` and `u` are overwritten."""
    *low, top = NORMAL_LOGIT
    p.vec(VectorOp.MAD, t, x, x, inner=inner)
    p.vec(VectorOp.MAD, d, t, p.constant(top), low[-1], inner=inner)
    for coefficient in low[-2::-1]:
        p.vec(VectorOp.MAD, d, d, t, coefficient, inner=inner)
    p.vec(VectorOp.MAD, d, d, x, inner=inner)
    sigmoid(p, d, d, t, u, inner=inner)
    p.vec(VectorOp.MAD, d, d, x, inner=inner)


def soft_cap(p: ProgramBuilder, cap: float, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int) -> None:
    """d = cap * tanh(x / cap) = 2 cap * sigmoid(2 x / cap) - cap; `t` and `u` are overwritten, d may be x."""
    sigmoid(p, d, x, t, u, inner=inner, factor=2 / cap)
    p.vec(VectorOp.MAD, d, d, 2 * cap, p.constant(-cap), inner=inner)


def activate(
    p: ProgramBuilder, activation: Activation, d: Operand, x: Operand, t: Operand, u: Operand, *, inner: int
) -> None:
    """d = the activation function of x; `t` and `u` are overwritten."""
    match activation:
        case Activation.SILU:
            sigmoid(p, d, x, t, u, inner=inner)
            p.vec(VectorOp.MAD, d, d, x, inner=inner)
        case Activation.GELU_TANH:
            gelu(p, d, x, t, u, inner=inner)
        case Activation.GELU:
            exact_gelu(p, d, x, t, u, inner=inner)
        case Activation.RELU:
            p.vec(VectorOp.MAX, d, x, 0.0, inner=inner)
        case Activation.SQUARED_RELU:
            p.vec(VectorOp.MAX, d, x, 0.0, inner=inner)
            p.vec(VectorOp.MAD, d, d, d, inner=inner)


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
