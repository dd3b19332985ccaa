"""Multiply-accumulates of an instruction, from its own fields and the tokens that it is carried out for."""

from collections.abc import Mapping

from einloom.mapping.cost.unit_queues import Chunk
from einloom.spec.formats import FORMATS, Format
from einloom.spec.manifest import BlockLayout, GemmManifest


def block_terms(gemm: GemmManifest, format: Format) -> int:
    """Cycles of the array on a block of a tile. Of formats that choose N of M per block, those of a full block.

    A step of one term leaves no cycle in which metadata could be taken unnoticed, so it has one more.
    """
    layout = gemm.weights
    if isinstance(layout, BlockLayout):
        return layout.block_steps(format, format.of or None)
    step = layout.step(format)
    exposed = 1 if layout.metadata.bits and not layout.joined and step.cycles == 1 else 0
    return layout.block // layout.lanes * step.cycles + exposed


def peak_macs(gemm: GemmManifest, format: Format, rows: int) -> float:
    """MACs per cycle of the array with tokens in so many of its rows; products with weights that a sparse format leaves
    out count."""
    return rows * gemm.columns * gemm.weights.block / block_terms(gemm, format)


def product_macs(gemm: GemmManifest, i: Mapping[str, int], tokens: int) -> int:
    """MACs of a `gemm` for so many tokens: zeros that fill up tiles count, as do weights that a sparse format leaves
    out."""
    return tokens * i["tiles"] * gemm.columns * i["blocks"] * gemm.weights.block


def format_of(gemm: GemmManifest, i: Mapping[str, int]) -> Format:
    """The weight format of a `gemm`."""
    return FORMATS[gemm.weights.steps[i["format"]].format]


def attention_macs(i: Mapping[str, int], chunk: Chunk, tokens: int, lanes: int) -> int:
    """MACs of an `attend` for so many tokens of the chunk on so many lanes: Q K^T and the product with V, over the
    positions that each token sees. Keys that fill up a tile don't count."""
    seen = 0
    for token in range(tokens):
        before = chunk.position + i["first"] + token + 1
        inside = min(before, i["window"] or before)
        seen += inside + min(i["sinks"] if i["window"] else 0, before - inside)
    return seen * i["group"] * lanes * (i["query_head"] + i["value_head"])
