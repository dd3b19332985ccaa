"""Synthesis by Yosys: sums over the hierarchy against flat netlists, logic depth, and the command."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from einloom.cli.main import make_app
from einloom.fpga import yosys
from einloom.fpga.netlist import cost, read_netlist
from einloom.fpga.recipes import ultrascale
from einloom.fpga.resources import Resources
from einloom.fpga.synthesise import Synthesis, synthesise
from einloom.spec.errors import InputError, ToolError

pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")

TINY = "name: tiny\nengine: {kind: bitmod, rows: 2, columns: 2, lanes: 2, group: 32}\nmemory: {beat_bits: 64}\n"

STAGES = 12  # of a chain of parts of a LUT each
COPIES = 5
_STEPS = "".join(
    f"  step step{n} (.a({f'w[{n}]' if n else 'from_register'}), .b(b[{n}]), .y(w[{n + 1}]));\n" for n in range(STAGES)
)


def memory(name: str, width: int, address: int) -> str:
    return f"""module {name}(clk, write, address, data, value);
  input clk;
  input write;
  input [{address - 1}:0] address;
  input [{width - 1}:0] data;
  output [{width - 1}:0] value;
  reg [{width - 1}:0] words [{2**address - 1}:0];
  reg [{width - 1}:0] value;
  always @(posedge clk) if (write) words[address] <= data;
  always @(posedge clk) value <= words[address];
endmodule

"""


# Parts of which each shows one thing; a path leads from a register of `top` through `cloud` to another of `top`.
PARTS = f"""module cloud(a, y);
  input [35:0] a;
  output y;
  assign y = ^a;
endmodule

module step(a, b, y);
  input a;
  input b;
  output y;
  assign y = a & b;
endmodule

module deep(clk, a, b, y);
  input clk;
  input a;
  input [{STAGES - 1}:0] b;
  output y;
  reg from_register;
  reg y;
  wire [{STAGES}:1] w;
{_STEPS}  always @(posedge clk) from_register <= a;
  always @(posedge clk) y <= w[{STAGES}];
endmodule

module cell(clk, drain_in, operand, drain_out);
  input clk;
  input [3:0] drain_in;
  input [3:0] operand;
  output [3:0] drain_out;
  reg [3:0] held;
  always @(posedge clk) held <= drain_in ^ operand;
  assign drain_out = held;
endmodule

module cell_array(
  input wire clk,
  input wire [3:0] drain_in,
  input wire [{4 * COPIES - 1}:0] operand,
  output wire [3:0] drain_out
);
  wire [3:0] chain [0:{COPIES}];
  assign chain[{COPIES}] = drain_in;
  assign drain_out = chain[0];
  genvar n;
  generate
    for (n = 0; n < {COPIES}; n = n + 1) begin : copy
      cell part(
        .clk(clk),
        .drain_in(chain[n + 1]),
        .operand(operand[n * 4 +: 4]),
        .drain_out(chain[n])
      );
    end
  endgenerate
endmodule

