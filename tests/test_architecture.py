"""The rooms of the code import only rooms below them: docs/architecture.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = {"spec": 1, "hw": 2, "models": 2, "generators": 3, "mapping": 3, "sim": 4, "fpga": 4, "cli": 5}
"""A room imports itself and rooms on floors below its own. `cli` stands for all of `einloom/` but the links."""
LINKS = ("examples", *sorted(FLOOR.keys() - {"cli"}))


def room_of(module: str) -> str:
    """The room of a module of ours."""
    second = module.split(".")[1] if "." in module else ""
    return second if second in FLOOR else "cli"


def files(room: str) -> Iterator[Path]:
    """The Python files of a room."""
    if room != "cli":
        yield from (ROOT / room).rglob("*.py")
        return
    for path in (ROOT / "einloom").rglob("*.py"):
        if path.relative_to(ROOT / "einloom").parts[0] not in LINKS:
            yield path


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, anywhere in its text."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.split(".")[0] == "einloom")


@pytest.mark.parametrize("room", FLOOR)
def test_no_import_runs_upward(room: str) -> None:
    for path in files(room):
        for module in imported(path):
            other = room_of(module)
            assert other == room or FLOOR[other] < FLOOR[room], f"{path.relative_to(ROOT)} imports {module}"


def test_mapping_knows_hardware_through_the_manifest_alone() -> None:
    for path in files("mapping"):
        assert all(room_of(module) != "hw" for module in imported(path)), path


def test_commands_call_nothing_but_the_api() -> None:
    """A command may import what the package itself has, and the vocabulary."""
    for path in (ROOT / "einloom" / "cli").glob("*.py"):
        for module in imported(path):
            assert room_of(module) in {"cli", "spec"}, f"{path.name} imports {module}"


@pytest.mark.parametrize("room", ["mapping", "hw", "models", "sim", "fpga"])
def test_folders_of_a_room_import_each_other_in_one_direction(room: str) -> None:
    arrows: dict[str, set[str]] = {}
    for path in files(room):
        inside = path.relative_to(ROOT / room).parts
        here = inside[0] if len(inside) > 1 else ""
        for module in imported(path):
            parts = module.split(".")
            if parts[1] == room and here and len(parts) > 2 and (ROOT / room / parts[2]).is_dir() and parts[2] != here:
                arrows.setdefault(here, set()).add(parts[2])
    assert not list(circles(arrows))


def circles(arrows: dict[str, set[str]]) -> Iterator[list[str]]:
    """The circles of a graph, each as a path that comes back to its first folder."""

    def walk(path: list[str]) -> Iterator[list[str]]:
        for after in sorted(arrows.get(path[-1], ())):
            if after == path[0]:
                yield [*path, after]
            elif after not in path:
                yield from walk([*path, after])

    for start in sorted(arrows):
        yield from walk([start])


def test_every_room_is_a_link_in_the_package() -> None:
    for name in LINKS:
        link = ROOT / "einloom" / name
        assert link.is_symlink(), name
        assert link.resolve() == ROOT / name
