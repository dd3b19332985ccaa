"""spec/isa.py and spec/isa_doc.py: encoding, listings, their errors, and the document made of them."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.spec.errors import InputError
from einloom.spec.instruction import Instruction, assemble, decode, float_bits
from einloom.spec.isa import (
    BY_NAME,
    HEADER,
    INSTRUCTION_BITS,
    INSTRUCTION_BYTES,
    OPCODES,
    UNITS,
    CoreError,
    Field,
    Opcode,
    Unit,
    VectorOp,
)
from einloom.spec.isa_doc import TABLES, rendered
from tests.properties import given

DOCUMENT = Path(__file__).parent.parent / "docs" / "isa.md"


def values(opcode: Opcode, field: Field) -> st.SearchStrategy[int]:
    """Those that have a meaning."""
    if field.mask:
        partners = [u for u in UNITS if u is not opcode.unit] if opcode.unit is not Unit.CONTROL else []
        return (
            st.sets(st.sampled_from(partners)).map(lambda units: sum(1 << u for u in units)) if partners else st.just(0)
        )
    return st.sampled_from(list(field.names)) if field.names else st.integers(0, (1 << field.bits) - 1)


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """Any one."""
    opcode = draw(st.sampled_from(OPCODES))
    fields = {f.name: draw(values(opcode, f)) for f in (*HEADER[1:], *opcode.fields)}
    return Instruction.make(opcode.name, **fields)


@given(instructions())
def test_encoding_and_listing_lose_nothing(instruction: Instruction) -> None:
    raw = instruction.encode()
    assert len(raw) == INSTRUCTION_BYTES
    assert decode(raw) == instruction
    assert assemble(str(instruction)) == instruction
    assert assemble(f"  {instruction}   # 17") == instruction


@pytest.mark.parametrize("opcode", OPCODES, ids=lambda o: o.name)
def test_each_field_has_its_bits(opcode: Opcode) -> None:
    start = 0
    for field in (*HEADER, *opcode.fields):
        if field.name != "opcode":
            ones = Instruction.make(opcode.name, **{field.name: (1 << field.bits) - 1})
            word = int.from_bytes(ones.encode(), "little")
            assert word == opcode.code | ((1 << field.bits) - 1) << start, field.name
        start += field.bits
    assert start <= INSTRUCTION_BITS


def test_the_encoding_is_the_one_that_is_published() -> None:
    line = "vector wait=gemm+load signal=store op=sum x=vector outer=2 inner=300 a_base=513 a_inner=1 immediate=-1.5"
    assert assemble(line).encode().hex() == "0400244019000196081000008000000000000000000000000000000000f02f00"


@given(st.binary(min_size=INSTRUCTION_BYTES, max_size=INSTRUCTION_BYTES), st.sampled_from(OPCODES))
def test_any_bytes_are_an_instruction_or_refused(raw: bytes, opcode: Opcode) -> None:
    raw = bytes([opcode.code]) + raw[1:]
    message = None
    try:
        assert decode(raw).encode() == raw
    except InputError as error:
        message = str(error)
    assert message is None or message.startswith(opcode.name)


@given(st.floats(width=32, allow_nan=False) | st.integers(0, (1 << 32) - 1))
def test_immediates_read_as_what_the_operation_takes(number: float | int) -> None:
    bits = number if isinstance(number, int) else float_bits(number)
    for op in VectorOp:
        instruction = Instruction.make("vector", op=op, x=2, immediate=bits)
        assert assemble(str(instruction))["immediate"] == bits


def test_a_listing_is_for_people() -> None:
    floats = assemble(f"vector op=mad x=immediate immediate={float_bits(0.1)}")
    assert str(floats) == "vector op=mad x=immediate immediate=0.1"
    assert str(assemble("vector op=isub x=immediate immediate=0x7ef311c7")).endswith("immediate=0x7ef311c7")
    assert str(assemble("vector op=shr x=immediate immediate=1")).endswith("immediate=1")
    assert str(assemble("vector op=max x=immediate immediate=0")).endswith("immediate=0.0")
    assert str(assemble("vector")) == "vector op=mad"
    assert str(assemble("attend condition=1 wait=0x28")) == "attend condition=token_present wait=vector+load"
    assert assemble("load rows=tokens") == assemble("load rows=2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "an empty line is no instruction"),
        ("# 3", "an empty line is no instruction"),
        ("vektor op=sum", "there is no instruction 'vektor', did you mean 'vector'?"),
        ("gemm tile=3", "gemm has no field 'tile', did you mean 'tiles'?"),
        ("gemm opcode=3", "gemm has no field 'opcode'"),
        ("gemm tiles", "gemm: 'tiles' is not a field with a value, or its second"),
        ("gemm tiles=1 tiles=2", "gemm: 'tiles=2' is not a field with a value, or its second"),
        ("gemm tiles=-1", "gemm: tiles = -1 doesn't fit into 20 bits"),
        ("gemm tiles=1048576", "gemm: tiles = 1048576 doesn't fit into 20 bits"),
        ("gemm tiles=many", "tiles: 'many' is neither a number nor a name"),
        ("gemm tiles=1.5", "tiles: '1.5' is neither a number nor a name"),
        ("vector op=summ", "op: 'summ' is neither a number nor a name, did you mean 'sum'?"),
        ("load rows=all", "rows: 'all' is neither a number nor a name; known: one, positions, tokens"),
        ("load rows=3", "load: rows = 3 has no meaning; it is one of 0 one, 1 positions, 2 tokens"),
        ("load wait=vektor", "wait: 'vektor' is neither a number nor a name, did you mean 'vector'?"),
        ("load wait=load", "load: wait = 0x20 has bits that mean no other unit"),
        ("load signal=0x80", "load: signal = 0x80 has bits that mean no other unit"),
        ("end wait=gemm", "end: wait = 0x4 has bits that mean no other unit"),
        ("vector immediate=1e39", "immediate: '1e39' is neither a number nor a name"),
    ],
)
def test_lines_that_are_no_instruction(line: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        assemble(line)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("word", "size", "message"),
    [
        (0, 31, "an instruction is 32 bytes, not 31"),
        (10, 32, "no instruction has the opcode 10"),
        (63, 32, "no instruction has the opcode 63"),
        (1 << 32, 32, "end has bits set behind its fields"),
        (4 | 12 << 32, 32, r"vector: op = 12 has no meaning; it is one of 0 mad, .*, 11 exchange"),
        (4 | 3 << 6, 32, "vector: condition = 3 has no meaning; it is one of 0 always, 1 token_present, 2 last_chunk"),
        (4 | 8 << 16, 32, "vector: wait = 0x8 has bits that mean no other unit"),
    ],
)
def test_bytes_that_are_no_instruction(word: int, size: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        decode(word.to_bytes(size, "little"))


def test_a_value_can_be_changed_and_only_that() -> None:
    before = assemble("store offset=7 stride=2 words=3 a_base=9")
    after = before.changed(words=4, wait=1 << Unit.VECTOR)
    assert str(after) == "store wait=vector offset=7 stride=2 words=4 a_base=9"
    with pytest.raises(InputError, match=r"^store: words = 4096 doesn't fit into 12 bits$"):
        before.changed(words=1 << 12)


# The document.


def test_the_document_has_the_tables_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert rendered(text) == text, "python -m einloom.spec.isa_doc docs/isa.md"
    assert sorted(re.findall(r"<!-- table: ([\w-]+) -->", text)) == sorted(TABLES)
    for named in (*BY_NAME, *(e.name.lower() for e in (*CoreError, *VectorOp, *Unit))):
        assert f"`{named}`" in text, named


def test_a_table_is_made_anew_and_the_text_around_it_stays() -> None:
    text = "before\n<!-- table: units -->\nold | table\n<!-- end -->\nafter\n"
    made = rendered(text)
    assert made.startswith("before\n<!-- table: units -->\n\n| number | name | meaning |\n")
    assert made.endswith(" |\n\n<!-- end -->\nafter\n")
    assert "old" not in made
    assert rendered(made) == made
    with pytest.raises(InputError, match=r"^there is no table 'unit', did you mean 'units'\?$"):
        rendered(text.replace("units", "unit"))


def test_the_documents_listing_is_of_instructions() -> None:
    (listing,) = re.findall(r"```\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    lines = listing.splitlines()
    assert len(lines) == 12
    for line in lines:
        assert str(assemble(line)) == line


def test_meanings_are_numbers_with_a_text() -> None:
    assert VectorOp(9) is VectorOp.SUM
    assert VectorOp.SUM == 9
    assert VectorOp.SUM.meaning.startswith("sum over")
    assert np.array([1, 2, 3])[Unit.GEMM] == 3
