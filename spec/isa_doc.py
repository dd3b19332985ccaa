"""The tables of docs/isa.md, from the ones that the hardware and the compiler are made of.

    python -m einloom.spec.isa_doc docs/isa.md

writes them anew between their marks, `<!-- table: NAME -->` and `<!-- end -->`, and leaves the text around them.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from einloom.spec.core_registers import core_registers
from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.isa import (
    HEADER,
    INSTRUCTION_BITS,
    OPCODES,
    Condition,
    CoreError,
    Elements,
    Field,
    Meaning,
    Opcode,
    Operand,
    Rows,
    Space,
    Unit,
    VectorOp,
)
from einloom.spec.memory_ports import memory_ports
from einloom.spec.suggest import did_you_mean

MARKED = re.compile(r"(?<=<!-- table: )(?P<name>[\w-]+)(?P<open> -->\n).*?(?=<!-- end -->)", re.DOTALL)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def meanings(names: type[Meaning]) -> str:
    """The numbers of an enumeration."""
    return table(("number", "name", "meaning"), [(m.value, f"`{m.name.lower()}`", m.meaning) for m in names])


def opcodes() -> str:
    """All instructions, with what they do."""
    rows = [(o.code, f"`{o.name}`", f"`{o.unit.name.lower()}`", o.meaning) for o in OPCODES]
    return table(("opcode", "instruction", "unit", "meaning"), rows)


def header() -> str:
    """The fields that all instructions share."""
    return _fields(HEADER, 0)


def operands() -> str:
    """The fields of each instruction behind the header, under a heading of its own."""
    start = sum(f.bits for f in HEADER)
    return "\n".join(f"### {_title(o)}\n\n{_fields(o.fields, start)}" for o in OPCODES if o.fields)


def registers() -> str:
    """The register map of a core with one weight channel."""
    rows = [
        (f"`{r.offset:#05x}`", f"`{r.name}`", r.bits, r.access, r.description) for r in core_registers(memory_ports(1))
    ]
    return table(("offset", "register", "bits", "access", "meaning"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "units": partial(meanings, Unit),
    "header": header,
    "opcodes": opcodes,
    "operands": operands,
    "conditions": partial(meanings, Condition),
    "vector-operations": partial(meanings, VectorOp),
    "vector-operands": partial(meanings, Operand),
    "spaces": partial(meanings, Space),
    "rows": partial(meanings, Rows),
    "elements": partial(meanings, Elements),
    "errors": partial(meanings, CoreError),
    "registers": registers,
}


def rendered(text: str) -> str:
    """`text` with all its tables as they are now; InputError when a mark names none."""

    def fill(mark: re.Match[str]) -> str:
        name = mark["name"]
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}{did_you_mean(name, TABLES)}")
        return f"{name}{mark['open']}\n{TABLES[name]()}\n"

    return MARKED.sub(fill, text)


def _title(opcode: Opcode) -> str:
    used = sum(f.bits for f in (*HEADER, *opcode.fields))
    return f"`{opcode.name}`: {used} of {INSTRUCTION_BITS} bits"


def _fields(fields: Iterable[Field], start: int) -> str:
    """Fields that follow one another from bit `start` on."""
    rows = []
    for field in fields:
        end = start + field.bits - 1
        rows.append((f"{end}:{start}" if field.bits > 1 else start, f"`{field.name}`", field.bits, field.meaning))
        start += field.bits
    return table(("bits", "field", "width", "meaning"), rows)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        write_file(path, rendered(path.read_text()).encode())
