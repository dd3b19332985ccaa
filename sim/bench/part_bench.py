"""A bench for any part with streams, from its signature alone.

    bench = PartBench(SumWords(4, 26, 4), {"sums": beats}, held={"tokens": 2, ...}, pauses={"words": 0.5})
    bench.check(lambda inputs: {"words": [...]})

Amaranth's simulator needs no build, so a small part answers in a fraction of a second. `backend="verilator"` runs the
same streams on the emitted Verilog.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from amaranth import Cat, ClockDomain, Module, Signal
from amaranth.sim import Simulator

from einloom.generators.emit import SharedModules
from einloom.hw.part import Part
from einloom.sim.bench.part_ports import Port, decode, encode, ports_of, shown
from einloom.sim.bench.part_session import Mismatch, Pause, Session
from einloom.sim.engine_benches import run_cocotb
from einloom.sim.verilator import Toolchain

MODULE = "einloom.sim.bench.cocotb_streams"
STIMULUS, FOUND = "stimulus.json", "found.json"
Golden = Callable[[Mapping[str, list[Any]]], Mapping[str, Sequence[Any] | None]]
"""Function from the payloads of input streams to those of output streams, and to values of plain outputs by cycle. A
payload of None is any value; None instead of a stream's payloads is any number of them. A stream that is left out gives
nothing."""
Partner = Callable[["Cycle"], None]


@dataclass(frozen=True)
class Run:
    """Words, cycles and traces that a run found.

    Attributes
    ----------
    outputs : payloads of each output stream.
    cycles : cycles in which those payloads were taken.
    traces : the value of each watched plain output in each cycle.
    """

    outputs: dict[str, list[Any]]
    cycles: dict[str, list[int]]
    traces: dict[str, list[Any]]


class PartBench:
    """Runs one part; the simulator is built once for a part and used again by other benches of the same object.

    Parameters
    ----------
    part : the part; its streams and plain ports have flat names, such as `requests_1` or `write_token`.
    inputs : payloads of input streams; those without any offer nothing.
    held : values of plain inputs: a payload, a list of them by cycle of which the last one holds, or a function of the
        cycle's number; 0 for others.
    pauses : pauses of input and output streams, by name.
    partners : called at the end of each cycle: what stands around the part and answers it.
    watch : plain outputs whose values are recorded.
    seed : seed of the pauses.
    limit : cycles after which a run without an end fails.
    tail : cycles behind the end, in which nothing may come.
    cycles : least number of cycles to run.
    optional : input streams whose payloads need not be taken.
    until : condition that must hold before the end as well, as partners see it.
    backend : "pysim", or "verilator", which takes neither functions nor partners and watches nothing.
    """

    def __init__(
        self,
        part: Part,
        inputs: Mapping[str, Sequence[Any]] | None = None,
        *,
        held: Mapping[str, Any] | None = None,
        pauses: Mapping[str, Pause] | None = None,
        partners: Sequence[Partner] = (),
        watch: Sequence[str] = (),
        seed: int = 1,
        limit: int = 5_000,
        tail: int = 20,
        cycles: int = 0,
        optional: Sequence[str] = (),
        until: Callable[[], bool] | None = None,
        backend: str = "pysim",
    ) -> None:
        part._MustUse__used = True  # when its stimulus is refused, it is no forgotten part
        self.part = part
        self.streams, self.plain = ports_of(part)
        self.inputs = {name: [] for name, s in self.streams.items() if s.is_input}
        self.pauses = dict(pauses or {})
        self.partners, self.watch, self.optional = tuple(partners), tuple(watch), tuple(optional)
        self.until = until
        self.seed, self.limit, self.tail, self.cycles, self.backend = seed, limit, tail, cycles, backend
        for name, payloads in (inputs or {}).items():
            self.inputs[self._known(name, self.inputs, "input stream")] = list(payloads)
        driven = {name: port for name, port in self.plain.items() if port.is_input}
        self.held = {self._known(name, driven, "plain input"): value for name, value in (held or {}).items()}
        for name in (*self.pauses, *optional):
            self._known(name, self.streams, "stream")
        for name in self.watch:
            self._known(name, self.plain, "plain port")

    def _known(self, name: str, table: Mapping[str, object], kind: str) -> str:
        if name not in table:
            raise KeyError(f"{type(self.part).__name__} has no {kind} {name!r}; it has {', '.join(sorted(table))}")
        return name

    def check(self, golden: Golden) -> Run:
        """Run up to as many words as `golden` gives, and compare all of them; Mismatch for the first wrong one."""
        given = golden(self.inputs)
        free = {name: None for name, values in given.items() if values is None}
        expected = {name: list(values) for name, values in given.items() if values is not None}
        traces = [name for name in expected if name in self.plain]
        outputs = {name: s for name, s in self.streams.items() if not s.is_input}
        for name in given.keys() - set(traces):
            self._known(name, outputs, "output")
        wanted = {name: len(expected.get(name, ())) for name in outputs} | free
        least = max([self.cycles, *(len(expected[name]) for name in traces)])
        run = self.run(wanted, watch=(*self.watch, *traces), least=least)
        for name, stream in outputs.items():
            if name not in free:
                self._compare(name, stream.payload.shape, run.outputs[name], expected.get(name, []))
        for name in traces:
            self._compare(name, self.plain[name].shape, run.traces[name][: len(expected[name])], expected[name])
        return run

    def run(self, wanted: Mapping[str, int | None], *, watch: Sequence[str] = (), least: int = 0) -> Run:
        """Run until `wanted` words came out of each output stream, None for any number, and all input is taken."""
        feeds = {name: [self._word(name, p) for p in payloads] for name, payloads in self.inputs.items()}
        constant = {name: v for name, v in self.held.items() if not callable(v)}
        held = {name: self._values(name, value) for name, value in constant.items()}
        counts = {name: wanted.get(name, 0) for name, s in self.streams.items() if not s.is_input}
        sizes = {"seed": self.seed, "limit": self.limit, "tail": self.tail, "least": max(least, self.cycles)}
        sizes["optional"] = self.optional
        try:
            if self.backend == "verilator":
                words, cycles = self._verilate(feeds, counts, held, sizes)
                traces: dict[str, list[int]] = {}
            else:
                session = Session(feeds, counts, self.pauses, held, until=self.until, **sizes)
                traces = _Pysim.of(self.part).run(self, session, dict.fromkeys((*self.watch, *watch)))
                words = {name: drain.words for name, drain in session.drains.items()}
                cycles = {name: drain.cycles for name, drain in session.drains.items()}
        except Mismatch as found:
            raise type(found)(f"{self._what()}: {found}\n{self._again()}") from None
        outputs = {n: [decode(self.streams[n].payload.shape, w) for w in found] for n, found in words.items()}
        return Run(outputs, cycles, {n: [decode(self.plain[n].shape, v) for v in t] for n, t in traces.items()})

    def _word(self, name: str, payload: Any) -> int:
        return encode(self.streams[name].payload.shape, payload)

    def _values(self, name: str, value: Any) -> list[int]:
        by_cycle = value if isinstance(value, list) else [value]
        return [encode(self.plain[name].shape, one) for one in by_cycle]

    def _compare(self, name: str, shape: Any, found: list[Any], expected: list[Any]) -> None:
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            if other is not None and encode(shape, one) != encode(shape, other):
                wanted = shown(decode(shape, encode(shape, other)))
                raise Mismatch(
                    f"{self._what()}: {name}[{n}] of {len(expected)}: found {shown(one)}, expected {wanted}\n"
                    f"{self._again()}"
                )

    def _what(self) -> str:
        small = {key: value for key, value in self.part.parameters.items() if isinstance(value, int | tuple)}
        return f"{type(self.part).__name__}({', '.join(f'{k}={v}' for k, v in small.items())})"

    def _again(self) -> str:
        return f"again with seed={self.seed}, pauses={self.pauses}, backend={self.backend!r}"

    def _verilate(self, feeds, counts, held, sizes) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """The same streams through the emitted Verilog."""
        if self.partners or self.watch or self.until or any(callable(value) for value in self.held.values()):
            raise ValueError("Verilator runs streams and values; functions, partners and traces need pysim")
        ports = [p.verilog for s in self.streams.values() for p in (s.payload, s.valid, s.ready)]
        ports += [p.verilog for p in self.plain.values()]
        modules = SharedModules()
        text = modules.emit(self.part, "part_under_test")
        executable = Toolchain().build({"part.v": text}, "part_under_test", ["clk", "rst", *ports])
        names = {name: s.payload.verilog.removesuffix("__payload") for name, s in self.streams.items()}
        names |= {name: port.verilog for name, port in self.plain.items()}
        inputs = [name for name, port in self.plain.items() if port.is_input]
        pauses = {name: p if isinstance(p, float | int | str) else list(p) for name, p in self.pauses.items()}
        with tempfile.TemporaryDirectory(prefix="einloom-") as temporary:
            folder = Path(temporary)
            stimulus = {"feeds": feeds, "wanted": counts, "pauses": pauses, "held": held, **sizes}
            text = json.dumps({**stimulus, "names": names, "inputs": inputs})
            (folder / STIMULUS).write_text(text)
            run_cocotb(executable, folder, {"folder": temporary}, ("streams",), seed=self.seed, module=MODULE)
            found = json.loads((folder / FOUND).read_text())
        if "mismatch" in found:
            raise Mismatch(found["mismatch"])
        return found["words"], found["cycles"]


class Cycle:
    """The end of a cycle as partners see it: values of before the edge; what they set holds from the next cycle on."""

    def __init__(self, bench: PartBench, session: Session, plain: Mapping[str, int], valid: Mapping[str, int]) -> None:
        self._bench, self._session, self._plain, self._valid = bench, session, plain, valid
        self.number = session.cycle - 1

    def __getitem__(self, name: str) -> Any:
        """A plain port's value."""
        return decode(self._bench.plain[name].shape, self._plain[name])

    def valid(self, name: str) -> bool:
        """True when the stream `name` offered a word."""
        return bool(self._valid[name])

    def taken(self, name: str) -> Any:
        """The payload that went through the stream `name`, None if none did."""
        word = self._session.taken[name]
        return None if word is None else decode(self._bench.streams[name].payload.shape, word)

    def set(self, name: str, value: Any) -> None:
        """A plain input's value from the next cycle on."""
        self._session.held = {**self._session.held, name: self._bench._values(name, [value])}

    def put(self, name: str, *payloads: Any) -> None:
        """Payloads behind those that the input stream `name` has to offer."""
        self._session.feeds[name].words.extend(self._bench._word(name, payload) for payload in payloads)


