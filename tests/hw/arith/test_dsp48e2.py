"""Dsp48e2: its model beside numbers, and beside the cell model of the older DSP48E1 that Yosys brings."""

import random
import subprocess
from pathlib import Path

import pytest

from einloom.generators.emit import SharedModules
from einloom.hw.arith.dsp48e2 import A_BITS, B_BITS, OPERAND_CYCLES, P_BITS, Dsp48e2, Dsp48e2Model
from einloom.hw.primitive import Primitive
from einloom.sim.bench.part_bench import PartBench

MASK = (1 << P_BITS) - 1
CYCLES = 400
KINDS = {
    "first": {"cascaded": False, "accumulates": False, "constant": 0},
    "rounds": {"cascaded": True, "accumulates": False, "constant": -5},
    "sums": {"cascaded": False, "accumulates": True, "constant": 1 << 20},
    "sums what comes": {"cascaded": True, "accumulates": True, "constant": 1 << 47},
}


def signed_number(rng: random.Random, bits: int) -> int:
    """Half of them are corners."""
    lowest, highest = -(1 << bits - 1), (1 << bits - 1) - 1
    return rng.choice([lowest, highest, -1, 0, 1, *(rng.randint(lowest, highest) for _ in range(5))])


def stimulus(kind: dict[str, object], a_bits: int = A_BITS) -> dict[str, list[int]]:
    """Operands whose difference fits the pre-adder of `a_bits`."""
    rng = random.Random(len(str(kind)))
    rows: dict[str, list[int]] = {"a": [], "b": [], "d": []}
    for _ in range(CYCLES):
        a, d = signed_number(rng, a_bits - 1), signed_number(rng, a_bits - 1)
        rows["a"].append(a)
        rows["d"].append(d)
        rows["b"].append(signed_number(rng, B_BITS))
    if kind["cascaded"]:
        rows["pcin"] = [rng.getrandbits(P_BITS) for _ in range(CYCLES)]
    if kind["accumulates"]:
        rows["restart"] = [int(rng.random() < 0.2) for _ in range(CYCLES)]
        rows["enable"] = [int(rng.random() < 0.7) for _ in range(CYCLES)]
    return rows


def results(kind: dict[str, object], rows: dict[str, list[int]]) -> list[int | None]:
    """The value of `p` in each cycle, from the definition."""
    found: list[int | None] = [None] * (OPERAND_CYCLES + 1)
    result, is_known = 0, not kind["accumulates"]
    for n in range(OPERAND_CYCLES, CYCLES - 1):
        then = n - OPERAND_CYCLES
        added = (rows["d"][then] - rows["a"][then]) * rows["b"][then]
        added += rows["pcin"][n] if kind["cascaded"] else 0
        if not kind["accumulates"]:
            result = added + int(str(kind["constant"]))
        elif rows["enable"][n]:
            restarts = rows["restart"][n - 1]
            is_known |= bool(restarts)
            result = added + (int(str(kind["constant"])) if restarts else result)
        found.append(result & MASK if is_known else None)
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("part", [Dsp48e2, Dsp48e2Model])
def test_the_model_multiplies_and_adds(part: type, name: str) -> None:
    rows = stimulus(KINDS[name])
    expected = results(KINDS[name], rows)
    PartBench(part(**KINDS[name]), held=rows, tail=0).check(lambda _: {"p": expected, "pcout": expected})


def test_a_primitive_is_itself_for_synthesis_and_a_model_otherwise() -> None:
    part: Primitive = Dsp48e2(**KINDS["rounds"])
    text = SharedModules().emit(part, "dut")
    instance, model = text.partition("`ifdef SYNTHESIS")[2].partition("`endif")[0].split("`else")
    assert f" {part.cell} #(" in instance
    assert "dsp48e2_model model (" in model
    assert text.count(part.cell) == 1


