"""The keys of config.json that decoders share, and the graph that they describe; families add what is theirs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from einloom.models.decoder_graph import (
    Activation,
    Attention,
    Axis,
    Branch,
    DecoderGraph,
    Embedding,
    Head,
    Layer,
    Linear,
    Mlp,
    Norm,
    NormKind,
    Rope,
    Scores,
)
from einloom.models.family.problems import problem
from einloom.models.family.quantization import QuantizedStorage
from einloom.models.family.rope import Positive, RopeKeys, canonical_order
from einloom.models.family.tensor_names import TensorNames, Ternary

Count = Annotated[int, Field(strict=True, ge=1, le=1 << 24)]
TokenId = Annotated[int, Field(strict=True, ge=0)]
ActivationName = Literal["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2"]
LayerType = Literal["full_attention", "sliding_attention"]
EMBEDDING = "model.embed_tokens"
POSITIONS = "model.embed_positions.weight"
HEAD = "lm_head"
ACTIVATIONS: dict[ActivationName, Activation] = {
    "silu": Activation.SILU,
    "gelu": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "relu2": Activation.SQUARED_RELU,
}
UNKNOWN_HEAD = 2
ROPE_KEYS = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
"""Keys of RoPE that may stand outside its own section."""


class DecoderKeys(BaseModel):
    """The keys that decide what a decoder computes, under their Hugging Face names.

    Keys that change nothing here (dtypes, initialisation, training) are ignored. As it stands this is a Llama; a
    family's class adds keys, and overrides the methods that make the blocks that it has otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    names: ClassVar[TensorNames] = TensorNames()
    gguf: ClassVar[str | None] = None
    """The architecture's name in GGUF files; None where it is not read from them."""
    gguf_neighbours: ClassVar[bool] = False
    """RoPE rotates neighbouring elements in GGUF files."""
    default_theta: ClassVar[float] = 10000.0
    nullable: ClassVar[tuple[str, ...]] = ("sliding_window",)
    """Keys of which null says something else than their absence."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of the file that are called otherwise here."""
    norm_kind: ClassVar[NormKind] = NormKind.RMS
    post_norms: ClassVar[bool] = False
    pre_norms: ClassVar[bool] = True
    gated: ClassVar[bool] = True
    rotary: ClassVar[bool] = True
    every_layer_has_the_window: ClassVar[bool] = False

    model_type: str
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    vocab_size: Count
    max_position_embeddings: Count
    # These literal defaults are never seen: `_fill_in` computes both from other keys. Only where those keys are wrong
    # themselves do they stay, and then the file is refused anyway.
    num_key_value_heads: Count = 1
    """Defaults to num_attention_heads."""
    head_dim: Count = UNKNOWN_HEAD
    """Defaults to hidden_size / num_attention_heads, but for families with a number of their own."""
    rope: RopeKeys = RopeKeys()
    rms_norm_eps: Positive = 1e-6
    tie_word_embeddings: bool = False
    hidden_act: ActivationName = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: Count | None = None
    layer_types: tuple[LayerType, ...] | None = None
    bos_token_id: TokenId | None = None
    eos_token_id: tuple[TokenId, ...] = ()
    quantization_config: QuantizedStorage | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """Other names of keys, defaults that depend on other keys, and the places where RoPE may be described."""
        if not isinstance(data, dict):
            return data
        given = {cls.renamed.get(key, key): value for key, value in data.items()}
        given = {key: value for key, value in given.items() if value is not None or key in cls.nullable}
        cls.fill_in(given)
        return given

    @classmethod
    def fill_in(cls, given: dict[str, Any]) -> None:
        """Complete keys that depend on others; `problem` for what cannot be."""
        given.setdefault("rope", {"rope_theta": cls.default_theta} | rope_section(given))
        hidden, heads = given.get("hidden_size"), given.get("num_attention_heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
            given.setdefault("num_key_value_heads", heads)
            if cls.model_fields["head_dim"].default != UNKNOWN_HEAD:
                return
            if "head_dim" not in given and hidden % heads:
                raise problem(f"hidden_size {hidden} is no multiple of num_attention_heads {heads}: give head_dim")
            given.setdefault("head_dim", hidden // heads)

    @field_validator("eos_token_id", mode="before")
    @classmethod
    def _one_or_several(cls, ids: Any) -> Any:
        return (ids,) if isinstance(ids, int) else ids

    @model_validator(mode="after")
    def _heads_fit(self) -> "DecoderKeys":
        if self.num_attention_heads % self.num_key_value_heads:
            raise problem(
                f"num_attention_heads {self.num_attention_heads} must be a multiple of num_key_value_heads, "
                f"{self.num_key_value_heads}"
            )
        if self.head_dim % 2:
            why = "RoPE rotates pairs" if self.rotary else "heads are padded by halves"
            raise problem(f"head_dim must be even, because {why}, not {self.head_dim}")
        if self.layer_types is not None and len(self.layer_types) != self.num_hidden_layers:
            raise problem(f"layer_types has {len(self.layer_types)} entries for {self.num_hidden_layers} layers")
        return self

    @property
    def head_order(self) -> tuple[int, ...]:
        """Which element of a head of the files comes at each place of a canonical one."""
        return canonical_order(self.head_dim, self.rope.turning(self.head_dim))

    # The graph, from the whole to its parts.

    def graph(self) -> DecoderGraph:
        """The decoder that the keys describe."""
        return DecoderGraph(
            self.vocab_size,
            self.hidden_size,
            self.max_position_embeddings,
            self.embedding(),
            tuple(self.layer(n) for n in range(self.num_hidden_layers)),
            self.norm("model.norm"),
            self.head(),
        )

    def embedding(self) -> Embedding:
        """What makes a token's elements of its id."""
        return Embedding(f"{EMBEDDING}.weight")

    def head(self) -> Head:
        """What makes logits."""
        name = EMBEDDING if self.tie_word_embeddings else HEAD
        return Head(Linear(name, self.vocab_size, self.hidden_size, (Axis.VOCAB, Axis.HIDDEN)))

    def layer(self, n: int) -> Layer:
        """Layer `n`: attention, then the MLP."""
        name = f"model.layers.{n}"
        pre = ("input_layernorm", "post_attention_layernorm")
        post = ("attention_post_norm", "mlp_post_norm")
        operations: tuple[Attention | Mlp, ...] = self.attention(n, f"{name}.self_attn"), self.mlp(f"{name}.mlp")
        return Layer(
            name,
            tuple(
                Branch(
                    operation,
                    self.norm(f"{name}.{before}") if self.pre_norms else None,
                    self.norm(f"{name}.{after}") if self.post_norms else None,
                )
                for operation, before, after in zip(operations, pre, post, strict=True)
            ),
        )

    def attention(self, n: int, name: str) -> Attention:
        """Attention of layer `n`."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        into = (Axis.HEADS, Axis.HIDDEN)
        return Attention(
            self.linear(f"{name}.q_proj", queries, self.hidden_size, into),
            self.linear(f"{name}.k_proj", keys, self.hidden_size, into),
            self.linear(f"{name}.v_proj", keys, self.hidden_size, into),
            self.linear(f"{name}.o_proj", self.hidden_size, queries, (Axis.HIDDEN, Axis.MIXED)),
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
            Scores(self.score_scale(n), self.window(n)),
            self.rope_of(n),
        )

    def mlp(self, name: str) -> Mlp:
        """The MLP of any layer."""
        hidden, inner = self.hidden_size, self.intermediate_size
        into = (Axis.INNER, Axis.HIDDEN)
        return Mlp(
            self.linear(f"{name}.gate_proj", inner, hidden, into) if self.gated else None,
            self.linear(f"{name}.up_proj", inner, hidden, into),
            self.linear(f"{name}.down_proj", hidden, inner, (Axis.HIDDEN, Axis.INNER)),
            self.activation(),
        )

    def activation(self) -> Activation:
        """The MLP's activation function."""
        return ACTIVATIONS[self.hidden_act]

    def linear(self, name: str, outputs: int, inputs: int, axes: tuple[Axis, Axis]) -> Linear:
        """A linear layer, with a bias where the family has one."""
        return Linear(name, outputs, inputs, axes, self.has_bias(name.rpartition(".")[2]))

    def has_bias(self, projection: str) -> bool:
        """Whether the projection of that name has a bias."""
        return self.mlp_bias if projection in ("gate_proj", "up_proj", "down_proj") else self.attention_bias

    def norm(self, name: str) -> Norm:
        """A norm of the elements between layers."""
        return Norm(name, self.hidden_size, self.rms_norm_eps, self.norm_kind)

    def head_norms(self, attention: Attention) -> Attention:
        """The attention with norms of each head of queries and keys."""
        module = attention.query.name.rpartition(".")[0]
        norms = (Norm(f"{module}.{x}_norm", self.head_dim, self.rms_norm_eps, axis=Axis.HEADS) for x in "qk")
        return replace(attention, query_norm=next(norms), key_norm=next(norms))

    def score_scale(self, _layer: int) -> float:
        """Factor of dot products in a layer."""
        return float(self.head_dim**-0.5)

    def rope_of(self, _layer: int) -> Rope | None:
        """RoPE of a layer; None where it has none."""
        return self.rope.rope(self.head_dim) if self.rotary else None

    def has_window(self, layer: int) -> bool:
        """Whether the layer has the window, if there is one."""
        if self.layer_types:
            return self.layer_types[layer] == "sliding_attention"
        return self.every_layer_has_the_window

    def window(self, layer: int) -> int:
        """Keys that queries of a layer see; 0 for all, which a window that holds the whole context is."""
        window = self.sliding_window if self.has_window(layer) else None
        return window if window and window < self.max_position_embeddings else 0

    def storage(self) -> QuantizedStorage | None:
        """How the files store matrices that were quantized before; None where they have none."""
        return self.quantization_config

    def ternary(self) -> Ternary | None:
        """How the files store ternary matrices; None where they have none."""
        return None


def rope_section(given: Mapping[str, Any]) -> Any:
    """RoPE's keys from all places where they may stand."""
    rope: dict[str, Any] = {key: given[key] for key in ROPE_KEYS if key in given}
    for place in ("rope_scaling", "rope_parameters"):
        section = given.get(place, {})
        if not isinstance(section, dict):
            raise problem(f"{place} must be an object, not {section!r}")
        rope |= section
        if "rope_type" not in section and "type" in section:
            rope["rope_type"] = section["type"]
    if "rope_type" in given:
        rope["rope_type"] = given["rope_type"]
    return rope
