"""A vector unit under Verilator, and what its instructions must write."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from amaranth import Shape

from einloom.generators.emit import SharedModules
from einloom.hw.vector.slot import DESTINATION, INSTRUCTION
from einloom.hw.vector.vector_unit import ACTIVATION_BITS, QUERY_BITS, VectorUnit
from einloom.sim.bench.build import bench_text
from einloom.sim.bench.pipeline import MODULE, read_hex
from einloom.sim.golden import vector as golden
from einloom.sim.server import BenchServer
from einloom.sim.verilator import Toolchain
from einloom.spec.instruction import Instruction
from einloom.spec.isa import FLOAT_OPS, REDUCTIONS, Operand, Space, VectorOp

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
    fields : fields of the destination by name, [words] each.
    """

    data: Words
    fields: dict[str, npt.NDArray[np.int64]]


ONE_OPERAND = (VectorOp.TOINT, VectorOp.TOFLOAT, VectorOp.MAXABS)


@dataclass(frozen=True)
class Step:
    """An instruction for `tokens` tokens."""

    instruction: Instruction
    tokens: int

    def operands(self) -> tuple[str, ...]:
        """The operands that are read."""
        i = self.instruction
        b = ("b",) if i["x"] == Operand.VECTOR and i["op"] not in ONE_OPERAND else ()
        return ("a", *b, *(("c",) if i["y"] == Operand.VECTOR and i["op"] in FLOAT_OPS else ()))

    def addresses(self, operand: str) -> npt.NDArray[np.int64]:
        """Addresses of the words of a, b, c or d, [tokens, outer, inner]. A reduction's destination has inner = 1."""
        i = self.instruction
        token, outer, inner = self._steps(of_results=operand == "d")
        strides = [i[f"{operand}_token"], i[f"{operand}_outer"], 1 if operand == "d" else i[f"{operand}_inner"]]
        if operand == "d" and i["space"] in (Space.QUERIES, Space.QUERY_SCALE):
            token, strides[1] = token >> i["block"], 0
        elif operand == "d" and i["space"] != Space.VECTOR:
            strides[0] = 0
        return (i[f"{operand}_base"] + token * strides[0] + outer * strides[1] + inner * strides[2]) % DEPTH

    def execute(self, memory: Words, kv_bits: int) -> Results:
        """Results of the instruction, made after all reads. Written to `memory` [DEPTH, lanes] if that is its space."""
        i = self.instruction
        token, outer, _ = (index.ravel() for index in self._steps(of_results=True))
        fields = {
            "space": np.full_like(token, i["space"]),
            "token": token,
            "outer": outer,
            "address": self.addresses("d").ravel(),
            "column": token % (1 << i["block"]) * i["outer"] + outer,
        }
        if not len(token):
            return Results(np.zeros((0, memory.shape[1]), np.uint32), fields)
        data = self._compute(memory).reshape(len(token), -1)
        if i["space"] == Space.VECTOR:
            memory[fields["address"]] = data
        else:
            width = {Space.ACTIVATIONS: ACTIVATION_BITS, Space.KEY_VALUES: kv_bits}.get(i["space"], QUERY_BITS)
            data = golden.to_integer(golden.floats(data), width).view(np.uint32)
        return Results(data, fields)

    def _steps(self, *, of_results: bool) -> tuple[npt.NDArray[np.int64], ...]:
        i = self.instruction
        one = of_results and i["op"] in REDUCTIONS and i["inner"]
        return tuple(np.indices((self.tokens, i["outer"], 1 if one else i["inner"])))

    def _compute(self, memory: Words) -> Words:
        i = self.instruction
        immediate = np.full((1, 1, 1, 1), i["immediate"], np.uint32)
        words = {operand: memory[self.addresses(operand)] for operand in self.operands()}
        x, y = (
            immediate if i[name] == Operand.IMMEDIATE else words.get(vector) if i[name] == Operand.VECTOR else None
            for name, vector in (("x", "b"), ("y", "c"))
        )
        op, negate = VectorOp(i["op"]), bool(i["negate"])
        if op in REDUCTIONS:
            return np.repeat(golden.reduce(op, words["a"], x, negate=negate)[..., None], memory.shape[1], axis=-1)
        if op is VectorOp.EXCHANGE:
            if "c" in words:
                lanes = memory.shape[1]
                y = np.stack([words["c"][..., n ^ i["immediate"] % lanes] for n in range(lanes)], axis=-1)
            op = VectorOp.MAD
        return golden.elementwise(op, words["a"], x, y, negate=negate)


@dataclass(frozen=True)
class Run:
    """Outcome of a batch of vector instructions.

    Attributes
    ----------
    results : all words, in order.
    done : cycle in which each instruction was done.
    busy : cycles up to then in which the unit was busy, for each instruction.
    signal : field `signal` of each instruction.
    """

    results: Results
    done: list[int]
    busy: list[int]
    signal: list[int]


class VectorDevice:
    """The simulator of a vector unit."""

    def __init__(self, unit: VectorUnit) -> None:
        self.unit = unit
        values = {
            "top": "vector_unit",
            "word_bits": 32 * unit.lanes,
            "instruction_bits": INSTRUCTION.size,
            "destination_bits": DESTINATION.size,
            "read_latency": unit.read_latency,
            "write_latency": unit.write_latency,
            "vector_space": Space.VECTOR.value,
        }
        text = SharedModules().emit(unit, "vector_unit")
        sources = {"vector_unit.v": text, f"{BENCH}.sv": bench_text(BENCH, values)}
        separate = ("vector_lane", "store_converter")  # compiled once, not once per lane
        self._server = BenchServer(Toolchain().build(sources, BENCH, PORTS, separate=separate), MODULE)

    def run(self, memory: Words, steps: Sequence[Step], *, stall: int = 0, seed: int = 1) -> Run:
        """Carry out `steps` on the vector memory [DEPTH, lanes], with gaps and pauses by the chance stall / 256."""
        folder = self._server.folder
        (folder / "memory.bin").write_bytes(memory.astype("<u4").tobytes())
        lines = [f"{step.tokens << INSTRUCTION.size | _word(step.instruction):x}" for step in steps]
        (folder / "instructions.hex").write_text("\n".join(lines) + "\n")
        words = sum(s.tokens * s.instruction["outer"] * (s.instruction["inner"] + 100) for s in steps)
        limit = IDLE_CYCLES + (300 * len(steps) + words) * 256 // (256 - stall)
        self._server.run({"instructions": len(steps), "seed": seed, "stall": stall, "limit": limit})
        counters = [[int(n, 16) for n in line.split()] for line in (folder / "done.hex").read_text().splitlines()]
        return Run(self._results(folder / "results.hex"), *map(list, zip(*counters, strict=True)))

    def _results(self, path: Path) -> Results:
        lines = path.read_text().splitlines()
        data = read_hex((line.split()[0] for line in lines), 32 * self.unit.lanes, 32).astype(np.uint32)
        raw = read_hex((line.split()[1] for line in lines), DESTINATION.size, 64)[:, 0].astype(np.int64)
        fields, start = {}, 0
        for name, shape in DESTINATION.members.items():
            width = Shape.cast(shape).width
            fields[name] = raw >> start & ((1 << width) - 1)
            start += width
        return Results(data.reshape(-1, self.unit.lanes), fields)

    def close(self) -> None:
        self._server.close()


def _word(instruction: Instruction) -> int:
    return int.from_bytes(instruction.encode(), "little")
