"""A simulator of a design inside its bench."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from einloom.generators.design import Design
from einloom.sim.verilator import Toolchain
from einloom.spec.manifest import GemmManifest, Manifest

GEMM_BENCH = "gemm_bench"
ATTENTION_BENCH = "attention_bench"
GEMM_PORTS = (
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
    "patience",
    "mutant",
    "signature",
    "done",
    "timed_out",
    "cycles",
    "accepted",
    "early",
)
ATTENTION_PORTS = (
    "clk",
    "rst",
    "start",
    "jobs",
    "words",
    "words_at",
    "keys",
    "values",
    "results",
    "seed",
    "job_stall",
    "key_stall",
    "value_stall",
    "output_stall",
    "limit",
    "patience",
    "mutant",
    "signature",
    "done",
    "timed_out",
    "cycles",
    "busy",
    "row_busy",
    "unread",
    "reads",
    "early",
)
BIG = 512  # PEs; above, one copy of their code is compiled instead of one per PE, which runs at half the speed


def build(design: Design, *, waves: bool = False) -> Path:
    """The executable that simulates `design` in its engine's bench; cached."""
    manifest = design.manifest
    if isinstance(manifest.design, GemmManifest):
        bench, ports, values = GEMM_BENCH, GEMM_PORTS, _gemm_values(manifest)
        once = manifest.gemm.rows * manifest.gemm.columns > BIG
    else:
        # A FuseMax PE is so large that one copy of its code is quicker to compile and to run from the second one on.
        bench, ports, values, once = ATTENTION_BENCH, ATTENTION_PORTS, _attention_values(manifest), True
    sources = {"design.v": design.verilog, f"{bench}.sv": bench_text(bench, values)}
    pes = [m for m in manifest.modules if m.endswith("_pe")]
    return Toolchain().build(sources, bench, ports, waves=waves, separate=pes if once else ())


def _gemm_values(manifest: Manifest) -> dict[str, str | int]:
    """Values of the placeholders in gemm_bench.sv."""
    gemm, widths = manifest.gemm, {port.name: port.width for port in manifest.ports}
    weights = [
        line
        for c in range(gemm.weights.channels)
        for line in (
            f".weights__{c}__payload({{<<8{{beat[{c}]}}}}),",
            f".weights__{c}__valid(beat_valid[{c}]),",
            f".weights__{c}__ready(beat_ready[{c}]),",
        )
    ]
    return {
        "top": manifest.top,
        "beat_bits": gemm.weights.beat_bits,
        "channels": gemm.weights.channels,
        "activation_bits": widths["activations"],
        "address_bits": widths["activation_address"],
        "job_bits": widths["job__payload"],
        "sums_bits": widths["sums__payload"],
        "weight_ports": "\n    ".join(weights),
    }


def _attention_values(manifest: Manifest) -> dict[str, str | int]:
    """Values of the placeholders in attention_bench.sv."""
    widths = {port.name: port.width for port in manifest.ports}
    return {
        "top": manifest.top,
        "beat_bits": widths["keys__payload"],
        "query_bits": widths["queries"],
        "address_bits": widths["query_address"],
        "job_bits": widths["job__payload"],
        "output_bits": widths["outputs__payload"],
    }


def bench_text(bench: str, values: Mapping[str, str | int]) -> str:
    """The text of a bench with `values` for its placeholders."""
    text = resources.files("einloom.sim.bench").joinpath(f"{bench}.sv").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text
