"""The docstring of every part says how fast it is, and the figures of those between two streams are measured."""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from einloom.hw.array.tile_walk import TileWalk
from einloom.hw.buffers.beat_queue import BeatQueue
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.half_rate import HalfRateBuffer
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.window import WindowCheck
from einloom.hw.core.float_words import FloatWords
from einloom.hw.core.load_unit import LoadUnit
from einloom.hw.core.output_words import OutputWords
from einloom.hw.core.reporter import Reporter
from einloom.hw.core.sequencer import Sequencer
from einloom.hw.core.sum_words import SumWords
from einloom.hw.core.tile_reader import TileReader
from einloom.hw.core.tile_store import TileStore
from einloom.hw.core.token_scales import TokenScales
from einloom.hw.core.unit_queue import UnitQueue
from einloom.hw.part import Part
from einloom.hw.vector.sequencer import VectorSequencer
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.attention_format import AttentionFormat
from einloom.spec.cache_format import CacheFormat
from einloom.spec.isa import Rows
from tests.hw.around import chunk, instruction, table_rows
from tests.hw.test_every_part_is_tested import parts

TOGETHER = re.compile(r"\bThroughput\s+and\s+latency\b")
FIGURE = re.compile(r"Latency:\s+([\w +]+?)\s+cycles?\b")


class Path(NamedTuple):
    """The way through `part` whose latency its docstring gives; `inputs` and `held` are the bench's.

    It begins with the take of the last word of `source`, or, if none is taken before the end, in the first cycle. It
    ends when the stream `sink` offers a word, or the plain output `sink` is set.
    """

    part: Part
    source: str
    sink: str
    inputs: Mapping[str, Sequence[Any]] = {}
    held: Mapping[str, Any] = {}


TILES = {"keys": 1, "values": 9, "heads": {"query_head": 8, "value_head": 8, "tiles": 1}}
LOAD, STORE = instruction("load", rows=Rows.POSITIONS, words=1), instruction("store_kv", elements=8)
NOW = {"chunk": chunk(tokens=1)}
PRODUCT = {"start": [1, 0], "tokens": 1, "tiles": 1}
BLOCK = {"start": [1, 0], "block": {"tokens": 1, "group": 1, "value_head": 4}}
WINDOW = {"base": 0, "size": 1 << 12}
WORD = {"inner": 1, "outer": 1}
ONE_KEY = {"keys": 1, "query_head": 1, "value_head": 1}
CACHE = CacheFormat(8, 4, 64, token_scales=False)
PATHS = [
    Path(StreamFifo(8, 4), "i", "o", {"i": [1]}),
    Path(SkidBuffer(8), "i", "o", {"i": [1]}),
    Path(HalfRateBuffer(8), "i", "o", {"i": [1]}),
    Path(BeatQueue(8, 2, 128), "i", "o", {"i": [1, 2]}),
    Path(BurstSplitter(32), "i", "o", {"i": [{"beats": 1}]}),
    Path(WindowCheck(32), "i", "o", {"i": [{"beats": 1}]}, WINDOW),
    Path(FloatWords(2, 9), "integers", "words", {"integers": [{"integers": 1}]}),
    Path(SumWords(4, 9, 4), "sums", "words", {"sums": [1]}, PRODUCT),
    Path(OutputWords(1, 4), "outputs", "words", {"outputs": [1] * 4}, BLOCK),
    Path(UnitQueue(), "i", "instruction", {"i": [{"instruction": LOAD}]}, NOW),
    Path(LoadUnit(2, 4, 128), "instruction", "request", {"instruction": [LOAD]}, {"chunk": table_rows()}),
    Path(TileReader(CACHE, 16, False), "job", "request", {"job": [TILES]}),
    Path(TileStore(4, CACHE, 6, 1, False), "instruction", "request", {"instruction": [STORE]}, NOW),
    Path(TokenScales(CacheFormat(4, 2, 64, True)), "codes", "keys", {"codes": [{"elements": 1}]}),
    Path(Reporter(2, 64), "start", "beats", held={"start": 1}),
    Path(Sequencer(2, 256, 1), "start", "request", held={"start": 1, "instructions": 1, "length": 1}),
    Path(VectorSequencer(2, True), "instruction", "candidate", {"instruction": [WORD]}, {"tokens": 1}),
    Path(TileWalk(AttentionFormat(input_bits=8, max_head=32, max_keys=99), 2), "job", "known", {"job": [ONE_KEY]}),
]


@pytest.mark.parametrize(
    "part", list(parts()), ids=lambda p: f"{p.__module__.removeprefix('einloom.hw.')}.{p.__name__}"
)
def test_a_docstring_says_throughput_and_latency(part: type[Part]) -> None:
    text = part.__doc__ or ""
    missing = [word for word in ("Throughput", "Latency") if not re.search(rf"\b{word}\b", text)]
    assert TOGETHER.search(text) or not missing, f"the docstring does not say {' or '.join(missing)}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path.part).__name__)
def test_a_latency_is_what_the_docstring_says(path: Path) -> None:
    found = FIGURE.search(type(path.part).__doc__ or "")
    assert found, "no figure"
    said = eval(found[1], vars(sys.modules[type(path.part).__module__]))  # a number, or constants of its module
    went, came = [0], []  # cycles: the source's word is offered, then it is taken; the sink has something

    def look(cycle: Cycle) -> None:
        if not came and path.source in path.inputs and cycle.taken(path.source) is not None:
            went.append(cycle.number)
        if cycle.valid(path.sink) if path.sink in bench.streams else _set(cycle[path.sink]):
            came.append(cycle.number)

    bench = PartBench(path.part, path.inputs, held=path.held, partners=[look], cycles=40, optional=list(path.inputs))
    bench.check(lambda _: {name: None for name, s in bench.streams.items() if not s.is_input})
    assert came[0] - went[-1] == said


def _set(value: Any) -> bool:
    return bool(value["valid"] if isinstance(value, dict) else value)