module mac(clk, clear, a, b, y);
  input clk;
  input clear;
  input signed [7:0] a;
  input signed [7:0] b;
  output signed [31:0] y;
  reg signed [7:0] x;
  reg signed [7:0] w;
  reg drop;
  reg signed [31:0] y;
  always @(posedge clk) begin
    x <= a;
    w <= b;
    drop <= clear;
    y <= (drop ? 32'sd0 : y) + x * w;
  end
endmodule

{memory("few", 32, 5)}{memory("some", 36, 10)}module top(clk, a, b, x, y, z);
  input clk;
  input [35:0] a;
  input [31:0] b;
  input [9:0] x;
  output [35:0] y;
  output [74:0] z;
  wire folded;
  reg [35:0] taken;
  reg last;
  always @(posedge clk) taken <= a;
  always @(posedge clk) last <= folded;
  cloud fold (.a(taken), .y(folded));
  deep chain_of_luts (.clk(clk), .a(last), .b(b[{STAGES - 1}:0]), .y(z[0]));
  cell_array cells (.clk(clk), .drain_in(a[3:0]), .operand(b[{4 * COPIES - 1}:0]), .drain_out(z[4:1]));
  mac dsp (.clk(clk), .clear(x[9]), .a(a[7:0]), .b(b[7:0]), .y(z[36:5]));
  few lutram (.clk(clk), .write(x[8]), .address(x[4:0]), .data(b[31:0]), .value(z[68:37]));
  some bram (.clk(clk), .write(x[7]), .address(x), .data(a), .value(y));
endmodule
"""


def run(verilog: str, top: str) -> Synthesis:
    return synthesise(verilog, top, ultrascale(), jobs=1)


@pytest.fixture(scope="module")
def parts() -> Synthesis:
    return run(PARTS, "top")


@pytest.fixture(scope="module")
def flat() -> Resources:
    """The same as one module."""
    recipe = ultrascale()
    passes = [*recipe.before, "read_verilog design.v", "hierarchy -top top", "proc", "flatten", *recipe.after]
    passes += ["select top", "write_json -selected netlist.json"]
    text, _ = yosys.run_passes(passes, {**recipe.files, "design.v": PARTS}, "netlist.json")
    return cost(read_netlist(json.loads(text)["modules"]["top"], {}), {})


def test_the_parts_of_a_design_add_up_to_its_flat_netlist(parts: Synthesis, flat: Resources) -> None:
    """All but the chain of LUTs, which only a flat netlist can shorten."""
    assert replace(parts.total, lut=0) == replace(flat, lut=0)
    assert 0 <= parts.total.lut - flat.lut <= STAGES
    assert parts.total == sum((part.own * part.copies for part in parts.parts), Resources())
    copies = {part.name: part.copies for part in parts.parts}
    assert (copies["cell"], copies["step"]) == (COPIES, STAGES)
    assert copies["cell_array"] == copies["cloud"] == 1


def test_paths_are_found_across_parts(parts: Synthesis) -> None:
    top, *_ = parts.parts
    [path] = top.paths
    assert (path.start.split("[")[0], path.end) == ("taken", "last")
    assert path.levels == next(part for part in parts.parts if part.name == "cloud").levels == 3


def test_a_deep_path_is_reported_with_its_levels_and_names(parts: Synthesis) -> None:
    [(name, path)] = parts.deepest()
    assert (name, path.levels, path.start, path.end) == ("deep", STAGES, "from_register", "y")


def test_a_loop_has_the_paths_between_its_copies(parts: Synthesis) -> None:
    loop = next(part for part in parts.parts if part.name == "cell_array")
    assert loop.children == {"cell": COPIES}
    assert (loop.own, loop.total.ff) == (Resources(), 4 * COPIES)
    assert re.fullmatch(r"copy\[4\]\.part\.held\[\d\]", loop.paths[0].start)
    assert loop.paths[0].levels == 1


def test_a_multiply_accumulate_is_one_dsp(parts: Synthesis) -> None:
    mac = next(part for part in parts.parts if part.name == "mac").total
    assert (mac.dsp, mac.lut) == (1, 0)
    assert mac.ff <= 1  # the register of `clear`


@pytest.mark.parametrize(("name", "home"), [("few", "lutram"), ("some", "blockram")])
def test_memories_land_where_their_sizes_say(parts: Synthesis, name: str, home: str) -> None:
    part = next(part for part in parts.parts if part.name == name)
    assert part.memories == {"words": home}
    assert part.own.bram36 == (1 if home == "blockram" else 0)


def call(*arguments: str) -> str:
    result = CliRunner().invoke(make_app(), ["synth", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def test_the_command_prints_one_object_and_the_second_run_comes_from_the_cache(config: str) -> None:
    first, second = (json.loads(call(config, "--json")) for _ in range(2))
    expected = {"target", "lut", "ff", "carry8", "dsp", "bram36", "uram", "levels", "cells", "area_um2", "parts"}
    assert expected <= first.keys()
    assert first["target"] == "u280"
    assert second["reused"] == len([p for p in second["parts"] if not p["name"].endswith("_array")])
    assert first["parts"] == second["parts"]
    top, *_ = first["parts"]
    for key in ("lut", "ff", "dsp"):
        assert first[key] == top["total"][key] == sum(p["own"][key] * p["copies"] for p in first["parts"])
    pe = next(p for p in first["parts"] if p["name"] == "bitmod_pe")
    assert pe["copies"] == 4
    table = call(config)
    assert "bitmod_pe" in table
    assert "share of u280" in table
    assert list(first["shares"]) == ["u280", "u280 less shell and 0 memory ports", "SLR0 less the same"]
    card, left, die = first["shares"].values()
    assert card["lut"] < left["lut"] < die["lut"] < 1


LIBRARY = """library(two) {
  cell(BUF) { area: 3; pin(A) { direction: input; } pin(Y) { direction: output; function: "A"; } }
  cell(NOT) { area: 1; pin(A) { direction: input; } pin(Y) { direction: output; function: "A'"; } }
  cell(NAND) { area: 2; pin(A) { direction: input; } pin(B) { direction: input; }
    pin(Y) { direction: output; function: "(A*B)'"; } }
  cell(DFF) { area: 5.5; ff(IQ, IQN) { clocked_on: C; next_state: D; }
    pin(C) { direction: input; clock: true; } pin(D) { direction: input; }
    pin(Q) { direction: output; function: "IQ"; } }
}
"""


def test_cells_of_a_library_are_counted_with_their_areas(config: str, tmp_path: Path) -> None:
    library = tmp_path / "two.lib"
    library.write_text(LIBRARY)
    figures = json.loads(call(config, "--target", "two", "--liberty", str(library), "--json"))
    assert figures["target"] == "two"
    assert figures["cells"] > 100
    assert figures["cells"] < figures["area_um2"] < 5.5 * figures["cells"]
    assert figures["lut"] == 0
    assert figures["levels"] > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "u28"], "--target u28: not a board.*did you mean 'u280'"),
        (["--target", "u280", "--liberty", "x.lib"], "is a board"),
        (["--target", "x", "--liberty", "missing.lib"], "missing.lib: cannot be read as a Liberty file"),
        (["--plot", "parts.txt"], r"name a file that ends in \.svg"),
    ],
)
def test_bad_arguments_are_explained(config: str, arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(config, *arguments)


def test_yosys_errors_are_passed_on() -> None:
    with pytest.raises(ToolError, match=r"ERROR: syntax error|ERROR"):
        run("module broken(a);\n  input a;\n  assign a = = 1;\nendmodule\n", "broken")


def test_without_pyosys_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ToolError, match=r'pip install "einloom\[synth\]"'):
        yosys.version()


def test_a_chart_is_written(config: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    call(config, "--plot", str(tmp_path / "parts.svg"))
    assert "bitmod_pe x 4" in (tmp_path / "parts.svg").read_text() or (tmp_path / "parts.svg").stat().st_size > 5000
