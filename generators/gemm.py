"""Common part of the generators of GEMM engines: from a config to the engine's spec and its manifest."""

from amaranth import Shape

from einloom.generators.design import Design
from einloom.generators.make_design import make_design
from einloom.hw.array.engine import EngineSpec, GemmEngine
from einloom.hw.array.sequencer import job_layout
from einloom.hw.pe.spec import PeSpec, stored_bits
from einloom.spec.config import Config
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import InputError
from einloom.spec.formats import SCALE_BITS
from einloom.spec.manifest import (
    BlockLayout,
    GemmManifest,
    JobLayout,
    JoinedMetadata,
    StepWord,
    SumLayout,
    WeightLayout,
    WeightWord,
)

NETLIST_BITS = 1 << 16  # limit of Amaranth 0.5 on the bits of a cell, and on all input bits of a module
MARGIN = 512  # control signals beside the wide ports


def gemm_design(config: Config, pe: PeSpec) -> Design:
    """The design of `config` around processing elements of the spec `pe`."""
    top, manifest = gemm_engine(config, pe)
    return make_design(config, top, manifest)


def gemm_engine(config: Config, pe: PeSpec) -> tuple[GemmEngine, GemmManifest]:
    """The engine itself, for simulation in Amaranth, and its part of the manifest."""
    spec, manifest = gemm_spec(config, pe)
    return GemmEngine(spec), manifest


def gemm_spec(config: Config, pe: PeSpec, beats_at_once: int = 1) -> tuple[EngineSpec, GemmManifest]:
    """Spec of the engine, and its part of the manifest. `beats_at_once`: beats consumed per channel and cycle."""
    engine = config.gemm
    spec = EngineSpec(
        pe=pe,
        rows=engine.rows,
        columns=engine.columns,
        formats=engine.weight_formats,
        block=engine.block,
        max_inputs=engine.max_inputs,
        max_tiles=engine.max_tiles,
        channels=config.memory.channels,
        beat_bits=config.memory.beat_bits * beats_at_once,
    )
    _require_writable(config, spec)
    return spec, _manifest(spec, engine, beats_at_once)


def _require_writable(config: Config, spec: EngineSpec) -> None:
    """InputError when a part would have more bits than Amaranth's netlist can number."""
    pe = spec.pe
    word = max(spec.word_bits)
    widths = {
        "a row of PEs": spec.columns * (pe.operand_bits + 1 + pe.sum_bits),
        "the activations": spec.rows * stored_bits(pe) + spec.channels * spec.beat_bits,
        "the gearbox": word + 3 * spec.beat_bits,
    }
    for what, bits in widths.items():
        if bits + MARGIN > NETLIST_BITS:
            raise InputError(
                f"{config.name}: {what} would have {bits:,} bits, more than the {NETLIST_BITS:,} that one module can "
                "be written with: use fewer rows, columns or lanes, or more memory channels"
            )


def _metadata(spec: EngineSpec) -> WeightWord:
    return JoinedMetadata(bits=spec.metadata_bits, joined=True) if spec.joined else WeightWord(bits=spec.metadata_bits)


def _weights(spec: EngineSpec, beats_at_once: int, steps: tuple[StepWord, ...]) -> WeightLayout:
    layout = WeightLayout(
        channels=spec.channels,
        beat_bits=spec.beat_bits // beats_at_once,
        beats_at_once=beats_at_once,
        columns_per_channel=spec.columns_per_channel,
        lanes=spec.pe.lanes,
        block=spec.block,
        scale_bits=SCALE_BITS if spec.has_scales else 0,
        selector_bits=spec.selector_bits,
        metadata=_metadata(spec),
        steps=steps,
        lookup=spec.pe.lookup,
    )
    if not spec.by_blocks:
        return layout
    sets, header = spec.pe.sets, spec.header
    assert sets is not None
    widths = (0, 0) if header is None else tuple(Shape.cast(field.shape).width for _, field in header)
    return BlockLayout(
        **dict(layout),
        sets=sets,
        full_bits=tuple(0 if f.sparse else spec.step_bits(f.full) for f in spec.formats),
        density_bits=widths[0],
        skip_bits=widths[1],
    )


def _manifest(spec: EngineSpec, engine: GemmConfig, beats_at_once: int) -> GemmManifest:
    pe = spec.pe
    steps = tuple(
        StepWord(
            bits=spec.step_bits(f),
            format=f.name,
            index=index,
            code_bits=f.bits,
            cycles=len(pe.shifts(f)),
        )
        for index, f in enumerate(spec.formats)
    )
    job = job_layout(formats=len(spec.formats), max_blocks=spec.max_blocks, max_tiles=spec.max_tiles, rows=spec.rows)
    fields = {name: Shape.cast(field.shape).width for name, field in job}
    return GemmManifest(
        kind=engine.kind,
        rows=spec.rows,
        columns=spec.columns,
        activations=engine.activation_format.name,
        activation_bits=pe.activation_bits,
        weights=_weights(spec, beats_at_once, steps),
        sums=SumLayout(value_bits=pe.value_bits, exponent_bits=pe.exponent_bits, exponent_bias=pe.exponent_bias),
        job=JobLayout(**fields),
        max_inputs=spec.max_inputs,
        max_tiles=spec.max_tiles,
        macs_per_step=spec.rows * spec.columns * pe.lanes,
        # Operands and activations are one cycle behind the issue; results leave the cycle after they were loaded.
        pipeline_cycles=pe.timing.load + 1,
    )
