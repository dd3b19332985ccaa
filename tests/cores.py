"""Configs of small cores, for tests that need one."""

from collections.abc import Mapping

import yaml

from einloom.catalogue import shipped_configs
from einloom.generators.registry import describe
from einloom.spec.config import Config, parse_config
from einloom.spec.manifest import Manifest

FLAGSHIPS = tuple(name for name in shipped_configs() if name.startswith("u280"))
"""Shipped cores of a die's size or more: generating one takes half a minute."""
SECTIONS: Mapping[str, Mapping[str, object]] = {
    "engine": {"kind": "bitmod", "rows": 4, "columns": 16, "lanes": 4, "formats": ["int8"], "group": 32},
    "attention": {"kind": "fusemax", "rows": 8, "columns": 4},
    "core": {"lanes": 8},
    "memory": {},
}


def core_config(**changes: Mapping[str, object]) -> Config:
    """A core's config, with `changes` to the keys of its sections; one of engine.kind replaces the whole engine."""
    sections = {}
    for name, defaults in SECTIONS.items():
        given = changes.get(name, {})
        sections[name] = dict(given) if "kind" in given else {**defaults, **given}
    return parse_config(yaml.safe_dump({"name": "small", **sections}), "small.yaml")


def core_manifest(**changes: Mapping[str, object]) -> Manifest:
    """What a program must know of the core of `core_config`."""
    return describe(core_config(**changes))
