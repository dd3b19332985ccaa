"""BERT-base's GEMM and its attention on 1,024 int8 MACs a cycle: einloom's cycle models and RTL, beside other tools'.

    python -m benchmarks.other_tools [--python zigzag=PATH ...] [--rtl-heads 1] [--tools scalesim ...]

The layers are Y[512, 768] = X[512, 768] W[768, 768], and the attention of 12 heads of 512 queries and keys of 64
elements. AccelForge, ZigZag and SCALE-Sim are optional. Each has demands of its own on Python and NumPy, so each may
have an interpreter of its own, which runs the script of it in `benchmarks/tools`; of those that are missing the
way to install them is told.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.fusemax import make_job
from einloom.generators.registry import generate
from einloom.mapping.cost.fusemax import AttentionShape, attention_cycles
from einloom.mapping.cost.gemm import gemm_cycles
from einloom.sim.attention_device import AttentionDevice
from einloom.sim.bench.cases import random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.spec.attention_format import Mask
from einloom.spec.config import Config, MemoryConfig
from einloom.spec.engines.fusemax import FuseMaxConfig
from einloom.spec.engines.int_mac import IntMacConfig
from einloom.spec.formats import FORMATS
from einloom.spec.version import VERSION

SIDE = 32
TOKENS, INPUTS, OUTPUTS = 512, 768, 768
HEADS, SIZE = 12, 64
LAYERS = {
    "array": SIDE,
    "bytes_per_cycle": 64,
    "chip_bytes": 2 << 20,
    "gemm": {"tokens": TOKENS, "inputs": INPUTS, "outputs": OUTPUTS},
    "attention": {"heads": HEADS, "tokens": TOKENS, "size": SIZE},
}
"""What the tools' scripts read: MACs of the array's side, memory outside the chip and on it, and the layers."""
MACS = {"gemm": TOKENS * INPUTS * OUTPUTS, "attention": 2 * HEADS * TOKENS * TOKENS * SIZE}
CLOCK_MHZ = 300
PATIENCE = 3600
"""Seconds after which a tool is given up."""
GEMM = IntMacConfig(kind="int_mac", rows=SIDE, columns=SIDE, lanes=1)
ATTENTION = FuseMaxConfig(kind="fusemax", rows=SIDE, columns=SIDE, max_head=SIZE)
FORMAT = FORMATS["int8"]
FOLDER = Path(__file__).parent / "tools"


class Tool(NamedTuple):
    """A tool of others: the package's module, what installs it, and what it needs."""

    module: str
    install: str
    needs: str = ""


TOOLS = {
    "accelforge": Tool("accelforge", "pip install accelforge", "Python 3.12 or newer"),
    "zigzag": Tool("zigzag", "pip install zigzag-dse six"),
    "scalesim": Tool("scalesim", 'pip install scalesim "numpy<2.4"'),
}


class Row(NamedTuple):
    """Cycles of a layer, and the seconds in which a tool found them."""

    tool: str
    layer: str
    cycles: float
    seconds: float
    heads: int = HEADS

    @property
    def bound(self) -> float:
        """Cycles in which every MAC of the array is used."""
        macs = MACS[self.layer] * (self.heads / HEADS if self.layer == "attention" else 1)
        return macs / SIDE**2


def config(engine: IntMacConfig | FuseMaxConfig) -> Config:
    """An engine alone, whose weights come at a beat of 32 bytes a cycle."""
    return Config(name=f"{engine.kind.replace('_', '-')}-32x32", engine=engine, memory=MemoryConfig(beat_bits=256))


