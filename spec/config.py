"""The config schema: one YAML file that says what to build, checked as a whole before anything else happens."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast

from pydantic import BaseModel, Field, PlainValidator, ValidationError, model_validator
from pydantic_core import ErrorDetails

from einloom.spec.engine_kinds import engine_kinds
from einloom.spec.engines.fusemax import FuseMaxConfig
from einloom.spec.engines.gemm import GemmConfig
from einloom.spec.errors import ConfigError, InputError, Problem
from einloom.spec.floorplan_config import FloorplanConfig
from einloom.spec.section import PositiveCount, Section, problem
from einloom.spec.suggest import did_you_mean
from einloom.spec.yaml_document import SHORT, Document, parse_document

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
ADD_A_CORE = "add the sections core and attention, or use another config"

SECTIONS = {kind: cast(type[BaseModel], engine.load("section")) for kind, engine in engine_kinds().items()}
"""The section of each engine."""
if TYPE_CHECKING:
    EngineConfig = GemmConfig | FuseMaxConfig
else:
    EngineConfig = Annotated[Union[tuple(SECTIONS.values())], Field(discriminator="kind")]  # noqa: UP007


class MemoryConfig(Section):
    """Memory that weights come from: `channels` streams, each of at most one beat of `beat_bits` a cycle."""

    channels: PositiveCount = 1
    beat_bits: Literal[32, 64, 128, 256, 512] = 256


MEMORIES = ("vector_words", "activation_words", "query_words", "staging_words")
"""Keys of a core's memories on the chip."""
LANE_MEMORIES = ("query_words", "staging_words")
"""Those that every attention lane has."""
LARGEST_MEMORY = 1 << 16
"""Words that an instruction can address."""
AUTO: Literal["auto"] = "auto"


