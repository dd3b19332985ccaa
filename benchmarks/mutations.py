"""Designs with random single-point faults, all in one Verilog text and each chosen by a number at run time.

Yosys picks faults in the netlist, which is not flattened (`mutate -list`), and builds each in behind a comparison
with the number (`mutate -ctrl`). A fault in a module is in all its instances.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from einloom.fpga.yosys import run_passes
from einloom.generators import emit
from einloom.generators.design import Design
from einloom.generators.registry import generate_all
from einloom.spec.config import Config
from einloom.spec.manifest import Manifest

CONTROL = "mutant"
"""Port of the benches that chooses a fault; 0 chooses none."""
CONTROL_BITS = 16
SELECTION = "t:$meminit* %n"
"""Cells that faults are in: all but the contents of tables, which Yosys wants to be constant."""
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """A fault.

    Attributes
    ----------
    number : the value of the port `mutant` that makes it active; 1 and more.
    seed : of the random choice.
    mode : what happens to the bit: it is inverted (`inv`), constant (`const0`, `const1`), or inverted when another bit
        of its port is 0 or 1 (`cnot0`, `cnot1`).
    module, cell, port, bit : the bit.
    wire : the named wire that the bit belongs to, if any.
    source : the line in Python that the cell comes from.
    options : all of this, as Yosys takes it.
    """

    number: int
    seed: int
    mode: str
    module: str
    cell: str
    port: str
    bit: int
    wire: str
    source: str
    options: str

    def __str__(self) -> str:
        wire = f", wire {self.wire}" if self.wire else ""
        return f"{self.mode} of {self.module} {self.cell}.{self.port}[{self.bit}]{wire}, {self.source}"


@dataclass(frozen=True)
class Mutants:
    """A design with faults; with none active it is the design that they were planted in."""

    design: Design
    mutants: tuple[Mutant, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of a fault: the `case` in which a bench caught it, and how it showed itself there or otherwise."""

    case: str | None = None
    shown: str | None = None


@contextmanager
def sources_kept() -> Iterator[None]:
    """In the block, Verilog is generated with attributes that name the lines in Python."""
    script = emit._SCRIPT.replace(" -remove src", "").replace(" -noattr", "")
    with patch.object(emit, "_SCRIPT", script), patch.object(emit, "convert", partial(emit.convert, sources=True)):
        yield


def design_with_sources(config: Config) -> Design:
    """The first design of a config: its engine or its core."""
    with sources_kept():
        return generate_all(config)[0]


def plant(design: Design, bench: str, seeds: Sequence[int], count: int) -> Mutants:
    """`count` faults for each of `seeds`, in a design for the bench whose module is `bench`."""
    top = design.manifest.top
    listing = [
        line for seed in seeds for line in (f"log of seed {seed}", f"mutate -list {count} -seed {seed} {SELECTION}")
    ]
    # Without SYNTHESIS primitives of the FPGA are the models that simulators take.
    read = ["read_verilog -sv -nosynthesis design.v", f"hierarchy -check -top {top}", "proc", "opt_clean"]
    netlist, log = run_passes([*read, *listing, "write_rtlil netlist.il"], {"design.v": design.verilog}, "netlist.il")
    mutants = tuple(_mutants(log, top, design.verilog.splitlines()))
    faults = [f"mutate {m.options} -ctrl {CONTROL} {CONTROL_BITS} {m.number}" for m in mutants]
    write = "write_verilog -noattr mutated.v"
    text, _ = run_passes(["read_rtlil netlist.il", *faults, write], {"netlist.il": netlist}, "mutated.v")
    return Mutants(Design(_controlled(text, design.manifest, bench), design.manifest), mutants)


def _mutants(log: str, top: str, lines: Sequence[str]) -> Iterator[Mutant]:
    """The faults that Yosys listed; one that a seed before has chosen too is left out."""
    seed, taken = 0, set()
    for line in log.splitlines():
        if marked := re.fullmatch(r"of seed (\d+) *", line):
            seed = int(marked[1])
        if not line.startswith("mutate -mode"):
            continue
        words = line.split()[1:]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        options = {name.removeprefix("-"): value for name, value in pairs if name != "-src"}
        place = " ".join(f"{name} {value}" for name, value in pairs if name not in ("-src", "-wire", "-wirebit"))
        if place in taken:
            continue
        taken.add(place)
        yield Mutant(
            number=len(taken),
            seed=seed,
            mode=options["mode"],
            module=options["module"].removeprefix(f"{top}_"),
            cell=options["cell"].rpartition("/")[2],
            port=options["port"],
            bit=int(options["portbit"]),
            wire=f"{options['wire']}[{options['wirebit']}]" if "wire" in options else "",
            source=_source([value for name, value in pairs if name == "-src"], lines),
            options=place,
        )


