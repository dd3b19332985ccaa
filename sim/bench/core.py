"""The bench of a core: its text, and its simulator."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from einloom.generators.design import Design
from einloom.sim.verilator import Toolchain, waves_suffix
from einloom.spec.isa import UNITS
from einloom.spec.manifest import Manifest

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
    "refresh_every",
    "refresh_for",
    "row_miss",
    "row_again",
    "interleave",
    "error_read",
    "error_write",
    "error_memory",
    "abort_at",
    "reset_at",
    "upset_at",
    "upset_memory",
    "upset_word",
    "upset_bit",
    "tracing",
    "limit",
    "mutant",
    "signature",
    "done",
    "timed_out",
    "cycles",
    "was_reset",
    "escaped",
    "violations",
)
WAVES_PORTS = ("waves_from", "waves_to")
"""Ports of a bench that can write waves."""
WAVES_PORTS_TEXT = """
    input  wire [63:0] waves_from,    // cycles, counted over all jobs, whose waves are written; none when both are 0
    input  wire [63:0] waves_to,"""
WAVES_TEXT = """
  reg [63:0] elapsed;  // cycles of all jobs
  always @(negedge clk) if (rst) elapsed <= 0; else if (running && waves_to != 0) begin
    if (elapsed == waves_from) begin
      $dumpfile("{file}");
      $dumpvars;
    end
    if (elapsed == waves_to) $c("vlSymsp->_traceDumpClose();");  // $dumpoff is ignored
    elapsed <= elapsed + 1;
  end"""
MEMORY = "memory."
"""Begins the names of memories among a manifest's instances."""
READ_CHANNELS = ("ar", "r")
WRITE_CHANNELS = ("aw", "w", "b")
SEPARATE = ("_fusemax_pe", "_vector_lane", "_integer_to_float")
"""Ends of the names of modules that are compiled once: large ones, of which there are many."""
SEPARATE_PES = 64
"""Number of GEMM PEs above which their module is one of SEPARATE."""
SMALLEST_MEMORY = 1 << 16
"""Beats of the smallest memory. Sizes are powers of two, so that models of about the same size share a simulator."""


@dataclass(frozen=True)
class Top:
    """The module that a bench drives.

    Attributes
    ----------
    verilog : text of the module, when it is not the core itself.
    clock, reset, control : names of its clock, its reset and its control port.
    reset_low : True when 0 resets it.
    memories : its memory ports, the system's first.
    core : the core's instance, seen from the bench.
    """

    module: str
    memories: tuple[str, ...]
    verilog: str = ""
    clock: str = "clk"
    reset: str = "rst"
    reset_low: bool = False
    control: str = "s_axi_control"
    core: str = "core"

    @property
    def instance(self) -> str:
        """Instance of the module in the bench."""
        return self.core.partition(".")[0]


def waves_file() -> str:
    """Name of the file into which a bench writes waves."""
    return f"waves{waves_suffix()}"


def core_top(manifest: Manifest) -> Top:
    """The core itself."""
    return Top(manifest.top, tuple(f"m_axi_{name}" for name in _windows(manifest)))


def memory_beats(beats: int) -> int:
    """Beats of the memory that holds an image of `beats`."""
    return max(SMALLEST_MEMORY, 1 << max(beats - 1, 0).bit_length())


def build_core(
    design: Design, beats: list[int], *, top: Top | None = None, waves: bool = False, upsets: bool = False
) -> Path:
    """The executable that simulates the core `design`, in `top` if it is not the top itself, with memories of so many
    beats each, the system's first.

    With `upsets` its memories on the chip can lose bits. With `waves` it can write waves.
    """
    manifest = design.manifest
    top = top or core_top(manifest)
    sources = {
        "design.v": design.verilog,
        **({"top.v": top.verilog} if top.verilog else {}),
        f"{CORE_BENCH}.sv": _bench_text(design, top, beats, upsets, waves),
        AXI_MEMORY: (resources.files("einloom.sim.bench") / AXI_MEMORY).read_text(),
    }
    pes = [m for m in manifest.modules if m.endswith("_pe")]
    small = manifest.gemm.rows * manifest.gemm.columns <= SEPARATE_PES
    separate = [m for m in manifest.modules if m.endswith(SEPARATE) or (m in pes and not small)]
    ports = PORTS + WAVES_PORTS if waves else PORTS
    return Toolchain().build(sources, CORE_BENCH, ports, waves=waves, separate=separate)


