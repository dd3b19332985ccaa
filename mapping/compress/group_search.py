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
COARSE = np.float32(0.12)
"""Distance of the ranges by which error feedback's search chooses a special value, from the full range downwards."""
FINE = (np.float32(-0.04), np.float32(0.04))
"""What it adds to the best of them then: error feedback leaves little to a finer search."""
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

    The special value is chosen by a few ranges, and then two others are tried for that value: an eighth of the full
    search's work. The full range is among them, which is exact for what was in this format before.
    """
    choices, root = GroupLevels.of(format), np.sqrt(importance)
    largest = np.abs(weights).max(axis=-1)
    best_error = np.full(largest.shape, np.inf, np.float32)
    best_step, best_share = np.zeros_like(largest), np.ones_like(largest)
    selectors = np.zeros(largest.shape, np.uint8)

    def in_steps(share: Float32 | np.float32, value: Float32 | np.float32) -> tuple[Float32, Float32]:
        """Steps of the groups, and the weights in them."""
        step = np.maximum(largest * share / value, SMALLEST_STEP)
        return step, weights / step[..., None]

    def better(nearest: Float32, ratios: Float32, step: Float32) -> npt.NDArray[np.bool_]:
        """Keep the step where its nearest values, which are overwritten, err less; these groups."""
        nearest -= ratios
        nearest *= root
        error = np.einsum("ngk,ngk->ng", nearest, nearest) * np.square(step)
        found: npt.NDArray[np.bool_] = error < best_error
        np.copyto(best_error, error, where=found)
        np.copyto(best_step, step, where=found)
        return found

    for share in np.arange(1, searched_ranges(format)[0], -COARSE, dtype=np.float32):
        for selector, value in enumerate(choices.largest):
            # Special values of both signs come one after the other, and have the same steps.
            if selector == 0 or value != choices.largest[selector - 1]:
                step, ratios = in_steps(share, value)
                positions = choices.positions(ratios)
            found = better(choices.values[selector].take(positions, mode="clip"), ratios, step)
            np.copyto(best_share, share, where=found)
            np.copyto(selectors, np.uint8(selector), where=found)
    for change in FINE:
        step, ratios = in_steps(best_share + change, choices.largest[selectors])
        offsets = choices.offsets(selectors)[..., None]
        better(choices.values.take(choices.places(ratios, offsets), mode="clip"), ratios, step)
    best_step[largest == 0] = 0
    return _held(weights, format, best_step), selectors


def _held(weights: Float32, format: Format, steps: Float32) -> Float32:
    """The `steps`, but of groups that the format holds as they are those that keep their codes."""
    exact = grid_steps(weights, format)
    return np.where(exact > 0, exact, steps)
