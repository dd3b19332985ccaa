"""LUTs of the parts of cores, synthesised, and the factors of their terms, for fpga/design/lut_factors.json.

python -m benchmarks.fit_resources [--parts] [--write]

Whole cores give a point for each kind of part, and parts by themselves more of those that differ most from core to
core. A kind's factors are those with the least squares over its points. With `--parts` the points of whole cores are
those that the file has.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.synth_parts import synthesise_parts
from einloom.catalogue import load_config, shipped_configs
from einloom.fpga import yosys
from einloom.fpga.design.arrays import GROUP, LANES, Array, engine_section
from einloom.fpga.design.core_parts import CorePart, Terms, core_parts, gearbox_terms, pe_terms, top_terms
from einloom.fpga.design.resource_model import FACTORS
from einloom.fpga.recipes import ultrascale
from einloom.fpga.synthesise import Part as Made
from einloom.generators.core import core_spec
from einloom.generators.registry import pe_spec
from einloom.hw.arith.trits import TritDecoder
from einloom.hw.array.engine import EngineSpec
from einloom.hw.array.grid import pe_grid
from einloom.hw.buffers.gearbox import Gearbox
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.write_master import WriteMaster
from einloom.hw.core.spec import CoreSpec
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import AttentionColumn
from einloom.spec.config import Config
from einloom.spec.engines.sparse_dsp import SparseDspConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, PLANE_FORMATS, TERM_FORMATS
from einloom.synthesis import synthesise

ALONE = "by itself"
LONGEST = 16384 - 128
"""Inputs of the longest product of most cores."""
CORES = ("u280-dense", "u280-accllm", "u280-gqa", "u280-flightllm")
"""Cores that are synthesised as a whole."""
CHANGED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "long-tiles",
        "u280-gqa",
        {
            "engine": {"columns": 64},
            "memory": {"channels": 8},
            "attention": {"rows": 128},
            "core": {
                "lanes": 16,
                "vector_words": 16384,
                "query_words": 256,
                "staging_words": 256,
                "attention_lanes": 2,
            },
        },
    ),
)
"""More of them: name, the config that they are made of, and what is changed in its sections."""
ENGINES: tuple[dict[str, Any], ...] = (
    {"formats": ["bitmod-fp4"], "columns": 32},
    {"formats": ["bitmod-fp4"], "columns": 64},
    {"formats": ["bitmod-fp4"], "columns": 32, "lanes": 32},
    {"formats": ["bitmod-fp4"], "columns": 32, "beat_bits": 256},
    {"formats": ["bitmod-fp4"], "columns": 32, "lanes": 8},
    {"formats": ["bitmod-fp3"], "columns": 64},
    {"formats": ["int4"], "columns": 32},
    {"formats": ["int8"], "columns": 32, "lanes": 8},
    {"formats": ["int4-2of4"], "columns": 32},
    {"formats": ["ternary"], "columns": 96, "packing": "three_weights"},
    {"formats": ["ternary"], "columns": 96, "packing": "three_weights", "lanes": 32},
    {"formats": ["bitmod-fp4"], "columns": 32, "rows": 4, "packing": "tokens"},
)
"""Engines of four channels, whose parts are synthesised by themselves."""
CHAINED = ("int2", "int3", "int5", "int6", "int7", "int8-2of4", "int3-2of4", "bitmod-fp3-2of4", "bitmod-fp4-2of4")
BIPOLAR = ("bipolar1", "bipolar2", "bipolar3", "bipolar4")
"""Further formats whose weights chains of DSPs take, beside those of shipped configs; their column tops alone are
synthesised."""
TERMS = (("bitmod-fp4", "bitmod-fp3"), *((name,) for name in TERM_FORMATS))
PLANES = tuple((name,) for name in PLANE_FORMATS)
"""Formats of bit-serial and of look-up engines."""
INSTANCES = {
    "gearbox": "machine/gemm_unit/engine/gearbox_0",
    "sums": "machine/gemm_unit/sums",
    "weight queue": "machine/gemm_unit/weights_0",
    "activations": "machine/gemm_unit/activations",
    "tile reader": "machine/attention_unit/lane_0/reader",
    "output words": "machine/attention_unit/lane_0/outputs",
    "vector unit": "machine/vector_unit",
    "attention floats": "machine/attention_floats",
    "vector memory": "machine/memory",
    "read master": "weights0_master",
    "write master": "store_master",
    "beat crossing": "load_beats_crossing",
    "request crossing": "request_0_crossing",
    "read mux": "weights0_mux",
    "registers": "registers",
    "reporter": "reporter",
    "supervisor": "supervisor",
    "tile store": "machine/store_unit/tiles/lane_0",
}
"""Where a part of a kind stands in a core with its cache behind the channels."""


class Netlist:
    """LUTs of a synthesised core by the paths of its instances."""

    def __init__(self, parts: Iterable[Made], top: str) -> None:
        self._parts = {part.name: part for part in parts}
        self._top = top

    def at(self, path: str) -> Made:
        """The part at a path of instances; a path that ends in a loop is the loop."""
        part = self._parts[self._top]
        for name in path.split("/") if path else ():
            # An instance that has the name of a wire has a suffix.
            known = part.instances
            found = known[name] if name in known else next(known[i] for i in known if i.startswith(f"{name}_"))
            part = self._parts[found]
        return part

    def luts(self, path: str) -> int:
        return self.at(path).total.lut


def core_points(spec: CoreSpec, net: Netlist) -> dict[str, float]:
    """LUTs of one part of each kind in a core."""
    engine, unit = "machine/gemm_unit/engine", "machine/attention_unit"
    lane, lanes = f"{unit}/lane_0", spec.attention_lanes
    gemm, attention = spec.gemm, spec.attention
    grids = [name for name in net.at(engine).instances if name.startswith("grid")]
    pes = gemm.rows // gemm.pe.tokens_per_pe * (gemm.columns // gemm.pe.columns_per_pe)
    tops = gemm.columns_per_channel // gemm.pe.columns_per_pe
    grid = sum(net.luts(f"{engine}/{name}") for name in grids)
    columns = gemm.channels * net.luts(f"{engine}/columns_0")
    found: dict[str, float] = {kind: net.luts(path) for kind, path in INSTANCES.items()}
    found["pe"] = grid / pes
    found["column tops"] = net.luts(f"{engine}/columns_0") / tops
    found["engine"] = net.luts(engine) - grid - columns - gemm.channels * found["gearbox"]
    beside = sum(found[kind] for kind in ("sums", "activations")) + gemm.channels * found["weight queue"]
    found["engine"] += net.luts("machine/gemm_unit") - net.luts(engine) - beside
    column = net.luts(f"{lane}/engine/grid")
    found["serial column" if attention.serial else "parallel column"] = column / attention.columns
    found["queries"] = net.luts(f"{lane}/queries") / attention.columns
    inside = column + sum(found[kind] for kind in ("tile reader", "output words")) + net.luts(f"{lane}/queries")
    found["attention control"] = net.luts(lane) - inside
    found["lanes"] = net.luts(unit) - lanes * net.luts(lane)
    found["store unit"] = net.luts("machine/store_unit") - lanes * found["tile store"]
    big = ("gemm_unit", "attention_unit", "vector_unit", "store_unit", "attention_floats", "memory")
    found["machine"] = net.luts("machine") - sum(net.luts(f"machine/{name}") for name in big)
    return found


def rest_of_core(parts: Iterable[CorePart], found: Mapping[str, float], net: Netlist) -> float:
    """LUTs of a core outside its machine that no kind of part counts."""
    bus = ("read master", "write master", "beat crossing", "request crossing", "read mux", "registers", "reporter")
    counted = sum(p.copies * found[p.kind] for p in parts if p.kind in (*bus, "supervisor"))
    return net.luts("") - net.luts("machine") - counted


def whole_points() -> Iterator[dict[str, Any]]:
    """Points of the cores of CORES."""
    for config in (*map(load_config, CORES), *(_changed(*change) for change in CHANGED)):
        spec = core_spec(config, pe_spec(config))
        ((top, result),) = synthesise(config).results.items()
        net, parts = Netlist(result.parts, top), core_parts(spec)
        found = core_points(spec, net)
        found["core"] = rest_of_core(parts, found, net)
        for part in parts:
            yield _point(part.kind, part.variant, part.terms, found[part.kind], config.name, part.copies)


def _changed(name: str, of: str, changes: Mapping[str, Mapping[str, Any]]) -> Config:
    """A config with other keys in its sections."""
    data = load_config(of).model_dump(mode="json", exclude={"floorplan"})
    return load_config({**data, "name": name, **{section: data[section] | keys for section, keys in changes.items()}})


def part_points() -> Iterator[dict[str, Any]]:
    """Points of parts by themselves."""
    wanted: list[Wanted] = []
    for keys in ENGINES:
        spec = engine_spec(keys)
        terms = gearbox_terms(spec.beat_bits, spec.word_bits)
        wanted.append(("gearbox", "", terms, Gearbox(spec.beat_bits, spec.word_bits), 1))
        terms, variant = pe_terms(spec)
        grid = pe_grid(spec.pe, spec.pe.tokens_per_pe, spec.pe.columns_per_pe)
        wanted.append(("pe", variant, terms, grid, 1))
        terms, variant = top_terms(spec)
        wanted.append(("column tops", variant, terms, spec.pe.column(spec.formats), 1))
    for bits in (256, 512):
        wanted.append(("read master", "", {"one": 1}, ReadMaster(bits, 64, 64, 256), 1))
        wanted.append(("write master", "", {"one": 1}, WriteMaster(bits, 64, 64), 1))
        wanted.append(("beat crossing", "", {"bits": bits}, SkidBuffer(bits + 1), 1))
    wanted.append(("trit decoder", "", {"one": 1}, TritDecoder(), 1))
    for rows in (16, 64):
        column = AttentionColumn(_attention_format(), rows, 4, parity=False)
        wanted.append(("parallel column", "", {"one": 1, "rows": rows}, column, 1))
    wanted += [*_chained_tops(), *_engines_of_luts()]
    made = synthesise_parts([part for *_, part, _ in wanted], ultrascale(), jobs=1)
    for (kind, variant, terms, _, _), part in zip(wanted, made, strict=True):
        yield _point(kind, variant, terms, part.total.lut, ALONE)


Wanted = tuple[str, str, Terms, Part, int]
"""A part to synthesise: kind, variant, terms, the part itself, copies."""


def _chained_tops() -> Iterator[Wanted]:
    shipped = (load_config(path).engine for path in shipped_configs().values())
    mixtures = {engine.formats for engine in shipped if isinstance(engine, SparseDspConfig) and len(engine.formats) > 1}
    for names in (*((name,) for name in (*CHAINED, *BIPOLAR)), *sorted(mixtures)):
        spec = engine_spec({"formats": list(names), "columns": 32})
        terms, variant = top_terms(spec)
        yield "column tops", variant, terms, spec.pe.column(spec.formats), 1


def _engines_of_luts() -> Iterator[Wanted]:
    """PEs, column tops and tables of the sizes that a design may choose."""
    kinds = {"bitmod": TERMS, "lut": PLANES, "int_mac": (("int8",),)}
    for kind, formats in kinds.items():
        groups: tuple[dict[str, Any], ...] = ({"group": GROUP}, {"group": "channel"}) if kind == "lut" else ({},)
        for names, lanes, group in product(formats, LANES[kind], groups):
            section = engine_section(Array(kind, 1, 64, lanes), FORMATS[names[0]], LONGEST)
            if "formats" in section:
                section["formats"] = list(names)
            try:
                spec = engine_spec(section | group)
            except InputError:  # lanes too many for a group's scale
                continue
            terms, variant = pe_terms(spec)
            yield "pe", variant, terms, pe_grid(spec.pe, 1, 1), 1
            yield "column tops", variant, top_terms(spec)[0], spec.pe.column(spec.formats), 1
            tables = spec.pe.prepare()
            if tables is not None:
                yield "tables", variant, terms, tables, 1


def engine_spec(keys: Mapping[str, Any]) -> EngineSpec:
    """An engine of four channels."""
    memory = {"channels": 4, "beat_bits": keys.get("beat_bits", 512)}
    engine = {"kind": "sparse_dsp", "rows": 1, "lanes": 16, **{k: v for k, v in keys.items() if k != "beat_bits"}}
    config = _core({"engine": engine, "memory": memory})
    return core_spec(config, pe_spec(config)).gemm


def _core(sections: Mapping[str, Any]) -> Config:
    rows = {"kind": "fusemax", "rows": 64, "columns": 1, "quotient_bits": 4}
    return load_config({"name": "point", "attention": rows, "core": {"lanes": 32, "activation_words": 512}, **sections})


def _attention_format() -> Any:
    config = load_config("u280-dense")
    return core_spec(config, pe_spec(config)).attention.format


def _point(kind: str, variant: str, terms: Terms, luts: float, of: str, copies: int = 1) -> dict[str, Any]:
    found = {"kind": kind, "variant": variant, "terms": dict(terms), "lut": round(luts, 2)}
    return {**found, "of": of, "copies": copies}


def fit(points: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Factors of the terms of each kind and variant, with the least squares; none is negative."""
    groups = defaultdict[str, list[dict[str, Any]]](list)
    for point in points:
        groups[f"{point['kind']}, {point['variant']}" if point["variant"] else point["kind"]].append(point)
    return {name: _factors(group) for name, group in sorted(groups.items())}


