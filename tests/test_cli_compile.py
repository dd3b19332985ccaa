"""`einloom compile` as a user calls it."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from einloom.cli.main import make_app
from einloom.generators.registry import describe
from einloom.spec.errors import InputError
from einloom.spec.instruction import assemble
from einloom.spec.program import load_program
from tests.cores import core_config
from tests.tiny_llama import write_tiny_llama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("models") / "tiny", head_dim=32, num_hidden_layers=1)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(core_config(memory={"channels": 2}).model_dump(mode="json")))
    return path


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(make_app(), ["compile", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_json_says_what_was_written(model: Path, config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    told = json.loads(call(model, "-c", config, "-o", folder, "--json").stdout)
    assert {"program", "image", "listing", "report"} <= told.keys()
    assert {Path(told[name]).name for name in ("program", "image", "listing", "report")} < {
        path.name for path in folder.iterdir()
    }
    program = load_program(folder, describe(core_config(memory={"channels": 2})))
    assert told["digest"] == program.digest
    assert told["instructions"] == len(program.instructions)
    assert told["program_bytes"] == Path(told["program"]).stat().st_size == 32 * told["instructions"]
    assert told["image_bytes"] == program.image_bytes
    assert told["weight_beats"] == [w.size // 32 for w in program.weights]
    assert len(told["weight_beats"]) == 2
    assert told["context"] == 32
    assert told["chunk_tokens"] == 4
    assert told["bits_per_weight"] > 8
    assert told["memories"]["vector memory"] == {"used": program.memories[0].used, "words": 8192}
    lines = [line for line in Path(told["listing"]).read_text().splitlines() if not line.startswith("#")]
    assert tuple(assemble(line) for line in lines) == program.instructions


def test_a_table_for_people(model: Path, config: Path, tmp_path: Path) -> None:
    told = call(model, "-c", config, "-o", tmp_path / "out").stdout
    for words in ("Compiled", "instructions", "program bytes", "weight beats", "vector memory", "of 8,192 words"):
        assert words in told
    report = (tmp_path / "out" / "report.txt").read_text()
    assert re.search(r"^Design small, config SHA-256 [0-9a-f]{64}$", report, re.MULTILINE)


def test_the_same_files_again(model: Path, config: Path, tmp_path: Path) -> None:
    """No time, no path, no order that changes."""
    for name in ("a", "b"):
        call(model, "-c", config, "-o", tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_errors_leave_nothing_behind(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(core_config(core={"lanes": 8, "vector_words": 100}).model_dump(mode="json")))
    for arguments, message in (
        ((model, "-c", small), r"the model does not fit small:\n  core\.vector_words: [\d,]+ words are needed, of 100"),
        ((model, "-c", "fusemax-16x16"), r"config fusemax-16x16 builds an engine, not a core .* sections core .*"),
        ((model, "-c", "bitmod-8x8"), r"config bitmod-8x8 builds an engine, not a core .* sections core .*"),
        ((model, "-c", "defualt"), r"defualt: neither a config file nor a shipped config, did you mean 'default'.*"),
        ((tmp_path / "no", "-c", "default"), r".*: no such model folder"),
    ):
        with pytest.raises(InputError, match=f"^{message}$"):
            call(*arguments, "-o", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_file_in_the_way(model: Path, config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file: cannot be written: "):
        call(model, "-c", config, "-o", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"
