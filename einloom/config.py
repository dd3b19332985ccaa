"""The config schema: one YAML file that says what to build, checked as a whole before anything else happens."""

import hashlib
import json
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from einloom import yaml_text
from einloom.attention import MIN_HEAD
from einloom.errors import ConfigError, InputError, Problem
from einloom.formats import FORMATS, PLANE_FORMATS, SCALE_BITS, TERM_FORMATS, Format
from einloom.suggest import did_you_mean

NAME = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
SHORT = reprlib.Repr()
"""Shows a value of the file in an error, cut where it is long."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 100
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=1024)]


def _problem(rule: str) -> PydanticCustomError:
    return PydanticCustomError("einloom", "{rule}", {"rule": rule})


def _checked_formats(names: tuple[str, ...], known: Mapping[str, Format]) -> tuple[str, ...]:
    """`names`, when each of them is known and there once."""
    for name in names:
        if name not in known:
            raise _problem(f"unknown format {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}")
    if len(set(names)) != len(names):
        raise _problem("a format is listed twice")
    return names


def _require_hidden_scale(name: str, group: int, lanes: int, terms: int, needed: int) -> None:
    """A problem unless a group is at work for the `needed` cycles in which the one before is scaled."""
    cycles = group // lanes * terms
    if cycles < needed:
        raise _problem(
            f"a group of {group} {name} weights lasts {cycles} cycles with {lanes} lanes, but its bit-serial scale "
            f"needs {needed}: use fewer lanes or a larger group"
        )


class Section(BaseModel):
    """A mapping of the config file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MemoryConfig(Section):
    """Where weights come from: as many streams as `channels`, each one beat of `beat_bits` a cycle at best."""

    channels: PositiveCount = 1
    beat_bits: Literal[32, 64, 128, 256, 512] = 256


class GemmConfig(Section):
    """What every GEMM engine has: an array of `rows` tokens by `columns` output channels, `lanes` inputs at a time."""

    rows: PositiveCount = 16
    columns: PositiveCount = 16
    lanes: Literal[1, 2, 4, 8, 16] = 4
    max_inputs: Annotated[int, Field(strict=True, ge=32, le=1 << 20)] = 16384
    max_tiles: Annotated[int, Field(strict=True, ge=1, le=1 << 20)] = 65536

    @property
    def scale_group(self) -> int | None:
        """Inputs that share a scale in the array; None for engines whose output channels have one scale each."""
        return None


class BitmodConfig(GemmConfig):
    """The bit-serial mixture-of-datatypes array (BitMoD, HPCA 2025)."""

    kind: Literal["bitmod"]
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bitmod-fp4",)
    group: Literal[32, 64, 128] = 128
    activations: Literal["int8", "fp16"] = "int8"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_formats(names, TERM_FORMATS)

    @model_validator(mode="after")
    def _dequantiser_hides(self) -> "BitmodConfig":
        needed = SCALE_BITS + (self.activations == "fp16")  # fp16 sums are aligned before they are scaled
        for name in self.formats:
            _require_hidden_scale(name, self.group, self.lanes, FORMATS[name].terms_per_weight, needed)
        if self.max_inputs % self.group:
            raise _problem(f"max_inputs must be a multiple of the group, {self.group}, not {self.max_inputs}")
        return self

    @property
    def scale_group(self) -> int:
        return self.group

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.group

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)


