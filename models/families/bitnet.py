"""BitNet b1.58 (Ma et al., 2025): a Llama with ternary weights, squared ReLU, and norms inside its branches."""

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from einloom.models.decoder_graph import Attention, Axis, Mlp, Norm
from einloom.models.family.keys import ActivationName, DecoderKeys
from einloom.models.family.rope import Positive
from einloom.models.family.tensor_names import TensorNames, Ternary


class Quantization(BaseModel):
    """How ternary weights are stored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quant_method: Literal["bitnet"]
    linear_class: Literal["bitlinear", "autobitlinear"] = "bitlinear"
    quantization_mode: Literal["offline", "online"] = "offline"
    use_rms_norm: Literal[False] = False


class BitNetKeys(DecoderKeys):
    """Keys of a BitNet."""

    names: ClassVar = TensorNames(ignored=r"\.weight_scale$|\.rotary_emb\.inv_freq$")
    default_theta: ClassVar = 5e5

    model_type: Literal["bitnet"]
    rms_norm_eps: Positive = 1e-5
    hidden_act: ActivationName = "relu2"
    quantization_config: Quantization | None = None  # type: ignore[assignment]

    def storage(self) -> None:
        return None

    def ternary(self) -> Ternary | None:
        found = self.quantization_config
        if found is None:
            return None
        if found.quantization_mode == "online":
            return Ternary.ONLINE
        return Ternary.TIMES_SCALE if found.linear_class == "autobitlinear" else Ternary.OVER_SCALE

    def attention(self, n: int, name: str) -> Attention:
        found = super().attention(n, name)
        norm = Norm(f"{name}.attn_sub_norm", found.output.inputs, self.rms_norm_eps, axis=Axis.MIXED)
        return replace(found, inner_norm=norm)

    def mlp(self, name: str) -> Mlp:
        norm = Norm(f"{name}.ffn_sub_norm", self.intermediate_size, self.rms_norm_eps, axis=Axis.INNER)
        return replace(super().mlp(name), inner_norm=norm)


FAMILY = BitNetKeys
