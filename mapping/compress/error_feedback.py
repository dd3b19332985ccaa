"""Rounding with error feedback: what one weight's rounding does wrong, the weights behind it make good.

A layer's inputs x are correlated, so an error in one weight can be cancelled by the others. With the gram matrix
H = mean(x x^T) the output's squared error is e H e^T for an error e of a row of weights. Weights are rounded one input
after the other; what is left of the error is spread over all inputs that are still to come, in the way that makes it
least. With U upper triangular and H^-1 = U^T U:

    error_i = (w_i - rounded(w_i)) / U[i, i]
    w_j    -= error_i * U[i, j]             for all j behind i

Source: GPTQ (Frantar et al., ICLR 2023, sections 3.1 to 3.3). The order is that of falling H[i, i], and each group's
step and special value are chosen before, so that groups stay consecutive inputs whatever the order.

A pruned weight is one that is rounded to zero, and its whole value is the error. Source: SparseGPT (Frantar and
Alistarh, ICML 2023, section 3), but that weights to prune are chosen before, for the same reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.nearest import Float32, GroupLevels
from einloom.spec.formats import Format

UInt8 = npt.NDArray[np.uint8]
Wide = npt.NDArray[np.floating]  # float64
DAMPING = 0.1
"""Share of the mean of H's diagonal that is added to it. H comes from some thousand tokens, hardly more than it has
rows, so that what it says of weak directions is chance: with a tenth of this, outputs on another text err 7 % more."""
SMALL = 64
"""Rows of a matrix that are inverted at once."""
BLOCK = 32
"""Inputs after which the error goes on to all inputs behind; within a block it goes from input to input."""


@dataclass(frozen=True)
class InputGram:
    """Gram matrix of a layer's inputs, float32 [K, K]: the mean of x x^T over the tokens of a text."""

    matrix: Float32

    @classmethod
    def of(cls, inputs: Float32) -> "InputGram":
        """That of inputs [T, K]."""
        return cls((inputs.T @ inputs) / np.float32(max(len(inputs), 1)))

    @cached_property
    def importance(self) -> Float32:
        """What an input's rounding error costs after feedback, float32 [K], relative to the mean of all; none is 0.

        It is 1 / U[i, i]^2, what is left of the error's square when all inputs behind have done their best.
        """
        left = np.empty(len(self.matrix), np.float32)
        left[self.order] = 1 / np.square(np.diag(self.factor))
        relative: Float32 = left / left.mean() + np.float32(1e-6)
        return relative

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        """Inputs by falling mean square."""
        return np.argsort(-np.diag(self.matrix), kind="stable")

    @cached_property
    def factor(self) -> Float32:
        """U, float32 [K, K] upper triangular, of the inputs in `order`."""
        h = self.matrix[np.ix_(self.order, self.order)].astype(np.float64)
        mean = float(np.trace(h)) / len(h)
        h[np.diag_indices_from(h)] += DAMPING * mean if mean else 1.0
        # With the order of rows and columns turned round, Cholesky's lower factor becomes an upper one, h = V V^T.
        upper = np.linalg.cholesky(h[::-1, ::-1])[::-1, ::-1]
        return _inverse(upper).astype(np.float32)


def _inverse(upper: Wide) -> Wide:
    """Inverse of an upper triangular matrix, by halves: nearly all of its work is in products of matrices."""
    size = len(upper)
    if size <= SMALL:
        return np.linalg.inv(upper)
    half, result = size // 2, np.zeros_like(upper)
    first, last = _inverse(upper[:half, :half]), _inverse(upper[half:, half:])
    result[:half, :half], result[half:, half:] = first, last
    result[:half, half:] = -first @ (upper[:half, half:] @ last)
    return result


def feedback_codes(
    weights: Float32,
    format: Format,
    steps: Float32,
    selectors: UInt8,
    gram: InputGram,
    kept: npt.NDArray[np.bool_] | None = None,
) -> UInt8:
    """Codes [N, K] of `weights` [N, K], with the final step and the selector of each group, [N, G].

    Where `kept` [N, K] is false the code is 0, which must be zero in `format`, and all of the weight is error. A group
    whose step is 0 is all zeros in exact arithmetic, and gets the codes nearest to 0. Takes some 40 bytes a weight:
    give large matrices block by block of their rows, which don't depend on each other.
    """
    choices = GroupLevels.of(format)
    group = weights.shape[1] // steps.shape[1]
    divisors = np.ascontiguousarray(np.where(steps > 0, steps, np.float32(1)).T)
    steps, selectors = np.ascontiguousarray(steps.T), np.ascontiguousarray(selectors.T)
    values, table = choices.values.ravel(), choices.codes.ravel()
    codes = np.empty(weights.shape[::-1], np.uint8)

    def rounded(i: int, left: Float32, out: Float32) -> None:
        places = choices.places(left / divisors[i // group], selectors[i // group])
        codes[i] = table[places]
        np.multiply(values[places], steps[i // group], out=out)
        if kept is not None:
            codes[i, ~kept[:, i]] = 0
            out[~kept[:, i]] = 0

    _feed_back(weights, gram, rounded)
    return np.ascontiguousarray(codes.T)


def reconstructed(weights: Float32, kept: npt.NDArray[np.bool_], gram: InputGram) -> Float32:
    """Weights [N, K] that are zero where `kept` is false, and elsewhere make good what is not there; not rounded."""
    result = np.empty(weights.shape[::-1], np.float32)

    def pruned(i: int, left: Float32, out: Float32) -> None:
        np.multiply(left, kept[:, i], out=out)
        result[i] = out

    _feed_back(weights, gram, pruned)
    return np.ascontiguousarray(result.T)


def _feed_back(weights: Float32, gram: InputGram, express: Callable[[int, Float32, Float32], None]) -> None:
    """Express one input's weights after the other; what is wrong with one is spread over all behind.

    `express` takes an input, its weights [N] as they are by then, and where it writes what they become.
    """
    outputs, inputs = weights.shape
    factor, left = gram.factor, np.ascontiguousarray(weights.T[gram.order])  # [K, N]: what is still to be expressed
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = np.empty((stop - start, outputs), np.float32)
        for i in range(start, stop):
            error = errors[i - start]
            express(int(gram.order[i]), left[i], error)
            np.subtract(left[i], error, out=error)
            error /= factor[i, i]
            left[i + 1 : stop] -= factor[i, i + 1 : stop, None] * error
        left[stop:] -= factor[start:stop, stop:].T @ errors
