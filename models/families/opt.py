"""OPT (Zhang et al., 2022): LayerNorm, learnt positions, biases, a plain MLP with ReLU."""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from einloom.models.decoder_graph import DecoderGraph, Embedding, NormKind
from einloom.models.family.keys import POSITIONS, ActivationName, DecoderKeys
from einloom.models.family.problems import problem
from einloom.models.family.rope import Positive
from einloom.models.family.tensor_names import TensorNames


class OptKeys(DecoderKeys):
    """Keys of an OPT. Those with norms behind the branches, or with projected embeddings, are refused."""

    names: ClassVar = TensorNames(
        {
            "model.embed_tokens": "embed_tokens",
            "model.embed_positions": "embed_positions",
            "model.norm": "final_layer_norm",
            "input_layernorm": "self_attn_layer_norm",
            "self_attn.o_proj": "self_attn.out_proj",
            "post_attention_layernorm": "final_layer_norm",
            "mlp.up_proj": "fc1",
            "mlp.down_proj": "fc2",
        },
        layer="layers.{n}.",
        prefixes=("model.decoder.", "decoder."),
        position_offset=2,
    )
    renamed: ClassVar = {
        "ffn_dim": "intermediate_size",
        "activation_function": "hidden_act",
        "enable_bias": "attention_bias",
        "_remove_final_layer_norm": "remove_final_layer_norm",
    }
    norm_kind: ClassVar = NormKind.LAYER
    gated: ClassVar = False
    rotary: ClassVar = False

    model_type: Literal["opt"]
    hidden_act: ActivationName = "relu"
    rms_norm_eps: Positive = 1e-5
    tie_word_embeddings: bool = True
    attention_bias: bool = True
    do_layer_norm_before: Literal[True] = True
    layer_norm_elementwise_affine: Literal[True] = True
    remove_final_layer_norm: bool = False

    @classmethod
    def fill_in(cls, given: dict[str, Any]) -> None:
        for key in ("num_key_value_heads", "head_dim"):  # as the family has none, a file may say anything
            given.pop(key, None)
        hidden = given.get("hidden_size")
        if given.get("word_embed_proj_dim", hidden) != hidden:
            raise problem(f"word_embed_proj_dim must be hidden_size, {hidden}: embeddings are not projected here")
        super().fill_in(given)

    def has_bias(self, _projection: str) -> bool:
        return self.attention_bias

    def embedding(self) -> Embedding:
        return replace(super().embedding(), positions=POSITIONS)

    def graph(self) -> DecoderGraph:
        return replace(super().graph(), norm=None) if self.remove_final_layer_norm else super().graph()


FAMILY = OptKeys
