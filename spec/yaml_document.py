"""A YAML file whose mapping a schema checks: its values, the line of each, and what is wrong with it in words."""

import re
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import ErrorDetails

from einloom.spec import yaml_text
from einloom.spec.errors import ConfigError, Problem
from einloom.spec.suggest import did_you_mean

SHORT = reprlib.Repr()
"""Shows a value of the file in an error, cut where it is long."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 100


@dataclass(frozen=True)
class Document:
    """The mapping in a file, or one that came without a file, which has no lines."""

    file: Path | str
    data: dict[str, Any]
    tree: yaml.Node | None = None

    def line(self, location: Iterable[Any]) -> int | None:
        """1-based line of the deepest part of `location` that the file has."""
        node = self.tree
        line = node.start_mark.line + 1 if node is not None else None
        for part in location:
            if isinstance(node, yaml.MappingNode):
                pair = next(((k, v) for k, v in node.value if getattr(k, "value", None) == str(part)), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line

    def duplicates(self) -> Iterator[Problem]:
        """Keys that stand twice in one mapping; YAML would silently keep the last."""
        yield from _duplicates(self.tree, "")

    def explain(self, error: ErrorDetails, location: tuple[Any, ...], known: Iterable[str]) -> Problem:
        """One pydantic error at `location` as a problem with its line; `known` are the keys beside it."""
        key, line = ".".join(map(str, location)), self.line(location)
        if error["type"] == "extra_forbidden":
            names = list(known)
            near = did_you_mean(str(location[-1]), names)
            return Problem(f"unknown key{near or '; known: ' + ', '.join(names)}", key, line)
        if error["type"] == "missing":
            return Problem("is required", key, line)
        near = ""
        if error["type"] in {"enum", "literal_error"} and isinstance(error["input"], str):
            near = did_you_mean(error["input"], re.findall(r"'([^']+)'", error["ctx"]["expected"]))
        shown = "" if error["type"] == "einloom" else f" (given: {SHORT.repr(error['input'])})"
        return Problem(f"{error['msg']}{shown}{near}", key, line)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """ConfigError with all of `problems`, by their lines, if there are any."""
        found = sorted(problems, key=lambda problem: problem.line or 0)
        if found:
            raise ConfigError(self.file, found)


def parse_document(text: str, file: Path | str, keys: str) -> Document:
    """The mapping in `text`; ConfigError when there is none. `keys` says which keys it should have."""
    try:
        tree, data = yaml_text.compose(text), yaml_text.load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "unreadable"
        raise ConfigError(file, [Problem(f"not YAML: {reason}", line=mark.line + 1 if mark else None)]) from error
    if not isinstance(data, dict):
        raise ConfigError(file, [Problem(f"must be a mapping with the keys {keys}")])
    return Document(file, data, tree)


def _duplicates(node: yaml.Node | None, prefix: str) -> Iterator[Problem]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            yield Problem("stands twice", f"{prefix}{key.value}", key.start_mark.line + 1)
        seen.add(key.value)
        yield from _duplicates(value, f"{prefix}{key.value}.")
