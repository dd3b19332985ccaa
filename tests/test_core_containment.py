"""Jobs that go wrong: the core says why and where, touches nothing outside its windows, and the next job is golden."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from einloom.sim.golden.driver import GoldenDriver
from einloom.spec.driver import SYSTEM, JobResult
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction, assemble
from einloom.spec.isa import INSTRUCTION_BYTES, PERMIT_LIMIT, CoreError, Elements, Rows
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.core_bed import (
    Bed,
    Shape,
    core_config,
    core_design,
    random_program,
    random_tokens,
    small_program,
    system_beats,
)
from tests.marks import slow

SHAPE = Shape(layers=2)
BASE = 1 << 16  # bytes in front of each window; behind it, memory goes on as well
TOKENS = 6  # of a job: a whole chunk and a part of one
WATCHDOG = 3000


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """Windows in the midst of memories of random bytes."""
    design = core_design(core_config())
    bed = Bed(design, random_program(design.manifest, SHAPE), base=BASE, watchdog=WATCHDOG)
    rng = np.random.default_rng(0)
    for number, size in enumerate(bed.core.memory_sizes):
        bed.core.load_memory(number, 0, rng.integers(0, 256, size).astype(np.uint8))
    yield bed
    bed.close()


class Outside:
    """What lies around the windows, as it is at first."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._before = self._read()

    def _read(self) -> list[np.ndarray]:
        """All memories, with zeros in the windows."""
        memories = []
        for number, (size, window) in enumerate(zip(self._bed.core.memory_sizes, self._bed.core.sizes, strict=True)):
            memory = self._bed.core.dump_memory(number, 0, size)
            memory[BASE : BASE + window] = 0
            memories.append(memory)
        return memories

    def check(self) -> None:
        """CheckFailed when a byte has changed."""
        for number, (before, after) in enumerate(zip(self._before, self._read(), strict=True)):
            wrong = np.flatnonzero(before != after)
            if len(wrong):
                raise CheckFailed(f"byte {wrong[0]} of memory {number} has changed, {len(wrong)} in all")


@pytest.fixture(scope="module")
def outside(bed: Bed) -> Outside:
    return Outside(bed)


@pytest.fixture(autouse=True)
def aftermath(bed: Bed, outside: Outside) -> Iterator[None]:
    """Behind each test: the next job is golden, without a reset, and memory outside the windows is as before."""
    bed.core.timing = MemoryTiming()
    yield
    rng = np.random.default_rng(1)
    bed.check_text(random_tokens(rng, SHAPE, 2), [])  # a chunk that is not full
    outside.check()


def run_both(bed: Bed, program: Program, length: int = TOKENS, **settings: int) -> tuple[JobResult, JobResult]:
    """A job of a program on the core and on golden."""
    golden = GoldenDriver(bed.design.manifest, program)
    bed.core.load(SYSTEM, 0, program.system)
    bed.core.configure(program)
    rows = token_rows(range(1, length + 1), 0, bed.beat_bytes)
    for driver in (bed.core, golden):
        driver.load(SYSTEM, program.symbols.tokens * bed.beat_bytes, rows)
    try:
        return bed.core.run(0, length, **settings), golden.run(0, length)
    finally:
        bed.core.configure(bed.program)


def with_instruction(bed: Bed, index: int, changed: Instruction | bytes) -> Program:
    """The model's program with another instruction in its image."""
    image = bed.program.system.copy()
    raw = changed if isinstance(changed, bytes) else changed.encode()
    start = bed.program.symbols.program * bed.beat_bytes + index * INSTRUCTION_BYTES
    image[start : start + INSTRUCTION_BYTES] = np.frombuffer(raw, np.uint8)
    return dataclasses.replace(bed.program, system=image)


def indices(bed: Bed, name: str, where: Callable[[Instruction], bool] = lambda _: True) -> list[int]:
    """The instructions of a name in the model's program."""
    found = [n for n, i in enumerate(bed.program.instructions) if i.opcode.name == name and where(i)]
    assert found
    return found


