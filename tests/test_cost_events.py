"""The event simulation of a core against programs whose cycles are counted by hand."""

import pytest

from einloom.catalogue import load_config
from einloom.generators.registry import describe
from einloom.hw.vector.reduction import folds, lane_steps
from einloom.mapping.cost.core_simulation import CoreSimulation
from einloom.mapping.cost.events import Events, Process, Signal
from einloom.mapping.cost.executed import critical_path, unit_cycles
from einloom.mapping.cost.memory_port import Consumption, MemoryPort, bursts
from einloom.mapping.cost.unlimited import Unlimited
from einloom.mapping.cost.vector_slots import tail_slots
from einloom.mapping.cost.write_port import SumsComing, WritePort
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import assemble
from einloom.spec.isa import REDUCE_PARTIALS, Unit, VectorOp
from einloom.spec.memory_timing import MemoryTiming

MANIFEST = describe(load_config("default"))
"""16 lanes, beats of 256 bits, 16 columns, FP4 in two terms."""
FIRST = 80
"""Cycle in which a unit has the program's first instruction beside memory of 64 cycles: the request in cycle 2, a
crossing, 4 to ARVALID, 1 through the multiplexer, 64, 3 through the master's queue, a crossing, 2 to the sequencer's
hand, 2 through the unit's queue."""
END = 2
"""From the last instruction's end to the job's: the barrier sees it 2 cycles later."""


def simulate(*lines: str, unlimited: Unlimited | None = None) -> CoreSimulation:
    """A job of one token at position 0."""
    program = [assemble(line) for line in lines]
    found = CoreSimulation(MANIFEST, program, MemoryTiming(), unlimited or Unlimited())
    found.run(0, 1)
    return found


def cycles(*lines: str, unlimited: Unlimited | None = None) -> int | None:
    return simulate(*lines, unlimited=unlimited).sequencer.cycles


def test_an_empty_program() -> None:
    """`end` is there when a first instruction would be handed out, and passes its barrier a cycle later."""
    assert cycles("end") == FIRST - 2 + 1


def test_a_load() -> None:
    """2 cycles to its request, 74 to its first beat, as for the program; 8 words are 16 beats; 2 to its end."""
    assert cycles("load words=8", "end") == FIRST + 2 + 74 + 15 + 2 + END


def test_dependent_vector_instructions() -> None:
    """2 cycles to a slot; the next one reads its word 14 later, 12 before its own is there."""
    first = "vector op=mad outer=1 inner=1 d_base=1"
    assert cycles(first, "end") == FIRST + 2 + 12 + END
    assert cycles(first, "vector op=mad outer=1 inner=1 a_base=1 d_base=2", "end") == FIRST + 2 + 14 + 12 + END
    # Words of another address need not wait: 2 cycles behind the instruction before.
    assert cycles(first, "vector op=mad outer=1 inner=1 a_base=7 d_base=2", "end") == FIRST + 4 + 12 + END


def test_words_of_a_row_wait_for_their_own() -> None:
    """Word n of the second row reads word n of the first, 20 slots and a cycle before: nothing waits."""
    row = "vector op=mad outer=1 inner=20 a_inner=1 d_base=100"
    after = "vector op=mad outer=1 inner=20 a_base=100 a_inner=1 d_base=200"
    assert cycles(row, after, "end") == FIRST + 2 + 20 + 1 + 19 + 12 + END
    short = row.replace("20", "4"), after.replace("20", "4")
    assert cycles(*short, "end") == FIRST + 2 + 14 + 3 + 12 + END


def test_a_sum_waits_for_all_and_has_its_tail() -> None:
    """8 words, then 35 cycles in which the partial sums and the lanes' sums meet; the total is there 12 later."""
    assert tail_slots(VectorOp.SUM, 8, 16) == 35
    before = "vector op=mad outer=1 inner=1 d_base=900"
    assert cycles(before, "vector op=sum outer=1 inner=8 a_inner=1 d_base=1", "end") == FIRST + 2 + 14 + 42 + 12 + END


