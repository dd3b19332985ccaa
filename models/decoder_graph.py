"""A decoder as data: one graph of blocks, which importers fill in and everything else reads.

The float decoder interprets it, code generation lowers it operation by operation, and sizes are counted from it. Blocks
name their tensors canonically, whatever a family calls them in its files.

A token's way: x = embedding * scale (+ learnt position); for each branch of each layer
x += multiplier * post_norm(operation(pre_norm(x))); logits = head(norm(x)).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum

from einloom.spec.attention_format import Mask


class Axis(Enum):
    """What the elements of a tensor's axis are, so that it can be padded to a core's sizes."""

    VOCAB = "tokens"
    POSITIONS = "positions"
    HIDDEN = "elements of a token between layers"
    INNER = "elements of a token inside the MLP"
    HEADS = "elements of heads, as projections make them"
    MIXED = "elements of all query heads, as the output projection takes them"


@dataclass(frozen=True)
class Tensor:
    """A tensor by its canonical name: its shape, what its axes are, and whether it is a matrix that is multiplied."""

    name: str
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    linear: bool = False


class NormKind(StrEnum):
    """Normalisations over a token's elements."""

    RMS = "x / sqrt(mean of x^2 + epsilon) * weight"
    LAYER = "(x - mean) / sqrt(variance + epsilon) * weight + bias"


@dataclass(frozen=True)
class Norm:
    """Normalisation of `size` elements of `axis`; several in a row are normalised each."""

    name: str
    size: int
    epsilon: float
    kind: NormKind = NormKind.RMS
    axis: Axis = Axis.HIDDEN

    @property
    def weight(self) -> str:
        return f"{self.name}.weight"

    @property
    def bias(self) -> str | None:
        """Name of the bias, which a LayerNorm has."""
        return f"{self.name}.bias" if self.kind is NormKind.LAYER else None

    def tensors(self) -> Iterator[Tensor]:
        """Its tensors."""
        yield Tensor(self.weight, (self.size,), (self.axis,))
        if self.bias:
            yield Tensor(self.bias, (self.size,), (self.axis,))


