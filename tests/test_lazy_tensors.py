"""Tensors of large models are read when they are asked for, and are the same numbers."""

from pathlib import Path

import numpy as np
import pytest

from einloom.mapping.model_digest import model_digest
from einloom.mapping.pipeline import compile_model
from einloom.models.float_decoder import Decoder
from einloom.models.importer import canonical
from einloom.models.importer.huggingface import load_folder
from einloom.models.lazy_tensors import LazyTensors
from einloom.models.linears import FloatLinears
from tests.cores import core_manifest
from tests.families import write_family


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_a_model_that_is_read_on_demand_is_the_same(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = write_family(tmp_path, family)
    eager = load_folder(folder)
    monkeypatch.setattr(canonical, "EAGER_BYTES", 0)
    lazy = load_folder(folder)
    assert isinstance(lazy.tensors, LazyTensors)
    assert set(lazy.tensors) == set(eager.tensors)
    assert "other" not in lazy.tensors
    for keep in (False, True):
        found = Decoder(lazy, FloatLinears(lazy.linears, keep=keep)).step([3, 1, 4])
        np.testing.assert_array_equal(found, Decoder(eager, FloatLinears(eager.linears)).step([3, 1, 4]))


def test_weights_are_read_once_where_they_are_kept() -> None:
    reads = list[str]()

    def read() -> np.ndarray:
        reads.append("w")
        return np.ones((2, 3), np.float32)

    x = np.ones((1, 3), np.float32)
    for keep, count in ((True, 1), (False, 3)):
        reads.clear()
        linears = FloatLinears(LazyTensors({"w": read}), keep=keep)
        for _ in range(3):
            linears("w", x)
        assert len(reads) == count


def test_programs_of_both_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write_family(tmp_path, "llama", head_dim=32)
    expected, _ = compile_model(load_folder(folder), core_manifest())
    monkeypatch.setattr(canonical, "EAGER_BYTES", 0)
    found, _ = compile_model(load_folder(folder), core_manifest())
    assert found.files() == expected.files()


def test_files_stand_for_the_numbers_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "EAGER_BYTES", 0)
    folder, _ = write_family(tmp_path, "llama")
    first, again = (model_digest(load_folder(folder)) for _ in range(2))
    assert first == again
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    assert model_digest(load_folder(folder)) != first