class LutConfig(GemmConfig):
    """The array that multiplies by table look-up (LUT Tensor Core, ISCA 2025).

    Each row makes tables of up to `table_inputs` of its activations, which all columns share. `table` is what is kept
    of one: "full", all sums; "half", those with a plus in the last lane; "remap", half, with weights that were remapped
    offline. "int8" `entries` are rounded to eight bits with a dynamic power of two for each row's step. "fp16"
    `activations` are aligned in the row to the largest exponent so far, so that tables are integers there too.
    `precompute` says where tables are made: in each "row" of the array, again for every tile of outputs, or "fused"
    with the operator that writes activations, once, in front of the buffer that then holds tables.
    """

    kind: Literal["lut"]
    lanes: Literal[1, 2, 4, 8, 16, 32, 64] = 16  # type: ignore[assignment] # one look-up serves several lanes
    table_inputs: Annotated[int, Field(strict=True, ge=1, le=6)] = 4
    table: Literal["full", "half", "remap"] = "remap"
    entries: Literal["exact", "int8"] = "exact"
    precompute: Literal["row", "fused"] = "row"
    formats: Annotated[tuple[str, ...], Field(min_length=1)] = ("bipolar4",)
    group: Literal[32, 64, 128, "channel"] = 128
    activations: Literal["int8", "fp16"] = "int8"

    @field_validator("formats")
    @classmethod
    def _known_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _checked_formats(names, PLANE_FORMATS)

    @model_validator(mode="after")
    def _dequantiser_hides(self) -> "LutConfig":
        if self.scale_group is not None:
            for name in self.formats:
                _require_hidden_scale(name, self.scale_group, self.lanes, len(FORMATS[name].planes), SCALE_BITS)
        if self.max_inputs % self.block:
            raise _problem(f"max_inputs must be a multiple of {self.block}, not {self.max_inputs}")
        return self

    @model_validator(mode="after")
    def _rounded_sums_are_plain(self) -> "LutConfig":
        whole = [name for name in self.formats if FORMATS[name].zero]
        if self.entries == "int8" and whole:
            raise _problem(f"{whole[0]} has a zero point, which int8 entries don't go with: use bipolar formats")
        if self.entries == "int8" and self.activations == "fp16":
            raise _problem("int8 entries are of int8 activations only: set entries to exact, or activations to int8")
        return self

    @property
    def scale_group(self) -> int | None:
        return None if self.group == "channel" else self.group

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.scale_group or self.lanes

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return tuple(FORMATS[name] for name in self.formats)


class IntMacConfig(GemmConfig):
    """The plain output-stationary int8 array; one scale per output channel, so nothing but codes in the stream."""

    kind: Literal["int_mac"]

    @model_validator(mode="after")
    def _whole_steps(self) -> "IntMacConfig":
        if self.max_inputs % self.lanes:
            raise _problem(f"max_inputs must be a multiple of the lanes, {self.lanes}, not {self.max_inputs}")
        return self

    @property
    def block(self) -> int:
        """Inputs that travel together through the weight stream."""
        return self.lanes

    @property
    def weight_formats(self) -> tuple[Format, ...]:
        return (FORMATS["int8"],)


class FuseMaxConfig(Section):
    """The attention engine: `rows` keys by `columns` queries at once (FuseMax, MICRO 2024).

    With `spans` a beat of keys or values has that many tiles side by side, and a job of few queries can give each query
    that many columns, which share its keys (LeanAttention).
    """

    kind: Literal["fusemax"]
    rows: PositiveCount = 16
    columns: PositiveCount = 16
    input_bits: Literal[8, 16] = 8
    max_head: Annotated[int, Field(strict=True, ge=MIN_HEAD, le=1024)] = 128
    max_keys: Annotated[int, Field(strict=True, ge=1, le=1 << 24)] = 1 << 20
    quotient_bits: Literal[1, 2, 4, 8] = 2
    spans: PositiveCount = 1

    @field_validator("rows", "spans")
    @classmethod
    def _power_of_two(cls, count: int, info: ValidationInfo) -> int:
        if count & (count - 1):
            raise _problem(
                f"{info.field_name} must be a power of two, so that positions divide into tiles by a shift, not {count}"
            )
        return count

    @model_validator(mode="after")
    def _a_whole_tile(self) -> "FuseMaxConfig":
        if self.max_keys < self.rows:
            raise _problem(f"max_keys must hold at least one tile of {self.rows} keys, not {self.max_keys}")
        return self

    @model_validator(mode="after")
    def _whole_groups(self) -> "FuseMaxConfig":
        if self.columns % self.spans:
            raise _problem(
                f"{self.spans} spans cannot share {self.columns} columns evenly: make columns a multiple of spans"
            )
        return self


