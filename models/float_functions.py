"""Norms, activation functions and RoPE in float32.

Arrays may be those of any library with NumPy's functions, JAX's that are differentiated among them: each function
takes them from the array that it gets.
"""

import math
from typing import cast

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_graph import Activation, NormKind, Rope
from einloom.models.linears import Floats


def normalise(x: Floats, kind: NormKind, weight: Floats, bias: Floats | None, epsilon: float) -> Floats:
    """The norm of that kind over the last axis."""
    if kind is NormKind.LAYER:
        x = x - x.mean(axis=-1, keepdims=True)
    result = rms_norm(x, weight, epsilon)
    return result if bias is None else result + bias


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """x / sqrt(mean of x^2 + eps) * weight over the last axis."""
    xp = x.__array_namespace__()
    mean_square = xp.mean(x * x, axis=-1, keepdims=True)
    result: Floats = x / xp.sqrt(mean_square + np.float32(eps)) * weight
    return result


def angles(rope: Rope, positions: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Cosines and sines [positions, pairs], float32 of float64 angles, so that they hold at long contexts."""
    frequencies = np.array(rope.frequencies)
    turned = positions[:, None] * frequencies
    factor = np.where(frequencies == 0, 1.0, rope.factor)
    return (np.cos(turned) * factor).astype(np.float32), (np.sin(turned) * factor).astype(np.float32)


def rotate(x: Floats, positions: npt.NDArray[np.int64], rope: Rope) -> Floats:
    """Rotary position embedding of `x` [T, heads, D]: element i turns with i + D / 2."""
    half = x.shape[-1] // 2
    cos, sin = (table[:, None] for table in angles(rope, positions))
    first, second = x[..., :half], x[..., half:]
    turned: Floats = x.__array_namespace__().concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=-1
    )
    return turned


def activate(x: Floats, activation: Activation) -> Floats:
    """The activation function of every element."""
    result: Floats
    xp = x.__array_namespace__()
    match activation:
        case Activation.SILU:
            return silu(x)
        case Activation.GELU:
            result = x * (1 + _erf(x * np.float32(math.sqrt(0.5)))) * np.float32(0.5)
        case Activation.GELU_TANH:
            inside = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
            result = x * (1 + xp.tanh(inside)) / 2
        case Activation.RELU:
            result = xp.maximum(x, 0)
        case Activation.SQUARED_RELU:
            result = xp.square(xp.maximum(x, 0))
    return result


def _erf(x: Floats) -> Floats:
    """The error function of every element."""
    if isinstance(x, np.ndarray):
        result: Floats = np.vectorize(math.erf, otypes=[np.float32])(x)
        return result
    from jax.scipy.special import erf  # of all libraries, only this one's arrays get here

    return cast(Floats, erf(x))


def silu(x: Floats) -> Floats:
    """x * sigmoid(x), by the half of the sigmoid that doesn't overflow."""
    xp = x.__array_namespace__()
    small = xp.exp(-xp.abs(x))
    # The larger one is 1 for positive x and `small` else; a choice by where() takes NumPy five times as long.
    result: Floats = x * (xp.maximum(small, (x >= 0).astype(np.float32)) / (1 + small))
    return result
