"""The machine that executes programs: the sequencer, the units and the memories between them."""

from amaranth import Array, Cat, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.arith.delay import delayed
from einloom.hw.buffers.parity import parity_ports
from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.window import OFFSET_BITS, request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.attend_extent import AttendExtent
from einloom.hw.core.attention_lanes import AttentionLanes
from einloom.hw.core.attention_unit import AttentionUnit
from einloom.hw.core.float_words import FloatWords
from einloom.hw.core.gemm_unit import GemmUnit
from einloom.hw.core.layouts import CHUNK, FLOAT_BITS, INDEX_BITS, POSITION_BITS, reader_ports, writer_ports
from einloom.hw.core.load_unit import LoadUnit
from einloom.hw.core.memory_client import MemoryClient
from einloom.hw.core.permit_board import PermitBoard
from einloom.hw.core.sequencer import ERROR_BITS, Sequencer
from einloom.hw.core.spec import CoreSpec
from einloom.hw.core.store_unit import StoreUnit
from einloom.hw.core.unit_queue import UnitQueue
from einloom.hw.core.vector_memory import READ_LATENCY, VectorMemory
from einloom.hw.core.weight_unit import WeightUnit
from einloom.hw.part import Part
from einloom.hw.vector.slot import READS
from einloom.hw.vector.vector_unit import VectorUnit
from einloom.hw.wires import feed, join, members
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS
from einloom.spec.isa import UNITS, CoreError, Space, Unit

RESULT_LATENCY = 2  # from a vector unit's result to a read that finds it: a register lies before the memories
OVERLAPPING = (Unit.VECTOR, Unit.ATTENTION)
"""Units that take an instruction while the one before is at work."""
CLIENTS = (Sequencer.memory, LoadUnit.memory, AttentionUnit.memory, StoreUnit.memory)
"""Clients of the system window, as the parts declare them; those that read come first. With the cache behind weight
channels, the attention unit has clients there instead."""
READERS = tuple(client.name for client in CLIENTS if not client.writes)


def system_clients(spec: CoreSpec) -> tuple[MemoryClient, ...]:
    """Clients of the system window of a core."""
    return tuple(client for client in CLIENTS if client is not AttentionUnit.memory or not spec.cache_in_channels)


