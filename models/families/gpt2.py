"""GPT-2 (Radford et al., 2019): LayerNorm, learnt positions, biases everywhere, a plain MLP."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from einloom.models.decoder_graph import Embedding, NormKind
from einloom.models.family.keys import POSITIONS, ActivationName, DecoderKeys
from einloom.models.family.tensor_names import TensorNames


class Gpt2Keys(DecoderKeys):
    """Keys of a GPT-2."""

    names: ClassVar = TensorNames(
        {
            "model.embed_tokens": "wte",
            "model.embed_positions": "wpe",
            "model.norm": "ln_f",
            "input_layernorm": "ln_1",
            "self_attn.o_proj": "attn.c_proj",
            "post_attention_layernorm": "ln_2",
            "mlp.up_proj": "mlp.c_fc",
            "mlp.down_proj": "mlp.c_proj",
        },
        layer="h.{n}.",
        fused={"attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")},
        prefixes=("transformer.", ""),
        transposed=True,
        ignored=r"\.attn\.(masked_)?bias$",
    )
    renamed: ClassVar = {
        "n_embd": "hidden_size",
        "n_inner": "intermediate_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings",
        "layer_norm_epsilon": "rms_norm_eps",
        "activation_function": "hidden_act",
    }
    norm_kind: ClassVar = NormKind.LAYER
    gated: ClassVar = False
    rotary: ClassVar = False

    model_type: Literal["gpt2"]
    hidden_act: ActivationName = "gelu_new"
    tie_word_embeddings: bool = True
    add_cross_attention: Literal[False] = False
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False

    @classmethod
    def fill_in(cls, given: dict[str, Any]) -> None:
        for key in ("num_key_value_heads", "head_dim"):  # as the family has none, a file may say anything
            given.pop(key, None)
        if isinstance(given.get("hidden_size"), int):
            given.setdefault("intermediate_size", 4 * given["hidden_size"])
        super().fill_in(given)

    def has_bias(self, _projection: str) -> bool:
        return True

    def embedding(self) -> Embedding:
        return replace(super().embedding(), positions=POSITIONS)

    def score_scale(self, layer: int) -> float:
        scale = super().score_scale(layer) if self.scale_attn_weights else 1.0
        return scale / (layer + 1) if self.scale_attn_by_inverse_layer_idx else scale


FAMILY = Gpt2Keys
