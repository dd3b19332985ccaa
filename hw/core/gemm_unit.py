"""The unit of linear layers: a GEMM engine with its activations, and its sums as floats."""

from amaranth import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.array.engine import EngineSpec, GemmEngine
from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.beat_queue import BeatQueue
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.core.layouts import TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports, word_layout
from einloom.hw.core.sum_words import SumWords
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part
from einloom.hw.pe.spec import stored_bits
from einloom.hw.replicated import Replicated
from einloom.hw.wires import join


class GemmUnit(Part):
    """Carries out `gemm` (spec/isa.py).

    The engine reads activations from a buffer with a bank for each token; its sums leave through `SumWords`. An
    instruction costs the engine's cycles and about a dozen more for the way of the last sums.

    Parameters
    ----------
    spec : the engine's.
    lanes : of the vector unit.
    words : of the activation buffer, for each token.
    parity : of that buffer's words, and of the queued beats.
    beats_at_once, fifo_beats : beats of a memory port in one of the engine's, and in its queue.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    weights : In, a stream of beats per memory channel
    write : In, {valid, token, address, data}, a word of `lanes` int8 activations
    result : Out, stream of words for the vector memory
    waiting : Out(1), the engine could take a beat of weights and there is none
    scrub, scrub_address, corrupt : see BankedBuffer; `corrupt` is also the queues'
    """

    def __init__(self, spec: EngineSpec, lanes: int, words: int, *, beats_at_once: int, fifo_beats: int, parity: bool):
        bits = spec.pe.activation_bits
        super().__init__({
            **unit_ports(),
            "weights": In(stream.Signature(spec.beat_bits // beats_at_once)).array(spec.channels),
            "write": In(1),
            "write_token": In(TOKEN_BITS),
            "write_address": In(WORD_ADDRESS_BITS),
            "write_data": In(lanes * bits),
            "result": Out(stream.Signature(word_layout(lanes))),
            "waiting": Out(1),
            **parity_ports(parity),
        })

    def elaborate(self, platform):
        m = Module()
        spec, lanes = self.spec, self.lanes
        engine = GemmEngine(spec).place(m, "engine", platform)
        steps, bits = lanes // spec.pe.lanes, stored_bits(spec.pe)
        buffer = BankedBuffer(spec.rows, self.words, steps, bits, parity=self.parity)
        buffer = buffer.place(m, "activations", platform)
        self._write(m, buffer, steps, platform)
        sums = SumWords(spec.columns, spec.pe.sum_bits, lanes).place(m, "sums", platform)

        layout = instruction_layout("gemm")
        i = data.View(layout, self.instruction.payload[: layout.size])
        started = Signal()
        nothing = Signal()
        offered = Signal()
        job = engine.job.payload
        m.d.comb += [
            nothing.eq((i.blocks == 0) | (i.tiles == 0) | (self.chunk.tokens == 0)),
            offered.eq(self.instruction.valid & ~started & ~nothing),
            engine.job.valid.eq(offered),
            job.format.eq(i.format),
            job.blocks.eq(i.blocks),
            job.tiles.eq(i.tiles),
            job.tokens.eq(self.chunk.tokens),
            job.specials.eq(i.specials),
            self.instruction.ready.eq(nothing | sums.done),
            buffer.read.eq(engine.activation_read),
            buffer.read_address.eq(engine.activation_address + (i.activations << self._step_shift)),
            engine.activations.eq(buffer.elements),
            sums.start.eq(offered & engine.job.ready),
            sums.base.eq(i.d_base),
            sums.stride.eq(i.d_token),
            sums.tokens.eq(self.chunk.tokens),
            sums.tiles.eq(i.tiles),
            sums.sums.payload.eq(engine.sums.payload),
            sums.sums.valid.eq(engine.sums.valid),
            engine.sums.ready.eq(sums.sums.ready),
            self.result.payload.eq(sums.words.payload),
            self.result.valid.eq(sums.words.valid),
            sums.words.ready.eq(self.result.ready),
        ]
        starved = Signal()
        queues = []
        for n, (port, beats) in enumerate(zip(engine.weights, self.weights, strict=True)):
            queue = BeatQueue(len(beats.payload), self.beats_at_once, self.fifo_beats, self.parity)
            queue = queue.place(m, f"weights_{n}", platform)
            queues.append(queue)
            join(m, beats, queue.i)
            join(m, queue.o, port)
            with m.If(port.ready & ~port.valid):
                m.d.comb += starved.eq(1)
        with m.If(offered & engine.job.ready):
            m.d.sync += started.eq(1)
        with m.If(self.instruction.ready):
            m.d.sync += started.eq(0)
        m.d.comb += [self.busy.eq(started), self.waiting.eq(started & starved)]
        if self.parity:
            connect_parity(m, self, buffer, tuple(queues))
        return m

    def _write(self, m, buffer, steps, platform):
        """Words into the buffer, or what the engine's PEs want prepared of each step, a cycle later."""
        written = (buffer.write, buffer.bank, buffer.address)
        taken = (self.write, self.write_token, self.write_address)
        part = self.spec.pe.prepare()
        if part is None:
            m.d.comb += [
                *(to.eq(port) for to, port in zip(written, taken, strict=True)),
                buffer.data.eq(self.write_data),
            ]
            return
        prepared = Replicated(part, steps, sliced=("activations", "shared")).place(m, "prepared", platform)
        m.d.comb += [prepared.activations.eq(self.write_data), buffer.data.eq(prepared.shared)]
        for to, port in zip(written, taken, strict=True):
            late = Signal.like(port, name=f"late_{port.name}")
            m.d.sync += late.eq(port)
            m.d.comb += to.eq(late)

    @property
    def _step_shift(self) -> int:
        """log2 of the engine's steps in a word of the buffer."""
        return (self.lanes // self.spec.pe.lanes).bit_length() - 1
