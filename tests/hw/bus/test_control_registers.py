"""The control registers in Verilog, driven as the host does; and what a table may be."""

from pathlib import Path

import pytest

from einloom.hw.bus.control_registers import ControlRegisters
from einloom.spec.registers import Register, check_table, lay_out
from tests.bus.build import build_part, run_tests

TABLE = lay_out([
    ("program", 64, "rw", "byte address of the program"),
    ("position", 12, "rw", "of the first token"),
    ("flag", 1, "rw", "a bit"),
    ("error", 7, "ro", "why the last job ended early"),
    ("cycles", 64, "ro", "since the start"),
    ("wide", 40, "rw", "a partial second word"),
])


def test_control_registers(tmp_path: Path) -> None:
    settings = {"table": [register.model_dump() for register in TABLE], "address_bits": 9}
    executable = build_part(ControlRegisters(TABLE, address_bits=9), "control_registers")
    run_tests(executable, tmp_path, "cocotb_control_registers", settings)


def test_arguments_lie_where_vitis_puts_them() -> None:
    assert [(r.name, r.offset) for r in TABLE] == [
        ("program", 0x10),
        ("position", 0x1C),
        ("flag", 0x24),
        ("error", 0x2C),
        ("cycles", 0x34),
        ("wide", 0x40),
    ]


def _register(name: str = "a", offset: int = 0x10, bits: int = 32) -> Register:
    return Register(name=name, offset=offset, bits=bits, access="rw", description="")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([_register("A")], r"^register 'A': a name must be lower case, digits and underscores$"),
        ([_register(), _register(offset=0x20)], r"^register a: the name is taken$"),
        ([_register(bits=65)], r"^register a: bits must be 1 to 64, not 65$"),
        ([_register(offset=0xC)], r"^register a: the offset must be a multiple of 4 from 0x10 on, not 0xc$"),
        ([_register(offset=0x12)], r"^register a: the offset must be a multiple of 4 from 0x10 on, not 0x12$"),
        ([_register(bits=64), _register("b", 0x14)], r"^register b: 0x14 is taken by a$"),
    ],
)
def test_tables_that_cannot_be_are_refused(table: list[Register], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_table(table)


def test_registers_beyond_the_bus_or_named_like_a_port_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^register a: it ends at 0x204, beyond 9 address bits$"):
        ControlRegisters((_register(offset=0x200),), address_bits=9)
    with pytest.raises(ValueError, match=r"^register ap_idle: the name is one of the slave's own ports$"):
        ControlRegisters((_register("ap_idle"),))
