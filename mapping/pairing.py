"""Whether what was compressed for one core goes with another."""

from pathlib import Path

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.core_file import CompressedModel
from einloom.models.decoder_model import DecoderModel
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.manifest import Manifest
from einloom.spec.quantized import QuantizedTensor


def require_pairing(path: Path, compressed: CompressedModel, model: DecoderModel, manifest: Manifest) -> None:
    """InputError with the first thing in the file at `path` that the design of `manifest` can't take."""
    sizes, engine = PaddedSizes.of(model.graph, manifest.core), manifest.config.gemm
    for tensor in model.graph.linears():
        found = compressed.tensors.get(tensor.name)
        problem = "is missing" if found is None else _problem(found, sizes.shape(tensor), engine)
        if problem:
            raise _refusal(path, f"tensor {tensor.name} {problem}", manifest)
    made = _cache(compressed.cache_bits, compressed.cache_scales, compressed.cache_recent)
    own = _cache(manifest.core.cache_bits, manifest.core.cache_scales, manifest.core.cache_recent)
    if made != own:
        raise _refusal(path, f"its cache has {made}, not {own}", manifest)
    shapes = [(layer.attention.groups, layer.attention.size) for layer in model.graph.layers]
    if [s.keys.shape for s in compressed.scales] != shapes or [s.values.shape for s in compressed.scales] != shapes:
        raise InputError(f"{path}: the scales of its cache are not those of this model's layers")


def _cache(bits: int, scales: str, recent: int) -> str:
    return f"{bits} bits a number and {scales} scales" + (f", {recent} recent tiles" if recent else "")


def _problem(found: QuantizedTensor, shape: tuple[int, ...], engine: GemmConfig) -> str:
    """What keeps a tensor off an engine that takes matrices of `shape`; empty for nothing."""
    names = [format.name for format in engine.weight_formats]
    if found.format.name not in names:
        return f"is {found.format.name}, and the design takes {', '.join(names)}"
    if found.shape != shape:
        return f"is {' x '.join(map(str, found.shape))}, and the design takes {' x '.join(map(str, shape))}"
    if found.group != (engine.scale_group or shape[1]) or (engine.scale_group is None and (found.scales != 1).any()):
        groups = f"groups of {engine.scale_group}" if engine.scale_group else "one scale for each output"
        return f"has groups of {found.group}, and the design {groups}"
    return ""


def _refusal(path: Path, problem: str, manifest: Manifest) -> InputError:
    return InputError(f"{path}: {problem}: make a file for this core by `einloom quantize MODEL -c {manifest.name}`")
