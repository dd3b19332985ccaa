"""The design manifest: all that the mapper, the benches and the host know of a generated design, as plain data."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from einloom.spec.cache_format import CacheFormat
from einloom.spec.config import ADD_A_CORE, Config
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.memory_ports import MemoryPort, Traffic
from einloom.spec.registers import RegisterTable


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Port(Data):
    """A port of the top module, as its Verilog declares it."""

    name: str
    direction: Literal["input", "output"]
    width: int


class WeightWord(Data):
    """One word of the weight stream of one memory channel."""

    bits: int
    """Width in the stream, padded to whole bytes."""


class JoinedMetadata(WeightWord):
    """Metadata that follow the codes of their block's first step, with which the engine takes them."""

    joined: Literal[True]


class StepWord(WeightWord):
    """The codes of `lanes` inputs of every column of a channel; column j's lane l is at (j * lanes + l) * code_bits.

    Ternary codes are five to a byte in that order instead (spec/trits.py).
    """

    format: str
    index: int
    """Number that selects this format in the job's `format` field."""
    code_bits: int
    cycles: int
    """Cycles that the array spends on the word (bit-serial terms)."""


class LookupLayout(Data):
    """The look-up tables of a step."""

    tables: tuple[int, ...]
    """Lanes of each table of a step."""
    remapped: bool
    """True when codes are stored remapped for the tables (spec/lookup.py); ternary codes never are."""
    entries: Literal["exact", "int8"]
    """Number format that a table's sums are kept in (sim/golden/lut_rounded.py)."""
    entry_scale: Literal["step", "table"]
    """Extent of an exponent of rounded entries: all tables of a step share one, or each table has its own."""
    precompute: Literal["row", "fused"]
    """Place where tables are made (spec/engines/lut.py)."""