@pytest.mark.parametrize("lanes", [2, 4, 16, 32])
@pytest.mark.parametrize("words", [1, 5, 8, 11])
def test_tails_are_those_of_the_hardware(lanes: int, words: int) -> None:
    assert tail_slots(VectorOp.SUM, words, lanes) == max(folds(lanes)) - (words - 1) % REDUCE_PARTIALS
    assert tail_slots(VectorOp.MAXABS, words, lanes) == lane_steps(lanes)


def test_a_product_behind_its_weights() -> None:
    """131 beats of 4 tiles of 32 steps of two terms: 1.95 cycles each, slower than they come.

    The request is in cycle 80; its first beat is with the queue 72 cycles later (no multiplexer and no crossing there)
    and with the array 5 behind that, where metadata take a cycle. 256 terms later, 13 cycles to the first sums and 6 to
    their word.
    """
    lines = ("weights beats=131", "gemm blocks=1 tiles=4", "end")
    assert cycles(*lines) == FIRST + 72 + 5 + 1 + 256 + 13 + 6 + END
    # A product whose weights are there takes 2 cycles to its first term.
    idle = "load words=8 signal=gemm"
    late = simulate("weights beats=131", "load words=100", idle, "gemm blocks=1 tiles=4 wait=load", "end")
    (gemm,) = [e for e in late.executed if e.unit is Unit.GEMM]
    assert gemm.ends - gemm.starts == 2 + 256 + 13 + 6
    assert gemm.starved == 0


def test_an_attention_of_one_tile() -> None:
    """Keys of 32 elements, half a beat each, then values. 2 cycles to the jobs, 1 to the request of the keys."""
    found = simulate("attend query_head=32 value_head=32 group=1 count=1", "end")
    (attend,) = found.executed
    keys = FIRST + 2 + 1 + 74 + 1 + 32  # the last element's delivery
    values_from = keys + MANIFEST.attention.exp_end + 3  # the half epoch without a tile of its own
    steps = values_from + 33
    divided = steps + MANIFEST.attention.row_cycles + 32 * MANIFEST.attention.division_cycles
    # Two words of 16 elements: the second one's first division runs beside the first one's way out.
    assert attend.ends == divided - 1 + 6
    assert attend.starved == keys - (FIRST + 2 + 3) - 32


def test_a_store_waits_for_memorys_answer() -> None:
    """1 cycle to the request, 3 to fetch a word, 2 beats of it; 2 to W, 64, and 1 to the answer."""
    assert cycles("store words=1", "end") == FIRST + 1 + 4 + 1 + 2 + 64 + 1 + END


def test_permits_order_units() -> None:
    alone = cycles("load words=8", "end")
    waiting = cycles("load words=8 signal=vector", "vector op=mad outer=1 inner=1 wait=load", "end")
    assert alone is not None
    assert waiting == alone + 1 + 2 + 12
    with pytest.raises(CheckFailed, match="does not end: a unit waits forever"):
        cycles("vector op=mad outer=1 inner=1 wait=load", "end")
    with pytest.raises(CheckFailed, match="no end"):
        cycles("load words=8")


def test_a_full_queue_holds_the_sequencer() -> None:
    """16 instructions wait behind the load; the program's 19th cannot be handed out before the first is complete."""
    found = simulate(*["load words=8"] * 18, "vector op=mad outer=1 inner=1", "end")
    loads = [e for e in found.executed if e.unit is Unit.LOAD]
    (vector,) = [e for e in found.executed if e.unit is Unit.VECTOR]
    assert loads[0].ends < vector.starts < loads[1].ends


def test_the_critical_path_adds_up() -> None:
    found = simulate(
        "load words=8 signal=vector",
        "vector op=mad outer=1 inner=1 wait=load signal=store",
        "store words=1 wait=vector",
        "end",
    )
    assert found.last is not None
    assert found.sequencer.cycles is not None
    spans = list(critical_path(found.last, found.sequencer.cycles))
    assert sum(span.cycles for span in spans) == found.sequencer.cycles
    assert [span.executed.unit for span in spans if not span.dispatch] == [Unit.STORE, Unit.VECTOR, Unit.LOAD]
    assert spans[-1].dispatch
    assert spans[-1].cycles == FIRST
    times = unit_cycles(found.executed)
    assert times[Unit.LOAD].waiting == 0
    assert times[Unit.VECTOR].waiting == found.executed[1].starts - found.executed[1].waits > 0


