"""Llama (Touvron et al., 2023)."""

from typing import ClassVar, Literal

from einloom.models.family.keys import DecoderKeys


class LlamaKeys(DecoderKeys):
    """Keys of a Llama, 1 to 3."""

    gguf: ClassVar = "llama"
    gguf_neighbours: ClassVar = True

    model_type: Literal["llama"]


FAMILY = LlamaKeys
