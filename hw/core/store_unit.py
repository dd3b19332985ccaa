"""The unit that writes memory: rows of words, and keys and values."""

from amaranth import Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.layouts import unit_ports, write_port, writer_ports
from einloom.hw.core.memory_client import MemoryClient
from einloom.hw.core.row_store import RowStore
from einloom.hw.core.store_lanes import StoreLanes
from einloom.hw.core.tile_store import TileStore
from einloom.hw.isa_layout import HEADER_LAYOUT
from einloom.hw.part import Part
from einloom.hw.vector.slot import read_port
from einloom.hw.wires import feed
from einloom.spec.cache_format import CacheFormat
from einloom.spec.isa import BY_NAME, Unit


class StoreUnit(Part):
    """Hands `store` to a RowStore and `store_kv` to a TileStore, which share a write master; or, where the cache lies
    behind weight channels, to StoreLanes, which have masters of their own.

    Throughput and latency: theirs.

    Parameters
    ----------
    lanes, cache, words, banks, parity : see TileStore.
    count : attention lanes.
    masters : write masters of a cache behind weight channels; 0 for none.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    write : In, a word for the staging buffer
    word : Out, a port of the vector memory
    request, beats, answered : to a write master of the system window
    cache_requests, cache_beats, cache_answers : to the masters of the cache, see StoreLanes; with `masters` only
    scrub, scrub_address, corrupt : see BankedBuffer
    """

    memory = MemoryClient("store", Unit.STORE, writes=True)

    def __init__(
        self,
        lanes: int,
        cache: CacheFormat,
        words: int,
        banks: int,
        parity: bool,
        count: int = 1,
        masters: int = 0,
    ):
        self.beat_bits = cache.beat_bits * count // masters if masters else cache.beat_bits
        cached: dict = {}
        if masters:
            stripe = strobed_layout(self.beat_bits)
            cached = {
                "cache_requests": Out(stream.Signature(request_layout())).array(masters),
                "cache_beats": Out(stream.Signature(stripe)).array(masters),
                "cache_answers": In(masters),
            }
        super().__init__({
            **unit_ports(),
            "write": In(write_port(lanes * cache.code_bits)),
            "word": Out(read_port(lanes, shared=True)),
            **writer_ports(self.beat_bits),
            **cached,
            **parity_ports(parity),
        })

    def build(self, m, platform):
        rows = RowStore(self.lanes, self.beat_bits).place(m, "rows", platform)
        store = (self.lanes, self.cache, self.words, self.banks, self.parity)
        lanes = (self.count, self.masters)
        tiles = (StoreLanes(*store, *lanes) if self.masters else TileStore(*store)).place(m, "tiles", platform)
        if self.parity:
            connect_parity(m, self, tiles)
        connect(m, flipped(self.write), tiles.write)
        connect(m, rows.word, flipped(self.word))
        is_tiles = Signal()
        m.d.comb += [
            is_tiles.eq(self.instruction.payload[: HEADER_LAYOUT["opcode"].width] == BY_NAME["store_kv"].code),
            self.busy.eq(rows.busy | tiles.busy),
            self.instruction.ready.eq(Mux(is_tiles, tiles.instruction.ready, rows.instruction.ready)),
        ]
        for part, chosen in ((rows, ~is_tiles), (tiles, is_tiles)):
            m.d.comb += [
                part.chunk.eq(self.chunk),
                part.instruction.payload.eq(self.instruction.payload),
                part.instruction.valid.eq(self.instruction.valid & chosen),
            ]
        if self.masters:
            connect(m, rows.request, flipped(self.request))
            connect(m, rows.beats, flipped(self.beats))
            m.d.comb += [rows.answered.eq(self.answered), tiles.answers.eq(self.cache_answers)]
            for n in range(self.masters):
                connect(m, tiles.requests[n], flipped(self.cache_requests[n]))
                connect(m, tiles.beats[n], flipped(self.cache_beats[n]))
            return
        for part, chosen in ((rows, ~is_tiles), (tiles, is_tiles)):
            m.d.comb += [
                part.request.ready.eq(self.request.ready & chosen),
                part.beats.ready.eq(self.beats.ready & chosen),
                part.answered.eq(self.answered & chosen),
            ]
            with m.If(chosen):
                feed(m, part.request, self.request, "valid", "payload")
                feed(m, part.beats, self.beats, "valid", "payload")
