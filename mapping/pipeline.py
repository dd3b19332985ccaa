"""The way of a model to a program: compress, calibrate, lower, schedule."""

from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.calibrated import quantize_calibrated
from einloom.mapping.fit import require_fit
from einloom.models.calibrate import CacheWatch
from einloom.models.decoder_model import DecoderModel
from einloom.models.self_texts import self_texts
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program


def compile_model(model: DecoderModel, manifest: Manifest, *, check: bool = True) -> tuple[Program, float]:
    """The model's program for a design, in the design's first weight format; and the stored bits per weight.

    With `check` the program is held against the rules of mapping/check after each pass. InputError when the model
    doesn't fit the design.
    """
    require_fit(model.graph, manifest)
    sizes, texts = PaddedSizes.of(model.graph, manifest.core), self_texts(model)
    watch = CacheWatch(model, len(texts))
    tensors = quantize_calibrated(model, sizes, manifest.config.gemm, texts, attention=watch)
    scales = watch.scales(manifest.core.cache_bits)
    program = compile_decoder(model.graph, tensors, model.tensors, scales, manifest, check=check)
    bits = sum(t.bits_per_weight * t.codes.size for t in tensors.values()) / sum(t.codes.size for t in tensors.values())
    return program, bits
