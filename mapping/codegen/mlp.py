"""The inner half of an MLP, gated or plain."""

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import activate
from einloom.mapping.codegen.linear import Linears, Weights, outputs_of, pieces
from einloom.mapping.codegen.parameters import LayerParameters
from einloom.mapping.regions import Operand, Region
from einloom.models.decoder_graph import Mlp
from einloom.spec.isa import VectorOp

Floats = npt.NDArray[np.float32]


class MlpCode:
    """Emits activation(gate(x)) * up(x), or activation(up(x)), of every layer; all layers share its regions."""

    def __init__(self, p: ProgramBuilder, linears: Linears, weights: Weights, inner: int, *, gated: bool) -> None:
        self._p, self._linears, self._weights, self._inner = p, linears, weights, inner
        self._pieces = list(pieces(inner, p.gemm.columns, p.core.lanes, p.schedule))
        largest = max(stop - start for start, stop in self._pieces)
        words = linears.result_words(largest)
        self._gates = [p.per_token(f"gate{n}", words) for n in range(2)] if gated else []
        self._ups = [p.per_token(f"up{n}", words) for n in range(2)]
        self._scratch = [p.per_token(f"sigmoid.{name}", p.words(largest)) for name in ("d", "t", "u")]
        self.output = p.per_token("inner", p.words(inner))
        self.maxima = p.per_token("inner.maxima", len(self._pieces)) if p.schedule.piece_maxima else None
        """Largest magnitudes of the pieces of `output`, where the schedule has them."""

    @property
    def output_words(self) -> int:
        return self._p.words(self._inner)

    def parameters(self, mlp: Mlp) -> dict[str, Floats]:
        """Parameters of a layer's MLP in the vector memory, by name."""
        gate = self._weights.parameters("gate", mlp.gate) if mlp.gate else {}
        return gate | self._weights.parameters("up", mlp.up)

    def emit(self, layer: str, mlp: Mlp, parameters: LayerParameters, activations: Region, scale: Region) -> None:
        """The inner elements into `output`, piece by piece."""
        for n, (start, stop) in enumerate(self._pieces):
            which = "gate and up" if mlp.gate else "up"
            self._p.note(f"{layer}: {which}, outputs {start} to {stop - 1}")
            self._piece(mlp, n % 2, (start, stop), parameters, activations, scale)
            if self.maxima:
                words, at = self._p.words(stop - start), start // self._p.core.lanes
                self._p.vec(VectorOp.MAXABS, self.maxima.at(n), self.output.at(at), inner=words)

    def _piece(
        self,
        mlp: Mlp,
        turn: int,
        part: tuple[int, int],
        parameters: LayerParameters,
        activations: Region,
        scale: Region,
    ) -> None:
        p, (d, t, u) = self._p, self._scratch
        products = [("up", mlp.up, self._ups[turn])]
        if mlp.gate:
            products.insert(0, ("gate", mlp.gate, self._gates[turn]))
        words, at = p.words(part[1] - part[0]), part[0] // p.core.lanes
        for _, linear, region in products:
            self._linears.product(outputs_of(self._weights.tensors[linear.weight], *part), activations, region)
        first, _, x = products[0]  # what the activation is of
        channels, bias = parameters.operand(first, at), parameters.bias(first, at)
        self._linears.scaled(x.at(), x.at(), channels, scale, bias, inner=words)
        output = self.output.at(at)
        activate(p, mlp.activation, d.at() if mlp.gate else output, x.at(), t.at(), u.at(), inner=words)
        if mlp.gate:
            self._multiply(output, self._ups[turn], d, parameters, at, scale, words)

    def _multiply(
        self, output: Operand, up: Region, d: Region, parameters: LayerParameters, at: int, scale: Region, words: int
    ) -> None:
        """output = up, scaled, times the activated gate `d`; `up` and `d` are overwritten."""
        p, channels, bias = self._p, parameters.operand("up", at), parameters.bias("up", at)
        if bias:
            self._linears.scaled(up.at(), up.at(), channels, scale, bias, inner=words)
        else:  # the token's scale goes to the other factor, which is there first
            p.vec(VectorOp.MAD, d.at(), d.at(), scale.each, inner=words)
            p.vec(VectorOp.MAD, up.at(), up.at(), channels, inner=words)
        p.vec(VectorOp.MAD, output, up.at(), d.at(), inner=words)