class WeightLayout(Data):
    """Layout of weights in memory.

    Each channel holds the same number of bits for a job: for every tile of `columns` outputs, for every block of
    `block` inputs, one metadata word (if it has bits) and block / lanes step words. Words are concatenated without
    gaps, least significant bit first. Only the end of a job is padded, to whole groups of `beats_at_once` beats.
    Channel c serves the columns [c * columns_per_channel, (c + 1) * columns_per_channel) of each tile.

    The metadata word is `scale_bits` for each column, then `selector_bits` for each column. Where it is `joined`, it
    follows the codes of its block's first step, and the engine takes both at once.
    """

    channels: int
    beat_bits: int
    beats_at_once: int
    """Memory beats that the engine consumes per channel and cycle."""
    columns_per_channel: int
    lanes: int
    block: int
    scale_bits: int
    selector_bits: int
    metadata: JoinedMetadata | WeightWord
    steps: tuple[StepWord, ...]
    lookup: LookupLayout | None = None
    """Layout of look-up steps; None for engines that don't multiply by table look-up."""

    @property
    def inputs(self) -> int:
        """Inputs of an activation word."""
        return self.sets.inputs if isinstance(self, BlockLayout) else self.lanes

    @property
    def joined(self) -> bool:
        """The metadata of a block follows the codes of its first step, and both are taken at once."""
        return isinstance(self.metadata, JoinedMetadata)

    def step(self, format: Format) -> StepWord:
        """The step word of `format`; InputError when the design can't take that format."""
        for step in self.steps:
            if step.format == format.name:
                return step
        raise InputError(f"this design takes {', '.join(s.format for s in self.steps)}, not {format.name}")

    def beats(self, step: StepWord, blocks: int, tiles: int) -> int:
        """Beats of each channel that a job of this size takes."""
        return self.whole_beats(tiles * blocks * (self.metadata.bits + self.block // self.lanes * step.bits))

    def whole_beats(self, bits: int) -> int:
        """Beats that a job of so many bits takes."""
        return -(-bits // (self.beats_at_once * self.beat_bits)) * self.beats_at_once


class BlockLayout(WeightLayout):
    """Layout of weights whose steps pick among `sets.inputs` inputs, and of formats that choose N of M for each block.

    A block is block / sets.inputs activation words, each of as many steps as LaneSets says. A step has a word for each
    multiplier of a column (LaneSets.words), column by column, in the order of the multipliers: code, or two codes and a
    pattern, or code and index.

    In the formats that choose N of M, a block of a tile has the N that all its columns need. The topmost bits of a
    metadata word say it of the next block: `density_bits` for the number of its N in LaneSets.counts, and `skip_bits`
    above them for the number of empty blocks before it, of which nothing is stored. A job of such a format begins with
    metadata of which only this counts; a tile's last block is never left out.
    """

    sets: LaneSets
    full_bits: tuple[int, ...]
    """Widths of the words of full steps of each format; 0 for formats without."""
    density_bits: int
    skip_bits: int

    def block_bits(self, format: Format, kept: int | None) -> int:
        """Bits of a block that is not empty."""
        step = self.step(format)
        full = format.neighbours == 1 or (format.of != 0 and kept == format.of)
        bits = self.full_bits[step.index] if full else step.bits
        return self.metadata.bits + self.block_steps(format, kept) * bits

    def block_steps(self, format: Format, kept: int | None) -> int:
        """Steps of a block that is not empty."""
        return self.block // self.sets.inputs * self.sets.steps(format, kept)


class SumLayout(Data):
    """A beat of the `sums` stream: the sums of one token for every column of a tile, column 0 lowest.

    A sum is `value_bits` of two's complement value, then `exponent_bits` of exponent; it means
    value * 2 ** (exponent - exponent_bias), and just the value without an exponent.
    """

    value_bits: int
    exponent_bits: int
    exponent_bias: int


class JobLayout(Data):
    """Widths of the fields of the `job` stream, in their order from bit 0."""

    format: int
    blocks: int
    tiles: int
    tokens: int
    specials: int
    """Each special value's two terms, 4 bits each, selector 0 and its first term lowest."""


class GemmManifest(Data):
    """The GEMM engine of a design."""

    kind: str
    rows: int
    columns: int
    activation_bits: int
    activations: str
    """Name of the activations' format (spec/activations.py)."""
    weights: BlockLayout | WeightLayout
    sums: SumLayout
    job: JobLayout
    max_inputs: int
    """Most inputs of a job. Sums are as wide as that many products take."""
    max_tiles: int
    """Most tiles of outputs in a job."""
    macs_per_step: int
    """Multiply-accumulates that a step word means at full occupancy: rows * columns * lanes."""
    pipeline_cycles: int
    """Cycles from the first cycle of the last step to the first beat of sums."""


class AttentionJobLayout(Data):
    """Widths of the fields of the attention engine's `job` stream, in their order from bit 0."""

    queries: int
    """Address of the block's first query word."""
    query_head: int
    value_head: int
    keys: int
    first_position: int
    last_position: int
    """Smallest and largest position of the block's queries."""
    causal: int
    window: int
    sinks: int
    split: int
    """Each query has `spans` columns; no bits in a design with one span."""


class AttentionManifest(Data):
    """The attention engine of a design; its arithmetic is defined in spec/attention_format.py.

    A query is a column of words of `query_bits`: E elements, its scale, and its position (low word, high word). A beat
    of `keys` or `values` is one element of the `rows` keys of a tile, of `input_bits` each, row 0 lowest, and has
    `spans` such slices. An output is `output_bits` of two's complement: a value of V with `output_fraction` fraction
    bits.

    A job that is not split has a query per column, and its tiles in the lowest slice. In a split job columns spans * p
    to spans * p + spans - 1 hold query p, and column spans * p gives its outputs. `spans` neighbouring tiles are
    visited together; slice s of a beat belongs to the s-th of them.
    """

    kind: str
    rows: int
    columns: int
    input_bits: int
    query_bits: int
    output_bits: int
    output_fraction: int
    max_head: int
    max_keys: int
    spans: int
    exp_steps: int
    """Steps of the arrays for a tile's exponentials; none where each column has a unit for them."""
    exp_end: int
    """Cycles of the second half of an epoch until the exponentials are complete."""
    row_cycles: int
    """Cycles from the last step of a block of queries to its first division."""
    division_cycles: int
    """Cycles of the division of one output, for all columns at once."""
    job: AttentionJobLayout


class CoreManifest(Data):
    """A core: its engines, and what a program must know of the rest.

    Memories are counted in words of `lanes` elements.
    """

    gemm: GemmManifest
    attention: AttentionManifest
    lanes: int
    vector_words: int
    activation_words: int
    """Words of each token."""
    query_words: int
    """Words of each query column."""
    staging_words: int
    """Words of each row of a tile of keys."""
    cache_bits: int
    """Bits of a key's or a value's element in memory."""
    cache_scales: Literal["static", "token"]
    """Of these elements: fixed ones, or one for each token and head."""
    cache_recent: int
    """Last tiles of an attention job with codes of eight bits; 0 if all tiles are alike."""
    cache_ring: bool
    """Heads may have a ring of tiles, for layers with a window."""
    attention_lanes: int
    """Attention engines side by side, each with memories of `query_words` and `staging_words` of its own: those of lane
    n begin at word n * `query_words` and n * `staging_words`."""
    ports: tuple[MemoryPort, ...]
    """In the order of the memories that the host and the benches number."""
    registers: RegisterTable
    """Registers behind those of ap_ctrl_hs."""

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat of each memory port."""
        return self.gemm.weights.beat_bits // 8

    @property
    def job_tile(self) -> int:
        """Positions of the tiles with which jobs should end, 0 if it doesn't matter (models/core_decoder.py)."""
        return self.attention.rows if self.cache_recent else 0

    @property
    def cache(self) -> CacheFormat:
        """The tiles of keys and values in memory."""
        beat_bits, token = 8 * self.beat_bytes * self.cache_stripes, self.cache_scales == "token"
        return CacheFormat(self.cache_bits, self.attention.rows, beat_bits, token, self.cache_recent, self.cache_ring)

    @property
    def cache_in_channels(self) -> bool:
        """The cache lies behind the weight channels."""
        return any(port.channel is not None and Traffic.CACHE in port.carries for port in self.ports)

    @property
    def cache_memories(self) -> tuple[tuple[int, ...], ...]:
        """For each attention lane the numbers of the memories whose beats, side by side, are those of its cache."""
        carry = [n for n, port in enumerate(self.ports) if Traffic.CACHE in port.carries]
        each = len(carry) // self.attention_lanes
        return tuple(tuple(carry[n * each : (n + 1) * each]) for n in range(self.attention_lanes))

    @property
    def written_memories(self) -> tuple[int, ...]:
        """Numbers of the memories that a core writes."""
        return tuple(n for n, port in enumerate(self.ports) if port.writes)

    @property
    def cache_stripes(self) -> int:
        """Memories of an attention lane."""
        return len(self.cache_memories[0])


class Manifest(Data):
    """A generated design: a GEMM engine, an attention engine, or a core with one of each."""

    version: Literal[5]
    name: str
    config: Config
    digest: str
    top: str
    verilog: str
    ports: tuple[Port, ...]
    modules: tuple[str, ...]
    instances: dict[str, str]
    """Paths in the Verilog, from the top module on, of the parts that benches look into; keys are the parts' names."""
    register_bits: int
    memory_bits: int
    design: GemmManifest | AttentionManifest | CoreManifest

    @property
    def is_core(self) -> bool:
        """True when the design runs programs."""
        return isinstance(self.design, CoreManifest)

    @property
    def core(self) -> CoreManifest:
        """The core; InputError when the design is an engine."""
        if isinstance(self.design, CoreManifest):
            return self.design
        raise InputError(f"{self.name} is an engine without a core: {ADD_A_CORE}")

    @property
    def gemm(self) -> GemmManifest:
        """The GEMM engine, alone or in a core; InputError when there is none."""
        if isinstance(self.design, AttentionManifest):
            raise InputError(f"{self.name} is an attention engine, {self.design.kind}, which takes no weights")
        return self.design.gemm if isinstance(self.design, CoreManifest) else self.design

    @property
    def attention(self) -> AttentionManifest:
        """The attention engine, alone or in a core; InputError when there is none."""
        if isinstance(self.design, GemmManifest):
            raise InputError(f"{self.name} is a GEMM engine, {self.design.kind}, which has no attention")
        return self.design.attention if isinstance(self.design, CoreManifest) else self.design

    def formats(self) -> tuple[Format, ...]:
        """The weight formats that the design takes, by job index; InputError when it takes no weights."""
        return tuple(FORMATS[step.format] for step in self.gemm.weights.steps)

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def load_manifest(path: Path) -> Manifest:
    """The manifest at `path`; InputError when it is unreadable or not one of ours."""
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: not a design manifest of einloom: {error}") from error
    if manifest.config.digest != manifest.digest:
        raise InputError(f"{path}: the digest does not belong to the config; regenerate the design")
    return manifest
