"""The schedule of a GEMM engine: the fetch and the issue of each cycle."""

from amaranth import Array, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.terms import SPECIALS
from einloom.hw.array.control import ISSUE
from einloom.hw.part import Part
from einloom.hw.wires import feed, members


def job_layout(*, formats: int, max_blocks: int, max_tiles: int, rows: int) -> data.StructLayout:
    """A matrix product: `tokens` rows of activations, `blocks` of inputs, `tiles` of output channels."""
    return data.StructLayout({
        "format": range(max(formats, 2)),
        "blocks": range(max_blocks + 1),
        "tiles": range(max_tiles + 1),
        "tokens": range(rows + 1),
        "specials": SPECIALS,
    })


class Sequencer(Part):
    """Takes words from the gearboxes and issues their terms. Throughput: a term every cycle.

    Fetching runs one step ahead. The next step is taken while the last term of a step is at work, a block's metadata
    before that; so formats of two terms and more never wait for metadata, and none does where they are `joined`. A
    tile's last term waits until the results of the tile before have left; everything else only waits for words.
    Latency: 1 cycle from a step's take to its issue.

    Parameters
    ----------
    bsig : shared shifts of each format's terms, one for each term of a weight.
    steps : steps per block.
    has_metadata : each block starts with a metadata word.
    joined : the first step and the metadata of a block are one word.
    max_blocks, max_tiles, rows : ranges of the job's counts, which must not be 0.

    Members
    -------
    job : In, stream of `job_layout`; a job is taken once the one before has issued its last term
    select, take, align : to the gearboxes; select 0 is metadata, 1 + f a step of format f. If joined, select f is a
        first step of format f with metadata, F + f another one, of F formats
    metadata_there, steps_there : In, all gearboxes have a word of metadata, if joined with a first step of format f in
        bit f; bit f: a step of format f
    load_metadata, load, first : to the columns, with the taken word
    address, read : the activation step that belongs to the taken word
    format, term, specials : to the columns, in the cycle of issue
    issue : Out(ISSUE), the term at work
    tokens : Out, of the running job
    draining : In(1), results of the tile before are still in the grid
    idle : Out(1), no job is being fetched or issued
    """

    def __init__(
        self,
        *,
        bsig: tuple[tuple[int, ...], ...],
        steps: int,
        has_metadata: bool,
        joined: bool = False,
        max_blocks: int,
        max_tiles: int,
        rows: int,
    ):
        self.max_terms = max(len(b) for b in bsig)
        self.job_layout = job_layout(formats=len(bsig), max_blocks=max_blocks, max_tiles=max_tiles, rows=rows)
        super().__init__({
            "job": In(stream.Signature(self.job_layout)),
            "select": Out(range((len(bsig) if joined else 1) + max(len(bsig), 1))),
            "metadata_there": In(len(bsig) if joined else 1),
            "steps_there": In(len(bsig)),
            **members(Out, "take", "align", "load_metadata", "load", "first"),
            "address": Out(range(max(max_blocks * steps, 2))),
            "read": Out(1),
            "format": Out(range(max(len(bsig), 2))),
            "term": Out(range(max(self.max_terms, 2))),
            "specials": Out(SPECIALS),
            "issue": Out(ISSUE),
            "tokens": Out(range(rows + 1)),
            "draining": In(1),
            "idle": Out(1),
        })

    def build(self, m, platform):
        job = Signal(self.job_layout)
        starts, busy, finishing = Signal(), Signal(), Signal()  # a job is taken; a step has terms left; its last leaves
        # The loaded step: the first or last one of its block, in the first or last block of its tile.
        end = Signal(data.StructLayout({"first": 1, "last": 1, "tile_first": 1, "tile_last": 1}))
        taking = self._fetch(m, job, starts, end, ~busy | finishing)
        self._issue(m, job, starts, end, busy, finishing)
        m.d.comb += [
            starts.eq(self.job.valid & self.job.ready),
            self.idle.eq(~taking & ~busy),
            self.job.ready.eq(self.idle),
        ]
        feed(m, job, self, "format", "specials", "tokens")
        with m.If(starts):
            m.d.sync += job.eq(self.job.payload)

    def _fetch(self, m, job, starts, end, room):
        """Take each block's metadata and then its steps, if there is `room`; returns whether a job is being fetched."""
        wants_metadata, taking = Signal(), Signal()
        step = Signal(range(max(self.steps, 2)))
        block, tile = Signal.like(job.blocks), Signal.like(job.tiles)
        last_step, last_block = Signal(), Signal()
        m.d.comb += [last_step.eq(step == self.steps - 1), last_block.eq(block == job.blocks - 1)]
        if self.joined:
            there = Mux(self.first, Array(self.metadata_there)[job.format], Array(self.steps_there)[job.format])
            m.d.comb += [
                self.select.eq(Mux(self.first, 0, len(self.bsig)) + job.format),
                self.load_metadata.eq(self.load & self.first),
                self.load.eq(taking & there & room),
            ]
        else:
            m.d.comb += [
                self.select.eq(Mux(wants_metadata, 0, 1 + job.format)),
                self.load_metadata.eq(taking & wants_metadata & self.metadata_there),
                self.load.eq(taking & ~wants_metadata & Array(self.steps_there)[job.format] & room),
            ]
        m.d.comb += [
            self.take.eq(self.load_metadata | self.load),
            self.first.eq(step == 0),
            self.read.eq(self.load),
        ]
        with m.If(self.load_metadata):
            m.d.sync += wants_metadata.eq(0)
        with m.If(self.load):
            m.d.sync += [
                step.eq(step + 1),
                self.address.eq(self.address + 1),
                end.first.eq(step == 0),
                end.last.eq(last_step),
                end.tile_first.eq(block == 0),
                end.tile_last.eq(last_step & last_block),
            ]
            with m.If(last_step):
                m.d.sync += [step.eq(0), block.eq(block + 1), wants_metadata.eq(self.has_metadata)]
                with m.If(last_block):
                    m.d.sync += [block.eq(0), self.address.eq(0), tile.eq(tile + 1)]
                    with m.If(tile == job.tiles - 1):
                        m.d.sync += [taking.eq(0), self.align.eq(1)]
        with m.If(self.align):
            m.d.sync += self.align.eq(0)
        with m.If(starts):
            m.d.sync += [taking.eq(1), tile.eq(0), wants_metadata.eq(self.has_metadata)]
        return taking

    def _issue(self, m, job, starts, end, busy, finishing):
        """Issue the loaded step's terms; a tile's last one waits until the results of the tile before have left."""
        last_term = Signal()  # the term at work, or the next one, is its step's last
        terms = Array(len(bsig) - 1 for bsig in self.bsig)
        shifts = Array(Array([*b, *[0] * (self.max_terms - len(b))]) for b in self.bsig)
        following = Signal.like(self.term)
        m.d.comb += [
            self.issue.valid.eq(busy & ~(end.tile_last & last_term & self.draining)),
            self.issue.bsig.eq(shifts[job.format][self.term]),
            self.issue.first.eq(end.first & (self.term == 0)),
            self.issue.block_last.eq(end.last & last_term),
            self.issue.tile_first.eq(end.tile_first),
            self.issue.tile_last.eq(end.tile_last & last_term),
            finishing.eq(self.issue.valid & last_term),
            following.eq(Mux(last_term, 0, self.term + 1)),
        ]
        with m.If(self.issue.valid):
            m.d.sync += [self.term.eq(following), last_term.eq(following == terms[job.format])]
        with m.If(starts):
            m.d.sync += last_term.eq(terms[self.job.payload.format] == 0)
        with m.If(self.load):
            m.d.sync += busy.eq(1)
        with m.Elif(finishing):
            m.d.sync += busy.eq(0)
