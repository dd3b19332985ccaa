"""YAML from strangers: what PyYAML would follow without end, or fail on with errors of its own, is a YAMLError here."""

from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

DEEPEST = 50  # levels of nesting
LARGEST = 100_000  # values, each alias counted as all that it stands for
LONGEST_INTEGER = 1024  # bits


class _Loader(yaml.SafeLoader):
    """The safe loader with bounds on what it takes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._sizes: dict[yaml.Node, int] = {}
        self._open: list[int] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if len(self._open) == DEEPEST:
            raise ComposerError(None, None, f"more than {DEEPEST} levels of nesting", mark)
        self._open.append(1)
        node = super().compose_node(parent, index)
        size = self._open.pop()
        if node is None:
            return None
        if alias:
            if node not in self._sizes:  # still being read
                raise ComposerError(None, None, "an alias inside what it stands for", mark)
            size = self._sizes[node]
        self._sizes[node] = size
        if self._open:
            self._open[-1] += size
            if self._open[-1] > LARGEST:
                raise ComposerError(None, None, f"more than {LARGEST} values", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError, LookupError, AttributeError) as error:  # a date in month 13, !!bool maybe
            kind = node.tag.split(":")[-1]
            raise ConstructorError(None, None, f"a value that is no {kind}", node.start_mark) from error
        if isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
            raise ConstructorError(None, None, "an integer of too many digits", node.start_mark)
        return value


def compose(text: str) -> yaml.Node | None:
    """The nodes of the one document in `text`, with their lines; YAMLError when it is not such a text."""
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def load(text: str) -> Any:
    """The one document in `text` as dicts, lists and scalars; YAMLError when it is not such a text."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
