"""Quantized tensors as a safetensors file.

Tensor `x` of shape [N, K], with G = K / group, becomes

* `x.codes`: uint8 [N, bytes], the codes of a row packed least significant bit first, ternary ones five to a byte;
* `x.scales`: uint8 [N, G];
* `x.selectors`: uint8 [N, bytes], packed likewise, 2 bits each, only for formats with special values;
* `x.channel_scale`: float32 [N],

and an entry in the JSON under `einloom` in the file's metadata. All other tensors of the model stay as they were.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from einloom.mapping.compress.code_bytes import pack, pack_codes, packed_length, row_bytes, unpack, unpack_codes
from einloom.models.importer.model_weights import ModelWeights
from einloom.models.importer.safetensors_file import SafetensorsFile, open_safetensors
from einloom.models.importer.safetensors_header import DTYPE_BYTES, TensorEntry, header_bytes
from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.formats import FORMATS, SELECTOR_BITS, Format, format_named
from einloom.spec.quantized import QuantizedTensor

KEY = "einloom"
Part = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Count = Annotated[int, Field(strict=True, ge=1)]


class _Description(BaseModel):
    """Metadata of a quantized tensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    group: Count
    shape: tuple[Count, Count]
    specials: tuple[Annotated[int, Field(strict=True)], ...]


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    tensors: dict[str, _Description]


@dataclass(frozen=True)
class Stored:
    """A tensor that is not quantized: dtype as safetensors call it, shape, and how its bytes are read."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], bytes]


@dataclass(frozen=True)
class QuantizedFile:
    """A file of quantized tensors.

    Attributes
    ----------
    tensors : quantized tensors, by their names in the model.
    others : names of the tensors in `file` that were not quantized.
    file : reader of those tensors.
    """

    tensors: Mapping[str, QuantizedTensor]
    others: tuple[str, ...]
    file: SafetensorsFile


def write_quantized(path: Path, tensors: Mapping[str, QuantizedTensor], model: ModelWeights) -> None:
    """Write `tensors`, and those tensors of `model` that are not among them, to `path`; it appears whole or not at all.

    Raises InputError when the disk or the folder refuses, or when a tensor of the model has the name of a part.
    """
    others = {
        name: Stored(model.entry(name).dtype, model.entry(name).shape, partial(model.read_bytes, name))
        for name in model.files
        if name not in tensors
    }
    write_with_others(path, tensors, others, model.metadata)


def write_with_others(
    path: Path, tensors: Mapping[str, QuantizedTensor], others: Mapping[str, Stored], metadata: Mapping[str, str]
) -> None:
    """Write `tensors`, and `others` as they are, to `path`; InputError as for `write_quantized`."""
    parts = {key: part for name, tensor in tensors.items() for key, part in _parts(name, tensor).items()}
    for name in others:
        if name in parts:
            raise InputError(f"{path}: {name} would be there twice: the model has a tensor of that name")
    claims = {name: (other.dtype, other.shape) for name, other in others.items()}
    claims |= {key: ("F32" if part.dtype == np.float32 else "U8", part.shape) for key, part in parts.items()}
    entries = _lay_out(claims)
    described = dict(metadata) | {KEY: _describe(tensors).model_dump_json()}
    contents = (parts[e.name].tobytes() if e.name in parts else others[e.name].read() for e in entries)
    write_file(path, b"".join([header_bytes(entries, described), *contents]))


def read_quantized(path: Path) -> QuantizedFile:
    """The quantized tensors in the file at `path`.

    Raises InputError with the tensor when anything in the file doesn't fit what its metadata says.
    """
    file = open_safetensors(path)
    if KEY not in file.header.metadata:
        raise InputError(f"{path}: holds no quantized tensors: its metadata has no {KEY!r}")
    try:
        metadata = _Metadata.model_validate_json(file.header.metadata[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (KEY, *first["loc"])))
        raise InputError(f"{path}: {key!r} in its metadata: {first['msg']}") from error
    tensors = {name: _read_tensor(file, name, claim) for name, claim in metadata.tensors.items()}
    used = {f"{name}.{part}" for name, claim in metadata.tensors.items() for part in _part_shapes(claim)}
    return QuantizedFile(tensors, tuple(name for name in file.header.entries if name not in used), file)


def _describe(tensors: Mapping[str, QuantizedTensor]) -> _Metadata:
    claims = {
        name: _Description(format=t.format.name, group=t.group, shape=t.shape, specials=t.format.specials)
        for name, t in tensors.items()
    }
    return _Metadata(version=1, tensors=claims)


def _parts(name: str, tensor: QuantizedTensor) -> dict[str, Part]:
    """Stored parts of a tensor, by their names in the file."""
    parts: dict[str, Part] = {
        f"{name}.codes": pack_codes(tensor.codes, tensor.format),
        f"{name}.scales": tensor.scales,
        f"{name}.channel_scale": tensor.channel_scale.astype("<f4"),
    }
    if tensor.format.specials:
        parts[f"{name}.selectors"] = pack(tensor.selectors, SELECTOR_BITS)
    return parts


def _part_shapes(claim: _Description) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each part of a tensor, by the last part of its name."""
    (outputs, inputs), format = claim.shape, FORMATS[claim.format]
    groups = inputs // claim.group
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "codes": ("U8", (outputs, row_bytes(inputs, format))),
        "scales": ("U8", (outputs, groups)),
        "channel_scale": ("F32", (outputs,)),
    }
    if format.specials:
        shapes["selectors"] = ("U8", (outputs, packed_length(groups, SELECTOR_BITS)))
    return shapes


