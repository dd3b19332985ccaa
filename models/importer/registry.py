"""The families of models: one file each in models/families, found by what its `FAMILY` says."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from einloom.models import families
from einloom.models.family.keys import DecoderKeys
from einloom.models.family.problems import config_error
from einloom.spec.errors import ConfigError, Problem


class _Kind(BaseModel):
    model_type: Any


@cache
def family_classes() -> Mapping[str, type[DecoderKeys]]:
    """The class of keys of each model_type."""
    found = {}
    for module in sorted(pkgutil.iter_modules(families.__path__), key=lambda m: m.name):
        family: type[DecoderKeys] = importlib.import_module(f"{families.__name__}.{module.name}").FAMILY
        for name in get_args(family.model_fields["model_type"].annotation):
            found[name] = family
    return found


def family_class(path: Path, model_type: Any, key: str = "model_type") -> type[DecoderKeys]:
    """The class of keys of that type; ConfigError with what is known otherwise."""
    known = family_classes()
    if not isinstance(model_type, str) or model_type not in known:
        names = ", ".join(repr(name) for name in known)
        raise ConfigError(path, [Problem(f"must be one of {names}, not {model_type!r}", key)])
    return known[model_type]


def their_names(family: type[DecoderKeys]) -> dict[str, str]:
    """What the family's files call keys that are named otherwise here."""
    return {ours: theirs for theirs, ours in family.renamed.items()}


def load_keys(path: Path) -> DecoderKeys:
    """The keys in the JSON file at `path`; ConfigError with every problem and its key otherwise."""
    family: type[DecoderKeys] = DecoderKeys
    try:
        raw = path.read_bytes()
        family = family_class(path, _Kind.model_validate_json(raw).model_type)
        return family.model_validate_json(raw)
    except OSError as error:
        raise ConfigError(path, [Problem(f"cannot be read: {error.strerror}")]) from error
    except ValidationError as error:
        raise config_error(path, error, their_names(family)) from error
