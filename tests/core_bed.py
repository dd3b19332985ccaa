"""Small cores, models of random weights for them, and the comparison of a simulated core with golden."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import yaml

from einloom.generators.cached_designs import cached_designs
from einloom.generators.design import Design
from einloom.mapping.codegen.decoder import compile_decoder
from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.cache_scales import CacheScales
from einloom.models.core_decoder import CheckedDecoder, CoreDecoder
from einloom.models.decoder_graph import DecoderGraph
from einloom.models.families.llama import LlamaKeys
from einloom.models.sliding_window import windowed
from einloom.sim.golden.driver import GoldenDriver
from einloom.sim.simulated_core import LIMIT, SimulatedCore
from einloom.spec.config import Config, parse_config
from einloom.spec.driver import SYSTEM
from einloom.spec.errors import CheckFailed
from einloom.spec.formats import format_named
from einloom.spec.instruction import assemble
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.spec.quantized import QuantizedTensor

Tree = dict[str, dict[str, object]]
"""Sections of a config, by their names."""
BITMOD: Tree = {
    "engine": {"kind": "bitmod", "rows": 4, "columns": 16, "formats": ["bitmod-fp4"], "group": 32},
    "memory": {"channels": 2},
    "attention": {"kind": "fusemax", "rows": 4, "columns": 2, "max_head": 32, "max_keys": 1024},
    "core": {
        "lanes": 8,
        "vector_words": 2048,
        "activation_words": 32,
        "query_words": 64,
        "staging_words": 32,
        "fifo_beats": 64,
    },
}
"""A core of 64 PEs that takes four tokens at once."""
LANES: Tree = BITMOD | {
    "memory": {"channels": 4},
    "attention": {**BITMOD["attention"], "rows": 8, "columns": 1, "exponentials": "serial"},
    "core": {
        **BITMOD["core"],
        "activation_words": 64,
        "query_words": 128,
        "cache_memory": "channels",
        "cache_ring": True,
        "attention_lanes": 2,
    },
}
"""That core with two attention lanes of two channels each, serial exponentials, and rings."""
SMALLEST: Tree = {"engine": {"rows": 2, "columns": 8}, "attention": {"columns": 1}}
"""Changes that make it one of 16 PEs."""
SPREAD = 0.2
"""Of random weights."""
LARGEST_CACHED = 3.0
"""Keys and values beyond it saturate."""
MOST_IDS = 8
"""Of a job of a program of its own."""


def core_config(name: str = "tiny", base: Tree = BITMOD, **changes: Mapping[str, object]) -> Config:
    """`base` with changes to its sections, through YAML as a user would write it."""
    tree: dict[str, object] = {key: {**section, **changes.get(key, {})} for key, section in base.items()}
    return parse_config(yaml.safe_dump({"name": name, **tree}), f"{name}.yaml")


def core_design(config: Config) -> Design:
    """The core of a config, generated once for all tests of a run."""
    (design,) = cached_designs(config)
    return design


@dataclass(frozen=True)
class Shape:
    """A Llama's dimensions."""

    hidden: int = 32
    inner: int = 96
    layers: int = 1
    heads: int = 2
    groups: int = 1
    head: int = 32
    vocab: int = 40
    context: int = 32
    tied: bool = False
    window: int = 0
    sinks: int = 0

    def graph(self) -> DecoderGraph:
        graph = self._llama()
        return windowed(graph, self.window, self.sinks, self.context) if self.window else graph

    def _llama(self) -> DecoderGraph:
        return LlamaKeys(
            model_type="llama",
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.groups,
            head_dim=self.head,
            vocab_size=self.vocab,
            max_position_embeddings=self.context,
            tie_word_embeddings=self.tied,
        ).graph()


