"""A sweep's file as points to measure; all that is wrong with it is said at once."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from einloom.catalogue import load_config, load_graph, shipped_models, sweep_file
from einloom.spec.config import Config
from einloom.spec.errors import InputError, Problem
from einloom.spec.files import read_text
from einloom.spec.suggest import did_you_mean
from einloom.spec.sweep_file import JOB, LARGEST, Job, Measure, SweepFile
from einloom.spec.yaml_document import Document, parse_document
from einloom.sweeps import axes
from einloom.sweeps.keys import changed, key_problems

REQUIRED: Mapping[str, Any] = {"name": "sweep", "base": ("default",), "measure": ("resources",)}
"""Stands for what is wrong in a file, so that the rest of it can be looked at, too."""


@dataclass(frozen=True)
class Settings:
    """What is measured of every point; `text` is the path of the text that fidelity is measured on."""

    measures: tuple[Measure, ...]
    synth: bool
    text: str | None
    tokens: int


@dataclass(frozen=True)
class Point:
    """A config, as the JSON of its mapping, a model's path and a job."""

    config: str
    model: str | None
    job: Job


@dataclass(frozen=True)
class Plan:
    """The points of a sweep.

    Attributes
    ----------
    bases : mappings of configs, by the names that the file has for them.
    models : paths, likewise.
    over : values of each key.
    numbers : of the grid's points, those that are measured.
    """

    name: str
    settings: Settings
    bases: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, str]
    over: Mapping[str, tuple[Any, ...]]
    numbers: tuple[int, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What points differ in."""
        return (*(["model"] if self.models else []), "base", *self.over)

    @cached_property
    def _axes(self) -> tuple[tuple[Any, ...], ...]:
        return _axes(self.models, self.bases, self.over)

    def labels(self, number: int) -> dict[str, Any]:
        """Values of a point, by column."""
        return dict(zip(self.columns, axes.values_at(self._axes, number), strict=True))

    def point(self, number: int) -> Point:
        """Point `number` of the grid."""
        labels = self.labels(number)
        data, job = self.bases[labels["base"]], {}
        for key in self.over:
            if key.startswith(JOB):
                job[key.removeprefix(JOB)] = labels[key]
            else:
                data = changed(data, key, labels[key])
        model = self.models[labels["model"]] if self.models else None
        return Point(json.dumps(data), model, Job.model_validate(job))


def read_plan(sweep: str | Path | Mapping[str, Any]) -> Plan:
    """The points of the sweep in a file, of the shipped one of a name, or of a mapping.

    Paths in a file are relative to its folder. ConfigError with all that is wrong with it.
    """
    if isinstance(sweep, Mapping):
        return _plan(Document("sweep", dict(sweep)), Path())
    path = sweep_file(sweep)
    return _plan(parse_document(read_text(path), path, "name, base, models, over and measure"), path.parent)


def _plan(document: Document, folder: Path) -> Plan:
    problems = list(document.duplicates())
    file, wrong = _parsed(document, problems)
    bases = {} if "base" in wrong else _bases(file, folder, document, problems)
    models = _models(file, folder, document, problems)
    problems += key_problems(file.over, list(bases.values()), document)
    text = None if file.text is None else str((folder / file.text).absolute())
    if text is not None:
        problems += _said(lambda: read_text(Path(text)), "text", document.line(("text",)))
    total = axes.size(_axes(models, bases, file.over))
    if file.kind == "grid" and total > LARGEST:
        many = f"the grid has {total:,} points, and a sweep at most {LARGEST:,}: set kind to random, and points"
        problems.append(Problem(many, "over", document.line(("over",))))
    document.refuse(problems)
    numbers = range(total) if file.points is None else axes.sample(total, file.points, file.seed)
    settings = Settings(file.measure, file.synth, text, file.tokens)
    return Plan(file.name, settings, bases, models, file.over, tuple(numbers))


def _axes(*groups: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...]:
    """Names of models, if there are any, names of bases, and the values of each key."""
    models, bases, over = groups
    return (*([tuple(models)] if models else []), tuple(bases), *over.values())


def _parsed(document: Document, problems: list[Problem]) -> tuple[SweepFile, set[str]]:
    """The file, and the keys that are wrong in it; others stand for these."""
    try:
        file, wrong = SweepFile.model_validate(document.data), set[str]()
    except ValidationError as error:
        errors = error.errors()
        places = [tuple(part for part in e["loc"] if part != "[key]") for e in errors]
        problems += [document.explain(e, at, SweepFile.model_fields) for e, at in zip(errors, places, strict=True)]
        wrong = {str(at[0]) for at in places}
        right = {key: value for key, value in document.data.items() if str(key) not in wrong}
        if isinstance(over := document.data.get("over"), dict):
            right["over"] = {key: values for key, values in over.items() if ("over", key) not in places}
        file = SweepFile.model_validate({**REQUIRED, **right})
    if wrong <= document.data.keys() - SweepFile.model_fields.keys():
        problems += [Problem(p.message, p.key, document.line((p.key,))) for p in file.contradictions()]
    return file, wrong


def _bases(file: SweepFile, folder: Path, document: Document, problems: list[Problem]) -> dict[str, Mapping[str, Any]]:
    """Mappings of the configs that a file names; what is wrong with them becomes problems."""
    found: dict[str, Mapping[str, Any]] = {}
    for n, name in enumerate(file.base):
        try:
            path = folder / name
            config: Config = load_config(path if path.is_file() else name)
        except (InputError, OSError) as error:  # such as a name that is too long
            problems.append(Problem(str(error), "base", document.line(("base", n))))
        else:
            found[name] = config.model_dump(mode="json", exclude_unset=True)
    return found


def _models(file: SweepFile, folder: Path, document: Document, problems: list[Problem]) -> dict[str, str]:
    """Paths of the models that a file names; what is wrong with them becomes problems."""
    found, shipped = {}, shipped_models()
    for n, name in enumerate(file.models):
        line = document.line(("models", n))
        path = folder / name if _exists(folder / name) else shipped.get(name)
        if path is None:
            near = did_you_mean(name, shipped)
            text = f"{name}: neither a model's path nor a shipped model{near}; shipped: {', '.join(shipped)}"
            problems.append(Problem(text, "models", line))
            continue
        problems += _said(lambda path=path: load_graph(path), "models", line)
        found[name] = str(path.absolute())
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def _said(call: Any, key: str, line: int | None) -> Iterator[Problem]:
    """The problem that `call` ends with, if it does."""
    try:
        call()
    except InputError as error:
        yield Problem(str(error), key, line)
