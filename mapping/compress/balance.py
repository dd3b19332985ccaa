"""Inputs of matrices brought to like sizes, so that eight bits with one scale a token suffice for them.

A token's activations have one scale, and a few channels are far larger than the others. So each channel k is divided by
s[k], and the weights that it meets are multiplied by it:

    sum over k of (x[k] / s[k]) * (w[n, k] * s[k]),   s[k] = rms of x[k], to the power of e, over their geometric mean

The divisions cost nothing: what makes the inputs takes them in, a norm in its weights, and the up projection in its
rows. Larger exponents e round activations less and, where few bits are left for weights, weights more. So each site has
the exponent of EXPONENTS with the least error by estimate:

    activations   mean over tokens of (max over k of |x[k] / s[k]|)^2 / (12 * 127^2) * sum over n, k of (w[n, k] s[k])^2
    weights       sum over n, k of mean(x[k]^2) / s[k]^2 * c * (max over k's group of |w[n, k] s[k]|)^2

where c is the format's mean square error on normal weights of a group, over the square of their maximum.

Source: SmoothQuant (Xiao et al., ICML 2023) and AWQ (Lin et al., MLSys 2024), which move size in the same direction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.mapping.compress.code_grid import grid_steps
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.models.decoder_graph import Activation, Attention, Branch, DecoderGraph, Linear, Mlp, Norm
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.lazy_tensors import LazyTensors
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import Format

TEXTS = 8
"""Texts, of those that a model is calibrated on, that sizes are taken from."""
ROWS = 512
"""Rows of a matrix, and up to twice as many, that the estimates of errors are made from."""
EXPONENTS = (0.0, 0.25, 0.5)
INT8_STEPS = 127
DRAWN = 256
"""Groups of random weights that a format's error is found on."""
LARGEST = 16.0
"""Factors are at most that, and at least its inverse."""
HEAD = "lm_head"
"""The head's name once it is no longer the embedding."""
FEW = 3
"""Values of a matrix that a format of few values may hold exactly: it stays as it is."""
FIRST_ROWS = 4
EXACT = 1e-5
"""Largest difference, relative to a weight, of a matrix that was in a format before."""


@dataclass(frozen=True)
class Site:
    """Inputs that some matrices share, and what makes them.

    Attributes
    ----------
    readers : the matrices.
    maker : takes the factors in: a norm, or a matrix by its rows.
    """

    readers: tuple[Linear, ...]
    maker: Norm | Linear

    @property
    def name(self) -> str:
        return self.readers[0].name


def sites(graph: DecoderGraph) -> Iterator[Site]:
    """All inputs of matrices that something can take factors in for."""
    for layer in graph.layers:
        for branch in layer.branches:
            yield from _branch_sites(branch)
    if graph.norm:
        yield Site((graph.head.linear,), graph.norm)


def _branch_sites(branch: Branch) -> Iterator[Site]:
    operation = branch.operation
    if isinstance(operation, Attention):
        readers: tuple[Linear, ...] = (operation.query, operation.key, operation.value)
    else:
        readers = (operation.gate, operation.up) if operation.gate else (operation.up,)
    if branch.pre_norm:
        yield Site(readers, branch.pre_norm)
    if operation.inner_norm:
        yield Site((operation.output,), operation.inner_norm)
    elif isinstance(operation, Mlp) and (operation.gate or operation.activation is Activation.RELU):
        yield Site((operation.down,), operation.up)  # max(x, 0) passes positive factors on


def find_balance(
    model: DecoderModel, engine: GemmConfig, format: Format, texts: npt.NDArray[np.int64]
) -> dict[str, Floats]:
    """The factors s of each site, by its name, for weights of `format`, from the first of the `texts` [B, T] of tokens.

    Sites that are best left as they are have none.
    """
    some = texts[:TEXTS]
    watch = _SizeWatch(model, engine, format)
    watch.look(model.graph.head.linear.weight, Decoder(model, watch, texts=len(some)).read(some.ravel().tolist()))
    return watch.factors


