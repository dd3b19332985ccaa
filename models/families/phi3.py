"""Phi-3 (Abdin et al., 2024): a Llama whose projections are fused, and of whose heads a part may turn."""

from typing import ClassVar, Literal

from einloom.models.family.keys import DecoderKeys
from einloom.models.family.rope import Positive
from einloom.models.family.tensor_names import TensorNames


class Phi3Keys(DecoderKeys):
    """Keys of a Phi-3."""

    names: ClassVar = TensorNames(
        fused={
            "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
        }
    )
    every_layer_has_the_window: ClassVar = True

    model_type: Literal["phi3"]
    rms_norm_eps: Positive = 1e-5
    attention_bias: Literal[False] = False


FAMILY = Phi3Keys
