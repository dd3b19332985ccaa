"""Text of one Einsum to its parts: `OUTPUT[...] = [reduce(ranks)] expression [where condition [else value]]`."""

import re
from dataclasses import dataclass
from math import inf

from einloom.mapping.cascade.expression import Access, Binary, Call, Expression, Name, Number, Unary
from einloom.mapping.cascade.operators import COMPARISONS, FUNCTIONS, REDUCERS
from einloom.spec.errors import InputError
from einloom.spec.suggest import did_you_mean

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(\*\*|//|<=|>=|==|!=|[-+*/%<>=()\[\],]))")
WORDS = {"and", "or", "not", "where", "else"}
BINDING = [{"or"}, {"and"}, COMPARISONS, {"+", "-"}, {"*", "/", "//", "%"}]
"""Infix operators from the loosest to the tightest; `**`, which binds tighter than a sign, stands apart."""


class SyntaxProblem(InputError):
    """A text that is no Einsum."""


@dataclass(frozen=True)
class Reduction:
    """A reduce operator and the rank variables that it reduces."""

    operator: str
    variables: tuple[str, ...]


@dataclass(frozen=True)
class ParsedEinsum:
    """An Einsum as written: bare names are not resolved yet, and sums that go without saying are not added."""

    output: Access
    value: Expression
    reductions: tuple[Reduction, ...]
    condition: Expression | None
    otherwise: Expression | None


def parse_einsum(text: str) -> ParsedEinsum:
    """The Einsum in `text`; SyntaxProblem says where and why it is none."""
    parser = _Parser(text)
    output = parser.output()
    parser.expect("=", "after the output")
    reductions = parser.reductions()
    value = parser.expression()
    condition = parser.expression() if parser.accept("where") else None
    if condition is None and parser.peek == "else":
        raise SyntaxProblem("'else' without 'where'")
    otherwise = parser.expression() if parser.accept("else") else None
    parser.end()
    return ParsedEinsum(output, value, reductions, condition, otherwise)


def parse_expression(text: str) -> Expression:
    """The expression in `text`, alone."""
    parser = _Parser(text)
    expression = parser.expression()
    parser.end()
    return expression


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = TOKEN.match(stripped, at)
        if match is None:
            rest = stripped[at:].lstrip()
            raise SyntaxProblem(f"{rest[0]!r} in column {stripped.index(rest[0], at) + 1} means nothing here")
        found.append(match.group().strip())
        at = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens of one line."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    @property
    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek
        self.at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.peek != token:
            return False
        self.at += 1
        return True

    def expect(self, token: str, where: str) -> None:
        if not self.accept(token):
            raise SyntaxProblem(f"expected {token!r} {where}, found {self._found()}")

    def end(self) -> None:
        if self.peek:
            raise SyntaxProblem(f"{self.peek!r} follows where the Einsum should end")

    def _found(self) -> str:
        return repr(self.peek) if self.peek else "the end"

    def _name(self) -> str:
        if not re.match(r"[A-Za-z_]", self.peek) or self.peek in WORDS:
            raise SyntaxProblem(f"expected a name, found {self._found()}")
        return self.take()

    def output(self) -> Access:
        name = self._name()
        return Access(name, self._indices() if self.peek == "[" else ())

    def _indices(self) -> tuple[Expression, ...]:
        self.expect("[", "before the indices")
        indices: list[Expression] = []
        while not self.accept("]"):
            if indices:
                self.expect(",", "or ']' between indices")
            indices.append(self.expression())
        return tuple(indices)

    def reductions(self) -> tuple[Reduction, ...]:
        found = []
        while (reduction := self._reduction()) is not None:
            found.append(reduction)
        return tuple(found)

    def _reduction(self) -> Reduction | None:
        """`op(m, n)` before a value; max(m, n) with an operator or nothing after it is a map of two coordinates."""
        start = self.at
        operator = self.peek
        if self.tokens[start + 1 : start + 2] != ["("] or (operator in FUNCTIONS and operator not in REDUCERS):
            return None
        close = self.tokens.index(")", start) if ")" in self.tokens[start:] else start + 1
        names = self.tokens[start + 2 : close : 2]
        commas = self.tokens[start + 3 : close : 2]
        after = self.tokens[close + 1] if close + 1 < len(self.tokens) else ""
        plain = bool(names) and all(re.fullmatch(r"[a-z]\w*", name) for name in names) and set(commas) <= {","}
        starts = bool(re.match(r"[\w(.]", after)) and after not in WORDS - {"not"}
        if not plain or not (starts or (after == "-" and (len(names) == 1 or operator not in FUNCTIONS))):
            return None
        if operator not in REDUCERS:
            if not re.fullmatch(r"[A-Za-z_]\w*", operator):
                return None
            near = did_you_mean(operator, REDUCERS)
            raise SyntaxProblem(f"no reduce operator {operator!r}{near}; there are {', '.join(REDUCERS)}")
        self.at = close + 1
        return Reduction(operator, tuple(names))

    def expression(self, level: int = 0) -> Expression:
        if level == len(BINDING):
            return self._signed()
        if level == 2 and self.accept("not"):
            return Unary("not", self.expression(level))
        left = self.expression(level + 1)
        while self.peek in BINDING[level]:
            left = Binary(self.take(), left, self.expression(level + 1))
        return left

    def _signed(self) -> Expression:
        if self.accept("-"):
            operand = self._signed()
            return Number(-operand.value) if isinstance(operand, Number) else Unary("-", operand)
        base = self._atom()
        return Binary("**", base, self._signed()) if self.accept("**") else base

    def _atom(self) -> Expression:
        if self.accept("("):
            inner = self.expression()
            self.expect(")", "to close the bracket")
            return inner
        if re.match(r"[\d.]", self.peek):
            return Number(float(self.take()))
        name = self._name()
        if self.peek == "[":
            return Access(name, self._indices())
        if self.accept("("):
            return self._call(name)
        return Number(inf) if name == "inf" else Name(name)

    def _call(self, name: str) -> Expression:
        arguments: list[Expression] = []
        while not self.accept(")"):
            if arguments:
                self.expect(",", "or ')' between operands")
            arguments.append(self.expression())
        if name in REDUCERS and name not in FUNCTIONS or (name in REDUCERS and len(arguments) == 1):
            raise SyntaxProblem(
                f"{name}({', '.join(map(str, arguments))}) reduces, so it must come first, before a value"
            )
        if name not in FUNCTIONS:
            raise SyntaxProblem(f"no map operator {name!r}{did_you_mean(name, FUNCTIONS)}")
        function = FUNCTIONS[name]
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            needs = f"{function.least}" if function.least == function.most else f"at least {function.least}"
            raise SyntaxProblem(f"{name} takes {needs} operand(s), not {len(arguments)}")
        return Call(name, tuple(arguments))
