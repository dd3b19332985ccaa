"""The second level of quantization: the steps of an output channel's groups as 8-bit multiples of one float.

VS-Quant's scheme as BitMoD uses it (HPCA 2025, section III-C and Table V): the channel's scale maps its largest step to
255. Unlike there, no group with weights gets the scale 0, which would erase it.
"""

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.nearest import Float32
from einloom.spec.formats import SCALE_BITS

LARGEST_SCALE = np.float32((1 << SCALE_BITS) - 1)


def second_level(steps: Float32) -> tuple[Float32, npt.NDArray[np.uint8]]:
    """Channel scales, float32 [N], and group scales, uint8 [N, G], of the groups' `steps`, float32 [N, G].

    A group of zeros has the step 0 and gets the scale 0; a channel of such groups has the scale 0.
    """
    channel = steps.max(axis=1) / LARGEST_SCALE
    ratio = steps / np.where(channel > 0, channel, np.float32(1))[:, None]
    scales = np.clip(np.rint(ratio), np.float32(1), LARGEST_SCALE)
    return channel, np.where(steps > 0, scales, np.float32(0)).astype(np.uint8)
