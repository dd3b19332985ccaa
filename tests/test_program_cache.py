"""mapping/cached_program.py: what was compiled is found again, and only that."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from einloom.mapping import cached_program as cached
from einloom.mapping.cached_program import BITS, cached_program
from einloom.mapping.pipeline import PLAIN, Compression
from einloom.mapping.schedule.schedule import Schedule
from einloom.models.decoder_model import DecoderModel
from einloom.spec.manifest import Manifest
from einloom.spec.program import SYSTEM, Program
from tests.cores import core_manifest
from tests.small_models import small_llama


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DecoderModel:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "cache"))
    return small_llama(tmp_path / "model")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the designs for which a model was really compiled."""
    names: list[str] = []

    def count(
        model: DecoderModel, manifest: Manifest, compression: Compression, schedule: Schedule
    ) -> tuple[Program, float]:
        names.append(manifest.name)
        return compile_model(model, manifest, compression, schedule)

    compile_model = cached.compile_model
    monkeypatch.setattr(cached, "compile_model", count)
    return names


def test_a_model_is_compiled_once(model: DecoderModel, compiled: list[str]) -> None:
    (first, bits), (second, same_bits) = (cached_program(model, core_manifest()) for _ in range(2))
    assert len(compiled) == 1
    assert first.files() == second.files()
    assert bits == same_bits


def test_another_number_or_another_core_is_another_program(model: DecoderModel, compiled: list[str]) -> None:
    cached_program(model, core_manifest())
    cached_program(model, core_manifest(engine={"rows": 2}))
    cached_program(model, core_manifest(), Compression(text="abc " * 99))
    tensors = {name: tensor.copy() for name, tensor in model.tensors.items()}
    tensors["model.norm.weight"][0] = np.nextafter(tensors["model.norm.weight"][0], np.float32(9))
    cached_program(DecoderModel(model.graph, tensors, model.tokenizer), core_manifest())
    cached_program(DecoderModel(dataclasses.replace(model.graph, norm=None), model.tensors, model.tokenizer),
                   core_manifest())  # fmt: skip
    cached_program(model, core_manifest(), PLAIN, Schedule(queries_first=True))
    assert len(compiled) == 6


@pytest.mark.parametrize("file", [SYSTEM, BITS, "program.json"])
@pytest.mark.parametrize("damage", [b"", None], ids=["emptied", "missing"])
def test_a_damaged_entry_is_made_anew(
    model: DecoderModel, compiled: list[str], tmp_path: Path, file: str, damage: bytes | None
) -> None:
    first, _ = cached_program(model, core_manifest())
    (path,) = (tmp_path / "cache" / "programs").glob(f"*/{file}")
    path.unlink() if damage is None else path.write_bytes(damage)
    again = [cached_program(model, core_manifest())[0] for _ in range(2)]
    assert [p.files() for p in again] == [first.files()] * 2
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_written_hurts_nobody(
    model: DecoderModel, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        cached_program(model, core_manifest())
    assert len(compiled) == 2
