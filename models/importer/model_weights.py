"""The weights of a model: one safetensors file, or the folder that a model comes in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from einloom.models.importer.safetensors_file import SafetensorsFile, open_safetensors
from einloom.models.importer.safetensors_header import TensorEntry
from einloom.spec.errors import InputError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class ModelWeights:
    """All tensors of a model.

    Attributes
    ----------
    path : the file or folder that the user named.
    files : the safetensors file of each tensor, by the tensor's name.
    """

    path: Path
    files: Mapping[str, SafetensorsFile]

    def entry(self, name: str) -> TensorEntry:
        return self.files[name].header.entries[name]

    def read_bytes(self, name: str) -> bytes:
        """The tensor's bytes as they stand; InputError when they can't be read."""
        return self.files[name].read_bytes(name)

    def read_float32(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor as float32; InputError when it isn't floating or isn't finite."""
        return self.files[name].read_float32(name)

    @property
    def metadata(self) -> dict[str, str]:
        """The free-form metadata of all files, united."""
        return {key: value for file in self.files.values() for key, value in file.header.metadata.items()}


def open_model(path: Path) -> ModelWeights:
    """The model at `path`: a safetensors file, or a folder with `model.safetensors` or the index of its shards.

    Raises InputError when there is none or when a file of it doesn't hold.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return _from_file(path, path)
    if (path / SINGLE).is_file():
        return _from_file(path, path / SINGLE)
    if (path / INDEX).is_file():
        return _from_index(path, path / INDEX)
    others = sorted(other.name for other in path.glob("*.safetensors"))
    hint = f"; name one of its files: {', '.join(others)}" if others else ""
    raise InputError(f"{path}: has neither {SINGLE} nor {INDEX}{hint}")


def _from_file(path: Path, file_path: Path) -> ModelWeights:
    file = open_safetensors(file_path)
    return ModelWeights(path, dict.fromkeys(file.header.entries, file))


def _from_index(folder: Path, index: Path) -> ModelWeights:
    try:
        tree = json.loads(index.read_text())
    except OSError as error:
        raise InputError(f"{index}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{index}: not JSON: {error}") from error
    shards = tree.get("weight_map") if isinstance(tree, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise InputError(f"{index}: weight_map must map the names of tensors to the names of files")
    for name, shard in shards.items():
        # An index may not send its reader to files elsewhere.
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise InputError(f"{index}: tensor {name!r}: {shard!r} is not a file in the folder")
    opened = {shard: open_safetensors(folder / shard) for shard in sorted(set(shards.values()))}
    for name, shard in shards.items():
        if name not in opened[shard].header.entries:
            raise InputError(f"{index}: tensor {name!r} is not in {shard}")
    return ModelWeights(folder, {name: opened[shard] for name, shard in shards.items()})