def largest_memories(attention_lanes: int) -> dict[str, int]:
    """Words of the largest memories that a core with so many attention lanes can have, which share addresses."""
    return {name: LARGEST_MEMORY // (attention_lanes if name in LANE_MEMORIES else 1) for name in MEMORIES}


def _words(value: object) -> object:
    if value != AUTO and (type(value) is not int or not 1 <= value <= LARGEST_MEMORY):
        raise problem(f"must be a number of words from 1 to {LARGEST_MEMORY:,}, or auto, not {SHORT.repr(value)}")
    return value


Words = Annotated[int | Literal["auto"], PlainValidator(_words)]


class CoreConfig(Section):
    """Parts of a core around the engines: vector unit, memories on the chip, queues of weights.

    The vector unit has `lanes` float32 lanes, and memories are counted in words of `lanes` elements. Those that are
    `auto` are as large as a model needs, once one is named (einloom/memory_sizes.py). Each weight channel has a queue
    of `fifo_beats`; the GEMM engine takes `beats_at_once` of them in a cycle. With `parity` a bit that these memories
    lose stops the core. Keys and values are codes of `cache_bits` with `cache_scales`: fixed ones, or one for each
    token and head, computed as they are written. With `cache_recent` tiles, those of a job's last tiles and of the
    first have eight bits, and only the others four. They lie in the `cache_memory`: with all but weights in that of the
    `system`, or beside the weights behind the `channels`. Then `attention_lanes` attention engines work side by side,
    each with keys and values of its own behind its share of the channels. With `cache_ring`, layers with a window keep
    no more positions than it has, so that a text has no end.
    """

    lanes: Literal[8, 16, 32] = 16
    vector_words: Words = 8192
    activation_words: Words = 128
    query_words: Words = 128
    staging_words: Words = 64
    fifo_beats: Annotated[int, Field(strict=True, ge=64, le=1 << 14)] = 512
    beats_at_once: Literal[1, 2, 4] = 1
    cache_bits: Literal[4, 8] = 8
    cache_scales: Literal["static", "token"] = "static"
    cache_recent: Literal[0, 1, 2, 4, 8] = 0
    cache_ring: bool = False
    cache_memory: Literal["system", "channels"] = "system"
    attention_lanes: Literal[1, 2, 4, 8, 16, 32] = 1
    parity: bool = False


OTHERS: dict[str, type[BaseModel]] = {
    "memory": MemoryConfig,
    "attention": FuseMaxConfig,
    "core": CoreConfig,
    "floorplan": FloorplanConfig,
}
"""The other sections, by their keys."""


class Config(Section):
    """A whole accelerator config.

    `digest` is the hash that designs, manifests and programs carry; it covers every key, defaults included.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=64)]
    engine: EngineConfig
    memory: MemoryConfig = MemoryConfig()
    attention: FuseMaxConfig | None = None
    core: CoreConfig | None = None
    floorplan: FloorplanConfig = FloorplanConfig()

    @model_validator(mode="after")
    def _core_fits(self) -> "Config":
        if self.core is None:
            if isinstance(self.engine, GemmConfig):
                for rule in self.engine.alone_problems():
                    raise problem(rule)
            return self
        if isinstance(self.engine, FuseMaxConfig) or self.attention is None:
            raise problem("a core needs a GEMM engine as its engine, and the section attention")
        for rule in self.engine.core_problems():
            raise problem(rule)
        if self.engine.columns % self.core.lanes:
            raise problem(
                f"the engine's {self.engine.columns} columns must be a multiple of core.lanes, {self.core.lanes}"
            )
        if self.core.lanes % self.engine.lanes:
            raise problem(f"core.lanes, {self.core.lanes}, must be a multiple of engine.lanes, {self.engine.lanes}")
        together = self.engine.step_inputs // self.core.lanes
        words = self.core.activation_words
        if together and words != AUTO and words % together:
            raise problem(
                f"a step of the engine reads {together} words of activations: core.activation_words, "
                f"{words}, must be a multiple of that"
            )
        if self.memory.beat_bits not in (256, 512):
            raise problem(
                f"a core has memory ports of 256 or 512 bits, not memory.beat_bits of {self.memory.beat_bits}"
            )
        if 32 * self.core.lanes % self.memory.beat_bits:
            raise problem(
                f"a word of {self.core.lanes} floats (core.lanes) must be whole beats of {self.memory.beat_bits} bits "
                "(memory.beat_bits)"
            )
        for lane_rule in self._lane_problems(self.core):
            raise problem(lane_rule)
        staged = self.attention.rows * self.core.lanes * self.core.cache_bits
        beat = self.memory.beat_bits * self.cache_stripes
        if staged < beat:
            wide = f" * {self.cache_stripes} channels of a lane" if self.cache_stripes > 1 else ""
            raise problem(
                f"a word of each of a tile's keys must fill a beat: attention.rows * core.lanes * core.cache_bits, "
                f"{staged}, must be at least memory.beat_bits{wide}, {beat}"
            )
        element = 16 if self.core.cache_scales == "token" else 8
        if self.attention.input_bits != element:
            raise problem(
                f"with core.cache_scales {self.core.cache_scales} the attention engine takes keys and values of "
                f"{element} bits: set attention.input_bits to {element}"
            )
        if self.core.cache_recent and (self.core.cache_bits, self.core.cache_scales) != (4, "token"):
            raise problem("core.cache_recent needs core.cache_bits 4 and core.cache_scales token")
        if self.core.cache_recent and self.core.cache_ring:
            raise problem("core.cache_recent keeps tiles at places of their own: set core.cache_ring to false")
        if self.attention.spans != 1:
            raise problem("a core reads one tile of keys at a time: set attention.spans to 1")
        if self.engine.rows > 128:
            raise problem(f"a core works on up to 128 tokens at once, not on engine.rows of {self.engine.rows}")
        if self.engine.rows > self.attention.rows:
            raise problem(
                f"{self.engine.rows} tokens at once (engine.rows) must fit into a tile of {self.attention.rows} keys "
                "(attention.rows)"
            )
        return self

    def _lane_problems(self, core: CoreConfig) -> Iterator[str]:
        """What is wrong with the attention lanes, which share the channels of weights evenly."""
        lanes, channels = core.attention_lanes, self.memory.channels
        if core.cache_memory == "system":
            if lanes > 1:
                yield f"{lanes} core.attention_lanes read the cache through channels: set core.cache_memory to channels"
            return
        if channels % lanes or channels // lanes & channels // lanes - 1:
            yield (
                f"an attention lane reads a power of two of channels: memory.channels, {channels}, must be one, and at "
                f"least core.attention_lanes, {lanes}"
            )
        for name in LANE_MEMORIES:
            words = getattr(core, name)
            if lanes > 1 and words != AUTO and (words & words - 1 or words * lanes > LARGEST_MEMORY):
                yield (
                    f"core.{name}, {words}, must be a power of two with several core.attention_lanes, and together at "
                    f"most {LARGEST_MEMORY:,} words"
                )

    @property
    def cache_stripes(self) -> int:
        """Channels whose beats together are one of the cache."""
        core = self.core
        return self.memory.channels // core.attention_lanes if core and core.cache_memory == "channels" else 1

    @model_validator(mode="after")
    def _memory_fits(self) -> "Config":
        if isinstance(self.engine, FuseMaxConfig):
            if self.attention is not None:
                raise problem("the engine is an attention engine already: leave the section attention out")
            if self.memory != MemoryConfig():
                raise problem("the streams of fusemax follow from its rows and input_bits: leave memory out")
            return self
        if self.engine.columns % self.memory.channels:
            raise problem(
                f"{self.memory.channels} memory channels cannot share {self.engine.columns} columns evenly: make "
                "engine.columns a multiple of memory.channels"
            )
        together = self.engine.columns_together * self.memory.channels
        if self.engine.columns % together:
            raise problem(
                f"{self.engine.columns_together} columns share a DSP and must have the same memory channel: make "
                f"engine.columns a multiple of {together}, not {self.engine.columns}"
            )
        return self

    @property
    def core_section(self) -> CoreConfig:
        """The section core; InputError when this config builds an engine alone."""
        if self.core is None:
            raise InputError(f"config {self.name} builds an engine, not a core that could run a model: {ADD_A_CORE}")
        return self.core

    @property
    def unsized(self) -> tuple[str, ...]:
        """The core's memories whose sizes follow from a model, by their keys."""
        core = self.core
        return () if core is None else tuple(name for name in MEMORIES if getattr(core, name) == AUTO)

    def with_memories(self, words: Mapping[str, int | Literal["auto"]]) -> "Config":
        """The config with other sizes of the core's memories."""
        return self.model_copy(update={"core": self.core_section.model_copy(update=dict(words))})

    def memory_words(self) -> dict[str, int]:
        """Sizes of the core's memories; InputError when one is still to follow from a model."""
        if self.unsized:
            keys = ", ".join(f"core.{name}" for name in self.unsized)
            raise InputError(
                f"config {self.name}: {keys}: auto is as large as a model needs: name one, with --model for commands "
                "that take none otherwise, or give a number of words"
            )
        return {name: getattr(self.core_section, name) for name in MEMORIES}

    @property
    def gemm(self) -> GemmConfig:
        """The engine of linear layers; InputError when this config has none."""
        if isinstance(self.engine, FuseMaxConfig):
            raise InputError(f"{self.name} is an attention engine, {self.engine.kind}, which takes no weights")
        return self.engine

    @property
    def attention_config(self) -> "Config | None":
        """The attention engine beside the GEMM engine as a config of its own; it becomes a design of its own."""
        return None if self.attention is None else Config(name=f"{self.name}-attention", engine=self.attention)

    @property
    def digest(self) -> str:
        """SHA-256 of the config's canonical JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def read_config(path: Path) -> Config:
    """The config in the YAML file at `path`; ConfigError with every problem, its line and its key otherwise."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, [Problem(f"cannot be read: {error}")]) from error
    return parse_config(text, path)


def parse_config(text: str, file: Path | str) -> Config:
    """The config in `text`; `file` is named in errors."""
    return _checked(parse_document(text, file, "name, engine and memory"))


def check_config(data: Mapping[str, Any]) -> Config:
    """The config that a mapping is; ConfigError with every problem and its key otherwise."""
    return _checked(Document("config", dict(data)))


def _checked(document: Document) -> Config:
    problems = list(document.duplicates())
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        problems += [_explain(e, document) for e in error.errors()]
    document.refuse(problems)
    return config


def _explain(error: ErrorDetails, document: Document) -> Problem:
    """One pydantic error as a problem with its line; the discriminator's tag is not part of the key."""
    kinds = SECTIONS
    location = tuple(
        p for n, p in enumerate(error["loc"]) if not (n == 1 and error["loc"][0] == "engine" and p in kinds)
    )
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        given = error["input"].get("kind") if isinstance(error["input"], dict) else None
        near = did_you_mean(given, kinds) if isinstance(given, str) else ""
        at = (*location, "kind")
        text = f"must be one of {', '.join(kinds)}, not {SHORT.repr(given)}{near}"
        return Problem(text, ".".join(map(str, at)), document.line(at))
    section: Any = Config
    if len(location) > 1:
        section = kinds.get(str(error["loc"][1])) if location[0] == "engine" else OTHERS.get(str(location[0]))
    return document.explain(error, location, (section or Config).model_fields)
