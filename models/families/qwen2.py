"""Qwen2 and Qwen2.5 (Yang et al., 2024): queries, keys and values have biases."""

from typing import ClassVar, Literal

from einloom.models.family.keys import Count, DecoderKeys


class Qwen2Keys(DecoderKeys):
    """Keys of a Qwen2. The window is that of layers from `max_window_layers` on, and only if it is used."""

    gguf: ClassVar = "qwen2"

    model_type: Literal["qwen2"]
    use_sliding_window: bool = False
    sliding_window: Count | None = 4096
    max_window_layers: int = 28

    def has_bias(self, projection: str) -> bool:
        return projection in ("q_proj", "k_proj", "v_proj")

    def has_window(self, layer: int) -> bool:
        if not self.use_sliding_window:
            return False
        return super().has_window(layer) if self.layer_types else layer >= self.max_window_layers


FAMILY = Qwen2Keys