Words = Annotated[int, Field(strict=True, ge=1, le=1 << 16)]


class CoreConfig(Section):
    """What makes an accelerator of the engines: a vector unit of `lanes` float32 lanes, memories on the chip, counted
    in words of `lanes` elements, and for each weight channel a queue of `fifo_beats`, of which the GEMM engine takes
    `beats_at_once` in a cycle. With `parity` a bit that these memories lose stops the core."""

    lanes: Literal[8, 16, 32] = 16
    vector_words: Words = 8192
    activation_words: Words = 128
    query_words: Words = 128
    staging_words: Words = 64
    fifo_beats: Annotated[int, Field(strict=True, ge=64, le=1 << 14)] = 512
    beats_at_once: Literal[1, 2, 4] = 1
    cache_bits: Literal[4, 8] = 8
    parity: bool = False


GemmEngineConfig = BitmodConfig | IntMacConfig | LutConfig
EngineConfig = Annotated[GemmEngineConfig | FuseMaxConfig, Field(discriminator="kind")]


class Config(Section):
    """A whole accelerator config.

    `digest` is the hash that designs, manifests and programs carry; it covers every key, defaults included.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=64)]
    engine: EngineConfig
    memory: MemoryConfig = MemoryConfig()
    attention: FuseMaxConfig | None = None
    core: CoreConfig | None = None

    @model_validator(mode="after")
    def _core_fits(self) -> "Config":
        if self.core is None:
            if isinstance(self.engine, LutConfig) and self.engine.precompute != "row":
                raise _problem(
                    "only a core has an operator to fuse table precompute with: set engine.precompute to row"
                )
            return self
        if isinstance(self.engine, FuseMaxConfig) or self.attention is None:
            raise _problem("a core needs a GEMM engine as its engine, and the section attention")
        if isinstance(self.engine, BitmodConfig | LutConfig) and self.engine.activations != "int8":
            raise _problem("a core quantises activations to int8: set engine.activations to int8")
        if isinstance(self.engine, LutConfig) and self.engine.entries != "exact":
            raise _problem("a core's sums are exact: set engine.entries to exact")
        if self.engine.columns % self.core.lanes:
            raise _problem(
                f"the engine's {self.engine.columns} columns must be a multiple of core.lanes, {self.core.lanes}"
            )
        if self.core.lanes % self.engine.lanes:
            raise _problem(f"core.lanes, {self.core.lanes}, must be a multiple of engine.lanes, {self.engine.lanes}")
        if self.memory.beat_bits not in (256, 512):
            raise _problem(
                f"a core has memory ports of 256 or 512 bits, not memory.beat_bits of {self.memory.beat_bits}"
            )
        if 32 * self.core.lanes % self.memory.beat_bits:
            raise _problem(
                f"a word of {self.core.lanes} floats (core.lanes) must be whole beats of {self.memory.beat_bits} bits "
                "(memory.beat_bits)"
            )
        staged = self.attention.rows * self.core.lanes * self.core.cache_bits
        if staged < self.memory.beat_bits:
            raise _problem(
                f"a word of each of a tile's keys must fill a beat: attention.rows * core.lanes * core.cache_bits, "
                f"{staged}, must be at least memory.beat_bits, {self.memory.beat_bits}"
            )
        if self.attention.input_bits != 8:
            raise _problem("a core keeps keys and values in 8 bits or less: set attention.input_bits to 8")
        if self.attention.spans != 1:
            raise _problem("a core reads one tile of keys at a time: set attention.spans to 1")
        if self.engine.rows > 128:
            raise _problem(f"a core works on up to 128 tokens at once, not on engine.rows of {self.engine.rows}")
        if self.engine.rows > self.attention.rows:
            raise _problem(
                f"{self.engine.rows} tokens at once (engine.rows) must fit into a tile of {self.attention.rows} keys "
                "(attention.rows)"
            )
        return self

    @model_validator(mode="after")
    def _memory_fits(self) -> "Config":
        if isinstance(self.engine, FuseMaxConfig):
            if self.attention is not None:
                raise _problem("the engine is an attention engine already: leave the section attention out")
            if self.memory != MemoryConfig():
                raise _problem("the streams of fusemax follow from its rows and input_bits: leave memory out")
            return self
        if self.engine.columns % self.memory.channels:
            raise _problem(
                f"{self.memory.channels} memory channels cannot share {self.engine.columns} columns evenly: make "
                "engine.columns a multiple of memory.channels"
            )
        return self

    @property
    def gemm(self) -> GemmEngineConfig:
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


def load_config(path: Path) -> Config:
    """The config in the YAML file at `path`; ConfigError with every problem, its line and its key otherwise."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, [Problem(f"cannot be read: {error}")]) from error
    return parse_config(text, path)