def reach(bed: Bed, name: str) -> tuple[int, Instruction]:
    """An instruction of each kind of access that reaches exactly one beat beyond its window, and its place."""
    word_beats = bed.design.manifest.core.lanes * 32 // 8 // bed.beat_bytes
    end = system_beats(bed)
    rows = bed.design.manifest.attention.rows
    match name:
        case "load":
            at = indices(bed, "load", lambda i: i["elements"] == Elements.FLOAT32)[0]
            i = bed.program.instructions[at]
            return at, i.changed(offset=end - i["words"] * word_beats + 1, rows=Rows.ONE)
        case "short elements":
            at = indices(bed, "load", lambda i: i["elements"] == Elements.BFLOAT16)[0]
            i = bed.program.instructions[at]
            return at, i.changed(offset=end - -(-i["words"] * word_beats // 2) + 1, rows=Rows.ONE)
        case "a later row":
            at = indices(bed, "load", lambda i: i["rows"] == Rows.POSITIONS)[0]
            i = bed.program.instructions[at]
            return at, i.changed(offset=end - i["words"] * word_beats - 2 * i["stride"], stride=i["stride"])
        case "tokens":
            at = indices(bed, "tokens")[0]
            return at, bed.program.instructions[at].changed(offset=end - bed.design.manifest.gemm.rows + 1)
        case "weights":
            at = indices(bed, "weights")[5]
            i = bed.program.instructions[at]
            return at, i.changed(offset=bed.core.sizes[1] // bed.beat_bytes - i["beats"] + 1)
        case "weights of no end":
            at = indices(bed, "weights")[3]
            return at, bed.program.instructions[at].changed(beats=(1 << 24) - 1)
        case "keys" | "values":
            at = indices(bed, "attend")[2]
            tile = rows * SHAPE.head // bed.beat_bytes
            return at, bed.program.instructions[at].changed(**{name: end - tile + 1})
        case "store":
            at = indices(bed, "store")[1]
            i = bed.program.instructions[at]
            return at, i.changed(offset=end - i["words"] * word_beats + 1)
        case "store_kv":
            at = indices(bed, "store_kv")[2]
            return at, bed.program.instructions[at].changed(offset=end - rows * SHAPE.head // bed.beat_bytes + 1)
    raise ValueError(name)


REACHES = ("load", "short elements", "a later row", "tokens", "weights", "weights of no end")
REACHES += ("keys", "values", "store", "store_kv")


@pytest.mark.parametrize("timing", [slow(MemoryTiming()), MemoryTiming(latency=9, seed=4, stall=120, interleave=1)])
@pytest.mark.parametrize("name", REACHES)
def test_a_request_beyond_a_window_stops_the_core_at_its_instruction(bed: Bed, name: str, timing: MemoryTiming) -> None:
    bed.core.timing = timing
    index, instruction = reach(bed, name)
    found, expected = run_both(bed, with_instruction(bed, index, instruction))
    assert (found.error, found.index) == (CoreError.WINDOW, index)
    assert (expected.error, expected.index) == (CoreError.WINDOW, index)


def test_a_program_that_is_not_in_the_window_is_never_fetched(bed: Bed) -> None:
    symbols = bed.program.symbols.model_copy(update={"program": system_beats(bed)})
    found, expected = run_both(bed, dataclasses.replace(bed.program, symbols=symbols))
    assert (found.error, found.index) == (expected.error, expected.index) == (CoreError.WINDOW, 0)


def test_a_program_that_leaves_the_window_stops_where_the_fetch_did(bed: Bed) -> None:
    """The fetch runs ahead, so the sequencer may stand before the instruction that lies outside."""
    count = 40
    symbols = bed.program.symbols.model_copy(update={"program": system_beats(bed) - count})
    nothing = assemble("vector op=mad")
    image = bed.program.system.copy()
    image[-count * INSTRUCTION_BYTES :] = np.frombuffer(nothing.encode() * count, np.uint8)
    instructions = (nothing,) * (count + 20)
    program = dataclasses.replace(bed.program, symbols=symbols, system=image, instructions=instructions)
    found, expected = run_both(bed, program)
    assert found.error == expected.error == CoreError.WINDOW
    assert found.index <= expected.index == count


def test_any_window_that_is_too_small_is_kept(bed: Bed) -> None:
    """The windows' sizes cut down to all but the last bytes that the program touches."""
    for window, unit in (("weights1", "weights"), ("system", "")):
        size = bed.core.sizes[2 if unit else SYSTEM] // 2 // bed.beat_bytes * bed.beat_bytes
        bed.core.write(**{f"{window}_size": size})
        result = bed.core.run(0, TOKENS)
        bed.core.configure()
        assert result.error == CoreError.WINDOW
        if unit:
            ends = {
                n: bed.program.instructions[n]["offset"] + bed.program.instructions[n]["beats"]
                for n in indices(bed, unit)
            }
            assert result.index == min(n for n, end in ends.items() if end * bed.beat_bytes > size)


ILLEGAL = {
    "opcode": lambda i: b"\x3f" + i[1:],
    "a bit behind the fields": lambda i: i[:-1] + b"\x80",
    "the sequencer's token": lambda i: i[:2] + b"\x01" + i[3:],
}


@pytest.mark.parametrize("spoil", ILLEGAL.values(), ids=ILLEGAL)
def test_an_illegal_instruction_stops_the_core_behind_all_before(bed: Bed, spoil: Callable[[bytes], bytes]) -> None:
    index = indices(bed, "store_kv")[-1]
    program = with_instruction(bed, index, spoil(bed.program.instructions[index].encode()))
    found, expected = run_both(bed, program)
    assert (found.error, found.index) == (expected.error, expected.index) == (CoreError.ILLEGAL, index)


def test_every_value_without_a_meaning_is_illegal(bed: Bed) -> None:
    """In one field after the other, each on the core and on golden."""
    cases = 0
    for name in ("gemm", "vector", "load"):
        index = indices(bed, name)[0]
        instruction = bed.program.instructions[index]
        for field in instruction.opcode.fields:
            known = len(bed.design.manifest.formats()) if field.name == "format" else len(field.names or ())
            if known and known < 1 << field.bits:
                found, expected = run_both(
                    bed, with_instruction(bed, index, instruction.changed(**{field.name: known}))
                )
                assert (found.error, found.index) == (expected.error, expected.index) == (CoreError.ILLEGAL, index)
                cases += 1
    assert cases == len(("format", "op", "x", "y", "space", "rows"))


def test_a_mistake_leaves_memory_as_golden_does(bed: Bed) -> None:
    """What stands before an illegal instruction is done, what follows isn't."""
    index = indices(bed, "attend")[-1]
    program = with_instruction(bed, index, bytes([0x3F] * INSTRUCTION_BYTES))
    golden = GoldenDriver(bed.design.manifest, program)
    bed.core.load(SYSTEM, 0, program.system)
    assert bed.core.run(0, 1).error is golden.run(0, 1).error is CoreError.ILLEGAL
    size = bed.core.sizes[SYSTEM]
    assert (bed.core.dump(SYSTEM, 0, size) == golden.dump(SYSTEM, 0, size)).all()


@pytest.mark.parametrize("missing", [1, 50])
def test_a_program_without_an_end_stops_behind_its_last_instruction(bed: Bed, missing: int) -> None:
    cut = bed.program.instructions[:-missing]
    found, expected = run_both(bed, dataclasses.replace(bed.program, instructions=cut))
    assert (found.error, found.index) == (expected.error, expected.index) == (CoreError.PAST_END, len(cut))


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("burst", [1, 7, 12])
def test_an_error_of_a_weight_channel_is_of_its_instruction(bed: Bed, channel: int, burst: int) -> None:
    bed.core.timing = MemoryTiming(latency=30, error_memory=channel + 1, error_read=burst)
    limit = 64  # beats of a burst, which ends at a multiple of it
    bursts = []
    for n, i in enumerate(bed.program.instructions):
        if i.opcode.name == "weights":
            base = BASE // bed.beat_bytes + i["offset"]
            bursts += [n] * ((base + i["beats"] - 1) // limit - base // limit + 1)
    result, _ = run_both(bed, bed.program, length=1)
    assert (result.error, result.index) == (CoreError.RESPONSE, bursts[burst - 1])


@pytest.mark.parametrize("burst", [1, 2, 4])
def test_an_error_of_a_write_is_of_its_instruction(bed: Bed, burst: int) -> None:
    bed.core.timing = MemoryTiming(error_write=burst)
    result, _ = run_both(bed, bed.program)
    assert (result.error, result.index) == (CoreError.RESPONSE, indices(bed, "store_kv")[burst - 1])


def test_an_error_of_a_read_is_of_its_instruction(bed: Bed) -> None:
    lines = [
        "load words=1 signal=store",
        "store wait=load signal=load offset=16 words=1",
        "load offset=4 words=1 wait=store",
        "end",
    ]
    program = small_program(bed, lines)
    for burst, index in ((1, 0), (2, 0), (3, 2)):
        bed.core.timing = MemoryTiming(error_read=burst)
        result, _ = run_both(bed, program, length=1)
        assert (result.error, result.index) == (CoreError.RESPONSE, index)


def test_an_error_of_the_cache_is_of_its_instruction(bed: Bed) -> None:
    """Attention alone, behind a load that orders it."""
    attends = [f"attend keys=0 values=4 query_head=32 value_head=32 group=1 count=1 first={n}" for n in (0, 0, 0)]
    program = small_program(bed, [*attends, "end"])
    tiles = 2  # bursts of each: keys and values of one tile
    for burst in range(2, 2 + tiles * len(attends)):  # the first one fetches the program
        bed.core.timing = MemoryTiming(latency=40, error_read=burst)
        result, _ = run_both(bed, program, length=1)
        assert (result.error, result.index) == (CoreError.RESPONSE, (burst - 2) // tiles)


def test_too_many_tokens_stop_the_core(bed: Bed) -> None:
    give = ["vector op=mad signal=store"] * (PERMIT_LIMIT + 1)
    result, _ = run_both(bed, small_program(bed, [*give[:-1], "end"]), length=1)
    assert result.error is CoreError.NONE
    result, _ = run_both(bed, small_program(bed, [*give, "vector op=mad wait=load", "end"]), length=1)
    assert result.error is CoreError.PERMITS
    assert PERMIT_LIMIT <= result.index


@pytest.mark.parametrize(
    "waiting", ["vector op=mad wait=store", "gemm wait=weights blocks=1 tiles=1", "store wait=load"]
)
def test_a_token_that_never_comes_is_the_watchdogs(bed: Bed, waiting: str) -> None:
    result, _ = run_both(bed, small_program(bed, ["load words=1", "vector op=mad", waiting, "load words=2", "end"]))
    assert (result.error, result.index) == (CoreError.WATCHDOG, 2)
    assert WATCHDOG <= result.counters["cycles"] <= WATCHDOG + 1000


def test_weights_that_are_never_fetched_are_the_watchdogs(bed: Bed) -> None:
    found, expected = run_both(bed, small_program(bed, ["vector op=mad", "gemm blocks=1 tiles=1", "end"]))
    assert (found.error, found.index) == (expected.error, expected.index) == (CoreError.WATCHDOG, 1)


def test_the_watchdog_waits_for_progress_not_for_the_end(bed: Bed) -> None:
    bed.core.timing = MemoryTiming(bandwidth=4)
    result, _ = run_both(bed, bed.program)
    assert result.error is CoreError.NONE
    assert result.counters["cycles"] > WATCHDOG


@pytest.mark.parametrize("cycle", [1, slow(40), 150, slow(700), 1500, slow(2600)])
@pytest.mark.parametrize("timing", [slow(MemoryTiming()), MemoryTiming(latency=200, seed=9, stall=100, interleave=1)])
def test_an_abort_stops_the_core_at_once(bed: Bed, cycle: int, timing: MemoryTiming) -> None:
    bed.core.timing = timing
    result, _ = run_both(bed, bed.program, abort_at=cycle)
    assert result.error is CoreError.ABORTED
    assert result.index < len(bed.program.instructions)
    assert result.counters["cycles"] <= cycle + 100


def test_an_abort_that_stands_stops_the_next_job_too(bed: Bed) -> None:
    result, _ = run_both(bed, bed.program, abort_at=10)
    assert result.error is CoreError.ABORTED
    bed.core.write(abort=1)
    assert bed.core.read("abort") == 1


@pytest.mark.parametrize("cycle", [slow(1), 30, slow(100), 333, slow(1000), 2000, slow(2700)])
@pytest.mark.parametrize("timing", [slow(MemoryTiming()), MemoryTiming(latency=200, seed=9, stall=100, interleave=1)])
def test_a_reset_in_a_job_leaves_a_core_that_works(bed: Bed, cycle: int, timing: MemoryTiming) -> None:
    bed.core.timing = timing
    assert bed.core.reset_during(0, TOKENS, cycle)


def test_no_job_starts_while_memory_owes_an_answer_and_each_ends_with_the_watchdog(bed: Bed) -> None:
    late = 20 * WATCHDOG
    bed.core.timing = MemoryTiming(latency=late)
    ended = 0
    for _ in range(late // WATCHDOG - 3):
        assert bed.core.run(0, 1).error is CoreError.WATCHDOG
        ended += 1
        bed.core.timing = MemoryTiming()  # for whom asks from now on
    assert bed.core.cycles >= (ended + 1) * WATCHDOG
    while bed.core.run(0, 1).error is CoreError.WATCHDOG:
        ended += 1
    assert ended <= late // WATCHDOG


def test_a_job_of_no_tokens_does_nothing(bed: Bed) -> None:
    found, expected = run_both(bed, bed.program, length=0)
    assert found.error is expected.error is CoreError.NONE


def test_the_comparison_of_memories_is_not_blind(bed: Bed, outside: Outside) -> None:
    beat = np.full(bed.beat_bytes, 85, np.uint8)
    before = bed.core.dump_memory(SYSTEM, BASE - beat.size, beat.size)
    bed.core.load_memory(SYSTEM, BASE - beat.size, beat)
    with pytest.raises(CheckFailed, match="memory 0 has changed"):
        outside.check()
    bed.core.load_memory(SYSTEM, BASE - beat.size, before)
    bed.restart()
    bed.core.load(1, 0, beat)
    with pytest.raises(CheckFailed, match="of memory 1 is 85"):
        bed.check_memory()


@pytest.mark.parametrize("beats_beyond", [-1, 0, 1 << 20])
def test_a_report_that_reaches_beyond_the_window_is_given_up_and_the_job_stands(bed: Bed, beats_beyond: int) -> None:
    system = bed.core.dump(SYSTEM, 0, bed.core.sizes[SYSTEM])
    bed.core.write(report=system_beats(bed) + beats_beyond)
    try:
        assert bed.core.run(0, TOKENS).error is CoreError.NONE
    finally:
        bed.core.write(report=0)
    last = bed.core.dump(SYSTEM, bed.core.sizes[SYSTEM] - bed.beat_bytes, bed.beat_bytes)
    assert np.array_equal(last, system[-bed.beat_bytes :])
