"""The latencies of the cost model are those of the hardware's parts."""

from einloom.hw.array.attention_sequencer import LOAD_AT, exp_at
from einloom.hw.buffers.fifo import LUTRAM_DEPTH
from einloom.hw.bus.axi import burst_limit
from einloom.hw.core import core, sequencer, unit_queue, vector_memory
from einloom.hw.core.attention_unit import BLOCKS
from einloom.hw.core.machine import RESULT_LATENCY
from einloom.hw.core.tile_reader import AHEAD
from einloom.hw.vector import float_adder, store_converter
from einloom.hw.vector.float_convert import TO_FLOAT_LATENCY
from einloom.hw.vector.vector_unit import result_latency
from einloom.mapping.cost import latencies
from einloom.mapping.cost.memory_port import bursts
from einloom.spec.isa import Space


def test_the_core() -> None:
    assert latencies.FETCH_BLOCK == sequencer.BLOCK
    assert latencies.QUEUE_DEPTH == unit_queue.DEPTH
    assert latencies.READER_BEATS == core.READER_FIFO
    assert latencies.MAX_BURST == core.MAX_BURST
    assert latencies.ATTEND_BLOCKS == BLOCKS
    assert latencies.TILE_JOBS == AHEAD
    assert latencies.SHORT_QUEUE == LUTRAM_DEPTH
    assert latencies.SUMS_LATENCY == latencies.OUTPUT_LATENCY == TO_FLOAT_LATENCY + 2


def test_the_longest_burst() -> None:
    for beat_bytes in (32, 64, 128):
        assert next(bursts(0, 1000, beat_bytes))[1] == burst_limit(8 * beat_bytes, core.MAX_BURST)


def test_the_vector_unit() -> None:
    read = vector_memory.READ_LATENCY
    assert latencies.READ_LATENCY == read
    assert latencies.PAUSE_CYCLES == vector_memory.PAUSE_CYCLES
    assert latencies.VECTOR_RESULT == result_latency(read, Space.VECTOR)
    assert latencies.VECTOR_RESULT + latencies.VECTOR_CONVERT == result_latency(read, Space.ACTIVATIONS)
    assert latencies.VECTOR_CONVERT == store_converter.LATENCY
    assert latencies.VECTOR_REUSE == result_latency(read, Space.VECTOR) + RESULT_LATENCY
    assert latencies.ADD_LATENCY == float_adder.LATENCY


def test_the_attention_engine() -> None:
    assert latencies.DRAIN_CYCLES == LOAD_AT + 1
    assert exp_at(16)[-1] + 1 == 19
