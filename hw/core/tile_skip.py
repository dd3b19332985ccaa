"""The tiles that an attention job leaves out: those between its sinks and its window."""

from amaranth import Cat, Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.core.layouts import POSITION_BITS, ring_mask
from einloom.hw.core.tile_reader import BEAT_BITS, JUMP, tile_beats
from einloom.hw.isa_layout import field_bits
from einloom.hw.part import Part
from einloom.hw.wires import members
from einloom.spec.cache_format import CacheFormat

RING_BITS = field_bits("attend", "ring")
WINDOW_BITS = field_bits("attend", "window")
SINK_BITS = field_bits("attend", "sinks")
HEAD_BITS = field_bits("attend", "query_head")


class TileSkip(Part):
    """Computes a job's tiles, and how far the TileReader jumps, from positions.

    The window of the first query, at `first`, begins with tile w = (first + 1 - window) / rows, or 0 if it would begin
    before position 0. Sinks are s = min(w, sinks / rows, rounded up) tiles. So w - s tiles are left out, and the jump
    is w - s tiles, or one more from the last tile of sinks. Jumps are counted in beats; the products with a tile's
    beats are added up bit by bit.

    With a ring of N tiles all tiles of sinks are visited first, because they lie elsewhere, and the window begins
    behind them at the earliest. The jump is then not a distance but the place of tile w in the ring, w mod N.

    Throughput and latency: one job at a time; 2 cycles from `valid` to `ready` without a window. With one, 1 more, and
    1 for each bit of a tile's beats.

    Parameters
    ----------
    cache : the tiles in memory.

    Members
    -------
    valid : In(1), there is a job; the other inputs are stable while it is 1
    taken : In(1), the job's last cycle
    first, last : In, positions of the first and of the last query; `last` may come a cycle later
    window, sinks, query_head, value_head : In, fields of `attend`; `ring` too, if the cache may have one
    ready : Out(1), the outputs hold
    tiles : Out, that are visited
    left_out : Out, tiles that are not
    jump : Out, JUMP
    ring_place : Out, of the first tile behind the sinks, in the ring; if the cache may have one
    ring_keys, ring_values : Out, beats of a ring of keys and of values, likewise
    """

    def __init__(self, cache: CacheFormat):
        super().__init__({
            **members(In, "valid", "taken"),
            **members(In, "first", "last", shape=POSITION_BITS),
            "window": In(WINDOW_BITS),
            "sinks": In(SINK_BITS),
            **members(In, "query_head", "value_head", shape=HEAD_BITS),
            "ready": Out(1),
            **members(Out, "tiles", *(["left_out"] if cache.recent else []), shape=POSITION_BITS),
            "jump": Out(JUMP),
            **(
                {
                    "ring": In(RING_BITS),
                    "ring_place": Out(POSITION_BITS),
                    **members(Out, "ring_keys", "ring_values", shape=BEAT_BITS),
                }
                if cache.ring
                else {}
            ),
        })

    def build(self, m, platform):
        rows = self.cache.rows
        shift = (rows - 1).bit_length()
        begin = Signal(POSITION_BITS)  # of the first query's window
        windowed, stage = Signal(), Signal(2)
        window_tile, sink_tiles = Signal(POSITION_BITS), Signal(POSITION_BITS)
        wanted_sinks = Signal(SINK_BITS + 1)
        m.d.comb += [
            begin.eq(self.first + 1 - self.window),
            wanted_sinks.eq((self.sinks + rows - 1) >> shift),
        ]
        in_ring = self.ring != 0 if self.cache.ring else 0
        m.d.sync += [
            windowed.eq((self.window != 0) & (self.first >= self.window) | in_ring),
            window_tile.eq(Mux((self.window != 0) & (self.first >= self.window), begin >> shift, 0)),
            sink_tiles.eq(Mux((wanted_sinks < window_tile) | in_ring, wanted_sinks, window_tile)),
            stage.eq(Mux(self.taken, 0, Cat(self.valid, stage))),
        ]
        left_out = Signal(POSITION_BITS)
        tiles = left_out + (sink_tiles != 0)
        if self.cache.ring:
            # The registers above hold before the sum of these is used, a cycle later.
            behind = Signal(POSITION_BITS)
            m.d.comb += behind.eq(Mux(in_ring & (window_tile < sink_tiles), sink_tiles, window_tile))
            window_tile = behind
            m.d.comb += self.ring_place.eq(behind & ring_mask(self.ring))
            for name, head in (("ring_keys", self.query_head), ("ring_values", self.value_head)):
                m.d.sync += getattr(self, name).eq((tile_beats(head, self.cache) << self.ring) >> 1)
            tiles = Mux(in_ring, self.ring_place, tiles)
        m.d.comb += [
            left_out.eq(window_tile - sink_tiles),
            self.tiles.eq((self.last >> shift) + 1 - left_out),
            self.jump.sinks.eq(sink_tiles),
        ]
        if self.cache.recent:
            m.d.comb += self.left_out.eq(left_out)
        self._products(m, stage[1] & windowed, tiles, stage[0] & ~windowed)

    def _products(self, m, start, tiles, nothing):
        """The jumps, once `start` is 1; where `nothing` is 1 they are 0 in the next cycle."""
        heads = {"keys": self.query_head, "values": self.value_head}
        beats = {name: tile_beats(head, self.cache) for name, head in heads.items()}
        addend, begun = Signal(BEAT_BITS), Signal()
        left = {name: Signal(len(value), name=f"left_{name}") for name, value in beats.items()}
        # A register, as the queue of instructions waits for it: it is set as the last bits are added.
        added = begun & (Cat(bits[1:] for bits in left.values()) == 0)
        m.d.sync += self.ready.eq(~self.taken & (nothing | added))
        with m.If(self.taken | ~start):
            m.d.sync += [begun.eq(0), *(self.jump[name].eq(0) for name in left)]
        with m.Elif(~begun):
            m.d.sync += [begun.eq(1), addend.eq(tiles), *(left[name].eq(beats[name]) for name in left)]
        with m.Else():
            m.d.sync += addend.eq(addend << 1)
            for name, bits in left.items():
                m.d.sync += bits.eq(bits >> 1)
                with m.If(bits[0]):
                    m.d.sync += self.jump[name].eq(self.jump[name] + addend)
