"""The way of a model to a program: compress, calibrate, lower, schedule."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.mapping.compress.mixture import choose_formats
from einloom.mapping.fit import require_fit
from einloom.models.calibrate import CacheWatch
from einloom.models.calibration_texts import self_texts, windows
from einloom.models.decoder_model import DecoderModel
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import Format
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program

AUTO = "auto:"
"""Begins the name of a mixture of formats; so many bits a weight follow."""


@dataclass(frozen=True)
class Compression:
    """What is up to the user in compressing a model.

    Attributes
    ----------
    weights : one of the design's formats for all matrices, or "auto:BITS" for a format for each, so that they take at
        most BITS a weight on average; the design's first format if empty.
    text : what matrices and cache are calibrated on; what the model writes by itself if empty.
    """

    weights: str = ""
    text: str = ""


PLAIN = Compression()
"""The design's first format, calibrated on what the model writes."""


def compile_model(
    model: DecoderModel, manifest: Manifest, compression: Compression = PLAIN, *, check: bool = True
) -> tuple[Program, float]:
    """The model's program for a design; and the stored bits per weight.

    With `check` the program is held against the rules of mapping/check after each pass. InputError when the model
    doesn't fit the design, or the design doesn't have a format.
    """
    engine = manifest.config.gemm
    bits = _average(compression.weights, engine)
    require_fit(model.graph, manifest)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    texts = windows(model, compression.text) if compression.text else self_texts(model)
    formats = _formats(model, sizes, engine, compression.weights, texts, bits)
    watch = CacheWatch(model)
    tensors = quantize_calibrated(model, sizes, engine, texts, formats, watch)
    scales = watch.scales(manifest.core.cache.largest_element)
    program = compile_decoder(model.graph, tensors, model.tensors, scales, manifest, check=check)
    stored = sum(t.bits_per_weight * t.codes.size for t in tensors.values())
    return program, stored / sum(t.codes.size for t in tensors.values())


def _average(weights: str, engine: GemmConfig) -> float | None:
    """The bits of "auto:BITS", None for a format; InputError for what is neither."""
    if weights.startswith(AUTO):
        try:
            bits = float(weights.removeprefix(AUTO))
        except ValueError:
            bits = float("nan")
        if not 0 < bits < float("inf"):
            raise InputError(f"--weights {weights}: a number of bits must follow {AUTO}")
        return bits
    names = [format.name for format in engine.weight_formats]
    if weights and weights not in names:
        raise InputError(f"--weights {weights}: the design's formats are {', '.join(names)}, or {AUTO}BITS")
    return None


def _formats(
    model: DecoderModel,
    sizes: PaddedSizes,
    engine: GemmConfig,
    weights: str,
    texts: npt.NDArray[np.int64],
    bits: float | None,
) -> dict[str, Format]:
    if bits is not None:
        return choose_formats(model, sizes, engine, texts, bits)
    chosen = next(f for f in engine.weight_formats if weights in ("", f.name))
    return {tensor.name: chosen for tensor in model.graph.linears()}