@dataclass(frozen=True)
class Linear:
    """y = x W^T, or y = x W^T + bias; `axes` are those of the outputs and of the inputs."""

    name: str
    outputs: int
    inputs: int
    axes: tuple[Axis, Axis]
    has_bias: bool = False

    @property
    def weight(self) -> str:
        return f"{self.name}.weight"

    @property
    def bias(self) -> str | None:
        return f"{self.name}.bias" if self.has_bias else None

    def tensors(self) -> Iterator[Tensor]:
        """Its tensors."""
        yield Tensor(self.weight, (self.outputs, self.inputs), self.axes, linear=True)
        if self.bias:
            yield Tensor(self.bias, (self.outputs,), self.axes[:1])


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: element i of a head turns with element i + size / 2.

    Attributes
    ----------
    frequencies : radians per position of each pair, float64; 0 for a pair that does not turn.
    factor : of the cosines and sines of pairs that turn (YaRN's attention factor).
    """

    frequencies: tuple[float, ...]
    factor: float = 1.0


@dataclass(frozen=True)
class Scores:
    """How scores are made of dot products, and which of them count.

    Attributes
    ----------
    scale : factor of the dot products.
    window : keys that a query sees, its own included; 0 for all.
    sinks : first keys that are seen beside the window.
    reach : queries behind this position look at the sinks as if they stood there, so that no distance is larger than
        those that the model knows; 0 for as they stand.
    cap : scores are cap * tanh(score / cap); None for as they are.
    """

    scale: float
    window: int = 0
    sinks: int = 0
    reach: int = 0
    cap: float | None = None

    def mask(self, keys: int) -> Mask:
        """The mask of `keys` keys."""
        return Mask(keys=keys, causal=True, window=self.window, sinks=self.sinks)


@dataclass(frozen=True)
class Attention:
    """Grouped-query attention of `heads` query heads of `size`, which share `groups` heads of keys and values.

    Attributes
    ----------
    query_norm, key_norm : before RoPE, over a head each, or over all of a token's elements if they are of that size.
    inner_norm : between the mixed values and the output projection.
    """

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    heads: int
    groups: int
    size: int
    scores: Scores
    rope: Rope | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    inner_norm: Norm | None = None

    @property
    def parts(self) -> "tuple[Linear | Norm | None, ...]":
        """Blocks with tensors, in the order of the computation; the last one makes the branch's result."""
        return (self.query, self.key, self.value, self.query_norm, self.key_norm, self.inner_norm, self.output)


class Activation(StrEnum):
    """Activation functions of an MLP."""

    SILU = "x * sigmoid(x)"
    GELU = "x * (1 + erf(x / sqrt(2))) / 2"
    GELU_TANH = "x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2"
    RELU = "max(x, 0)"
    SQUARED_RELU = "max(x, 0)^2"


@dataclass(frozen=True)
class Mlp:
    """down(activation(gate(x)) * up(x)), or down(activation(up(x))) without a gate."""

    gate: Linear | None
    up: Linear
    down: Linear
    activation: Activation
    inner_norm: Norm | None = None

    @property
    def output(self) -> Linear:
        """The linear layer that makes the branch's result."""
        return self.down

    @property
    def parts(self) -> "tuple[Linear | Norm | None, ...]":
        """Blocks with tensors, in the order of the computation; the last one makes the branch's result."""
        return (self.gate, self.up, self.inner_norm, self.down)


@dataclass(frozen=True)
class Branch:
    """x += multiplier * post_norm(operation(pre_norm(x)))."""

    operation: Attention | Mlp
    pre_norm: Norm | None = None
    post_norm: Norm | None = None
    multiplier: float = 1.0

    def tensors(self) -> Iterator[Tensor]:
        """Its tensors."""
        for block in (self.pre_norm, *self.operation.parts, self.post_norm):
            if block is not None:
                yield from block.tensors()


@dataclass(frozen=True)
class Layer:
    """Branches, each about the sum that the one before leaves; `name` is what people read."""

    name: str
    branches: tuple[Branch, ...]

    @property
    def attention(self) -> Attention:
        """Its one attention."""
        (found,) = (b.operation for b in self.branches if isinstance(b.operation, Attention))
        return found


@dataclass(frozen=True)
class Embedding:
    """Rows [vocab, hidden] of the tensor `weight`, times `scale`; plus those of the tensor `positions`, one a position,
    if there is one."""

    weight: str
    scale: float = 1.0
    positions: str | None = None


@dataclass(frozen=True)
class Head:
    """logits = scale * linear(x); with a `cap`, cap * tanh(logits / cap) of them."""

    linear: Linear
    scale: float = 1.0
    cap: float | None = None


@dataclass(frozen=True)
class DecoderGraph:
    """A decoder of `layers`, for texts of up to `context` tokens."""

    vocab: int
    hidden: int
    context: int
    embedding: Embedding
    layers: tuple[Layer, ...]
    norm: Norm | None
    head: Head

    @property
    def tied(self) -> bool:
        """The head is the embedding's matrix."""
        return self.head.linear.weight == self.embedding.weight

    @property
    def attention(self) -> Attention:
        """That of the first layer; all layers have its sizes."""
        return self.layers[0].attention

    @property
    def inner(self) -> int:
        """Elements of a token inside the MLPs; all layers have as many."""
        return max(b.operation.up.outputs for n in self.layers for b in n.branches if isinstance(b.operation, Mlp))

    def tensors(self) -> Iterator[Tensor]:
        """All tensors, each once; that of a tied head is the embedding."""
        yield Tensor(self.embedding.weight, (self.vocab, self.hidden), (Axis.VOCAB, Axis.HIDDEN), linear=self.tied)
        if self.embedding.positions:
            yield Tensor(self.embedding.positions, (self.context, self.hidden), (Axis.POSITIONS, Axis.HIDDEN))
        for layer in self.layers:
            for branch in layer.branches:
                yield from branch.tensors()
        if self.norm:
            yield from self.norm.tensors()
        yield from (t for t in self.head.linear.tensors() if t.name != self.embedding.weight)

    def linears(self) -> Iterator[Tensor]:
        """The matrices that are multiplied, the head's included."""
        return (tensor for tensor in self.tensors() if tensor.linear)
