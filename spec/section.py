"""Base of the sections of a config file: unknown keys are errors, and a broken rule is a sentence."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

PositiveCount = Annotated[int, Field(strict=True, ge=1, le=1024)]


def problem(rule: str) -> PydanticCustomError:
    """An error whose message is `rule`."""
    return PydanticCustomError("einloom", "{rule}", {"rule": rule})


class Section(BaseModel):
    """A mapping of the config file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
