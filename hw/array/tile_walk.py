"""Which tiles of keys a block of queries visits."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.attention import QUERY_ADDRESS_BITS, AttentionFormat
from hw.array.attention_column import tile_layout
from hw.part import Part


def job_layout(format: AttentionFormat) -> data.StructLayout:
    """A block of queries, one per column, against the keys of a sequence."""
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
    })


def front_layout(format: AttentionFormat) -> data.StructLayout:
    """The tile whose scores are being computed."""
    head = range(format.max_head + 1)
    return data.StructLayout({
        "valid": 1,
        "queries": QUERY_ADDRESS_BITS,
        "query_head": head,
        "value_head": head,
        "fresh": 1,  # the first tile of its job
        "last": 1,
    })


class TileWalk(Part):
    """Steps through the tiles that einloom.attention.Mask.tiles lists, in no time, and from job to job.

    Tiles that are masked as a whole are never seen by the arrays: the walk ends with the tile of the last visible
    key, and jumps from the last tile of sinks to that of the first window. The next job is taken and its bounds are
    computed while the one before runs.

    Members
    -------
    job : In, stream
    known : Out(1), a job waits
    advance : In(1), to the next tile; to none where there is none
    front, tile : Out, the present tile
    """

    def __init__(self, format: AttentionFormat, rows: int):
        self.format = format
        self.rows = rows
        self.job_layout = job_layout(format)
        super().__init__(
            {
                "job": In(stream.Signature(self.job_layout)),
                "known": Out(1),
                "advance": In(1),
                "front": Out(front_layout(format)),
                "tile": Out(tile_layout(format, rows)),
            },
            format=format,
            rows=rows,
        )

    def elaborate(self, platform):
        m = Module()
        shift, bits = (self.rows - 1).bit_length(), self.format.position_bits
        index_bits = bits - shift + 1
        waiting = Signal()
        job = Signal(self.job_layout)  # waiting
        running = Signal(self.job_layout)
        bounds_layout = data.StructLayout({"sinks": index_bits, "window": index_bits, "last": index_bits})
        bounds = Signal(bounds_layout)  # of the waiting job
        walked = Signal(bounds_layout)  # of the running one
        index = Signal(index_bits)
        following = Signal(index_bits)
        base = Signal(bits)

        m.d.comb += self.job.ready.eq(~waiting)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [job.eq(self.job.payload), waiting.eq(1)]
        self._bounds(m, job, bounds, shift)
        m.d.sync += self.known.eq(waiting)

        after = Signal(index_bits)
        m.d.comb += [
            after.eq(index + 1),
            following.eq(Mux((after >= walked.sinks) & (after < walked.window), walked.window, after)),
            base.eq(index << shift),
            self.front.queries.eq(running.queries),
            self.front.query_head.eq(running.query_head),
            self.front.value_head.eq(running.value_head),
            self.front.last.eq(index == walked.last),
            self.tile.base.eq(base),
            self.tile.keys.eq(running.keys),
            self.tile.causal.eq(running.causal),
            self.tile.window.eq(running.window),
            self.tile.sink_rows.eq(
                Mux(running.sinks <= base, 0, Mux(running.sinks - base > self.rows, self.rows, running.sinks - base))
            ),
        ]
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
        return m

    def _bounds(self, m, job, bounds, shift):
        """First tile behind the sinks, first tile of a window, and last tile, of the waiting job."""
        limit = Signal(self.format.position_bits)
        start = Signal(self.format.position_bits)
        last = Signal.like(bounds.last)
        window = Signal.like(bounds.window)
        has_start = (job.window != 0) & (job.first_position >= job.window)
        m.d.comb += [
            limit.eq(Mux(job.causal & (job.last_position < job.keys), job.last_position + 1, job.keys)),
            last.eq(Mux(limit == 0, 0, (limit - 1) >> shift)),
            start.eq(Mux(has_start, job.first_position + 1 - job.window, 0)),
            window.eq(start >> shift),
        ]
        m.d.sync += [
            bounds.last.eq(last),
            bounds.window.eq(Mux(window > last, last, window)),
            bounds.sinks.eq((job.sinks + self.rows - 1) >> shift),
        ]
