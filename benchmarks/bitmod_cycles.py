"""Cycles that a PE of the bitmod engine takes for 4 MACs, measured in RTL at K = 4096, beside the cost model.

python -m benchmarks.bitmod_cycles [--rows 8] [--columns 8]
"""

import argparse
from contextlib import closing

import numpy as np
from rich.console import Console
from rich.table import Table

from einloom.mapping.cost.gemm import gemm_cycles, peak_macs_per_cycle
from einloom.sim.bench.cases import random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.spec.config import Config, MemoryConfig
from einloom.spec.engines.bitmod import BitmodConfig
from einloom.spec.formats import FORMATS

INPUTS, TILES = 4096, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--columns", type=int, default=8)
    args = parser.parse_args()
    names = ("bitmod-fp3", "bitmod-fp4", "int5", "int6", "int8")
    engine = BitmodConfig(kind="bitmod", rows=args.rows, columns=args.columns, formats=names)
    config = Config(name="bitmod-cycles", engine=engine, memory=MemoryConfig(beat_bits=256))
    table = Table(title=f"bitmod {args.rows}x{args.columns}, K = {INPUTS}, {TILES} tiles, group 128")
    for heading in ("format", "cycles", "cycles per 4 MACs", "MACs over peak", "beats accepted", "cost model"):
        table.add_column(heading, justify="right")
    with closing(RtlDevice(config)) as device:
        gemm, rng = device.design.manifest.gemm, np.random.default_rng(0)
        outputs = TILES * gemm.columns
        device.load({name: random_tensor(rng, gemm, FORMATS[name], outputs, INPUTS) for name in names})
        for name in names:
            before = device.counters
            device.linear(name, rng.integers(-128, 128, (gemm.rows, INPUTS), np.int8))
            cycles = device.counters.cycles - before.cycles
            macs = device.counters.macs - before.macs
            table.add_row(
                name,
                f"{cycles:,}",
                f"{4 * cycles * gemm.rows * gemm.columns / macs:.3f}",
                f"{macs / cycles / peak_macs_per_cycle(gemm, FORMATS[name]):.2%}",
                f"{(device.counters.beats - before.beats) / cycles:.1%}",
                f"{gemm_cycles(gemm, FORMATS[name], tokens=gemm.rows, inputs=INPUTS, outputs=outputs):,}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
