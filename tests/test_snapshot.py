"""Every shipped config generates the Verilog and the manifest that are recorded."""

import re

import pytest

from einloom.catalogue import shipped_configs
from tests.cores import FLAGSHIPS
from tests.marks import slow
from tests.snapshot import differences, modules, recorded, shape, snapshot_of

ALIKE = ("bitmod-decode", "core-2ch", "core-4ch", "lut-w2", "lut-w4", *FLAGSHIPS)
"""Configs that differ from others in sizes and formats, or take long; `python -m tests.snapshot` has all."""


@pytest.mark.parametrize("name", [slow(name) if name in ALIKE else name for name in shipped_configs()])
def test_a_shipped_config_generates_what_is_recorded(name: str) -> None:
    changed = differences(recorded()[name], snapshot_of(name))
    assert not changed, "\n".join([*changed, "if this is meant: python -m tests.snapshot --write"])


def test_no_config_is_recorded_that_is_not_shipped() -> None:
    assert recorded().keys() == shipped_configs().keys()


TEXT = "module pe(a, o);\n  input a;\n  wire [3:0] \\b[0] ;\n  assign o = a ? 4'hb : \\b[0] ;\nendmodule"


def test_a_renamed_module_keeps_its_shape() -> None:
    renamed = re.sub(r"\ba\b", "first", TEXT.replace("\\b[0] ", "\\c.d "))
    assert renamed != TEXT
    assert shape(renamed) == shape(TEXT)


@pytest.mark.parametrize("change", [("4'hb", "4'ha"), ("[3:0]", "[2:0]"), ("a ?", "o ?"), ("input", "output")])
def test_any_other_change_has_another_shape(change: tuple[str, str]) -> None:
    assert shape(TEXT.replace(*change)) != shape(TEXT)


def test_modules_are_found_by_their_names() -> None:
    assert [name for name, _ in modules(f"// header\n{TEXT}\n{TEXT.replace('pe', 'pe_2')}\n")] == ["pe", "pe_2"]
