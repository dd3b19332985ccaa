"""The linear layers of a decoder on a device that multiplies integers."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.models.linears import Floats
from einloom.sim.device import Device
from einloom.spec.errors import InputError
from einloom.spec.quantized import QuantizedTensor

LARGEST_CODE = 127  # int8 activations are symmetric: -128 is never made


class DeviceLinears:
    """Quantized weights on a `Device`, which it loads: exact integer sums there, float32 scales here.

    A token's activations become int8 with a scale of their own, and its sums become floats as
        y[t, n] = float32(sums[t, n]) * (token_scale[t] * (channel_scale[n] * unit))
    where each of the three products is rounded to float32. The group scales are in the sums already.

    Attributes
    ----------
    calls : linear layers computed so far.
    """

    def __init__(self, device: Device, tensors: Mapping[str, QuantizedTensor]) -> None:
        device.load(tensors)
        self.calls = 0
        self._device = device
        self._channel_scales = {name: t.channel_scale * np.float32(t.format.unit) for name, t in tensors.items()}

    def __call__(self, name: str, x: Floats) -> Floats:
        codes, token_scales = quantize_activations(x)
        sums = self._device.linear(name, codes)
        self.calls += 1
        return sums.astype(np.float32) * (token_scales[:, None] * self._channel_scales[name])


def quantize_activations(x: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """int8 codes [T, K] and float32 scales [T] of the activations `x` [T, K], symmetric and per token.

    scale = absmax / 127, flushed to zero when it is subnormal; code = x / scale rounded half to even, and zero in a
    token whose scale is zero. InputError when `x` isn't finite, which takes weights of no working model.
    """
    scales = np.abs(x).max(axis=-1) / np.float32(LARGEST_CODE)
    if not np.isfinite(scales).all():
        raise InputError("the model's activations overflow float32")
    scales[scales < np.finfo(np.float32).tiny] = 0
    divisors = np.where(scales == 0, np.float32(np.inf), scales)
    return np.rint(x / divisors[:, None]).astype(np.int8), scales
