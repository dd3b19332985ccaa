"""The schedule of a GEMM engine whose blocks take as many steps as they keep weights."""

from amaranth import Array, Cat, Const, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.terms import SPECIALS
from einloom.hw.array.control import ISSUE
from einloom.hw.array.sequencer import job_layout
from einloom.hw.part import Part
from einloom.hw.wires import feed, members
from einloom.spec.formats import Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.sparsity import header_widths


def header_layout(formats: tuple[Format, ...], sets: LaneSets, max_blocks: int) -> data.StructLayout:
    """What metadata say of the next block: which of `LaneSets.counts` it has, and the empty blocks before it."""
    density, skip = header_widths(max(len(sets.counts(f)) for f in formats if f.of), max_blocks)
    return data.StructLayout({"density": density, "skip": skip})


class BlockSequencer(Part):
    """Takes words from the gearboxes, and issues each as one term. Throughput: a step every cycle.

    In formats that choose N of M for each block, metadata say what the next block has, so that a block of one step is
    known in time, and an empty block takes no cycle. A job of such a format begins with a word of metadata that only
    does this. The last block of a tile is never empty. Latency: 1 cycle from a step's take to its issue.

    Parameters
    ----------
    formats : of jobs, by their number.
    words : formats of the words that they take, by their number.
    sets : lanes that share inputs.
    block : inputs of a block.
    max_blocks, max_tiles, rows : ranges of the job's counts, which must not be 0.

    Members
    -------
    job : In, stream of `job_layout`; a job is taken once the one before has issued its last step
    select, take, align : to the gearboxes; select 2 w is a first step of word w with metadata, 2 w + 1 another step of
        it, and 2 W metadata alone, of W words
    metadata_there, alone_there, steps_there : In, all gearboxes have such words
    header : In, in the chosen word with metadata; in designs with formats that choose N of M
    load_metadata, load, first, turn, full : to the columns, with the taken word
    word : Out, its number, W for metadata alone
    address, read : the activation word that belongs to it
    format, specials : to the columns, in the cycle of issue
    issue : Out(ISSUE), the step at work
    tokens : Out, of the running job
    draining : In(1), results of the tile before are still in the grid
    idle : Out(1), no job is being fetched or issued
    """

    def __init__(
        self,
        *,
        formats: tuple[Format, ...],
        words: tuple[Format, ...],
        sets: LaneSets,
        block: int,
        max_blocks: int,
        max_tiles: int,
        rows: int,
    ):
        self.chooses = any(f.of for f in formats)
        self.words_of_block = block // sets.inputs
        self.job_layout = job_layout(formats=len(formats), max_blocks=max_blocks, max_tiles=max_tiles, rows=rows)
        header = {"header": In(header_layout(formats, sets, max_blocks)), "alone_there": In(1)} if self.chooses else {}
        super().__init__({
            "job": In(stream.Signature(self.job_layout)),
            "select": Out(range(2 * len(words) + 1)),
            "metadata_there": In(len(words)),
            "steps_there": In(len(words)),
            **header,
            **members(Out, "take", "align", "load_metadata", "load", "first", "full"),
            "turn": Out(range(max(sets.turns(formats), 2))),
            "word": Out(range(len(words) + 1)),
            "address": Out(range(max(max_blocks * self.words_of_block, 2))),
            "read": Out(1),
            "format": Out(range(max(len(formats), 2))),
            "specials": Out(SPECIALS),
            "issue": Out(ISSUE),
            "tokens": Out(range(rows + 1)),
            "draining": In(1),
            "idle": Out(1),
        })

    def build(self, m, platform):
        job = Signal(self.job_layout)
        starts, busy = Signal(), Signal()  # a job is taken; a step is loaded
        # The loaded step: the first or last one of its block, in the first or last block of its tile.
        end = Signal(data.StructLayout({"first": 1, "last": 1, "tile_first": 1, "tile_last": 1}))
        taking = self._fetch(m, job, starts, end, ~busy | self.issue.valid)
        m.d.comb += [
            self.issue.valid.eq(busy & ~(end.tile_last & self.draining)),
            self.issue.first.eq(end.first),
            self.issue.block_last.eq(end.last),
            self.issue.tile_first.eq(end.tile_first),
            self.issue.tile_last.eq(end.tile_last),
            starts.eq(self.job.valid & self.job.ready),
            self.idle.eq(~taking & ~busy),
            self.job.ready.eq(self.idle),
        ]
        feed(m, job, self, "format", "specials", "tokens")
        with m.If(starts):
            m.d.sync += job.eq(self.job.payload)
        with m.If(self.load):
            m.d.sync += busy.eq(1)
        with m.Elif(self.issue.valid):
            m.d.sync += busy.eq(0)

    def _fetch(self, m, job, starts, end, room):
        """Take each block's steps, if there is `room`; returns whether a job is being fetched."""
        taking, alone = Signal(), Signal()  # alone: metadata are wanted before the first block
        self.takes_header = self.take & (alone | self.first)
        step, turn_step = Signal(range(self.sets.candidates * 2)), Signal(range(self.sets.candidates * 2))
        word = Signal(range(max(self.words_of_block, 2)))
        block, last_block, tile_first = self._blocks(m, job)
        following, held = self._kinds(m, job, starts)
        kind = Signal.like(held)
        last_step, last_word = Signal(), Signal()
        # Which words are there is chosen for both kinds beforehand: this way through the gearboxes is the longest.
        there = Mux(self.first, Array(self.metadata_there)[following.word], Array(self.steps_there)[held.word])
        m.d.comb += [
            kind.eq(Mux(self.first, following, held)),
            self.turn.eq(step >> kind.shift),
            turn_step.eq(step + 1),
            last_step.eq(step == kind.last),
            last_word.eq(word == self.words_of_block - 1),
            self.load.eq(self.take & ~alone),
            self.load_metadata.eq(self.load & self.first),
            self.word.eq(kind.word),
            self.select.eq(Cat(~self.first, kind.word)),
            self.take.eq(taking & (Mux(alone, self.alone_there, there & room) if self.chooses else there & room)),
            self.read.eq(self.load & (step == 0)),
            self.address.eq(block * self.words_of_block + word),
        ]
        if self.chooses:
            with m.If(alone):
                m.d.comb += [self.word.eq(len(self.words)), self.select.eq(2 * len(self.words))]
                with m.If(self.take):
                    m.d.sync += alone.eq(0)
        with m.If(self.load):
            ends_block = last_step & last_word
            m.d.sync += [
                step.eq(Mux(last_step, 0, turn_step)),
                self.first.eq(ends_block),
                end.first.eq(self.first),
                end.last.eq(ends_block),
                end.tile_first.eq(tile_first),
                end.tile_last.eq(ends_block & last_block),
            ]
            with m.If(last_step):
                m.d.sync += word.eq(Mux(last_word, 0, word + 1))
        m.d.comb += self.full.eq(kind.full)
        self._tiles(m, job, taking, self.load & last_step & last_word & last_block)
        with m.If(starts):
            m.d.sync += [taking.eq(1), self.first.eq(1), step.eq(0), word.eq(0)]
            if self.chooses:
                m.d.sync += alone.eq(Array(Const(bool(f.of), 1) for f in self.formats)[self.job.payload.format])
        return taking

    def _tiles(self, m, job, taking, ends_tile):
        """Count tiles; after the last one what is left of a beat is dropped."""
        tile = Signal.like(job.tiles)
        with m.If(self.align):
            m.d.sync += self.align.eq(0)
        with m.If(ends_tile):
            m.d.sync += tile.eq(tile + 1)
            with m.If(tile == job.tiles - 1):
                m.d.sync += [taking.eq(0), self.align.eq(1), tile.eq(0)]

    def _blocks(self, m, job):
        """The block at work, whether it is the last of its tile, and whether it is the tile's first that is there."""
        block, held, following = Signal.like(job.blocks), Signal.like(job.blocks), Signal.like(job.blocks)
        starts_tile, first_of_tile, tile_first = Signal(init=1), Signal(), Signal()
        last_block, held_last = Signal(), Signal()
        skip = 0
        if self.chooses:
            skip = Signal.like(self.header.skip)
            with m.If(self.takes_header):
                m.d.sync += skip.eq(self.header.skip)
        m.d.comb += [
            block.eq(Mux(self.first, following + skip, held)),
            last_block.eq(Mux(self.first, block == job.blocks - 1, held_last)),
            tile_first.eq(Mux(self.first, starts_tile, first_of_tile)),
        ]
        with m.If(self.load_metadata):
            m.d.sync += [
                held.eq(block),
                held_last.eq(last_block),
                first_of_tile.eq(starts_tile),
                following.eq(Mux(last_block, 0, block + 1)),
                starts_tile.eq(last_block),
            ]
        return block, last_block, tile_first

    def _kinds(self, m, job, starts):
        """Kinds of the next block's steps and of those of the block at work."""
        layout = self._kind_layout()
        following, held = Signal(layout), Signal(layout)
        first = [[self._row(f, n) for n in self._counts(f)] for f in self.formats]
        with m.If(self.load_metadata):
            m.d.sync += held.eq(following)
        with m.If(starts):
            m.d.sync += following.eq(Array(row[0] for row in first)[self.job.payload.format])
        if self.chooses:
            said = Array(Array(row)[self.header.density] for row in first)[job.format]
            with m.Elif(self.takes_header):
                m.d.sync += following.eq(said)
        return following, held

    def _kind_layout(self):
        """Of a block's steps: their word's number, whether they are full, the last one, the logarithm of a turn's."""
        most = 2 * self.sets.candidates
        return data.StructLayout({"word": range(len(self.words)), "full": 1, "last": range(most), "shift": 3})

    def _counts(self, format):
        counts = self.sets.counts(format) if format.of else (None,)
        most = 1 << len(self.header.density) if self.chooses else 1
        return [*counts, *[counts[-1]] * (most - len(counts))]

    def _row(self, format, kept):
        """The kind of steps of a block, as a number."""
        full = kept == format.of if format.of else format.neighbours == 1
        in_turn = kept // self.sets.together if format.of and not full else 1
        numbers = {word.name: n for n, word in enumerate(self.words)}
        layout = self._kind_layout()
        return layout.const({
            "word": numbers[format.full.name if full else format.name],
            "full": int(full),
            "last": self.sets.steps(format, kept) - 1,
            "shift": in_turn.bit_length() - 1,
        }).as_value()