def parse_config(text: str, file: Path | str) -> Config:
    """The config in `text`; `file` is named in errors."""
    try:
        tree, data = yaml_text.compose(text), yaml_text.load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "unreadable"
        raise ConfigError(file, [Problem(f"not YAML: {reason}", line=mark.line + 1 if mark else None)]) from error
    if not isinstance(data, dict):
        raise ConfigError(file, [Problem("must be a mapping with the keys name, engine and memory")])
    problems = list(_duplicates(tree))
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += [_explain(e, tree) for e in error.errors()]
    if problems:
        raise ConfigError(file, sorted(problems, key=lambda p: p.line or 0))
    return config


def _explain(error: ErrorDetails, tree: yaml.Node | None) -> Problem:
    """One pydantic error as a problem with its line; the discriminator's tag is not part of the key."""
    kinds = dict(_engine_models())
    location = tuple(
        p for n, p in enumerate(error["loc"]) if not (n == 1 and error["loc"][0] == "engine" and p in kinds)
    )
    key = ".".join(str(p) for p in location)
    line = _line(tree, location)
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = Config
        if location[0] == "engine" and len(location) > 1:
            model = kinds[str(error["loc"][1])]
        elif location[0] == "memory" and len(location) > 1:
            model = MemoryConfig
        elif location[0] == "attention" and len(location) > 1:
            model = FuseMaxConfig
        elif location[0] == "core" and len(location) > 1:
            model = CoreConfig
        near = did_you_mean(str(location[-1]), model.model_fields)
        return Problem(f"unknown key{near or '; known: ' + ', '.join(model.model_fields)}", key, line)
    if error["type"] == "missing":
        return Problem("is required", key, line)
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        given = error["input"].get("kind") if isinstance(error["input"], dict) else None
        near = did_you_mean(given, kinds) if isinstance(given, str) else ""
        return Problem(
            f"must be one of {', '.join(kinds)}, not {SHORT.repr(given)}{near}",
            f"{key}.kind",
            _line(tree, (*location, "kind")),
        )
    given = error["input"]
    shown = "" if error["type"] == "einloom" else f" (given: {SHORT.repr(given)})"
    return Problem(f"{error['msg']}{shown}", key, line)


def _engine_models() -> Iterator[tuple[str, type[BaseModel]]]:
    for model in get_args(get_args(EngineConfig)[0]):
        yield model.model_fields["kind"].annotation.__args__[0], model


def _line(node: yaml.Node | None, location: tuple[Any, ...]) -> int | None:
    """1-based line of the deepest part of `location` that the file has."""
    line = node.start_mark.line + 1 if node is not None else None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if getattr(k, "value", None) == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _duplicates(node: yaml.Node | None, prefix: str = "") -> Iterator[Problem]:
    """Keys that stand twice in one mapping; YAML would silently keep the last."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            yield Problem("stands twice", f"{prefix}{key.value}", key.start_mark.line + 1)
        seen.add(key.value)
        yield from _duplicates(value, f"{prefix}{key.value}.")