class _SizeWatch:
    """Float linear layers that find the factors of each site when its first matrix is multiplied."""

    def __init__(self, model: DecoderModel, engine: GemmConfig, format: Format) -> None:
        self.factors = dict[str, Floats]()
        self._weights, self._linears = model.tensors, FloatLinears(model.linears, keep=False)
        # A tied head is the embedding's matrix, under that name.
        self._watched = {site.readers[0].weight: site for site in sites(model.graph)}
        self._format, self._group = format, engine.scale_group
        self._integers = engine.activation_format.name == "int8"
        self._error = relative_error(format, engine.scale_group or 4 * DRAWN)

    def __call__(self, name: str, x: Floats) -> Floats:
        self.look(name, x)
        return self._linears(name, x)

    def look(self, name: str, x: Floats) -> None:
        """Find the factors of the site whose first matrix this is, if it is one, for inputs `x`."""
        site = self._watched.get(name)
        if site is not None:
            matrices = [self._weights[reader.weight] for reader in site.readers]
            if not is_held(matrices[0], self._format, self._group):
                candidates = [_factors(x, exponent) for exponent in EXPONENTS]
                best = min(candidates, key=lambda s: self._estimate(x, matrices, s))
                if best is not candidates[0]:
                    self.factors[site.name] = best

    def _estimate(self, x: Floats, matrices: Sequence[Floats], factors: Floats) -> float:
        """The square of the outputs' error with these factors, up to a common factor."""
        sizes, total = np.square(x / factors), 0.0
        step = float(sizes.max(axis=1).mean()) / (12 * INT8_STEPS**2) if self._integers else 0.0
        group = self._group or len(factors)
        padding = [(0, 0), (0, -len(factors) % group)]
        by_group = np.pad(sizes.mean(axis=0)[None], padding).reshape(-1, group).sum(axis=1)
        for matrix in matrices:
            some = matrix[:: max(1, len(matrix) // ROWS)]
            scaled = np.pad(some * factors, padding).reshape(len(some), -1, group)
            largest = np.square(np.abs(scaled).max(axis=2)).sum(axis=0)
            error = step * float(np.square(scaled).sum()) + self._error * float(largest @ by_group)
            total += error * len(matrix) / len(some)
        return total


def relative_error(format: Format, group: int) -> float:
    """Mean square error of normal weights, rounded to `format` by groups, over the square of the group's largest."""
    weights = np.random.default_rng(0).normal(size=(DRAWN, group))
    largest = np.abs(weights).max(axis=1, keepdims=True)
    values = np.unique([*format.table, *format.specials]) / format.qmax
    nearest = np.abs(values[:, None, None] - (weights / largest)[None]).min(axis=0)
    return float(np.square(nearest).mean())


def _factors(x: Floats, exponent: float) -> Floats:
    """The factors of inputs [T, K]; 1 for those that are always 0."""
    sizes = np.sqrt(np.square(x).mean(axis=0))
    powers = np.where(sizes > 0, sizes, 1) ** np.float32(exponent)
    found = powers / np.exp(np.log(powers[sizes > 0]).mean()) if (sizes > 0).any() else powers
    result: Floats = np.where(sizes > 0, np.clip(found, 1 / LARGEST, LARGEST), 1).astype(np.float32)
    return result


def is_held(matrix: Floats, format: Format, group: int | None) -> bool:
    """True where, by its first rows, the format holds a matrix [N, K] exactly, or one of few values as it was meant."""
    rows = matrix[:FIRST_ROWS]
    if len(np.unique(rows)) <= FEW:
        return True
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % (group or format.neighbours))))
    if format.is_integer and grid_steps(padded.reshape(len(rows), -1, group or padded.shape[1]), format).all():
        return True
    found = quantize(padded, format, group) if group else quantize_per_channel(padded, format)
    return bool(np.allclose(found.dequantize(), padded, rtol=EXACT, atol=0))


def require_balance(path: Path, graph: DecoderGraph, factors: Mapping[str, Floats]) -> None:
    """InputError when factors in the file at `path` are not those of inputs of the graph."""
    inputs = {site.name: site.readers[0].inputs for site in sites(graph)}
    for name, found in factors.items():
        if inputs.get(name) != len(found):
            raise InputError(f"{path}: has {len(found)} factors for the inputs of {name}, not {inputs.get(name, 0)}")


def balanced(model: DecoderModel, factors: Mapping[str, Floats]) -> DecoderModel:
    """The model that computes the same with balanced inputs. A tied head is one no longer."""
    graph, sources = model.graph, {tensor.name: tensor.name for tensor in model.graph.tensors()}
    rows, columns = dict[str, Floats](), dict[str, Floats]()
    for site in sites(graph):
        if site.name not in factors:
            continue
        factor, names = factors[site.name], [reader.weight for reader in site.readers]
        if graph.tied and site.readers[0] == graph.head.linear:
            head = replace(graph.head.linear, name=HEAD)
            graph = replace(graph, head=replace(graph.head, linear=head))
            sources[head.weight], names = model.graph.embedding.weight, [head.weight]
        columns |= dict.fromkeys(names, factor)
        inverse: Floats = np.float32(1) / factor
        rows |= dict.fromkeys([site.maker.weight, *([site.maker.bias] if site.maker.bias else [])], inverse)
    readers = {
        name: partial(_scaled, model.tensors, source, rows.get(name), columns.get(name))
        for name, source in sources.items()
    }
    return replace(model, graph=graph, tensors=LazyTensors(readers))


def _scaled(tensors: Mapping[str, Floats], name: str, rows: Floats | None, columns: Floats | None) -> Floats:
    tensor = tensors[name]
    if rows is not None:
        tensor = tensor * (rows if tensor.ndim == 1 else rows[:, None])
    return tensor if columns is None else tensor * columns