def _windows(manifest: Manifest) -> list[str]:
    return [port.name for port in manifest.core.ports]


def _bench_text(design: Design, top: Top, beats: list[int], upsets: bool, waves: bool) -> str:
    manifest = design.manifest
    machine, window_registers = (f"{top.core}.{manifest.instances[name]}" for name in ("machine", "registers"))
    memories = upset_memories(manifest).values()
    widths = {port.name: port.width for port in manifest.ports}
    names = _windows(manifest)
    registers = {r.name: r.offset for r in manifest.core.registers}
    values = {
        "top": top.module,
        "instance": top.instance,
        "core": top.core,
        "clock": top.clock,
        "reset": top.reset,
        "resetting": "!core_rst" if top.reset_low else "core_rst",
        "control": top.control,
        "beat_bits": manifest.gemm.weights.beat_bits,
        "channels": manifest.gemm.weights.channels,
        "system_id_bits": widths["m_axi_system_arid"],
        "units": len(UNITS),
        "abort": registers["abort"],
        "memories": "\n".join(
            _memory(n, name, size, widths, window_registers)
            for n, (name, size) in enumerate(zip(names, beats, strict=True))
        ),
        "ports": "\n    ".join(_connections(widths, names, top.memories)),
        "escaped": " + ".join(f"64'(escapes[{n}]) + 64'(strays[{n}])" for n in range(len(names))),
        "violations": " + ".join(f"64'(breaks[{n}])" for n in range(len(names))),
        "upsets": "".join(_upset(n, f"{top.core}.{path}") for n, path in enumerate(memories)) if upsets else "",
        "waves_ports": WAVES_PORTS_TEXT if waves else "",
        "waves": WAVES_TEXT.format(file=waves_file()) if waves else "",
        "machine": machine,
        "indices": "\n  ".join(f"assign index[{n}] = {machine}.indices__{n};" for n in range(len(UNITS))),
    }
    text = (resources.files("einloom.sim.bench") / f"{CORE_BENCH}.sv").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def upset_memories(manifest: Manifest) -> dict[str, str]:
    """Paths from the core on of its memories on the chip that can lose a bit, by what they hold."""
    return {n.removeprefix(MEMORY): path for n, path in manifest.instances.items() if n.startswith(MEMORY)}


def _upset(number: int, words: str) -> str:
    """A bit of a word of memory `number`, or of each word, turns over when the ports say so."""
    flipped = f"{words}[w] = {words}[w] ^ ($bits({words}[0])'(1) << upset_bit);"
    return f"""
  always @(negedge clk) if (upset && upset_memory == {number})
    for (int w = 0; w < $size({words}); w = w + 1)
      if (upset_word == 16'hffff || w == 32'(upset_word)) {flipped}"""


def _connections(widths: dict[str, int], names: list[str], ports: tuple[str, ...]) -> list[str]:
    """The top's memory ports on the wires of the memories, which have the names of the core's ports."""
    return [
        f".{port}{wire.removeprefix(f'm_axi_{name}')}({wire}),"
        for name, port in zip(names, ports, strict=True)
        for wire in widths
        if wire.startswith(f"m_axi_{name}_")
    ]


def _memory(number: int, name: str, size: int, widths: dict[str, int], registers: str) -> str:
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
    .refresh_every(refresh_every), .refresh_for(refresh_for), .row_miss(row_miss), .row_again(row_again),
    .interleave(interleave), .error_read(error_memory == {number} ? error_read : 0),
    .error_write(error_memory == {number} ? error_write : 0), .restart(restarts),
    .load(loads && memory == {number}), .dump(dumps && memory == {number}),
    .file_offset(file_offset), .file_bytes(file_bytes),
    .window_base({registers}.{name}_base), .window_size({registers}.{name}_size),
    .read_beats(), .write_beats(), .read_bursts(), .write_bursts(),
    .escaped(escapes[{number}]), .strayed(strays[{number}]), .violations(breaks[{number}]),
    {connections}
  );"""