def _lay_out(claims: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[TensorEntry]:
    """Entries one after the other: wide dtypes first, so that every tensor is aligned, then by name."""
    ordered = sorted(claims, key=lambda name: (-DTYPE_BYTES[claims[name][0]], name))
    entries, begin = [], 0
    for name in ordered:
        dtype, shape = claims[name]
        entries.append(TensorEntry(name, dtype, shape, begin, begin + prod(shape) * DTYPE_BYTES[dtype]))
        begin = entries[-1].end
    return entries


def _read_tensor(file: SafetensorsFile, name: str, claim: _Description) -> QuantizedTensor:
    place = f"{file.path}: tensor {name}"
    format = _format(place, claim)
    (outputs, inputs), group = claim.shape, claim.group
    if inputs % group:
        raise InputError(f"{place}: its group of {group} doesn't divide the {inputs} inputs")
    for part, (dtype, shape) in _part_shapes(claim).items():
        _check_part(file, f"{name}.{part}", dtype, shape)
    channel_scale = file.read_float32(f"{name}.channel_scale")
    if (channel_scale < 0).any():
        raise InputError(f"{place}: its channel_scale must not be negative")
    groups = inputs // group
    selectors = np.zeros((outputs, groups), np.uint8)
    try:
        codes = unpack_codes(_matrix(file, f"{name}.codes"), format, inputs)
        if format.specials:
            selectors = unpack(_matrix(file, f"{name}.selectors"), SELECTOR_BITS, groups)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error
    return QuantizedTensor(format, group, codes, _matrix(file, f"{name}.scales"), selectors, channel_scale)


def _format(place: str, claim: _Description) -> Format:
    """The format that a tensor claims, with its own special values, which engines must be able to express."""
    try:
        known = format_named(claim.format)
        if len(claim.specials) != len(known.specials):
            raise InputError(f"{known.name} has {len(known.specials)} special values, not {len(claim.specials)}")
        for special in claim.specials:
            known.terms(special)
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    return replace(known, specials=claim.specials)


def _check_part(file: SafetensorsFile, name: str, dtype: str, shape: tuple[int, ...]) -> None:
    entry = file.header.entries.get(name)
    if entry is None:
        raise InputError(f"{file.path}: tensor {name} is missing")
    if (entry.dtype, entry.shape) != (dtype, shape):
        raise InputError(
            f"{file.path}: tensor {name} must be {dtype} {list(shape)}, not {entry.dtype} {list(entry.shape)}"
        )


def _matrix(file: SafetensorsFile, name: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(file.read_bytes(name), np.uint8).reshape(file.header.entries[name].shape)
