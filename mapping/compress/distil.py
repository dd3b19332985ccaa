"""Training of a quantized model on what the float model says of a text: knowledge distillation.

Error feedback makes each matrix right for its own inputs. What is left adds up over the layers, and only the model's
output shows it. Here all matrices move together, so that the distributions of the next token come near the float
model's:

    loss = mean over tokens of KL(softmax(float logits) || softmax(quantized logits))

Trained are each weight behind its code and each group's step (mapping/compress/straight_through.py), and the weights of
norms. Adam takes `steps` steps of BATCH windows of WINDOW tokens, with a cosine from the rates below to nothing. The
formats stay, and so does what the hardware does.

The gradient goes back layer by layer, and each layer is computed again for it. So memory holds what is trained, three
numbers a weight, and one layer's arrays. Layers that are alike share one compiled function.

Sources: distillation, Hinton et al. (2015); on quantized language models LLM-QAT (Liu et al., ACL 2024); training
weights and steps alike EfficientQAT (Chen et al., ACL 2025). The gradient by layers, and rates in steps, are ours.

Letters of shapes: B windows of a step, T tokens of each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import sites
from einloom.mapping.compress.straight_through import Layout, TrainedMatrix
from einloom.models.agreement import log_softmax
from einloom.models.decoder_graph import Layer, Norm, Tensor
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.quantized import QuantizedTensor

Tokens = npt.NDArray[np.int64]
Tree = dict[str, Any]
BATCH = 2
WINDOW = 512
RATES = {"u": 3e-3, "t": 2e-3, "norm": 2e-3}
"""Largest change in a step: of a weight in its group's steps, of the logarithms of steps and of norms' weights."""
WARM_UP = 0.05
"""Share of the steps in which the rates grow."""
DECAYS = {"b1": 0.9, "b2": 0.98}
"""Adam's; a run is a few dozen steps, too few for the usual second one."""
HELD_OUT = 2
"""Windows that are not trained on, and tell what it was worth."""


@dataclass(frozen=True)
class Distilled:
    """What distillation made.

    Attributes
    ----------
    tensors : the matrices, in the core's sizes; those of before where training made the KL larger.
    norms : factors of the weights of norms, by the norm's name.
    before, after : KL in nats against the float model before and after training, on the windows that were held out.
    """

    tensors: Mapping[str, QuantizedTensor]
    norms: Mapping[str, Floats]
    before: float
    after: float


def distil(
    model: DecoderModel,
    sizes: PaddedSizes,
    tensors: Mapping[str, QuantizedTensor],
    windows: Tokens,
    steps: int,
    *,
    seed: int = 0,
    on_step: Callable[[int, float], None] = lambda _step, _loss: None,
) -> Distilled:
    """Train the quantized `tensors` of a model in a core's sizes on `windows` [W, T], W > HELD_OUT, of tokens.

    `on_step` is told each step's number and loss. The windows that are held out lie evenly among the others.
    """
    held = np.linspace(0, len(windows) - 1, HELD_OUT + 2).astype(int)[1:-1]
    teacher = _Teacher(model)
    student = _Student(model, sizes, tensors, steps)
    rng, order = np.random.default_rng(seed), list[int]()
    others = np.setdiff1d(np.arange(len(windows)), held)
    for step in range(steps):
        while len(order) < BATCH:
            order += rng.permutation(others).tolist()
        chosen, order = windows[order[:BATCH]], order[BATCH:]
        on_step(step, student.step(chosen, np.stack([teacher.hidden(window) for window in chosen])))
    found, norms = student.finished()
    kept = windows[held]
    before, after = divergence(model, sizes, tensors, {}, kept), divergence(model, sizes, found, norms, kept)
    return Distilled(found, norms, before, after) if after < before else Distilled(tensors, {}, before, after)


