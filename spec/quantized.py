"""A quantized weight matrix: what the quantizer makes, the packer lays out and the golden models compute with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.spec.formats import SCALE_BITS, SELECTOR_BITS, Format
from einloom.spec.sparsity import kept_bits


@dataclass(frozen=True)
class QuantizedTensor:
    """An [N, K] weight matrix in a `Format`, with two levels of scales.

    weight[n, k] = channel_scale[n] * scales[n, k // group] * unit * value(codes[n, k])

    Attributes
    ----------
    format : the number format of the codes.
    group : inputs that share a scale; it divides K. Formats without group scales (the plain int8 array) have group = K
        and all `scales` 1.
    codes : uint8 [N, K].
    scales : uint8 [N, K / group], the unsigned second-level scale.
    selectors : uint8 [N, K / group], the group's special value; zeros for formats without.
    channel_scale : float32 [N].
    """

    format: Format
    group: int
    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.uint8]
    selectors: npt.NDArray[np.uint8]
    channel_scale: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        outputs, inputs = self.codes.shape
        if inputs % self.group:
            raise ValueError(f"group {self.group} does not divide the {inputs} inputs")
        groups = (outputs, inputs // self.group)
        if self.scales.shape != groups or self.selectors.shape != groups or self.channel_scale.shape != (outputs,):
            raise ValueError(f"scales and selectors must be {groups} and channel_scale ({outputs},)")

    @property
    def shape(self) -> tuple[int, int]:
        """(N outputs, K inputs)."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight in a stream with the group metadata, without the channel scale and any padding.

        Of formats that choose N of M those with which each group of each row is stored for itself.
        """
        if self.format.of:
            codes = kept_bits(self.codes, self.format.of, self.group, self.format.bits) / self.codes.size
            selector = 0 if self.format.special_code is None else SELECTOR_BITS
            return codes + (SCALE_BITS + selector) / self.group
        if self.group == self.shape[1] and (self.scales == 1).all():
            return self.format.stored_bits
        selector = 0 if self.format.special_code is None else SELECTOR_BITS
        return self.format.stored_bits + (SCALE_BITS + selector) / self.group

    def rows(self, part: slice) -> "QuantizedTensor":
        """Some of the outputs."""
        parts = self.codes[part], self.scales[part], self.selectors[part], self.channel_scale[part]
        return QuantizedTensor(self.format, self.group, *parts)

    def values(self) -> npt.NDArray[np.int64]:
        """Integer values [N, K] of the codes."""
        outputs, inputs = self.shape
        grouped = self.codes.reshape(outputs, -1, self.group)
        return self.format.decode(grouped, self.selectors).reshape(outputs, inputs)

    def dequantize(self) -> npt.NDArray[np.float32]:
        """The float32 weights [N, K] that the codes stand for."""
        scale = self.channel_scale[:, None].astype(np.float64) * self.scales * self.format.unit
        return (np.repeat(scale, self.group, axis=1) * self.values()).astype(np.float32)
