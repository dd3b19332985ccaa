"""Norms of a token's elements and of its heads, as instructions of the vector unit."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import rsqrt
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.codegen.parameters import LayerParameters
from einloom.mapping.codegen.quantize import HeadNormScratch, Scratch, layer_norm, quantize, quantize_normalised
from einloom.mapping.regions import Operand, Region
from einloom.models.decoder_graph import Axis, Norm, NormKind
from einloom.spec.isa import VectorOp

Floats = npt.NDArray[np.float32]


class NormCode:
    """Emits norms; `all_norms` are those of the graph, of which the largest says how much room they take."""

    def __init__(
        self,
        p: ProgramBuilder,
        sizes: PaddedSizes,
        floats: Mapping[str, Floats],
        all_norms: Iterable[Norm],
    ) -> None:
        self._p, self._sizes, self._floats = p, sizes, floats
        norms = [norm for norm in all_norms if norm.axis is not Axis.HEADS]
        self._weighted = p.per_token("x.weighted", max(map(self.words, norms), default=0))
        self.scratch = self._scratch = Scratch.of(p)
        self._masks = dict[int, Region]()
        """For LayerNorms of so many elements with zeros behind them: a region of ones, and zeros behind."""
        for norm in norms:
            if norm.kind is NormKind.LAYER and self._elements(norm) > norm.size and norm.size not in self._masks:
                self._masks[norm.size] = p.vector.region(f"ones.{norm.size}", self.words(norm))

    def words(self, norm: Norm) -> int:
        """Words of what it normalises."""
        return self._p.words(self._elements(norm))

    def load_masks(self) -> None:
        """Fill the masks, once for a chunk."""
        p = self._p
        for size, region in self._masks.items():
            offset = p.image.floats(f"ones.{size}", np.ones(size, np.float32), region.words * p.core.lanes)
            p.emit("load", (), {region}, offset=offset, words=region.words, d_base=region.base)

    def parameters(self, key: str, norm: Norm | None, factor: float = 1.0) -> dict[str, Floats]:
        """The norm's vectors times `factor` in the core's sizes, by `key`; none without a norm."""
        if norm is None:
            return {}
        weight, *bias = [
            self._sizes.padded(tensor, self._floats[tensor.name]) * np.float32(factor) for tensor in norm.tensors()
        ]
        return {key: weight} | {f"{key}.bias": vector for vector in bias}

    def quantized(
        self,
        norm: Norm | None,
        x: Region,
        parameters: LayerParameters,
        key: str,
        d: Region,
        scale: Region,
        *,
        words: int,
        maxima: Region | None = None,
    ) -> None:
        """d = int8 codes of the norm of `words` of x, or of x itself without a norm, and their scale.

        Of x itself, `maxima` have the largest magnitudes of its pieces, if they are given.
        """
        p, s = self._p, self._scratch
        if norm is None:
            quantize(p, s, x.at(), d, scale, words=words, maxima=maxima)
        elif norm.kind is NormKind.RMS:
            quantize_normalised(
                p,
                s,
                x,
                parameters[key],
                self._weighted,
                d,
                scale,
                words=words,
                elements=norm.size,
                epsilon=norm.epsilon,
            )
        else:
            self._layer_norm(norm, x, parameters, key, self._weighted)
            quantize(p, s, self._weighted.at(), d, scale, words=words)

    def add(self, norm: Norm, y: Region, parameters: LayerParameters, key: str, x: Region) -> None:
        """x += the norm of y, which is overwritten."""
        p, s, words = self._p, self._scratch, self.words(norm)
        if norm.kind is NormKind.LAYER:
            self._layer_norm(norm, y, parameters, key, y)
            p.vec(VectorOp.MAD, x.at(), x.at(), None, y.at(), inner=words)
            return
        p.vec(VectorOp.SUM, s.square.at(), y.at(), y.at(), inner=words)
        p.vec(VectorOp.MAD, s.square.at(), s.square.at(), 1.0 / norm.size, p.constant(norm.epsilon), inner=1)
        rsqrt(p, s.inverse.at(), s.square.at(), s.t.at(), s.u.at())
        p.vec(VectorOp.MAD, y.at(), y.at(), parameters[key], inner=words)
        p.vec(VectorOp.MAD, x.at(), y.at(), s.inverse.each, x.at(), inner=words)

    def _layer_norm(self, norm: Norm, x: Region, parameters: LayerParameters, key: str, d: Region) -> None:
        mask = self._masks.get(norm.size)
        layer_norm(
            self._p,
            self._scratch,
            x,
            parameters[key],
            parameters[f"{key}.bias"],
            d,
            words=self.words(norm),
            elements=norm.size,
            epsilon=norm.epsilon,
            mask=mask.at() if mask else None,
        )

    def _elements(self, norm: Norm) -> int:
        (tensor, *_) = norm.tensors()
        return self._sizes.shape(tensor)[0]


def normalise_heads(
    p: ProgramBuilder,
    s: HeadNormScratch,
    norm: Norm,
    x: Region,
    gamma: Operand,
    *,
    heads: int,
    words: int,
) -> None:
    """x = RMSNorm of each of `heads` of `words`, all by the same weights `gamma`; in place."""
    each, inverse = x.at(outer=words), s.inverse.at(outer=1, inner=0)
    p.vec(VectorOp.SUM, s.square.at(outer=1), each, each, outer=heads, inner=words)
    p.vec(VectorOp.MAD, s.square.at(), s.square.at(), 1.0 / norm.size, p.constant(norm.epsilon), inner=heads)
    rsqrt(p, s.inverse.at(), s.square.at(), s.t.at(), s.u.at(), inner=heads)
    p.vec(VectorOp.MAD, each, each, inverse, outer=heads, inner=words)
    p.vec(VectorOp.MAD, each, each, gamma, outer=heads, inner=words)
