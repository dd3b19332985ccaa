"""Proofs of properties of Amaranth parts with Yosys and ABC, both from the package pyosys."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth import Cat, ClockDomain, Module, Mux, Signal, Value
from amaranth.back.rtlil import convert
from amaranth.lib.wiring import Component, In

SECONDS = 300  # a proof takes seconds; this is for a machine that is busy with other things
GOAL_CYCLES = 16  # in which what is to be reached must be reached, when runs may have any length

# An and-inverter graph of the design: its outputs are what must never happen, its latches begin with their init value.
_SCRIPT = """
read_rtlil {source}
hierarchy -top top
proc
flatten
async2sync
memory_map
opt_expr
opt_merge
opt_clean
simplemap
dffunmap
aigmap
opt_clean
write_aiger -zinit {graph}
"""
_RUN_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    design.run_pass(line) if line else None
"""


def abc() -> Path | None:
    """ABC's executable; None when the tools are missing."""
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        return None
    executable = Path(spec.origin).parent / "yosys-abc"
    return executable if executable.exists() else None


@dataclass(frozen=True)
class Verdict:
    """What a run found.

    Attributes
    ----------
    broken : properties that do not hold, with the cycle in which the shortest run that was found breaks them.
    unreached : conditions that should come true and don't.
    open : properties of which nothing was shown.
    """

    broken: dict[str, int]
    unreached: tuple[str, ...]
    open: tuple[str, ...] = ()


PROVED = Verdict({}, ())


@dataclass(frozen=True)
class Word:
    """A word that passes in the cycles in which `moves` is 1."""

    moves: Value
    payload: Value


@dataclass(frozen=True)
class Offer:
    """What offers a word and waits for it to be taken; streams and AXI channels alike."""

    valid: Value
    ready: Value
    payload: Value


