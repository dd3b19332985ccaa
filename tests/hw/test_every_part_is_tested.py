"""Every part of hw/ is used by a test of its own, or by a proof."""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import einloom.hw
from einloom.hw.part import Part

HERE = Path(__file__).parent
ROOMS = (HERE, HERE.parent / "formal")


def parts() -> Iterator[type[Part]]:
    """All classes of parts that a module of hw/ defines."""
    root = Path(einloom.hw.__file__).parent
    for path in sorted(root.rglob("*.py")):
        name = ".".join(("einloom", "hw", *path.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
        module = importlib.import_module(name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Part) and value.__module__ == name and value is not Part:
                yield value


@cache
def imported() -> set[tuple[str, str]]:
    """(module, name) of all that the tests of parts import and use."""
    found = set()
    for room in ROOMS:
        for path in room.rglob("*.py"):
            tree = ast.parse(path.read_text())
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module:
                    found |= {(node.module, alias.name) for alias in node.names if alias.name in used}
    return found


@pytest.mark.parametrize(
    "part", list(parts()), ids=lambda part: f"{part.__module__.removeprefix('einloom.hw.')}.{part.__name__}"
)
def test_a_part_is_tested_by_itself(part: type[Part]) -> None:
    assert (part.__module__, part.__name__) in imported(), "no file of tests/hw or tests/formal uses it"
