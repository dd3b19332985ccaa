"""Compiles a quantized decoder to one program that serves every prompt and every position."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from einloom.mapping.check.footprint import Footprints
from einloom.mapping.check.program import check_program
from einloom.mapping.codegen.attention import AttentionCode
from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.head import HeadCode
from einloom.mapping.codegen.linear import Linears, Weights, outputs_of, pieces
from einloom.mapping.codegen.mlp import MlpCode
from einloom.mapping.codegen.norms import NormCode
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.codegen.parameters import LayerParameters, ParameterLoads
from einloom.mapping.codegen.shared_words import SharedWords, share_words
from einloom.mapping.regions import Memory, MemoryFull, Region
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Attention, Branch, DecoderGraph, Layer, Mlp, Norm, Rope
from einloom.models.float_functions import angles
from einloom.spec.config import largest_memories
from einloom.spec.isa import Elements, Rows, VectorOp
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program, Symbols
from einloom.spec.quantized import QuantizedTensor

Floats = npt.NDArray[np.float32]


def compile_decoder(
    graph: DecoderGraph,
    tensors: Mapping[str, QuantizedTensor],
    floats: Mapping[str, Floats],
    scales: Sequence[CacheScales],
    manifest: Manifest,
    *,
    context: int | None = None,
    schedule: Schedule = STANDARD,
    contents: bool = True,
    check: bool = False,
) -> Program:
    """The program of a model on a design.

    Parameters
    ----------
    tensors : the matrices of all linear layers, in formats that the design takes, in the sizes of PaddedSizes.
    floats : the embedding, the norms and the biases, float32.
    scales : scales of each layer's cache.
    context : positions to leave room for; the model's own if None.
    schedule : what is free in the program.
    contents : False leaves the images as zeros that take no memory, so that the mapping of a model of any size can be
        studied. The program is the same in every bit.
    check : hold the program against its regions after each pass, and in the end against its permits (mapping/check).

    Where the regions of the vector memory don't fit behind each other, those that are never alive together share words.

    Raises InputError when the model doesn't fit the design.
    """
    weights = Weights(tensors, floats, PaddedSizes.of(graph, manifest.core))
    context = context or graph.context
    try:
        p = ProgramBuilder(manifest, schedule, contents=contents, check=check)
        program = _Compiler(p, graph, weights, manifest, context).program(scales)
    except MemoryFull as full:
        if full.memory is not Memory.VECTOR:
            raise
        shared = _shared_words(graph, weights, scales, manifest, context, schedule)
        if shared.words > manifest.core.vector_words:
            raise _too_small(shared.words, manifest.core.vector_words) from full
        p = ProgramBuilder(manifest, schedule, contents=contents, check=check, vector_bases=shared.bases)
        program = _Compiler(p, graph, weights, manifest, context).program(scales)
    if check:
        check_program(program, manifest)
    return program


def _shared_words(
    graph: DecoderGraph,
    weights: Weights,
    scales: Sequence[CacheScales],
    manifest: Manifest,
    context: int,
    schedule: Schedule,
) -> SharedWords:
    """Places for the vector memory's regions, from a program for the largest one; MemoryFull if that is too small."""
    words = manifest.core.vector_words
    core = manifest.core.model_copy(update={"vector_words": largest_memories(1)["vector_words"]})
    larger = manifest.model_copy(update={"design": core})
    p = ProgramBuilder(larger, schedule, contents=False)
    _Compiler(p, graph, weights, larger, context).program(scales)
    return share_words(p.finished, p.vector.regions, Footprints(larger, p.image.pieces), words)


def _too_small(needed: int, words: int) -> MemoryFull:
    return MemoryFull(
        Memory.VECTOR,
        needed,
        f"the {Memory.VECTOR.value} is too small for this model: it needs {needed:,} words of {words:,}, even where "
        f"what is never alive together shares them; give core.vector_words at least that many",
    )


