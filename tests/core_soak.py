"""Jobs of all kinds, one after the other, on one small core: what goes wrong in one must not be seen in the next.

python -m tests.core_soak [--lanes] [--seed S] [--jobs N]      many jobs, from one seed
python -m tests.core_soak [--lanes] --case C                   the one case that failed

With --lanes it is a core with attention lanes, whose cache is behind the weight channels.
"""

import argparse
import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from einloom.spec.driver import SYSTEM
from einloom.spec.errors import CheckFailed
from einloom.spec.instruction import Instruction
from einloom.spec.isa import INSTRUCTION_BYTES, OPCODES, CoreError
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program
from einloom.spec.token_table import token_rows
from tests.core_bed import BITMOD, LANES, Bed, Shape, core_config, core_design, random_program, random_tokens

SHAPE = Shape()
BASE = 1 << 16  # bytes in front of each window
WATCHDOG = 3000
LIMIT = 4_000_000  # cycles; whatever a program of this length does, it makes no progress for much longer
LATENCIES = (1, 2, 10, 64, 200, 700)
BANDWIDTHS = (0, 0, 0, 200, 128, 50)
LONGEST = 5000  # cycles of a job, about
MOST_BURSTS = 60  # of a port in a job, about
PROMPT = 9  # tokens, at most
WILD_WORD = 1 << 32
OUTSIDE_EVERY = 50  # cases
MULTIPLIER = 1_000_003


def random_timing(rng: np.random.Generator) -> MemoryTiming:
    return MemoryTiming(
        latency=int(rng.choice(LATENCIES)),
        bandwidth=int(rng.choice(BANDWIDTHS)),
        seed=int(rng.integers(1, WILD_WORD)),
        stall=int(rng.choice([0, 30, 100, 200])),
        interleave=int(rng.integers(2)),
    )


def random_instruction(rng: np.random.Generator) -> Instruction:
    """A legal one: small values and large ones, and not too many tokens, for which most would wait for ever."""
    opcode = OPCODES[rng.integers(len(OPCODES))]
    values = {}
    for f in opcode.fields:
        top = min(1 << f.bits, 2 ** int(rng.integers(1, f.bits + 1)))
        values[f.name] = int(rng.integers(len(f.names) if f.names else top))
    if opcode.name == "gemm":
        values["format"] = 0
    if opcode.partners:
        values["condition"] = int(rng.integers(3))
        for name in ("wait", "signal"):
            values[name] = int(rng.integers(256)) & opcode.partners if rng.random() < 0.1 else 0
    return Instruction.make(opcode.name, **values).checked()


