"""The arrays that a choice is made among: kinds of engines, each in steps of its size."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Any

from einloom.fpga.design.space import Goal, Ports
from einloom.spec.engines.sparse_dsp import three_fit
from einloom.spec.formats import PLANE_FORMATS, TERM_FORMATS, Format

GROUP = 128
RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
"""Weights that the array takes in a cycle, over those that a beat of a port has."""
LANES = {"sparse_dsp": (8, 16, 32), "bitmod": (4, 8, 16), "lut": (8, 16), "int_mac": (4, 8, 16)}
"""Inputs of a PE that are tried, for each kind of engine. All kinds take int8 activations."""
TABLE_INPUTS = 2
"""Lanes of a look-up table; so few take the fewest LUTs (docs/engines/lut.md)."""


@dataclass(frozen=True)
class Array:
    """The GEMM engine; `packing` is how products share DSPs, in chains of them."""

    kind: str
    rows: int
    columns: int
    lanes: int
    packing: str = ""


def engines_for(format: Format) -> tuple[str, ...]:
    """Kinds of engines that multiply with weights of a format."""
    takes = {
        "sparse_dsp": True,
        "bitmod": format.name in TERM_FORMATS,
        "lut": format.name in PLANE_FORMATS,
        "int_mac": format.name == "int8",
    }
    return tuple(kind for kind in LANES if takes[kind])


def all_arrays(kind: str, ports: Ports, format: Format, goal: Goal) -> Iterator[Array]:
    """Arrays of a kind that take a port's beats at a rate near to that at which they come."""
    bits, cycles = format.stored_bits, _step_cycles(kind, format)
    for rows in goal.rows:
        packing, together = _packing(format, rows) if kind == "sparse_dsp" else ("", 1)
        for lanes in LANES[kind]:
            if ports.lanes % lanes:
                continue
            unit = lcm(together * ports.channels, ports.lanes)
            beats = (ratio * ports.beat_bits * ports.channels for ratio in RATIOS)
            wanted = (beat / (lanes * bits) * cycles / unit for beat in beats)
            for count in sorted({max(1, round(n)) for n in wanted}):
                yield Array(kind, rows, count * unit, lanes, packing)


def _step_cycles(kind: str, format: Format) -> int:
    """Cycles of a step: terms of a weight, planes of digits, or a product."""
    if kind == "bitmod":
        return format.terms_per_weight
    return len(format.planes) if kind == "lut" else 1


def _packing(format: Format, rows: int) -> tuple[str, int]:
    """How weights share DSPs, and how many columns do."""
    if format.sparse:
        return "weights", 2
    if rows == 1 and three_fit(format) and format.bits <= 3:
        return "three_weights", 3
    return ("weights", 2) if rows == 1 else ("tokens", 1)


def formats_with(format: Format) -> tuple[str, ...]:
    """Formats of an engine for weights of `format`, which is the first.

    FP4 and FP3 of BitMoD go together, since the second costs few LUTs.
    """
    return ("bitmod-fp4", "bitmod-fp3") if format.name == "bitmod-fp4" else (format.name,)


def engine_section(array: Array, format: Format, inputs: int) -> dict[str, Any]:
    """The section `engine` of a config, for matrices of up to so many inputs."""
    longest = 1 << (inputs + GROUP - 1).bit_length() if inputs > 16384 - GROUP else 16384
    section: dict[str, Any] = {
        "kind": array.kind,
        "rows": array.rows,
        "columns": array.columns,
        "lanes": array.lanes,
        "max_inputs": longest,
    }
    if array.kind == "int_mac":
        return section
    section |= {"formats": list(formats_with(format)), "group": GROUP}
    if array.kind == "sparse_dsp":
        section["packing"] = array.packing
    if array.kind == "lut":
        # BitNet's weights have one scale in all, so that those of groups would be the same.
        section["group"] = "channel" if format.name == "ternary" else GROUP
        section |= {"table_inputs": TABLE_INPUTS, "table": "remap", "precompute": "fused"}
    return section