def models() -> Iterator[Row]:
    """einloom's cycle models: blocks of as many tokens as the array has rows, one after the other."""
    started = time.perf_counter()
    gemm = generate(config(GEMM)).manifest.gemm
    cycles = TOKENS // SIDE * gemm_cycles(gemm, FORMAT, tokens=SIDE, inputs=INPUTS, outputs=OUTPUTS)
    yield Row(f"einloom {VERSION}, cycle model", "gemm", cycles, time.perf_counter() - started)
    started = time.perf_counter()
    attention = generate(config(ATTENTION)).manifest.attention
    block = AttentionShape(SIZE, SIZE, 0, 0, Mask(TOKENS))
    cycles = attention_cycles(attention, [block] * (HEADS * TOKENS // SIDE)).cycles
    yield Row(f"einloom {VERSION}, cycle model", "attention", cycles, time.perf_counter() - started)


def rtl(heads: int) -> Iterator[Row]:
    """The generated Verilog in simulation, every result compared with golden."""
    rng, name = np.random.default_rng(0), f"einloom {VERSION}, RTL"
    started = time.perf_counter()
    with closing(RtlDevice(config(GEMM))) as device:
        device.load({"w": random_tensor(rng, device.design.manifest.gemm, FORMAT, OUTPUTS, INPUTS)})
        device.linear("w", rng.integers(-128, 128, (TOKENS, INPUTS), np.int8))
        yield Row(name, "gemm", device.counters.cycles, time.perf_counter() - started)
    started = time.perf_counter()
    with AttentionDevice(config(ATTENTION)) as engine:
        jobs = []
        for _ in range(heads):
            queries, keys, values = rng.normal(size=(3, TOKENS, SIZE))
            blocks = (queries[first : first + SIDE] for first in range(0, TOKENS, SIDE))
            jobs += [make_job(engine, block, keys, values, Mask(TOKENS), 0) for block in blocks]
        _, outcome = engine.run(jobs)
    name += "" if heads == HEADS else f", {heads} of the heads"
    yield Row(name, "attention", outcome.cycles, time.perf_counter() - started, heads)


def ask(name: str, python: str) -> Iterator[Row]:
    """Rows of another tool, by its script with its Python; SystemExit when that fails."""
    script = FOLDER / f"{name}_cycles.py"
    done = subprocess.run(
        [python, str(script)], input=json.dumps(LAYERS), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    for result in answer["results"]:
        variant = f", {result['variant']}" if "variant" in result else ""
        yield Row(f"{name} {answer['version']}{variant}", result["layer"], result["cycles"], result["seconds"])


def is_there(tool: Tool, python: str) -> bool:
    """That Python has the tool."""
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({tool.module!r}) is None)"
    try:
        return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def table(rows: list[Row]) -> Table:
    """The rows, those of a layer together."""
    shown = Table(title=f"{SIDE} x {SIDE} MACs, int8: GEMM {TOKENS} x {INPUTS} x {OUTPUTS}, attention of {HEADS} heads")
    for heading in ("layer", "by", "cycles", "over MACs / 1,024", f"ms at {CLOCK_MHZ} MHz", "found in s"):
        shown.add_column(heading, justify="left" if heading in ("layer", "by") else "right")
    for row in sorted(rows, key=lambda row: row.layer, reverse=True):
        milliseconds, over = row.cycles / CLOCK_MHZ / 1e3, row.cycles / row.bound
        numbers = f"{row.cycles:,.0f}", f"{over:.4f}", f"{milliseconds:.3f}", f"{row.seconds:.1f}"
        shown.add_row(row.layer, row.tool, *numbers)
    return shown


def pythons(given: list[str]) -> dict[str, str]:
    """The Python of each tool; SystemExit when a choice names none."""
    found = dict.fromkeys(TOOLS, sys.executable)
    for choice in given:
        name, separator, path = choice.partition("=")
        if not separator or name not in TOOLS:
            raise SystemExit(f"--python {choice}: write TOOL=PATH, where TOOL is {', '.join(TOOLS)}")
        found[name] = path
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", action="append", default=[], metavar="TOOL=PATH", help="a tool's own interpreter")
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS), help="the tools that are asked")
    parser.add_argument("--rtl-heads", type=int, default=1, choices=range(HEADS + 1), help="on RTL; 0 for no RTL")
    arguments = parser.parse_args()
    rows, missing, console = list(models()), list[str](), Console(width=120)
    if arguments.rtl_heads:
        rows += rtl(arguments.rtl_heads)
    for name, python in pythons(arguments.python).items():
        tool = TOOLS[name]
        if name not in arguments.tools:
            continue
        if is_there(tool, python):
            rows += ask(name, python)
        else:
            needs = f" ({tool.needs})" if tool.needs else ""
            missing.append(f"{name} is not in {python}: {tool.install}{needs}, and then --python {name}=PATH")
    console.print(table(rows))
    for line in missing:
        print(line)


if __name__ == "__main__":
    main()