class _Compiler:
    """Walks through the layers and emits them."""

    def __init__(
        self, p: ProgramBuilder, graph: DecoderGraph, weights: Weights, manifest: Manifest, context: int
    ) -> None:
        self._p, self._graph, self._weights = p, graph, weights
        self._manifest, self._context = manifest, context
        self._linears = Linears(p)
        self._sizes = sizes = weights.sizes
        hidden, self._words = sizes.hidden, p.words(sizes.hidden)
        self._x = p.per_token("x", self._words)
        self._norms = NormCode(p, sizes, weights.floats, _norms(graph))
        self._scales = {name: p.per_token(f"{name}.scale", 1) for name in ("attention", "mixed", "mlp", "inner")}
        layers = [layer.attention for layer in graph.layers]
        self._attention = AttentionCode(p, self._linears, weights, layers, context)
        gated = any(isinstance(b.operation, Mlp) and b.operation.gate for n in graph.layers for b in n.branches)
        self._mlp = MlpCode(p, self._linears, weights, sizes.inner, gated=gated)
        self._normalised = p.activations.region("normalised", self._words)
        self._wide = p.activations.region("wide", max(self._attention.output_words, self._mlp.output_words))
        self._hidden_pieces = list(pieces(hidden, p.gemm.columns, p.core.lanes, p.schedule))
        largest = max(stop - start for start, stop in self._hidden_pieces)
        self._sums = [p.per_token(f"sums{n}", self._linears.result_words(largest)) for n in range(2)]
        post = any(branch.post_norm for layer in graph.layers for branch in layer.branches)
        self._branch = p.per_token("branch", self._words) if post else self._x
        self._positions = p.per_token("positions", self._words) if graph.embedding.positions else None

    def program(self, scales: Sequence[CacheScales]) -> Program:
        """The whole program: each chunk of tokens through all layers, and after the last chunk the head."""
        p, graph = self._p, self._graph
        tokens = p.image.reserve("tokens", self._context * p.beat_bytes)
        head = HeadCode(p, self._linears, self._weights, self._norms, graph)
        cached = self._linears.weights if p.core.cache_in_channels else p.image
        cache = cached.beats
        for layer in graph.layers:
            self._attention.reserve_cache(layer.name, layer.attention.scores)
        cache_beats = cached.beats - cache
        self._inputs(tokens)
        self._attention.clear_padding()
        self._norms.load_masks()
        padded = [self._sizes.scales(s, per_head=p.core.cache.token_scales) for s in scales]
        vectors = [self._parameters(layer, s) for layer, s in zip(graph.layers, padded, strict=True)]
        loads = ParameterLoads(p, [[v.size for v in group.values()] for group in vectors[0]])
        for layer, vector in zip(graph.layers, vectors, strict=True):
            self._layer(layer, loads.fetch(layer.name, vector))
        p.note("next chunk")
        p.emit("next")
        head.emit(self._x, self._normalised, self._scales["mlp"], self._sums)
        instructions, notes = p.finish()
        program = p.image.add("program", b"".join(i.encode() for i in instructions))
        symbols = Symbols(
            program=program,
            instructions=len(instructions),
            tokens=tokens,
            logits=head.logits,
            logits_stride=head.stride,
            vocab=graph.vocab,
            context=self._context,
            cache=cache,
            cache_beats=cache_beats,
            residual=self._x.base,
            residual_stride=self._x.stride,
        )
        return Program(
            self._manifest.name,
            self._manifest.digest,
            symbols,
            tuple(instructions),
            tuple(notes),
            p.memories,
            tuple(p.image.pieces),
            p.image.bytes(),
            self._linears.weights.bytes(),
        )

    def _inputs(self, tokens: int) -> None:
        """The chunk's tokens: their embeddings, and what belongs to their positions."""
        p, embedding, floats = self._p, self._graph.embedding, self._weights.floats
        p.note("embedding")
        numbers = Region("tokens", Memory.TOKENS, 0, 1)
        p.emit("tokens", (), {numbers}, offset=tokens)
        table = floats[embedding.weight]
        if p.contents and embedding.scale != 1:
            table = table * np.float32(embedding.scale)
        # A token's row in bfloat16 takes half the memory. Most checkpoints have no more bits of it.
        tables = [("embedding", Rows.TOKENS, Elements.BFLOAT16, table, self._x)]
        for (rope, reach), region in self._attention.ropes.items():
            turns = rotations(rope, self._context, self._sizes.heads.size, reach)
            tables.append((region.name, Rows.POSITIONS, Elements.FLOAT32, turns, region))
        if self._positions and embedding.positions:
            learnt = floats[embedding.positions][: self._context]
            tables.append(("positions", Rows.POSITIONS, Elements.FLOAT32, learnt, self._positions))
        for name, rows, elements, values, d in tables:
            offset, stride = p.image.rows(name, values, d.words * p.core.lanes, elements)
            p.emit(
                "load",
                {numbers},
                {d},
                offset=offset,
                rows=rows,
                stride=stride,
                words=d.words,
                d_base=d.base,
                d_token=d.stride,
                elements=elements,
            )
        if self._positions:
            p.vec(VectorOp.MAD, self._x.at(), self._x.at(), None, self._positions.at(), inner=self._words)

    def _parameters(self, layer: Layer, scales: CacheScales) -> list[dict[str, Floats]]:
        """Parameters of a layer in the vector memory, in groups, in the order in which the layer needs them: each
        branch's norm, with what the branch before ends with, and what it computes from there."""
        groups: list[dict[str, Floats]] = [{}]
        for branch in layer.branches:
            operation, keys = branch.operation, _keys(branch)
            groups[-1] |= self._norms.parameters(keys.norm, branch.pre_norm)
            if isinstance(operation, Attention):
                groups.append(self._attention.parameters(operation, scales))
            else:
                groups.append(self._mlp.parameters(operation))
            groups[-1] |= self._norms.parameters(f"{keys.output}.inner", operation.inner_norm)
            factor = 1.0 if branch.post_norm else branch.multiplier
            groups.append(self._weights.parameters(keys.output, operation.output, factor))
            groups[-1] |= self._norms.parameters(f"{keys.output}.norm", branch.post_norm, branch.multiplier)
        last = groups.pop()
        groups[-1] |= last
        return [group for group in groups if group]

    def _layer(self, layer: Layer, parameters: LayerParameters) -> None:
        p, scales = self._p, self._scales
        for branch in layer.branches:
            operation, keys = branch.operation, _keys(branch)
            p.note(f"{layer.name}: norm before {keys.what}")
            scale = scales[keys.scale]
            self._norms.quantized(
                branch.pre_norm, self._x, parameters, keys.norm, self._normalised, scale, words=self._words
            )
            if isinstance(operation, Attention):
                self._attention.emit(layer.name, operation, parameters, self._normalised, scale)
                inner, words, maxima = self._attention.output, self._attention.output_words, None
            else:
                self._mlp.emit(layer.name, operation, parameters, self._normalised, scale)
                inner, words, maxima = self._mlp.output, self._mlp.output_words, self._mlp.maxima
                p.note(f"{layer.name}: down")
            scale = scales[keys.output_scale]
            self._norms.quantized(
                operation.inner_norm,
                inner,
                parameters,
                f"{keys.output}.inner",
                self._wide,
                scale,
                words=words,
                maxima=maxima,
            )
            self._result(branch, parameters, scale)

    def _result(self, branch: Branch, parameters: LayerParameters, scale: Region) -> None:
        """x += the branch's linear layer of the wide activations, piece by piece; or their norm, when it is whole."""
        p, lanes, key = self._p, self._p.core.lanes, _keys(branch).output
        linear, d = branch.operation.output, self._branch
        for n, (start, stop) in enumerate(self._hidden_pieces):
            p.note(f"{linear.weight}, outputs {start} to {stop - 1}")
            sums, words, at = self._sums[n % 2], p.words(stop - start), start // lanes
            self._linears.product(outputs_of(self._weights.tensors[linear.weight], start, stop), self._wide, sums)
            bias = parameters.bias(key, at)
            p.vec(VectorOp.MAD, sums.at(), sums.at(), parameters.operand(key, at), inner=words)
            if branch.post_norm:
                p.vec(VectorOp.MAD, d.at(at), sums.at(), scale.each, bias, inner=words)
                continue
            x = self._x.at(at)
            p.vec(VectorOp.MAD, x, sums.at(), scale.each, x, inner=words)
            if bias:
                p.vec(VectorOp.MAD, x, x, None, bias, inner=words)
        if branch.post_norm:
            p.note(f"{linear.weight}: norm of the result")
            self._norms.add(branch.post_norm, d, parameters, f"{key}.norm", self._x)


