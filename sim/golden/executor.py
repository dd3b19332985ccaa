"""The golden executor: a program and its memory in NumPy, instruction by instruction, in program order.

Each instruction is written from its meaning in spec/isa.py. The units of a core run side by side, but the results are
those of program order, because permits keep dependent instructions in order.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import partial

import numpy as np
import numpy.typing as npt

from einloom.mapping.attention_operands import attention_format
from einloom.sim.golden.cache_tiles import Bytes, packed, read_tiles, write_position
from einloom.sim.golden.exact_product import ExactProduct
from einloom.sim.golden.fusemax import attend
from einloom.sim.golden.memories import Chunk, Memories, require, walk
from einloom.sim.golden.stream_reader import read_weights
from einloom.sim.golden.striped_window import StripedWindow
from einloom.sim.golden.vector_unit import Action, VectorUnit
from einloom.spec.attention_format import Mask
from einloom.spec.cache_format import LARGEST_SCALE, SCALE_BYTES
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from einloom.spec.instruction import Instruction, decode
from einloom.spec.isa import INSTRUCTION_BYTES, Condition, CoreError, Elements, Rows, Unit
from einloom.spec.manifest import BlockLayout, Manifest
from einloom.spec.stored_blocks import stored_beats
from einloom.spec.token_table import ID_BITS, NUMBER_BYTES, NUMBERS, POSITION_BITS

Integers = npt.NDArray[np.int64]
POSITION_LOW = 0xFFFF
LARGEST_ACTIVATION = 128


class ExecutionError(InputError):
    """Error of a program that stops a core: `code` is the core's error, `index` the instruction's number."""

    def __init__(self, index: int, message: str, code: CoreError = CoreError.WINDOW) -> None:
        super().__init__(f"instruction {index}: {message}")
        self.index = index
        self.code = code


class _Starved(Exception):
    """A product waits for weights that nobody fetches, until the watchdog comes."""


class _Stop(Enum):
    """Ways that a pass through the program ends."""

    NEXT = "another chunk follows"
    END = "the job is done"


class GoldenCore:
    """A core: its memories, and what memory it sees.

    Attributes
    ----------
    system : the system window, changed by stores.
    weights : the window of each weight channel, changed by stores where these have the cache; call `forget_weights`
        after another change.
    memories : memories on the chip.
    probes : functions that are called before instructions, by their index, with the chunk at work.
    stored_codes, limit_codes : codes of keys and values that were stored, and how many of them were the largest or the
        smallest that there are, so that what they stand for may have been larger; with a scale for each token, scales.
    """

    def __init__(self, manifest: Manifest, system: Bytes, weights: tuple[Bytes, ...]) -> None:
        self.memories = Memories(manifest)
        self._core, self._gemm, self._attention = manifest.core, manifest.gemm, manifest.attention
        self.system, self.weights = system, weights
        self._beat = manifest.gemm.weights.beat_bits // 8
        self._cache_beat = manifest.core.cache.beat_bits // 8
        self._vector = VectorUnit(self.memories, manifest.core.cache.code_bits, manifest.core.cache.exchanges)
        self.probes: dict[int, Callable[[Chunk], None]] = {}
        self.stored_codes = self.limit_codes = 0
        self._fetched: list[tuple[int, int]] = []  # runs of beats that wait for a product: first, count
        self._products: dict[tuple[object, ...], ExactProduct] = {}
        self._stored: dict[tuple[object, ...], int] = {}  # beats of products whose streams say how long they are
        self._lines: tuple[bytes, list[bytes]] = b"", []  # of the program that ran last
        self._prepared: dict[tuple[bytes, int, bool], Action | _Stop] = {}
        self._run: dict[str, Callable[[Instruction, Chunk], None]] = {
            "weights": self._weights,
            "gemm": self._multiply,
            "attend": self._attend,
            "load": self._load,
            "tokens": self._load_tokens,
            "store": self._store,
            "store_kv": self._store_kv,
        }

    def run(self, program: int, instructions: int, row: int, length: int) -> None:
        """Execute the program of so many instructions at beat `program` for `length` tokens from a row of the table on.

        ExecutionError when it does what stops a core.
        """
        self._fetched.clear()
        start = program * self._beat
        raw = self.system[start : start + instructions * INSTRUCTION_BYTES].tobytes()
        inside = len(raw) // INSTRUCTION_BYTES
        if raw != self._lines[0]:
            starts = range(0, inside * INSTRUCTION_BYTES, INSTRUCTION_BYTES)
            self._lines = raw, [raw[at : at + INSTRUCTION_BYTES] for at in starts]
        lines = self._lines[1]
        with np.errstate(all="ignore"):
            for done in range(0, max(length, 1), self._gemm.rows):
                tokens = min(self._gemm.rows, length - done)
                stop = self._pass(lines, Chunk(row + done, tokens, done + tokens == length))
                if stop is _Stop.END:
                    return
                if stop is None and inside < instructions:
                    raise ExecutionError(inside, f"lies outside the window of {self.system.size} bytes")
                if stop is None:
                    raise ExecutionError(inside, "the program has no end", CoreError.PAST_END)

    def forget_weights(self) -> None:
        """Read the weight windows anew."""
        self._products.clear()
        self._stored.clear()

    def execute(self, line: bytes, chunk: Chunk) -> _Stop | None:
        """Execute one instruction, given as it lies in memory, for a chunk.

        IndexError when it reaches outside a memory, InputError when it is none.
        """
        key = (line, chunk.tokens, chunk.last)
        action = self._prepared.get(key)
        if action is None:
            action = self._prepared[key] = self._prepare(line, chunk)
        if isinstance(action, _Stop):
            return action
        action(chunk)
        return None

    def _pass(self, lines: list[bytes], chunk: Chunk) -> _Stop | None:
        """Execute one chunk: up to `next`, the last chunk up to `end`; None when the program has neither."""
        for index, line in enumerate(lines):
            if index in self.probes:
                self.probes[index](chunk)
            try:
                stop = self.execute(line, chunk)
            except IndexError as error:
                raise ExecutionError(index, str(error)) from error
            except InputError as error:
                raise ExecutionError(index, str(error), CoreError.ILLEGAL) from error
            except _Starved as error:
                raise ExecutionError(index, str(error), CoreError.WATCHDOG) from error
            if stop is not None:
                return stop
        return None

    def _prepare(self, line: bytes, chunk: Chunk) -> Action | _Stop:
        """Decode `line` once, into an action that serves all chunks like this one.

        Alike are chunks with the same number of tokens that are both the last one, or both not. InputError when `line`
        is no instruction.
        """
        i, formats = decode(line), len(self._gemm.weights.steps)
        if i.opcode.name == "gemm" and i["format"] >= formats:
            raise InputError(f"takes weights of format {i['format']}, but there are {formats}")
        if i.opcode.name == "end":
            return _Stop.END
        if i.opcode.name == "next" and not chunk.last:
            return _Stop.NEXT
        if i.opcode.unit is Unit.CONTROL or not _wanted(i, chunk):
            return lambda _: None
        if i.opcode.unit is Unit.VECTOR:
            return self._vector.prepared(i, chunk.tokens)
        return partial(self._run[i.opcode.name], i)

    def _bytes(self, start: int, size: int) -> Bytes:
        """A view of the system window."""
        require(start + size <= self.system.size, f"reaches byte {start + size} of a window of {self.system.size}")
        return self.system[start : start + size]

    # The units.

    def _weights(self, i: Instruction, _: Chunk) -> None:
        end, size = (i["offset"] + i["beats"]) * self._beat, min(window.size for window in self.weights)
        require(end <= size or not i["beats"], f"reaches byte {end} of a window of weights of {size}")
        self._fetched.append((i["offset"], i["beats"]))

    def _multiply(self, i: Instruction, chunk: Chunk) -> None:
        key = (i["format"], i["blocks"], i["tiles"], i["specials"], self._take_beats(i))
        if key not in self._products:
            self._products[key] = self._read_weights(*key)
        product = self._products[key]
        outputs, inputs = product.shape
        lanes = self._core.lanes
        together = max(self._gemm.weights.inputs // lanes, 1)  # words that a step reads
        base = i["activations"] // together * together
        end = base - (-inputs // lanes)
        require(end <= self._core.activation_words, f"reaches word {end} of {self._core.activation_words}")
        codes = self.memories.activations[: chunk.tokens, base:end].reshape(chunk.tokens, -1)[:, :inputs]
        sums = product(codes).astype(np.float32)
        self._put(i["d_base"], (i["d_token"], 0, 1), sums.reshape(chunk.tokens, 1, outputs // lanes, lanes))

    def _take_beats(self, i: Instruction) -> tuple[tuple[int, int], ...]:
        """The beats that a product consumes, as (first, count) runs, in order."""
        wanted = self._wanted_beats(i)
        taken = []
        while wanted:
            if not self._fetched:
                raise _Starved(f"{wanted} beats of weights are never fetched")
            offset, beats = self._fetched.pop(0)
            used = min(beats, wanted)
            if used:
                taken.append((offset, used))
            if used < beats:
                self._fetched.insert(0, (offset + used, beats - used))
            wanted -= used
        return tuple(taken)

    def _wanted_beats(self, i: Instruction) -> int:
        """The beats of each channel that a product consumes."""
        layout = self._gemm.weights
        step, size = layout.steps[i["format"]], (i["blocks"], i["tiles"])
        if not isinstance(layout, BlockLayout):
            return layout.beats(step, *size)
        key = (step.index, *size, *self._fetched)
        if key not in self._stored:  # the stream itself says where its blocks end
            stream = self._fetched_bytes(self.weights[0], self._fetched)
            try:
                self._stored[key] = stored_beats(stream, layout, FORMATS[step.format], *size)
            except InputError as error:
                raise _Starved(str(error)) from error
        return self._stored[key]

    def _fetched_bytes(self, window: Bytes, runs: Iterable[tuple[int, int]]) -> Bytes:
        """What lies in these beats of a channel's window."""
        return np.concatenate([window[:0], *(window[o * self._beat : (o + b) * self._beat] for o, b in runs)])

    def _read_weights(
        self, format: int, blocks: int, tiles: int, specials: int, runs: tuple[tuple[int, int], ...]
    ) -> ExactProduct:
        """The product with the matrix [outputs, inputs] in these beats of every channel."""
        streams = [self._fetched_bytes(window, runs) for window in self.weights]
        weights = read_weights(streams, self._gemm, format, blocks, tiles, specials)
        return ExactProduct(weights, LARGEST_ACTIVATION)

    def _attend(self, i: Instruction, chunk: Chunk) -> None:
        for lane, window in self._lanes_at_work(i):
            self._attend_on(i, chunk, lane, window)

    def _lanes_at_work(self, i: Instruction) -> Iterator[tuple[int, StripedWindow]]:
        """The attention lanes that an instruction is for, each with the window of its cache."""
        memories = (self.system, *self.weights)
        for lane, numbers in enumerate(self._core.cache_memories[: i["other_lanes"] + 1]):
            yield lane, StripedWindow([memories[n] for n in numbers], self._beat)

    def _attend_on(self, i: Instruction, chunk: Chunk, lane: int, window: StripedWindow) -> None:
        """Attention of one lane's heads."""
        columns, size = len(self.memories.queries), i["query_head"]
        group, tokens = i["group"], min(i["count"], chunk.tokens - i["first"])
        count = tokens * group
        queries = self.memories.queries.reshape(columns, self._core.attention_lanes, -1)[:, lane]
        require(count <= columns, f"reaches column {count} of {columns}")

        def words_at(start: int) -> Integers:
            end = start + size + 3
            require(end <= queries[0].size, f"reaches element {end} of {queries[0].size} of the query buffer")
            found: Integers = queries[:count, start:end].astype(np.int64)
            return found

        words, for_sinks = words_at(i["queries"]), None
        if self._core.cache_ring and i["sinks"]:
            of_sinks = words_at(i["sink_queries"])
            for_sinks = of_sinks[:, :size], of_sinks[:, size]
        keys = chunk.position + i["first"] + tokens
        state = attend(
            attention_format(self._attention),
            self._attention.rows,
            words[:, :size],
            words[:, size],
            (words[:, size + 1] & POSITION_LOW) + (words[:, size + 2] << 16),
            self._cached(window, i, i["keys"] + chunk.place, size, keys),
            self._cached(window, i, i["values"] + chunk.place, i["value_head"], keys),
            Mask(keys=keys, causal=True, window=i["window"], sinks=i["sinks"]),
            for_sinks=for_sinks,
        )
        outputs = state.outputs().T.astype(np.float32).reshape(tokens, group, -1, self._core.lanes)
        base = i["d_base"] + i["first"] * i["d_token"] + lane * group * i["d_outer"]
        self._put(base, (i["d_token"], i["d_outer"], 1), outputs)

    def _cached(self, window: StripedWindow, i: Instruction, beat: int, elements: int, keys: int) -> Integers:
        """Keys or values [keys, elements] of a head, which begin at a beat; in a ring, of positions that are lost there
        are others."""
        cache = self._core.cache
        tiles, start = -(-keys // cache.rows), beat * self._cache_beat
        if ring := _ring(i):
            size = cache.tile_bytes(elements)
            places = [cache.ring_place(tile, ring, i["sinks"]) for tile in range(tiles)]
            raw = window.read(start, (max(places) + 1) * size).reshape(-1, size)[places]
            return read_tiles(raw, cache)[:keys]
        raw = window.read(start + cache.recent_bytes(elements), tiles * cache.tile_bytes(elements))
        found = read_tiles(raw.reshape(tiles, -1), cache)
        if cache.recent:
            recent = [tile for tile in range(tiles) if cache.is_recent(tile, tiles - 1)]
            places = [cache.recent_place(tile) for tile in recent]
            raw = window.read(start, cache.recent_bytes(elements)).reshape(cache.recent + 1, -1)[places]
            of_tiles = found.reshape(tiles, cache.rows, elements)
            of_tiles[recent] = read_tiles(raw, cache, recent=True).reshape(len(recent), cache.rows, elements)
        return found[:keys]

    def _load(self, i: Instruction, chunk: Chunk) -> None:
        words, lanes = i["words"], self._core.lanes
        match i["rows"]:
            case Rows.ONE:
                rows = [0]
            case Rows.POSITIONS:
                rows = [chunk.position + n for n in range(chunk.tokens)]
            case _:
                rows = self.memories.ids[: chunk.tokens].tolist()
        for n, row in enumerate(rows):
            start = (i["offset"] + row * i["stride"]) * self._beat
            if i["elements"] == Elements.BFLOAT16:
                upper = self._bytes(start, words * lanes * 2).view("<u2")
                elements = (upper.astype(np.uint32) << 16).view(np.float32)
            else:
                elements = self._bytes(start, words * lanes * 4).view("<f4")
            self._put(i["d_base"] + n * i["d_token"], (0, 0, 1), elements.reshape(1, 1, words, lanes))

    def _load_tokens(self, i: Instruction, chunk: Chunk) -> None:
        for n in range(chunk.tokens):
            beat = i["offset"] + chunk.row + n
            row = self._bytes(beat * self._beat, len(NUMBERS) * NUMBER_BYTES).view("<u4").tolist()
            self.memories.ids[n] = row[0] & ((1 << ID_BITS) - 1)
            if n == 0:
                chunk.position, chunk.place = row[1] & ((1 << POSITION_BITS) - 1), row[2]

    def _store(self, i: Instruction, chunk: Chunk) -> None:
        vector = self.memories.vector
        for n in range(chunk.tokens):
            start, end = i["a_base"] + n * i["a_token"], i["a_base"] + n * i["a_token"] + i["words"]
            require(end <= len(vector), f"reaches word {end} of {len(vector)}")
            raw = vector[start:end].astype("<u4").reshape(-1).view(np.uint8)
            self._bytes((i["offset"] + n * i["stride"]) * self._beat, raw.size)[:] = raw

    def _store_kv(self, i: Instruction, chunk: Chunk) -> None:
        if i["elements"]:
            for lane, window in self._lanes_at_work(i):
                self._store_kv_of(i, chunk, lane, window)

    def _store_kv_of(self, i: Instruction, chunk: Chunk, lane: int, window: StripedWindow) -> None:
        """Write what one lane has staged."""
        cache, lanes, elements = self._core.cache, self._core.lanes, i["elements"]
        header = cache.header_bytes * 8 // cache.code_bits  # elements, the last of the word that `base` is then
        size, start = cache.tile_bytes(elements), i["base"] * lanes + (lanes - header if header else 0)
        end = start + header + elements
        staging = self.memories.staging.reshape(cache.rows, self._core.attention_lanes, -1)[:, lane]
        require(end <= staging.shape[1], f"reaches element {end} of {staging.shape[1]}")
        for n in range(chunk.tokens):
            tile, row = divmod(chunk.position + n, cache.rows)
            codes, first = staging[row, start:end], (i["offset"] + chunk.place) * self._cache_beat
            self._count(codes, header)
            place = cache.ring_place(tile, _ring(i), i["sinks"])
            places = [(first + cache.recent_bytes(elements) + place * size, size, False)]
            if cache.recent:
                wide = cache.recent_tile_bytes(elements)
                places.append((first + cache.recent_place(tile) * wide, wide, True))
            for at, bytes_, recent in places:
                raw = window.read(at, bytes_)
                write_position(raw, row, codes, cache, recent=recent)
                window.write(at, raw)

    def _count(self, codes: npt.NDArray[np.int8], header: int) -> None:
        """Count a token's codes, or its scale where it has one, and those at their limit."""
        cache = self._core.cache
        if header:
            raw = packed(codes[:header], cache.code_bits)[-SCALE_BYTES:]
            self.stored_codes += 1
            self.limit_codes += int.from_bytes(raw.tobytes(), "little") >= LARGEST_SCALE
        else:
            self.stored_codes += codes.size
            self.limit_codes += int(np.count_nonzero(np.abs(codes.astype(np.int16)) >= cache.largest_code))

    def _put(self, base: int, strides: tuple[int, int, int], words: npt.NDArray[np.float32]) -> None:
        """Write float32 [tokens, outer, inner, lanes] into the vector memory."""
        vector = self.memories.vector
        tokens, outer, inner, _ = words.shape
        vector[walk(base, strides, (tokens, outer, inner), len(vector))] = words.view(np.uint32)


def _ring(i: Instruction) -> int:
    """Tiles of the ring that an instruction is about, 0 for none."""
    return 1 << i["ring"] >> 1


def _wanted(i: Instruction, chunk: Chunk) -> bool:
    match i["condition"]:
        case Condition.TOKEN_PRESENT:
            return i["first"] < chunk.tokens
        case Condition.LAST_CHUNK:
            return chunk.last and chunk.tokens > 0
    return chunk.tokens > 0
