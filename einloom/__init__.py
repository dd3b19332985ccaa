"""einloom: one YAML file in, a verified language-model accelerator out."""

from einloom.spec.version import VERSION as __version__

__all__ = ["__version__"]