def _source(places: Sequence[str], lines: Sequence[str]) -> str:
    """The most telling of some places, from the root of the repository on.

    This is the last one in Python, but for that where all instances are made. What Yosys made by itself, such as a
    multiplexer, has a place in the Verilog alone: the line in Python is then that of the text before it.
    """
    python = [place for place in places if ".py:" in place and "generators/emit.py" not in place]
    if not python:
        verilog = re.findall(r"design\.v:(\d+)", places[-1]) if places else []
        before = "\n".join(lines[max(0, int(verilog[0]) - 40) : int(verilog[0])]) if verilog else ""
        python = [f"near {place}" for place in re.findall(r'src = "([^"]+\.py:\d+)', before)[-1:]]
    found = (python or list(places) or ["unknown"])[-1].rpartition("|")[2]
    return found.replace(f"{ROOT}/einloom/", "").replace(f"{ROOT}/", "")


def _controlled(text: str, manifest: Manifest, bench: str) -> str:
    """The Verilog whose top takes the number of the active fault from the bench instead of from a port.

    It gives the bench a signature of all that leaves its ports: of streams and addresses only what is valid.
    """
    start = text.index(f"\nmodule {manifest.top}(")
    end = text.index("endmodule\n", start)
    bits = f"[{CONTROL_BITS - 1}:0] {CONTROL};\n"
    heading, body = text[start:end].split(";\n", 1)
    heading = re.sub(rf", {CONTROL}\b|\b{CONTROL}, ", "", heading)
    body = body.replace(f"  input {bits}", "").replace(f"  wire {bits}", "")
    added = f"  wire {bits[:-2]} = {bench}.{CONTROL};\n{_signature(manifest, bench)}"
    return f"{text[:start]}{heading};\n{added}{body}{text[end:]}"


def _signature(manifest: Manifest, bench: str) -> str:
    outputs = {port.name: port.width for port in manifest.ports if port.direction == "output"}
    parts, bits = [], 0
    for name, width in outputs.items():
        guard = _guard(name, outputs)
        value = _strobed(name, outputs)
        parts.append(f"{guard} ? {value} : {width}'d0" if guard else value)
        bits += width
    padding = -bits % 64
    seen = ", ".join([f"{padding}'d0"] * (padding > 0) + [f"({part})" for part in parts])
    return f"""  wire [{bits + padding - 1}:0] mutation_seen = {{ {seen} }};
  reg [63:0] mutation_hash;
  integer mutation_word;
  always @(posedge clk) begin
    mutation_hash = rst ? 64'd0 : {bench}.signature;
    for (mutation_word = 0; mutation_word < {bits + padding}; mutation_word = mutation_word + 64)
      mutation_hash = ((mutation_hash ^ mutation_seen[mutation_word +: 64]) * 64'h9e3779b97f4a7c15)
        ^ (mutation_hash >> 29);
    {bench}.signature <= mutation_hash;
  end
"""


def _strobed(name: str, outputs: Mapping[str, int]) -> str:
    """The output `name`, of which only the bytes with a strobe mean anything, if it has strobes."""
    strobes = re.sub(r"wdata$", "wstrb", name)
    if strobes == name or strobes not in outputs:
        return name
    masks = ", ".join(f"{{8{{{strobes}[{n}]}}}}" for n in reversed(range(outputs[strobes])))
    return f"({name} & {{ {masks} }})"


def _guard(name: str, outputs: Mapping[str, int]) -> str:
    """The output that says whether the output `name` means anything in this cycle; empty when it always does."""
    if name.startswith(("m_axi_", "s_axi_")):
        channel = re.match(r"[sm]_axi_\w+?_(ar|aw|w|r|b)(?=valid|ready|\w)", name)
        valid = f"{channel[0]}valid" if channel else ""
    else:
        valid = (
            re.sub(r"__payload$", "__valid", name)
            if name.endswith("__payload")
            else re.sub(r"_address$", "_read", name)
        )
    return valid if valid in outputs and valid != name and not name.endswith("ready") else ""