def with_bits_flipped(rng: np.random.Generator, program: bytes) -> bytes:
    raw = np.frombuffer(program, np.uint8).copy()
    for at in rng.integers(raw.size * 8, size=rng.integers(1, 6)):
        raw[at // 8] ^= 1 << at % 8
    return raw.tobytes()


def with_other_instructions(rng: np.random.Generator, program: bytes) -> bytes:
    raw = bytearray(program)
    for at in rng.integers(len(raw) // INSTRUCTION_BYTES, size=rng.integers(1, 6)):
        start = int(at) * INSTRUCTION_BYTES
        raw[start : start + INSTRUCTION_BYTES] = random_instruction(rng).encode()
    return bytes(raw)


def with_garbage(rng: np.random.Generator, program: bytes) -> bytes:
    raw = bytearray(program)
    start = int(rng.integers(len(raw) // INSTRUCTION_BYTES)) * INSTRUCTION_BYTES
    raw[start : start + INSTRUCTION_BYTES] = rng.bytes(INSTRUCTION_BYTES)
    return bytes(raw)


def all_at_random(rng: np.random.Generator, program: bytes) -> bytes:
    count = len(program) // INSTRUCTION_BYTES
    return b"".join(random_instruction(rng).encode() for _ in range(count))


def shuffled(rng: np.random.Generator, program: bytes) -> bytes:
    """The same instructions in another order: tokens that fit no more."""
    lines = [program[n : n + INSTRUCTION_BYTES] for n in range(0, len(program), INSTRUCTION_BYTES)]
    return b"".join(lines[n] for n in rng.permutation(len(lines)))


CORRUPTIONS = (with_bits_flipped, with_other_instructions, with_garbage, all_at_random, shuffled)


@dataclass
class Soak:
    """Runs cases: a job in which something goes wrong, then, without a reset, a text that must be golden.

    Attributes
    ----------
    jobs : run so far.
    ends : how many of the disturbed ones ended how.
    """

    bed: Bed
    jobs: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self._memories = []
        for number, size in enumerate(self.bed.core.memory_sizes):
            memory = rng.integers(0, 256, size).astype(np.uint8)
            self.bed.core.load_memory(number, 0, memory)
            self._memories.append(memory)
        self.bed.core.prepare()
        self._cases: tuple[Callable[[np.random.Generator], str], ...] = (
            self._reset,
            self._abort,
            self._bus_error,
            self._corrupt,
            self._corrupt,
            self._corrupt_and_more,
            self._small_window,
            self._wild_registers,
        )

    def case(self, seed: int) -> None:
        """The case of a seed; CheckFailed when something is not as it must be."""
        rng = np.random.default_rng(seed)
        core = self.bed.core
        try:
            core.timing = random_timing(rng)
            self._load(self.bed.program, [int(n) for n in rng.integers(0, WILD_WORD, PROMPT)], rng)
            core.write(report=self._report(rng))
            disturb = self._cases[rng.integers(len(self._cases))]
            self.ends[f"{disturb.__name__.strip('_')}: {disturb(rng)}"] += 1
            self.jobs += 1
            core.configure(self.bed.program)
            core.timing = random_timing(rng)
            text = self.bed.resume()
            text.step(random_tokens(rng, SHAPE, int(rng.integers(1, PROMPT))))
            self.jobs += 1
            if rng.integers(4) == 0:
                text.step(random_tokens(rng, SHAPE, 1))
                self.jobs += 1
            self.bed.check_memory(*self.bed.design.manifest.core.written_memories)
        except Exception as error:
            lanes = " --lanes" if self.bed.design.manifest.core.cache_in_channels else ""
            error.add_note(f"reproduce with: python -m tests.core_soak{lanes} --case {seed}")
            raise

    def check_outside(self) -> None:
        """CheckFailed when a byte outside the windows is not what it was at first."""
        for number, (before, window) in enumerate(zip(self._memories, self.bed.core.sizes, strict=True)):
            found = self.bed.core.dump_memory(number, 0, before.size)
            inside = slice(BASE, BASE + window)
            found[inside] = before[inside]
            if not np.array_equal(found, before):
                raise CheckFailed(f"memory {number} has changed outside its window")

    def _report(self, rng: np.random.Generator) -> int:
        """Nowhere, in the window, or anywhere."""
        beats = self.bed.core.sizes[SYSTEM] // self.bed.beat_bytes
        return (0, int(rng.integers(beats)), int(rng.integers(2 ** int(rng.integers(1, 41)))))[rng.integers(3)]

    def _load(self, program: Program, ids: list[int], rng: np.random.Generator) -> None:
        """The system window: a program's image with ids that are tokens, or anything."""
        image = program.system.copy()
        tokens = rng.random() < 0.7
        for n, token in enumerate(ids):
            at = (program.symbols.tokens + n) * self.bed.beat_bytes
            row = token_rows([token % SHAPE.vocab if tokens else token], n, self.bed.beat_bytes)
            image[at : at + row.size] = row
        self.bed.core.load(SYSTEM, 0, image)

    def _run(self, rng: np.random.Generator, **settings: int) -> str:
        position, length = int(rng.integers(0, 20)), int(rng.integers(0, PROMPT + 1))
        return self.bed.core.run(position, length, **settings).error.name

    def _reset(self, rng: np.random.Generator) -> str:
        cycle = int(rng.integers(1, LONGEST))
        return "RESET" if self.bed.core.reset_during(0, int(rng.integers(1, PROMPT)), cycle) else CoreError.NONE.name

    def _abort(self, rng: np.random.Generator) -> str:
        return self._run(rng, abort_at=int(rng.integers(1, LONGEST)))

    def _bus_error(self, rng: np.random.Generator) -> str:
        core = self.bed.core
        number, burst = int(rng.integers(len(core.sizes))), int(rng.integers(1, MOST_BURSTS))
        written = number in self.bed.design.manifest.core.written_memories
        kind = "error_write" if written and rng.integers(2) else "error_read"
        core.timing = dataclasses.replace(core.timing, error_memory=number, **{kind: burst})
        return self._run(rng)

    def _corrupt(self, rng: np.random.Generator) -> str:
        self._spoil(rng)
        return self._run(rng)

    def _corrupt_and_more(self, rng: np.random.Generator) -> str:
        """With another mishap while the core is at it."""
        self._spoil(rng)
        return (self._reset, self._abort, self._bus_error, self._small_window)[rng.integers(4)](rng)

    def _spoil(self, rng: np.random.Generator) -> None:
        raw = b"".join(i.encode() for i in self.bed.program.instructions)
        spoilt = CORRUPTIONS[rng.integers(len(CORRUPTIONS))](rng, raw)
        beats = -(-len(spoilt) // self.bed.beat_bytes) * self.bed.beat_bytes
        data = np.frombuffer(spoilt.ljust(beats, b"\0"), np.uint8)
        self.bed.core.load(SYSTEM, self.bed.program.symbols.program * self.bed.beat_bytes, data)

    def _small_window(self, rng: np.random.Generator) -> str:
        core = self.bed.core
        names = ("system", *(f"weights{n}" for n in range(len(core.sizes) - 1)))
        number = int(rng.integers(len(names)))
        core.write(**{f"{names[number]}_size": int(rng.integers(core.sizes[number]))})
        return self._run(rng)

    def _wild_registers(self, rng: np.random.Generator) -> str:
        core, name = self.bed.core, rng.choice(["program", "instructions", "row", "length"])
        wild = int(rng.integers(2 ** int(rng.integers(1, 33))))
        if name in ("program", "instructions"):
            core.write(**{name: wild})
            return self._run(rng)
        values = {"row": 0, "length": 1} | {name: wild}
        return core.run(values["row"], values["length"]).error.name


def soak_bed(*, lanes: bool = False) -> Bed:
    """The core of all soaks, or one with attention lanes."""
    design = core_design(core_config(base=LANES if lanes else BITMOD))
    shape = dataclasses.replace(SHAPE, heads=3, groups=3) if lanes else SHAPE
    return Bed(design, random_program(design.manifest, shape), base=BASE, watchdog=WATCHDOG, limit=LIMIT)


def soak(bed: Bed, seed: int, jobs: int) -> Soak:
    """At least so many jobs."""
    run = Soak(bed)
    cases = 0
    while run.jobs < jobs:
        run.case(seed * MULTIPLIER + cases)
        cases += 1
        if cases % OUTSIDE_EVERY == 0:
            run.check_outside()
    run.check_outside()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--case", type=int)
    parser.add_argument("--lanes", action="store_true")
    arguments = parser.parse_args()
    bed = soak_bed(lanes=arguments.lanes)
    try:
        started = time.perf_counter()
        if arguments.case is not None:
            run = Soak(bed)
            run.case(arguments.case)
            run.check_outside()
        else:
            run = soak(bed, arguments.seed, arguments.jobs)
        seconds = time.perf_counter() - started
        print(f"{run.jobs} jobs, {bed.core.cycles:,} cycles, {seconds:.0f} s")
        for end, count in sorted(run.ends.items()):
            print(f"{count:6} {end}")
    finally:
        bed.close()


if __name__ == "__main__":
    main()
