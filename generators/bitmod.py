"""The PE of a BitMoD design, from its config."""

from einloom.hw.pe.bitmod import BitmodSpec
from einloom.hw.pe.bitmod_fp16 import BitmodFp16Spec
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.engines.bitmod import BitmodConfig


def pe_spec(config: Config) -> PeSpec:
    """The bit-serial mixture-of-datatypes PE of `config`."""
    engine = config.engine
    assert isinstance(engine, BitmodConfig)
    formats = engine.weight_formats
    if engine.activations == "fp16":
        return BitmodFp16Spec(
            lanes=engine.lanes,
            group=engine.group,
            max_inputs=engine.max_inputs,
            bsig=tuple(f.bsig for f in formats),
        )
    return BitmodSpec(
        lanes=engine.lanes,
        group=engine.group,
        max_inputs=engine.max_inputs,
        max_weight=max(f.max_magnitude for f in formats),
    )
