"""Names of a family's tensors in its files, and how they are stored there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
"""A canonical module inside a layer."""


class Ternary(Enum):
    """What ternary matrices are, of the numbers that their files hold."""

    TIMES_SCALE = "the codes of a packed matrix times the tensor `weight_scale` beside it"
    OVER_SCALE = "the codes of a packed matrix over the tensor `weight_scale` beside it"
    ONLINE = "rounded to -m, 0 or m, where m is the mean of all absolute values"


@dataclass(frozen=True)
class TensorNames:
    """Where the files of a family have what the graph calls canonically.

    Attributes
    ----------
    modules : canonical modules, those of layers without the layer's name, and what the files call them.
    layer : the layer's name before its modules.
    fused : modules of the files that hold the outputs of several canonical ones, in order.
    prefixes : what may stand before all names but the head's; the first one that leads to the embedding counts.
    transposed : matrices of layers are stored [inputs, outputs].
    norm_offset : what is added to norms' weights.
    position_offset : rows of the table of learnt positions before that of position 0.
    ignored : a pattern of tensors that no decoder needs.
    """

    modules: Mapping[str, str] = field(default_factory=dict)
    layer: str = "model.layers.{n}."
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ("",)
    transposed: bool = False
    norm_offset: float = 0.0
    position_offset: int = 0
    ignored: str = r"\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$"

    def stored(self, name: str) -> str:
        """The name in the files, without a prefix, of the canonical tensor `name`, or of the one it is fused into."""
        module, _, kind = name.rpartition(".")
        layer = LAYER.fullmatch(module)
        if not layer:
            return f"{self.modules.get(module, module)}.{kind}"
        whole = next((whole for whole, parts in self.fused.items() if layer[2] in parts), layer[2])
        return f"{self.layer.format(n=layer[1])}{self.modules.get(whole, whole)}.{kind}"

    def neighbours(self, name: str) -> list[str]:
        """Canonical names of the tensors that share the one that `name` is stored in, in order; just `name` if none."""
        module, _, kind = name.rpartition(".")
        layer = LAYER.fullmatch(module)
        for parts in self.fused.values() if layer else ():
            if layer and layer[2] in parts:
                return [f"model.layers.{layer[1]}.{part}.{kind}" for part in parts]
        return [name]
