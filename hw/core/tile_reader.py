"""Fetches the tiles of keys and values that an attention job visits, in the order in which the engine takes them."""

from amaranth import Cat, Const, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.gearbox import Gearbox
from einloom.hw.buffers.parity import corrupt_port
from einloom.hw.core.layouts import POSITION_BITS, reader_ports, ring_mask
from einloom.hw.core.recent_tiles import VISITED, RecentTiles
from einloom.hw.core.tile_order import TileOrder
from einloom.hw.core.token_scales import TokenScales, element_bits
from einloom.hw.isa_layout import field_bits
from einloom.hw.part import Part
from einloom.hw.wires import feed, join, members
from einloom.spec.cache_format import RECENT_BITS, UPPER_BITS, CacheFormat

BYTE = 8
HEAD_BITS = field_bits("attend", "query_head")
BEAT_BITS = field_bits("attend", "keys")
AHEAD = 2  # jobs that are requested and not wholly delivered

# Shape of a job: elements of a key and of a value, and tiles.
SHAPE = data.StructLayout({"query_head": HEAD_BITS, "value_head": HEAD_BITS, "tiles": POSITION_BITS})
# Tiles that a job leaves out: `sinks` tiles come before them, and the next one's beats are so much further in memory
# than those of the last before them, or than the job's first beats if none comes before them.
JUMP = data.StructLayout({"sinks": POSITION_BITS, "keys": BEAT_BITS, "values": BEAT_BITS})


def shape_layout(cache: CacheFormat) -> data.StructLayout:
    """Shape of a job's tiles; with recent tiles also their numbers."""
    return data.StructLayout({**dict(SHAPE.members), "visited": VISITED}) if cache.recent else SHAPE


def tiles_layout(cache: CacheFormat) -> data.StructLayout:
    """A job: the first beat of keys, that of values, their shape, in which nothing is 0, and what is left out; where a
    cache may have a ring, that field of `attend`, the place in it of the first tile behind the sinks, and its beats."""
    ring = {
        "ring": field_bits("attend", "ring"),
        "place": POSITION_BITS,
        "ring_keys": BEAT_BITS,
        "ring_values": BEAT_BITS,
    }
    return data.StructLayout({
        "keys": BEAT_BITS,
        "values": BEAT_BITS,
        "heads": shape_layout(cache),
        "jump": JUMP,
        **(ring if cache.ring else {}),
    })


