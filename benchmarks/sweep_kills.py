"""A sweep that runs through, one that is killed twice and goes on, and the same on a Dask cluster: one table.

python -m benchmarks.sweep_kills [SWEEP] [--jobs 2] [--kills 2]

A command is killed (SIGKILL) when a part of its points is kept, and started anew. Prints the seconds of all commands of
a run, the rows that each found, and the table's SHA-256; exit code 1 when the tables are not the same bytes. The
cluster's part needs the extra `cluster`.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from einloom.sweeping import KEPT, TABLE
from einloom.sweeps.plan import read_plan

RUN = "from einloom.cli.main import main; main()"


def command(sweep: str, folder: Path, options: list[str]) -> list[str]:
    """`einloom sweep` on this Python."""
    return [sys.executable, "-c", RUN, "sweep", sweep, "-o", str(folder), "--json", *options]


def kept(folder: Path) -> int:
    """Rows that are kept in a folder."""
    path = folder / KEPT
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(sweep: str, folder: Path, options: list[str], kills: int, points: int) -> tuple[float, list[int], str]:
    """Seconds, rows that each command found kept, and the table's digest of a sweep that is killed `kills` times."""
    started, found = time.perf_counter(), list[int]()
    for n in range(kills):
        found.append(kept(folder))
        silent = subprocess.DEVNULL
        process = subprocess.Popen(command(sweep, folder, options), stdout=silent, stderr=silent)
        while kept(folder) < points * (n + 1) // (kills + 1):
            if process.poll() is not None:
                raise SystemExit(f"the sweep ended by itself, with exit code {process.returncode}")
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    found.append(kept(folder))
    done = subprocess.run(command(sweep, folder, options), check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["reused"] == found[-1]
    digest = hashlib.sha256((folder / TABLE).read_bytes()).hexdigest()
    return time.perf_counter() - started, found, digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", nargs="?", default="dsp-cores")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    args = parser.parse_args()
    points = len(read_plan(args.sweep).numbers)
    table = Table("run", "seconds", "kept before each command", "SHA-256 of the table")
    digests = set()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        local = ["--jobs", str(args.jobs)]
        runs = [("one process", ["--jobs", "1"], 0), ("pool", local, 0), ("pool, killed", local, args.kills)]
        if importlib.util.find_spec("distributed") is not None:
            from distributed import LocalCluster

            cluster = LocalCluster(n_workers=args.jobs, threads_per_worker=1, dashboard_address=None)
            stack.enter_context(cluster)
            runs.append(("Dask, killed", ["--scheduler", cluster.scheduler_address], args.kills))
        for n, (name, options, kills) in enumerate(runs):
            seconds, found, digest = run(args.sweep, folder / str(n), options, kills, points)
            table.add_row(name, f"{seconds:.1f}", ", ".join(map(str, found)), digest[:16])
            digests.add(digest)
    Console().print(table)
    print(f"{points} points")
    sys.exit(len(digests) != 1)


if __name__ == "__main__":
    main()