def random_program(manifest: Manifest, shape: Shape, seed: int = 0, schedule: Schedule = STANDARD) -> Program:
    """A model of random weights for a core, each matrix in any of the core's formats."""
    rng = np.random.default_rng(seed)
    model = shape.graph()
    floats, linears = {}, {}
    for tensor in model.tensors():
        values = rng.normal(0, SPREAD, tensor.shape).astype(np.float32)
        floats[tensor.name] = 1 + values if len(tensor.shape) == 1 else values
        if tensor.linear:
            linears[tensor.name] = values
    padded = PaddedSizes.of(model, manifest.core).linears(model, linears)
    engine = manifest.config.gemm

    def quantized(matrix: np.ndarray) -> QuantizedTensor:
        format = engine.weight_formats[rng.integers(len(engine.weight_formats))]
        if format.of:  # blocks of all kinds, and empty ones
            kept = 1 << rng.integers(1, format.of.bit_length() - 1) if format.of > 4 else 1
            format = format_named(f"{format.full.name}-{kept}of{format.of}")
            matrix = matrix * np.repeat(rng.integers(0, 3, -(-matrix.shape[1] // engine.block)) > 0, engine.block)
        if engine.scale_group is None:
            return quantize_per_channel(matrix, format)
        return quantize(matrix, format, engine.scale_group)

    limit = manifest.core.cache.largest_element
    largest = rng.uniform(LARGEST_CACHED / 2, LARGEST_CACHED, (shape.layers, 2, shape.groups, shape.head))
    scales = [CacheScales(*(each / limit).astype(np.float32)) for each in largest]
    tensors = {name: quantized(matrix) for name, matrix in padded.items()}
    return compile_decoder(model, tensors, floats, scales, manifest, schedule=schedule)


def random_tokens(rng: np.random.Generator, shape: Shape, count: int) -> list[int]:
    return [int(t) for t in rng.integers(0, shape.vocab, count)]


def decoder(driver: SimulatedCore | GoldenDriver, manifest: Manifest, program: Program) -> CoreDecoder:
    """A model at the start of a text."""
    return CoreDecoder(driver, program, manifest.gemm.rows, manifest.core.beat_bytes, tile=manifest.core.job_tile)


@dataclass
class Bed:
    """A simulated core with a program, and what golden makes of the same.

    Attributes
    ----------
    golden : of the present text.
    """

    design: Design
    program: Program
    base: int = 0
    verilog: str | None = None
    watchdog: int = 1 << 14
    limit: int = LIMIT
    upsets: bool = False
    golden: GoldenDriver = field(init=False)

    def __post_init__(self) -> None:
        design = self.design if self.verilog is None else Design(self.verilog, self.design.manifest)
        self.core = SimulatedCore(
            design, self.program, base=self.base, watchdog=self.watchdog, limit=self.limit, upsets=self.upsets
        )
        self.golden = GoldenDriver(self.design.manifest, self.program)

    @property
    def beat_bytes(self) -> int:
        """Of a memory channel."""
        return self.design.manifest.config.memory.beat_bits // 8

    def restart(self) -> CheckedDecoder:
        """Load all memories, and a decoder at the start of a text that checks every logit."""
        self.core.prepare()
        return self.resume()

    def resume(self) -> CheckedDecoder:
        """Load the memories that the core writes, and a decoder at the start of a text that checks every logit."""
        manifest = self.design.manifest
        for number in manifest.core.written_memories:
            for driver in (self.core, self.golden):
                driver.load(number, 0, self.program.images[number])
        return CheckedDecoder(*(decoder(d, manifest, self.program) for d in (self.core, self.golden)))

    def check_text(self, prompt: Sequence[int], decoded: Sequence[int], timing: MemoryTiming | None = None) -> None:
        """A text from its start: its prompt in one job, the rest token by token; then all memory.

        CheckFailed when a logit or a byte is not golden's.
        """
        self.core.timing = timing or MemoryTiming()
        text = self.restart()
        text.step(prompt)
        for token in decoded:
            text.step([token])
        self.check_memory()

    def check_memory(self, *numbers: int) -> None:
        """CheckFailed unless every byte of these windows, or of all, is golden's."""
        for number in numbers or range(len(self.core.sizes)):
            size = self.core.sizes[number]
            found, expected = (d.dump(number, 0, size) for d in (self.core, self.golden))
            wrong = np.flatnonzero(found != expected)
            if len(wrong):
                at = int(wrong[0])
                raise CheckFailed(
                    f"byte {at} of memory {number} is {found[at]}, golden has {expected[at]}; {len(wrong)} bytes differ"
                )

    def close(self) -> None:
        self.core.close()


def system_beats(bed: Bed) -> int:
    """Of the system window."""
    return bed.core.sizes[SYSTEM] // bed.beat_bytes


def small_program(bed: Bed, lines: list[str]) -> Program:
    """A program of its own, at the start of the window; the table of tokens moves to its end."""
    instructions = tuple(assemble(line) for line in lines)
    raw = np.frombuffer(b"".join(i.encode() for i in instructions), np.uint8)
    image = bed.program.system.copy()
    image[: raw.size] = raw
    symbols = bed.program.symbols.model_copy(update={"program": 0, "tokens": system_beats(bed) - MOST_IDS})
    notes = ("",) * len(instructions)
    return dataclasses.replace(bed.program, symbols=symbols, system=image, instructions=instructions, notes=notes)
