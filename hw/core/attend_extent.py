"""What an `attend` instruction covers: its queries, and the tiles of keys and values that they visit."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import CHUNK, PLACE_BITS, POSITION_BITS, TOKEN_BITS
from einloom.hw.core.tile_reader import BEAT_BITS, JUMP
from einloom.hw.core.tile_skip import TileSkip
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.wires import feed, members
from einloom.spec.cache_format import CacheFormat
from einloom.spec.isa import INSTRUCTION_BITS


def extent_layout(cache: CacheFormat) -> data.StructLayout:
    """An AttendExtent: where keys and values begin, the queries' tokens, positions of the first and the last, whether
    there are none, and TileSkip's outputs."""
    ring = {"ring_place": POSITION_BITS, "ring_keys": BEAT_BITS, "ring_values": BEAT_BITS}
    return data.StructLayout({
        "keys": PLACE_BITS,
        "values": PLACE_BITS,
        "tokens": TOKEN_BITS,
        "first": POSITION_BITS,
        "last": POSITION_BITS,
        "nothing": 1,
        "tiles": POSITION_BITS,
        "jump": JUMP,
        **({"left_out": POSITION_BITS} if cache.recent else {}),
        **(ring if cache.ring else {}),
    })


class AttendExtent(Part):
    """Computes once what all lanes of attention need of an instruction besides its fields.

    Throughput and latency: one instruction at a time; 2 cycles from `valid` to `ready`, and with a window as many as
    TileSkip takes.

    Parameters
    ----------
    lanes : of the vector unit: a value of fewer elements has no word.
    cache : the tiles in memory.

    Members
    -------
    valid : In(1), there is an instruction; the other inputs are stable while it is 1
    taken : In(1), the instruction's last cycle
    payload, chunk : In, the instruction, and the tokens at work
    skip : In(1), the instruction only passes its permits on
    ready : Out(1), `extent` holds
    extent : Out
    """

    def __init__(self, lanes: int, cache: CacheFormat):
        super().__init__({
            **members(In, "valid", "taken", "skip"),
            "payload": In(INSTRUCTION_BITS),
            "chunk": In(CHUNK),
            "ready": Out(1),
            "extent": Out(extent_layout(cache)),
        })

    def build(self, m, platform):
        i, extent, cache = decoded(self.payload, "attend"), self.extent, self.cache
        tiles = TileSkip(cache).place(m, "tiles", platform)
        present, first = Signal(TOKEN_BITS), Signal(POSITION_BITS)
        prepared = Signal()
        empty = (i.group == 0) | (i.query_head == 0) | (i.value_head < self.lanes)
        m.d.comb += [
            present.eq(Mux(self.chunk.tokens > i.first, self.chunk.tokens - i.first, 0)),
            first.eq(self.chunk.position + i.first),
            self.ready.eq(prepared & (extent.nothing | tiles.ready)),
        ]
        # These depend on the chunk. They are stable after two cycles.
        waited = Signal()
        m.d.sync += [
            *(extent[name].eq(i[name] + self.chunk.place) for name in ("keys", "values")),
            extent.tokens.eq(Mux(i.count < present, i.count, present)),
            extent.first.eq(first),
            extent.last.eq(first + extent.tokens - 1),
            extent.nothing.eq(self.skip | (extent.tokens == 0) | empty),
            Cat(waited, prepared).eq(Mux(self.taken, 0, Cat(self.valid, waited))),
        ]
        feed(m, self, tiles, "valid", "taken")
        feed(m, i, tiles, "window", "sinks", "query_head", "value_head", *(["ring"] if cache.ring else []))
        m.d.comb += [tiles.first.eq(first), tiles.last.eq(extent.last)]
        names = ("tiles", "jump", *(["left_out"] if cache.recent else []))
        feed(m, tiles, extent, *names, *(["ring_place", "ring_keys", "ring_values"] if cache.ring else []))
