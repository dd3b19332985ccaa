"""Cycles of products on arrays of `sparse_dsp` in RTL: dense, N of M weights, and block by block another N."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
from rich import box
from rich.table import Table

from einloom.generators.registry import generate
from einloom.mapping.cost.gemm import busy_cycles, tensor_cycles
from einloom.mapping.gemm_operands import stream_beats
from einloom.sim.bench.cases import random_tensor
from einloom.sim.gemm_device import RtlDevice
from einloom.sim.strategies import make_config
from einloom.spec.config import Config
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import GemmManifest
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import largest

INPUTS = 4096
TOKENS = 256
PATTERNS = ("16:16", "8:16", "4:16", "2:16", "2:4", "mixed")
MIX = (16, 8, 4, 2, 0)
"""N of the blocks of the mixed matrix, equally often and in random order."""


def array(packing: str, rows: int, columns: int, formats: list[str], channels: int) -> Config:
    engine: dict[str, object] = {"kind": "sparse_dsp", "formats": formats, "lanes": 16, "packing": packing}
    return make_config({**engine, "rows": rows, "columns": columns}, channels=channels, beat_bits=512)


DECODE = array("weights", 1, 12, ["int4-nof16", "int4-2of4"], 1)
"""For one token on one channel: 96 DSPs, with which 2:4 takes a beat a cycle, too."""
PREFILL = array("tokens", 4, 16, ["int4-nof16", "int4-2of4"], 8)
"""For several tokens: 512 DSPs, and channels enough for an index with each weight."""
LARGE = array("tokens", 16, 32, ["int4"], 8)
"""4,096 DSPs."""


def pruned(rng: np.random.Generator, gemm: GemmManifest, pattern: str, outputs: int) -> QuantizedTensor:
    """A random matrix whose blocks keep as many weights as `pattern` says."""
    format = FORMATS["int4-2of4" if pattern == "2:4" else "int4-nof16"]
    tensor = random_tensor(rng, gemm, replace(format, sparse=False, of=0), outputs, INPUTS)
    codes = np.where(tensor.codes == 0, np.uint8(1), tensor.codes)  # none is zero by chance
    if pattern == "2:4":
        keep = largest(rng.random(codes.shape))
    else:
        block, tiles = gemm.weights.block, -(-outputs // gemm.columns)
        kept = np.full(tiles * INPUTS // block, int(pattern.split(":")[0])) if pattern != "mixed" else None
        if kept is None:
            kept = rng.permutation(np.resize(MIX, tiles * INPUTS // block))
        by_row = kept.reshape(tiles, -1).repeat(gemm.columns, axis=0)[:outputs].repeat(block, axis=1)
        order = np.argsort(rng.random((outputs, INPUTS // 16, 16)), axis=-1).reshape(codes.shape)
        keep = order < by_row
    return replace(tensor, format=format, codes=np.where(keep, codes, np.uint8(0)))


def cycles(config: Config, tokens: int, outputs: int) -> Table:
    """A product of each pattern, over the cycles that its steps or its beats take."""
    gemm = generate(config).manifest.gemm
    title = f"{gemm.rows} x {gemm.columns} x {gemm.weights.lanes} MACs a cycle, {INPUTS} inputs, {outputs} outputs"
    table = Table(title=f"{title}, {tokens} tokens, int4, group {gemm.weights.block}", box=box.MARKDOWN)
    for heading in (
        *("weights", "cycles", "cost model", "steps", "beats", "bound over cycles"),
        *("M/N", "speed-up", "its bound", "achieved"),
    ):
        table.add_column(heading, justify="left" if heading == "weights" else "right", no_wrap=True)
    dense: tuple[int, int] | None = None
    for pattern, took, tensor in measured(config, tokens, outputs):
        chunks = -(-tokens // gemm.rows)
        steps, beats = chunks * busy_cycles(gemm, tensor), chunks * stream_beats(tensor, gemm.weights)
        bound = max(steps, beats)
        dense = dense or (took, bound)
        kept = float(np.mean(tensor.codes != 0))
        speed, most = dense[0] / took, dense[1] / bound
        limit = min(1 / kept, most)
        model = chunks * tensor_cycles(gemm, tensor, gemm.rows)
        table.add_row(
            *(pattern, f"{took:,}", f"{model:,}", f"{steps:,}", f"{beats:,}", f"{bound / took:.1%}"),
            *(f"{1 / kept:.2f}", f"{speed:.2f}", f"{limit:.2f}", f"{speed / limit:.1%}"),
        )
    return table


def measured(config: Config, tokens: int, outputs: int) -> Iterator[tuple[str, int, QuantizedTensor]]:
    """Cycles of all tokens of each pattern. Chunks of a full array take the same cycles, so one is run."""
    with closing(RtlDevice(config)) as device:
        gemm, rng = device.design.manifest.gemm, np.random.default_rng(0)
        tensors = {pattern: pruned(rng, gemm, pattern, outputs) for pattern in PATTERNS}
        device.load(tensors)
        for pattern, tensor in tensors.items():
            before = device.counters.cycles
            rows = min(tokens, gemm.rows)
            device.linear(pattern, rng.integers(-128, 128, (rows, INPUTS), np.int8))
            yield pattern, (device.counters.cycles - before) * -(-tokens // gemm.rows), tensor


def large(outputs: int) -> Table:
    """A product of TOKENS tokens on an array of 4,096 DSPs, all of it measured."""
    table = Table(title=f"{TOKENS} tokens, {INPUTS} inputs, {outputs} outputs, int4, dense", box=box.MARKDOWN)
    for heading in ("DSPs", "cycles", "MACs a cycle", "over DSPs x 2"):
        table.add_column(heading, justify="right", no_wrap=True)
    with closing(RtlDevice(LARGE)) as device:
        gemm, rng = device.design.manifest.gemm, np.random.default_rng(0)
        device.load({"w": random_tensor(rng, gemm, FORMATS["int4"], outputs, INPUTS)})
        device.linear("w", rng.integers(-128, 128, (TOKENS, INPUTS), np.int8))
        dsps = gemm.rows // 2 * gemm.columns * gemm.weights.lanes
        rate = device.counters.macs / device.counters.cycles
        table.add_row(f"{dsps:,}", f"{device.counters.cycles:,}", f"{rate:,.0f}", f"{rate / dsps / 2:.2%}")
    return table
