"""The PE of a design with DSP chains, from its config."""

from einloom.hw.pe.sparse_dsp import SparseDspSpec
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.engines.sparse_dsp import SparseDspConfig


def pe_spec(config: Config) -> PeSpec:
    """The PE of DSP chains of `config`."""
    engine = config.engine
    assert isinstance(engine, SparseDspConfig)
    return SparseDspSpec(
        lanes=engine.lanes,
        group=engine.group,
        max_inputs=engine.max_inputs,
        formats=engine.weight_formats,
        tokens=engine.packing == "tokens",
        fields=3 if engine.packing == "three_weights" else 2,
        scales_in_dsps=engine.scales_in_dsps,
        sets=engine.sets,
    )
