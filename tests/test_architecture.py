"""The rooms of the code import only in the direction that docs/architecture.md allows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"einloom", "hw", "generators", "mapping", "sim", "fpga", "tests", "benchmarks", "examples"}
MAY_IMPORT = {
    "einloom": {"einloom"},
    "hw": {"einloom", "hw"},
    "generators": {"einloom", "hw", "generators"},
    "mapping": {"einloom", "mapping"},
    "sim": {"einloom", "hw", "generators", "mapping", "sim"},
    "fpga": {"einloom", "generators", "fpga"},
}


def imported(path: Path) -> set[str]:
    """The rooms that a file imports anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found & ROOMS


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        if path.is_relative_to(ROOT / "einloom" / "cli"):
            continue
        assert imported(path) <= MAY_IMPORT[room], path
