"""Granite 3 (IBM, 2024): a Llama with factors of the embedding, of branches, of scores and of logits."""

from dataclasses import replace
from typing import Literal

from einloom.models.decoder_graph import Embedding, Head, Layer
from einloom.models.family.keys import DecoderKeys
from einloom.models.family.rope import Positive


class GraniteKeys(DecoderKeys):
    """Keys of a Granite."""

    model_type: Literal["granite"]
    embedding_multiplier: Positive = 1.0
    residual_multiplier: Positive = 1.0
    attention_multiplier: Positive = 1.0
    logits_scaling: Positive = 1.0

    def embedding(self) -> Embedding:
        return replace(super().embedding(), scale=self.embedding_multiplier)

    def head(self) -> Head:
        return replace(super().head(), scale=1 / self.logits_scaling)

    def layer(self, n: int) -> Layer:
        layer = super().layer(n)
        scaled = (replace(branch, multiplier=self.residual_multiplier) for branch in layer.branches)
        return replace(layer, branches=tuple(scaled))

    def score_scale(self, _layer: int) -> float:
        return self.attention_multiplier


FAMILY = GraniteKeys
