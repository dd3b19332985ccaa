"""Contents of a cascade file before they are understood; reads YAML with line numbers and all problems at once."""

from dataclasses import dataclass, field

import yaml

from einloom.spec.errors import Problem

YamlNode = yaml.Node


@dataclass(frozen=True)
class RawEinsum:
    """One Einsum as text; `reduce` maps rank variables to operators, with '' for all that are not named."""

    text: str
    line: int | None
    reduce: dict[str, str] = field(default_factory=dict)
    where: str | None = None
    otherwise: str | None = None


@dataclass
class RawCascade:
    """The three sections of a cascade, each entry with its line."""

    declaration: dict[str, tuple[list[str], int]] = field(default_factory=dict)
    sizes: dict[str, tuple[str, int]] = field(default_factory=dict)
    einsums: list[RawEinsum] = field(default_factory=list)


class Reader:
    """Typed access to YAML nodes; what is of the wrong kind becomes a problem and reads as empty."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, message: str, line: int | None, key: str = "") -> None:
        """Note one problem."""
        self.problems.append(Problem(message, key, line))

    @staticmethod
    def line(node: YamlNode | None) -> int:
        """The line of a node in its file, from 1."""
        return node.start_mark.line + 1 if node is not None else 1

    def mapping(self, node: YamlNode | None, key: str, what: str) -> dict[str, tuple[YamlNode, int]]:
        """The entries of a mapping, each with its line."""
        if not isinstance(node, yaml.MappingNode):
            self.add(f"{what} must be a mapping", self.line(node), key)
            return {}
        found: dict[str, tuple[YamlNode, int]] = {}
        for name, value in node.value:
            text = str(name.value)
            if text in found:
                self.add(f"{text!r} stands here twice, first on line {found[text][1]}", self.line(name), key)
            else:
                found[text] = (value, self.line(name))
        return found

    def sequence(self, node: YamlNode, key: str) -> list[YamlNode]:
        """The items of a list."""
        if not isinstance(node, yaml.SequenceNode):
            self.add("must be a list", self.line(node), key)
            return []
        return list(node.value)

    def scalar(self, node: YamlNode, key: str) -> str:
        """The text of a scalar."""
        if not isinstance(node, yaml.ScalarNode):
            self.add("must be a single value", self.line(node), key)
            return ""
        return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)

    def names(self, node: YamlNode, key: str) -> list[str]:
        """A list of names."""
        return [self.scalar(item, key) for item in self.sequence(node, key)]
