"""spec/program.py: a compiled program as files, and files that are none."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from einloom.spec.errors import InputError
from einloom.spec.instruction import assemble
from einloom.spec.isa import INSTRUCTION_BYTES
from einloom.spec.manifest import Manifest
from einloom.spec.program import Program, load_program
from tests.cores import core_manifest
from tests.small_models import compiled, small_llama

FILES = ["program.bin", "program.json", "program.lst", "system.bin", "weights_0.bin", "weights_1.bin"]
READ = [name for name in FILES if name != "program.lst"]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return core_manifest(memory={"channels": 2})


@pytest.fixture(scope="module")
def program(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return compiled(small_llama(tmp_path_factory.mktemp("model"), num_hidden_layers=1), manifest)


@pytest.fixture
def folder(program: Program, tmp_path: Path) -> Path:
    program.write(tmp_path / "program")
    return tmp_path / "program"


def edit(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, and its hash in program.json with it."""
    (folder / name).write_bytes(data)
    head = json.loads((folder / "program.json").read_text())
    head["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / "program.json").write_text(json.dumps(head))


def refusal(folder: Path, manifest: Manifest) -> str:
    """Why it can't be loaded, without the folder's name."""
    with pytest.raises(InputError) as error:
        load_program(folder, manifest)
    return str(error.value).replace(f"{folder}/", "")


def test_what_is_written_is_read(program: Program, manifest: Manifest, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    found = load_program(folder, manifest)
    assert found.instructions == program.instructions
    assert (found.name, found.digest, found.symbols) == (program.name, program.digest, program.symbols)
    assert (found.notes, found.memories, found.pieces) == (program.notes, program.memories, program.pieces)
    assert (found.system == program.system).all()
    assert len(found.weights) == 2
    assert all((a == b).all() for a, b in zip(found.weights, program.weights, strict=True))
    assert found.system.flags.writeable
    assert found.files() == program.files()


def test_the_listing_is_the_program(program: Program) -> None:
    lines = [line for line in program.listing().splitlines() if not line.startswith("#")]
    assert tuple(assemble(line) for line in lines) == program.instructions
    assert [int(line.rpartition("#")[2]) for line in lines] == list(range(len(program.instructions)))
    assert "# model.layers.0: keys and values\nweights " in program.listing()


def test_pieces_cover_the_system_window(program: Program) -> None:
    end = 0
    for piece in program.pieces:
        assert piece.offset == end
        end = piece.offset + -(-piece.size // 32)
    assert end * 32 == program.system.size
    assert {"tokens", "logits", "embedding", "rope", "program"} <= {piece.name for piece in program.pieces}


def test_another_design_is_refused(folder: Path) -> None:
    told = refusal(folder, core_manifest(memory={"channels": 2}, core={"lanes": 8, "fifo_beats": 256}))
    assert told == "program.json: compiled for another design; compile it again for this config"


@pytest.mark.parametrize("name", READ)
def test_missing_files(folder: Path, manifest: Manifest, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder, manifest) == f"{name}: cannot be read: No such file or directory"


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_files(folder: Path, manifest: Manifest, name: str, keep: float) -> None:
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: int(len(raw) * keep)])
    refused = "not a compiled program of einloom: .*" if name == "program.json" else "is not the file that .*"
    assert re.match(f"{name}: {refused}", refusal(folder, manifest))


@pytest.mark.parametrize("name", [name for name in READ if name != "program.json"])
def test_damaged_files(folder: Path, manifest: Manifest, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 3] ^= 4
    (folder / name).write_bytes(raw)
    assert refusal(folder, manifest) == (
        f"{name}: is not the file that program.json was written with: it is damaged, or of another program"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, r"program\.json: version 1, but this einloom reads version 3"),
        ({"extra": 1}, r"program\.json: not a compiled program of einloom: .*extra.*"),
        ({"notes": []}, r"program\.bin: is not 0 instructions long, as program\.json says"),
        ({"sha256": {}}, r"program\.bin: is not the file that program\.json was written with: .*"),
        ({"symbols": None}, r"program\.json: not a compiled program of einloom: .*symbols.*"),
    ],
)
def test_other_heads(folder: Path, manifest: Manifest, change: dict[str, object], message: str) -> None:
    head = json.loads((folder / "program.json").read_text()) | change
    (folder / "program.json").write_text(json.dumps(head))
    assert re.fullmatch(message, refusal(folder, manifest), re.DOTALL)


@pytest.mark.parametrize(
    ("symbol", "value", "message"),
    [
        ("tokens", 1 << 20, "symbols.tokens ends at beat"),
        ("context", 1 << 20, "symbols.tokens ends at beat"),
        ("logits", 1 << 20, "symbols.logits ends at beat"),
        ("cache_beats", 1 << 20, "symbols.cache ends at beat"),
        ("vocab", 1 << 20, "a row of 1048576 logits is longer than symbols.logits_stride, 32"),
        ("program", 0, "symbols.program is not where the image has the instructions of program.bin"),
        ("program", 1 << 31, "symbols.program is not where the image has the instructions of program.bin"),
        ("instructions", 3, "symbols.program is not where the image has the instructions of program.bin"),
        ("logits", -1, "not a compiled program of einloom"),
        ("vocab", 0, "not a compiled program of einloom"),
    ],
)
def test_symbols_must_lie_in_the_image(folder: Path, manifest: Manifest, symbol: str, value: int, message: str) -> None:
    head = json.loads((folder / "program.json").read_text())
    head["symbols"][symbol] = value
    (folder / "program.json").write_text(json.dumps(head))
    assert refusal(folder, manifest).startswith(f"program.json: {message}")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (11, "no instruction has the opcode 11"),
        (4 | 13 << 32, "vector: op = 13 has no meaning; .*"),
        (1 << 40, "end has bits set behind its fields"),
    ],
)
def test_instructions_that_are_none(folder: Path, manifest: Manifest, word: int, message: str) -> None:
    raw = bytearray((folder / "program.bin").read_bytes())
    raw[7 * INSTRUCTION_BYTES : 8 * INSTRUCTION_BYTES] = word.to_bytes(INSTRUCTION_BYTES, "little")
    edit(folder, "program.bin", bytes(raw))
    assert re.fullmatch(rf"program\.bin: instruction 7: {message}", refusal(folder, manifest))


def test_a_program_of_another_length_than_its_notes(folder: Path, manifest: Manifest, program: Program) -> None:
    edit(folder, "program.bin", (folder / "program.bin").read_bytes()[:-INSTRUCTION_BYTES])
    count = len(program.instructions)
    assert refusal(folder, manifest) == f"program.bin: is not {count} instructions long, as program.json says"


def test_an_image_without_the_program(folder: Path, manifest: Manifest, program: Program) -> None:
    edit(folder, "system.bin", program.system[: program.symbols.program * 32].tobytes())
    assert "symbols.program is not where the image has the instructions" in refusal(folder, manifest)


def test_nothing_is_left_where_it_cannot_be_written(program: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file: cannot be written: "):
        program.write(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "in the way"
