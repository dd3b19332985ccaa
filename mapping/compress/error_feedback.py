"""Rounding with error feedback: what one weight's rounding does wrong, the weights behind it make good.

A layer's inputs x are correlated, so an error in one weight can be cancelled by the others. With the gram matrix
H = mean(x x^T) the output's squared error is e H e^T for an error e of a row of weights. Weights are rounded one input
after the other; what is left of the error is spread over all inputs that are still to come, in the way that makes it
least. With U upper triangular and H^-1 = U^T U:

    error_i = (w_i - rounded(w_i)) / U[i, i]
    w_j    -= error_i * U[i, j]             for all j behind i

Source: GPTQ (Frantar et al., ICLR 2023, sections 3.1 to 3.3). The order is that of falling H[i, i], and each group's
step and special value are chosen before, so that groups stay consecutive inputs whatever the order.

The layers before are rounded, too, so a layer gets inputs x that differ from the float model's, x'. Its outputs should
be W x' nevertheless. The weights that come nearest to that are W + W D H^-1 with D = mean((x' - x) x^T), and those are
rounded (`InputGram.aimed`). Source: GPTAQ (Li et al., ICML 2025), which corrects input by input.

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
DAMPING = 0.1
"""Share of the mean of H's diagonal that is added to it. H comes from some thousand tokens, hardly more than it has
rows, so that what it says of weak directions is chance: with a tenth of this, outputs on another text err 7 % more."""
TRUST = 0.5
"""Share of what the layers before did wrong that a layer makes good: the rest is chance of the text's few tokens."""
SMALL = 64
"""Rows of a matrix that are factored at once."""
BLOCK = 4
"""Inputs within which errors go from one to the next; from a block on they go by products of matrices."""


@dataclass(frozen=True)
class InputGram:
    """Moments of a layer's inputs x over the tokens of a text.

    Attributes
    ----------
    matrix : float32 [K, K]: the mean of x x^T.
    drift : float32 [K, K]: the mean of (x' - x) x^T, where x' are the float model's inputs; None where x are those.
    """

    matrix: Float32
    drift: Float32 | None = None

    @classmethod
    def of(cls, inputs: Float32, exact: Float32 | None = None) -> "InputGram":
        """Those of inputs [T, K], and of the float model's inputs where they are others."""
        tokens = np.float32(max(len(inputs), 1))
        matrix: Float32 = inputs.T @ inputs
        matrix /= tokens
        if exact is None:
            return cls(matrix)
        missing: Float32 = exact - inputs
        drift: Float32 = missing.T @ inputs
        drift /= tokens
        return cls(matrix, drift)

    def aimed(self, weights: Float32) -> Float32:
        """The weights [N, K] to be rounded so that outputs are the float model's; a part of the way (TRUST)."""
        if self.drift is None:
            return weights
        missing = (weights @ self.drift)[:, self.order]
        result = weights.copy()
        result[:, self.order] += np.float32(TRUST) * ((missing @ self.factor.T) @ self.factor)
        return result

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
        # With the order of rows and columns turned round, Cholesky's lower factor L becomes an upper one, and so does
        # its inverse.
        turned = self.order[::-1]
        h = self.matrix[np.ix_(turned, turned)]
        mean = np.trace(h) / np.float32(len(h))
        h[np.diag_indices_from(h)] += np.float32(DAMPING) * mean if mean else np.float32(1)
        return np.ascontiguousarray(_inverse_factor(h)[::-1, ::-1])


def _inverse_factor(h: Float32) -> Float32:
    """L^-1 of Cholesky's h = L L^T, by halves: nearly all of its work is in products of matrices."""
    size = len(h)
    if size <= SMALL:
        return np.linalg.inv(np.linalg.cholesky(h))
    half, result = size // 2, np.zeros_like(h)
    first = _inverse_factor(h[:half, :half])
    below = h[half:, :half] @ first.T  # of L
    last = _inverse_factor(h[half:, half:] - below @ below.T)
    result[:half, :half], result[half:, half:] = first, last
    result[half:, :half] = -last @ (below @ first)
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
    steps, offsets = np.ascontiguousarray(steps.T), np.ascontiguousarray(choices.offsets(selectors).T)
    values, table = choices.values.ravel(), choices.codes.ravel()
    places = np.empty(weights.shape[::-1], np.uint16)

    def rounded(i: int, left: Float32, out: Float32) -> None:
        at = choices.places(left / divisors[i // group], offsets[i // group])
        places[i] = at
        values.take(at, out=out, mode="clip")
        out *= steps[i // group]
        if kept is not None:
            out[~kept[:, i]] = 0

    _feed_back(weights, gram, rounded)
    codes = table.take(places.T)
    if kept is not None:
        codes[~kept] = 0
    return codes


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
    order, factor = gram.order.tolist(), gram.factor
    left = np.ascontiguousarray(weights.T[gram.order])  # [K, N]: what is still to be expressed
    errors = np.empty_like(left)

    def feed_back(start: int, stop: int) -> None:
        """Express inputs from `start` to `stop`, the first half of them before the second one."""
        if stop - start > BLOCK:
            half = (start + stop) // 2
            feed_back(start, half)
            left[half:stop] -= factor[start:half, half:stop].T @ errors[start:half]
            feed_back(half, stop)
            return
        for i in range(start, stop):
            error = errors[i]
            express(order[i], left[i], error)
            np.subtract(left[i], error, out=error)
            error /= factor[i, i]
            if i + 1 < stop:
                left[i + 1 : stop] -= factor[i, i + 1 : stop, None] * error

    feed_back(0, len(left))
