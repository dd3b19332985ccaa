"""einloom: one YAML file in, a verified language-model accelerator out.

The whole of it from Python; the commands of `einloom` call nothing else.

    import einloom

    config = einloom.load_config("default")        # a shipped name, a YAML file, or a mapping
    design = einloom.generate(config)              # Verilog and manifest
    model = einloom.load_model("shakespeare-1m")   # a shipped name or a folder
    compiled = einloom.compile(model, config)      # program and memory images
    with einloom.open(compiled, "rtl") as core:    # or "golden", "kernel", "card"
        print(einloom.generate_text(core, "ROMEO:", 8).text)

Names are loaded when they are first used: `import einloom` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from einloom.spec.version import VERSION as __version__

if TYPE_CHECKING:
    from einloom.allocation import allocate
    from einloom.cascades import cascade
    from einloom.catalogue import load_config, load_model
    from einloom.compiled import compile
    from einloom.costing import cost
    from einloom.designing import design
    from einloom.designs import generate
    from einloom.diagnosis import diagnose
    from einloom.evaluation import evaluate
    from einloom.kernels import check, kernel
    from einloom.quantized_model import quantize
    from einloom.running import generate_text, open
    from einloom.simulation import simulate
    from einloom.spec.sampling import Sampling
    from einloom.sweeping import sweep
    from einloom.synthesis import synthesise

__all__ = [
    "Sampling",
    "__version__",
    "allocate",
    "cascade",
    "check",
    "compile",
    "cost",
    "design",
    "diagnose",
    "evaluate",
    "generate",
    "generate_text",
    "kernel",
    "load_config",
    "load_model",
    "open",
    "quantize",
    "simulate",
    "sweep",
    "synthesise",
]

_HOMES = {
    "Sampling": "spec.sampling",
    "allocate": "allocation",
    "cascade": "cascades",
    "check": "kernels",
    "compile": "compiled",
    "cost": "costing",
    "design": "designing",
    "diagnose": "diagnosis",
    "evaluate": "evaluation",
    "generate": "designs",
    "generate_text": "running",
    "kernel": "kernels",
    "load_config": "catalogue",
    "load_model": "catalogue",
    "open": "running",
    "quantize": "quantized_model",
    "simulate": "simulation",
    "sweep": "sweeping",
    "synthesise": "synthesis",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"einloom.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'einloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
