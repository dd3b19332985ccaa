"""Random configs of every engine, for tests; they need Hypothesis."""

import yaml
from hypothesis import strategies as st

from einloom.spec.config import Config, parse_config
from einloom.spec.engines.sparse_dsp import three_fit
from einloom.spec.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, TERM_FORMATS
from einloom.spec.lane_sets import LaneSets


@st.composite
def _limits(draw: st.DrawFn, block: int) -> dict[str, object]:
    """Sizes of jobs that a design is made for, the smallest ones too; inputs are whole blocks, and at least 32."""
    most = -(-32 // block) * block
    inputs = draw(st.sampled_from([most, most + block, 16384]))
    return {"max_inputs": inputs, "max_tiles": draw(st.sampled_from([1, 2, 3, 65536]))}


@st.composite
def bitmod_configs(draw: st.DrawFn, max_size: int = 6) -> Config:
    """Any bitmod design of up to max_size x max_size PEs that a config may ask for."""
    activations = draw(st.sampled_from(["int8", "fp16"]))
    group = draw(st.sampled_from([32, 64, 128]))
    lanes = draw(st.sampled_from([1, 2, 4, 8, 16]))
    needed = SCALE_BITS + (activations == "fp16")
    possible = [name for name, f in TERM_FORMATS.items() if group // lanes * f.terms_per_weight >= needed]
    if not possible:
        lanes, possible = 4, list(TERM_FORMATS)
        group = 128
    formats = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=4, unique=True))
    channels = draw(st.sampled_from([1, 1, 2, 3]))
    columns = channels * draw(st.integers(1, max(1, max_size // channels)))
    engine: dict[str, object] = {
        "kind": "bitmod",
        "rows": draw(st.integers(1, max_size)),
        "columns": columns,
        "lanes": lanes,
        "formats": formats,
        "group": group,
        "activations": activations,
        **draw(_limits(group)),
    }
    return make_config(engine, channels=channels, beat_bits=draw(st.sampled_from([32, 64, 128, 256, 512])))


@st.composite
def int_mac_configs(draw: st.DrawFn, max_size: int = 6) -> Config:
    """Any int_mac design of up to max_size x max_size PEs."""
    channels, lanes = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2, 4, 8, 16]))
    engine: dict[str, object] = {
        "kind": "int_mac",
        "rows": draw(st.integers(1, max_size)),
        "columns": channels * draw(st.integers(1, max_size // channels)),
        "lanes": lanes,
        **draw(_limits(lanes)),
    }
    return make_config(engine, channels=channels, beat_bits=draw(st.sampled_from([32, 64, 128, 256, 512])))


@st.composite
def lut_configs(draw: st.DrawFn, max_size: int = 5, max_lanes: int = 16) -> Config:
    """Any look-up design of up to max_size x max_size PEs, with tables of up to five lanes."""
    activations = draw(st.sampled_from(["int8", "int8", "fp16"]))
    entries = draw(st.sampled_from(["exact", "exact", "int8"]))
    group = draw(st.sampled_from((32, 64, 128, None)))
    lanes = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16, 32, 64) if n <= max_lanes]))
    possible = [
        name
        for name, f in PLANE_FORMATS.items()
        if (group is None or group // lanes * len(f.planes) >= SCALE_BITS) and not (entries == "int8" and f.zero)
    ]
    if not possible:
        group, possible = None, ["bipolar1", "ternary"]
    channels = draw(st.sampled_from([1, 1, 2, 3]))
    engine: dict[str, object] = {
        "kind": "lut",
        "rows": draw(st.integers(1, max_size)),
        "columns": channels * draw(st.integers(1, max(1, max_size // channels))),
        "lanes": lanes,
        "table_inputs": draw(st.integers(1, 5)),
        "table": draw(st.sampled_from(["full", "half", "remap", "remap"])),
        "entries": entries,
        "entry_scale": draw(st.sampled_from(["step", "table"])) if entries == "int8" else "step",
        "activations": activations,
        "formats": draw(st.lists(st.sampled_from(possible), min_size=1, max_size=3, unique=True)),
        "group": group or "channel",
        **draw(_limits(group or lanes)),
    }
    return make_config(engine, channels=channels, beat_bits=draw(st.sampled_from([32, 64, 128, 256])))


SMALL_SIZE = 3
"""Largest size of designs of DSP chains that are small in other respects, too."""


@st.composite
def sparse_dsp_configs(draw: st.DrawFn, max_size: int = 6) -> Config:
    """Any design of DSP chains of up to max_size rows and columns, of at least two of what shares a DSP."""
    few = max_size <= SMALL_SIZE
    group = draw(st.sampled_from([32, 64, 128]))
    channels = draw(st.sampled_from([1, 1, 2, 3]))
    lanes = draw(st.sampled_from([1, 2, 4, 8] if few else [1, 2, 4, 8, 16, 32]))
    packing = draw(st.sampled_from(["weights", "tokens", "three_weights"]))
    together = {"weights": 2, "tokens": 1, "three_weights": 3}[packing]
    dense = [name for name, f in FORMATS.items() if f.neighbours == 1 and (together < 3 or three_fit(f))]
    formats = draw(st.lists(st.sampled_from(dense), min_size=1, max_size=1 if few else 3, unique=True))
    patterned = sorted(name for name, f in FORMATS.items() if f.neighbours > 1 and together < 3)
    sparse = draw(st.lists(st.sampled_from(patterned), max_size=2 if few else 3, unique=True)) if patterned else []
    sets = LaneSets.of(tuple(FORMATS[name] for name in sparse), lanes, together) if sparse else None
    if sets is not None and lanes % sets.sharing == 0 and group % sets.inputs == 0:
        formats = sparse + formats[: draw(st.integers(0, 2))]
    short = group // lanes < SCALE_BITS or sparse
    engine: dict[str, object] = {
        "kind": "sparse_dsp",
        "rows": (2 if packing == "tokens" else 1) * draw(st.integers(1, max(1, max_size // (3 - min(together, 2))))),
        "columns": together * channels * draw(st.integers(1, max(1, max_size // channels // together))),
        "lanes": lanes,
        "formats": formats,
        "packing": packing,
        "scaling": draw(st.sampled_from(["auto", "dsp"] if short else ["auto", "serial", "dsp"])),
        "group": group,
        **draw(_limits(group)),
    }
    return make_config(engine, channels=channels, beat_bits=draw(st.sampled_from([32, 64, 128, 256, 512])))


@st.composite
def fusemax_configs(draw: st.DrawFn, max_size: int = 4) -> Config:
    """Any attention engine of up to max_size x max_size PEs; in large sizes also with tall columns."""
    rows = draw(st.sampled_from([1, 2, 4, 8] if max_size < 8 else [1, 2, 4, 8, 16, 32, 64, 128]))
    spans = draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= max_size]))
    engine: dict[str, object] = {
        "kind": "fusemax",
        "rows": rows,
        "columns": spans * draw(st.integers(1, max_size // spans)),
        "spans": spans,
        "input_bits": draw(st.sampled_from([8, 16])),
        "max_head": draw(st.sampled_from([32, 45, 64, 128])),
        "max_keys": max(rows, draw(st.sampled_from([1, 100, 4096, 1 << 20]))),
        "quotient_bits": draw(st.sampled_from([1, 2, 4, 8])),
        "exponentials": draw(st.sampled_from(["parallel", "serial"] if spans == 1 and rows > 1 else ["parallel"])),
    }
    return make_config(engine)


def make_config(engine: dict[str, object], *, channels: int = 1, beat_bits: int = 256) -> Config:
    """A config from its engine section, through YAML as a user would write it."""
    tree = {"name": "drawn", "engine": engine}
    if engine["kind"] != "fusemax":
        tree["memory"] = {"channels": channels, "beat_bits": beat_bits}
    return parse_config(yaml.safe_dump(tree), "drawn.yaml")
