"""The PE of an array that multiplies by table look-up, from its config."""

from einloom.hw.pe.lut import LutSpec
from einloom.hw.pe.lut_fp16 import LutFp16Spec
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.engines.lut import LutConfig


def pe_spec(config: Config) -> PeSpec:
    """The look-up PE of `config`."""
    engine = config.engine
    assert isinstance(engine, LutConfig)
    spec = LutFp16Spec if engine.activations == "fp16" else LutSpec
    return spec(
        lanes=engine.lanes,
        table_inputs=engine.table_inputs,
        table=engine.table,
        entries=engine.entries,
        entry_scale=engine.entry_scale,
        formats=engine.weight_formats,
        group=engine.scale_group,
        max_inputs=engine.max_inputs,
        prepared=engine.precompute == "fused",
    )
