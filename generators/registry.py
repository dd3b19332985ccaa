"""The engines that configs can ask for: the one place where an engine is registered."""

from collections.abc import Callable

from einloom.config import Config
from generators import bitmod, int_mac
from generators.design import Design

GENERATORS: dict[str, Callable[[Config], Design]] = {"bitmod": bitmod.generate, "int_mac": int_mac.generate}


def generate(config: Config) -> Design:
    """The design of `config`."""
    return GENERATORS[config.engine.kind](config)
