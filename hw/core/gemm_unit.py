"""The unit of linear layers: a GEMM engine with its activations, and its sums as floats."""

from amaranth import Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.array.engine import EngineSpec, GemmEngine
from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.beat_queue import BeatQueue
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.core.layouts import unit_ports, word_layout, write_port
from einloom.hw.core.sum_words import SumWords
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.pe.spec import stored_bits
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed, join


class GemmUnit(Part):
    """Carries out `gemm` (spec/isa.py), one instruction at a time.

    The engine reads activations from a buffer with a bank for each token; its sums leave through `SumWords`.
    Throughput: the engine's, with a gap between instructions. Latency: BeatQueue's, the engine's and SumWords'; so an
    instruction costs the engine's cycles and about a dozen more until its last sums have left.

    Parameters
    ----------
    spec : size of the engine.
    lanes : of the vector unit.
    words : of the activation buffer, for each token.
    beats_at_once : memory beats of a channel that the engine takes in a cycle.
    fifo_beats : memory beats that the queue of a channel holds.
    parity : the activation buffer and the queues have parity bits.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    weights : In, a stream of beats per memory channel
    write : In, a word of `lanes` activations
    result : Out, stream of words for the vector memory
    waiting : Out(1), the engine could take a beat of weights and there is none
    scrub, scrub_address, corrupt : see BankedBuffer; `corrupt` is also the queues'
    """

    def __init__(self, spec: EngineSpec, lanes: int, words: int, beats_at_once: int, fifo_beats: int, parity: bool):
        super().__init__({
            **unit_ports(),
            "weights": In(stream.Signature(spec.beat_bits // beats_at_once)).array(spec.channels),
            "write": In(write_port(lanes * spec.pe.activation_bits)),
            "result": Out(stream.Signature(word_layout(lanes))),
            "waiting": Out(1),
            **parity_ports(parity),
        })

    def build(self, m, platform):
        spec, lanes = self.spec, self.lanes
        engine = GemmEngine(spec).place(m, "engine", platform)
        # A step of the engine reads a part of a word, or several words.
        inputs = spec.pe.inputs
        steps, together = max(lanes // inputs, 1), max(inputs // lanes, 1)
        bits = stored_bits(spec.pe) // together
        buffer = BankedBuffer(spec.rows, self.words, steps, bits, together, parity=self.parity)
        buffer.place(m, "activations", platform)
        self._write(m, buffer, steps, platform)
        sums = SumWords(spec.columns, spec.pe.sum_bits, lanes).place(m, "sums", platform)

        i = decoded(self.instruction.payload, "gemm")
        started, nothing, offered = Signal(), Signal(), Signal()
        job = engine.job.payload
        m.d.comb += [
            nothing.eq((i.blocks == 0) | (i.tiles == 0) | (self.chunk.tokens == 0)),
            offered.eq(self.instruction.valid & ~started & ~nothing),
            engine.job.valid.eq(offered),
            self.instruction.ready.eq(nothing | sums.done),
            buffer.read.eq(engine.activation_read),
            buffer.read_address.eq(engine.activation_address + _in_steps(i.activations, steps, together)),
            engine.activations.eq(buffer.elements),
            sums.start.eq(offered & engine.job.ready),
            sums.base.eq(i.d_base),
            sums.stride.eq(i.d_token),
        ]
        feed(m, i, job, "format", "blocks", "tiles", "specials")
        feed(m, i, sums, "tiles")
        feed(m, self.chunk, job, "tokens")
        feed(m, self.chunk, sums, "tokens")
        join(m, engine.sums, sums.sums)
        join(m, sums.words, self.result)
        m.d.sync += started.eq(~self.instruction.ready & (started | (offered & engine.job.ready)))
        queues, starved = self._queue_weights(m, platform, engine)
        m.d.comb += [self.busy.eq(started), self.waiting.eq(started & starved)]
        if self.parity:
            connect_parity(m, self, buffer, queues)

    def _queue_weights(self, m, platform, engine):
        """A queue in front of each of the engine's streams; (the queues, whether the engine waits for one of them)."""
        starved = Signal()
        queues = []
        for n, (port, beats) in enumerate(zip(engine.weights, self.weights, strict=True)):
            queue = BeatQueue(len(beats.payload), self.beats_at_once, self.fifo_beats, self.parity)
            queues.append(queue.place(m, f"weights_{n}", platform))
            join(m, beats, queue.i)
            join(m, queue.o, port)
            with m.If(port.ready & ~port.valid):
                m.d.comb += starved.eq(1)
        return tuple(queues), starved

    def _write(self, m, buffer, steps, platform):
        """Write words into the buffer; a cycle later where the PEs want something prepared of each step."""
        data, late = self.write.data, 0
        if (part := self.spec.pe.prepare()) is not None:
            prepared = Replicated(part, steps, sliced=("activations", "shared")).place(m, "prepared", platform)
            m.d.comb += prepared.activations.eq(self.write.data)
            data, late = prepared.shared, 1
        m.d.comb += [
            buffer.write.eq(delayed(m, "write", self.write.enable, late, reset_less=False)),
            buffer.bank.eq(delayed(m, "token", self.write.token, late, reset_less=False)),
            buffer.address.eq(delayed(m, "address", self.write.address, late, reset_less=False)),
            buffer.data.eq(data),
        ]


def _in_steps(word, steps: int, together: int):
    """The number of the first step of a word that steps can begin with."""
    return word << (steps.bit_length() - 1) if together == 1 else word >> (together.bit_length() - 1)
