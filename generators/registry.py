"""Designs of a config, by the engines that it asks for (spec/engine_kinds.py)."""

from collections.abc import Callable
from typing import cast

from einloom.generators.core import core_design, core_manifest
from einloom.generators.design import Design
from einloom.generators.fusemax import attention_design
from einloom.generators.gemm import gemm_design
from einloom.hw.pe.spec import PeSpec
from einloom.spec.config import Config
from einloom.spec.engine_kinds import engine_kinds
from einloom.spec.manifest import Manifest


def pe_spec(config: Config) -> PeSpec:
    """The processing element of `config`'s GEMM engine; InputError when it has none."""
    return cast(Callable[[Config], PeSpec], engine_kinds()[config.gemm.kind].load("generator"))(config)


def generate_all(config: Config) -> list[Design]:
    """Designs of `config`: its core, or else its engine, and the attention engine beside it if there is one."""
    if config.core is not None:
        return [core_design(config, pe_spec(config))]
    beside = config.attention_config
    return [generate(config), *([generate(beside)] if beside is not None else [])]


def describe(config: Config) -> Manifest:
    """The manifest of the core of `config`, without its Verilog: at once. InputError when it has none."""
    _ = config.core_section
    return core_manifest(config, pe_spec(config))


def generate(config: Config) -> Design:
    """The design of `config`'s engine alone."""
    if engine_kinds()[config.engine.kind].computes == "attention":
        return attention_design(config)
    alone = config.model_copy(update={"engine": config.gemm.alone()})
    return gemm_design(alone, pe_spec(alone))
