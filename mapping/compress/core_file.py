"""A model as a core keeps it, quantized and calibrated, in a file.

The file is that of mapping/compress/storage.py with the matrices in the core's sizes. Beside them `cache.N.keys` and
`cache.N.values`, float32 [groups, size], are the scales of layer N's cache, and `balance.<matrix>`, float32 [inputs],
are factors of its inputs. The JSON under `einloom-core` in the metadata says which model it was made of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from einloom.mapping.compress.storage import Stored, read_quantized, write_with_others
from einloom.models.cache_scales import CacheScales
from einloom.spec.errors import InputError
from einloom.spec.quantized import QuantizedTensor

KEY = "einloom-core"
KINDS = ("keys", "values")
TOKEN_KINDS = (*KINDS, "means", "factors")
"""Attributes of CacheScales that are kept; the latter where each token has a scale."""
BALANCE = "balance."
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CompressedModel:
    """What of a model is compressed for a core.

    Attributes
    ----------
    tensors : the matrices of all linear layers, in the core's sizes.
    scales : scales of each layer's cache, in the model's own sizes.
    cache_bits, cache_scales, cache_recent : what the cache's codes are, as keys of a core's config.
    balance : factors of the inputs of matrices (mapping/compress/balance.py), by the first matrix's name.
    """

    tensors: Mapping[str, QuantizedTensor]
    scales: Sequence[CacheScales]
    cache_bits: int
    cache_scales: Literal["static", "token"]
    cache_recent: int
    balance: Mapping[str, Floats]

    @property
    def bits_per_weight(self) -> float:
        """Stored bits of a weight, on average."""
        stored = sum(t.bits_per_weight * t.codes.size for t in self.tensors.values())
        return stored / sum(t.codes.size for t in self.tensors.values())


def _kinds(cache_scales: str) -> tuple[str, ...]:
    return TOKEN_KINDS if cache_scales == "token" else KINDS


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    model: str
    cache_bits: Annotated[int, Field(strict=True, ge=2, le=16)]
    cache_scales: Literal["static", "token"] = "static"
    cache_recent: Annotated[int, Field(strict=True, ge=0)] = 0
    layers: Annotated[int, Field(strict=True, ge=1)]


def write_compressed(path: Path, compressed: CompressedModel, digest: str) -> None:
    """Write what was made of the model with this digest; InputError when the disk or the folder refuses."""
    others = dict[str, Stored]()
    for n, scales in enumerate(compressed.scales):
        for kind in _kinds(compressed.cache_scales):
            values = getattr(scales, kind)
            others[f"cache.{n}.{kind}"] = Stored("F32", values.shape, values.astype("<f4").tobytes)
    for name, factors in compressed.balance.items():
        others[f"{BALANCE}{name}"] = Stored("F32", factors.shape, factors.astype("<f4").tobytes)
    head = _Metadata(
        model=digest,
        cache_bits=compressed.cache_bits,
        cache_scales=compressed.cache_scales,
        cache_recent=compressed.cache_recent,
        layers=len(compressed.scales),
    )
    write_with_others(path, compressed.tensors, others, {KEY: head.model_dump_json()})


def read_compressed(path: Path, digest: str) -> CompressedModel:
    """What was made of the model with this digest; InputError when the file is damaged, or of another model."""
    found = read_quantized(path)
    if KEY not in found.file.header.metadata:
        raise InputError(f"{path}: was not made for a core: make it by `einloom quantize MODEL -c CONFIG -o FILE`")
    try:
        head = _Metadata.model_validate_json(found.file.header.metadata[KEY])
    except ValidationError as error:
        raise InputError(f"{path}: {KEY!r} in its metadata: {error.errors()[0]['msg']}") from error
    if head.model != digest:
        raise InputError(f"{path}: was made of another model: name that model, or quantize this one")
    kinds = _kinds(head.cache_scales)
    wanted = [f"cache.{n}.{kind}" for n in range(head.layers) for kind in kinds]
    balance = {n.removeprefix(BALANCE): found.file.read_float32(n) for n in found.others if n.startswith(BALANCE)}
    if sorted(n for n in found.others if not n.startswith(BALANCE)) != sorted(wanted):
        raise InputError(f"{path}: must have the scales of {head.layers} layers' caches, factors, and no other tensors")
    for name, factors in balance.items():
        if factors.ndim != 1 or not (factors > 0).all():
            raise InputError(f"{path}: tensor {BALANCE}{name}: factors must be a vector of numbers above 0")
    values = [found.file.read_float32(name) for name in wanted]
    for name, scales in zip(wanted, values, strict=True):
        low = -np.inf if name.endswith(".means") else 0
        if scales.ndim != 2 or not (scales > low).all() or not np.isfinite(scales).all():
            raise InputError(f"{path}: tensor {name}: scales must be a matrix of numbers above 0")
    layers = [CacheScales(*values[n : n + len(kinds)]) for n in range(0, len(values), len(kinds))]
    cache = head.cache_bits, head.cache_scales, head.cache_recent
    return CompressedModel(found.tensors, layers, *cache, balance)
