"""The expressions of an Einsum: what a point of its iteration space computes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from einloom.mapping.cascade.size import Size


@dataclass(frozen=True)
class Number:
    """A literal; `inf` is one."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True)
class Name:
    """A rank variable (lower case), which stands for its coordinate, or the size of a rank (upper case)."""

    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def is_variable(self) -> bool:
        return self.name[0].islower()


@dataclass(frozen=True)
class Access:
    """One element of a tensor."""

    tensor: str
    indices: tuple["Expression", ...]

    def __str__(self) -> str:
        return f"{self.tensor}[{', '.join(map(str, self.indices))}]"


@dataclass(frozen=True)
class Call:
    """A map operator that is written as a function."""

    function: str
    arguments: tuple["Expression", ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class Unary:
    """`-x` or `not x`."""

    operator: str
    operand: "Expression"

    def __str__(self) -> str:
        return f"{self.operator}{' ' if self.operator == 'not' else ''}{self.operand}"


@dataclass(frozen=True)
class Binary:
    """A map operator that is written between its operands."""

    operator: str
    left: "Expression"
    right: "Expression"

    def __str__(self) -> str:
        tight = self.operator in {"*", "/", "**", "//", "%"}
        sides = [f"({side})" if tight and isinstance(side, Binary) else str(side) for side in (self.left, self.right)]
        return f" {self.operator} ".join(sides) if not tight else self.operator.join(sides)


Expression = Number | Name | Access | Call | Unary | Binary


def children(expression: Expression) -> tuple[Expression, ...]:
    """The parts that an expression is made of, one level down."""
    match expression:
        case Access(indices=parts) | Call(arguments=parts):
            return parts
        case Unary(operand=part):
            return (part,)
        case Binary(left=left, right=right):
            return (left, right)
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all its parts, outermost first."""
    yield expression
    for part in children(expression):
        yield from walk(part)


def rebuild(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with `change` made to every part, innermost first."""
    match expression:
        case Access(tensor, indices):
            expression = Access(tensor, tuple(rebuild(part, change) for part in indices))
        case Call(function, arguments):
            expression = Call(function, tuple(rebuild(part, change) for part in arguments))
        case Unary(operator, operand):
            expression = Unary(operator, rebuild(operand, change))
        case Binary(operator, left, right):
            expression = Binary(operator, rebuild(left, change), rebuild(right, change))
    return change(expression)


def variables(expression: Expression) -> list[str]:
    """The rank variables of an expression, each once, in order."""
    names = [part.name for part in walk(expression) if isinstance(part, Name) and part.is_variable]
    return list(dict.fromkeys(names))


def accesses(expression: Expression) -> list[Access]:
    """The tensor elements that an expression reads, those inside an index included."""
    return [part for part in walk(expression) if isinstance(part, Access)]


def operators(expression: Expression) -> list[str]:
    """The map operators outside of indices, each once, in the order in which they are applied."""
    found: list[str] = []

    def visit(part: Expression) -> None:
        if isinstance(part, Access):
            return
        for child in children(part):
            visit(child)
        if isinstance(part, Call):
            found.append(part.function)
        elif isinstance(part, Unary | Binary):
            found.append(part.operator)

    visit(expression)
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Affine:
    """An index as a sum of variables times sizes, plus a constant."""

    factors: dict[str, Size] = field(default_factory=dict)
    constant: Size = field(default_factory=Size)

    def __add__(self, other: "Affine") -> "Affine":
        factors = dict(self.factors)
        for name, factor in other.factors.items():
            factors[name] = factors.get(name, Size()) + factor
        kept = {name: factor for name, factor in factors.items() if factor.terms}
        return Affine(kept, self.constant + other.constant)

    def times(self, size: Size) -> "Affine":
        """The whole form multiplied by a size."""
        return Affine({name: factor * size for name, factor in self.factors.items()}, self.constant * size)


def affine(expression: Expression) -> Affine | None:
    """The expression as an affine form of its variables, or None when it is none."""
    match expression:
        case Number(value) if value.is_integer():
            return Affine(constant=Size.of(int(value)))
        case Name(name):
            return Affine({name: Size.of(1)}) if expression.is_variable else Affine(constant=Size.of(name))
        case Unary("-", operand):
            inner = affine(operand)
            return None if inner is None else inner.times(Size.of(-1))
        case Binary(operator, left, right):
            first, second = affine(left), affine(right)
            if first is None or second is None:
                return None
            if operator in {"+", "-"}:
                return first + (second if operator == "+" else second.times(Size.of(-1)))
            if operator == "*" and not first.factors:
                return second.times(first.constant)
            if operator == "*" and not second.factors:
                return first.times(second.constant)
    return None
