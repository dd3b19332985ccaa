"""Compiles a quantized Llama to one program that serves every prompt and every position."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from einloom.mapping.check.program import check_program
from einloom.mapping.codegen.attention import AttentionCode
from einloom.mapping.codegen.builder import ProgramBuilder
from einloom.mapping.codegen.linear import Linears, channel_scales, outputs_of, pieces
from einloom.mapping.codegen.mlp import MlpCode
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.codegen.parameters import LayerParameters, ParameterLoads
from einloom.mapping.codegen.quantize import Scratch, quantize, quantize_normalised
from einloom.mapping.regions import Memory, Operand, Region
from einloom.models.cache_scales import CacheScales
from einloom.models.importer.huggingface import EMBEDDING
from einloom.models.importer.llama_config import LlamaConfig
from einloom.spec.isa import Rows, VectorOp
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program, Symbols
from einloom.spec.quantized import QuantizedTensor

Floats = npt.NDArray[np.float32]


def compile_llama(
    config: LlamaConfig,
    tensors: Mapping[str, QuantizedTensor],
    floats: Mapping[str, Floats],
    scales: Sequence[CacheScales],
    manifest: Manifest,
    *,
    context: int | None = None,
    contents: bool = True,
    check: bool = False,
) -> Program:
    """The program of a model on a design.

    Parameters
    ----------
    tensors : the matrices of all linear layers, in formats that the design takes, in the sizes of PaddedSizes.
    floats : the embedding and the norms, float32.
    scales : scales of each layer's cache.
    context : positions to leave room for; the model's own if None.
    contents : False leaves the images as zeros that take no memory, so that the mapping of a model of any size can be
        studied. The program is the same in every bit.
    check : hold the program against its regions after each pass, and in the end against its permits (mapping/check).

    Raises InputError when the model doesn't fit the design.
    """
    p = ProgramBuilder(manifest, contents=contents, check=check)
    context = context or config.max_position_embeddings
    program = _Compiler(p, config, tensors, floats, manifest, context).program(scales)
    if check:
        check_program(program, manifest)
    return program


class _Compiler:
    """Walks through the layers and emits them."""

    def __init__(
        self,
        p: ProgramBuilder,
        config: LlamaConfig,
        tensors: Mapping[str, QuantizedTensor],
        floats: Mapping[str, Floats],
        manifest: Manifest,
        context: int,
    ) -> None:
        self._p = p
        self._config, self._tensors, self._floats = config, tensors, floats
        self._manifest, self._context = manifest, context
        self._linears = Linears(p)
        self._sizes = sizes = PaddedSizes.of(config, manifest.core)
        hidden, self._words = sizes.hidden, p.words(sizes.hidden)
        self._x = p.per_token("x", self._words)
        self._weighted = p.per_token("x.weighted", self._words)
        self._scratch = Scratch.of(p)
        self._scales = {name: p.per_token(f"{name}.scale", 1) for name in ("attention", "mixed", "mlp", "inner")}
        heads = sizes.heads(config)
        self._rope = p.per_token("rope", p.words(heads.size))
        self._attention = AttentionCode(p, self._linears, heads, context, p.words(sizes.mixed))
        self._mlp = MlpCode(p, self._linears, sizes.inner)
        self._normalised = p.activations.region("normalised", self._words)
        self._wide = p.activations.region("wide", max(self._attention.output_words, self._mlp.output_words))
        self._hidden_pieces = list(pieces(hidden, p.gemm.columns, p.core.lanes))
        largest = max(stop - start for start, stop in self._hidden_pieces)
        self._sums = [p.per_token(f"sums{n}", self._linears.result_words(largest)) for n in range(2)]

    def program(self, scales: Sequence[CacheScales]) -> Program:
        """The whole program: each chunk of tokens through all layers, and after the last chunk the head."""
        p, config = self._p, self._config
        layers = [f"model.layers.{n}" for n in range(config.num_hidden_layers)]
        ids = p.image.reserve("ids", self._context * p.beat_bytes)
        stride = p.words(config.vocab_size) * p.core.lanes * 4 // p.beat_bytes
        logits = p.image.reserve("logits", p.tokens * stride * p.beat_bytes)
        cache = p.image.beats
        for layer in layers:
            self._attention.reserve_cache(layer)
        cache_beats = p.image.beats - cache
        self._inputs(ids)
        self._attention.clear_padding()
        padded = [self._sizes.scales(s) for s in scales]
        vectors = [self._parameters(layer, s) for layer, s in zip(layers, padded, strict=True)]
        loads = ParameterLoads(p, [[v.size for v in group.values()] for group in vectors[0]])
        for layer, vector in zip(layers, vectors, strict=True):
            self._layer(layer, loads.fetch(layer, vector))
        p.note("next chunk")
        p.emit("next")
        self._head(logits, stride)
        instructions, notes = p.finish()
        program = p.image.add("program", b"".join(i.encode() for i in instructions))
        symbols = Symbols(
            program=program,
            instructions=len(instructions),
            ids=ids,
            logits=logits,
            logits_stride=stride,
            vocab=config.vocab_size,
            context=self._context,
            cache=cache,
            cache_beats=cache_beats,
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

    def _inputs(self, ids: int) -> None:
        """The chunk's tokens: their embeddings, and the rotations of their positions."""
        p, config = self._p, self._config
        p.note("embedding")
        numbers = Region("ids", Memory.IDS, 0, 1)
        p.emit("ids", (), {numbers}, offset=ids)
        for name, rows, table, d in (
            ("embedding", Rows.TOKENS, self._floats[EMBEDDING], self._x),
            ("rope", Rows.POSITIONS, rotations(config, self._context, self._sizes.head), self._rope),
        ):
            offset, stride = p.image.rows(name, table, d.words * p.core.lanes)
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
            )

    def _parameters(self, layer: str, scales: CacheScales) -> list[dict[str, Floats]]:
        """Parameters of a layer in the vector memory, in groups, in the order in which the layer needs them."""
        return [
            {"input_norm": self._norm(f"{layer}.input_layernorm.weight")},
            self._attention.parameters(self._tensors, layer, scales),
            {
                "o": channel_scales(self._tensors[f"{layer}.self_attn.o_proj.weight"]),
                "mlp_norm": self._norm(f"{layer}.post_attention_layernorm.weight"),
            },
            self._mlp.parameters(self._tensors, layer)
            | {"down": channel_scales(self._tensors[f"{layer}.mlp.down_proj.weight"])},
        ]

    def _layer(self, layer: str, parameters: LayerParameters) -> None:
        p, scales = self._p, self._scales
        p.note(f"{layer}: norm before attention")
        self._normalise(parameters["input_norm"], scales["attention"])
        self._attention.emit(layer, self._tensors, parameters, self._normalised, scales["attention"], self._rope)
        quantize(
            p,
            self._scratch,
            self._attention.output.at(),
            self._wide,
            scales["mixed"],
            words=self._attention.output_words,
        )
        self._add(f"{layer}.self_attn.o_proj.weight", parameters["o"], scales["mixed"])
        p.note(f"{layer}: norm before the MLP")
        self._normalise(parameters["mlp_norm"], scales["mlp"])
        self._mlp.emit(layer, self._tensors, parameters, self._normalised, scales["mlp"])
        p.note(f"{layer}: down")
        quantize(p, self._scratch, self._mlp.output.at(), self._wide, scales["inner"], words=self._mlp.output_words)
        self._add(f"{layer}.mlp.down_proj.weight", parameters["down"], scales["inner"])

    def _normalise(self, gamma: Operand, scale: Region) -> None:
        """The normalised codes of x, and their scale."""
        quantize_normalised(
            self._p,
            self._scratch,
            self._x,
            gamma,
            self._weighted,
            self._normalised,
            scale,
            words=self._words,
            elements=self._config.hidden_size,
            epsilon=self._config.rms_norm_eps,
        )

    def _add(self, name: str, channels: Operand, scale: Region) -> None:
        """x += the linear layer `name` of the wide activations, piece by piece."""
        p, lanes = self._p, self._p.core.lanes
        for n, (start, stop) in enumerate(self._hidden_pieces):
            p.note(f"{name}, outputs {start} to {stop - 1}")
            sums, words, at = self._sums[n % 2], p.words(stop - start), start // lanes
            self._linears.product(outputs_of(self._tensors[name], start, stop), self._wide, sums)
            part = channels.region.at(channels.offset + at)
            p.vec(VectorOp.MAD, sums.at(), sums.at(), part, inner=words)
            p.vec(VectorOp.MAD, self._x.at(at), sums.at(), scale.each, self._x.at(at), inner=words)

    def _head(self, logits: int, stride: int) -> None:
        """The logits of the last chunk's tokens, into memory piece by piece."""
        p, config, lanes = self._p, self._config, self._p.core.lanes
        scale = self._scales["mlp"]
        tensor = self._tensors[self._head_name]
        size = self._sums[0].words * lanes // p.gemm.columns * p.gemm.columns
        norms = ParameterLoads(p, [[self._sizes.hidden]])
        loads = ParameterLoads(p, [[min(size, config.vocab_size)]])
        norm = norms.fetch("head", [{"norm": self._norm("model.norm.weight")}])
        p.note("norm before the head")
        self._normalise(norm["norm"], scale)
        for n, start in enumerate(range(0, config.vocab_size, size)):
            stop = min(start + size, config.vocab_size)
            p.note(f"logits {start} to {stop - 1}")
            sums, words = self._sums[n % 2], p.words(stop - start)
            part = outputs_of(tensor, start, stop)
            channels = loads.fetch(f"head {start}", [{"scale": channel_scales(part)}])
            self._linears.product(part, self._normalised, sums)
            self._linears.scaled(sums.at(), sums.at(), channels["scale"], scale, inner=words)
            memory = Region(f"logits {start}", Memory.SYSTEM, logits + start * 4 // p.beat_bytes, 1)
            p.emit(
                "store",
                {sums},
                {memory},
                offset=memory.base,
                stride=stride,
                words=words,
                a_base=sums.base,
                a_token=sums.stride,
            )

    def _norm(self, name: str) -> Floats:
        return self._sizes.norm(self._floats[name])

    @property
    def _head_name(self) -> str:
        return EMBEDDING if self._config.tie_word_embeddings else "lm_head.weight"


def rotations(config: LlamaConfig, context: int, size: int) -> Floats:
    """Rotary table, float32 [context, size]: cosines, then sines, of a head's angles at each position.

    Angles are computed in float64. `size` is the padded head's; half of it is cosines. Padded elements don't turn.
    """
    half = np.arange(0, config.head_dim, 2) / config.head_dim
    angles = np.zeros((context, size // 2))
    angles[:, : len(half)] = np.arange(context)[:, None] * config.rope_theta**-half
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
