"""A FuseMax design, from its config."""

from amaranth import Shape

from einloom.generators.design import Design
from einloom.generators.gemm import MARGIN, NETLIST_BITS
from einloom.generators.make_design import make_design
from einloom.hw.array.attention_control import final_delay
from einloom.hw.array.attention_engine import AttentionEngine, AttentionSpec
from einloom.hw.array.attention_sequencer import exp_end
from einloom.hw.array.tile_walk import job_layout
from einloom.hw.pe.normaliser import division_steps
from einloom.spec.attention_format import EXP2_STEPS, OUTPUT_BITS, QUERY_BITS, SCORE_BITS, AttentionFormat
from einloom.spec.config import Config
from einloom.spec.engines.fusemax import FuseMaxConfig
from einloom.spec.errors import InputError
from einloom.spec.manifest import AttentionJobLayout, AttentionManifest


def attention_design(config: Config) -> Design:
    """The attention engine of `config`."""
    spec, manifest = attention_spec(config)
    return make_design(config, AttentionEngine(spec), manifest)


def attention_spec(config: Config) -> tuple[AttentionSpec, AttentionManifest]:
    """Spec of the engine (parts and sizes), and its part of the manifest."""
    engine = config.engine
    assert isinstance(engine, FuseMaxConfig)
    format = AttentionFormat(engine.input_bits, engine.max_head, engine.max_keys)
    bits = engine.rows * (SCORE_BITS + format.product_bits)  # from the PEs of a column to its trees
    if bits + MARGIN > NETLIST_BITS:
        raise InputError(
            f"{config.name}: a column would have {bits:,} bits, more than the {NETLIST_BITS:,} that one module can be "
            "written with: use fewer rows"
        )
    beat = engine.spans * engine.rows * engine.input_bits
    if beat + MARGIN > NETLIST_BITS:
        raise InputError(
            f"{config.name}: a beat of keys would have {beat:,} bits, more than the {NETLIST_BITS:,} that one module "
            "can be written with: use fewer spans"
        )
    serial = engine.exponentials == "serial"
    spec = AttentionSpec(format, engine.rows, engine.columns, engine.quotient_bits, engine.spans, serial=serial)
    fields = {name: Shape.cast(field.shape).width for name, field in job_layout(format, engine.spans)}
    manifest = AttentionManifest(
        kind=engine.kind,
        rows=engine.rows,
        columns=engine.columns,
        input_bits=engine.input_bits,
        query_bits=QUERY_BITS,
        output_bits=OUTPUT_BITS,
        output_fraction=format.output_fraction,
        max_head=engine.max_head,
        max_keys=engine.max_keys,
        spans=engine.spans,
        exp_steps=0 if serial else EXP2_STEPS,
        exp_end=exp_end(engine.rows, engine.spans, serial),
        # The control's register, and the read of the denominator.
        row_cycles=final_delay(engine.rows, engine.spans, serial) + 2,
        division_cycles=2 + division_steps(engine.quotient_bits),
        job=AttentionJobLayout(**fields),
    )
    return spec, manifest
