"""A part without back-pressure under Verilator: arrays in, arrays out."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from amaranth import Shape

from einloom.generators.emit import SharedModules
from einloom.hw.part import Part
from einloom.sim.bench.build import bench_text
from einloom.sim.server import BenchServer
from einloom.sim.verilator import Toolchain

BENCH = "pipeline_bench"
MODULE = "einloom.sim.bench.cocotb_part"
PORTS = ("clk", "rst", "start", "count", "done", "timed_out", "cycles")
OPERAND_BITS = 64  # width of each of the part's inputs in operands.bin


class Pipeline:
    """The simulator of `part`, whose `output` comes `latency` cycles after its inputs."""

    def __init__(self, part: Part, output: str, latency: int) -> None:
        members = part.signature.members
        self.inputs = tuple(name for name, member in members.items() if member.flow.name == "In")
        self._result_bits = Shape.cast(members[output].shape).width
        connections = [
            f".{name}(operands[{n * OPERAND_BITS} +: {Shape.cast(members[name].shape).width}])"
            for n, name in enumerate(self.inputs)
        ]
        values = {
            "operand_bits": len(self.inputs) * OPERAND_BITS,
            "result_bits": self._result_bits,
            "latency": latency,
            "top": "part",
            "inputs": ",\n    ".join(connections),
            "output": output,
        }
        sources = {"part.v": SharedModules().emit(part, "part"), f"{BENCH}.sv": bench_text(BENCH, values)}
        self._server = BenchServer(Toolchain().build(sources, BENCH, PORTS), MODULE)

    def run(self, *operands: npt.NDArray[np.integer], word_bits: int = 64) -> npt.NDArray[np.uint64]:
        """The results for operands in the order of `inputs`, cut into words, [results, words]."""
        words = np.stack([np.broadcast_to(o, operands[0].shape).astype(np.uint64) for o in operands], axis=-1)
        (self._server.folder / "operands.bin").write_bytes(words.astype("<u8").tobytes())
        self._server.run({"count": len(words)})
        return read_hex((self._server.folder / "results.hex").read_text().split(), self._result_bits, word_bits)

    def close(self) -> None:
        self._server.close()


def read_hex(lines: Iterable[str], bits: int, width: int = 64) -> npt.NDArray[np.uint64]:
    """Hexadecimal numbers of `bits`, cut into unsigned ones of `width`, [lines, numbers], lowest first."""
    numbers = -(-bits // width)
    raw = bytes.fromhex("".join(line.rjust(numbers * width // 4, "0") for line in lines))
    big = np.frombuffer(raw, f">u{width // 8}").reshape(-1, numbers)
    return big[:, ::-1].astype(np.uint64)
