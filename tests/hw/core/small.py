"""Small cores for Amaranth's simulator, and golden ones beside them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from einloom.generators.core import core_spec
from einloom.generators.registry import describe, pe_spec
from einloom.hw.core.spec import CoreSpec
from einloom.sim.bench.part_bench import Cycle
from einloom.sim.golden.executor import GoldenCore
from einloom.sim.golden.memories import Chunk
from einloom.spec.attention_format import OUTPUT_BITS
from einloom.spec.instruction import Instruction
from einloom.spec.manifest import Manifest
from tests.cores import core_config
from tests.hw.around import Memory

CONFIGS = {
    "int_mac": {
        "engine": {"kind": "int_mac", "rows": 2, "columns": 8, "lanes": 8},
        "attention": {"rows": 4, "columns": 2, "max_head": 32, "max_keys": 1024},
        "core": {
            "lanes": 8,
            "vector_words": 512,
            "activation_words": 16,
            "query_words": 32,
            "staging_words": 32,
            "fifo_beats": 64,
            "cache_bits": 8,
        },
    },
    "bitmod": {
        "engine": {
            "kind": "bitmod",
            "rows": 2,
            "columns": 8,
            "lanes": 4,
            "formats": ["bitmod-fp4", "int6"],
            "group": 32,
        },
        "attention": {"rows": 8, "columns": 2, "max_head": 64, "max_keys": 1024},
        "core": {
            "lanes": 8,
            "vector_words": 512,
            "activation_words": 32,
            "query_words": 64,
            "staging_words": 32,
            "fifo_beats": 64,
            "cache_bits": 4,
        },
        "memory": {"channels": 2},
    },
    "scales": {
        "engine": {"kind": "int_mac", "rows": 2, "columns": 8, "lanes": 8},
        "attention": {"rows": 4, "columns": 2, "max_head": 32, "max_keys": 1024, "input_bits": 16},
        "core": {
            "lanes": 8,
            "vector_words": 512,
            "activation_words": 16,
            "query_words": 32,
            "staging_words": 40,
            "fifo_beats": 64,
            "cache_bits": 8,
            "cache_scales": "token",
        },
    },
}
LANES = {
    **CONFIGS["int_mac"],
    "attention": {**CONFIGS["int_mac"]["attention"], "rows": 8},
    "core": {**CONFIGS["int_mac"]["core"], "cache_memory": "channels", "attention_lanes": 2},
    "memory": {"channels": 4},
}
"""Two attention lanes, each with its cache behind two of four channels."""


@dataclass(frozen=True)
class Small:
    """A core, what a program must know of it, and its golden twin."""

    spec: CoreSpec
    manifest: Manifest

    def golden(self, system: Memory | None = None, beats: int = 64) -> GoldenCore:
        """With the first `beats` of `system`, and random weights."""
        size = beats * self.spec.beat_bits // 8
        memory = system or Memory()
        raw = np.frombuffer(bytes(memory.byte(n) for n in range(size)), np.uint8).copy()
        rng = np.random.default_rng(1)
        weights = tuple(rng.integers(0, 256, size, np.uint8) for _ in range(self.spec.channels))
        return GoldenCore(self.manifest, raw, weights)


@cache
def small(name: str) -> Small:
    """The core of one of CONFIGS, or of LANES."""
    config = core_config(**(CONFIGS | {"lanes": LANES})[name])
    return Small(core_spec(config, pe_spec(config)), describe(config))


def execute(core: GoldenCore, now: dict[str, int], name: str, **fields: int) -> None:
    """One instruction on the golden core."""
    line = Instruction.make(name, **fields).encode()
    core.execute(line, Chunk(now["position"], now["tokens"], bool(now["last"])))


def word(core: GoldenCore, address: int) -> dict[str, int]:
    """A word of the golden vector memory, on its way there."""
    lanes: npt.NDArray[np.uint32] = core.memories.vector[address]
    return {"address": address, "data": int.from_bytes(lanes.astype("<u4").tobytes(), "little")}


def packed(values: npt.NDArray[np.integer], bits: int) -> int:
    """Integers side by side, the first lowest."""
    return sum((int(v) & (1 << bits) - 1) << bits * n for n, v in enumerate(values))


def integers(core: GoldenCore, address: int, *, last: bool) -> dict[str, int]:
    """A word of the golden vector memory, as attention's integers: OUTPUT_BITS have a float each."""
    lanes = core.memories.vector[address].view(np.float32).astype(np.int64)
    return {"address": address, "integers": packed(lanes, OUTPUT_BITS), "last": int(last)}


class Writes:
    """Stands for what writes an attention unit's words: says `written` some cycles after a last one is taken."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._due: list[int] = []
        self._now = 0
        self.written = 0  # last words

    def __call__(self, cycle: Cycle) -> None:
        self._now += 1
        word = cycle.taken("integers")
        if word is not None and word["last"]:
            self._due.append(self._now + self._delay)
        cycle.set("written", int(self._now in self._due))
        self.written += self._now in self._due