CELL_BITS = 25
"""The pre-adder of the older DSP48E1."""
WRAPPER = """
// A DSP48E2 by the older cell: the adder's fourth input, W, which that one lacks, is an adder behind it.
module DSP48E2 #(parameter integer AREG=1, ACASCREG=1, BREG=1, BCASCREG=1, DREG=1, ADREG=1, MREG=1, PREG=1, OPMODEREG=1,
  ALUMODEREG=1, CREG=1, CARRYINREG=1, CARRYINSELREG=1, INMODEREG=1, parameter AMULTSEL="A", parameter [47:0] RND=0,
  parameter [8:0] IS_OPMODE_INVERTED=0) (
  input CLK, input [29:0] A, ACIN, input [17:0] B, BCIN, input [26:0] D, input [47:0] C, PCIN, input [4:0] INMODE,
  input [3:0] ALUMODE, input [8:0] OPMODE, input [2:0] CARRYINSEL, input CEA1, CEA2, CEB1, CEB2, CEC, CED, CEAD, CEM,
  CEP, CECTRL, CEALUMODE, CECARRYIN, CEINMODE, CARRYCASCIN, CARRYIN, MULTSIGNIN, RSTA, RSTALLCARRYIN, RSTALUMODE, RSTB,
  RSTC, RSTCTRL, RSTD, RSTINMODE, RSTM, RSTP, output reg [47:0] P, output [47:0] PCOUT);
  wire [47:0] sum;
  reg [1:0] w;
  DSP48E1 #(.AREG(AREG), .ACASCREG(ACASCREG), .BREG(BREG), .BCASCREG(BCASCREG), .DREG(DREG), .ADREG(ADREG), .MREG(MREG),
    .PREG(0), .OPMODEREG(OPMODEREG), .ALUMODEREG(ALUMODEREG), .CREG(CREG), .CARRYINREG(CARRYINREG),
    .CARRYINSELREG(CARRYINSELREG), .INMODEREG(INMODEREG), .USE_DPORT(AMULTSEL == "AD" ? "TRUE" : "FALSE")) cell_ (
    .CLK(CLK), .A(A), .ACIN(ACIN), .B(B), .BCIN(BCIN), .D(D[24:0]), .C(C), .PCIN(PCIN), .INMODE(INMODE),
    .ALUMODE(ALUMODE), .OPMODE(OPMODE[6:0]), .CARRYINSEL(CARRYINSEL), .CEA1(CEA1), .CEA2(CEA2), .CEB1(CEB1),
    .CEB2(CEB2), .CEC(CEC), .CED(CED), .CEAD(CEAD), .CEM(CEM), .CEP(CEP), .CECTRL(CECTRL), .CEALUMODE(CEALUMODE),
    .CECARRYIN(CECARRYIN), .CEINMODE(CEINMODE), .CARRYCASCIN(CARRYCASCIN), .CARRYIN(CARRYIN), .MULTSIGNIN(MULTSIGNIN),
    .RSTA(RSTA), .RSTALLCARRYIN(RSTALLCARRYIN), .RSTALUMODE(RSTALUMODE), .RSTB(RSTB), .RSTC(RSTC), .RSTCTRL(RSTCTRL),
    .RSTD(RSTD), .RSTINMODE(RSTINMODE), .RSTM(RSTM), .RSTP(RSTP), .P(sum));
  always @(posedge CLK) w <= OPMODE[8:7] ^ IS_OPMODE_INVERTED[8:7];
  wire [47:0] fourth = w == 2'b01 ? P : w == 2'b10 ? RND : w == 2'b11 ? C : 48'd0;
  always @(posedge CLK) if (CEP) P <= sum + fourth;
  assign PCOUT = P;
endmodule
"""


@pytest.mark.parametrize("name", KINDS)
def test_the_instance_does_what_the_model_does(name: str, tmp_path: Path) -> None:
    """With the macro SYNTHESIS, in Icarus Verilog, on Yosys' cell model, all operands and results of a random run."""
    pyosys = pytest.importorskip("pyosys", reason="pyosys is not installed: pip install einloom[synth]")
    kind = KINDS[name]
    rows = stimulus(kind, CELL_BITS)
    expected = results(kind, rows)
    part = Dsp48e2(**kind)
    widths = {"a": A_BITS, "b": B_BITS, "d": A_BITS, "pcin": P_BITS, "restart": 1, "enable": 1}
    lines = ["".join(f"{rows[p][n] & (1 << widths[p]) - 1:0{widths[p]}b}" for p in rows) for n in range(CYCLES)]
    (tmp_path / "rows.mem").write_text("\n".join(lines) + "\n")
    total = sum(widths[p] for p in rows)
    bench = f"""
module bench;
  reg clk = 0;
  reg [{total - 1}:0] rows [0:{CYCLES - 1}];
  reg [{total - 1}:0] row;
  wire [47:0] p;
  integer n;
  {"".join(f"wire [{widths[p] - 1}:0] {p}; " for p in rows)}
  assign {{{", ".join(rows)}}} = row;
  dut dut(.clk(clk), .rst(1'b0), {", ".join(f".{p}({p})" for p in rows)}, .p(p), .pcout());
  initial begin
    $readmemb("rows.mem", rows);
    for (n = 0; n < {CYCLES}; n = n + 1) begin
      row = rows[n];
      #1 $display("%0d", p);
      clk = 1; #1 clk = 0;
    end
  end
endmodule
"""
    cells = (Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v").read_text()
    cell = cells[cells.index("module DSP48E1 (") :]
    (tmp_path / "cell.v").write_text(cell[: cell.index("endmodule") + len("endmodule\n")] + WRAPPER)
    (tmp_path / "dut.v").write_text(SharedModules().emit(part, "dut") + bench)
    subprocess.run(
        ["iverilog", "-g2012", "-DSYNTHESIS", "-o", "bench", "-s", "bench", "cell.v", "dut.v"], cwd=tmp_path, check=True
    )
    found = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    compared = [(n, int(f), e) for n, (f, e) in enumerate(zip(found, expected, strict=True)) if e is not None]
    assert len(compared) > CYCLES // 2
    assert [(n, f) for n, f, _ in compared] == [(n, e) for n, _, e in compared]
