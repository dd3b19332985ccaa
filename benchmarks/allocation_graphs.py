"""Graphs of operators that `benchmarks/allocation.py` allocates: activations alone, a byte an element."""

import random
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.random_llama import llama_graph
from einloom.mapping.allocation.graph import Operator, OperatorGraph
from einloom.mapping.allocation.layers import layer_graph
from einloom.models.families.gpt2 import Gpt2Keys

PREFILL = 128
"""Tokens of the decoder layer."""
PATCHES = 197
"""Tokens of an image of 224 x 224 in patches of 16 x 16, and one for its class (Dosovitskiy et al., 2021)."""
STAGES = ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7))
"""ResNet-50: blocks, channels inside a block, and height of each stage (He et al., 2016, table 1)."""


def decoder_layer() -> OperatorGraph:
    """SmolLM2-135M's layer, with operators for each head of keys and values."""
    shape = {"hidden": 576, "inner": 1536, "layers": 1, "heads": 9, "groups": 3, "vocab": 49152}
    return replace(layer_graph(llama_graph(**shape, context=2048), PREFILL, split=True), name="decoder layer")


def encoder_layer() -> OperatorGraph:
    """ViT-Base's layer, with LayerNorms and a plain MLP, and scores that pass through the scratchpad."""
    keys = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 12, "vocab_size": 1000}
    graph = Gpt2Keys(model_type="gpt2", intermediate_size=3072, max_position_embeddings=PATCHES, **keys).graph()
    return replace(layer_graph(graph, PATCHES, fused=False), name="encoder layer")


class _Network:
    """Operators that write one tensor each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sizes: dict[str, int] = {}
        self._operators = list[Operator]()

    def input(self, name: str, size: int) -> str:
        """A tensor that comes from outside."""
        self._sizes[name] = size
        return name

    def add(self, name: str, reads: list[str], size: int) -> str:
        """An operator and the tensor that it writes."""
        self._sizes[name] = size
        self._operators.append(Operator(f"make {name}", tuple(dict.fromkeys(reads)), (name,)))
        return name

    def graph(self) -> OperatorGraph:
        """What nothing reads is an output."""
        read = {tensor for operator in self._operators for tensor in operator.reads}
        outputs = frozenset(self._sizes.keys() - read)
        return OperatorGraph(self._name, tuple(self._operators), self._sizes, outputs)


def resnet50() -> OperatorGraph:
    """ResNet-50 for an image of 224 x 224 (He et al., 2016): convolutions with what belongs to them (normalisation and
    rectifier), additions, poolings and the last layer; strides are in the 3 x 3 convolutions."""
    net = _Network("ResNet-50")
    x = net.add("conv1", [net.input("image", 3 * 224 * 224)], 64 * 112 * 112)
    x = net.add("pool1", [x], 64 * 56 * 56)
    height = 56
    for stage, (blocks, channels, out) in enumerate(STAGES, 2):
        for block in range(blocks):
            name = f"conv{stage}_{block + 1}"
            y = net.add(f"{name}.1x1", [x], channels * height**2)
            y = net.add(f"{name}.3x3", [y], channels * out**2)
            y = net.add(f"{name}.wide", [y], 4 * channels * out**2)
            short = net.add(f"{name}.short", [x], 4 * channels * out**2) if block == 0 else x
            x = net.add(f"{name}.sum", [y, short], 4 * channels * out**2)
            height = out
    x = net.add("pool5", [x], 2048)
    net.add("classes", [x], 1000)
    return net.graph()


def nas_network(seed: int = 1, cells: int = 6, blocks: int = 5) -> OperatorGraph:
    """A random network of the kind that architecture search makes (NASNet; Zoph et al., 2018).

    A cell takes the results of the two cells before it. Each of its blocks applies two operators to random earlier
    results of the cell and adds them; what no block reads is concatenated. Every third cell halves the height and
    doubles the channels.
    """
    chance = random.Random(seed)
    net = _Network("NAS-like")
    channels, height = 44, 28
    results = [net.input("before", blocks * channels * height**2), net.input("image", blocks * channels * height**2)]
    for cell in range(cells):
        if cell % 3 == 2:
            channels, height = 2 * channels, height // 2
        size = channels * height**2
        here = [net.add(f"{cell}.in{n}", [result], size) for n, result in enumerate(results[-2:])]
        unread = dict.fromkeys(here)
        for block in range(blocks):
            parts = list[str]()
            for side in "ab":
                source = chance.choice(here)
                unread.pop(source, None)
                parts.append(net.add(f"{cell}.{block}{side}", [source], size))
            here.append(net.add(f"{cell}.{block}", parts, size))
            unread[here[-1]] = None
        results.append(net.add(f"{cell}.out", list(unread), size * len(unread)))
    return net.graph()


def all_graphs() -> Iterator[OperatorGraph]:
    """The four graphs of the benchmark."""
    yield decoder_layer()
    yield encoder_layer()
    yield resnet50()
    yield nas_network()
