"""The file of a sweep: a grid, or a sample of one, over keys of configs, over jobs and over models."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from einloom.spec.config import NAME
from einloom.spec.errors import Problem
from einloom.spec.section import Section, problem
from einloom.spec.yaml_document import SHORT

LARGEST = 100_000
"""Points of a sweep."""
JOB = "job."
"""Begins the keys of `over` that are a job's and not the config's."""


class Measure(StrEnum):
    """What is found out about a point."""

    cost = "cost"
    """Cycles of a token and of a prompt, from the cost model."""
    resources = "resources"
    """What the core takes of an FPGA, from the resource model or by synthesis."""
    fidelity = "fidelity"
    """Perplexity on a text, and agreement with the float model, from the golden model."""


def _texts(value: object) -> object:
    """One text stands for a list of it."""
    return (value,) if isinstance(value, str) else value


def _values(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise problem(f"must be a list of one or more values, not {SHORT.repr(value)}")
    return value


Values = Annotated[tuple[Any, ...], BeforeValidator(_values)]


class Job(Section):
    """What a core is to do: keys of `over` that begin with `job.`. What is left out is as `einloom cost` has it."""

    position: Annotated[int, Field(strict=True, ge=0)] | None = None
    prompt: Annotated[int, Field(strict=True, ge=1)] | None = None
    weights: str = ""
    memory: Literal["hbm", "ideal"] = "hbm"
    clock: Annotated[float, Field(ge=50, le=500)] | None = None


class SweepFile(Section):
    """A sweep as its file has it.

    Each point is one of the `models` and one config of `base`, with one value for each key of `over`: all of them
    (`grid`), or `points` of them, drawn at random without repetition from `seed`.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=64)]
    base: Annotated[tuple[str, ...], BeforeValidator(_texts), Field(min_length=1)]
    models: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ()
    over: dict[str, Values] = {}
    kind: Literal["grid", "random"] = "grid"
    points: Annotated[int, Field(strict=True, ge=1, le=LARGEST)] | None = None
    seed: Annotated[int, Field(strict=True, ge=0, lt=1 << 63)] = 0
    measure: Annotated[tuple[Measure, ...], BeforeValidator(_texts), Field(min_length=1)]
    synth: Annotated[bool, Field(strict=True)] = False
    text: str | None = None
    tokens: Annotated[int, Field(strict=True, ge=1)] = 1024

    def contradictions(self) -> Iterator[Problem]:
        """Keys that don't go together."""
        if self.kind == "random" and self.points is None:
            yield Problem("a random sweep needs the number of points to draw", "points")
        if self.kind == "grid" and self.points is not None:
            yield Problem("a grid has all of its points: set kind to random, or leave points out", "points")
        if not self.models and {Measure.cost, Measure.fidelity} & set(self.measure):
            yield Problem("cost and fidelity are those of a model: name one or more", "models")
        if Measure.fidelity in self.measure and self.text is None:
            yield Problem("fidelity needs a text: name its file", "text")
        if Measure.fidelity not in self.measure and self.text is not None:
            yield Problem("only fidelity reads a text: add it to measure, or leave text out", "text")
        if self.synth and Measure.resources not in self.measure:
            yield Problem("only resources are synthesised: add them to measure, or leave synth out", "synth")
        for key in ("base", "models", "measure"):
            values = getattr(self, key)
            for value in dict.fromkeys(v for v in values if values.count(v) > 1):
                yield Problem(f"{str(value)!r} stands here twice", key)
