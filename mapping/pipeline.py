"""The way of a model to a program: compress, calibrate, lower, schedule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.balance import balanced, find_balance, require_balance, sites
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.mapping.compress.core_file import CompressedModel, read_compressed
from einloom.mapping.compress.mixture import choose_formats
from einloom.mapping.fit import require_fit
from einloom.mapping.model_digest import model_digest
from einloom.mapping.pairing import require_pairing
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.calibrate import CacheWatch
from einloom.models.calibration_texts import conversations, self_texts, windows
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError, ToolError
from einloom.spec.files import file_digest
from einloom.spec.formats import Format, format_named
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
    file : what `einloom quantize` made of the model for a core, instead of both.
    """

    weights: str = ""
    text: str = ""
    file: Path | None = None

    def contents(self) -> tuple[str, str, str]:
        """All that a program depends on; InputError when the file can't be read."""
        return self.weights, self.text, "" if self.file is None else file_digest(self.file)


PLAIN = Compression()
"""The design's first format, calibrated on what the model writes."""


def compile_model(
    model: DecoderModel,
    manifest: Manifest,
    compression: Compression = PLAIN,
    schedule: Schedule = STANDARD,
    *,
    check: bool = True,
) -> tuple[Program, float]:
    """The model's program for a design; and the stored bits per weight.

    With `check` the program is held against the rules of mapping/check after each pass. InputError when the model
    doesn't fit the design, the design doesn't have a format, or a file was made for another model or another design.
    """
    compressed = compress_model(model, manifest, compression)
    ready = balanced(model, compressed.balance)
    program = compile_decoder(
        ready.graph, compressed.tensors, ready.tensors, compressed.scales, manifest, schedule=schedule, check=check
    )
    return program, compressed.bits_per_weight


def compress_model(model: DecoderModel, manifest: Manifest, compression: Compression = PLAIN) -> CompressedModel:
    """The model's matrices and cache scales as the design keeps them; InputError as for `compile_model`."""
    engine = manifest.config.gemm
    if compression.file is not None:
        require_fit(model.graph, manifest)
        compressed = read_compressed(compression.file, model_digest(model))
        require_balance(compression.file, model.graph, compressed.balance)
        require_pairing(compression.file, compressed, balanced(model, compressed.balance), manifest)
        return compressed
    bits = _average(compression.weights, engine)
    require_fit(model.graph, manifest)
    texts = windows(model, compression.text) if compression.text else self_texts(model)
    format = _format(engine, compression.weights, bits)
    balance = find_balance(model, engine, format, texts)
    model = balanced(model, balance)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    names = (tensor.name for tensor in model.graph.linears())
    formats = choose_formats(model, sizes, engine, texts, bits) if bits is not None else dict.fromkeys(names, format)
    watch = CacheWatch(model)
    aim = bool(compression.text)  # what a model writes by itself is too short for that
    tensors = quantize_calibrated(model, sizes, engine, texts, formats, watch, aim=aim)
    core = manifest.core
    scales = watch.scales(core.cache.largest_element)
    return CompressedModel(tensors, scales, core.cache_bits, core.cache_scales, core.cache_recent, balance)


@dataclass(frozen=True)
class Distilling:
    """How a compressed model is trained on its calibration's text (mapping/compress/distil.py).

    Attributes
    ----------
    steps : of the optimizer.
    seed : of the order of the text's windows.
    on_step : told each step's number and loss.
    """

    steps: int
    seed: int = 0
    on_step: Callable[[int, float], None] = lambda _step, _loss: None


def distilling_text(model: DecoderModel, distilling: Distilling) -> str:
    """What to train a model on where no text is given: conversations that it writes, as long as the steps take.

    InputError for a model that isn't made to chat, ToolError without JAX.
    """
    distil = _distil()
    tokens = (distilling.steps * distil.BATCH + distil.HELD_OUT) * distil.WINDOW
    return conversations(model, tokens, length=distil.WINDOW, seed=distilling.seed)


def _distil() -> ModuleType:
    try:
        from einloom.mapping.compress import distil
    except ImportError as error:
        raise ToolError('--distil needs JAX and Optax: pip install "einloom[distil]"') from error
    return distil


def distil_model(
    model: DecoderModel, manifest: Manifest, compressed: CompressedModel, text: str, distilling: Distilling
) -> tuple[CompressedModel, float, float]:
    """What `compress_model` made of a model, trained on a text; and its KL before and after on windows held out.

    InputError when the text is too short, ToolError without JAX.
    """
    training = _distil()
    least = training.BATCH + training.HELD_OUT
    tokens = windows(model, text, least=least, most=None, length=training.WINDOW)
    ready, sizes = balanced(model, compressed.balance), PaddedSizes.of(model.graph, manifest.core)
    found = training.distil(
        ready, sizes, compressed.tensors, tokens, distilling.steps, seed=distilling.seed, on_step=distilling.on_step
    )
    # A norm's weights are divided by the factors of the inputs that it makes.
    balance = dict(compressed.balance)
    for site in sites(model.graph):
        if site.maker.name in found.norms:
            balance[site.name] = balance.get(site.name, np.float32(1)) / found.norms[site.maker.name]
    trained = replace(ready, tensors=training.with_norms(ready, found.norms))
    matrices = {t.name: sizes.cut(t, found.tensors[t.name].dequantize()) for t in ready.graph.linears()}
    texts, watch = windows(model, text), CacheWatch(ready)
    Decoder(trained, FloatLinears(matrices), watch, texts=len(texts)).read(texts.ravel().tolist())
    scales = watch.scales(manifest.core.cache.largest_element)
    return replace(compressed, tensors=found.tensors, scales=scales, balance=balance), found.before, found.after


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
    if weights and (_stored(weights) not in names):
        raise InputError(f"--weights {weights}: the design's formats are {', '.join(names)}, or {AUTO}BITS")
    return None


def _format(engine: GemmConfig, weights: str, bits: float | None) -> Format:
    """The format of all matrices; of a mixture of so many `bits` on average, the one that is nearest to it."""
    if bits is not None:
        return min(engine.weight_formats, key=lambda format: abs(format.bits - bits))
    return format_named(weights) if weights else engine.weight_formats[0]


def _stored(weights: str) -> str:
    """The name of the format in which weights of a named one are stored; the name itself if there is no such format."""
    try:
        return format_named(weights).stored.name
    except InputError:
        return weights
