"""A layer of a model as a graph of operators."""

from einloom.mapping.allocation.graph import Operator, OperatorGraph
from einloom.models.decoder_graph import Attention, Branch, DecoderGraph, Layer, Mlp


def layer_graph(
    graph: DecoderGraph, tokens: int, *, layer: int = 0, fused: bool = True, split: bool = False
) -> OperatorGraph:
    """The activations of a layer for `tokens` tokens that see each other, a word an element; weights stream past the
    scratchpad.

    Parameters
    ----------
    layer : its number in the graph.
    fused : attention is one operator; else it leaves the scores and their softmax.
    split : each head of keys and values has operators of its own.
    """
    return _Lowering(graph, graph.layers[layer], tokens, fused=fused, split=split).graph()


class _Lowering:
    def __init__(self, graph: DecoderGraph, layer: Layer, tokens: int, *, fused: bool, split: bool) -> None:
        self._hidden, self._layer, self._tokens = graph.hidden, layer, tokens
        self._fused, self._split = fused, split
        self._sizes: dict[str, int] = {}
        self._operators = list[Operator]()

    def graph(self) -> OperatorGraph:
        """The operators in the order in which they are written down."""
        self._sizes["x0"] = self._hidden * self._tokens
        x = "x0"
        for n, branch in enumerate(self._layer.branches, 1):
            x = self._branch(branch, x, f"x{n}")
        return OperatorGraph(self._layer.name, tuple(self._operators), self._sizes, frozenset({x}))

    def _emit(self, name: str, reads: list[str], elements: int) -> str:
        """An operator that writes the tensor `name`, so many elements of each token."""
        self._sizes[name] = elements * self._tokens
        self._operators.append(Operator(f"make {name}", tuple(reads), (name,)))
        return name

    def _branch(self, branch: Branch, x: str, result: str) -> str:
        operation = branch.operation
        name = "attention" if isinstance(operation, Attention) else "mlp"
        normed = self._emit(f"{name}.norm", [x], self._hidden) if branch.pre_norm else x
        inner = self._attention(operation, normed) if isinstance(operation, Attention) else self._mlp(operation, normed)
        if operation.inner_norm:
            inner = [self._emit(f"{name}.inner_norm", inner, operation.output.inputs)]
        y = self._emit(f"{name}.{'o' if name == 'attention' else 'down'}", inner, self._hidden)
        if branch.post_norm:
            y = self._emit(f"{name}.post_norm", [y], self._hidden)
        return self._emit(result, [x, y], self._hidden)

    def _attention(self, attention: Attention, x: str) -> list[str]:
        groups = attention.groups if self._split else 1
        size = attention.size * attention.groups // groups
        query_size = attention.size * attention.heads // groups
        scores = attention.heads // groups * self._tokens
        mixed = list[str]()
        for g in range(groups):
            of = f".{g}" if self._split else ""
            q, k, v = (self._emit(f"{p}{of}", [x], n) for p, n in (("q", query_size), ("k", size), ("v", size)))
            if attention.rope:
                q, k = self._emit(f"q{of}.turned", [q], query_size), self._emit(f"k{of}.turned", [k], size)
            if self._fused:
                mixed.append(self._emit(f"mixed{of}", [q, k, v], query_size))
                continue
            made = self._emit(f"scores{of}", [q, k], scores)
            made = self._emit(f"softmax{of}", [made], scores)
            mixed.append(self._emit(f"mixed{of}", [made, v], query_size))
        return mixed

    def _mlp(self, mlp: Mlp, x: str) -> list[str]:
        inner = mlp.up.outputs
        if mlp.gate is None:
            return [self._emit("mlp.activated", [self._emit("mlp.up", [x], inner)], inner)]
        gate = self._emit("mlp.gate", [x], inner)
        up = self._emit("mlp.up", [x], inner)
        activated = self._emit("mlp.activated", [gate], inner)
        return [self._emit("mlp.product", [activated, up], inner)]
