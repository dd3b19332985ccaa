"""The attention half of a layer: from a normalised token to the mixed values of all heads."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from einloom.mapping.attention_operands import attention_format
from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.group_parts import group_parts
from einloom.mapping.codegen.lane_heads import LaneHeads
from einloom.mapping.codegen.linear import Linears, Weights, outputs_of
from einloom.mapping.codegen.norms import normalise_heads
from einloom.mapping.codegen.padding import Heads
from einloom.mapping.codegen.parameters import LayerParameters
from einloom.mapping.codegen.quantize import HeadNormScratch, HeadScratch, quantize_queries
from einloom.mapping.codegen.token_coder import TokenCoder
from einloom.mapping.regions import Memory, Operand, Region
from einloom.models.cache_scales import CacheScales
from einloom.models.decoder_graph import Attention, Norm, Rope, Scores
from einloom.spec.attention_format import SCALE_SHIFT, SCORE_FRACTION
from einloom.spec.errors import InputError
from einloom.spec.isa import Condition, Rows, Space, VectorOp
from einloom.spec.manifest import CoreManifest

Floats = npt.NDArray[np.float32]


class AttentionCode:
    """Emits the attention of every layer; its regions are shared by all of them."""

    def __init__(
        self,
        p: ProgramBuilder,
        linears: Linears,
        weights: Weights,
        layers: Sequence[Attention],
        context: int,
    ) -> None:
        problems = attention_problems(p.core, weights.sizes.heads, layers, context)
        if problems:
            raise InputError("; ".join(problems))
        heads = weights.sizes.heads
        self._p, self._linears, self._weights, self._heads = p, linears, weights, heads
        words = self._head_words = p.words(heads.size)
        self._context = context
        all_keys = heads.groups * words
        ropes = dict.fromkeys(
            (layer.rope, reach) for layer in layers if layer.rope for reach in sorted({0, layer.scores.reach})
        )
        self.ropes = {rope: p.per_token(f"rope{n or ''}", words) for n, rope in enumerate(ropes)}
        """Tables of a token's angles: of each rotation, and of what its sinks are seen by."""
        self._keys = p.per_token("keys", linears.result_words(heads.groups * heads.size))
        self._token_scales = p.core.cache.token_scales
        self._lanes = LaneHeads(p, heads.groups)
        self._rotated_keys = p.per_token("keys.rotated", all_keys) if ropes or self._token_scales else self._keys
        self._values = p.per_token("values", linears.result_words(heads.groups * heads.size))
        self._groups_at_once = self._how_many_at_once(layers)
        query_heads = self._groups_at_once * heads.group
        self._queries = [p.per_token(f"queries{n}", linears.result_words(query_heads * heads.size)) for n in range(2)]
        self._rotated = [p.per_token(f"queries{n}.rotated", query_heads * words) for n in range(2)]
        self._scratch = HeadScratch.of(p, query_heads)
        normalised = any(layer.query_norm or layer.key_norm for layer in layers)
        self._norms = HeadNormScratch.of(p, max(query_heads, heads.groups)) if normalised else None
        self._coder = TokenCoder(p, heads, self._lanes) if self._token_scales else None
        staged = self._lanes.turns * (words + (1 if self._token_scales else 0))
        self._staged_keys = self._lanes.regions(p.staging, "keys", staged)
        self._staged_values = self._lanes.regions(p.staging, "values", staged)
        self._parts = group_parts(heads.group, p.attention.columns)
        self._block = 1 << (min(p.tokens, p.attention.columns // self._parts[-1].size).bit_length() - 1)
        self._blocks = -(-p.tokens // self._block)
        for_sinks = any(layer.scores.reach for layer in layers)
        self._buffers, self._sink_buffers = (
            [
                [
                    self._lanes.regions(p.queries, f"{name} {n}.{part.first}", words + 1, self._blocks)
                    for n in range(turns)
                ]
                for part in self._parts
            ]
            for name, turns in (("queries", self._lanes.turns), ("sink queries", self._lanes.turns * for_sinks))
        )
        self._for_sinks = p.per_token("queries.sinks", query_heads * words) if for_sinks else None
        self._cache: dict[str, list[tuple[Region, Region]]] = {}  # of each layer the keys and values of every turn
        self._rings: dict[str, int] = {}  # of each layer the tiles of its heads' rings, 0 for none
        self.output_words = p.words(weights.sizes.mixed)
        """Words of all heads' outputs, zeros behind the last head included."""
        self.output = p.per_token("mixed", self.output_words)
        self._mixed_words = heads.count * words
        self._spread_output = p.per_token("mixed.spread", self._mixed_words) if self._token_scales else self.output
        split = len(self._parts) > 1
        self._attended = p.per_token("attended", self._mixed_words) if split else self.output
        """Outputs as the engines write them: turn by turn, part by part, lane by lane."""

    def _how_many_at_once(self, layers: Sequence[Attention]) -> int:
        """Key/value heads whose queries are made at a time: as many as fill a tile of outputs, and a vector
        instruction; all where a norm goes over all queries."""
        p, heads = self._p, self._heads
        if any(layer.query_norm and layer.query_norm.size != layer.size for layer in layers):
            return heads.groups
        wanted = max(p.gemm.columns, p.schedule.query_words * p.core.lanes)
        lanes = self._lanes.lanes
        return min(heads.groups, max(1, wanted // (heads.group * heads.size * lanes)) * lanes)

    def clear_padding(self) -> None:
        """Zeros into the words of the output behind the last head, for a whole chunk."""
        p, words = self._p, self.output_words - self._mixed_words
        if words:
            offset = p.image.floats("zeros", np.zeros(0, np.float32), words * p.core.lanes)
            fields = {"d_base": self.output.base + self._mixed_words, "d_token": self.output.stride}
            p.emit("load", (), {self.output}, offset=offset, rows=Rows.POSITIONS, stride=0, words=words, **fields)

    def parameters(self, attention: Attention, scales: CacheScales) -> dict[str, Floats]:
        """Parameters of a layer's attention in the vector memory, by name."""
        heads, format = self._heads, attention_format(self._p.attention)
        unit = 2.0 ** (SCORE_FRACTION + SCALE_SHIFT + format.qk_drop) * math.log2(math.e) * attention.scores.scale
        gain = self._coder.gain if self._coder else 1.0
        key_scales, value_scales = scales.keys.astype(np.float64) / gain, scales.values.astype(np.float64) / gain
        per_query = np.repeat(key_scales * unit, heads.group, axis=0)
        per_output = np.repeat(value_scales / 2.0**format.output_fraction, heads.group, axis=0)
        values = self._weights.parameters("v", attention.value)
        key_codes, value_codes = 1.0 / (key_scales * gain**2), 1.0 / (value_scales * gain**2)
        return (
            self._weights.parameters("k", attention.key)
            | self._norm("k.norm", attention.key_norm)
            | {"k.code": key_codes.ravel().astype(np.float32)}
            | ({} if scales.means is None else {"k.mean": (-scales.means * key_codes).ravel().astype(np.float32)})
            | {name: (vector * value_codes.ravel()).astype(np.float32) for name, vector in values.items()}
            | self._weights.parameters("q", attention.query)
            | self._norm("q.norm", attention.query_norm)
            | {"q.code": per_query.ravel().astype(np.float32)}
            | {"mixed": per_output.ravel().astype(np.float32)}
            | (self._coder.parameters() if self._coder else {})
        )

    def _norm(self, key: str, norm: Norm | None) -> dict[str, Floats]:
        if norm is None:
            return {}
        (tensor,) = norm.tensors()
        return {key: self._weights.sizes.padded(tensor, self._weights.floats[tensor.name])}

    def emit(
        self, layer: str, attention: Attention, parameters: LayerParameters, activations: Region, scale: Region
    ) -> None:
        """Keys and values into the cache, the queries, group by group, and their attention into `output`."""
        p, heads = self._p, self._heads
        cache = self._cache[layer]
        ring = {"ring": self._rings[layer].bit_length(), "sinks": attention.scores.sinks}
        batches = [
            range(start, min(start + self._groups_at_once, heads.groups))
            for start in range(0, heads.groups, self._groups_at_once)
        ]

        def make_queries(groups: range) -> None:
            p.note(f"{layer}: queries of key heads {groups[0]} to {groups[-1]}")
            self._query_groups(attention, parameters, activations, scale, groups)

        if p.schedule.queries_first:
            make_queries(batches[0])
        p.note(f"{layer}: keys and values")
        self._keys_and_values(attention, parameters, activations, scale, cache, ring)
        for groups in batches:
            if not p.schedule.queries_first or groups is not batches[0]:
                make_queries(groups)
            for turn in range(groups.start // self._lanes.lanes, -(-groups.stop // self._lanes.lanes)):
                self._attend(attention, turn, *cache[turn], ring["ring"])
        p.note(f"{layer}: mixed values")
        output, spread = self.output, self._spread_output
        first = spread if self._coder and self._coder.stages % 2 else output
        self._scale_outputs(first, parameters)
        if self._coder:
            self._coder.spread(first, output if first is spread else spread, heads.count, parameters)

    def _scale_outputs(self, d: Region, parameters: LayerParameters) -> None:
        """d = what all heads attended to, times the scales of values, head by head."""
        p, words, group = self._p, self._head_words, self._heads.group
        if len(self._parts) == 1:
            p.vec(VectorOp.MAD, d.at(), self.output.at(), parameters["mixed"], inner=self._mixed_words)
            return
        for turn in range(self._lanes.turns):
            first, at_work = turn * self._lanes.lanes * group, self._lanes.at_work(turn)
            for part, lanes in product(self._parts, self._lanes.in_strides(turn, group * words)):
                to = (first + lanes.start * group + part.first) * words
                at = (first + part.first * at_work + lanes.start * part.size) * words
                step, walk = group * words if len(lanes) > 1 else 0, part.size * words
                factor = replace(parameters.operand("mixed", to), outer=step)
                source = self._attended.at(at, outer=walk if step else 0)
                p.vec(VectorOp.MAD, d.at(to, outer=step), source, factor, outer=len(lanes), inner=walk)

    def _keys_and_values(
        self,
        attention: Attention,
        parameters: LayerParameters,
        activations: Region,
        scale: Region,
        cache: list[tuple[Region, Region]],
        ring: dict[str, int],
    ) -> None:
        p, words, tensors = self._p, self._heads.groups * self._head_words, self._weights.tensors
        keys, values = self._keys, self._values
        self._linears.product(tensors[attention.key.weight], activations, keys)
        self._linears.product(tensors[attention.value.weight], activations, values)
        self._linears.scaled(keys.at(), keys.at(), parameters["k"], scale, parameters.bias("k"), inner=words)
        self._normalise(attention.key_norm, keys, parameters, "k.norm", self._heads.groups)
        rotated = self._rotate(self._rotated_keys, keys, attention.rope, 0, self._heads.groups)
        staged = self._staged_keys
        if self._coder:
            p.vec(VectorOp.MAD, rotated.at(), rotated.at(), parameters["k.code"], parameters["k.mean"], inner=words)
            self._coder.emit(rotated, keys if rotated is not keys else self._rotated_keys, staged, parameters)
        else:
            self._stage(staged, rotated.at(), parameters["k.code"])
        self._store(staged, [k for k, _ in cache], ring)
        staged, bias = self._staged_values, parameters.bias("v")
        p.vec(VectorOp.MAD, values.at(), values.at(), parameters["v"], inner=words)
        if self._coder:
            p.vec(VectorOp.MAD, values.at(), values.at(), scale.each, bias, inner=words)
            self._coder.emit(values, self._rotated_keys, staged, parameters)
        else:
            self._stage(staged, values.at(), scale.each, bias)
        self._store(staged, [v for _, v in cache], ring)

    def _stage(self, staged: list[Region], x: Operand, factor: Operand, addend: Operand | None = None) -> None:
        """Codes of all heads into the staging buffers: x * factor + addend; `factor` is a word for each of a head, or
        one for all."""
        p, words = self._p, self._head_words
        if len(staged) == 1:
            inner = self._heads.groups * words
            p.vec(VectorOp.MAD, staged[0].at(), x, factor, addend, inner=inner, space=Space.KEY_VALUES)
            return
        for lane, region in enumerate(staged):
            for run in self._lanes.runs(lane, words):
                d, outer = region.at(run.turn * words, outer=words), run.heads
                by, plus = (run.of(o, words) if o and o.inner else o for o in (factor, addend))
                a = run.of(x, words)
                p.vec(VectorOp.MAD, d, a, by, plus, outer=outer, inner=words, space=Space.KEY_VALUES)

    def _store(self, staged: list[Region], cache: list[Region], ring: dict[str, int]) -> None:
        head = self._head_words + (1 if self._coder else 0)
        for turn, memory in enumerate(cache):
            at_work = self._lanes.at_work(turn)
            self._p.emit(
                "store_kv",
                staged[:at_work],
                {memory},
                offset=memory.base,
                base=staged[0].base + turn * head,
                elements=self._heads.size,
                other_lanes=at_work - 1,
                **ring,
            )

    def _normalise(self, norm: Norm | None, x: Region, parameters: LayerParameters, key: str, heads: int) -> None:
        """x = its norm, over each head or over all of them together."""
        if norm is None or self._norms is None:
            return
        whole = norm.size != self._heads.unpadded
        count, words = (1, heads * self._head_words) if whole else (heads, self._head_words)
        normalise_heads(self._p, self._norms, norm, x, parameters[key], heads=count, words=words)

    def _rotate(self, d: Region, x: Region, rope: Rope | None, reach: int, heads: int) -> Region:
        """Where the rotated heads of `x` are: `d`, or `x` itself without RoPE; rotated as at position `reach` at most,
        unless that is 0.

        Element i of a head turns with i + size / 2; a token's table is the cosines, then the sines.
        """
        if rope is None:
            return x
        p, half, whole, table = self._p, self._head_words // 2, self._head_words, self.ropes[rope, reach]
        cosine, sine = table.at(), table.at(half)

        def part(region: Region, offset: int) -> Operand:
            return region.at(offset, outer=whole)

        for offset, other, negate in ((0, half, True), (half, 0, False)):
            there = part(d, offset)
            p.vec(VectorOp.MAD, there, part(x, offset), cosine, outer=heads, inner=half)
            p.vec(VectorOp.MAD, there, part(x, other), sine, there, negate=negate, outer=heads, inner=half)
        return d

    def _query_groups(
        self, attention: Attention, parameters: LayerParameters, activations: Region, scale: Region, groups: range
    ) -> None:
        p, heads = self._p, self._heads
        count, first = len(groups) * heads.group, groups[0] * heads.group
        words, at = count * self._head_words, first * self._head_words
        turn = groups[0] // self._groups_at_once % 2
        queries, rotated = self._queries[turn], self._rotated[turn]
        tensor = self._weights.tensors[attention.query.weight]
        part = outputs_of(tensor, first * heads.size, (first + count) * heads.size)
        self._linears.product(part, activations, queries)
        channels, bias = parameters.operand("q", at), parameters.bias("q", at)
        self._linears.scaled(queries.at(), queries.at(), channels, scale, bias, inner=words)
        self._normalise(attention.query_norm, queries, parameters, "q.norm", count)
        made = [(rotated, 0, self._buffers)]
        if attention.scores.reach and self._for_sinks:  # first, because the others may mix into the queries' place
            made.insert(0, (self._for_sinks, attention.scores.reach, self._sink_buffers))
        for d, reach, buffers in made:
            turned = self._rotate(d, queries, attention.rope, reach, count)
            p.vec(VectorOp.MAD, d.at(), turned.at(), parameters.operand("q.code", at), inner=words)
            other = queries if d is rotated else rotated
            quantize_queries(
                p,
                self._scratch,
                self._coder.spread(d, other, count, parameters) if self._coder else d,
                [
                    (of_part[g // self._lanes.lanes][g % self._lanes.lanes], part.size)
                    for g in groups
                    for part, of_part in zip(self._parts, buffers, strict=True)
                ],
                head=self._head_words,
                block=self._block.bit_length() - 1,
            )

    def _attend(self, attention: Attention, turn: int, keys: Region, values: Region, ring: int) -> None:
        p, heads, at_work = self._p, self._heads, self._lanes.at_work(turn)
        for (n, part), block in product(enumerate(self._parts), range(self._blocks)):
            buffers = self._buffers[n][turn][:at_work]
            for_sinks = self._sink_buffers[n][turn][:at_work] if attention.scores.reach else buffers
            first = turn * self._lanes.lanes * heads.group + part.first * at_work
            p.emit(
                "attend",
                {*buffers, *for_sinks, keys, values},
                {self._attended},
                keys=keys.base,
                values=values.base,
                queries=(buffers[0].base + block * buffers[0].stride) * p.core.lanes,
                query_head=heads.size,
                value_head=heads.size,
                group=part.size,
                first=block * self._block,
                count=self._block,
                condition=Condition.TOKEN_PRESENT,
                d_base=self._attended.base + first * self._head_words,
                d_token=self._attended.stride,
                d_outer=self._head_words,
                window=attention.scores.window,
                sinks=attention.scores.sinks,
                ring=ring,
                other_lanes=at_work - 1,
                sink_queries=(for_sinks[0].base + block * buffers[0].stride) * p.core.lanes if p.core.cache_ring else 0,
            )

    def reserve_cache(self, layer: str, scores: Scores) -> None:
        """Room in memory for the layer's keys and values: whole tiles for each head, on each lane for its own; with a
        ring as many as its window needs, where that is less."""
        p, cache = self._p, self._p.core.cache
        size = cache.head_bytes(self._heads.size, self._context)
        self._rings[layer] = 0
        if cache.ring and scores.window:
            ring = cache.ring_for(scores.window, p.tokens)
            in_ring = (ring + cache.sink_tiles(scores.sinks)) * cache.tile_bytes(self._heads.size)
            if in_ring < size:
                self._rings[layer], size = ring, in_ring

        def room(name: str) -> Region:
            if not p.core.cache_in_channels:
                return Region(name, Memory.SYSTEM, p.image.reserve(name, size), -(-size // p.beat_bytes))
            beats = -(-size // (p.beat_bytes * p.core.cache_stripes))
            offset = self._linears.weights.reserve(beats)
            p.image.behind_channels(name, offset, beats)
            return Region(name, Memory.CACHE, offset, beats)

        self._cache[layer] = [
            (room(f"{layer}.keys.{turn}"), room(f"{layer}.values.{turn}")) for turn in range(self._lanes.turns)
        ]


def attention_problems(core: CoreManifest, heads: Heads, layers: Sequence[Attention], context: int) -> list[str]:
    """What of a design is too small for attention of this shape, or what it cannot compute, each with its key."""
    attention, problems = core.attention, list[str]()
    rows, scores = attention.rows, [layer.scores for layer in layers]
    if any(s.reach for s in scores) and not core.cache_ring:
        problems.append("core.cache_ring: true is needed, because sinks have queries of their own")
    if wrong := sorted({s.sinks for s in scores if s.reach and s.sinks % rows}):
        problems.append(f"attention.rows: {rows} do not divide --sinks {wrong[0]}: a tile has sinks or none")
    if any(layer.scores.cap is not None for layer in layers):
        problems.append("attn_logit_softcapping: the attention array computes no soft cap of scores")
    if heads.size > attention.max_head:
        problems.append(
            f"attention.max_head: {heads.size} is needed for heads of {heads.unpadded}, of {attention.max_head}"
        )
    if context > attention.max_keys:
        problems.append(
            f"attention.max_keys: {context:,} are needed for the model's context, of {attention.max_keys:,}"
        )
    return problems
