"""What pruning to N of M weights costs a model: by magnitude, by Wanda's measure, and with the rest making it good.

    python -m benchmarks.pruning MODEL --calibration FILE --text FILE [--format int4-2of4] [--tokens 2048] [-c core-dsp]

Each matrix is pruned for the inputs that the float model gives it on half of the calibration text's windows. The first
table has the squared error of its outputs on the other half, relative to the outputs, for each kind of matrix; the
second the perplexity of the pruned models on the other text, all else in float. Rows:

* dense: the format without pruning, with error feedback;
* magnitude: the N largest of M, rounded to nearest;
* Wanda: those whose product with the root mean square of their input is largest (arXiv 2306.11695), nearest;
* Wanda, feedback: the same weights, rounded with error feedback, by which they make good what was pruned;
* reconstruction: what `einloom quantize --sparsity N:M` does with a calibration (SparseGPT, ICML 2023): those whose
  pruning leaves the larger error after feedback, with feedback.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.weight_fidelity import perplexity
from einloom.catalogue import load_config, load_model
from einloom.generators.registry import describe
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.error_feedback import InputGram, feedback_codes
from einloom.mapping.compress.quantize import quantize
from einloom.models.calibration_texts import windows
from einloom.models.decoder_graph import Axis, Tensor
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import Floats
from einloom.spec.errors import InputError
from einloom.spec.formats import Format, format_named
from einloom.spec.sparsity import largest


def nearest(weights: Floats, format: Format, group: int, kept: npt.NDArray[np.bool_]) -> Floats:
    """The weights where `kept` is true, rounded to nearest, the others zero."""
    return np.where(kept, quantize(np.where(kept, weights, np.float32(0)), format, group).dequantize(), np.float32(0))


def wanda(weights: Floats, gram: InputGram, kept: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where Wanda's measure keeps a weight, N and M of which are `kept`."""
    return largest(np.abs(weights) * np.sqrt(np.diag(gram.matrix)), *kept)


def wanda_feedback(weights: Floats, format: Format, group: int, gram: InputGram, kept: tuple[int, int]) -> Floats:
    """Wanda's choice with error feedback, in the steps that the kept weights get when they are rounded to nearest."""
    chosen = wanda(weights, gram, kept)
    tensor = quantize(np.where(chosen, weights, np.float32(0)), format, group, scale_search=True)
    steps = tensor.channel_scale[:, None] * np.float32(format.unit) * tensor.scales
    return replace(tensor, codes=feedback_codes(weights, format, steps, tensor.selectors, gram, chosen)).dequantize()


def methods(name: str, group: int) -> dict[str, Callable[[Floats, InputGram], Floats]]:
    """Each row's way from a matrix and the gram matrix of its inputs to the matrix that is computed with."""
    sparse = format_named(name)
    if sparse.pruned is None:
        raise InputError(f"--format {name} keeps all weights: name one such as int4-2of4 or int4-4of16")
    format, kept = sparse.full, sparse.pruned
    return {
        "dense": lambda w, gram: quantize(w, format, group, gram=gram).dequantize(),
        "magnitude": lambda w, _: nearest(w, format, group, largest(np.abs(w), *kept)),
        "Wanda": lambda w, gram: nearest(w, format, group, wanda(w, gram, kept)),
        "Wanda, feedback": lambda w, gram: wanda_feedback(w, format, group, gram, kept),
        "reconstruction": lambda w, gram: quantize(w, sparse, group, gram=gram).dequantize(),
    }


class Pruning:
    """Prunes matrices in every way for the first half of the inputs that it is given, and measures on the other half.

    Attributes
    ----------
    weights : by method and matrix, what is computed with.
    errors : by kind of matrix and method, the error of the outputs, one of each layer.
    """

    def __init__(self, name: str, group: int) -> None:
        self.weights: dict[str, dict[str, Floats]] = defaultdict(dict)
        self.errors: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._methods = methods(name, group)
        self._last: tuple[Floats, InputGram] | None = None

    def prune(self, name: str, kind: str, weights: Floats, x: Floats) -> None:
        """Prune `weights` [N, K] for `x` [T, K]; matrices that get the same `x` share its gram matrix."""
        half = len(x) // 2
        if self._last is None or self._last[0] is not x:
            self._last = x, InputGram.of(x[:half])
        y = x[half:] @ weights.T
        for method, change in self._methods.items():
            pruned = change(weights, self._last[1])
            self.weights[method][name] = pruned
            error = np.square(x[half:] @ pruned.T - y).sum() / np.square(y).sum()
            self.errors[kind][method].append(float(error))

    def print_errors(self, title: str) -> None:
        table = Table("matrix", *self.weights, title=title)
        for kind, errors in self.errors.items():
            table.add_row(kind, *(f"{np.mean(values):.4f}" for values in errors.values()))
        every = [[v for errors in self.errors.values() for v in errors[method]] for method in self.weights]
        table.add_section()
        table.add_row("all", *(f"{np.mean(values):.4f}" for values in every))
        Console().print(table)


class PruningLinears:
    """Float linear layers that prune their matrix in a core's sizes when they get inputs."""

    def __init__(self, model: DecoderModel, sizes: PaddedSizes, pruning: Pruning) -> None:
        self._model, self._sizes, self._pruning = model, sizes, pruning
        self._matrices = {tensor.name: tensor for tensor in model.graph.linears()}
        self._last: tuple[Floats, Floats] | None = None

    def __call__(self, name: str, x: Floats) -> Floats:
        matrix, weights = self._matrices[name], self._model.tensors[name]
        if self._last is None or self._last[0] is not x:
            self._last = x, self._sizes.padded(Tensor("inputs", x.shape, (Axis.POSITIONS, matrix.axes[1])), x)
        kind = name.removesuffix(".weight").rpartition(".")[2]
        self._pruning.prune(name, kind, self._sizes.padded(matrix, weights), self._last[1])
        return x @ weights.T

    def pruned(self, method: str) -> dict[str, Floats]:
        """The model's matrices, pruned by `method`, in their own sizes."""
        return {n: self._sizes.cut(self._matrices[n], w) for n, w in self._pruning.weights[method].items()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--format", default="int4-2of4")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("-c", "--config", default="core-dsp")
    given = parser.parse_args()
    model, manifest = load_model(given.model), describe(load_config(given.config))
    texts = windows(model, given.calibration.read_text())
    group = manifest.config.gemm.scale_group or manifest.config.gemm.lanes
    pruning = Pruning(given.format, group)
    linears = PruningLinears(model, PaddedSizes.of(model.graph, manifest.core), pruning)
    started = time.perf_counter()
    Decoder(model, linears, texts=len(texts)).step(texts.ravel().tolist())
    print(f"pruned in {time.perf_counter() - started:.0f} s, all ways together")
    pruning.print_errors(f"error of outputs, {given.format}, mean of layers")
    ids = model.tokenizer.encode(given.text.read_text()).ids[: given.tokens + 1]
    table = Table("weights", "perplexity", title=f"{len(ids) - 1} tokens")
    table.add_row("float", f"{perplexity(model, model.linears, ids):.2f}")
    for method in pruning.weights:
        table.add_row(method, f"{perplexity(model, linears.pruned(method), ids):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
