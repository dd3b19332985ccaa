"""Mistral (Jiang et al., 2023): a Llama whose queries may see a window of keys only."""

from typing import ClassVar, Literal

from einloom.models.family.keys import Count, DecoderKeys


class MistralKeys(DecoderKeys):
    """Keys of a Mistral; in GGUF files it is called a Llama."""

    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    every_layer_has_the_window: ClassVar = True

    model_type: Literal["mistral"]
    sliding_window: Count | None = 4096


FAMILY = MistralKeys