def tile_beats(head, cache: CacheFormat, *, recent: bool = False):
    """Beats of a tile of `head` elements."""
    row_shift = (cache.rows - 1).bit_length() - (cache.bits == 4 and not recent)
    coded = (head << row_shift) >> ((cache.beat_bits // BYTE).bit_length() - 1)
    return (coded + cache.header_beats if cache.token_scales else coded)[: len(head) + row_shift]


class TileReader(Part):
    """Requests tiles of keys and values in the order of TileOrder, and cuts memory's beats into the engine's. Tiles
    between a window and the sinks are left out. Where a head has a ring of tiles, those are read behind the sinks, from
    the window's first one on, and after the last the first.

    A tile lies in memory byte by byte: for each byte of a key, that byte of all rows. An engine beat is one element of
    all rows, so it is `rows` bytes, or half as many with 4 bits. With a scale per token a tile begins with the rows'
    headers, and TokenScales multiplies the codes that follow. With recent tiles, RecentTiles says whether a tile comes
    from its place among those or, with the upper halves of its codes, from behind them.

    The engine takes tiles in the same order but for one case. Across jobs it may read the first keys of job n + 1
    before the last values of job n, which memory sends first. So one tile of values is buffered; otherwise the shared
    stream would deadlock. A job is taken while the one before is still delivered.

    Throughput: a request a cycle; an engine beat a cycle as long as memory's beats come as fast, and a byte of the
    headers. Latency: 1 cycle from a job to its first request, 1 from a beat of memory to its keys, and the queue's more
    to its values; with scales, TokenScales' more to both.

    Parameters
    ----------
    cache : the tiles in memory; with 4 bits, a byte is two elements, the even one lowest.
    max_head : elements of a value, at most: the depth of the queue.
    parity : the queued values have parity bits.

    Members
    -------
    job : In, stream of `tiles_layout`
    request, beats : to and from a read master of the system window
    keys, values : Out, streams of the engine's beats, 8 bits for each row, or 16 with scales
    corrupt : Out(1), with `parity` only: see StreamFifo
    """

    def __init__(self, cache: CacheFormat, max_head: int, parity: bool):
        super().__init__({
            "job": In(stream.Signature(tiles_layout(cache))),
            **reader_ports(cache.beat_bits),
            **members(Out, "keys", "values", shape=stream.Signature(cache.rows * element_bits(cache))),
            **corrupt_port(parity),
        })

    def build(self, m, platform):
        shapes = StreamFifo(shape_layout(self.cache).size, AHEAD).place(m, "shapes", platform)
        self._request(m, platform, shapes)
        self._deliver(m, platform, shapes)

    def _request(self, m, platform, shapes):
        """Ask for the tiles of a job; their shape goes to `shapes`, for the delivery."""
        order = TileOrder().place(m, "requested", platform)
        job = self._job = Signal(tiles_layout(self.cache))
        keys, values = Signal(BEAT_BITS), Signal(BEAT_BITS)  # the next tiles' first beats
        beat_shift = (self.cache.beat_bits // BYTE).bit_length() - 1

        def beats(recent):
            heads = job.heads
            each = (tile_beats(head, self.cache, recent=recent) for head in (heads.value_head, heads.query_head))
            return Mux(order.is_values, *each)

        beats_of_tile = Signal.like(self.request.payload.beats)
        place, is_recent = self._recent(m, platform, "requested", order, self.job.payload.heads)
        m.d.comb += [
            self.job.ready.eq(~order.active & shapes.i.ready),
            shapes.i.valid.eq(self.job.valid & self.job.ready),
            shapes.i.payload.eq(self.job.payload.heads),
            order.start.eq(self.job.valid & self.job.ready),
            order.tiles.eq(job.heads.tiles),
            order.advance.eq(self.request.valid & self.request.ready),
            self.request.valid.eq(order.active),
            beats_of_tile.eq(beats(recent=False)),
            self.request.payload.beats.eq(beats_of_tile),
            self.request.payload.offset.eq(Mux(order.is_values, values, keys) << beat_shift),
        ]
        if self.cache.recent:
            wide, first = Signal.like(beats_of_tile), Mux(order.is_values, job["values"], job["keys"])
            m.d.comb += wide.eq(beats(recent=True))
            with m.If(is_recent):
                m.d.comb += [
                    self.request.payload.beats.eq(wide),
                    self.request.payload.offset.eq((first + place * wide) << beat_shift),
                ]
        for name, at, mine in (("keys", keys, ~order.is_values), ("values", values, order.is_values)):
            self._address(m, name, at, job, beats_of_tile, order.start, order.advance & mine)
        with m.If(order.start):
            m.d.sync += job.eq(self.job.payload)

    def _address(self, m, name, at, job, beats_of_tile, start, advance):
        """`at` is the first beat of the next tile of keys or of values."""
        given, jump, cache = self.job.payload, job.jump[name], self.cache
        first = given[name]
        if cache.recent:
            head = given.heads.query_head if name == "keys" else given.heads.value_head
            first = first + (cache.recent + 1) * tile_beats(head, cache, recent=True)
        before, jumps = Signal(POSITION_BITS, name=f"before_{name}"), Signal(name=f"jumps_{name}")
        if cache.ring:
            self._follow_ring(m, name, at, before, jumps, beats_of_tile, start, advance)
            return
        with m.If(start):
            m.d.sync += [
                at.eq(first + Mux(given.jump.sinks == 0, given.jump[name], 0)),
                before.eq(given.jump.sinks),
                jumps.eq(given.jump.sinks == 1),
            ]
        with m.Elif(advance):
            m.d.sync += [
                at.eq(at + Mux(jumps, jump, beats_of_tile)),
                before.eq(before - 1),
                jumps.eq(before == 2),
            ]

    def _follow_ring(self, m, name, at, before, jumps, beats_of_tile, start, advance):
        """The same where a job may have a ring: its sinks lie behind it, and behind the ring's end is its start."""
        given, job = self.job.payload, self._job
        in_ring, has_ring = Signal(name=f"in_ring_{name}"), job.ring != 0
        place, end = Signal(POSITION_BITS, name=f"place_{name}"), Signal(name=f"end_{name}")
        m.d.comb += end.eq(place == ring_mask(job.ring))
        first = Mux(given.jump.sinks == 0, given.jump[name], Mux(given.ring == 0, 0, given[f"ring_{name}"]))
        with m.If(start):
            m.d.sync += [
                at.eq(given[name] + first),
                before.eq(given.jump.sinks),
                jumps.eq(given.jump.sinks == 1),
                in_ring.eq((given.ring != 0) & (given.jump.sinks == 0)),
                place.eq(given.place),
            ]
        with m.Elif(advance):
            m.d.sync += [before.eq(before - 1), jumps.eq(before == 2), at.eq(at + beats_of_tile)]
            with m.If(jumps):
                m.d.sync += [at.eq(Mux(has_ring, job[name], at) + job.jump[name]), in_ring.eq(has_ring)]
            with m.Elif(in_ring):
                m.d.sync += place.eq(Mux(end, 0, place + 1))
                with m.If(end):
                    m.d.sync += at.eq(job[name])

    def _recent(self, m, platform, name, order, given):
        """(place, whether it is recent) of the present tile of `order`, whose job is `given` as it starts."""
        if not self.cache.recent:
            return 0, 0
        kinds = []
        for kind, mine in (("keys", ~order.is_values), ("values", order.is_values)):
            tiles = RecentTiles(self.cache.recent).place(m, f"{name}_{kind}", platform)
            m.d.comb += [
                tiles.start.eq(order.start),
                tiles.visited.eq(given.visited),
                tiles.advance.eq(order.advance & mine),
            ]
            kinds.append(tiles)
        keys, values = kinds
        return Mux(order.is_values, values.slot, keys.slot), Mux(order.is_values, values.is_recent, keys.is_recent)

    def _deliver(self, m, platform, shapes):
        """Cut beats into elements, and send each to the engine's keys or to the queue of values."""
        cache = self.cache
        order = TileOrder().place(m, "delivered", platform)
        gearbox = Gearbox(cache.beat_bits, (cache.rows * BYTE,)).place(m, "gearbox", platform)
        values = StreamFifo(len(self.values.payload), self.max_head, self.parity).place(m, "values", platform)
        feed(m, values, self, *corrupt_port(self.parity))
        shape = Signal(shape_layout(cache))
        left = Signal(HEAD_BITS)  # elements of the present tile behind the next one
        fresh = Signal()  # the next element is the tile's first
        move, ends, high = Signal(), Signal(), Signal()
        element = Signal(cache.rows * BYTE)
        head = Mux(order.is_values, shape.value_head, shape.query_head)
        m.d.comb += [
            gearbox.beats.payload.eq(self.beats.payload.data),
            gearbox.beats.valid.eq(self.beats.valid),
            self.beats.ready.eq(gearbox.beats.ready),
            order.start.eq(shapes.o.valid & ~order.active),
            shapes.o.ready.eq(order.start),
            order.tiles.eq(shape.tiles),
        ]
        send = self._scaled if cache.token_scales else self._plain
        header = send(m, platform, order, gearbox, values.i, element, move)
        m.d.comb += [ends.eq(Mux(fresh, head == 1, left == 0)), order.advance.eq(move & ends)]
        join(m, values.o, self.values)
        given = data.View(shape_layout(cache), shapes.o.payload)
        _, is_recent = self._recent(m, platform, "delivered", order, given)
        if cache.bits == BYTE:
            m.d.comb += element.eq(gearbox.word)
            taken = move
        else:
            nibbles = [gearbox.word.word_select(row, BYTE).word_select(high, 4) for row in range(cache.rows)]
            if cache.recent:
                halves = Cat(Cat(Const(0, RECENT_BITS - UPPER_BITS), n) for n in nibbles)
                m.d.comb += element.eq(Mux(is_recent, gearbox.word, halves))
            else:
                m.d.comb += element.eq(Cat(Cat(n, n[-1].replicate(BYTE - len(n))) for n in nibbles))
            taken = move & (high | is_recent) if cache.recent else move & high
            with m.If(move & ~is_recent if cache.recent else move):
                m.d.sync += high.eq(~high)
        m.d.comb += gearbox.take.eq(taken if header is None else taken | header)
        with m.If(order.start):
            m.d.sync += [shape.eq(shapes.o.payload), fresh.eq(1)]
        with m.Elif(move):
            m.d.sync += [fresh.eq(ends), left.eq(Mux(fresh, head - 2, left - 1))]

    def _plain(self, m, platform, order, gearbox, values, element, move):
        """Send a tile's elements as they are; there are no headers."""
        m.d.comb += [
            self.keys.payload.eq(element),
            self.keys.valid.eq(order.active & gearbox.available & ~order.is_values),
            values.payload.eq(element),
            values.valid.eq(order.active & gearbox.available & order.is_values),
            move.eq((self.keys.valid & self.keys.ready) | (values.valid & values.ready)),
        ]

    def _scaled(self, m, platform, order, gearbox, values, element, move):
        """Send a tile's headers and its elements to TokenScales; returns that a byte of the headers is taken."""
        cache = self.cache
        scales = TokenScales(cache).place(m, "scales", platform)
        to_go, header = Signal(range(cache.header_bytes + 1)), Signal()
        codes, taken = scales.codes, Signal()
        m.d.comb += [
            codes.payload.bytes.eq(gearbox.word),
            codes.payload.elements.eq(element),
            codes.payload.is_values.eq(order.is_values),
            codes.payload.header.eq(to_go != 0),
            codes.valid.eq(order.active & gearbox.available),
            taken.eq(codes.valid & codes.ready),
            move.eq(taken & (to_go == 0)),
            header.eq(taken & (to_go != 0)),
        ]
        join(m, scales.keys, self.keys)
        join(m, scales.values, values)
        with m.If(order.start | order.advance):
            m.d.sync += to_go.eq(cache.header_bytes)
        with m.Elif(header):
            m.d.sync += to_go.eq(to_go - 1)
        return header
