"""Memories of a core whose size is `auto`: as large as a model needs.

Random cores (tests/core_strategies.py) run with such sizes.
"""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from einloom.cli.main import make_app
from einloom.compiled import compile as compile_model
from einloom.designs import generate
from einloom.generators.registry import describe
from einloom.mapping.fit import needed_words
from einloom.memory_sizes import sized
from einloom.spec.config import AUTO, MEMORIES, Config
from einloom.spec.errors import ConfigError, InputError
from tests.core_bed import Shape, core_config, random_program

SIZES = dict.fromkeys(MEMORIES, AUTO)


def auto_config(**sizes: object) -> Config:
    return core_config("auto-core", core={**SIZES, **sizes})


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "auto-core.yaml"
    sections = core_config(attention={"max_head": 64}).model_dump(mode="json")
    path.write_text(yaml.safe_dump(sections | {"name": "auto-core", "core": sections["core"] | SIZES}))
    return path


@pytest.mark.parametrize("shape", [Shape(), Shape(hidden=130, inner=300, heads=6, groups=3, vocab=70)])
def test_a_core_sized_for_a_model_has_what_it_needs_and_little_more(shape: Shape) -> None:
    config = sized(auto_config(), shape.graph())
    needed = needed_words(shape.graph(), describe(config))
    for name, words in config.memory_words().items():
        assert needed[name] <= words < max(2 * needed[name], needed[name] + 512), name
    program = random_program(describe(config), shape)
    assert all(use.used <= use.words for use in program.memories)


def test_sizes_that_are_numbers_stay() -> None:
    config = sized(auto_config(query_words=777), Shape().graph())
    assert config.memory_words()["query_words"] == 777
    assert config.unsized == ()


def test_a_model_that_does_not_fit_otherwise_is_refused_with_the_key() -> None:
    with pytest.raises(InputError, match=r"does not fit auto-core:\n  attention\.max_head: "):
        sized(auto_config(), Shape(head=64).graph())


def test_compile_takes_sizes_from_its_model(config_file: Path) -> None:
    compiled = compile_model("shakespeare-1m", config_file)
    assert compiled.manifest.config.unsized == ()
    assert all(use.used <= use.words for use in compiled.program.memories)


def test_a_design_needs_a_model_for_its_sizes(config_file: Path) -> None:
    with pytest.raises(InputError, match="with --model") as refused:
        generate(config_file)
    assert all(f"core.{name}" in str(refused.value) for name in MEMORIES)


def test_generate_makes_the_core_that_compile_compiles_for(config_file: Path, tmp_path: Path) -> None:
    command = ["generate", str(config_file), "--model", "shakespeare-1m", "-o", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(make_app(), command, catch_exceptions=False)
    manifest = json.loads(Path(json.loads(result.stdout)["manifest"]).read_text())
    assert manifest["digest"] == compile_model("shakespeare-1m", config_file).manifest.digest


def test_a_model_that_is_named_must_fit_a_core_with_sizes_of_its_own() -> None:
    with pytest.raises(InputError, match=r"core\.vector_words: [\d,]+ words are needed, of 64"):
        generate(core_config(attention={"max_head": 64}, core={"vector_words": 64}), model="shakespeare-1m")


@pytest.mark.parametrize("value", [0, 65537, "many", True, 1.5, None])
def test_other_sizes_are_refused_with_the_key(value: object) -> None:
    with pytest.raises(ConfigError, match=r"core\.query_words: must be a number of words from 1 to 65,536, or auto"):
        auto_config(query_words=value)
