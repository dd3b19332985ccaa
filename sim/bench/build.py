"""A simulator of a design inside its bench."""

from importlib import resources
from pathlib import Path

from einloom.manifest import Manifest
from generators.design import Design
from sim.verilator import Toolchain

BENCH = "gemm_bench"
INPUTS = (
    "clk",
    "rst",
    "start",
    "jobs",
    "steps",
    "beats",
    "weights_at",
    "results",
    "seed",
    "weight_stall",
    "sums_stall",
    "job_stall",
    "limit",
)
OUTPUTS = ("done", "timed_out", "cycles", "accepted")
BIG = 512  # PEs; above, one copy of their code is compiled instead of one per PE, which runs at half the speed


def build(design: Design, *, waves: bool = False) -> Path:
    """The executable that simulates `design` in gemm_bench.sv; cached."""
    manifest = design.manifest
    sources = {"design.v": design.verilog, f"{BENCH}.sv": bench_text(manifest)}
    separate = [m for m in manifest.modules if m.endswith("_pe")]
    big = manifest.gemm.rows * manifest.gemm.columns > BIG
    return Toolchain().build(sources, BENCH, (*INPUTS, *OUTPUTS), waves=waves, separate=separate if big else ())


def bench_text(manifest: Manifest) -> str:
    """The bench around the design of `manifest`."""
    widths = {port.name: port.width for port in manifest.ports}
    gemm = manifest.gemm
    weights = [
        line
        for c in range(gemm.weights.channels)
        for line in (
            f".weights__{c}__payload({{<<8{{beat[{c}]}}}}),",
            f".weights__{c}__valid(beat_valid[{c}]),",
            f".weights__{c}__ready(beat_ready[{c}]),",
        )
    ]
    values = {
        "top": manifest.top,
        "beat_bits": gemm.weights.beat_bits,
        "channels": gemm.weights.channels,
        "activation_bits": widths["activations"],
        "address_bits": widths["activation_address"],
        "job_bits": widths["job__payload"],
        "sums_bits": widths["sums__payload"],
        "weight_ports": "\n    ".join(weights),
    }
    text = resources.files("sim.bench").joinpath(f"{BENCH}.sv").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text