def divergence(
    model: DecoderModel,
    sizes: PaddedSizes,
    tensors: Mapping[str, QuantizedTensor],
    norms: Mapping[str, Floats],
    windows: Tokens,
) -> float:
    """Mean KL in nats of the quantized model against the float one, over all tokens of the windows [W, T]."""
    matrices = {t.name: sizes.cut(t, tensors[t.name].dequantize()) for t in model.graph.linears()}
    quantized = replace(model, tensors=with_norms(model, norms))
    found = []
    for window in windows:
        exact = log_softmax(Decoder(model, FloatLinears(model.linears, keep=False)).step(window.tolist()))
        rounded = log_softmax(Decoder(quantized, FloatLinears(matrices)).step(window.tolist()))
        found.append((np.exp(exact) * (exact - rounded)).sum(axis=-1).mean())
    return float(np.mean(found))


def with_norms(model: DecoderModel, norms: Mapping[str, Floats]) -> dict[str, Floats]:
    """All tensors but the matrices, with the weights of norms, and their biases, times their factors."""
    linears = {tensor.name for tensor in model.graph.linears()} - {model.graph.embedding.weight}
    factors = {f"{name}.{part}": factor for name, factor in norms.items() for part in ("weight", "bias")}
    names = (tensor.name for tensor in model.graph.tensors() if tensor.name not in linears)
    return {name: model.tensors[name] * factors.get(name, np.float32(1)) for name in names}


@dataclass(frozen=True)
class _Function:
    """How a block is computed from its numbers, which are under the places of its tensors."""

    tensors: tuple[Tensor, ...]
    layouts: tuple[Layout | None, ...]

    def norm_key(self, tensor: Tensor) -> str:
        """Where the logarithms of factors of a norm's weight and bias are, if it has any."""
        block = tensor.name.rpartition(".")[0]
        return f"norm {[t.name for t in self.tensors].index(f'{block}.weight')}"

    def decoder(self, model: DecoderModel, trained: Tree, fixed: Tree, texts: int = BATCH) -> Decoder:
        """A decoder with these numbers, at the start of so many texts; matrices without a layout are fixed."""
        matrices, others = dict[str, Any](), dict[str, Any]()
        for place, (tensor, layout) in enumerate(zip(self.tensors, self.layouts, strict=True)):
            key = str(place)
            if layout is not None:
                matrices[tensor.name] = layout.weights(trained[key], fixed[key])
                continue
            if tensor.linear:
                matrices[tensor.name] = fixed[key]
                continue
            factor = trained.get(self.norm_key(tensor))
            others[tensor.name] = fixed[key] if factor is None else fixed[key] * jnp.exp(factor)
        return Decoder(replace(model, tensors=others), lambda name, x: x @ matrices[name].T, texts=texts)


class _Block:
    """A part of the model that is differentiated at once, a layer or the head: its numbers, and where training is."""

    def __init__(self, tensors: Sequence[Tensor], norms: Sequence[Norm], student: "_Student") -> None:
        layouts = [student.layout(tensor) if tensor.linear else None for tensor in tensors]
        self.function = _Function(tuple(tensors), tuple(layouts))
        self.norms = {self.function.norm_key(next(norm.tensors())): norm.name for norm in norms}
        self.trained: Tree = {key: jnp.zeros(norm.size) for key, norm in zip(self.norms, norms, strict=True)}
        self.fixed: Tree = {}
        for place, tensor in enumerate(tensors):
            key = str(place)
            if tensor.linear:
                matrix = student.matrix(tensor)
                self.fixed[key] = jax.tree.map(jnp.asarray, matrix.fixed())
                self.trained[key] = jax.tree.map(jnp.asarray, matrix.start())
            else:
                self.fixed[key] = jnp.asarray(student.model.tensors[tensor.name])
        self.state = student.optimizer.init(self.trained)


