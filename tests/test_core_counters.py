"""A core's counters, on programs in which it is known what each unit does: work, wait for a permit, or nothing."""

from collections.abc import Iterator

import pytest

from einloom.mapping.cost.fusemax import AttentionShape, attention_cycles
from einloom.spec.attention_format import Mask
from einloom.spec.driver import SYSTEM, JobResult
from einloom.spec.isa import UNITS, CoreError
from einloom.spec.memory_timing import MemoryTiming
from tests.core_bed import Bed, Shape, core_config, core_design, random_program, small_program

LATENCY = 600
"""Of memory: cycles that a unit waits for at least, and more than any other one works in these programs."""
FREE = 16
"""A beat that nothing needs."""
BEHIND_A_LOAD = {
    "weights": ["weights beats=4 wait=load"],
    "gemm": ["weights beats=40", "gemm blocks=1 tiles=1 wait=load"],
    "vector": ["vector op=mad outer=1 inner=1 wait=load"],
    "attention": ["attend keys=0 values=4 query_head=32 value_head=32 group=1 count=1 wait=load"],
    "store": [f"store offset={FREE} words=1 wait=load"],
}
"""Instructions of which the last, of the unit of that name, waits for a load."""
OTHERS = {
    "gemm": {"weights_busy", "weights0_beats", "weights1_beats"},
    "attention": {"attention_array", "attention_row", "attention_starved"},
    "store": {"system_write_beats"},
}
"""Other counters that count then."""


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    design = core_design(core_config())
    bed = Bed(design, random_program(design.manifest, Shape()))
    yield bed
    bed.close()


def run(bed: Bed, lines: list[str]) -> JobResult:
    """A job of a token; it does nothing to the memories' contents that matters."""
    program = small_program(bed, [*lines, "end"])
    bed.core.load(SYSTEM, 0, program.system)
    bed.core.configure(program)
    bed.core.timing = MemoryTiming(latency=LATENCY)
    result = bed.core.run(0, 1)
    assert result.error is CoreError.NONE
    return result


def at_work(bed: Bed) -> dict[str, int]:
    """Cycles from the first to the last of each unit's instructions, by the trace."""
    cycles = dict.fromkeys((unit.name.lower() for unit in UNITS), 0)
    for unit, _, first, last in bed.core.trace():
        cycles[UNITS[unit].name.lower()] += last - first + 1
    return cycles


def check(bed: Bed, counters: dict[str, int], first: str, unit: str, others: set[str]) -> None:
    """The unit `first` waits for memory and then works; `unit` waits for it and then works; nothing else counts."""
    others |= {"cycles", "completed", "system_read_beats"}
    names = {f"{first}_busy", f"{unit}_busy", f"{unit}_waiting"} | others
    assert {name for name, value in counters.items() if value} == names
    for name in (f"{first}_busy", f"{unit}_waiting"):
        assert LATENCY <= counters[name] <= LATENCY + 40, name
    for name in {first, unit} - {"attention", "vector"}:  # which take an instruction before the one before is complete
        assert abs(counters[f"{name}_busy"] - at_work(bed)[name]) <= 1, name
    assert counters["completed"] == len(bed.core.trace())


@pytest.mark.parametrize("unit", BEHIND_A_LOAD)
def test_a_unit_that_waits_for_a_load_is_counted_as_waiting_and_no_other_is(bed: Bed, unit: str) -> None:
    counters = run(bed, [f"load words=1 signal={unit}", *BEHIND_A_LOAD[unit]]).counters
    check(bed, counters, "load", unit, OTHERS.get(unit, set()))


def test_a_load_that_waits_for_a_store_is_counted_as_waiting(bed: Bed) -> None:
    counters = run(bed, [f"store offset={FREE} words=1 signal=load", "load words=1 wait=store"]).counters
    check(bed, counters, "store", "load", {"system_write_beats"})
    assert counters["system_write_beats"] == 1


def test_what_attention_waits_for_is_counted_by_its_cause(bed: Bed) -> None:
    """One tile, whose keys come a latency after it was asked for."""
    counters = run(bed, ["load words=1 signal=attention", *BEHIND_A_LOAD["attention"]]).counters
    engine = bed.design.manifest.attention
    assert engine is not None
    assert LATENCY <= counters["attention_starved"] <= LATENCY + 40
    cost = attention_cycles(engine, [AttentionShape(32, 32, 0, 0, Mask(1, causal=True))])
    assert (counters["attention_array"], counters["attention_row"]) == (cost.busy, cost.row_busy)


def test_beats_of_weights_are_counted_for_each_channel_and_hunger_for_them_as_such(bed: Bed) -> None:
    """A product that begins with its weights on the way."""
    counters = run(bed, ["weights beats=40", "gemm blocks=1 tiles=1"]).counters
    assert counters["weights0_beats"] == counters["weights1_beats"] == 40
    assert LATENCY - 40 <= counters["gemm_starved"] <= counters["gemm_busy"] <= LATENCY + 80
    assert counters["gemm_waiting"] == counters["weights_waiting"] == 0
