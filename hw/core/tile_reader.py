"""Fetches the tiles of keys and values that an attention job visits, in the order in which the engine takes them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.gearbox import Gearbox
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import request_layout
from einloom.hw.core.layouts import POSITION_BITS
from einloom.hw.core.tile_order import TileOrder
from einloom.hw.part import Part

BYTE = 8
HEAD_BITS = 8  # the fields `query_head` and `value_head`
BEAT_BITS = 32  # the fields `keys` and `values`
AHEAD = 2  # jobs that are requested and not wholly delivered

# What is delivered: elements of a key and of a value, and tiles.
SHAPE = data.StructLayout({"query_head": HEAD_BITS, "value_head": HEAD_BITS, "tiles": POSITION_BITS})
# One job: the first beat of keys and of values, and their shape, in which nothing is 0.
TILES = data.StructLayout({"keys": BEAT_BITS, "values": BEAT_BITS, "heads": SHAPE})


class TileReader(Part):
    """Requests tiles in the engine's order (TileOrder), and cuts the beats that come into those of the engine.

    The order is the engine's own but for one thing: where a job is known in time, the engine takes its first keys
    before the last values of the job before. So a tile of values has room in a queue, and one stream from memory serves
    keys and values without ever waiting for itself. A tile lies in memory as, for each byte of a key, that byte of all
    rows. A request in every cycle; an engine beat in every cycle that memory's beats allow. A job is taken while the
    one before is still delivered.

    Parameters
    ----------
    rows : keys of a tile, a power of two.
    beat_bits : of memory.
    cache_bits : 4 or 8; with 4, a byte is two elements, the even one lowest.
    max_head : elements of a value, at most.
    parity : of the queued values.

    Members
    -------
    job : In, stream of TILES
    request, beats : to and from a read master of the system window
    keys, values : Out, streams of the engine's beats, 8 bits for each row
    corrupt : Out(1), with `parity` only: see StreamFifo
    """

    def __init__(self, rows: int, beat_bits: int, cache_bits: int, max_head: int, parity: bool):
        super().__init__({
            "job": In(stream.Signature(TILES)),
            "request": Out(stream.Signature(request_layout())),
            "beats": In(stream.Signature(beat_layout(beat_bits))),
            "keys": Out(stream.Signature(rows * BYTE)),
            "values": Out(stream.Signature(rows * BYTE)),
            **corrupt_port(parity),
        })

    def elaborate(self, platform):
        m = Module()
        shapes = StreamFifo(SHAPE.size, AHEAD).place(m, "shapes", platform)
        self._request(m, platform, shapes)
        self._deliver(m, platform, shapes)
        return m

    def _request(self, m, platform, shapes):
        order = TileOrder().place(m, "requested", platform)
        job = Signal(TILES)
        keys, values = Signal(BEAT_BITS), Signal(BEAT_BITS)  # the next tiles' first beats
        beat_shift = (self.beat_bits // BYTE).bit_length() - 1
        row_shift = (self.rows - 1).bit_length() - (self.cache_bits == 4)

        def beats(head):
            return ((head << row_shift) >> beat_shift)[: HEAD_BITS + row_shift]

        chosen = Signal.like(self.request.payload)
        m.d.comb += [
            self.job.ready.eq(~order.active & shapes.i.ready),
            shapes.i.valid.eq(self.job.valid & self.job.ready),
            shapes.i.payload.eq(self.job.payload.heads),
            order.start.eq(self.job.valid & self.job.ready),
            order.tiles.eq(job.heads.tiles),
            order.advance.eq(self.request.valid & self.request.ready),
            self.request.valid.eq(order.active),
            chosen.beats.eq(Mux(order.is_values, beats(job.heads.value_head), beats(job.heads.query_head))),
            chosen.offset.eq(Mux(order.is_values, values, keys) << beat_shift),
            self.request.payload.eq(chosen),
        ]
        with m.If(order.start):
            m.d.sync += [job.eq(self.job.payload), keys.eq(self.job.payload.keys), values.eq(self.job.payload.values)]
        with m.Elif(order.advance):
            with m.If(order.is_values):
                m.d.sync += values.eq(values + chosen.beats)
            with m.Else():
                m.d.sync += keys.eq(keys + chosen.beats)

    def _deliver(self, m, platform, shapes):
        order = TileOrder().place(m, "delivered", platform)
        gearbox = Gearbox(self.beat_bits, (self.rows * BYTE,)).place(m, "gearbox", platform)
        values = StreamFifo(self.rows * BYTE, self.max_head, self.parity).place(m, "values", platform)
        if self.parity:
            m.d.comb += self.corrupt.eq(values.corrupt)
        shape = Signal(SHAPE)
        left = Signal(HEAD_BITS)  # elements of the tile behind the present one
        fresh = Signal()  # the present tile's first element comes next
        move, ends, high = Signal(), Signal(), Signal()
        element = Signal(self.rows * BYTE)
        head = Mux(order.is_values, shape.value_head, shape.query_head)
        m.d.comb += [
            gearbox.beats.payload.eq(self.beats.payload.data),
            gearbox.beats.valid.eq(self.beats.valid),
            self.beats.ready.eq(gearbox.beats.ready),
            order.start.eq(shapes.o.valid & ~order.active),
            shapes.o.ready.eq(order.start),
            order.tiles.eq(shape.tiles),
            self.keys.payload.eq(element),
            self.keys.valid.eq(order.active & gearbox.available & ~order.is_values),
            values.i.payload.eq(element),
            values.i.valid.eq(order.active & gearbox.available & order.is_values),
            self.values.payload.eq(values.o.payload),
            self.values.valid.eq(values.o.valid),
            values.o.ready.eq(self.values.ready),
            move.eq((self.keys.valid & self.keys.ready) | (values.i.valid & values.i.ready)),
            ends.eq(Mux(fresh, head == 1, left == 0)),
            order.advance.eq(move & ends),
        ]
        if self.cache_bits == BYTE:
            m.d.comb += [element.eq(gearbox.word), gearbox.take.eq(move)]
        else:
            nibbles = [gearbox.word.word_select(row, BYTE).word_select(high, 4) for row in range(self.rows)]
            m.d.comb += [
                element.eq(Cat(Cat(n, n[-1].replicate(BYTE - len(n))) for n in nibbles)),
                gearbox.take.eq(move & high),
            ]
            with m.If(move):
                m.d.sync += high.eq(~high)
        with m.If(order.start):
            m.d.sync += [shape.eq(shapes.o.payload), fresh.eq(1)]
        with m.Elif(move):
            m.d.sync += [fresh.eq(ends), left.eq(Mux(fresh, head - 2, left - 1))]