def test_unlimited_resources_take_no_time() -> None:
    product = ("weights beats=131", "gemm blocks=1 tiles=4", "end")
    load = ("load words=8", "end")
    first = FIRST - 63  # beside memory that answers in a cycle
    # The load unit takes a beat a cycle all the same; `end` comes with the load, in one burst.
    assert cycles(*load, unlimited=Unlimited(bandwidth=True)) == cycles(*load) - 1
    assert cycles(*load, unlimited=Unlimited(latency=True)) == first + 2 + 11 + 15 + 2 + END
    assert cycles(*product, unlimited=Unlimited(array=True)) < cycles(*product) - 100
    vector = ("vector op=mad outer=1 inner=200", "end")
    assert cycles(*vector, unlimited=Unlimited(vector=True)) == FIRST + END
    attend = ("attend query_head=32 value_head=32 group=1 count=1", "end")
    assert cycles(*attend, unlimited=Unlimited(attention=True)) < cycles(*attend) - 480


def test_memory_gives_a_beat_a_cycle_behind_its_latency() -> None:
    port = MemoryPort(MemoryTiming(latency=10), 0)
    assert port.read(100, 0, 4, 32) == (110, 113)
    assert port.read(101, 128, 4, 32) == (114, 117)
    assert port.read(200, 0, 1, 32) == (210, 210)


def test_memory_of_three_quarters_of_a_beat_with_refreshes() -> None:
    timing = MemoryTiming(latency=10, bandwidth=192, refresh_every=1000, refresh_for=100)
    port = MemoryPort(timing, 0)
    assert port.read(200, 0, 64, 64) == (210, 294)  # 63 beats of 4/3 of a cycle behind the first
    # A refresh of 100 cycles begins ten before cycle 1,000, and ends a burst's first beats.
    first, last = port.read(930, 0, 64, 64)
    assert first == 940
    assert last == pytest.approx(940 + 84 + 100, abs=1)
    assert port.read(1990, 0, 1, 64) == (2090, 2090)


def test_bursts_end_at_multiples_of_the_longest() -> None:
    assert list(bursts(60, 70, 32)) == [(60 * 32, 4), (64 * 32, 64), (128 * 32, 2)]
    assert [beats for _, beats in bursts(0, 70, 128)] == [32, 32, 6]  # 4 KiB


def test_consumption_is_a_line_between_its_points() -> None:
    taken = Consumption()
    assert taken.when(1) is None
    taken.add(0, 10)
    taken.add(10, 30)
    assert taken.when(5) == 20
    assert taken.when(10) == 30
    assert taken.when(11) is None


def test_processes_run_when_what_they_wait_for_is_known() -> None:
    events, seen = Events(), list[tuple[str, int]]()
    signal = Signal(events)

    def waits() -> Process:
        yield signal
        seen.append(("signal", events.now))

    def counts() -> Process:
        yield 5
        seen.append(("five", events.now))
        signal.raise_now()
        yield 3
        seen.append(("three", events.now))  # late: all up to five is known already

    events.start(counts())
    events.start(waits())
    events.run()
    assert seen == [("five", 5), ("signal", 5), ("three", 5)]


def test_sums_wait_for_a_cycle_that_the_vector_unit_leaves() -> None:
    """It pauses in one cycle of four while they wait, and 12 cycles later they go in."""
    port = WritePort()
    assert port.issue(0, 100) == 99  # nobody waits
    port = WritePort()
    port.coming(SumsComing(first=30, period=1000, tiles=1, words=1))
    last = port.issue(8, 100)
    assert 107 < last <= 107 + 4  # a word, and pauses until the unit knows that it is gone
    assert port.sums_end(30, 30) == 32 + 12  # the pause of cycle 32
    port = WritePort()
    port.coming(SumsComing(first=200, period=1000, tiles=1, words=3))
    assert port.sums_end(202, 202) == 202