class _Pysim:
    """Amaranth's simulator of one part, for one session after the other."""

    _kept: "WeakKeyDictionary[Part, _Pysim]" = WeakKeyDictionary()

    def __init__(self, part: Part) -> None:
        self.streams, self.plain = ports_of(part)
        self._bench: PartBench | None = None
        self._used = False
        feeds = [(name, s.ready) for name, s in self.streams.items() if s.is_input]
        drains = [(name, p) for name, s in self.streams.items() if not s.is_input for p in (s.valid, s.payload)]
        ports = [*feeds, *drains, *self.plain.items()]
        # All that is observed is one signal: sampling one costs as much Python for a bit as for a thousand.
        self._observed = Signal(sum(len(port.value) for _, port in ports))
        self._fields = _fields([port for _, port in ports])
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.part = part
        m.d.comb += self._observed.eq(Cat(port.value for _, port in ports))
        self._simulator = Simulator(m)
        self._simulator.add_clock(1e-6)
        # A process sets all ports before anything is evaluated; a testbench would settle the design for each of them.
        self._simulator.add_process(self._drive)

    @classmethod
    def of(cls, part: Part) -> "_Pysim":
        """The simulator of `part`, built if it is new."""
        if part not in cls._kept:
            cls._kept[part] = cls(part)
        return cls._kept[part]

    def run(self, bench: PartBench, session: Session, watch: Mapping[str, None]) -> dict[str, list[int]]:
        self._bench, self._session = bench, session
        self._watch: dict[str, list[int]] = {name: [] for name in watch}
        self._failure: BaseException | None = None
        if self._used:
            self._simulator.reset()
        self._used = True
        while not (session.over or self._failure):
            self._simulator.advance()
        if self._failure is not None:
            raise self._failure
        return self._watch

    async def _drive(self, ctx) -> None:
        last: dict[tuple[str, str], int] = {}
        try:
            self._set(ctx, last)
            async with aclosing(aiter(ctx.tick().sample(self._observed))) as ticks:
                async for _, _, observed in ticks:
                    self._edge(observed)
                    if self._session.over:
                        return
                    self._set(ctx, last)
        except BaseException as failure:
            self._failure = failure

    def _set(self, ctx, last: dict[tuple[str, str], int]) -> None:
        """Set the inputs of a cycle that are not what they were in the `last` one."""
        bench, session = self._bench, self._session
        assert bench is not None
        for name, value in bench.held.items():
            if callable(value):
                session.held = {**session.held, name: bench._values(name, [value(session.cycle)])}
        for name, member, value in session.drive():
            if last.get((name, member)) != value:
                last[name, member] = value
                port = getattr(self.streams[name], member) if member else self.plain[name]
                ctx.set(port.value, value)

    def _edge(self, observed: int) -> None:
        """The end of a cycle, with what was `observed` before it."""
        bench, session = self._bench, self._session
        assert bench is not None
        found = iter([observed >> offset & mask for offset, mask in self._fields])
        ready = {name: next(found) for name in session.feeds}
        offered = {name: (next(found), next(found)) for name in session.drains}
        seen = dict(zip(self.plain, found, strict=True))
        valid = {name: int(feed.offered) for name, feed in session.feeds.items()}
        session.edge(ready, offered)
        for name, trace in self._watch.items():
            trace.append(seen[name])
        if bench.partners:
            cycle = Cycle(bench, session, seen, valid | {name: v for name, (v, _) in offered.items()})
            for partner in bench.partners:
                partner(cycle)
        session.close()


def _fields(ports: Sequence[Port]) -> list[tuple[int, int]]:
    """(offset, mask) of each of `ports` in the concatenation of all."""
    widths = [len(port.value) for port in ports]
    return [(end - width, (1 << width) - 1) for width, end in zip(widths, accumulate(widths), strict=True)]
