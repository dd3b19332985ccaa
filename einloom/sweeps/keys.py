"""The keys of a sweep and their values, before anything is measured.

A value that a key can't have in any config is a fault of the sweep's file. Values that contradict those of other keys
are faults of single points, and no matter here.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from einloom.spec.config import OTHERS, SECTIONS, check_config
from einloom.spec.errors import ConfigError, Problem
from einloom.spec.formats import FORMATS
from einloom.spec.suggest import did_you_mean
from einloom.spec.sweep_file import JOB, Job
from einloom.spec.yaml_document import SHORT, Document

KIND = "engine.kind"
MIXTURE = "auto:"
"""Begins the names of mixtures of formats (docs/compression.md)."""


def known_keys() -> list[str]:
    """All keys that a sweep can be over."""
    sections = [*(("engine", section) for section in SECTIONS.values()), *OTHERS.items()]
    config = [f"{name}.{key}" for name, section in sections for key in section.model_fields]
    return list(dict.fromkeys([*(f"{JOB}{key}" for key in Job.model_fields), *config]))


def key_problems(
    over: Mapping[str, Sequence[Any]], bases: Sequence[Mapping[str, Any]], document: Document
) -> Iterator[Problem]:
    """All that is wrong with the keys of a sweep and with each of their values."""
    known = known_keys()
    kinds = [kind for kind in over.get(KIND, ()) if isinstance(kind, str)]
    variants = [changed(base, KIND, kind) for base in bases for kind in kinds] if kinds else list(bases)
    for key, values in over.items():
        place = ("over", key)
        if key not in known:
            near = did_you_mean(key, known)
            hint = near or f": it must be section.key, such as engine.columns, or {JOB}position and its like"
            yield Problem(f"unknown key{hint}", f"over.{key}", document.line(place))
            continue
        found = dict[str, int]()  # each text once, at the first value that it is said of
        for n, value in enumerate(values):
            for message in _faults(key, value, variants):
                found.setdefault(message, n)
        texts = [repr(value) for value in values]
        for n, text in enumerate(texts):
            if texts.index(text) < n:
                found.setdefault(f"{SHORT.repr(values[n])} stands here twice", n)
        for message, n in found.items():
            yield Problem(message, f"over.{key}", document.line((*place, n)))


def changed(data: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A config's mapping with another value of the key `section.name`."""
    section, _, name = key.partition(".")
    return {**copy.deepcopy(dict(data)), section: {**(data.get(section) or {}), name: value}}


def _faults(key: str, value: Any, variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a key's value, whatever the other keys are."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return [f"must be a number, a text or a list of these, not {SHORT.repr(value)}"]
    return _job_faults(key, value) if key.startswith(JOB) else _config_faults(key, value, variants)


def _config_faults(key: str, value: Any, variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a key's value in every one of some configs, whatever the other keys are."""
    found = list[str]()
    for variant in variants:
        try:
            check_config(changed(variant, key, value))
        except ConfigError as error:
            found = [p.message for p in error.problems if p.key == key or p.key.startswith(f"{key}.")]
            if found:
                continue
        return []
    return found


def _job_faults(key: str, value: Any) -> list[str]:
    name = key.removeprefix(JOB)
    try:
        Job.model_validate({name: value})
    except ValidationError as error:
        return [Document("", {}).explain(e, (name,), ()).message for e in error.errors()]
    if name == "weights" and value and value not in FORMATS and not value.startswith(MIXTURE):
        return [f"{value}: no weight format{did_you_mean(value, FORMATS)}"]
    return []
