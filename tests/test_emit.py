"""Shared-module emission: size, determinism, and acceptance by other tools."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pyslang
import pytest
from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import CombinationalCycle
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from einloom.catalogue import shipped_configs
from einloom.generators.emit import SharedModules
from einloom.generators.registry import generate
from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from einloom.sim.strategies import make_config
from einloom.sim.verilator import Toolchain
from einloom.spec.config import read_config
from einloom.spec.errors import InputError, ToolError
from einloom.spec.manifest import CoreManifest
from tests.cores import FLAGSHIPS

EXTRA = {
    "every-format": {
        "kind": "bitmod",
        "rows": 3,
        "columns": 4,
        "formats": ["bitmod-fp4", "bitmod-fp3", "int8", "int5"],
    },
    "fp16": {"kind": "bitmod", "rows": 2, "columns": 2, "activations": "fp16", "formats": ["bitmod-fp4", "int6"]},
    "lut-fp16": {"kind": "lut", "rows": 2, "columns": 2, "activations": "fp16", "formats": ["ternary", "int2"]},
    "one-pe": {"kind": "bitmod", "rows": 1, "columns": 1, "lanes": 1},
    "one-mac": {"kind": "int_mac", "rows": 1, "columns": 1, "lanes": 1},
    "spans": {"kind": "fusemax", "rows": 2, "columns": 8, "spans": 4, "max_head": 32, "max_keys": 8},
    "serial": {"kind": "fusemax", "rows": 4, "columns": 2, "max_head": 32, "max_keys": 64, "exponentials": "serial"},
    "one-key": {"kind": "fusemax", "rows": 1, "columns": 1, "max_head": 32, "max_keys": 1},
}
CONFIGS = {name: read_config(path) for name, path in shipped_configs().items()}
CONFIGS |= {name: make_config(engine) for name, engine in EXTRA.items()}


class Delay(Part):
    """A register of `bits`, for the tests below."""

    def __init__(self, bits: int):
        super().__init__({"i": In(bits), "o": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + 1)
        return m


class Twice(Part):
    """Two delays of one width and one of another."""

    def __init__(self, width: int):
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        value = self.i
        for n, bits in enumerate((self.width, self.width, self.width + 1)):
            stage = Delay(bits).place(m, f"stage_{n}", platform)
            m.d.comb += stage.i.eq(value)
            value = stage.o
        m.d.comb += self.o.eq(value)
        return m


def test_equal_parts_share_a_module_and_different_ones_do_not() -> None:
    shared = SharedModules()
    text = shared.emit(Twice(4), "top")
    assert list(shared.modules) == ["delay", "delay_2", "top"]
    assert shared.modules["top"].children == {"delay": 2, "delay_2": 1}
    assert text.count("endmodule") == 3
    assert shared.storage_bits("top") == (4 + 4 + 5, 0)


def test_parts_simulate_without_emission() -> None:
    part = Twice(4)
    seen = []

    async def bench(ctx):
        ctx.set(part.i, 3)
        for _ in range(4):
            await ctx.tick()
            seen.append(ctx.get(part.o))

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen[-1] == 6


class Chain(Part):
    """Adds its slice to what comes from the next copy."""

    def __init__(self, bits: int):
        super().__init__({"own": In(bits), "above": In(bits), "below": Out(bits), "echo": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.below.eq(self.own + self.above), self.echo.eq(self.own)]
        return m


def test_replicated_parts_slice_and_chain() -> None:
    part = Replicated(Chain(8), 3, sliced=("own", "echo"), chain=("above", "below"))
    values = (1, 2, 4)
    found = {}

    async def bench(ctx):
        ctx.set(part.own, sum(v << (8 * n) for n, v in enumerate(values)))
        ctx.set(part.above, 100)
        found["below"], found["echo"] = ctx.get(part.below), ctx.get(part.echo)

    simulator = Simulator(part)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == {"below": 107, "echo": 0x040201}


@pytest.mark.slow  # builds Verilator's library for this alone
def test_replicated_parts_slice_and_chain_in_verilog(tmp_path: Path) -> None:
    """A constant check in the Verilog, decided by Verilator's own evaluation."""
    text = SharedModules().emit(Replicated(Chain(8), 3, sliced=("own", "echo"), chain=("above", "below")), "chained")
    check = (
        "module check; wire [7:0] below; wire [23:0] echo;\n"
        "chained dut(.own(24'h040201), .above(8'd100), .below(below), .echo(echo));\n"
        'initial begin #1; if (below != 107 || echo != 24\'h040201) $fatal(1, "wrong"); $finish; end endmodule\n'
    )
    (tmp_path / "check.sv").write_text(text + check)
    tools = Toolchain()
    flags = ["--main", "--timing", "-Wno-fatal", "--prefix", "Vtop", "--top-module", "check", "-Mdir", "."]
    tools.run([tools.command, "-cc", "--exe", *flags, "check.sv"], tmp_path)
    tools.make(tmp_path, "Vtop", waves=False)
    subprocess.run([tmp_path / "Vtop"], check=True, capture_output=True)


def test_an_output_that_is_neither_sliced_nor_chained_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^output echo must be sliced or chained$"):
        Replicated(Chain(8), 3, sliced=("own",), chain=("above", "below"))