class _Teacher:
    """The float model's residual streams behind the last layer, each window's once."""

    def __init__(self, model: DecoderModel) -> None:
        self._start = Decoder(model, FloatLinears({}))
        self._found = dict[bytes, Floats]()
        self._layers = list[tuple[Any, Tree]]()
        functions = dict[str, Any]()
        for layer in model.graph.layers:
            tensors = _tensors_of(layer)
            function = _Function(tuple(tensors), (None,) * len(tensors))
            compiled = functions.setdefault(_unnamed(layer), jax.jit(partial(_through, model, function, layer, 1, {})))
            self._layers.append((compiled, {str(n): jnp.asarray(model.tensors[t.name]) for n, t in enumerate(tensors)}))

    def hidden(self, window: Tokens) -> Floats:
        """float32 [T, hidden]."""
        key = window.tobytes()
        if key not in self._found:
            x: Any = self._start.embedded(window.tolist())
            for through, numbers in self._layers:
                x = through(numbers, x)
            self._found[key] = np.asarray(x)
        return self._found[key]


class _Student:
    """The quantized model in training."""

    def __init__(
        self, model: DecoderModel, sizes: PaddedSizes, tensors: Mapping[str, QuantizedTensor], steps: int
    ) -> None:
        self.model, self._sizes, self._tensors = model, sizes, tensors
        schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, max(1, round(WARM_UP * steps)), max(2, steps))
        self.optimizer = optax.adam(schedule, **DECAYS)
        graph, head = model.graph, list(model.graph.head.linear.tensors())
        makers = {site.maker for site in sites(graph)}
        functions = dict[object, _Layer]()
        self._layers = list[tuple[_Layer, _Block]]()
        for layer in graph.layers:
            block = _Block(_tensors_of(layer), [n for n in _norms_of(layer) if n in makers], self)
            alike = _unnamed(layer), block.function.layouts
            function = functions.setdefault(alike, _Layer(model, layer, block.function))
            self._layers.append((function, block))
        # A factor of the norm before a tied head would have to untie it.
        norms = [graph.norm] if graph.norm and not graph.tied else []
        self._head = _Block([*(graph.norm.tensors() if graph.norm else ()), *head], norms, self)
        self._exact = jnp.asarray(model.tensors[graph.head.linear.weight])
        self._loss = jax.jit(jax.value_and_grad(partial(_loss, model, self._head.function), argnums=(0, 2)))
        self._updated = jax.jit(partial(_updated, self.optimizer), donate_argnums=(0, 1))

    def matrix(self, tensor: Tensor) -> TrainedMatrix:
        """A matrix as it was before training, in the core's sizes."""
        return TrainedMatrix(self._tensors[tensor.name], self._sizes.padded(tensor, self.model.tensors[tensor.name]))

    def layout(self, tensor: Tensor) -> Layout:
        """The layout of a matrix."""
        quantized = self._tensors[tensor.name]
        rows, columns = (
            np.flatnonzero(self._sizes.padded(Tensor("", (size,), (axis,)), np.ones(size, np.float32)))
            for axis, size in zip(tensor.axes, tensor.shape, strict=True)
        )
        return Layout(quantized.format, quantized.group, tuple(rows.tolist()), tuple(columns.tolist()))

    def step(self, windows: Tokens, hidden: Floats) -> float:
        """Train on windows [B, T], with the teacher's streams [B, T, hidden]; the loss before that."""
        decoder = Decoder(self.model, FloatLinears({}), texts=len(windows))
        x = jnp.asarray(decoder.embedded(windows.ravel().tolist()))
        inputs = list[Any]()
        for layer, block in self._layers:
            inputs.append(x)
            x = layer.forward(block.trained, block.fixed, x)
        block = self._head
        loss, (gradient, back) = self._loss(block.trained, block.fixed, x, jnp.asarray(hidden), self._exact)
        self._take(block, gradient)
        for (layer, block), x in zip(reversed(self._layers), reversed(inputs), strict=True):
            gradient, back = layer.backward(block.trained, block.fixed, x, back)
            self._take(block, gradient)
        return float(loss)

    def _take(self, block: _Block, gradient: Tree) -> None:
        block.trained, block.state = self._updated(block.trained, block.state, gradient)

    def finished(self) -> tuple[dict[str, QuantizedTensor], dict[str, Floats]]:
        """The matrices, and factors of the weights of norms."""
        tensors, norms = dict[str, QuantizedTensor](), dict[str, Floats]()
        for block in (*(block for _, block in self._layers), self._head):
            for place, tensor in enumerate(block.function.tensors):
                if tensor.linear:
                    now = block.trained[str(place)]
                    tensors[tensor.name] = self.matrix(tensor).finished(np.array(now["u"]), np.array(now["t"]))
            norms |= {name: np.exp(np.array(block.trained[key])) for key, name in block.norms.items()}
        return {t.name: tensors[t.name] for t in self.model.graph.linears()}, norms


