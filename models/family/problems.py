"""What a config says that cannot be, in words."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from einloom.spec.errors import ConfigError, Problem


def problem(rule: str) -> PydanticCustomError:
    """What a validator raises for a rule that the keys break together."""
    return PydanticCustomError("einloom", "{rule}", {"rule": rule})


def config_error(path: Path, error: ValidationError, names: Mapping[str, str]) -> ConfigError:
    """All problems of the file at `path`, which may know keys under other `names`."""
    return ConfigError(path, [_explain(e, names) for e in error.errors()])


def _explain(error: ErrorDetails, names: Mapping[str, str]) -> Problem:
    places, given = [str(part) for part in error["loc"]], error["input"]
    if len(places) > 1 and places[0] in ("rope", "local_rope"):  # gathered from several places of the file
        places = places[1:]
    key = names.get(".".join(places), ".".join(places))
    if error["type"] == "missing":
        return Problem("is required", key)
    if error["type"] == "literal_error":
        return Problem(f"must be {error['ctx']['expected']}, not {given!r}: einloom computes no other variant", key)
    if error["type"] in {"einloom", "json_invalid"}:
        return Problem(error["msg"])
    if error["type"] == "model_type":
        return Problem("must be a JSON object")
    return Problem(f"{error['msg']} (given: {given!r})", key)
