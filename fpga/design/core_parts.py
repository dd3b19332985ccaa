"""The parts of a core, with the numbers that their LUTs follow from.

Each kind of part has a few terms, such as the bits that it multiplexes. LUTs are linear in them; the factors are fitted
to what Yosys made of such parts (benchmarks/fit_resources.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import gcd

from einloom.fpga.design.on_chip import LUTRAM_WORDS
from einloom.hw.array.engine import EngineSpec
from einloom.hw.buffers.gearbox import beats_touched
from einloom.hw.core.spec import CoreSpec
from einloom.hw.pe.bitmod import BitmodSpec
from einloom.hw.pe.int_mac import IntMacSpec
from einloom.hw.pe.lut import LutSpec
from einloom.hw.pe.sparse_dsp import SparseDspSpec
from einloom.hw.pe.spec import stored_bits
from einloom.spec.attention_format import QUERY_BITS
from einloom.spec.core_registers import report_names
from einloom.spec.memory_ports import WRITTEN, Traffic

Terms = Mapping[str, float]


@dataclass(frozen=True)
class CorePart:
    """`copies` parts of a kind, each with these terms. `variant` is what of it is no number, such as its formats."""

    kind: str
    copies: int
    terms: Terms
    variant: str = ""


def core_parts(spec: CoreSpec) -> tuple[CorePart, ...]:
    """All parts of a core."""
    return (*array_parts(spec), *other_parts(spec))


def other_parts(spec: CoreSpec) -> tuple[CorePart, ...]:
    """Those that do not depend on the GEMM engine."""
    return (*_attention(spec), *_machine(spec), *_bus(spec))


def select(ways: int) -> float:
    """LUTs of six inputs that choose one of so many bits."""
    return max(1.0, ways / 4) if ways > 1 else 0.0


def gearbox_terms(beat_bits: int, word_bits: tuple[int, ...]) -> Terms:
    """A gearbox: a multiplexer for each bit of its word, another for each bit of a beat that waits behind another."""
    unit = gcd(beat_bits, *word_bits)
    deep = beats_touched(beat_bits, word_bits) > 1
    return {
        "one": 1,
        "picked": max(word_bits) * select(beat_bits // unit),
        "waiting": beat_bits,
        "waiting more": beat_bits * deep * (beats_touched(beat_bits, word_bits) - 1),
    }


def pe_terms(spec: EngineSpec) -> tuple[Terms, str]:
    """A PE, and its variant. One of DSP chains has a scaler for each field, and an input for each lane to pick."""
    pe = spec.pe
    if not isinstance(pe, SparseDspSpec):
        return {"one": 1, "lanes": pe.lanes}, _of_luts(spec)
    fields = pe.columns_per_pe * pe.tokens_per_pe
    picked = 8 * pe.lanes * select(pe.sets.candidates) if pe.sets else 0
    return {"fields": fields, "picked": picked, "lanes": pe.lanes * fields}, "dsp" if not pe.has_scales else "serial"


def top_terms(spec: EngineSpec) -> tuple[Terms, str]:
    """What decodes the weights of the columns of a PE, lane by lane; its variant are the formats."""
    terms = {"lanes": spec.pe.lanes * spec.pe.columns_per_pe}
    if isinstance(spec.pe, SparseDspSpec):
        return terms, _names(spec)
    return {"one": 1, **terms}, _of_luts(spec)


def _names(spec: EngineSpec) -> str:
    return "+".join(format.name for format in spec.formats)


def _of_luts(spec: EngineSpec) -> str:
    """What of an engine without chains of DSPs is no number."""
    match spec.pe:
        case LutSpec() as pe:
            made = "prepared" if pe.prepared else "in rows"
            scales = "scales" if pe.has_scales else "no scales"
            kind = f"lut, {pe.table} {pe.entries} tables of {pe.table_inputs} {made}, {scales}"
        case pe:
            kind = {BitmodSpec: "bitmod", IntMacSpec: "int_mac"}.get(type(pe), type(pe).__name__)
            kind += f", {pe.activation_bits} bits"
    return f"{kind}, {_names(spec)}"


def array_parts(core: CoreSpec) -> Iterator[CorePart]:
    """Those of the GEMM unit."""
    spec, lanes = core.gemm, core.lanes
    pe = spec.pe
    yield CorePart("gearbox", spec.channels, gearbox_terms(spec.beat_bits, spec.word_bits))
    terms, variant = pe_terms(spec)
    pes = spec.rows // pe.tokens_per_pe * (spec.columns // pe.columns_per_pe)
    yield CorePart("pe", pes, terms, variant)
    terms, variant = top_terms(spec)
    yield CorePart("column tops", spec.columns // pe.columns_per_pe, terms, variant)
    metadata = spec.channels * spec.columns_per_channel * (len(spec.word_formats) > 1)
    yield CorePart("engine", 1, {"one": 1, "metadata": metadata})
    floats = lanes * pe.sum_bits
    yield CorePart("sums", 1, {"one": 1, "columns": spec.columns * pe.sum_bits, "floats": floats})
    if isinstance(pe, LutSpec) and pe.prepared:
        yield CorePart("tables", spec.rows, {"one": 1, "lanes": pe.lanes}, _of_luts(spec))
    trits = [f for f in spec.word_formats if f.in_trits]
    for format in trits:
        yield CorePart("trit decoder", spec.channels * spec.step_bits(format) // 8, {"one": 1})
    yield CorePart("weight queue", spec.channels, {"one": 1})
    chosen = spec.rows * stored_bits(pe) * select(max(1, lanes // pe.inputs))
    yield CorePart("activations", 1, {"picked": chosen})


def _attention(core: CoreSpec) -> Iterator[CorePart]:
    spec, count, lanes, cache = core.attention, core.attention_lanes, core.lanes, core.cache
    kind = "serial column" if spec.serial else "parallel column"
    yield CorePart(kind, count * spec.columns, {"one": 1, "rows": spec.rows})
    yield CorePart("attention control", count, {"one": 1, "rows": spec.rows})
    element = cache.rows * cache.bits
    words = (element, *([8 * cache.rows] if cache.token_scales else []))
    yield CorePart("tile reader", count, gearbox_terms(cache.beat_bits, words))
    yield CorePart("output words", count, {"one": 1, "words": spec.columns * lanes * (spec.columns > 1)})
    bits = lanes * QUERY_BITS
    inside = core.query_words <= LUTRAM_WORDS
    yield CorePart("queries", count * spec.columns, {"picked": bits, "held": bits * inside})
    merged = count * lanes
    yield CorePart("lanes", 1, {"lanes": count, "merged": merged * (count > 1), "merged far": merged * count})
    held = lanes * cache.bits * (core.staging_words <= LUTRAM_WORDS)
    yield CorePart("tile store", count, {"one": 1, "rows": spec.rows, "held": held})


def _machine(core: CoreSpec) -> Iterator[CorePart]:
    lanes = {"one": 1, "lanes": core.lanes}
    for kind in ("vector unit", "attention floats", "vector memory"):
        yield CorePart(kind, 1, lanes)
    yield CorePart("store unit", 1, {"heads": core.attention_lanes, "lanes": core.lanes})
    yield CorePart("machine", 1, {"one": 1, "channels": core.channels})


def _bus(core: CoreSpec) -> Iterator[CorePart]:
    ports = core.ports
    reads = sum(len(port.reads) for port in ports)
    writes = sum(traffic in WRITTEN for port in ports for traffic in port.carries)
    slow = sum(Traffic.CACHE in p.reads and p.channel is not None for p in ports) * core.slow_lanes
    yield CorePart("read master", reads, {"one": 1})
    yield CorePart("write master", writes, {"one": 1})
    # Weights go straight to queues that have registers.
    yield CorePart("beat crossing", reads - core.channels - slow + 1, {"bits": core.beat_bits})
    yield CorePart("request crossing", reads + writes, {"one": 1})
    yield CorePart("read mux", sum(len(port.reads) > 1 for port in ports), {"one": 1})
    numbers = len(report_names(ports))
    yield CorePart("registers", 1, {"one": 1, "counters": numbers, "ports": len(ports)})
    yield CorePart("reporter", 1, {"masters": reads + writes})
    yield CorePart("supervisor", 1, {"one": 1, "masters": reads + writes})
    yield CorePart("core", 1, {"one": 1, "masters": reads + writes})
