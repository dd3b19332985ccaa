"""RoPE as config.json describes it: kinds of scaling, and heads of which only a part turns."""

import math
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from einloom.models.decoder_graph import Rope
from einloom.models.family.problems import problem

Frequencies = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Context = Annotated[int, Field(strict=True, ge=1)]
NEEDED = {
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor", "original_max_position_embeddings"),
}
"""Keys without which a kind of scaling says nothing."""


class RopeKeys(BaseModel):
    """RoPE's keys under their Hugging Face names.

    `dynamic` scaling changes nothing up to `max_position_embeddings`, which is the context here, so it is plain RoPE.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    rope_type: Literal["default", "linear", "dynamic", "llama3", "yarn"] = "default"
    rope_theta: Positive = 10000.0
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    factor: Positive | None = None
    original_max_position_embeddings: Context | None = None
    low_freq_factor: Positive | None = None
    high_freq_factor: Positive | None = None
    beta_fast: Positive = 32.0
    beta_slow: Positive = 1.0
    truncate: bool = True
    attention_factor: Positive | None = None
    mscale: Positive | None = None
    mscale_all_dim: Positive | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _complete(self) -> "RopeKeys":
        missing = [key for key in NEEDED.get(self.rope_type, ()) if getattr(self, key) is None]
        if missing:
            raise problem(f"RoPE scaling of the type {self.rope_type!r} needs {', '.join(missing)}")
        return self

    def turning(self, size: int) -> int:
        """Elements of a head of `size` that turn."""
        return int(size * self.partial_rotary_factor) // 2 * 2

    def rope(self, size: int) -> Rope:
        """Angles of heads of `size`; pairs that do not turn come last. All is computed in float64."""
        turning = self.turning(size)
        plain = self.rope_theta ** -(np.arange(0, turning, 2) / turning)
        scaled, factor = plain, 1.0
        match self.rope_type:
            case "linear":
                scaled = plain / (self.factor or 1.0)
            case "llama3":
                scaled = self._llama3(plain)
            case "yarn":
                scaled, factor = self._yarn(plain, turning)
        still = np.zeros((size - turning) // 2)
        return Rope(tuple(np.concatenate([scaled, still]).tolist()), factor)

    def _llama3(self, plain: Frequencies) -> Frequencies:
        """Llama 3.1: slow pairs turn slower by `factor`, fast ones as they are, those between by a mixture."""
        low, high, factor = self.low_freq_factor or 1.0, self.high_freq_factor or 1.0, self.factor or 1.0
        turns = plain * (self.original_max_position_embeddings or 1) / (2 * np.pi)  # within the original context
        kept = np.clip((turns - low) / (high - low), 0, 1) if high != low else (turns >= high).astype(np.float64)
        scaled: Frequencies = plain * (kept + (1 - kept) / factor)
        return scaled

    def _yarn(self, plain: Frequencies, turning: int) -> tuple[Frequencies, float]:
        """YaRN (Peng et al., 2023): frequencies, and the factor of cosines and sines.

        Pairs with more than `beta_fast` turns in the original context stay, those with fewer than `beta_slow` turn
        slower by `factor`; between the two, the share goes linearly with the pair's number.
        """
        factor, context = self.factor or 1.0, self.original_max_position_embeddings or 1

        def pair(turns: float) -> float:
            """Number of the pair, a fraction, that turns so often."""
            return turning * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(self.rope_theta))

        first, last = pair(self.beta_fast), pair(self.beta_slow)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, turning - 1)
        slower = np.clip((np.arange(len(plain)) - first) / max(last - first, 1e-3), 0, 1)
        scaled: Frequencies = plain * (1 - slower) + plain / factor * slower
        return scaled, self._yarn_factor(factor)

    def _yarn_factor(self, factor: float) -> float:
        def grown(scale: float) -> float:
            return 0.1 * scale * math.log(factor) + 1 if factor > 1 else 1.0

        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return grown(self.mscale) / grown(self.mscale_all_dim)
        return grown(1.0)


def canonical_order(size: int, turning: int) -> tuple[int, ...]:
    """Which element of a head of `size` comes at each place, so that element i turns with i + size / 2.

    Files have the `turning` elements first, of which i turns with i + turning / 2. Those that stay fill up both halves.
    """
    half, still = turning // 2, (size - turning) // 2
    first = [*range(half), *range(turning, turning + still)]
    return (*first, *range(half, turning), *range(turning + still, size))
