"""The tiles of keys that a block of queries visits."""

from amaranth import Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.part import Part
from einloom.hw.pe.attention_column import tile_layout
from einloom.hw.wires import feed
from einloom.spec.attention_format import QUERY_ADDRESS_BITS, AttentionFormat


def job_layout(format: AttentionFormat, spans: int = 1) -> data.StructLayout:
    """A block of queries, one per column or one per `spans` columns, against the keys of a sequence."""
    position, head = format.position_bits, range(format.max_head + 1)
    return data.StructLayout({
        "queries": QUERY_ADDRESS_BITS,  # where the block's words start
        "query_head": head,  # E
        "value_head": head,  # F
        "keys": position,
        "first_position": position,  # of the block's queries, the smallest
        "last_position": position,  # ... and the largest
        "causal": 1,
        "window": position,  # 0 for none
        "sinks": position,
        "split": int(spans > 1),  # each query has `spans` columns, which share its keys
        # Where the block's words for tiles of sinks start.
        **({"sink_queries": QUERY_ADDRESS_BITS} if format.sink_queries else {}),
    })


def front_layout(format: AttentionFormat, spans: int = 1) -> data.StructLayout:
    """The tile whose scores are being computed."""
    head = range(format.max_head + 1)
    return data.StructLayout({
        "valid": 1,
        "queries": QUERY_ADDRESS_BITS,
        "query_head": head,
        "value_head": head,
        "fresh": 1,  # the first tile of its job
        "last": 1,
        "split": int(spans > 1),
    })


class TileWalk(Part):
    """Steps through the tiles that einloom.spec.attention_format.Mask.tiles lists, a tile for each `advance`.

    Tiles that are masked as a whole are left out: the walk ends with the tile of the last visible key, and jumps from
    the last tile of sinks to the first tile of the window. A split job takes `spans` neighbouring tiles in a step, one
    for each span. The next job is taken, and its bounds are computed, while the one before runs.
    Throughput: a tile every cycle, a job in three. Latency: 2 cycles from a job to `known`, 1 from `advance` to front.

    Members
    -------
    job : In, stream
    known : Out(1), a job waits
    advance : In(1), go on to the next tile, or to none
    front : Out, the present tile
    tiles : Out, the part of it that each span has; all of it unless the job is split
    """

    def __init__(self, format: AttentionFormat, rows: int, spans: int = 1):
        self.doublings = (spans - 1).bit_length()
        self.job_layout = job_layout(format, spans)
        super().__init__({
            "job": In(stream.Signature(self.job_layout)),
            "known": Out(1),
            "advance": In(1),
            "front": Out(front_layout(format, spans)),
            "tiles": Out(data.ArrayLayout(tile_layout(format, rows, spans), spans)),
        })

    def build(self, m, platform):
        shift, bits = (self.rows - 1).bit_length(), self.format.position_bits
        index_bits = bits - shift + 1
        waiting = Signal()
        job = Signal(self.job_layout)  # waiting
        running = Signal(self.job_layout)
        bounds_layout = data.StructLayout({"sinks": index_bits, "window": index_bits, "last": index_bits})
        bounds = Signal(bounds_layout)  # of the waiting job
        walked = Signal(bounds_layout)  # of the running one
        index, following = Signal(index_bits), Signal(index_bits)

        m.d.comb += self.job.ready.eq(~waiting)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [job.eq(self.job.payload), waiting.eq(1)]
        self._bounds(m, job, bounds, shift)
        self._tiles(m, running, index, shift)
        m.d.sync += self.known.eq(waiting)

        after = Signal(index_bits)
        m.d.comb += [
            after.eq(index + 1),
            following.eq(Mux((after >= walked.sinks) & (after < walked.window), walked.window, after)),
            self.front.last.eq(index == walked.last),
        ]
        feed(m, running, self.front, "query_head", "value_head", "split")
        m.d.comb += self.front.queries.eq(
            Mux(index < walked.sinks, running.sink_queries, running.queries)
            if self.format.sink_queries
            else running.queries
        )
        valid, fresh = Signal(), Signal()
        m.d.comb += [self.front.valid.eq(valid), self.front.fresh.eq(fresh)]
        with m.If(self.advance):
            m.d.sync += fresh.eq(0)
            with m.If(valid & ~self.front.last):
                m.d.sync += index.eq(following)
            with m.Elif(self.known):
                m.d.sync += [
                    valid.eq(1),
                    fresh.eq(1),
                    running.eq(job),
                    walked.eq(bounds),
                    index.eq(Mux(bounds.sinks == 0, bounds.window, 0)),
                    waiting.eq(0),
                    self.known.eq(0),
                ]
            with m.Else():
                m.d.sync += valid.eq(0)

    def _tiles(self, m, running, index, shift):
        """The tile of each span; those of a split job begin at a multiple of all their rows."""
        for span, tile in enumerate(self.tiles):
            sinks = running.sinks
            first = self._by_split(running, (index << (shift + self.doublings)) | (span * self.rows), index << shift)
            # An expression, not a part of the port: no part of a port may be computed from another.
            base = first[: len(tile.base)]
            feed(m, running, tile, "keys", "causal", "window")
            m.d.comb += [
                tile.base.eq(base),
                tile.sink_rows.eq(Mux(sinks <= base, 0, Mux(sinks - base > self.rows, self.rows, sinks - base))),
            ]

    def _by_split(self, job, split, whole):
        """`split` for a split job, `whole` for any other."""
        return Mux(job.split, split, whole) if self.spans > 1 else whole

    def _bounds(self, m, job, bounds, shift):
        """Compute of the waiting job the first tile behind the sinks, the first one of a window, and the last one."""
        limit, start = Signal(self.format.position_bits), Signal(self.format.position_bits)
        last, window = Signal.like(bounds.last), Signal.like(bounds.window)
        wide = shift + self.doublings
        has_start = (job.window != 0) & (job.first_position >= job.window)
        m.d.comb += [
            limit.eq(Mux(job.causal & (job.last_position < job.keys), job.last_position + 1, job.keys)),
            last.eq(Mux(limit == 0, 0, self._by_split(job, (limit - 1) >> wide, (limit - 1) >> shift))),
            start.eq(Mux(has_start, job.first_position + 1 - job.window, 0)),
            window.eq(self._by_split(job, start >> wide, start >> shift)),
        ]
        whole_sinks = (job.sinks + self.rows - 1) >> shift
        m.d.sync += [
            bounds.last.eq(last),
            bounds.window.eq(Mux(window > last, last, window)),
            bounds.sinks.eq(self._by_split(job, (job.sinks + self.spans * self.rows - 1) >> wide, whole_sinks)),
        ]
