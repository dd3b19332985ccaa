"""From a config to a BitMoD design."""

from einloom.config import BitmodConfig, Config
from generators.design import Design
from generators.gemm import gemm_design
from hw.pe.bitmod import BitmodSpec
from hw.pe.bitmod_fp16 import BitmodFp16Spec


def generate(config: Config) -> Design:
    """The bit-serial mixture-of-datatypes array of `config`."""
    engine = config.engine
    assert isinstance(engine, BitmodConfig)
    sizes = {"lanes": engine.lanes, "group": engine.group, "max_inputs": engine.max_inputs}
    if engine.activations == "fp16":
        return gemm_design(config, BitmodFp16Spec(**sizes, bsig=tuple(f.bsig for f in engine.weight_formats)))
    max_weight = max(f.max_magnitude for f in engine.weight_formats)
    return gemm_design(config, BitmodSpec(**sizes, max_weight=max_weight))
