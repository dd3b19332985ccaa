"""The engines that configs can ask for: the one place where an engine is registered.

A package of its own registers an engine with an entry point in the group `einloom.engines`, whose object is an
EngineKind (docs/tutorial-engine.md).
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal, cast

from einloom.spec.errors import ToolError
from einloom.spec.plugins import plugins


@dataclass(frozen=True)
class EngineKind:
    """An engine, as the names `module:attribute` of its pieces; each room loads its own.

    Parameters
    ----------
    kind : name in configs.
    computes : products of activations with weights, or attention.
    section : class of its section of a config, a GemmConfig for products.
    generator : function from a Config to the PeSpec of a GEMM engine, or to an attention engine's spec and manifest.
    golden : golden model: (manifest, tensor, activations) -> (value, exponent) for products, and
        (format, rows, job) -> outputs for attention.
    strategy : random configs for tests: a function of the largest size that gives a Hypothesis strategy of Config.
    """

    kind: str
    computes: Literal["products", "attention"]
    section: str
    generator: str
    golden: str
    strategy: str

    def load(self, piece: Literal["section", "generator", "golden", "strategy"]) -> object:
        """Import a piece of the engine; ToolError when it can't be loaded."""
        path: str = getattr(self, piece)
        module, _, attribute = path.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:
            raise ToolError(f"engine {self.kind}: its {piece}, {path}, can't be loaded: {error}") from error


def _products(kind: str, section: str, golden: str) -> EngineKind:
    return EngineKind(
        kind,
        "products",
        section=f"einloom.spec.engines.{kind}:{section}",
        generator=f"einloom.generators.{kind}:pe_spec",
        golden=f"einloom.sim.golden.{golden}:golden_sums",
        strategy=f"einloom.sim.strategies:{kind}_configs",
    )


BUILT_IN = (
    _products("bitmod", "BitmodConfig", "bitmod"),
    _products("int_mac", "IntMacConfig", "gemm"),
    _products("lut", "LutConfig", "lut_engine"),
    _products("sparse_dsp", "SparseDspConfig", "gemm"),
    EngineKind(
        "fusemax",
        "attention",
        section="einloom.spec.engines.fusemax:FuseMaxConfig",
        generator="einloom.generators.fusemax:attention_spec",
        golden="einloom.sim.golden.integer_attention:golden_outputs",
        strategy="einloom.sim.strategies:fusemax_configs",
    ),
)


@cache
def engine_kinds() -> dict[str, EngineKind]:
    """All engines by kind: those of this package, and those that installed packages bring."""
    brought = cast(tuple[EngineKind, ...], plugins("einloom.engines"))
    return {engine.kind: engine for engine in (*BUILT_IN, *brought)}
