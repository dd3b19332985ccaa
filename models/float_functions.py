"""Norms, activation functions and RoPE in NumPy float32."""

import math

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
    mean_square = np.mean(x * x, axis=-1, keepdims=True)
    result: Floats = x / np.sqrt(mean_square + np.float32(eps)) * weight
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
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def activate(x: Floats, activation: Activation) -> Floats:
    """The activation function of every element."""
    result: Floats
    match activation:
        case Activation.SILU:
            return silu(x)
        case Activation.GELU:
            erf = np.vectorize(math.erf, otypes=[np.float32])
            result = x * (1 + erf(x * np.float32(math.sqrt(0.5)))) / 2
        case Activation.GELU_TANH:
            inside = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
            result = x * (1 + np.tanh(inside)) / 2
        case Activation.RELU:
            result = np.maximum(x, 0)
        case Activation.SQUARED_RELU:
            result = np.square(np.maximum(x, 0))
    return result


def silu(x: Floats) -> Floats:
    """x * sigmoid(x), by the half of the sigmoid that doesn't overflow."""
    small = np.exp(-np.abs(x))
    result: Floats = x * np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return result
