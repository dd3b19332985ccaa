"""A graph of operators from a YAML file (docs/allocation.md)."""

import json
import re
from pathlib import Path

import yaml

from einloom.mapping.allocation.graph import Operator, OperatorGraph
from einloom.mapping.cascade.raw import Reader, YamlNode
from einloom.spec import yaml_text
from einloom.spec.errors import ConfigError, Problem
from einloom.spec.files import read_text
from einloom.spec.suggest import did_you_mean

SECTIONS = ("name", "tensors", "operators", "outputs")
KEYS = ("reads", "writes")
PLAIN = re.compile(r"[A-Za-z_][\w. -]*")
"""Names that need no quotes, unless they are WORDS."""
WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
"""What YAML reads as something else than a name."""
LARGEST_TENSOR = 1 << 40
"""Words: sums of many stay exact in the solver's doubles."""


def load_graph(path: Path) -> OperatorGraph:
    """The graph in the file at `path`; InputError when it can't be read, ConfigError with all that is wrong with it."""
    return parse_graph(read_text(path), path, path.stem)


def parse_graph(text: str, file: Path | str = "graph", name: str = "graph") -> OperatorGraph:
    """The graph in `text`; ConfigError with all that is wrong with it, by line and key."""
    try:
        node = yaml_text.compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(file, [Problem(f"is no YAML: {error.problem}", line=line)]) from error
    except yaml.YAMLError as error:
        raise ConfigError(file, [Problem(f"is no YAML: {error}")]) from error
    parser = _Parser()
    graph = parser.graph(node, name)
    if parser.problems:
        raise ConfigError(file, sorted(parser.problems, key=lambda problem: problem.line or 0))
    return graph


class _Parser(Reader):
    """Reads the sections and holds them against each other."""

    def graph(self, node: YamlNode | None, name: str) -> OperatorGraph:
        """The graph; what is wrong with it becomes problems."""
        top = self.mapping(node, "", "the file")
        for key, (_, line) in top.items():
            if key not in SECTIONS:
                self.add(f"unknown key{did_you_mean(key, SECTIONS)}", line, key)
        for key in ("tensors", "operators"):
            if node is not None and isinstance(node, yaml.MappingNode) and key not in top:
                self.add("is missing", 1, key)
        self._lines: dict[str, int] = {}
        sizes = self._tensors(top["tensors"][0]) if "tensors" in top else {}
        operators = self._operators(top["operators"][0], sizes) if "operators" in top else {}
        self._producers(operators)
        read = {tensor for operator in operators.values() for tensor in operator.reads}
        written = {tensor for operator in operators.values() for tensor in operator.writes}
        outputs = self._outputs(top["outputs"][0], sizes, written) if "outputs" in top else written - read
        for tensor in sizes:
            if tensor not in read | outputs:
                why = "no operator reads it and it is no output" if tensor in written else "no operator uses it"
                self.add(why, self._lines[tensor], f"tensors.{tensor}")
        order = self._sorted(operators) if not self.problems else []
        title = self.scalar(top["name"][0], "name") if "name" in top else name
        return OperatorGraph(title, tuple(order), sizes, frozenset(outputs))

    def _tensors(self, node: YamlNode) -> dict[str, int]:
        sizes = {}
        for tensor, (value, line) in self.mapping(node, "tensors", "it").items():
            self._lines[tensor] = line
            text = self.scalar(value, f"tensors.{tensor}").replace("_", "")
            words = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
            if not 0 < words <= LARGEST_TENSOR:
                self.add(f"words must be a number from 1 to {LARGEST_TENSOR:,}", line, f"tensors.{tensor}")
            sizes[tensor] = max(words, 1)
        return sizes

    def _operators(self, node: YamlNode, sizes: dict[str, int]) -> dict[str, Operator]:
        found = {}
        entries = self.mapping(node, "operators", "it")
        if not entries and isinstance(node, yaml.MappingNode):
            self.add("there is no operator", self.line(node), "operators")
        for name, (value, line) in entries.items():
            place = f"operators.{name}"
            self._lines[place] = line
            parts = self.mapping(value, place, "an operator")
            for key, (_, at) in parts.items():
                if key not in KEYS:
                    self.add(f"unknown key{did_you_mean(key, KEYS)}", at, f"{place}.{key}")
            names = {key: self._names(parts[key][0], f"{place}.{key}", sizes) if key in parts else () for key in KEYS}
            if not names["writes"] and parts:
                self.add("an operator writes at least one tensor", line, f"{place}.writes")
            for tensor in set(names["reads"]) & set(names["writes"]):
                self.add(f"{tensor!r} is read and written: what it writes needs a name of its own", line, place)
            found[name] = Operator(name, names["reads"], names["writes"])
        return found

    def _names(self, node: YamlNode, key: str, sizes: dict[str, int]) -> tuple[str, ...]:
        names = self.names(node, key)
        for n, name in enumerate(names):
            if name not in sizes:
                self.add(f"{name!r} is no tensor{did_you_mean(name, sizes)}", self.line(node), key)
            elif name in names[:n]:
                self.add(f"{name!r} stands here twice", self.line(node), key)
        return tuple(names)

    def _outputs(self, node: YamlNode, sizes: dict[str, int], written: set[str]) -> set[str]:
        names = self._names(node, "outputs", sizes)
        for name in names:
            if name in sizes and name not in written:
                self.add(f"{name!r} is written by no operator", self.line(node), "outputs")
        return set(names)

    def _producers(self, operators: dict[str, Operator]) -> None:
        """Each tensor has one producer."""
        first: dict[str, str] = {}
        for name, operator in operators.items():
            for tensor in operator.writes:
                if tensor in first and first[tensor] != name:
                    place = f"operators.{name}"
                    self.add(f"{tensor!r} is written by {first[tensor]!r} already", self._lines[place], place)
                first.setdefault(tensor, name)

    def _sorted(self, operators: dict[str, Operator]) -> list[Operator]:
        """Operators so that each comes after those whose results it reads, and else as they stand in the file."""
        producer = {tensor: name for name, operator in operators.items() for tensor in operator.writes}
        waiting, order, done = dict(operators), list[Operator](), set[str]()
        while waiting:
            ready = [
                operator
                for operator in waiting.values()
                if all(producer.get(tensor) in done | {None} for tensor in operator.reads)
            ]
            if not ready:
                name = next(iter(waiting))
                self.add(
                    f"these operators wait for each other: {', '.join(waiting)}"[:200],
                    self._lines[f"operators.{name}"],
                    f"operators.{name}",
                )
                return []
            order.append(ready[0])
            done.add(ready[0].name)
            del waiting[ready[0].name]
        return order


def graph_text(graph: OperatorGraph) -> str:
    """The graph as such a file."""
    lines = [f"name: {_quoted(graph.name)}", "tensors:"]
    lines += [f"  {_quoted(tensor)}: {words}" for tensor, words in graph.sizes.items()]
    lines.append("operators:")
    for operator in graph.operators:
        reads, writes = (", ".join(map(_quoted, names)) for names in (operator.reads, operator.writes))
        lines.append(f"  {_quoted(operator.name)}: {{reads: [{reads}], writes: [{writes}]}}")
    lines.append(f"outputs: [{', '.join(map(_quoted, sorted(graph.outputs)))}]")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    plain = PLAIN.fullmatch(name) and not name.endswith(" ") and name.lower() not in WORDS
    return name if plain else json.dumps(name)