class _Layer:
    """The compiled functions of all layers that are alike."""

    def __init__(self, model: DecoderModel, layer: Layer, function: _Function) -> None:
        through = partial(_through, model, function, layer, BATCH)

        def backward(trained: Tree, fixed: Tree, x: Any, back: Any) -> Any:
            _, pull = jax.vjp(lambda numbers, inputs: through(numbers, fixed, inputs), trained, x)
            return pull(back)

        self.forward, self.backward = jax.jit(through), jax.jit(backward)


def _through(
    model: DecoderModel, function: _Function, layer: Layer, texts: int, trained: Tree, fixed: Tree, x: Any
) -> Any:
    """The residual streams [B T, hidden] of texts behind a layer that gets `x`."""
    return function.decoder(model, trained, fixed, texts).through(layer, x)


def _unnamed(layer: Layer) -> str:
    """What a layer computes: equal for layers that are alike but for their tensors' names."""
    return repr(layer).replace(layer.name, "")


def _tensors_of(layer: Layer) -> list[Tensor]:
    """Each once: branches may share a norm."""
    return list(dict.fromkeys(tensor for branch in layer.branches for tensor in branch.tensors()))


def _norms_of(layer: Layer) -> Iterator[Norm]:
    """Norms before matrices."""
    norms = (norm for branch in layer.branches for norm in (branch.pre_norm, branch.operation.inner_norm))
    yield from dict.fromkeys(norm for norm in norms if norm)


def _loss(model: DecoderModel, function: _Function, trained: Tree, fixed: Tree, x: Any, hidden: Any, exact: Any) -> Any:
    """Mean KL of the logits of `x` [B T, hidden] against those of the teacher's `hidden` [B, T, hidden]."""
    student = function.decoder(model, trained, fixed)
    others = {t.name: fixed[str(n)] for n, t in enumerate(function.tensors) if not t.linear}
    teacher = Decoder(replace(model, tensors=others), lambda _, x: x @ exact.T)

    def of_text(streams: tuple[Any, Any]) -> Any:
        return _divergence(*(d.logits(s) for d, s in zip((student, teacher), streams, strict=True)))

    return jax.lax.map(of_text, (x.reshape(hidden.shape), hidden)).mean()


@jax.custom_vjp
def _divergence(ours: Any, theirs: Any) -> Any:
    """Mean KL of `ours` [T, vocab] against `theirs`, whose gradient nobody asks for; that by `ours` is kept."""
    return _divergence_there(ours, theirs)[0]


def _divergence_there(ours: Any, theirs: Any) -> tuple[Any, Any]:
    """The mean KL, and its gradient by our logits: the difference of the probabilities."""
    ours, theirs = (jax.nn.log_softmax(logits) for logits in (ours, theirs))
    expected = jnp.exp(theirs)
    return (expected * (theirs - ours)).sum(axis=-1).mean(), (jnp.exp(ours) - expected) / len(ours)


def _divergence_back(gradient: Any, back: Any) -> tuple[Any, None]:
    return gradient * back, None


_divergence.defvjp(_divergence_there, _divergence_back)


def _updated(optimizer: Any, trained: Tree, state: Any, gradient: Tree) -> tuple[Tree, Any]:
    """What is trained, and the optimizer's state, a step later."""
    changes, state = optimizer.update(gradient, state)
    scaled = {
        key: {name: RATES[name] * part for name, part in change.items()}
        if isinstance(change, dict)
        else RATES["norm"] * change
        for key, change in changes.items()
    }
    return optax.apply_updates(trained, scaled), state
