"""Formats of activations: the one definition that config, manifest, packer, benches and golden models share."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from einloom.spec.plugins import plugins

Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ActivationFormat:
    """A format of activations.

    Parameters
    ----------
    name : name in configs and manifests.
    dtype : NumPy's dtype, whose bytes are those of the activation buffer.
    lowest, highest : the extreme numbers that an engine takes.
    """

    name: str
    dtype: np.dtype[np.generic]
    lowest: float
    highest: float

    @property
    def bits(self) -> int:
        """Width of one activation."""
        return 8 * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        """True when sums have an exponent."""
        return self.dtype.kind == "f"

    def constant(self, shape: tuple[int, ...], number: float) -> Numbers:
        """An array of one number."""
        return np.full(shape, number, self.dtype)

    def random(self, rng: np.random.Generator, shape: tuple[int, int]) -> Numbers:
        """Integers over the whole range, or finite floats whose exponents spread little or much; half of them rise."""
        if not self.is_float:
            return rng.integers(int(self.lowest), int(self.highest) + 1, shape, self.dtype)
        fraction_bits = int(np.finfo(cast(np.dtype[np.floating], self.dtype)).nmant)
        exponent_bits = self.bits - 1 - fraction_bits
        middle, top = (1 << exponent_bits - 1) - 1, (1 << exponent_bits) - 2
        spread = rng.choice([0, 3, 12, 2 * middle])
        unsigned = np.dtype(f"u{self.dtype.itemsize}")
        exponent = rng.integers(max(0, middle - spread), min(top, middle + spread) + 1, shape, unsigned)
        if rng.random() < 0.5:
            rising = rng.integers(1, top + 1, (shape[0], 1)) * np.arange(1, shape[1] + 1) // shape[1]
            exponent = np.minimum(exponent, rising).astype(unsigned)
        sign = rng.integers(0, 2, shape, unsigned)
        fraction = rng.integers(0, 1 << fraction_bits, shape, unsigned)
        bits = sign << self.bits - 1 | exponent << fraction_bits | fraction
        return cast(Numbers, bits.astype(unsigned).view(self.dtype))


ACTIVATIONS: dict[str, ActivationFormat] = {
    f.name: f
    for f in (
        ActivationFormat("int8", np.dtype(np.int8), -128, 127),
        ActivationFormat("fp16", np.dtype(np.float16), -65504.0, 65504.0),
        *cast(tuple[ActivationFormat, ...], plugins("einloom.activations")),
    )
}
"""Activation formats of this package, and of packages with an entry point in the group `einloom.activations`."""
