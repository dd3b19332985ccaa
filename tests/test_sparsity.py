"""Weights of two in four and of N in M: their words, pruning, quantization and storage."""

from itertools import product

import numpy as np
import pytest

from einloom.mapping.compress.code_bytes import pack_codes, unpack_codes
from einloom.mapping.compress.error_feedback import InputGram
from einloom.mapping.compress.quantize import quantize
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS, SPARSE_OF, format_named
from einloom.spec.sparsity import PATTERNS, codes_of_bits, compressed, expanded, kept_bits, largest, word_bits

ALL = np.array([c for c in product(range(4), repeat=4) if sum(map(bool, c)) <= 2], np.uint8)
"""All blocks of 2-bit codes that there are."""


def test_there_are_six_patterns_and_three_bits_say_which() -> None:
    assert len(PATTERNS) == 6
    assert word_bits(ALL, 2).shape[-1] == 7  # 1.75 bits a weight
    assert FORMATS["int2-2of4"].stored_bits == 1.75


def test_every_block_comes_back_from_its_word() -> None:
    kept, patterns = compressed(ALL)
    for codes, values, pattern in zip(ALL, kept[:, 0], patterns[:, 0], strict=True):
        found = [0] * 4
        for place, value in zip(PATTERNS[pattern], values, strict=True):
            found[place] = value
        assert found == codes.tolist()
    assert np.array_equal(expanded(kept, patterns), ALL)
    assert np.array_equal(codes_of_bits(word_bits(ALL, 2), 2), ALL)


def test_more_than_two_of_four_and_unknown_patterns_are_refused() -> None:
    with pytest.raises(InputError, match="prune the matrix to 2:4 first"):
        compressed(np.array([[1, 0, 2, 3]], np.uint8))
    with pytest.raises(InputError, match="7 is no pattern"):
        expanded(np.zeros((1, 1, 2), np.uint8), np.array([[7]], np.uint8))


def test_the_largest_two_of_four_are_kept() -> None:
    rng = np.random.default_rng(1)
    magnitudes = rng.random((50, 32))
    kept = largest(magnitudes).reshape(-1, 4)
    for block, places in zip(magnitudes.reshape(-1, 4), kept, strict=True):
        assert sorted(block[places]) == sorted(block)[2:]


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("base", SPARSE_OF)
def test_quantized_matrices_keep_two_of_four(base: str, calibrated: bool) -> None:
    rng, format = np.random.default_rng(2), FORMATS[f"{base}-2of4"]
    weights = rng.standard_normal((16, 128)).astype(np.float32)
    inputs = rng.standard_normal((200, 128)).astype(np.float32) * np.exp(rng.standard_normal(128)).astype(np.float32)
    gram = InputGram.of(inputs) if calibrated else None
    tensor = quantize(weights, format, 64, gram=gram)
    assert ((tensor.values() != 0).reshape(-1, 4).sum(axis=1) <= 2).all()
    assert np.array_equal(unpack_codes(pack_codes(tensor.codes, format), format, 128), tensor.codes)
    if not calibrated:
        assert not tensor.codes[~largest(np.abs(weights))].any()
    if base == "int8":  # next to nothing is lost but what is pruned
        error = np.square(tensor.dequantize() - np.where(tensor.codes, weights, 0)).sum()
        assert error < (0.2 if calibrated else 1e-3) * np.square(weights).sum()


def test_pruning_for_the_inputs_errs_less_than_by_magnitude() -> None:
    """Of the outputs, where inputs differ in size."""
    rng, format = np.random.default_rng(3), FORMATS["int8-2of4"]
    weights = rng.standard_normal((64, 128)).astype(np.float32)
    inputs = rng.standard_normal((400, 128)).astype(np.float32) * np.exp(rng.standard_normal(128)).astype(np.float32)
    errors = [
        np.square(inputs @ (quantize(weights, format, 128, gram=gram).dequantize() - weights).T).sum()
        for gram in (None, InputGram.of(inputs))
    ]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("base", ["int8", "bitmod-fp4"])
def test_what_is_kept_makes_good_what_is_pruned(base: str) -> None:
    """Of correlated inputs, on others of the same kind: less error than with Wanda's choice and no feedback."""
    rng, format = np.random.default_rng(4), FORMATS[f"{base}-2of4"]
    weights = rng.standard_normal((64, 128)).astype(np.float32)
    mixing = rng.standard_normal((24, 128))
    x, other = (rng.standard_normal((600, 24)) @ mixing + rng.standard_normal((600, 128)) for _ in range(2))
    x, other = x.astype(np.float32), other.astype(np.float32)
    gram = InputGram.of(x)
    kept = largest(np.abs(weights) * np.sqrt(np.diag(gram.matrix)))
    wanda = np.where(kept, quantize(np.where(kept, weights, np.float32(0)), FORMATS[base], 128).dequantize(), 0)
    pruned = quantize(weights, format, 128, gram=gram).dequantize()
    found, alone = (np.square(other @ (w - weights).T).sum() for w in (pruned, wanda))
    assert found < 0.5 * alone


def test_bits_of_n_of_m_follow_from_the_fullest_block_of_each_group() -> None:
    codes = np.zeros((3, 128), np.uint8)
    codes[1, [5, 6, 7]] = 1  # three of a block of sixteen: four are stored
    codes[2, 3::16] = 2
    assert kept_bits(codes, 16, 64, 4) == 4 * (4 * 8) + 2 * 4 * 8
    assert kept_bits(np.ones((1, 16), np.uint8), 16, 16, 4) == 16 * 4
    tensor = quantize(np.ones((2, 64), np.float32), FORMATS["int4-nof16"], 32)
    assert tensor.bits_per_weight == 4 + 8 / 32
    packed = pack_codes(tensor.codes, tensor.format)
    assert np.array_equal(unpack_codes(packed, tensor.format, 64), tensor.codes)


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("name", ["int4-4of16", "bitmod-fp3-1of4", "int2-4of8"])
def test_quantized_matrices_keep_n_of_m(name: str, calibrated: bool) -> None:
    rng, format = np.random.default_rng(5), format_named(name)
    kept, of = format.kept, format.of
    weights = rng.standard_normal((16, 128)).astype(np.float32)
    gram = InputGram.of(rng.standard_normal((200, 128)).astype(np.float32)) if calibrated else None
    tensor = quantize(weights, format, 64, gram=gram)
    most = (tensor.values() != 0).reshape(-1, of).sum(axis=1).max()
    assert (most, tensor.format) == (kept, FORMATS[f"{format.full.name}-nof{of}"])
    if not calibrated:
        assert not tensor.codes[~largest(np.abs(weights), kept, of)].any()


@pytest.mark.parametrize("name", ["int4-3of8", "int4-8of8", "int4-0of8"])
def test_n_is_a_power_of_two_below_m(name: str) -> None:
    with pytest.raises(InputError, match=rf"^'{name}' keeps \d of 8: N is a power of two below 8$"):
        format_named(name)
