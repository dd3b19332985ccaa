"""Gemma 2 (Gemma team, 2024): norms before and behind each branch, windows in every other layer, soft caps."""

from dataclasses import replace
from typing import ClassVar, Literal

from einloom.models.decoder_graph import Attention, Head
from einloom.models.families.gemma import GemmaKeys
from einloom.models.family.keys import Count
from einloom.models.family.rope import Positive
from einloom.models.family.tensor_names import TensorNames


class Gemma2Keys(GemmaKeys):
    """Keys of a Gemma 2."""

    gguf: ClassVar = "gemma2"
    names: ClassVar = TensorNames(
        {
            "attention_post_norm": "post_attention_layernorm",
            "post_attention_layernorm": "pre_feedforward_layernorm",
            "mlp_post_norm": "post_feedforward_layernorm",
        },
        norm_offset=1.0,
    )
    renamed: ClassVar = {"hidden_activation": "hidden_act"}
    nullable: ClassVar = (*GemmaKeys.nullable, "attn_logit_softcapping", "final_logit_softcapping")
    post_norms: ClassVar = True

    model_type: Literal["gemma2"]  # type: ignore[assignment]
    sliding_window: Count | None = 4096
    query_pre_attn_scalar: Positive = 256
    attn_logit_softcapping: Positive | None = 50.0
    final_logit_softcapping: Positive | None = 30.0

    def has_window(self, layer: int) -> bool:
        return super().has_window(layer) if self.layer_types else layer % 2 == 0

    def score_scale(self, _layer: int) -> float:
        return float(self.query_pre_attn_scalar**-0.5)

    def attention(self, n: int, name: str) -> Attention:
        found = super().attention(n, name)
        return replace(found, scores=replace(found.scores, cap=self.attn_logit_softcapping))

    def head(self) -> Head:
        return replace(super().head(), cap=self.final_logit_softcapping)


FAMILY = Gemma2Keys
