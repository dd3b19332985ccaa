"""The header of a safetensors file: what it claims about its tensors, checked before a byte of them is used.

A file is the header's length (8 bytes, little-endian), a JSON header and the tensors' bytes, without holes or overlaps
(the format's description at huggingface.co/docs/safetensors).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

from einloom.spec.errors import InputError

LENGTH_BYTES = 8
LONGEST_HEADER = 100_000_000  # bytes, the limit of the reference implementation
LARGEST_RANK = 32
METADATA = "__metadata__"
DTYPE_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8,
    "F32": 4, "I32": 4, "U32": 4,
    "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True)
class TensorEntry:
    """A tensor's place: `begin` and `end` count bytes from the end of the header.

    `dtype` may be one that nobody here knows: the other tensors of the file can still be read.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A whole header: entries by name in the order of their bytes, and the file's free-form metadata."""

    entries: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]


def header_bytes(entries: Iterable[TensorEntry], metadata: Mapping[str, str]) -> bytes:
    """The beginning of a file, length included, padded with spaces so that the tensors start on a multiple of 8."""
    tree: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for entry in entries:
        tree[entry.name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def header_length(path: Path, prefix: bytes, file_bytes: int) -> int:
    """Length of the header in bytes, from the file's first 8 bytes; InputError when the file can't hold it."""
    length = int.from_bytes(prefix, "little")
    if len(prefix) < LENGTH_BYTES:
        raise InputError(f"{path}: not a safetensors file: it is only {len(prefix)} bytes long")
    if length > LONGEST_HEADER:
        raise InputError(
            f"{path}: not a safetensors file: it claims a header of {length} bytes, and {LONGEST_HEADER} is the limit"
        )
    if LENGTH_BYTES + length > file_bytes:
        raise InputError(
            f"{path}: truncated: it claims a header of {length} bytes, but only {file_bytes - LENGTH_BYTES} follow"
        )
    return length


def parse_header(path: Path, text: bytes, data_bytes: int) -> Header:
    """The header in the JSON `text` of a file with `data_bytes` bytes of tensors.

    Raises InputError with `path` and the tensor for anything that doesn't hold: bad JSON, shapes that
    disagree with sizes, bytes that lie outside the file, in two tensors or in none.
    """
    try:
        tree = json.loads(text.decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its header is not the JSON of a safetensors file: {error}") from error
    if not isinstance(tree, dict):
        raise InputError(f"{path}: its header must be a JSON object")
    metadata = tree.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InputError(f"{path}: {METADATA} in its header must map names to strings")
    entries = sorted((_entry(path, *item) for item in tree.items()), key=lambda e: (e.begin, e.end))
    _check_cover(path, entries, data_bytes)
    return Header({entry.name: entry for entry in entries}, metadata)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        if key in tree:
            raise ValueError(f"{key!r} stands there twice")
        tree[key] = value
    return tree


def _entry(path: Path, name: str, claim: Any) -> TensorEntry:
    # Names are printed and become names in other files: control characters in them could only do harm.
    if not name.isprintable() or not name:
        raise InputError(f"{path}: tensor {name!r}: its name is empty or not printable")
    place = f"{path}: tensor {name}"
    if not isinstance(claim, dict) or not {"dtype", "shape", "data_offsets"} <= claim.keys():
        raise InputError(f"{place}: its header entry must have dtype, shape and data_offsets")
    dtype, shape, offsets = claim["dtype"], claim["shape"], claim["data_offsets"]
    if not isinstance(dtype, str) or not re.fullmatch("[A-Z][A-Z0-9_]*", dtype):
        raise InputError(f"{place}: its dtype must be the name of one, not {dtype!r}")
    if not _are_counts(shape) or len(shape) > LARGEST_RANK:
        raise InputError(f"{place}: its shape must be a list of at most {LARGEST_RANK} non-negative integers")
    if prod(length or 1 for length in shape) >= 1 << 60:  # NumPy refuses it even when another length is zero
        raise InputError(f"{place}: its shape is absurdly large")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InputError(f"{place}: its data_offsets must be two ascending non-negative integers")
    begin, end = offsets
    size = prod(shape) * DTYPE_BYTES.get(dtype, 0)
    if dtype in DTYPE_BYTES and end - begin != size:
        raise InputError(f"{place}: {dtype} {shape} takes {size} bytes, but its data_offsets span {end - begin}")
    return TensorEntry(name, dtype, tuple(shape), begin, end)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(path: Path, entries: list[TensorEntry], data_bytes: int) -> None:
    """Every byte of the data must belong to one tensor."""
    for entry in entries:
        if entry.end > data_bytes:
            raise InputError(
                f"{path}: tensor {entry.name}: it ends {entry.end - data_bytes} bytes after the end of the file; "
                "is the file truncated?"
            )
    ends = chain([0], (entry.end for entry in entries))
    for entry, previous_end in zip(entries, ends, strict=False):
        if entry.begin < previous_end:
            raise InputError(f"{path}: tensor {entry.name}: its bytes overlap with those of another tensor")
        if entry.begin > previous_end:
            raise InputError(f"{path}: tensor {entry.name}: the bytes before it belong to no tensor")
    last_end = entries[-1].end if entries else 0
    if last_end < data_bytes:
        raise InputError(f"{path}: its last {data_bytes - last_end} bytes belong to no tensor")
