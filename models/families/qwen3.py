"""Qwen3 (Yang et al., 2025): queries and keys are normalised, each head for itself."""

from typing import ClassVar, Literal

from einloom.models.decoder_graph import Attention
from einloom.models.families.qwen2 import Qwen2Keys
from einloom.models.family.keys import Count, DecoderKeys


class Qwen3Keys(Qwen2Keys):
    """Keys of a Qwen3."""

    gguf: ClassVar = "qwen3"

    model_type: Literal["qwen3"]  # type: ignore[assignment]
    head_dim: Count = 128

    def has_bias(self, projection: str) -> bool:
        return DecoderKeys.has_bias(self, projection)

    def attention(self, n: int, name: str) -> Attention:
        return self.head_norms(super().attention(n, name))


FAMILY = Qwen3Keys
