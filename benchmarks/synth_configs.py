"""Resources of the U280 that the shipped configs take, for tests/resources.json.

python -m benchmarks.synth_configs [NAME ...] [--write]
"""

import argparse
import json
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_config, shipped_configs
from einloom.fpga import yosys
from einloom.fpga.recipes import ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import synthesise
from einloom.generators.registry import generate_all

RECORD = Path(__file__).parent.parent / "tests" / "resources.json"
KEYS = ("lut", "ff", "carry8", "dsp", "bram36", "uram")


def measure(name: str) -> dict[str, float]:
    """The resources and levels of the shipped config `name`, all of its designs together."""
    results = [synthesise(d.verilog, d.manifest.top, ultrascale()) for d in generate_all(load_config(name))]
    total = sum((result.total for result in results), Resources())
    return {key: getattr(total, key) for key in KEYS} | {"levels": max(result.levels for result in results)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help="all unless named")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {RECORD.name}")
    args = parser.parse_args()
    table = Table("config", *KEYS, "levels", "seconds")
    found = {}
    for name in args.names or shipped_configs():
        started = time.perf_counter()
        found[name] = measure(name)
        table.add_row(name, *(f"{n:,}" for n in found[name].values()), f"{time.perf_counter() - started:.0f}")
        if args.write:
            kept = json.loads(RECORD.read_text())["configs"] if RECORD.exists() else {}
            configs = {name: kept[name] for name in shipped_configs() if name in kept} | found
            record = {"pyosys": yosys.version(), "configs": dict(sorted(configs.items()))}
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
