"""The linear layers of a model in narrow formats, and what that costs in fidelity."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from einloom.catalogue import find_model
from einloom.html import rows_table
from einloom.mapping.compress.fidelity import Fidelity, measure, total
from einloom.mapping.compress.quantize import check_group
from einloom.mapping.compress.quantize import quantize as quantize_matrix
from einloom.mapping.compress.storage import KEY, write_quantized
from einloom.models.importer.linear_layers import left_out, linear_layers
from einloom.models.importer.model_weights import ModelWeights, open_model
from einloom.spec.errors import InputError
from einloom.spec.formats import Format, format_named
from einloom.spec.quantized import QuantizedTensor

__all__ = ["DEFAULT_FORMAT", "Fidelity", "QuantizedModel", "check_output", "quantize"]

DEFAULT_FORMAT = "bitmod-fp4"
Progress = Callable[[int, int], None]
"""Told (weights done, weights in all)."""


@dataclass(frozen=True)
class QuantizedModel:
    """The linear layers of a model in one or several formats.

    Attributes
    ----------
    model : the path of the original.
    tensors : quantized tensors, by format and name.
    fidelities : fidelity of each tensor in each format.
    group, scale_search : options as given.
    left_out : names of the matrices that keep their numbers.
    seconds : time that quantization took.
    """

    model: str
    tensors: Mapping[str, Mapping[str, QuantizedTensor]]
    fidelities: tuple[Fidelity, ...]
    group: int
    scale_search: bool
    left_out: tuple[str, ...]
    seconds: float
    _source: ModelWeights

    @property
    def totals(self) -> dict[str, Fidelity]:
        """The fidelity of the whole model in each format, by format."""
        names = dict.fromkeys(f.format for f in self.fidelities)
        return {name: total(f for f in self.fidelities if f.format == name) for name in names}

    def write(self, file: str | Path) -> None:
        """Write the model in its one format to a safetensors file; InputError when there are several or it fails."""
        check_output(file, self._source, list(self.tensors))
        (tensors,) = self.tensors.values()
        write_quantized(Path(file), dict(tensors), self._source)

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom quantize --json` prints; `total` is that of the first format, `totals` has all."""
        figures = {name: _figures(whole) for name, whole in self.totals.items()}
        return {
            "tensors": [{"name": f.name, "format": f.format} | _figures(f) for f in self.fidelities],
            "total": next(iter(figures.values())),
            "totals": figures,
            "model": self.model,
            "group": self.group,
            "scale_search": self.scale_search,
            "left_out": list(self.left_out),
            "seconds": round(self.seconds, 3),
        }

    def _repr_html_(self) -> str:
        rows = ((f.name, f.format, f.bits_per_weight, f.nmse) for f in self.fidelities)
        return rows_table(f"{self.model}, quantized", ("tensor", "format", "bits/weight", "NMSE"), rows)


def quantize(
    model: str | Path,
    weights: str | Sequence[str] = DEFAULT_FORMAT,
    *,
    group: int = 128,
    scale_search: bool = False,
    output: str | Path | None = None,
    progress: Progress = lambda _done, _of: None,
) -> QuantizedModel:
    """Quantize the linear layers of a model, a shipped one's name, a folder or a safetensors file.

    Parameters
    ----------
    weights : a format, or several: names, or one text with commas.
    group : consecutive inputs that share a scale.
    scale_search : try 26 scales per group and keep the best.
    output : a safetensors file to write.
    progress : told how many weights are done.

    InputError for an unknown format, a model that is quantized already, and a group that doesn't divide its inputs.
    """
    started = time.monotonic()
    formats = _formats([weights] if isinstance(weights, str) else weights)
    opened = open_model(find_model(model))
    if KEY in opened.metadata:
        raise InputError(f"{model}: is quantized already; start from the original model")
    if output is not None:
        check_output(output, opened, [format.name for format in formats])
    found, tensors = _quantize_layers(opened, formats, group, scale_search, progress)
    seconds = time.monotonic() - started
    others = tuple(left_out(opened, [f.name for f in found]))
    quantized = QuantizedModel(str(model), tensors, tuple(found), group, scale_search, others, seconds, opened)
    if output is not None:
        quantized.write(output)
    return quantized


def _formats(names: Sequence[str]) -> list[Format]:
    """Formats in the order of their first mention; InputError for two that are stored as one."""
    words = [word.strip() for name in names for word in name.split(",")]
    formats = [format_named(word) for word in dict.fromkeys(words)]
    stored = [format.stored.name for format in formats]
    if twice := next((name for name in stored if stored.count(name) > 1), None):
        raise InputError(f"{', '.join(f.name for f in formats if f.stored.name == twice)}: give one of these at a time")
    return formats


def check_output(output: str | Path, model: ModelWeights, formats: Sequence[str]) -> None:
    """Refuse before the work what would fail, or do harm, after it."""
    path = Path(output)
    if len(formats) > 1:
        raise InputError(f"{output}: takes one format, but --weights names {len(formats)}: write one file for each")
    if path.is_dir():
        raise InputError(f"{output}: is a folder: give the name of a file")
    if path.resolve() in {file.path.resolve() for file in model.files.values()}:
        raise InputError(f"{output}: is the model itself: give another name")


def _quantize_layers(
    model: ModelWeights, formats: Sequence[Format], group: int, scale_search: bool, progress: Progress
) -> tuple[list[Fidelity], dict[str, dict[str, QuantizedTensor]]]:
    """The fidelity of each layer in each format, and the tensors by format and name."""
    names = linear_layers(model)
    for name in names:
        try:
            check_group(model.entry(name).shape[1], group)
        except InputError as error:
            raise InputError(f"{model.files[name].path}: tensor {name}: {error}") from error
    found: list[Fidelity] = []
    tensors: dict[str, dict[str, QuantizedTensor]] = {format.name: {} for format in formats}
    work, done = sum(prod(model.entry(name).shape) for name in names) * len(formats), 0
    for name in names:
        matrix = model.read_float32(name)
        for format in formats:
            tensor = quantize_matrix(matrix, format, group, scale_search=scale_search)
            found.append(measure(name, matrix, tensor))
            tensors[format.name][name] = tensor
            done += matrix.size
            progress(done, work)
    return found, tensors


def _figures(fidelity: Fidelity) -> dict[str, float]:
    return {"bits_per_weight": fidelity.bits_per_weight, "nmse": fidelity.nmse}
