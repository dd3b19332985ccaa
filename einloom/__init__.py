"""einloom: one YAML file in, a verified language-model accelerator out."""

__version__ = "0.1.0"
