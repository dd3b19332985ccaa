"""Files of quantized tensors: exact round trips, readable by others, and nothing taken on trust."""

import json
import resource
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from einloom.mapping.compress.code_bytes import pack, packed_length, unpack
from einloom.mapping.compress.quantize import quantize, quantize_per_channel
from einloom.mapping.compress.storage import read_quantized, write_quantized
from einloom.models.importer.model_weights import open_model
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from tests.properties import given

PARTS = ("codes", "scales", "selectors", "channel_scale")


def gaussian(*shape, seed=1):
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


def same(a, b):
    return (a.format, a.group) == (b.format, b.group) and all(
        np.array_equal(getattr(a, p), getattr(b, p)) for p in PARTS
    )


@given(st.data(), st.integers(1, 8))
def test_packing_round_trip(data, bits):
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 20)))
    values = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 2**bits - 1)))
    packed = pack(values, bits)
    assert packed.shape == (shape[0], packed_length(shape[1], bits))
    assert np.array_equal(unpack(packed, bits, shape[1]), values)
    # The definition: a row is one little-endian number, with value k at bit k * bits.
    numbers = [sum(int(v) << k * bits for k, v in enumerate(row)) for row in values]
    assert [int.from_bytes(row.tobytes(), "little") for row in packed] == numbers


@pytest.fixture
def model(tmp_path):
    tensors = {
        "a.weight": gaussian(6, 64),
        "b.weight": gaussian(5, 32),
        "norm.bias": np.array([1, -2, 3], np.float16),
        "ids": np.arange(4),
    }
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    return open_model(tmp_path)


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_round_trip(tmp_path, model, format):
    path = tmp_path / "new folder" / "q.safetensors"
    tensors = {name: quantize(model.read_float32(name), format, 16) for name in ("a.weight", "b.weight")}
    write_quantized(path, tensors, model)
    found = read_quantized(path)
    assert found.tensors.keys() == tensors.keys()
    assert all(same(found.tensors[name], tensors[name]) for name in tensors)
    assert sorted(found.others) == ["ids", "norm.bias"]
    assert found.file.read_bytes("ids") == np.arange(4).tobytes()
    assert found.file.header.metadata["format"] == "pt"
    assert [p.name for p in path.parent.iterdir()] == ["q.safetensors"]


def test_round_trip_of_other_specials_and_of_channels(tmp_path, model):
    other = replace(FORMATS["bitmod-fp3"], specials=(5, -5, 6, -6))
    weights = model.read_float32("a.weight")
    tensors = {"a.weight": quantize(weights, other, 32), "b.weight": quantize_per_channel(weights, FORMATS["int8"])}
    path = tmp_path / "q.safetensors"
    write_quantized(path, tensors, model)
    assert all(same(tensor, tensors[name]) for name, tensor in read_quantized(path).tensors.items())


def test_the_same_tensors_make_the_same_bytes_and_the_library_reads_them(tmp_path, model):
    tensor = quantize(model.read_float32("a.weight"), FORMATS["bitmod-fp3"], 32)
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        write_quantized(path, {"a.weight": tensor}, model)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    found = load_file(paths[0])
    assert {name: (t.dtype.name, t.shape) for name, t in found.items() if name.startswith("a.")} == {
        "a.weight.codes": ("uint8", (6, 24)),
        "a.weight.scales": ("uint8", (6, 2)),
        "a.weight.selectors": ("uint8", (6, 1)),
        "a.weight.channel_scale": ("float32", (6,)),
    }
    assert np.array_equal(found["b.weight"], model.read_float32("b.weight"))


def message(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    return str(caught.value)


def test_a_full_disk_leaves_nothing(tmp_path, model):
    path = tmp_path / "out" / "q.safetensors"
    tensors = {"a.weight": quantize(model.read_float32("a.weight"), FORMATS["int4"], 32)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, hard))
    try:
        assert message(write_quantized, path, tensors, model) == f"{path}: cannot be written: File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(path.parent.iterdir()) == []


def test_a_failure_keeps_the_old_file(tmp_path, model):
    path = tmp_path / "q.safetensors"
    path.write_text("old")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="the file was truncated while it was read"):
        write_quantized(path, {}, model)
    assert path.read_text() == "old"


