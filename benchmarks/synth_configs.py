"""Resources of the U280 that the shipped configs take, for tests/resources.json.

python -m benchmarks.synth_configs [NAME ...] [--write]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from einloom.catalogue import load_config, shipped_configs
from einloom.fpga import yosys
from einloom.fpga.resources import Resources
from einloom.synthesis import synthesise

RECORD = Path(__file__).parent.parent / "tests" / "resources.json"
WIDE = 16
"""Channels of a core that is larger than a die."""
KEYS = ("lut", "ff", "carry8", "dsp", "bram36", "uram")


def measure(name: str) -> dict[str, Any]:
    """The resources and levels of the shipped config `name`, all of its designs together; what its floorplan puts on
    each die, if it takes so much that this matters."""
    report = synthesise(name)
    found: dict[str, Any] = _counts(report.total) | {"levels": max(r.levels for r in report.results.values())}
    if load_config(name).memory.channels >= WIDE:
        found["dies"] = {die: _counts(held) for die, (held, _) in report.dies.items()}
    return found


def _counts(resources: Resources) -> dict[str, float]:
    return {key: getattr(resources, key) for key in KEYS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="NAME", help="all unless named")
    parser.add_argument("--write", action="store_true", help=f"put the figures into {RECORD.name}")
    args = parser.parse_args()
    columns = (*KEYS, "levels")
    table = Table("config", *columns, "seconds")
    found = {}
    for name in args.names or shipped_configs():
        started = time.perf_counter()
        found[name] = measure(name)
        table.add_row(name, *(f"{found[name][key]:,}" for key in columns), f"{time.perf_counter() - started:.0f}")
        if args.write:
            kept = json.loads(RECORD.read_text())["configs"] if RECORD.exists() else {}
            configs = {name: kept[name] for name in shipped_configs() if name in kept} | found
            record = {"pyosys": yosys.version(), "configs": dict(sorted(configs.items()))}
            RECORD.write_text(json.dumps(record, indent=1) + "\n")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
