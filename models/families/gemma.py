"""Gemma (Gemma team, 2024): weights of norms are 1 + what is stored, and embeddings are scaled."""

from dataclasses import replace
from typing import ClassVar, Literal

from einloom.models.decoder_graph import Activation, Embedding
from einloom.models.family.keys import Count, DecoderKeys
from einloom.models.family.tensor_names import TensorNames


class GemmaKeys(DecoderKeys):
    """Keys of a Gemma. `gelu` stands for its tanh form, in which the models were trained."""

    gguf: ClassVar = "gemma"
    names: ClassVar = TensorNames(norm_offset=1.0)

    model_type: Literal["gemma"]
    head_dim: Count = 256
    hidden_act: Literal["gelu", "gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    tie_word_embeddings: bool = True
    use_bidirectional_attention: Literal[False] = False

    def embedding(self) -> Embedding:
        return replace(super().embedding(), scale=self.hidden_size**0.5)

    def activation(self) -> Activation:
        return Activation.GELU_TANH


FAMILY = GemmaKeys
