"""Five ternary codes to a byte: 3^5 = 243 of its 256 values, 1.6 bits a code where the information is 1.585."""

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
TRIT_VALUES = 3
TRITS_PER_BYTE = 5
POWERS = TRIT_VALUES ** np.arange(TRITS_PER_BYTE)
LARGEST_BYTE = TRIT_VALUES**TRITS_PER_BYTE - 1
CODES: UInt8 = (np.arange(1 << 8)[:, None] // POWERS % TRIT_VALUES).astype(np.uint8)
"""The codes of each byte, [256, 5]: byte = sum of code_i * 3^i. No codes make bytes above LARGEST_BYTE; decoders still
agree on what they mean."""


def to_bytes(codes: UInt8) -> UInt8:
    """Codes [..., n], all below 3, as bytes [..., ceil(n / 5)]; missing codes are 0."""
    missing = -codes.shape[-1] % TRITS_PER_BYTE
    padded = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, missing)])
    return (padded.reshape(*codes.shape[:-1], -1, TRITS_PER_BYTE) @ POWERS).astype(np.uint8)


def from_bytes(packed: UInt8, count: int) -> UInt8:
    """The first `count` codes [..., count]; ValueError for a byte above 242, or a code behind them that isn't 0."""
    if (packed > LARGEST_BYTE).any():
        raise ValueError(f"bytes of five ternary codes must be at most {LARGEST_BYTE}")
    codes: UInt8 = CODES[packed].reshape(*packed.shape[:-1], -1)
    if codes[..., count:].any():
        raise ValueError("codes after the last one must be 0")
    return codes[..., :count]