def _factors(group: list[dict[str, Any]]) -> dict[str, float]:
    """Terms that no point distinguishes from others are left out, and those that would be negative."""
    names = list(group[0]["terms"])
    luts = np.array([point["lut"] for point in group])
    while True:
        matrix = np.array([[point["terms"][name] for name in names] for point in group], float)
        # Relative errors count.
        weight = 1 / np.maximum(luts, 1.0)
        found = np.linalg.lstsq(matrix * weight[:, None], luts * weight, rcond=1e-9)[0]
        if len(names) == 1 or found.min() >= 0:
            return {name: round(float(factor), 5) for name, factor in zip(names, found, strict=True)}
        names.pop(int(found.argmin()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", action="store_true", help="synthesise parts alone, not whole cores")
    parser.add_argument("--write", action="store_true", help=f"put points and factors into {FACTORS.name}")
    args = parser.parse_args()
    record = json.loads(FACTORS.read_text())
    known = [point for point in record["points"] if point["of"] != ALONE]
    points = [*(known if args.parts else whole_points()), *part_points()]
    factors = fit(points)
    table = Table("kind", "of", "LUTs", "fitted")
    for point in points:
        name = f"{point['kind']}, {point['variant']}" if point["variant"] else point["kind"]
        fitted = sum(factors[name].get(term, 0) * value for term, value in point["terms"].items())
        table.add_row(name, point["of"], f"{point['lut']:,.0f}", f"{fitted:,.0f}")
    Console(width=120).print(table)
    if args.write:
        record = {"pyosys": yosys.version(), "factors": factors, "points": points}
        FACTORS.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
