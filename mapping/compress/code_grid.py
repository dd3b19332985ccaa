"""Groups of weights that integer codes hold as they are, since a checkpoint was quantized before.

Such a group's weights are integers times one step, which its file (GPTQ, AWQ, GGUF) had as a scale. The weights alone
tell it: the largest of them is n steps for some n of 1 .. -lowest code, and then all others must be whole steps too.
With that step a group keeps its codes; any other step, if only by an eighth, would round every weight a second time.
"""

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.nearest import Float32
from einloom.spec.formats import Format

FIRST = 8
"""Weights of a group that are looked at first: a number of steps that eight weights agree with is hardly chance."""
NEAR = 1e-4
"""Largest distance from a whole number of steps: float32 products of scales and codes are 128 * 2**-24 off at most."""


def grid_steps(weights: Float32, format: Format) -> Float32:
    """The steps, float32 [...], in which groups of `weights` [..., group] are codes of `format`; 0 where they are not.

    The largest such step is found. All are 0 with formats that are not integers, and for groups of zeros.
    """
    found = np.zeros(weights.shape[:-1], np.float32)
    if not format.is_integer:
        return found
    largest = np.abs(weights).max(axis=-1)
    divisors: Float32 = np.where(largest > 0, largest, np.float32(1))
    ratios: Float32 = weights / divisors[..., None]
    lowest, highest = min(format.table), max(format.table)
    open_groups = largest > 0
    for steps in range(1, -lowest + 1):
        places = np.nonzero(open_groups & _whole(ratios[..., :FIRST], steps, lowest, highest))
        held = _whole(ratios[places], steps, lowest, highest)
        places = tuple(axis[held] for axis in places)
        found[places] = largest[places] / np.float32(steps)
        open_groups[places] = False
    return found


def _whole(ratios: Float32, steps: int, lowest: int, highest: int) -> npt.NDArray[np.bool_]:
    """Groups whose weights, of which the largest is so many steps, are whole steps from `lowest` to `highest`."""
    codes = ratios * np.float32(steps)
    nearest = np.rint(codes)
    fits = (np.abs(codes - nearest) < NEAR) & (nearest >= lowest) & (nearest <= highest)
    result: npt.NDArray[np.bool_] = fits.all(axis=-1)
    return result
