"""The unit of attention: an attention engine with its queries, and the cache it reads."""

from amaranth import Cat, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.array.attention_engine import AttentionEngine, AttentionSpec
from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.core.attend_extent import extent_layout
from einloom.hw.core.float_words import integers_layout
from einloom.hw.core.layouts import (
    INDEX_BITS,
    reader_ports,
    unit_ports,
    write_port,
)
from einloom.hw.core.memory_client import MemoryClient
from einloom.hw.core.output_words import BLOCK, OutputWords
from einloom.hw.core.permit_board import MASK_BITS
from einloom.hw.core.tile_reader import TileReader
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.wires import feed, join, members
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS
from einloom.spec.cache_format import CacheFormat
from einloom.spec.isa import Unit

COLUMN_BITS = 16
BLOCKS = 4  # instructions that are taken and not complete


class AttentionUnit(Part):
    """Carries out `attend` (spec/isa.py), up to BLOCKS instructions at once.

    The engine reads queries from a buffer with a bank for each column. Keys and values come through a TileReader;
    outputs leave through OutputWords. An instruction is taken while the one before is at work, so its tiles are fetched
    ahead and the engine goes on without a gap. Throughput: the engine's. Latency: none from an instruction that is
    prepared to the engine's job; alone it costs the engine's cycles, memory's latency, OutputWords', and that of what
    writes the words.

    Parameters
    ----------
    spec : size of the engine; its keys and values are as wide as a TileReader's.
    lanes : of the vector unit.
    cache : the tiles in memory, of as many rows as the engine.
    words : of the query buffer, for each column.
    parity : the query buffer, queued values and the engine's states have parity bits.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`; but `ready` is not completion
    prepared, extent : In, what `instruction` covers is there; see AttendExtent
    done, signal : Out, the oldest instruction is complete, and its field of that name
    idle : Out(1), no instruction is there
    write : In, a word of a `column` of the query buffer; if it is a query's `scale`, the token's position is put behind
    index : In, number of the instruction
    request, beats : to and from a read master of the system window
    request_index : Out, number of the instruction whose tiles are requested
    integers : Out, stream of words for FloatWords
    written : In(1), the word marked as an instruction's last is in the vector memory
    array_busy, row_busy : Out(1), the engine's 2D array and 1D row are at work
    waiting : Out(1), the engine could take a beat of keys or values and there is none
    scrub, scrub_address, corrupt : see BankedBuffer; `corrupt` is also the other memories'
    oldest_index : Out, with `parity` only: number of the oldest instruction that is not complete
    """

    memory = MemoryClient("cache", Unit.ATTENTION, ahead=True)

    def __init__(self, spec: AttentionSpec, lanes: int, cache: CacheFormat, words: int, parity: bool):
        super().__init__({
            **unit_ports(),
            "prepared": In(1),
            "extent": In(extent_layout(cache)),
            **members(Out, "done", "idle", "array_busy", "row_busy", "waiting"),
            "signal": Out(MASK_BITS),
            "index": In(INDEX_BITS),
            "request_index": Out(INDEX_BITS),
            "write": In(write_port(lanes * QUERY_BITS, column=COLUMN_BITS, scale=1)),
            **reader_ports(cache.beat_bits),
            "integers": Out(stream.Signature(integers_layout(lanes, OUTPUT_BITS))),
            "written": In(1),
            **parity_ports(parity),
            **({"oldest_index": Out(INDEX_BITS)} if parity else {}),
        })
        # The rest of an instruction's work: where its outputs go, if there are any, and its permits.
        pending = {"block": BLOCK, "nothing": 1, "signal": MASK_BITS}
        self._pending = data.StructLayout(pending | ({"index": INDEX_BITS} if parity else {}))

    def build(self, m, platform):
        spec = self.spec
        engine = AttentionEngine(spec).place(m, "engine", platform)
        reader = TileReader(self.cache, spec.format.max_head, self.parity)
        reader.place(m, "reader", platform)
        outputs = OutputWords(spec.columns, self.lanes).place(m, "outputs", platform)
        buffer = self._queries(m, platform, engine)
        if self.parity:
            connect_parity(m, self, buffer, (reader, engine))
        i = decoded(self.instruction.payload, "attend")

        extent = self.extent
        blocks = StreamFifo(self._pending.size, BLOCKS).place(m, "blocks", platform)
        self._offer(m, ((engine.job, ~extent.nothing), (reader.job, ~extent.nothing), (blocks.i, 1)))
        self._describe(m, i, engine.job.payload, reader.job.payload, blocks.i.payload)
        self._complete(m, blocks, outputs)
        with m.If(reader.job.valid & reader.job.ready):
            m.d.sync += self.request_index.eq(self.index)
        m.d.comb += [
            self.idle.eq(~self.instruction.valid & (blocks.level == 0)),
            self.busy.eq(~self.idle),
            self.array_busy.eq(engine.busy),
            self.row_busy.eq(engine.row_busy),
            self.waiting.eq((engine.keys.ready & ~engine.keys.valid) | (engine.values.ready & ~engine.values.valid)),
        ]
        for source, sink in (
            (reader.keys, engine.keys),
            (reader.values, engine.values),
            (engine.outputs, outputs.outputs),
            (reader.request, self.request),
            (self.beats, reader.beats),
            (outputs.words, self.integers),
        ):
            join(m, source, sink)

    def _offer(self, m, sinks):
        """Offer the instruction to each of (stream, it is needed); it is taken when all that are needed have it."""
        # What is prepared is an instruction that is offered.
        taken = []
        for n, (sink, needed) in enumerate(sinks):
            sent = Signal(name=f"sent_{n}")
            m.d.comb += sink.valid.eq(self.prepared & needed & ~sent)
            taken.append(sent | sink.ready | ~Value.cast(needed))
            m.d.sync += sent.eq(~self.instruction.ready & (sent | (sink.valid & sink.ready)))
        m.d.comb += self.instruction.ready.eq(self.prepared & Cat(taken).all())

    def _describe(self, m, i, job, tiles, block):
        """The instruction as the engine's job, as the reader's, and as the rest of its work."""
        max_keys, extent = self.spec.format.max_keys, self.extent
        entry = data.View(self._pending, block)
        if self.parity:
            m.d.comb += entry.index.eq(self.index)
        feed(m, i, job, "queries", "query_head", "value_head")
        feed(m, extent, tiles, "keys", "values")
        feed(m, i, tiles.heads, "query_head", "value_head")
        feed(m, i, entry.block, "group", "value_head")
        m.d.comb += [
            entry.nothing.eq(extent.nothing),
            entry.signal.eq(i.signal),
            entry.block.base.eq(i.d_base + i.first * i.d_token),
            entry.block.token.eq(i.d_token),
            entry.block.outer.eq(i.d_outer),
            entry.block.tokens.eq(extent.tokens),
            job.keys.eq(extent.last + 1),
            job.first_position.eq(extent.first),
            job.last_position.eq(extent.last),
            job.causal.eq(1),
            *(job[name].eq(Mux(i[name] > max_keys, max_keys, i[name])) for name in ("window", "sinks")),
            tiles.heads.tiles.eq(extent.tiles),
            tiles.jump.eq(extent.jump),
        ]
        if self.spec.format.sink_queries:
            m.d.comb += job.sink_queries.eq(i.sink_queries)
        if self.cache.ring:
            m.d.comb += [tiles.ring.eq(i.ring), tiles.place.eq(extent.ring_place)]
            feed(m, extent, tiles, "ring_keys", "ring_values")
        if self.cache.recent:
            m.d.comb += [
                tiles.heads.visited.sinks.eq(extent.jump.sinks),
                tiles.heads.visited.left_out.eq(extent.left_out),
                tiles.heads.visited.last.eq(extent.last >> (self.cache.rows - 1).bit_length()),
            ]

    def _complete(self, m, blocks, outputs):
        """Write the outputs of one block after the other; an instruction is complete when its own are written."""
        pending = data.View(self._pending, blocks.o.payload)
        if self.parity:
            m.d.comb += self.oldest_index.eq(pending.index)
        begun = Signal()
        m.d.comb += [
            outputs.block.eq(pending.block),
            outputs.start.eq(blocks.o.valid & ~pending.nothing & ~begun),
            self.done.eq(blocks.o.valid & (pending.nothing | (begun & self.written))),
            self.signal.eq(pending.signal),
            blocks.o.ready.eq(self.done),
        ]
        m.d.sync += begun.eq(~self.done & (begun | outputs.start))

    def _queries(self, m, platform, engine):
        """Returns the query buffer; the token's position is put into the word of a scale."""
        spec = self.spec
        buffer = BankedBuffer(spec.columns, self.words, self.lanes, QUERY_BITS, parity=self.parity)
        buffer.place(m, "queries", platform)
        position = Signal(2 * QUERY_BITS)
        behind_scale = self.write.data[3 * QUERY_BITS :]
        m.d.comb += [
            position.eq(self.chunk.position + self.write.token),
            buffer.write.eq(self.write.enable),
            buffer.bank.eq(self.write.column),
            buffer.address.eq(self.write.address),
            buffer.data.eq(
                Mux(self.write.scale, Cat(self.write.data[:QUERY_BITS], position, behind_scale), self.write.data)
            ),
            buffer.read.eq(engine.query_read),
            buffer.read_address.eq(engine.query_address),
            engine.queries.eq(buffer.elements),
        ]
        return buffer