class Machine(Part):
    """Executes one program at a time. A reset ends the program and leaves nothing of it.

    Throughput: an instruction every other cycle (Sequencer), and that of the units, which work side by side. Latency: 2
    cycles from `start` to the first request; 4 from an instruction's beat to its unit, if its permits are there.

    Members
    -------
    start, program, instructions, row, length : In, see Sequencer
    program_request, program_beats, and so on for load and cache : to and from read masters of the system window
    weights_requests, weights : to and from the read masters of the weight channels, an array each
    store_request, store_beats, store_answered : to and from the write master of the system window
    done : Out(1)
    error : Out, CoreError of the machine's own
    index : Out, number of the sequencer's instruction
    oldest : Out, number of the oldest instruction that waits or is at work, a few cycles late
    cache_index : Out, number of the instruction whose tiles are requested from the cache's master
    cache_requests, cache, cache_indices, key_values_requests, key_values, key_values_answers : to and from the masters
        of a cache behind weight channels, see AttentionLanes and StoreLanes; instead of those of the system window
    indices : Out, array over UNITS: number of each unit's instruction
    busy, waiting : Out, bit n for unit n of UNITS: it is at work; it waits for permits
    presented, completed : Out, likewise: an instruction is carried out; it is complete
    gemm_starved, attention_array, attention_row, attention_starved : Out(1), see the units
    scrub, scrub_address : In, with parity: zeros are written into a word of each memory on the chip
    readers_corrupt, weights_corrupt : In, with parity: a beat from one of READERS, or of weights, lost a bit
    corrupt, corrupt_index : Out, with parity: a word from a memory on the chip lost a bit, and the number of the
        instruction that used it
    """

    def __init__(self, spec: CoreSpec):
        units = len(UNITS)
        ports: dict = {}
        for client in system_clients(spec):
            wanted = (writer_ports if client.writes else reader_ports)(spec.beat_bits)
            ports |= {f"{client.name}_{port}": member for port, member in wanted.items()}
        if masters := spec.cache_masters:
            ports |= {
                "cache_requests": Out(stream.Signature(request_layout())).array(masters),
                "cache": In(stream.Signature(beat_layout(spec.beat_bits))).array(masters),
                "cache_indices": Out(INDEX_BITS).array(masters),
                "key_values_requests": Out(stream.Signature(request_layout())).array(masters),
                "key_values": Out(stream.Signature(strobed_layout(spec.beat_bits))).array(masters),
                "key_values_answers": In(masters),
            }
        else:
            ports["cache_index"] = Out(INDEX_BITS)
        super().__init__({
            "start": In(1),
            "program": In(OFFSET_BITS),
            "instructions": In(INDEX_BITS),
            **members(In, "row", "length", shape=POSITION_BITS),
            **ports,
            "weights_requests": Out(stream.Signature(request_layout())).array(spec.channels),
            "weights": In(stream.Signature(beat_layout(spec.beat_bits))).array(spec.channels),
            "done": Out(1),
            "error": Out(ERROR_BITS),
            **members(Out, "index", "oldest", shape=INDEX_BITS),
            "indices": Out(INDEX_BITS).array(units),
            **members(Out, "busy", "waiting", "presented", "completed", shape=units),
            **members(Out, "gemm_starved", "attention_array", "attention_row", "attention_starved"),
            **parity_ports(spec.parity),
            **({"corrupt_index": Out(INDEX_BITS)} if spec.parity else {}),
            **({"readers_corrupt": In(len(READERS)), "weights_corrupt": In(1)} if spec.parity else {}),
        })

    def build(self, m, platform):
        spec = self.spec
        sequencer = Sequencer(spec.tokens, spec.beat_bits, len(spec.gemm.formats), spec.cache.exchanges).place(
            m, "sequencer", platform
        )
        memory = VectorMemory(spec.vector_words, spec.lanes, spec.parity).place(m, "memory", platform)
        units = {
            Unit.WEIGHTS: WeightUnit(spec.channels, spec.beat_bits),
            Unit.GEMM: GemmUnit(
                spec.gemm, spec.lanes, spec.activation_words, spec.beats_at_once, spec.fifo_beats, spec.parity
            ),
            Unit.VECTOR: VectorUnit(
                spec.lanes,
                READ_LATENCY,
                RESULT_LATENCY,
                spec.cache.code_bits,
                overlap=True,
                exchange=spec.cache.exchanges,
            ),
            Unit.ATTENTION: self._attention_unit(),
            Unit.LOAD: LoadUnit(spec.tokens, spec.lanes, spec.beat_bits),
            Unit.STORE: StoreUnit(
                spec.lanes,
                spec.cache,
                spec.staging_words,
                1 << (spec.tokens - 1).bit_length(),
                spec.parity,
                spec.attention_lanes,
                spec.cache_masters,
            ),
        }
        units = {unit: part.place(m, f"{unit.name.lower()}_unit", platform) for unit, part in units.items()}
        self._control(m, platform, sequencer, units)
        self._find_oldest(m, sequencer)
        if spec.parity:
            self._check_parity(m, sequencer, memory, units)
        self._ports(m, sequencer, units)
        self._vector(m, memory, units)
        self._results(m, platform, memory, units)

    def _results(self, m, platform, memory, units):
        """Take the units' words to the vector memory; attention's become floats on their way."""
        attention = units[Unit.ATTENTION]
        floats = FloatWords(self.spec.lanes, OUTPUT_BITS).place(m, "attention_floats", platform)
        join(m, attention.integers, floats.integers)
        m.d.comb += attention.written.eq(floats.done)
        for words, sink in (
            (units[Unit.GEMM].result, memory.gemm),
            (floats.words, memory.attention),
            (units[Unit.LOAD].result, memory.load),
        ):
            join(m, words, sink)
        connect(m, units[Unit.STORE].word, memory.store)

    def _attention_unit(self):
        """One attention engine behind the system window, or lanes of them behind the weight channels."""
        spec = self.spec
        size = (spec.attention, spec.lanes, spec.cache, spec.query_words, spec.parity)
        if spec.cache_in_channels:
            return AttentionLanes(*size, spec.attention_lanes, spec.cache_masters)
        return AttentionUnit(*size)

    def _control(self, m, platform, sequencer, units):
        """Queues and permits between the sequencer and the units."""
        board = PermitBoard().place(m, "tokens", platform)
        chunk, load, idle = Signal(CHUNK), units[Unit.LOAD], []
        feed(m, sequencer.chunk, chunk, "tokens", "last")
        m.d.comb += [chunk.position.eq(load.position), chunk.place.eq(load.cache_place)]
        for n, unit in enumerate(UNITS):
            part = units[unit]
            queue = UnitQueue(unit in OVERLAPPING, unit is Unit.ATTENTION)
            queue.place(m, f"{unit.name.lower()}_queue", platform)
            join(m, sequencer.queues[n], queue.i)
            join(m, queue.instruction, part.instruction)
            m.d.comb += queue.chunk.eq(chunk)
            m.d.comb += [
                queue.available.eq(board.available[n]),
                board.take[n].eq(queue.take),
                self.indices[n].eq(queue.index),
                self.busy[n].eq(part.busy),
                self.waiting[n].eq(queue.waiting),
                self.presented[n].eq(queue.instruction.valid),
                self.completed[n].eq(queue.completed),
            ]
            if unit is Unit.VECTOR:
                feed(m, chunk, part, "tokens")
            elif unit is Unit.LOAD:
                feed(m, sequencer, part, "chunk", "begins")
            else:
                m.d.comb += part.chunk.eq(chunk)
            if unit is Unit.ATTENTION:
                feed(m, queue, part, "index")
                self._prepare_attention(m, platform, queue, part)
            given = queue.give
            if unit in OVERLAPPING:
                m.d.comb += queue.unit_idle.eq(part.idle)
                given |= Mux(part.done, part.signal, 0)
            m.d.comb += board.give[n].eq(given)
            idle.append(queue.idle)
        m.d.sync += sequencer.units_idle.eq(Cat(idle).all())
        m.d.comb += self.error.eq(Mux(board.overflow, CoreError.PERMITS, sequencer.error))

    def _prepare_attention(self, m, platform, queue, attention):
        """What an instruction of attention covers, found once for all lanes."""
        extent = AttendExtent(self.spec.lanes, self.spec.cache).place(m, "attend_extent", platform)
        m.d.comb += [
            extent.payload.eq(attention.instruction.payload),
            extent.valid.eq(attention.instruction.valid),
            extent.taken.eq(attention.instruction.ready),
            attention.prepared.eq(extent.ready),
        ]
        feed(m, attention, extent, "chunk")
        feed(m, queue, extent, "skip")
        feed(m, extent, attention, "extent")

    def _find_oldest(self, m, sequencer):
        """Find the oldest instruction, by comparing with one unit's in each cycle."""
        turn = Signal(range(len(UNITS)))
        before, oldest = Signal(INDEX_BITS), Signal(INDEX_BITS)
        here = Array(self.indices)[turn]
        held = Array(self.presented | self.waiting)[turn]
        m.d.comb += oldest.eq(Mux(held & (here < before), here, before))
        m.d.sync += [turn.eq(turn + 1), before.eq(oldest)]
        with m.If(turn == len(UNITS) - 1):
            m.d.sync += [turn.eq(0), before.eq(sequencer.index), self.oldest.eq(oldest)]

    def _check_parity(self, m, sequencer, memory, units):
        """Find out that a word lost a bit, and which instruction used it."""
        gemm, attention, store = units[Unit.GEMM], units[Unit.ATTENTION], units[Unit.STORE]
        for part in (memory, gemm, attention, store):
            feed(m, self, part, "scrub", "scrub_address")
        at = dict(zip(UNITS, self.indices, strict=True))
        program, load, cache = self.readers_corrupt
        reading = self._vector_index(m, units[Unit.VECTOR])
        for corrupt, index in (
            (self.weights_corrupt, self.oldest),
            (program, sequencer.index),
            (load, delayed(m, "loaded", at[Unit.LOAD], 1, reset_less=False)),
            (gemm.corrupt, at[Unit.GEMM]),
            (attention.corrupt | cache, attention.oldest_index),
            (memory.corrupt, delayed(m, "read", reading, READ_LATENCY + 1, reset_less=False)),
            (store.corrupt | memory.store_corrupt, at[Unit.STORE]),
        ):
            with m.If(corrupt):
                m.d.sync += [self.corrupt.eq(1), self.corrupt_index.eq(index)]

    def _vector_index(self, m, vector):
        """The instruction whose word the vector unit reads; its last word may still wait when the next is presented."""
        presented = self.indices[UNITS.index(Unit.VECTOR)]
        waits, before = Signal(), Signal(INDEX_BITS)
        with m.If(vector.instruction.valid & vector.instruction.ready):
            m.d.sync += [waits.eq(1), before.eq(presented)]
        with m.Elif(vector.busy):
            m.d.sync += waits.eq(0)
        return Mux(waits, before, presented)

    def _ports(self, m, sequencer, units):
        """Connect the masters and the counters."""
        attention, parts = units[Unit.ATTENTION], units | {Unit.CONTROL: sequencer}
        feed(m, self, sequencer, "start", "program", "instructions", "row", "length")
        feed(m, sequencer, self, "done", "index")
        if self.spec.cache_in_channels:
            self._cache_masters(m, attention, units[Unit.STORE])
        else:
            m.d.comb += self.cache_index.eq(attention.request_index)
        for client in system_clients(self.spec):
            part, beats = parts[client.unit], getattr(self, f"{client.name}_beats")
            join(m, part.request, getattr(self, f"{client.name}_request"))
            join(m, *((part.beats, beats) if client.writes else (beats, part.beats)))
            if client.writes:
                m.d.comb += part.answered.eq(getattr(self, f"{client.name}_answered"))
        for n in range(self.spec.channels):
            weights = units[Unit.GEMM].weights[n]
            join(m, units[Unit.WEIGHTS].requests[n], self.weights_requests[n])
            m.d.comb += weights.payload.eq(self.weights[n].payload.data)
            feed(m, self.weights[n], weights, "valid")
            feed(m, weights, self.weights[n], "ready")
        m.d.comb += [
            self.gemm_starved.eq(units[Unit.GEMM].waiting),
            self.attention_array.eq(attention.array_busy),
            self.attention_row.eq(attention.row_busy),
            self.attention_starved.eq(attention.waiting),
        ]

    def _cache_masters(self, m, attention, store):
        """Connect the masters of a cache behind the weight channels."""
        m.d.comb += store.cache_answers.eq(self.key_values_answers)
        for n in range(self.spec.cache_masters):
            join(m, attention.requests[n], self.cache_requests[n])
            join(m, self.cache[n], attention.beats[n])
            m.d.comb += self.cache_indices[n].eq(attention.request_indices[n])
            join(m, store.cache_requests[n], self.key_values_requests[n])
            join(m, store.cache_beats[n], self.key_values[n])

    def _vector(self, m, memory, units):
        """Connect the vector unit's operands, and take each result to its memory."""
        spec, vector = self.spec, units[Unit.VECTOR]
        for name in READS:
            connect(m, getattr(vector, name), getattr(memory, name))
        m.d.comb += vector.pause.eq(memory.crowded)
        result = Signal.like(vector.result)
        m.d.sync += result.eq(vector.result)
        to, lanes = result.destination, [result.data.as_value().word_select(n, FLOAT_BITS) for n in range(spec.lanes)]
        gemm, attention, store = units[Unit.GEMM], units[Unit.ATTENTION], units[Unit.STORE]

        is_scale = Signal()
        m.d.comb += [
            is_scale.eq(to.space == Space.QUERY_SCALE),
            memory.vector_write.eq(result.valid & (to.space == Space.VECTOR)),
            memory.vector_word.address.eq(to.address),
            memory.vector_word.data.eq(result.data),
            attention.write.column.eq(to.column),
            attention.write.scale.eq(is_scale),
        ]
        for unit, here, bits in (
            (gemm, to.space == Space.ACTIVATIONS, spec.gemm.pe.activation_bits),
            (attention, (to.space == Space.QUERIES) | is_scale, QUERY_BITS),
            (store, to.space == Space.KEY_VALUES, spec.cache.code_bits),
        ):
            feed(m, to, unit.write, "token", "address")
            m.d.comb += [unit.write.enable.eq(result.valid & here), unit.write.data.eq(Cat(x[:bits] for x in lanes))]