class Proof:
    """A module under construction around one part, whose inputs may do anything in every cycle.

    Members
    -------
    m : the module; its one clock has no reset, so that every run begins in the state after a reset
    started : 0 in the first cycle
    """

    def __init__(self, part: Component):
        self.m = Module()
        self.m.domains.sync = self._clock = ClockDomain("sync", reset_less=True)
        self._ports: list[Value] = [self._clock.clk]
        self._assumptions: list[Value] = []
        self._properties: dict[str, Value] = {}
        self._reachable: set[str] = set()
        self.m.submodules.part = part
        for path, member, value in part.signature.flatten(part):
            if member.flow == In:
                self.m.d.comb += Value.cast(value).eq(self.free(len(Value.cast(value)), "_".join(map(str, path))))
        self.started = Signal()
        self.m.d.sync += self.started.eq(1)

    def free(self, shape, name: str) -> Signal:
        """A value that may change in every cycle."""
        signal = Signal(shape, name=f"free_{name}")
        self._ports.append(signal)
        return signal

    def past(self, value: Value, name: str) -> Signal:
        """The value in the previous cycle; 0 in the first."""
        before = Signal(len(Value.cast(value)), name=f"past_{name}")
        self.m.d.sync += before.eq(value)
        return before

    def assume(self, condition: Value) -> None:
        """Look only at runs in which the condition has held so far."""
        self._assumptions.append(condition)

    def check(self, what: str, condition: Value) -> None:
        """Demand the condition in every cycle."""
        assert what not in self._properties
        self._properties[what] = condition

    def reach(self, what: str, condition: Value) -> None:
        """Demand that the condition can come true: were it to be kept from that, the proofs would say little."""
        self.check(what, ~condition)
        self._reachable.add(what)

    def drop(self, what: str) -> None:
        """Take back a demand."""
        del self._properties[what]
        self._reachable.discard(what)

    def constant(self, value: Value, name: str) -> Value:
        """Whether a value has been the same in all cycles."""
        return ~self.started | (value == self.past(value, name))

    def stable(self, what: str, stream: Offer | Any, forgiven: Value | int = 0) -> Value:
        """Whether a stream's rules hold: an offered word stays and does not change until it is taken, or forgiven."""
        payload = Value.cast(stream.payload)
        waited = self.past(stream.valid & ~stream.ready & ~Value.cast(forgiven), f"{what}_waited")
        return ~waited | (stream.valid & (payload == self.past(payload, f"{what}_payload")))

    def queue(self, what: str, put: Word, take: Word, most: int, clear: Value | int = 0) -> Signal:
        """Demand that words come out in order and unchanged, none is lost and none invented; returns how many are in.

        Any one word may be watched on its way, so it is proved for all of them.
        """
        m = self.m
        mark = self.free(1, f"{what}_mark")
        watching = Signal(name=f"{what}_watching")
        value = Signal(len(Value.cast(put.payload)), name=f"{what}_value")
        ahead = Signal(range(most + 1), name=f"{what}_ahead")
        inside = Signal(range(most + 1), name=f"{what}_inside")
        m.d.sync += inside.eq(Mux(clear, 0, inside + put.moves - take.moves))
        with m.If(clear):
            m.d.sync += watching.eq(0)
        with m.Elif(put.moves & mark & ~watching):
            m.d.sync += [watching.eq(1), value.eq(put.payload), ahead.eq(inside - take.moves)]
        with m.Elif(watching & take.moves):
            m.d.sync += [watching.eq(ahead != 0), ahead.eq(ahead - 1)]
        self.check(f"{what} never holds more than {most}", ~put.moves | take.moves | (inside != most))
        self.check(f"{what} gives only what it was given", ~take.moves | (inside != 0))
        self.check(
            f"{what} keeps order and words",
            ~(watching & take.moves & (ahead == 0)) | (Value.cast(take.payload) == value),
        )
        return inside

    def run(self, folder: Path, depth: int | None = None) -> Verdict:
        """Look for runs that break a property: of any length, or of `depth` cycles."""
        source, graph = folder / "proof.il", folder / "proof.aig"
        checks = [name for name in self._properties if name not in self._reachable]
        goals = sorted(self._reachable)
        never = self._never([*checks, *goals])
        source.write_text(convert(self.m, name="top", ports=[*self._ports, never], emit_src=False))
        _run([sys.executable, "-c", _RUN_YOSYS], _SCRIPT.format(source=source, graph=graph))
        searched = _search(graph, 0, checks, depth)
        reached = _search(graph, len(checks), goals, depth or GOAL_CYCLES) if goals else _Log({}, set())
        proved = searched.proved if depth is None else set(checks) - set(searched.failed)
        return Verdict(
            broken=searched.failed,
            unreached=tuple(name for name in goals if name not in reached.failed),
            open=tuple(name for name in checks if name not in proved and name not in searched.failed),
        )

    def _never(self, names: list[str]) -> Signal:
        """A bit for each property that is 1 when it is broken while all assumptions have held."""
        allowed = Signal()
        broken = Signal()
        self.m.d.comb += allowed.eq(~broken & Cat(self._assumptions).all())
        self.m.d.sync += broken.eq(~allowed)
        never = Signal(len(names))
        self.m.d.comb += never.eq(Cat(allowed & ~Value.cast(self._properties[name]).any() for name in names))
        return never


@dataclass(frozen=True)
class _Log:
    failed: dict[str, int]
    proved: set[str]


def _search(graph: Path, first: int, names: list[str], depth: int | None) -> _Log:
    """What ABC finds about the outputs `first` and so on of a graph, by name."""
    method = "scorr; pdr -a" if depth is None else f"bmc3 -a -F {depth}"
    executable = abc()
    assert executable is not None
    commands = f"read_aiger {graph}; cone -O {first} -R {len(names)}; strash; {method}; print_status"
    log = _run([str(executable), "-c", commands], "")
    if re.search(rf"No output asserted in {depth} frames", log):
        return _Log({}, set())
    status = re.search(r"Status array contains (\d+) SAT, (\d+) UNSAT", log)
    assert status, log[-2000:]
    failed = {names[int(n)]: int(cycle) for n, cycle in re.findall(r"Output +(\d+) was asserted in frame +(\d+)", log)}
    proved = {names[int(n)] for n in re.findall(r"Proved output +(\d+) in frame", log)}
    assert (len(failed), len(proved)) == (int(status[1]), int(status[2])), log[-2000:]
    return _Log(failed, proved)


def _run(command: list[str], text: str) -> str:
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert result.returncode == 0, f"{command[0]}: {(result.stdout + result.stderr)[-2000:]}"
    return result.stdout
