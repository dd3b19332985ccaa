"""The config schema: what it accepts, what it says of the rest, and that every knob turns something."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from einloom.catalogue import shipped_configs
from einloom.generators.registry import generate
from einloom.spec.config import Config, parse_config, read_config
from einloom.spec.errors import ConfigError, InputError

BASE: dict[str, Any] = {
    "name": "base",
    "engine": {
        "kind": "bitmod",
        "rows": 2,
        "columns": 4,
        "lanes": 4,
        "formats": ["bitmod-fp4"],
        "group": 128,
        "activations": "int8",
        "max_inputs": 1024,
        "max_tiles": 64,
    },
    "memory": {"channels": 1, "beat_bits": 64},
}
INT_MAC: dict[str, Any] = {
    "name": "base",
    "engine": {"kind": "int_mac", "rows": 2, "columns": 4, "lanes": 4, "max_inputs": 1024, "max_tiles": 64},
    "memory": {"channels": 1, "beat_bits": 64},
}
LUT: dict[str, Any] = {
    "name": "base",
    "engine": {
        "kind": "lut",
        "rows": 2,
        "columns": 4,
        "lanes": 4,
        "table_inputs": 4,
        "table": "remap",
        "entries": "exact",
        "entry_scale": "step",
        "precompute": "row",
        "formats": ["bipolar4"],
        "group": 128,
        "activations": "int8",
        "max_inputs": 1024,
        "max_tiles": 64,
    },
    "memory": {"channels": 1, "beat_bits": 64},
}
LUT_KNOBS: dict[str, list[Any]] = {
    "engine.lanes": [2, 32],
    "engine.table_inputs": [1, 2, 3],
    "engine.table": ["full", "half"],
    "engine.entries": ["int8"],
    "engine.formats": [["bipolar1"], ["ternary"], ["int4"], ["bipolar4", "int2"]],
    "engine.group": [32, 64, "channel"],
    "engine.activations": ["fp16"],
    "engine.max_inputs": [2048],
}
ROUNDED = {**LUT, "engine": {**LUT["engine"], "entries": "int8"}}
ROUNDED_KNOBS: dict[str, list[Any]] = {"engine.entry_scale": ["table"]}
FUSEMAX: dict[str, Any] = {
    "name": "base",
    "engine": {
        "kind": "fusemax",
        "rows": 2,
        "columns": 4,
        "input_bits": 8,
        "max_head": 64,
        "max_keys": 1024,
        "quotient_bits": 2,
        "spans": 1,
        "exponentials": "parallel",
    },
}
FUSEMAX_KNOBS: dict[str, list[Any]] = {
    "name": ["other"],
    "engine.rows": [1, 4],
    "engine.columns": [1, 3],
    "engine.input_bits": [16],
    "engine.max_head": [32, 128],
    "engine.max_keys": [2, 4096],
    "engine.quotient_bits": [1, 4, 8],
    "engine.spans": [2, 4],
    "engine.exponentials": ["serial"],
}
KNOBS: dict[str, list[Any]] = {
    "name": ["other"],
    "engine.kind": ["int_mac"],
    "engine.rows": [1, 3],
    "engine.columns": [2, 8],
    "engine.lanes": [1, 2, 8],
    "engine.formats": [["bitmod-fp3"], ["int8"], ["bitmod-fp4", "int5"]],
    "engine.group": [32, 64],
    "engine.activations": ["fp16"],
    "engine.max_inputs": [2048],
    "engine.max_tiles": [2048],
    "memory.channels": [2, 4],
    "memory.beat_bits": [32, 256],
}


def turned(base: dict[str, Any], knob: str, value: Any) -> Config:
    tree = json.loads(json.dumps(base))
    *sections, key = knob.split(".")
    at = tree
    for section in sections:
        at = at[section]
    at[key] = value
    if value == "int_mac":
        for gone in ("formats", "group", "activations"):
            del tree["engine"][gone]
    return parse_config(yaml.safe_dump(tree), "turned.yaml")


def artefacts(config: Config) -> tuple[str, str]:
    """The Verilog without its header, and the manifest without the config itself and its hash."""
    design = generate(config)
    verilog = "\n".join(line for line in design.verilog.splitlines() if not line.startswith("//"))
    return verilog, design.manifest.model_dump_json(exclude={"config", "digest"})


@pytest.mark.parametrize(
    ("base", "knob", "value"),
    [(BASE, knob, value) for knob, values in KNOBS.items() for value in values]
    + [
        (INT_MAC, knob, value)
        for knob, values in KNOBS.items()
        for value in values
        if knob.split(".")[-1] in INT_MAC["engine"] | INT_MAC["memory"] and value != "int_mac"
    ]
    + [(LUT, knob, value) for knob, values in LUT_KNOBS.items() for value in values]
    + [(ROUNDED, knob, value) for knob, values in ROUNDED_KNOBS.items() for value in values]
    + [(FUSEMAX, knob, value) for knob, values in FUSEMAX_KNOBS.items() for value in values],
    ids=lambda value: value["engine"]["kind"] if isinstance(value, dict) else str(value),
)
def test_every_knob_changes_the_design(base: dict[str, Any], knob: str, value: Any) -> None:
    assert artefacts(turned(base, knob, value)) != _of_base(yaml.safe_dump(base))


@cache
def _of_base(text: str) -> tuple[str, str]:
    return artefacts(parse_config(text, "base.yaml"))


def test_the_knobs_above_are_all_there_are() -> None:
    schema = parse_config(yaml.safe_dump(BASE), "base.yaml").model_dump()
    known = {"name", *(f"{s}.{key}" for s in ("engine", "memory") for key in schema[s])}
    assert known == set(KNOBS)
    lookup = parse_config(yaml.safe_dump(LUT), "base.yaml").model_dump()["engine"]
    of_a_core = {"engine.precompute"}  # tests/test_core_config.py
    assert {f"engine.{key}" for key in lookup} <= set(LUT_KNOBS) | set(ROUNDED_KNOBS) | set(KNOBS) | of_a_core
    attention = parse_config(yaml.safe_dump(FUSEMAX), "base.yaml").model_dump()["engine"]
    assert {f"engine.{key}" for key in attention} == set(FUSEMAX_KNOBS) - {"name"} | {"engine.kind"}


def test_an_engine_alone_has_nothing_to_fuse_table_precompute_with() -> None:
    with pytest.raises(ConfigError, match="set engine.precompute to row"):
        turned(LUT, "engine.precompute", "fused")


def test_an_attention_engine_has_no_linear_layers() -> None:
    with pytest.raises(InputError, match=r"^base is an attention engine, fusemax, which takes no weights$"):
        _ = parse_config(yaml.safe_dump(FUSEMAX), "base.yaml").gemm


@pytest.mark.parametrize("path", shipped_configs().values(), ids=lambda path: path.stem)
def test_shipped_configs_load_under_their_own_name(path: Path) -> None:
    assert read_config(path).name == path.stem


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "bad.yaml")
    return str(caught.value)


def test_all_problems_are_reported_at_once_with_line_key_and_nearest_name() -> None:
    text = """\