def test_names_must_not_clash(tmp_path, model):
    path = tmp_path / "q.safetensors"
    tensors = {"n": quantize(model.read_float32("a.weight"), FORMATS["int4"], 32)}
    save_file({"n.codes": np.ones(3)}, tmp_path / "model.safetensors")
    expected = f"{path}: n.codes would be there twice: the model has a tensor of that name"
    assert message(write_quantized, path, tensors, open_model(tmp_path)) == expected


def test_a_file_that_is_not_quantized(model):
    path = model.path / "model.safetensors"
    assert message(read_quantized, path) == f"{path}: holds no quantized tensors: its metadata has no 'einloom'"


CLAIM = {"format": "bitmod-fp3", "group": 4, "shape": [2, 12], "specials": [3, -3, 6, -6]}
STORED = {
    "w.codes": np.zeros((2, 5), np.uint8),
    "w.scales": np.ones((2, 3), np.uint8),
    "w.selectors": np.zeros((2, 1), np.uint8),
    "w.channel_scale": np.ones(2, np.float32),
}


def write_claim(path, stored=STORED, **claim):
    metadata = {"version": 1, "tensors": {"w": CLAIM | claim}}
    save_file(stored, path, {"einloom": json.dumps(metadata)})
    return path


def test_the_file_that_the_lies_below_start_from_is_good(tmp_path):
    assert read_quantized(write_claim(tmp_path / "q")).tensors["w"].shape == (2, 12)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({"format": "bitmod-fp5"}, "tensor w: unknown format 'bitmod-fp5', did you mean 'bitmod-fp4'?; known: "),
        ({"specials": [3]}, "tensor w: bitmod-fp3 has 4 special values, not 1"),
        ({"specials": [3, -3, 6, 11]}, "tensor w: bitmod-fp3: the value 11 needs more than 2 terms"),
        ({"format": "int3"}, "tensor w: int3 has 0 special values, not 4"),
        ({"group": 5}, "tensor w: its group of 5 doesn't divide the 12 inputs"),
        ({"group": 0}, "'einloom.tensors.w.group' in its metadata: Input should be greater than or equal to 1"),
        ({"shape": [2]}, "'einloom.tensors.w.shape.1' in its metadata: Field required"),
        ({"extra": 1}, "'einloom.tensors.w.extra' in its metadata: Extra inputs are not permitted"),
        ({"shape": [10**12, 12]}, "tensor w.codes must be U8 [1000000000000, 5], not U8 [2, 5]"),
        ({"shape": [2, 16]}, "tensor w.codes must be U8 [2, 6], not U8 [2, 5]"),
        ({"group": 6}, "tensor w.scales must be U8 [2, 2], not U8 [2, 3]"),
    ],
)
def test_lying_metadata(tmp_path, claim, expected):
    path = write_claim(tmp_path / "q", **claim)
    assert message(read_quantized, path).startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("w.scales", None, "tensor w.scales is missing"),
        ("w.channel_scale", np.ones(2), "tensor w.channel_scale must be F32 [2], not F64 [2]"),
        ("w.channel_scale", np.float32([1, -1]), "tensor w: its channel_scale must not be negative"),
        (
            "w.channel_scale",
            np.float32([1, np.nan]),
            "tensor w.channel_scale: 1 of its 2 values are NaN or infinite in float32, the first at [1]",
        ),
        ("w.codes", np.full((2, 5), 255, np.uint8), "tensor w: bits after the last number of a row must be 0"),
        ("w.selectors", np.full((2, 1), 64, np.uint8), "tensor w: bits after the last number of a row must be 0"),
    ],
)
def test_parts_that_do_not_fit(tmp_path, name, value, expected):
    stored = {key: part for key, part in (STORED | {name: value}).items() if part is not None}
    path = write_claim(tmp_path / "q", stored)
    assert message(read_quantized, path) == f"{path}: {expected}"


def test_metadata_that_is_no_json(tmp_path):
    path = tmp_path / "q"
    save_file(STORED, path, {"einloom": "{"})
    assert message(read_quantized, path).startswith(f"{path}: 'einloom' in its metadata: Invalid JSON")