def test_modules_and_size_do_not_grow_with_the_array() -> None:
    designs = [generate(CONFIGS[f"bitmod-{n}x{n}"]) for n in (8, 64, 256)]
    modules = []  # all but the top, without the config's name
    for design in designs:
        prefix = f"{design.manifest.top}_"
        modules.append([name.removeprefix(prefix) for name in design.manifest.modules[:-1]])
    assert modules[0] == modules[1] == modules[2]
    assert all(len(design.verilog) < 3_000_000 for design in designs)


@pytest.mark.parametrize(
    ("size", "what"),
    [
        ({"rows": 1, "columns": 1024, "lanes": 16}, "a row of PEs"),
        ({"rows": 1024, "columns": 1, "lanes": 16}, "the activations"),
        ({"rows": 1, "columns": 512, "lanes": 16, "formats": ["int8"]}, "the gearbox"),
    ],
)
def test_designs_too_wide_to_write_are_explained(size: dict[str, object], what: str) -> None:
    config = make_config({"kind": "bitmod", **size})
    with pytest.raises(InputError, match=rf"^drawn: {what} would have [\d,]+ bits, more than the 65,536 that one"):
        generate(config)


def test_the_same_config_gives_the_same_bytes_in_another_process() -> None:
    program = (
        "import hashlib; from einloom.catalogue import load_config; from einloom.generators.registry import generate\n"
        "d = generate(load_config('bitmod-8x8'))\n"
        "print(hashlib.sha256((d.verilog + d.manifest.to_json()).encode()).hexdigest())"
    )
    ours = generate(CONFIGS["bitmod-8x8"])
    expected = hashlib.sha256((ours.verilog + ours.manifest.to_json()).encode()).hexdigest()
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


ALIKE = (
    *FLAGSHIPS,
    *("core-2ch", "core-4ch", "core-int8", "core-dsp", "bitmod-decode"),
    *("lut-w2", "lut-w4", "bitmod-256x256", "fusemax-256x256", "fusemax-16x16"),
)
"""Configs whose modules others have in other sizes: default, core-16x32, dsp-decode, lut-ternary, bitmod-64x64 and
fusemax-16x16-split."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in CONFIGS]
)
def test_verilator_lint_and_slang_report_nothing(name: str, tmp_path: Path) -> None:
    design = generate(CONFIGS[name])
    design.write(tmp_path)
    tools = Toolchain()
    source = tmp_path / design.manifest.verilog
    top = design.manifest.top
    # --lint-only goes on to flatten every instance, which takes half a minute at 64x64 and over 14 GB at 256x256;
    # --json-only makes the same checks and stops there (the test below).
    described = design.manifest.design
    engine = described.gemm if isinstance(described, CoreManifest) else described
    small = engine.rows * engine.columns <= 1024 and not design.manifest.is_core
    mode = "--lint-only" if small else "--json-only"
    tools.run([tools.command, mode, "-Wall", "--top-module", top, "-Mdir", "obj", str(source)], tmp_path)
    assert slang_accepts(source)


def slang_accepts(source: Path) -> bool:
    """True when the slang command line would report nothing."""
    driver = pyslang.driver.Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(f"slang -Werror {source}")
    assert driver.processOptions()
    assert driver.parseAllSources()
    return bool(driver.runFullCompilation(True))


def test_the_quick_lint_finds_what_the_full_one_finds(tmp_path: Path) -> None:
    text = generate(CONFIGS["one-pe"]).verilog
    (tmp_path / "raw.v").write_text("\n".join(line for line in text.splitlines() if "lint_off" not in line))
    found = []
    for mode in ("--lint-only", "--json-only"):
        with pytest.raises(ToolError) as caught:
            Toolchain().run([Toolchain().command, mode, "-Wall", "-Mdir", "obj", "raw.v"], tmp_path)
        found.append(str(caught.value))
    assert "Warning" in found[0]
    assert found[0] == found[1]


def test_slang_objects_to_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.v").write_text("module wrong(input a, output b); assign b = c; endmodule\n")
    assert not slang_accepts(tmp_path / "wrong.v")


def test_the_manifest_names_the_ports_that_the_verilog_has() -> None:
    design = generate(CONFIGS["every-format"])
    names = {port.name: port.width for port in design.manifest.ports}
    assert names["weights__0__payload"] == 256
    assert names["activations"] == 3 * 4 * 8
    assert names["sums__payload"] == 4 * design.manifest.gemm.sums.value_bits
    assert sum(design.manifest.gemm.job.model_dump().values()) == names["job__payload"]
    assert {"clk", "rst", "job__valid", "sums__ready", "idle"} <= set(names)


class Ring(Part):
    """Logic in a circle: a wire that is the `how` of itself and an input."""

    def __init__(self, how: str):
        super().__init__({"a": In(4), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        ring = Signal(4)
        made = {
            "sum": ring + self.a,
            "and": ring & self.a,
            "shift": self.a << ring[:2],
            "choice": Mux(ring[0], self.a, 0),
            "rotation": Cat(ring[1:], self.a[0]),  # no circle: each bit comes from another one, the last from outside
        }
        m.d.comb += [ring.eq(made[self.how]), self.o.eq(ring)]
        return m


@pytest.mark.parametrize("how", ["sum", "and", "shift", "choice"])
def test_logic_in_a_circle_is_refused(how: str) -> None:
    with pytest.raises(CombinationalCycle, match="signal ring bit"):
        SharedModules().emit(Ring(how), "ring")


def test_a_vector_whose_bits_depend_on_one_another_in_order_is_no_circle() -> None:
    assert "module ring" in SharedModules().emit(Ring("rotation"), "ring")