name: Bad Name
engine:
  kind: bitmod
  row: 4
  rows: 0
  lanes: 3
  formats: [bitmod-fp5]
memory: {chanels: 2}
"""
    assert problems(text).splitlines() == [
        "bad.yaml: line 1: name: String should match pattern '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' (given: 'Bad Name')",
        "bad.yaml: line 4: engine.row: unknown key, did you mean 'rows'?",
        "bad.yaml: line 5: engine.rows: Input should be greater than or equal to 1 (given: 0)",
        "bad.yaml: line 6: engine.lanes: Input should be 1, 2, 4, 8 or 16 (given: 3)",
        (
            "bad.yaml: line 7: engine.formats: unknown format 'bitmod-fp5', did you mean 'bitmod-fp4'?; "
            "known: int2, int3, int4, int5, int6, int7, int8, bitmod-fp3, bitmod-fp4"
        ),
        "bad.yaml: line 8: memory.chanels: unknown key, did you mean 'channels'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must be a mapping with the keys name, engine and memory"),
        ("name: [", "line 1: not YAML: expected the node content, but found '<stream end>'"),
        ("name: a", "line 1: engine: is required"),
        ("name: a\nname: b\nengine: {kind: int_mac}", "line 2: name: stands twice"),
        (
            "name: a\nengine: {kind: bitmd}",
            "line 2: engine.kind: must be one of bitmod, int_mac, lut, sparse_dsp, fusemax, not 'bitmd', did you",
        ),
        (
            "name: a\nengine: {kind: int_mac, group: 32}",
            "line 2: engine.group: unknown key; known: kind, rows",
        ),
        ("name: a\nengine: {kind: bitmod, lanes: 16, group: 32}", "lasts 4 cycles with 16 lanes, but its bit-serial"),
        (
            "name: a\nengine: {kind: bitmod, max_inputs: 100}",
            "max_inputs must be a multiple of the group, 128, not 100",
        ),
        ("name: a\nengine: {kind: int_mac, lanes: 16, max_inputs: 100}", "a multiple of the lanes, 16, not 100"),
        ("name: a\nengine: {kind: lut, formats: [int8]}", "unknown format 'int8'"),
        ("name: a\nengine: {kind: lut, formats: [int4], entries: int8}", "int4 has a zero point, which int8 entries"),
        ("name: a\nengine: {kind: lut, entry_scale: table}", "exact entries have no scale: set entries to int8"),
        ("name: a\nengine: {kind: lut, formats: [bipolar1], lanes: 32}", "lasts 4 cycles with 32 lanes, but its bit-"),
        ("name: a\nengine: {kind: bitmod, formats: [ternary]}", "unknown format 'ternary'"),
        ("name: a\nengine: {kind: bitmod, formats: []}", "should have at least 1 item"),
        ("name: a\nengine: {kind: bitmod, formats: [int8, int8]}", "a format is listed twice"),
        ("name: a\nengine: {kind: bitmod, rows: 2.5}", "line 2: engine.rows: Input should be a valid integer"),
        ("name: a\nengine: {kind: int_mac, columns: 3}\nmemory: {channels: 2}", "cannot share 3 columns evenly"),
        (
            "name: a\nengine: {kind: [a]}",
            "engine.kind: must be one of bitmod, int_mac, lut, sparse_dsp, fusemax, not ['a']",
        ),
        (f"name: {'a' * 65}\nengine: {{kind: bitmod}}", "line 1: name: String should have at most 64 characters"),
        (f"name: 1\nengine: {{kind: {'a' * 5000}}}", f"not '{'a' * 47}...{'a' * 48}'"),
        ("name: a\nengine: {kind: fusemax, rows: 12}", "line 2: engine.rows: rows must be a power of two"),
        ("name: a\nengine: {kind: fusemax, spans: 3}", "line 2: engine.spans: spans must be a power of two"),
        (
            "name: a\nengine: {kind: fusemax, columns: 6, spans: 4}",
            "4 spans cannot share 6 columns evenly: make columns",
        ),
        ("name: a\nengine: {kind: fusemax, rows: 64, max_keys: 63}", "must hold at least one tile of 64 keys, not 63"),
        ("name: a\nengine: {kind: fusemax, max_head: 16}", "line 2: engine.max_head: Input should be greater than"),
        ("name: a\nengine: {kind: fusemax}\nattention: {kind: fusemax}", "leave the section attention out"),
        (
            "name: a\nengine: {kind: int_mac}\nattention: {kind: fusemax, row: 8}",
            "attention.row: unknown key, did you mean",
        ),
        ("name: a\nengine: {kind: fusemax}\nmemory: {channels: 2}", "follow from its rows and input_bits"),
    ],
)
def test_bad_configs_are_explained(text: str, message: str) -> None:
    assert message in problems(text)


DOUBLING = "a0: &a0 [1, 2]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [" * 5000, "line 1: not YAML: more than 50 levels of nesting"),
        ("name: a\nengine: &a {kind: *a}", "line 2: not YAML: an alias inside what it stands for"),
        (DOUBLING, "line 15: not YAML: more than 100000 values"),
        ("name: 2020-13-01", "line 1: not YAML: a value that is no timestamp"),
        ("name: !!bool maybe", "line 1: not YAML: a value that is no bool"),
        (f"name: {'9' * 5000}", "line 1: not YAML: a value that is no int"),
        (f"name: 0x{'9' * 5000}", "line 1: not YAML: an integer of too many digits"),
    ],
)
def test_hostile_yaml_is_refused(text: str, message: str) -> None:
    assert problems(text) == f"bad.yaml: {message}"


def test_aliases_and_merges_are_taken() -> None:
    config = parse_config("name: a\nengine: {<<: &b {kind: int_mac, rows: 2}, rows: 4}", "good.yaml")
    assert config.engine.rows == 4


def test_a_file_that_cannot_be_read_is_an_error_of_that_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read"):
        read_config(tmp_path / "absent.yaml")
