"""The SwiGLU half of a layer."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import sigmoid
from einloom.mapping.codegen.linear import Linears, channel_scales, outputs_of, pieces
from einloom.mapping.codegen.parameters import LayerParameters
from einloom.mapping.regions import Region
from einloom.spec.isa import VectorOp
from einloom.spec.quantized import QuantizedTensor


class MlpCode:
    """Emits silu(gate(x)) * up(x) of every layer; its regions are shared by all of them."""

    def __init__(self, p: ProgramBuilder, linears: Linears, inner: int) -> None:
        self._p, self._linears, self._inner = p, linears, inner
        self._pieces = list(pieces(inner, p.gemm.columns, p.core.lanes))
        largest = max(stop - start for start, stop in self._pieces)
        words = linears.result_words(largest)
        self._gates = [p.per_token(f"gate{n}", words) for n in range(2)]
        self._ups = [p.per_token(f"up{n}", words) for n in range(2)]
        self._scratch = [p.per_token(f"sigmoid.{name}", p.words(largest)) for name in ("d", "t", "u")]
        self.output = p.per_token("inner", p.words(inner))

    @property
    def output_words(self) -> int:
        return self._p.words(self._inner)

    def parameters(self, tensors: Mapping[str, QuantizedTensor], layer: str) -> dict[str, npt.NDArray[np.float32]]:
        """Parameters of a layer's MLP in the vector memory, by name."""
        return {name: channel_scales(tensors[f"{layer}.mlp.{name}_proj.weight"]) for name in ("gate", "up")}

    def emit(
        self,
        layer: str,
        tensors: Mapping[str, QuantizedTensor],
        parameters: LayerParameters,
        activations: Region,
        scale: Region,
    ) -> None:
        """silu(gate) * up into `output`, piece by piece."""
        p, output = self._p, self.output
        d, t, u = self._scratch
        for n, (start, stop) in enumerate(self._pieces):
            p.note(f"{layer}: gate and up, outputs {start} to {stop - 1}")
            gate, up, words, at = self._gates[n % 2], self._ups[n % 2], p.words(stop - start), start // p.core.lanes
            for name, region in (("gate", gate), ("up", up)):
                tensor = outputs_of(tensors[f"{layer}.mlp.{name}_proj.weight"], start, stop)
                self._linears.product(tensor, activations, region)
            self._linears.scaled(gate.at(), gate.at(), parameters.operand("gate", at), scale, inner=words)
            sigmoid(p, d.at(), gate.at(), t.at(), u.at(), inner=words)
            p.vec(VectorOp.MAD, d.at(), d.at(), gate.at(), inner=words)
            p.vec(VectorOp.MAD, d.at(), d.at(), scale.each, inner=words)
            p.vec(VectorOp.MAD, up.at(), up.at(), parameters.operand("up", at), inner=words)
            p.vec(VectorOp.MAD, output.at(at), up.at(), d.at(), inner=words)
