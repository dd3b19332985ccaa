"""Gemma 3, its language model (Gemma team, 2025): heads are normalised, and layers with windows have their own RoPE."""

from typing import Any, ClassVar, Literal

from einloom.models.decoder_graph import Attention, Rope
from einloom.models.families.gemma2 import Gemma2Keys
from einloom.models.family.keys import Count
from einloom.models.family.rope import Positive, RopeKeys


class Gemma3Keys(Gemma2Keys):
    """Keys of a Gemma 3's language model."""

    gguf: ClassVar = "gemma3"
    default_theta: ClassVar = 1e6

    model_type: Literal["gemma3_text"]  # type: ignore[assignment]
    attn_logit_softcapping: Positive | None = None
    final_logit_softcapping: Positive | None = None
    sliding_window_pattern: Count = 6
    """Every so many layers, one has no window."""
    local_rope: RopeKeys = RopeKeys()

    @classmethod
    def fill_in(cls, given: dict[str, Any]) -> None:
        sections = given.get("rope_parameters")
        if isinstance(sections, dict) and "sliding_attention" in sections:
            given["local_rope"] = sections["sliding_attention"]
            given["rope_parameters"] = sections.get("full_attention", {})
        elif "rope_local_base_freq" in given:
            given["local_rope"] = {"rope_theta": given["rope_local_base_freq"]}
        super().fill_in(given)

    def has_window(self, layer: int) -> bool:
        return super().has_window(layer) if self.layer_types else (layer + 1) % self.sliding_window_pattern != 0

    def rope_of(self, layer: int) -> Rope | None:
        return (self.local_rope if self.has_window(layer) else self.rope).rope(self.head_dim)

    def attention(self, n: int, name: str) -> Attention:
        return self.head_norms(super().attention(n, name))


FAMILY = Gemma3Keys
