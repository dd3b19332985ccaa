"""Random cores, and models that they can run."""

import math
from collections.abc import Mapping

import yaml
from hypothesis import strategies as st

from einloom.generators.registry import describe
from einloom.memory_sizes import sized
from einloom.spec.config import AUTO, MEMORIES, Config, parse_config
from einloom.spec.engines.sparse_dsp import three_fit
from einloom.spec.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, TERM_FORMATS
from einloom.spec.lane_sets import LaneSets
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from tests.core_bed import Shape, random_program

MOST_PES = 96


@st.composite
def cores(draw: st.DrawFn) -> dict[str, Mapping[str, object]]:
    """The sections of a core's config, with memories for no model."""
    lanes = draw(st.sampled_from([8, 8, 16, 32]))
    beat_bits = draw(st.sampled_from([256, 512] if lanes > 8 else [256]))
    cache_bits = draw(st.sampled_from([4, 8]))
    channels = draw(st.integers(1, 4))
    attention_lanes = draw(st.sampled_from([None, *(n for n in (1, 2, 4) if channels in (n, 2 * n, 4 * n))]))
    stripes = channels // attention_lanes if attention_lanes else 1
    possible = [n for n in (1, 2, 4, 8, 16) if n * lanes * cache_bits >= beat_bits * stripes]
    tile_rows = draw(st.sampled_from(possible or [16]))
    if not possible:
        attention_lanes = None
    columns = lanes * channels // math.gcd(lanes, channels)  # the fewest that channels and lanes share evenly
    columns *= draw(st.integers(1, max(1, 32 // columns)))
    engine = {
        "rows": draw(st.integers(1, min(8, tile_rows, max(1, MOST_PES // columns)))),
        "columns": columns,
        **draw(st.one_of(_bitmod(lanes), _int_mac(lanes), _lut(lanes), _sparse_dsp(lanes, tile_rows, channels))),
    }
    attention = {
        "kind": "fusemax",
        "rows": tile_rows,
        "columns": draw(st.integers(1, 4)),
        "max_head": 64,
        "max_keys": 1024,
        "quotient_bits": draw(st.sampled_from([1, 2, 4, 8])),
        "exponentials": draw(st.sampled_from(["parallel", "serial"] if tile_rows > 1 else ["parallel"])),
    }
    core = {"lanes": lanes, "cache_bits": cache_bits, "fifo_beats": draw(st.sampled_from([64, 100, 256]))}
    memory = {"channels": channels, "beat_bits": beat_bits}
    if attention_lanes:
        core |= {"cache_memory": "channels", "attention_lanes": attention_lanes}
    return {"engine": engine, "memory": memory, "attention": attention, "core": core}


@st.composite
def _bitmod(draw: st.DrawFn, lanes: int) -> dict[str, object]:
    group = draw(st.sampled_from([32, 64, 128]))
    step = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16) if n <= lanes]))
    possible = [name for name, f in TERM_FORMATS.items() if group // step * f.terms_per_weight >= SCALE_BITS]
    if not possible:
        step, possible = 4, list(TERM_FORMATS)
    formats = draw(st.lists(st.sampled_from(possible), min_size=1, max_size=3, unique=True))
    return {"kind": "bitmod", "lanes": step, "group": group, "formats": formats, "max_inputs": 4096}


@st.composite
def _int_mac(draw: st.DrawFn, lanes: int) -> dict[str, object]:
    return {"kind": "int_mac", "lanes": draw(st.sampled_from([n for n in (1, 2, 4, 8, 16) if n <= lanes]))}


@st.composite
def _sparse_dsp(draw: st.DrawFn, lanes: int, tile_rows: int, channels: int) -> dict[str, object]:
    """Sparse formats where a step's inputs are whole words, dense ones otherwise."""
    packing = draw(st.sampled_from(["weights", "three_weights", *(["tokens"] if tile_rows > 1 else [])]))
    group = draw(st.sampled_from([64, 128]))
    step = draw(st.sampled_from([n for n in (4, 8, 16) if n <= lanes]))
    if packing == "three_weights":
        narrow = [name for name, f in FORMATS.items() if three_fit(f)]
        formats = draw(st.lists(st.sampled_from(narrow), min_size=1, max_size=2, unique=True))
        size = {"rows": 1, "columns": math.lcm(lanes, 3 * channels), "max_inputs": 4096}
        return {"kind": "sparse_dsp", "lanes": step, "group": group, "formats": formats, "packing": packing, **size}
    patterned = [name for name, f in FORMATS.items() if f.neighbours > 1]
    formats = draw(st.lists(st.sampled_from(patterned), max_size=2, unique=True))
    sets = LaneSets.of(tuple(FORMATS[n] for n in formats), step, 2 if packing == "weights" else 1) if formats else None
    if sets is None or step % sets.sharing or group % sets.inputs:
        formats = []
    dense = [name for name, f in FORMATS.items() if f.neighbours == 1]
    formats += draw(st.lists(st.sampled_from(dense), min_size=not formats, max_size=2, unique=True))
    found = {"kind": "sparse_dsp", "lanes": step, "group": group, "formats": formats, "packing": packing}
    return {**found, "rows": 2, "max_inputs": 4096} if packing == "tokens" else {**found, "max_inputs": 4096}


@st.composite
def _lut(draw: st.DrawFn, lanes: int) -> dict[str, object]:
    step = draw(st.sampled_from([n for n in (1, 2, 4, 8, 16, 32) if n <= lanes]))
    return {
        "kind": "lut",
        "lanes": step,
        "table_inputs": draw(st.integers(1, 4)),
        "table": draw(st.sampled_from(["full", "half", "remap"])),
        "precompute": draw(st.sampled_from(["row", "fused"])),
        "formats": draw(st.lists(st.sampled_from(list(PLANE_FORMATS)), min_size=1, max_size=3, unique=True)),
        "group": "channel",
    }


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """A model that a core can run, once its memories are large enough."""
    sharing = draw(st.integers(1, 5))  # also more than the columns of attention
    groups = draw(st.integers(1, 3))
    return Shape(
        hidden=draw(st.integers(1, 130)),
        inner=draw(st.integers(1, 160)),
        layers=draw(st.integers(1, 2)),
        heads=groups * sharing,
        groups=groups,
        head=draw(st.sampled_from([2, 16, 24, 32, 48, 64])),
        vocab=draw(st.integers(2, 70)),
        context=draw(st.integers(20, 40)),
        tied=draw(st.booleans()),
    )


@st.composite
def cores_with_models(draw: st.DrawFn) -> tuple[Config, Shape]:
    """A core, and a model that fits its memories."""
    core = draw(cores())
    shape = draw(shapes())
    return fitted(core, shape)[0], shape


def fitted(core: Mapping[str, Mapping[str, object]], shape: Shape) -> tuple[Config, Program]:
    """The core with memories that are just large enough, and the model's program."""
    sections = {**core, "core": {**core["core"], **dict.fromkeys(MEMORIES, AUTO)}}
    config = sized(parse_config(yaml.safe_dump({"name": "drawn", **sections}), "drawn.yaml"), shape.graph())
    return config, random_program(describe(config), shape)


timings = st.builds(
    MemoryTiming,
    latency=st.sampled_from([1, 3, 30, 100, 400]),
    bandwidth=st.sampled_from([0, 0, 40, 150]),
    seed=st.integers(1, (1 << 32) - 1),
    stall=st.sampled_from([0, 50, 180]),
    interleave=st.integers(0, 1),
)
