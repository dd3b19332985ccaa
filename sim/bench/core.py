"""The bench of a core: its text, and its simulator."""

from importlib import resources
from pathlib import Path

from einloom.isa import UNITS
from einloom.manifest import Manifest
from generators.design import Design
from sim.verilator import Toolchain

CORE_BENCH = "core_bench"
AXI_MEMORY = "axi_memory.sv"
PORTS = (
    "clk",
    "rst",
    "start",
    "operation",
    "writes",
    "reads_from",
    "reads",
    "memory",
    "file_offset",
    "file_bytes",
    "latency",
    "bandwidth",
    "seed",
    "stall",
    "interleave",
    "error_read",
    "error_write",
    "error_memory",
    "abort_at",
    "reset_at",
    "tracing",
    "limit",
    "done",
    "timed_out",
    "cycles",
    "was_reset",
    "escaped",
    "violations",
)
READ_CHANNELS = ("ar", "r")
WRITE_CHANNELS = ("aw", "w", "b")
SEPARATE = ("fusemax_pe", "vector_lane", "integer_to_float")
"""Modules that are compiled once: large ones, of which there are many."""
SEPARATE_PES = 64
"""GEMM PEs above which theirs is one of those."""
SMALLEST_MEMORY = 1 << 16
"""Beats; memories are powers of two, so that models of about the same size share a simulator."""


def memory_beats(beats: int) -> int:
    """Beats of the memory that holds an image of `beats`."""
    return max(SMALLEST_MEMORY, 1 << max(beats - 1, 0).bit_length())


def build_core(design: Design, beats: list[int], *, waves: bool = False) -> Path:
    """The executable that simulates the core `design` with memories of so many beats each, the system's first."""
    manifest = design.manifest
    assert manifest.gemm is not None
    sources = {
        "design.v": design.verilog,
        f"{CORE_BENCH}.sv": _bench_text(manifest, beats),
        AXI_MEMORY: (resources.files("sim.bench") / AXI_MEMORY).read_text(),
    }
    pes = [m for m in manifest.modules if m.endswith("_pe")]
    small = manifest.gemm.rows * manifest.gemm.columns <= SEPARATE_PES
    separate = [m for m in manifest.modules if m in SEPARATE or (m in pes and not small)]
    return Toolchain().build(sources, CORE_BENCH, PORTS, waves=waves, separate=separate)


def _bench_text(manifest: Manifest, beats: list[int]) -> str:
    assert manifest.core is not None
    assert manifest.gemm is not None
    widths = {port.name: port.width for port in manifest.ports}
    names = ["system", *(f"weights{c}" for c in range(manifest.gemm.weights.channels))]
    registers = {r.name: r.offset for r in manifest.core.registers}
    values = {
        "top": manifest.top,
        "beat_bits": manifest.gemm.weights.beat_bits,
        "channels": manifest.gemm.weights.channels,
        "system_id_bits": widths["m_axi_system_arid"],
        "units": len(UNITS),
        "abort": registers["abort"],
        "memories": "\n".join(
            _memory(n, name, size, widths) for n, (name, size) in enumerate(zip(names, beats, strict=True))
        ),
        "ports": "\n    ".join(_connections(manifest, names)),
        "escaped": " + ".join(f"64'(escapes[{n}]) + 64'(strays[{n}])" for n in range(len(names))),
        "violations": " + ".join(f"64'(breaks[{n}])" for n in range(len(names))),
        "indices": "\n  ".join(f"assign index[{n}] = core.machine.indices__{n};" for n in range(len(UNITS))),
    }
    text = (resources.files("sim.bench") / f"{CORE_BENCH}.sv").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _connections(manifest: Manifest, names: list[str]) -> list[str]:
    """The core's memory ports on the wires of the memories."""
    return [
        f".{port.name}({port.name}),"
        for port in manifest.ports
        if any(port.name.startswith(f"m_axi_{name}_") for name in names)
    ]


def _memory(number: int, name: str, size: int, widths: dict[str, int]) -> str:
    """The wires of a port, and the memory behind it; channels that the port does not have are tied off."""
    prefix = f"m_axi_{name}_"
    wires = [f"wire [{width - 1}:0] {port};" for port, width in widths.items() if port.startswith(prefix)]
    slave = {
        signal: f"{prefix}{signal}"
        for signal in (p.removeprefix(prefix) for p in widths if p.startswith(prefix))
        if not signal.endswith(("cache", "prot"))
    }
    if "awvalid" not in slave:
        slave |= {"awvalid": "1'b0", "wvalid": "1'b0", "bready": "1'b1", "awid": "'0", "awaddr": "'0", "awlen": "'0"}
        slave |= {"awsize": "'0", "awburst": "'0", "wdata": "'0", "wstrb": "'0", "wlast": "1'b0"}
        slave |= dict.fromkeys(("awready", "wready", "bvalid", "bid", "bresp"), "")
    connections = ",\n    ".join(f".s_axi_{signal}({wire})" for signal, wire in slave.items())
    return f"""
  {" ".join(wires)}
  axi_memory #(
    .DATA_BITS(BEAT), .ID_BITS({widths[prefix + "arid"]}), .SIZE({size}), .NUMBER({number})
  ) memory_{number} (
    .clk(clk), .rst(core_rst), .latency(latency), .bandwidth(bandwidth), .seed(seed), .stall(stall),
    .interleave(interleave), .error_read(error_memory == {number} ? error_read : 0),
    .error_write(error_memory == {number} ? error_write : 0), .restart(restarts),
    .load(loads && memory == {number}), .dump(dumps && memory == {number}),
    .file_offset(file_offset), .file_bytes(file_bytes),
    .window_base(core.registers.{name}_base), .window_size(core.registers.{name}_size),
    .read_beats(), .write_beats(), .read_bursts(), .write_bursts(),
    .escaped(escapes[{number}]), .strayed(strays[{number}]), .violations(breaks[{number}]),
    {connections}
  );"""
