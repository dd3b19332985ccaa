"""A program on all units at once, and its mistakes, between memories that answer at once or late."""

from functools import cache

import numpy as np

from einloom.hw.core.machine import READERS, Machine
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.instruction import Instruction
from einloom.spec.isa import UNITS, CoreError, Unit
from tests.hw.around import Memory, Writer, reader
from tests.hw.core.programs import BEATS, every_unit, image
from tests.hw.core.small import small

LENGTH, ROW = 2, 3  # one chunk, in two tiles of the cache


@cache
def part() -> Machine:
    return Machine(small("int_mac").spec)


class Job:
    """What a job does to system memory."""

    def __init__(self, program: list[Instruction], pause: float) -> None:
        core = small("int_mac")
        self.beat = core.spec.beat_bits // 8
        self.raw = image(program, core.manifest)
        self.memory = Memory()
        self.memory.put(0, len(self.raw), int.from_bytes(self.raw.tobytes(), "little"))
        self.golden = core.golden()
        self.golden.system = self.raw.copy()
        weights = Memory()
        weights.put(0, len(self.golden.weights[0]), int.from_bytes(self.golden.weights[0].tobytes(), "little"))
        self.done: list[int] = []
        self.error = self.index = 0
        self.completed = dict.fromkeys(UNITS, 0)
        self.busy, self.waited = dict.fromkeys(UNITS, 0), dict.fromkeys(UNITS, 0)  # cycles
        masters = [reader(self.memory, self.beat, f"{name}_request", f"{name}_beats") for name in READERS]
        streams = ("program_beats", "load_beats", "cache_beats", "weights_0", "store_request", "store_beats")
        self.bench = PartBench(
            part(),
            held={
                "start": [0, 0, 1, 0],
                "instructions": len(program),
                "row": ROW,
                "length": LENGTH,
            },
            pauses=dict.fromkeys(streams, pause),
            partners=[
                *masters,
                reader(weights, self.beat, "weights_requests_0", "weights_0"),
                Writer(self.beat, "store_", memory=self.memory.written),
                self._watch,
            ],
            optional=["program_beats"],
            until=lambda: bool(self.done or self.error),
        )

    def _watch(self, cycle: Cycle) -> None:
        if cycle["done"]:
            self.done.append(cycle.number)
        self.error, self.index = cycle["error"], cycle["index"]
        for n, unit in enumerate(UNITS):
            self.completed[unit] += cycle["completed"] >> n & 1
            self.busy[unit] += cycle["busy"] >> n & 1
            self.waited[unit] += cycle["waiting"] >> n & 1

    def run(self) -> None:
        names = (*(f"{name}_request" for name in READERS), "weights_requests_0", "store_request", "store_beats")
        self.bench.check(lambda _: dict.fromkeys(names))


def test_memory_is_the_golden_cores_when_a_program_ends() -> None:
    program = every_unit(small("int_mac").manifest)
    job = Job(program, pause=0.1)
    job.run()
    job.golden.run(0, len(program), ROW, LENGTH)
    assert (job.error, len(job.done)) == (CoreError.NONE, 1)
    found = np.array([job.memory.byte(n) for n in range(BEATS * job.beat)], np.uint8)
    wrong = np.flatnonzero(found != job.golden.system)
    assert not len(wrong), (
        f"byte {wrong[0]}: {found[wrong[0]]}, golden {job.golden.system[wrong[0]]}; {len(wrong)} differ"
    )
    assert (job.golden.system != job.raw).sum() > 100
    for unit in UNITS:
        assert job.completed[unit] == sum(i.opcode.unit is unit for i in program), unit.name
        assert job.busy[unit] > 0, unit.name
    assert job.waited[Unit.WEIGHTS] == 0  # whose instruction needs no permit
    assert job.waited[Unit.STORE] > 0


def test_a_mistake_is_told_with_its_number() -> None:
    program = [*every_unit(small("int_mac").manifest)[:1], Instruction.make("vector", op=15)]
    job = Job(program, pause=0.0)
    job.run()
    assert (job.error, job.index, job.done) == (CoreError.ILLEGAL, 1, [])
    assert job.completed[Unit.LOAD] == 1
