"""The first level of quantization: each group's step and special value, by smallest squared error.

BitMoD (HPCA 2025, Algorithm 1): a group tries every special value with the step that maps its largest weight to the
format's largest value, and keeps the first one with the smallest error. The scale search tries smaller and larger steps
too: clipping the largest weight a little is often worth the finer step for all others.
"""

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.code_grid import grid_steps
from einloom.mapping.compress.nearest import Float32, GroupLevels, levels
from einloom.spec.formats import Format

FULL_RANGE = np.ones(1, np.float32)
SEARCHED_RANGES = np.linspace(0.6, 1.1, 26, dtype=np.float32)
# With two to four values most weights are far from the largest: the best step for normally distributed ones maps their
# largest weight to several times the largest value.
WIDE_RANGES = np.linspace(0.1, 1.1, 51, dtype=np.float32)
COARSE, FINE = slice(2, None, 6), slice(5, None, 6)
"""Every third range, the full one among them: error feedback leaves little to a finer search. The special value is
chosen by half of them."""
# Below the smallest step that matters, and far from float32's subnormal numbers: with a row whose largest weight is
# near 1, 8-bit scales reach no further than 2 ** -20.
SMALLEST_STEP = np.float32(2.0**-40)


def searched_ranges(format: Format) -> Float32:
    """Ranges that the scale search tries: what the largest weight maps to, relative to the largest value."""
    return SEARCHED_RANGES if format.bsig else WIDE_RANGES


def search_groups(weights: Float32, format: Format, *, scale_search: bool) -> tuple[Float32, npt.NDArray[np.uint8]]:
    """The step, float32 [...], and the selector, uint8 [...], of each group of `weights` [..., group].

    A step is what one integer of the format means; it is 0 for a group of zeros. Weights are those of whole rows whose
    largest magnitude is near 1.
    """
    largest = np.abs(weights).max(axis=-1)
    best_error = np.full(largest.shape, np.inf, np.float32)
    best_step = np.zeros_like(largest)
    selectors = np.zeros(largest.shape, np.uint8)
    for selector, choice in enumerate(levels(format)):
        for share in searched_ranges(format) if scale_search else FULL_RANGE:
            step = np.maximum(largest * share / choice.largest, SMALLEST_STEP)
            difference = choice.round(weights / step[..., None])
            difference *= step[..., None]
            difference -= weights
            np.square(difference, out=difference)
            error = difference.mean(axis=-1)
            better = error < best_error
            best_error[better] = error[better]
            best_step[better] = step[better]
            selectors[better] = selector
    best_step[largest == 0] = 0
    return _held(weights, format, best_step), selectors


def search_weighted_groups(
    weights: Float32, format: Format, importance: Float32
) -> tuple[Float32, npt.NDArray[np.uint8]]:
    """As `search_groups`, by the smallest sum of importance * error ** 2, `importance` float32 [G, group].

    The special value is chosen by a few ranges, and then others are tried for that value: a sixth of the full search's
    work.
    """
    choices, root = GroupLevels.of(format), np.sqrt(importance)
    largest = np.abs(weights).max(axis=-1)
    best_error = np.full(largest.shape, np.inf, np.float32)
    best_step, best_selector = np.zeros_like(largest), np.zeros(largest.shape, np.uint8)

    def step_of(share: np.float32, value: Float32 | np.float32) -> Float32:
        step: Float32 = np.maximum(largest * share / value, SMALLEST_STEP)
        return step

    def keep_better(values: Float32, step: Float32, selectors: npt.NDArray[np.uint8]) -> None:
        """Keep the step where its nearest `values`, which are overwritten, err less."""
        values *= step[..., None]
        values -= weights
        values *= root
        error = np.einsum("ngk,ngk->ng", values, values)
        better = error < best_error
        best_error[better] = error[better]
        best_step[better] = step[better]
        best_selector[better] = selectors[better]

    shares = (np.float32(1), *searched_ranges(format)[COARSE])  # 1 is exact for what was in this format before
    for selector, value in enumerate(choices.largest):
        # Special values of both signs come one after the other, and have the same steps.
        if selector == 0 or value != choices.largest[selector - 1]:
            steps = [step_of(share, value) for share in shares]
            positions = [choices.positions(weights / step[..., None]) for step in steps]
        for step, at in zip(steps, positions, strict=True):
            nearest = choices.values[selector].take(at, mode="clip")
            keep_better(nearest, step, np.full(largest.shape, selector, np.uint8))
    chosen = best_selector.copy()
    for share in searched_ranges(format)[FINE]:
        step = step_of(share, choices.largest[chosen])
        places = choices.places(weights / step[..., None], chosen[..., None])
        keep_better(choices.values.take(places), step, chosen)
    best_step[largest == 0] = 0
    return _held(weights, format, best_step), best_selector


def _held(weights: Float32, format: Format, steps: Float32) -> Float32:
    """The `steps`, but of groups that the format holds as they are those that keep their codes."""
    exact = grid_steps(weights, format)
    return np.where(exact > 0, exact, steps)