class _Keys(NamedTuple):
    """Names of a branch's parameters and scales, and what people call it."""

    what: str
    norm: str
    scale: str
    output: str
    output_scale: str


def _keys(branch: Branch) -> _Keys:
    if isinstance(branch.operation, Attention):
        return _Keys("attention", "input_norm", "attention", "o", "mixed")
    return _Keys("the MLP", "mlp_norm", "mlp", "down", "inner")


def _norms(graph: DecoderGraph) -> Iterator[Norm]:
    """All norms of the graph."""
    if graph.norm:
        yield graph.norm
    for layer in graph.layers:
        for branch in layer.branches:
            for block in (branch.pre_norm, *branch.operation.parts, branch.post_norm):
                if isinstance(block, Norm):
                    yield block


def rotations(rope: Rope, context: int, size: int, reach: int = 0) -> Floats:
    """Rotary table, float32 [context, size]: cosines, then sines, of a head's angles at each position, or with a
    `reach` at that position for all behind it.

    `size` is the padded head's; half of it is cosines. Padded elements don't turn.
    """
    positions = np.arange(context)
    cosines, sines = angles(rope, np.minimum(positions, reach) if reach else positions)
    widths = (0, 0), (0, size // 2 - len(rope.frequencies))
    return np.concatenate([np.pad(cosines, widths, constant_values=1), np.pad(sines, widths)], axis=1)
