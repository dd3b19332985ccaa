"""SmolLM3: a Llama of which some layers have no RoPE (Yang et al., 2025, "RoPE to NoPE and back again")."""

from typing import ClassVar, Literal

from einloom.models.decoder_graph import Rope
from einloom.models.family.keys import Count, DecoderKeys


class SmolLM3Keys(DecoderKeys):
    """Keys of a SmolLM3. `no_rope_layers` is 0 for each layer that has no RoPE, 1 for the others."""

    default_theta: ClassVar = 2e6

    model_type: Literal["smollm3"]
    tie_word_embeddings: bool = True
    use_sliding_window: bool = False
    no_rope_layers: tuple[Literal[0, 1], ...] | None = None
    no_rope_layer_interval: Count = 4

    def is_rotated(self, layer: int) -> bool:
        """The layer has RoPE."""
        if self.no_rope_layers is None:
            return (layer + 1) % self.no_rope_layer_interval != 0
        return layer < len(self.no_rope_layers) and self.no_rope_layers[layer] == 1

    def rope_of(self, layer: int) -> Rope | None:
        return super().rope_of(layer) if self.is_rotated(layer) else None

    def has_window(self, layer: int) -> bool:
        if not self.use_sliding_window:
            return False
        return super().has_window(layer) if self.layer_types else not self.is_rotated(layer)


FAMILY = SmolLM3Keys
