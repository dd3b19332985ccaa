"""The GEMM engine: weight streams in, integer sums out, around any processing element."""

from dataclasses import dataclass
from math import gcd

from amaranth import Array, Cat, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.terms import SpecialValues
from einloom.hw.arith.trits import TritDecoder
from einloom.hw.array.block_sequencer import BlockSequencer, header_layout
from einloom.hw.array.control import ControlPipeline, Drain
from einloom.hw.array.grid import pe_grid
from einloom.hw.array.sequencer import Sequencer
from einloom.hw.buffers.gearbox import Gearbox, following
from einloom.hw.part import Part
from einloom.hw.pe.column import codes_port, word_formats
from einloom.hw.pe.spec import PeSpec, stored_bits
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed, join
from einloom.spec.formats import SCALE_BITS, SELECTOR_BITS, Format

MANY_CHANNELS = 16
"""An engine with as many spans dies."""
LARGEST_UNIT = 128
"""Most bits that metadata are padded to whole numbers of."""


def grids_of(channels: int) -> int:
    """Grids of PEs that an engine with so many channels has side by side."""
    return 8 if channels >= MANY_CHANNELS and channels % 8 == 0 else 1


@dataclass(frozen=True)
class EngineSpec:
    """Size of a GEMM engine.

    Parameters
    ----------
    pe : the PE.
    rows : tokens computed at once.
    columns : output channels computed at once; a multiple of `channels` and of the columns of a PE.
    formats : weight formats that a job can choose from.
    block : inputs of a block, a multiple of the PE's lanes; with group scales, of a group.
    max_inputs, max_tiles : of the largest job.
    channels, beat_bits : number and width of the weight streams.
    """

    pe: PeSpec
    rows: int
    columns: int
    formats: tuple[Format, ...]
    block: int
    max_inputs: int
    max_tiles: int
    channels: int
    beat_bits: int

    @property
    def has_scales(self) -> bool:
        return self.pe.has_scales

    @property
    def chooses(self) -> bool:
        """A format chooses for each block how many weights it keeps."""
        return any(f.of for f in self.formats)

    @property
    def by_blocks(self) -> bool:
        """An activation word may last several steps, and a block as many as it keeps weights: see BlockSequencer."""
        return self.pe.inputs != self.pe.lanes or self.chooses

    @property
    def word_formats(self) -> tuple[Format, ...]:
        """Formats of the words of steps."""
        return word_formats(self.formats)

    @property
    def header(self) -> data.StructLayout | None:
        """What metadata say of the next block, above scales and selectors."""
        if not self.chooses:
            return None
        return header_layout(self.formats, self.pe.sets, self.max_blocks)

    @property
    def columns_per_channel(self) -> int:
        return self.columns // self.channels

    @property
    def selector_bits(self) -> int:
        """Width of a column's selector of special values, one for each block; 0 if no format has such values."""
        return SELECTOR_BITS if any(f.special_code is not None for f in self.formats) else 0

    @property
    def metadata_bits(self) -> int:
        """Width of a channel's metadata word, 0 without scales; coarse, as positions in the gearbox should be."""
        unit = self.metadata_unit
        return -(-self._used_metadata_bits // unit) * unit

    @property
    def _used_metadata_bits(self) -> int:
        bits = self.columns_per_channel * (SCALE_BITS + self.selector_bits)
        if self.header is not None:
            bits += self.header.size
        return bits if self.has_scales else 0

    @property
    def metadata_unit(self) -> int:
        """Bytes; where metadata are joined to codes, the largest unit with which no stream grows by a hundredth, or two
        in beats of 512 bits, whose gearboxes are the largest.

        Of formats that choose N of M, blocks with half of the weights count, and the stream may grow by twice as much:
        a gearbox with 32 positions instead of four is three fifths larger.
        """
        steps = [self.step_bits(f) for f in self.word_formats]
        unit = gcd(self.beat_bits, *steps, LARGEST_UNIT) if self.joined else 1
        bits = -(-self._used_metadata_bits // 8) * 8
        shortest = min(self._half_bits(f) if f.of else self._block_bits(f) for f in self.formats)
        percent = max(1, self.beat_bits // 256) * (2 if self.chooses else 1)
        while unit > 8 and (-bits % unit) * 100 >= shortest * percent:
            unit //= 2
        return max(unit, 8)

    def _block_bits(self, format: Format) -> int:
        """Bits of a block's codes, if all of them are there."""
        return self.block // self.pe.lanes * self.step_bits(format.full)

    def _half_bits(self, format: Format) -> int:
        """Bits of the codes of a block with half of its weights."""
        sets = self.pe.sets
        assert sets is not None
        steps = sets.steps(format, max(format.of // 2, sets.together))
        return self.block // sets.inputs * steps * self.step_bits(format)

    def step_bits(self, format: Format) -> int:
        """Width of a channel's step word."""
        return format.step_bits(self.columns_per_channel * self.pe.words(format))

    @property
    def joined(self) -> bool:
        """A block's metadata is behind the codes of its first step, in one word."""
        return self.has_scales and self.pe.joined

    @property
    def word_bits(self) -> tuple[int, ...]:
        """Widths of a channel's words as Sequencer counts them: those with metadata, and then a step of each format.

        BlockSequencer counts both of a format together, and metadata alone behind all of them.
        """
        steps = tuple(self.step_bits(f) for f in self.word_formats)
        if self.by_blocks:
            return (*(n for bits in steps for n in (bits + self.metadata_bits, bits)), self.metadata_bits)
        if self.joined:
            return (*(bits + self.metadata_bits for bits in steps), *steps)
        return (self.metadata_bits or steps[0], *steps)

    @property
    def max_blocks(self) -> int:
        return self.max_inputs // self.block


class GemmEngine(Part):
    """sums[t, n] = sum over k of activations[t, k] * weight[n, k], in the PE's arithmetic.

    Dataflow: output stationary. A tile is `rows` tokens by `columns` output channels. Its weights arrive block by block
    (spec/manifest.py, WeightLayout); its activations are read step by step, and again for every tile. The results of a
    tile leave while the next tile is computed.

    Throughput: a step of `lanes` inputs takes as many cycles as the format has terms, without a gap while weights are
    there. A group is scaled while the next one is computed. Latency: 1 cycle from a step's last beat to its take, and
    from a tile's last take to its first sums as many as the format has terms, `Timing.load` and 1.

    Members
    -------
    job : In, stream, one matrix product
    weights : In, a stream of beats per memory channel
    activation_address, activation_read : Out, read the activations of a step
    activations : In, a cycle later, `rows` x `PeSpec.inputs` activations, or what the PE's spec prepares of them, row
        0 and lane 0 lowest; held until the next read
    sums : Out, stream, for each tile and each token of the job: the sums of all columns, column 0 lowest
    idle : Out(1), nothing is at work and no result waits
    """

    def __init__(self, spec: EngineSpec):
        pe = spec.pe
        sizes = {"max_blocks": spec.max_blocks, "max_tiles": spec.max_tiles, "rows": spec.rows}
        self.sequencer = self._sequencer(spec, sizes)
        super().__init__({
            "job": In(stream.Signature(self.sequencer.job_layout)),
            "weights": In(stream.Signature(spec.beat_bits)).array(spec.channels),
            "activation_address": Out(self.sequencer.signature.members["address"].shape),
            "activation_read": Out(1),
            "activations": In(spec.rows * stored_bits(pe)),
            "sums": Out(stream.Signature(data.ArrayLayout(pe.sum_bits, spec.columns))),
            "idle": Out(1),
        })

    @staticmethod
    def _sequencer(spec, sizes):
        if spec.by_blocks:
            return BlockSequencer(
                formats=spec.formats, words=spec.word_formats, sets=spec.pe.sets, block=spec.block, **sizes
            )
        return Sequencer(
            bsig=tuple(spec.pe.shifts(f) for f in spec.formats),
            steps=spec.block // spec.pe.lanes,
            has_metadata=spec.has_scales,
            joined=spec.joined,
            **sizes,
        )

    def build(self, m, platform):
        spec = self.spec
        sequencer = self.sequencer.place(m, "sequencer", platform)
        control = ControlPipeline(spec.pe.timing).place(m, "control", platform)
        drain = Drain(spec.rows).place(m, "drain", platform)
        grids = self._place_grids(m, platform)
        words = self._place_gearboxes(m, sequencer, platform)
        columns = self._place_columns(m, sequencer, control, words, platform)

        join(m, self.job, sequencer.job)
        feed(m, sequencer, control, "issue")
        feed(m, sequencer, drain, "tokens")
        feed(m, drain, control, "shift")
        m.d.comb += [
            self.activation_address.eq(sequencer.address),
            self.activation_read.eq(sequencer.read),
            sequencer.draining.eq(drain.busy),
            drain.start.eq(sequencer.issue.valid & sequencer.issue.tile_last),
            drain.load.eq(control.control.load),
            drain.ready.eq(self.sums.ready),
            self.sums.valid.eq(drain.valid),
            self.sums.payload.eq(Cat(grid.drain_out for grid in grids)),
            self.idle.eq(sequencer.idle & ~drain.busy),
        ]
        operand, scale_bit = Cat(column.operand for column in columns), None
        if spec.pe.timing.scale_bits:
            scale_bit = Cat(column.scale_bit for column in columns)
        for n, grid in enumerate(grids):
            feed(m, self, grid, "activations")
            feed(m, control, grid, "control")
            m.d.comb += [
                grid.drain_in.eq(0),  # nothing follows the last row
                grid.operand.eq(operand.word_select(n, len(operand) // len(grids))),
            ]
            if scale_bit is not None:
                m.d.comb += grid.scale_bit.eq(scale_bit.word_select(n, len(scale_bit) // len(grids)))

    def _place_grids(self, m, platform):
        """The PEs; an engine as wide as a card's memory has several grids side by side, which can lie on other dies."""
        spec = self.spec
        count = grids_of(spec.channels)
        names = [f"grid_{n}" for n in range(count)] if count > 1 else ["grid"]
        return [pe_grid(spec.pe, spec.rows, spec.columns // count).place(m, name, platform) for name in names]

    def _place_gearboxes(self, m, sequencer, platform):
        """Place a gearbox for each memory channel, all moving together; returns their words."""
        spec = self.spec
        sizes = spec.word_bits
        gearboxes = []
        for n, beats in enumerate(self.weights):
            gearbox = Gearbox(spec.beat_bits, sizes).place(m, f"gearbox_{n}", platform)
            join(m, beats, gearbox.beats)
            feed(m, sequencer, gearbox, "select", "take", "align")
            gearboxes.append(gearbox)
        # Bit n: all gearboxes have a word of size n. It is found a cycle ahead, so that no take waits for all of them.
        enough = Signal(len(sizes))
        coming = []
        for n in range(len(sizes) + 2):
            everywhere = Signal(len(sizes), name=f"coming_{n}")
            together = (Cat(g.coming[n][size] for g in gearboxes).all() for size in range(len(sizes)))
            m.d.comb += everywhere.eq(Cat(together))
            coming.append(everywhere)
        m.d.sync += enough.eq(following(coming, sequencer))
        firsts = len(sizes) - len(spec.word_formats)
        if spec.by_blocks:
            m.d.comb += [sequencer.metadata_there.eq(enough[:-1:2]), sequencer.steps_there.eq(enough[1:-1:2])]
        else:
            m.d.comb += [sequencer.metadata_there.eq(enough[:firsts]), sequencer.steps_there.eq(enough[firsts:])]
        if spec.chooses:
            m.d.comb += sequencer.alone_there.eq(enough[-1])
        return [g.word for g in gearboxes]

    def _place_columns(self, m, sequencer, control, words, platform):
        """Place the column tops of each memory channel on their slices of its word."""
        spec, count = self.spec, self.spec.columns_per_channel
        tops = count // spec.pe.columns_per_pe
        part = spec.pe.column(spec.formats)
        ports = part.signature.members
        codes = {codes_port(f): f for f in spec.word_formats}
        sliced = (*codes, *(p for p in ("operand", "scale", "selector", "scale_bit") if p in ports))
        timing = ("load", "load_metadata", "first", "format", "term", "specials", "turn", "full")
        from_sequencer = [p for p in timing if p in ports]
        shared = {
            "last": sequencer.issue.valid & sequencer.issue.block_last,
            "capture": control.control.capture,
            "dequantise": control.control.dequantise,
        }
        values = None
        if "special_values" in ports:
            values = SpecialValues().place(m, "special_values", platform)
            feed(m, sequencer, values, "specials")
        channels = []
        if spec.chooses:
            header = self._metadata(sequencer, words[0])[spec.metadata_bits - spec.header.size :]
            m.d.comb += sequencer.header.eq(header)
        for n, word in enumerate(words):
            columns = Replicated(part, tops, sliced=sliced).place(m, f"columns_{n}", platform)
            if values is not None:
                feed(m, values, columns, "special_values")
            for port, format in codes.items():
                m.d.comb += getattr(columns, port).eq(self._codes(m, word, format, f"trits_{n}", platform))
            metadata = self._metadata(sequencer, word)
            own = {
                "scale": metadata[: count * SCALE_BITS],
                "selector": metadata[count * SCALE_BITS :][: count * SELECTOR_BITS] if spec.selector_bits else 0,
            }
            feed(m, sequencer, columns, *from_sequencer)
            m.d.comb += [getattr(columns, port).eq(value) for port, value in (shared | own).items() if port in ports]
            channels.append(columns)
        return channels

    def _metadata(self, sequencer, word):
        """The metadata in a channel's word, in its low bits."""
        spec = self.spec
        if not spec.joined:
            return word
        places = [word[spec.step_bits(f) :][: spec.metadata_bits] for f in spec.word_formats]
        if spec.chooses:
            return Array([*places, word[: spec.metadata_bits]])[sequencer.word]
        return places[0] if len(places) == 1 else Array(places)[sequencer.word if spec.by_blocks else sequencer.format]

    def _codes(self, m, word, format, name, platform):
        """The codes of a step word of `format`, column 0 and its lane 0 lowest."""
        bits = self.spec.columns_per_channel * self.spec.pe.words(format) * format.word_bits
        if not format.in_trits:
            return word[:bits]
        count = format.step_bits(bits // format.bits) // 8
        decoders = Replicated(TritDecoder(), count, sliced=("trits", "codes")).place(m, name, platform)
        m.d.comb += decoders.trits.eq(word[: 8 * count])
        return decoders.codes[:bits]
