"""Streams whose blocks keep N of M weights: what they hold, how long they are, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from einloom.generators.gemm import gemm_spec
from einloom.generators.registry import pe_spec
from einloom.mapping.block_stream import BlockStream, kept_weights
from einloom.mapping.cost.gemm import gemm_cycles, tensor_cycles
from einloom.mapping.gemm_operands import pack_weights, stream_beats
from einloom.sim.bench.batch import Job
from einloom.sim.bench.cases import random_tensor
from einloom.sim.bench.gemm_cycles import batch_cycles
from einloom.sim.golden.block_reader import read_block, stored_blocks
from einloom.sim.strategies import make_config
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, Format
from einloom.spec.lane_sets import LaneSets
from einloom.spec.manifest import BlockLayout, GemmManifest
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sparsity import indexed
from einloom.spec.stored_blocks import stored_beats

FORMS = [
    ({"packing": "weights", "lanes": 16}, ["int4-nof16", "bitmod-fp4-nof8", "int3"]),
    ({"packing": "weights", "lanes": 8}, ["int8-nof4"]),
    ({"packing": "tokens", "lanes": 16}, ["bitmod-fp3-nof16", "int4-2of4", "ternary"]),
    ({"packing": "tokens", "lanes": 8}, ["int2-nof8", "int3-nof4"]),
    ({"packing": "weights", "lanes": 4, "group": 64}, ["int2-nof8", "int2"]),
]


def manifest(section: dict[str, object], formats: list[str], columns: int = 4) -> GemmManifest:
    engine = {"kind": "sparse_dsp", "rows": 2, "columns": columns, "formats": formats, **section}
    config = make_config(engine, channels=2, beat_bits=64)
    return gemm_spec(config, pe_spec(config))[1]


def layout_of(gemm: GemmManifest) -> BlockLayout:
    assert isinstance(gemm.weights, BlockLayout)
    return gemm.weights


@pytest.mark.parametrize(("section", "formats"), FORMS, ids=lambda v: "-".join(map(str, v)))
def test_every_weight_comes_back_from_the_stream(section: dict[str, object], formats: list[str]) -> None:
    gemm, rng = manifest(section, formats), np.random.default_rng(1)
    layout = layout_of(gemm)
    for name in formats:
        format, blocks, tiles = FORMATS[name], 5, 3
        tensor = random_tensor(rng, gemm, format, tiles * gemm.columns - 1, blocks * layout.block)
        streams = pack_weights(tensor, layout)
        assert len(streams[0]) * 8 == stream_beats(tensor, layout) * layout.beat_bits
        assert stored_beats(streams[0], layout, format, blocks, tiles) == stream_beats(tensor, layout)
        codes = np.zeros((tiles * gemm.columns, blocks, layout.block), np.uint8)
        scales, selectors = np.zeros((2, tiles * gemm.columns, blocks), np.uint8)
        for channel, stream in enumerate(streams):
            bits = np.unpackbits(stream, bitorder="little")
            for found in stored_blocks(bits, layout, format, blocks, tiles):
                rows = slice(found.tile * gemm.columns + channel * 2, found.tile * gemm.columns + channel * 2 + 2)
                part = read_block(bits[found.start : found.start + found.bits], layout, format, found.kept)
                codes[rows, found.block], scales[rows, found.block], selectors[rows, found.block] = part
        outputs = len(tensor.codes)
        assert np.array_equal(codes.reshape(len(codes), -1)[:outputs], tensor.codes)
        there = (codes != 0).any(axis=2)[:outputs]  # of an empty block nothing is stored
        assert np.array_equal(np.where(there, scales[:outputs], 0), np.where(there, tensor.scales, 0))
        assert np.array_equal(np.where(there, selectors[:outputs], 0), np.where(there, tensor.selectors, 0))


def tensor_of(codes: np.ndarray, format: Format, group: int = 128) -> QuantizedTensor:
    groups = (len(codes), codes.shape[1] // group)
    scales, channels = np.ones(groups, np.uint8), np.ones(len(codes), np.float32)
    return QuantizedTensor(format, group, codes, scales, np.zeros_like(scales), channels)


@pytest.mark.parametrize(("most", "kept"), {0: 0, 1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 9: 16, 16: 16}.items())
def test_a_block_keeps_as_few_as_its_fullest_sixteen_inputs(most: int, kept: int) -> None:
    layout = layout_of(manifest({}, ["int4-nof16"]))
    codes = np.zeros((4, 3 * 128), np.uint8)
    codes[2, 16 * 5 : 16 * 5 + most] = 3  # one block of sixteen of the first group
    found = kept_weights(tensor_of(codes, FORMATS["int4-nof16"]), layout)
    assert found.tolist() == [[kept, 0, 2]]  # the last one of a tile is always there


@pytest.mark.parametrize(("packing", "kept"), [("weights", 8), ("tokens", 4)])
def test_blocks_are_stored_full_where_that_takes_no_more_steps(packing: str, kept: int) -> None:
    """With indices, 4 of 8 of two bits are longer than all 8; two columns of a chain take them in as many steps."""
    layout = layout_of(manifest({"packing": packing, "lanes": 8}, ["int2-nof8", "int2"]))
    format, blocks = FORMATS["int2-nof8"], 3
    codes = np.tile(np.array([1, 1, 1, 1, 0, 0, 0, 0], np.uint8), (4, blocks * layout.block // 8))
    tensor = tensor_of(codes, format)
    assert kept_weights(tensor, layout).tolist() == [[kept] * blocks]
    assert layout.block_bits(format, 4) > layout.block_bits(format, 8)
    assert stored_beats(pack_weights(tensor, layout)[0], layout, format, blocks, 1) == stream_beats(tensor, layout)


@pytest.mark.parametrize("packing", ["weights", "tokens"])
@pytest.mark.parametrize("kept", [2, 4, 8])
def test_steps_and_bits_shrink_with_the_kept_weights(packing: str, kept: int) -> None:
    gemm, rng = manifest({"packing": packing}, ["int4-nof16"]), np.random.default_rng(3)
    layout, format = layout_of(gemm), FORMATS["int4-nof16"]
    full = tensor_of(np.full((8, 1024), 5, np.uint8), format)
    order = np.argsort(rng.random((8, 64, 16))).reshape(8, 1024)
    few = replace(full, codes=np.where(order < kept, full.codes, np.uint8(0)))
    streams = [BlockStream.of(tensor, layout) for tensor in (full, few)]
    steps, bits = (
        [int(x) for x in ends] for ends in zip(*((s.steps().sum(), s.ends()[-1]) for s in streams), strict=True)
    )
    metadata = layout.metadata.bits
    blocks = 2 * 8
    share = 16 // kept // (2 if packing == "weights" else 1)  # one weight a DSP instead of two
    assert steps[0] == share * steps[1]
    codes = [n - metadata * (blocks + 1) for n in bits]
    assert codes[0] * kept * 2 == codes[1] * 16  # an index is as wide as a code


@pytest.mark.parametrize(("packing", "channels"), [("weights", 1), ("tokens", 4)])
def test_the_cost_model_knows_how_long_a_tensor_lasts(packing: str, channels: int) -> None:
    """Against the count of every word that the RTL is held to, without stalls."""
    engine = {"kind": "sparse_dsp", "rows": 2, "columns": 8, "formats": ["int4-nof16"], "packing": packing}
    config = make_config(engine, channels=channels, beat_bits=512)
    gemm, rng = gemm_spec(config, pe_spec(config))[1], np.random.default_rng(5)
    tensor = random_tensor(rng, gemm, FORMATS["int4-nof16"], 64, 4096)
    job = Job("job", tensor, np.zeros((2, 4096), np.int8))
    stalls = {"weight_stall": 0, "sums_stall": 0, "job_stall": 0, "seed": 1}
    ports = {"beats": stream_beats(tensor, gemm.weights), "results": 2 * 64 // gemm.columns, **stalls}
    assert tensor_cycles(gemm, tensor, 2) == pytest.approx(batch_cycles(gemm, [job], ports), rel=0.01)
    dense = gemm_cycles(gemm, tensor.format, tokens=2, inputs=4096, outputs=64)
    assert tensor_cycles(gemm, tensor, 2) < dense
    assert dense == pytest.approx(tensor_cycles(gemm, full_of(tensor), 2), rel=0.01)


def full_of(tensor: QuantizedTensor) -> QuantizedTensor:
    return replace(tensor, codes=np.ones_like(tensor.codes))


def test_empty_blocks_take_nothing() -> None:
    layout, format = layout_of(manifest({}, ["int4-nof16"])), FORMATS["int4-nof16"]
    codes = np.zeros((4, 128 * 40), np.uint8)
    codes[0, 128 * 30] = 1
    stream = BlockStream.of(tensor_of(codes, format), layout)
    assert stream.there.tolist() == [30, 39]
    smallest = layout.block_steps(format, 2)
    assert stream.steps().tolist() == [2 * smallest]
    assert int(stream.ends()[-1]) == layout.metadata.bits + 2 * layout.block_bits(format, 2)


def test_a_stream_that_lies_is_refused() -> None:
    layout, format = layout_of(manifest({}, ["int4-nof16"])), FORMATS["int4-nof16"]
    codes = np.ones((4, 256), np.uint8)
    bits = np.unpackbits(pack_weights(tensor_of(codes, format), layout)[0], bitorder="little")
    with pytest.raises(InputError, match="behind its end"):
        list(stored_blocks(bits[: len(bits) // 2], layout, format, 2, 1))
    bits[layout.metadata.bits - 1] = 1  # 64 empty blocks
    with pytest.raises(InputError, match="behind its end"):
        list(stored_blocks(bits, layout, format, 2, 1))


def test_more_than_n_of_m_are_refused() -> None:
    with pytest.raises(InputError, match="more than 1 of 4"):
        indexed(np.array([[1, 1, 0, 0]], np.uint8), 4, 1)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(("candidates", "together"), [(4, 1), (4, 2), (8, 1), (16, 2)])
def test_multipliers_of_a_chain_meet_every_input_once(columns: int, candidates: int, together: int) -> None:
    sets = LaneSets(16, columns, candidates, together)
    steps = sets.steps(FORMATS["int4"])
    taken = [
        sets.set_of(lane) * candidates + step * sets.sharing + sets.rank(lane)
        for step in range(steps)
        for lane in range(16)
    ]
    assert sorted(taken) == list(range(sets.inputs))
    for column in range(columns):
        own = [lane for lane in range(16) if sets.column_of(lane) == column]
        assert [sets.number(lane) for lane in own] == list(range(sets.own))
