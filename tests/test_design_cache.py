"""generators/cached_designs.py: what was generated is found again, and only that."""

import re
from pathlib import Path

import pytest

from einloom.generators import cached_designs as cached
from einloom.generators import registry
from einloom.generators.cached_designs import cached_designs
from einloom.generators.design import Design
from einloom.sim.strategies import make_config
from einloom.spec.config import Config

CONFIG = make_config({"kind": "int_mac", "rows": 1, "columns": 1, "lanes": 1})


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EINLOOM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the configs that were really generated."""
    names: list[str] = []

    def count(config: Config) -> list[Design]:
        names.append(config.name)
        return generate(config)

    generate = registry.generate_all
    monkeypatch.setattr(registry, "generate_all", count)
    return names


def test_a_design_is_generated_once(generated: list[str]) -> None:
    first, second = cached_designs(CONFIG), cached_designs(CONFIG)
    assert first == second
    assert generated == ["drawn"]


def test_another_key_is_another_design(generated: list[str]) -> None:
    wider = make_config({"kind": "int_mac", "rows": 1, "columns": 2, "lanes": 1})
    assert cached_designs(CONFIG) != cached_designs(wider)
    assert len(generated) == 2


def test_other_code_makes_another_design(generated: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cached_designs(CONFIG)
    monkeypatch.setattr(cached, "design_code", lambda: ("changed",))
    cached_designs(CONFIG)
    assert len(generated) == 2


@pytest.mark.parametrize("damage", [b"", b"not gzip", "cut", "manifest"])
def test_a_damaged_entry_is_made_anew(generated: list[str], tmp_path: Path, damage: bytes | str) -> None:
    whole = cached_designs(CONFIG)
    (entry,) = (tmp_path / "cache" / "designs").iterdir()
    raw = entry.read_bytes()
    if isinstance(damage, bytes):
        entry.write_bytes(damage)
    elif damage == "cut":
        entry.write_bytes(raw[: len(raw) // 2])
    else:
        import gzip

        entry.write_bytes(gzip.compress(re.sub(rb'"version": \d+', b'"version": 0', gzip.decompress(raw))))
    assert cached_designs(CONFIG) == whole
    assert len(generated) == 2


def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    assert cached_designs(CONFIG)
