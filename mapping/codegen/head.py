"""The head: from the last chunk's tokens to logits in memory."""

from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.float_ops import soft_cap
from einloom.mapping.codegen.linear import Linears, Weights, outputs_of
from einloom.mapping.codegen.norms import NormCode
from einloom.mapping.codegen.parameters import ParameterLoads
from einloom.mapping.regions import Memory, Region
from einloom.models.decoder_graph import DecoderGraph


class HeadCode:
    """Emits the head.

    Attributes
    ----------
    logits, stride : first beat of the table of logits, and beats from one token's to the next.
    """

    def __init__(
        self, p: ProgramBuilder, linears: Linears, weights: Weights, norms: NormCode, graph: DecoderGraph
    ) -> None:
        self._p, self._linears, self._weights, self._norms, self._graph = p, linears, weights, norms, graph
        self.stride = p.words(graph.vocab) * p.core.lanes * 4 // p.beat_bytes
        self.logits = p.image.reserve("logits", p.tokens * self.stride * p.beat_bytes)

    def emit(self, x: Region, normalised: Region, scale: Region, sums: list[Region]) -> None:
        """The logits of x, piece by piece; `sums` take turns, and all else is overwritten."""
        p, graph = self._p, self._graph
        size = sums[0].words * p.core.lanes // p.gemm.columns * p.gemm.columns
        vectors = self._norms.parameters("norm", graph.norm)
        norms = ParameterLoads(p, [[v.size for v in vectors.values()]])
        channels = self._weights.parameters("scale", graph.head.linear, graph.head.scale)
        loads = ParameterLoads(p, [[min(size, graph.vocab)] * len(channels)])
        cap = [p.per_token(f"cap.{name}", sums[0].words) for name in "tu"] if graph.head.cap else []
        norm = norms.fetch("head", [vectors])
        p.note("norm before the head")
        self._norms.quantized(graph.norm, x, norm, "norm", normalised, scale, words=x.words)
        for n, start in enumerate(range(0, graph.vocab, size)):
            stop = min(start + size, graph.vocab)
            p.note(f"logits {start} to {stop - 1}")
            region, words = sums[n % 2], p.words(stop - start)
            part = outputs_of(self._weights.tensors[graph.head.linear.weight], start, stop)
            there = loads.fetch(f"head {start}", [{key: vector[start:stop] for key, vector in channels.items()}])
            self._linears.product(part, normalised, region)
            self._linears.scaled(region.at(), region.at(), there["scale"], scale, there.bias("scale"), inner=words)
            if graph.head.cap:
                t, u = cap
                soft_cap(p, graph.head.cap, region.at(), region.at(), t.at(), u.at(), inner=words)
            self._store(start, region, words)

    def _store(self, start: int, region: Region, words: int) -> None:
        p = self._p
        memory = Region(f"logits {start}", Memory.SYSTEM, self.logits + start * 4 // p.beat_bytes, 1)
        p.emit(
            "store",
            {region},
            {memory},
            offset=memory.base,
            stride=self.stride,
            words=words,
            a_base=region.base,
            a_token=region.stride,
        )
