"""A vector unit under Verilator, and what its instructions must write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from amaranth import Shape

from einloom.isa import REDUCTIONS, Instruction, Operand, Space, VectorOp
from generators.emit import SharedModules
from hw.vector.sequencer import DESTINATION, INSTRUCTION
from hw.vector.vector_unit import ACTIVATION_BITS, QUERY_BITS, VectorUnit
from sim.bench.build import bench_text
from sim.bench.pipeline import MODULE, read_hex
from sim.golden import vector as golden
from sim.server import BenchServer
from sim.verilator import Toolchain

BENCH = "vector_bench"
PORTS = ("clk", "rst", "start", "instructions", "seed", "stall", "limit", "done", "timed_out", "cycles")
DEPTH = 65536  # words of the vector memory
IDLE_CYCLES = 10_000

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Results:
    """Words that an instruction writes, in order.

    Attributes
    ----------
    data : [words, lanes].
    fields : of the destination by name, [words] each.
    """

    data: Words
    fields: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Step:
    """An instruction for `tokens` tokens."""

    instruction: Instruction
    tokens: int

    def execute(self, memory: Words, kv_bits: int) -> Results:
        """What it writes, after all reads; into `memory` [DEPTH, lanes] if that is its space."""
        i = self.instruction
        token, outer, inner = np.ogrid[: self.tokens, : i["outer"], : i["inner"]]
        a = self._read("a", memory, token, outer, inner)
        factors = {Operand.VECTOR: "b", Operand.IMMEDIATE: "immediate"}
        addends = {Operand.VECTOR: "c", Operand.IMMEDIATE: "immediate"}
        x = self._read(factors.get(i["x"]), memory, token, outer, inner)
        y = self._read(addends.get(i["y"]), memory, token, outer, inner)
        op, negate = VectorOp(i["op"]), bool(i["negate"])
        if op in REDUCTIONS and not i["inner"]:
            data = np.zeros((1, 1, 1, 1), np.uint32)  # of no words
        elif op in REDUCTIONS:
            inner = inner[..., :1]
            data = golden.reduce(op, a, x, negate=negate)[..., None, None] + np.zeros_like(memory[0])
        else:
            data = golden.elementwise(op, a, x, y, negate=negate)
        shape = (self.tokens, i["outer"], inner.shape[-1])
        fields = self._destination(*(np.broadcast_to(index, shape).ravel() for index in (token, outer, inner)))
        data = np.broadcast_to(data, (*shape, memory.shape[-1])).reshape(-1, memory.shape[-1])
        if i["space"] == Space.VECTOR:
            memory[fields["address"]] = data
        else:
            width = {Space.ACTIVATIONS: ACTIVATION_BITS, Space.KEY_VALUES: kv_bits}.get(i["space"], QUERY_BITS)
            data = golden.to_integer(golden.floats(data), width).view(np.uint32)
        return Results(data, fields)

    def _read(self, name: str | None, memory: Words, *index: npt.NDArray[np.int64]) -> Words | None:
        i = self.instruction
        if name is None:
            return None
        if name == "immediate":
            return np.full((1, 1, 1, 1), i["immediate"], np.uint32)
        strides = (i[f"{name}_token"], i[f"{name}_outer"], i[f"{name}_inner"])
        return memory[(i[f"{name}_base"] + sum(s * n for s, n in zip(strides, index, strict=True))) % DEPTH]

    def _destination(
        self, token: npt.NDArray[np.int64], outer: npt.NDArray[np.int64], inner: npt.NDArray[np.int64]
    ) -> dict[str, npt.NDArray[np.int64]]:
        i = self.instruction
        block = 1 << i["block"]
        match i["space"]:
            case Space.VECTOR:
                offset = token * i["d_token"] + outer * i["d_outer"]
            case Space.QUERIES | Space.QUERY_SCALE:
                offset = token // block * i["d_token"]
            case _:
                offset = outer * i["d_outer"]
        return {
            "space": np.full_like(token, i["space"]),
            "token": token,
            "outer": outer,
            "address": (i["d_base"] + offset + inner) % DEPTH,
            "column": token % block * i["outer"] + outer,
        }


@dataclass(frozen=True)
class Run:
    """What came of a batch.

    Attributes
    ----------
    results : all words, in order.
    completed : the cycle in which each instruction was complete.
    busy : up to then, the cycles in which the unit was.
    """

    results: Results
    completed: list[int]
    busy: list[int]


class VectorDevice:
    """The simulator of a vector unit."""

    def __init__(self, lanes: int, read_latency: int, kv_bits: int) -> None:
        self.lanes = lanes
        self.kv_bits = kv_bits
        values = {
            "top": "vector_unit",
            "word_bits": 32 * lanes,
            "instruction_bits": INSTRUCTION.size,
            "destination_bits": DESTINATION.size,
            "read_latency": read_latency,
            "vector_space": Space.VECTOR.value,
        }
        text = SharedModules().emit(VectorUnit(lanes, read_latency, kv_bits), "vector_unit")
        sources = {"vector_unit.v": text, f"{BENCH}.sv": bench_text(BENCH, values)}
        separate = ("vector_lane", "store_converter")  # compiled once, not once per lane
        self._server = BenchServer(Toolchain().build(sources, BENCH, PORTS, separate=separate), MODULE)

    def run(self, memory: Words, steps: Sequence[Step], *, stall: int = 0, seed: int = 1) -> Run:
        """Carry out `steps` on the vector memory [DEPTH, lanes]."""
        folder = self._server.folder
        (folder / "memory.bin").write_bytes(memory.astype("<u4").tobytes())
        lines = [f"{step.tokens << INSTRUCTION.size | _word(step.instruction):x}" for step in steps]
        (folder / "instructions.hex").write_text("\n".join(lines) + "\n")
        words = sum(s.tokens * s.instruction["outer"] * (s.instruction["inner"] + 100) for s in steps)
        limit = IDLE_CYCLES + 300 * len(steps) + words
        self._server.run({"instructions": len(steps), "seed": seed, "stall": stall, "limit": limit})
        counters = [[int(n, 16) for n in line.split()] for line in (folder / "completed.hex").read_text().splitlines()]
        return Run(self._results(folder / "results.hex"), *map(list, zip(*counters, strict=True)))

    def _results(self, path: Path) -> Results:
        lines = path.read_text().splitlines()
        data = read_hex((line.split()[0] for line in lines), 32 * self.lanes, 32).astype(np.uint32)
        raw = read_hex((line.split()[1] for line in lines), DESTINATION.size, 64)[:, 0].astype(np.int64)
        fields, start = {}, 0
        for name, shape in DESTINATION.members.items():
            width = Shape.cast(shape).width
            fields[name] = raw >> start & ((1 << width) - 1)
            start += width
        return Results(data.reshape(-1, self.lanes), fields)

    def close(self) -> None:
        self._server.close()


def _word(instruction: Instruction) -> int:
    return int.from_bytes(instruction.encode(), "little")
