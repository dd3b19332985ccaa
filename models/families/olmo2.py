"""OLMo 2 (OLMo team, 2025): norms behind the branches, and of all queries and all keys of a token together."""

from dataclasses import replace
from typing import ClassVar, Literal

from einloom.models.decoder_graph import Attention, Axis, Norm
from einloom.models.family.keys import DecoderKeys
from einloom.models.family.rope import Positive
from einloom.models.family.tensor_names import TensorNames


class Olmo2Keys(DecoderKeys):
    """Keys of an OLMo 2."""

    names: ClassVar = TensorNames({
        "attention_post_norm": "post_attention_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    })
    pre_norms: ClassVar = False
    post_norms: ClassVar = True

    model_type: Literal["olmo2"]
    rms_norm_eps: Positive = 1e-5
    mlp_bias: Literal[False] = False

    def attention(self, n: int, name: str) -> Attention:
        found = super().attention(n, name)
        query_norm, key_norm = (
            Norm(f"{name}.{x}_norm", linear.outputs, self.rms_norm_eps, axis=Axis.HEADS)
            for x, linear in (("q", found.query), ("k", found.key))
        )
        return replace(found, query_norm=query_norm, key_norm=key_norm)


FAMILY = Olmo2Keys
