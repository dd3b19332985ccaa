"""Safetensors files and model folders: the reference library's files are read, and every lie is found and named."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load_file, save, save_file

from einloom.models.importer.linear_layers import linear_layers
from einloom.models.importer.model_weights import open_model
from einloom.models.importer.safetensors_file import FLOAT_DTYPES, open_safetensors
from einloom.models.importer.safetensors_header import DTYPE_BYTES, TensorEntry, header_bytes
from einloom.spec.errors import InputError
from tests.properties import given, settings


def raw(header, data=b"", length=None):
    """The bytes of a file with any header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(*offsets, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def read_floats(path):
    file = open_safetensors(path)
    return {name: file.read_float32(name) for name, e in file.header.entries.items() if e.dtype in FLOAT_DTYPES}


def message(call, path, *args):
    """What `call` says about the file at `path`, its first argument unless others are given."""
    with pytest.raises(InputError) as caught:
        call(*(args or [path]))
    assert str(caught.value).startswith(f"{path}")
    return str(caught.value).removeprefix(f"{path}").lstrip("/")


def test_reads_what_the_library_writes(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {
        "half": rng.normal(size=(3, 5)).astype(np.float16),
        "single": rng.normal(size=(2, 3, 4)).astype(np.float32),
        "double": rng.normal(size=7),
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "integers": np.arange(6),
    }
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {"format": "np"})
    file = open_safetensors(path)
    assert file.header.metadata == {"format": "np"}
    assert {name: e.shape for name, e in file.header.entries.items()} == {n: t.shape for n, t in tensors.items()}
    assert np.frombuffer(file.read_bytes("integers"), np.int64).tolist() == list(range(6))
    found = read_floats(path)
    assert found.keys() == tensors.keys() - {"integers"}
    for name, values in found.items():
        assert values.dtype == np.float32
        assert np.array_equal(values, tensors[name].astype(np.float32))


def test_reads_bfloat16(tmp_path):
    values = np.array([[1.0, -2.5, 3e38, 1e-40]], ml_dtypes.bfloat16)
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw({"w": entry(0, 8, dtype="BF16", shape=(1, 4))}, values.tobytes()))
    assert read_floats(path)["w"].tolist() == values.astype(np.float32).tolist()


def test_the_library_reads_what_header_bytes_writes(tmp_path):
    entries = [TensorEntry("b", "F32", (2,), 0, 8), TensorEntry("a", "U8", (1, 3), 8, 11)]
    path = tmp_path / "a.safetensors"
    path.write_bytes(header_bytes(entries, {"k": "v"}) + np.float32([1, 2]).tobytes() + bytes([7, 8, 9]))
    assert {name: t.tolist() for name, t in load_file(path).items()} == {"b": [1, 2], "a": [[7, 8, 9]]}
    assert open_safetensors(path).data_start % 8 == 0


DATA = bytes(16)
LIES = {
    "empty file": (b"", "not a safetensors file: it is only 0 bytes long"),
    "short file": (b"abc", "not a safetensors file: it is only 3 bytes long"),
    "absurd header length": (
        raw({}, length=1 << 62),
        f"not a safetensors file: it claims a header of {1 << 62} bytes, and 100000000 is the limit",
    ),
    "header cut off": (raw({}, length=99), "truncated: it claims a header of 99 bytes, but only 2 follow"),
    "not UTF-8": (raw(b"\xff\xfe"), "its header is not the JSON of a safetensors file: 'utf-8' codec"),
    "not JSON": (raw(b"{'a'"), "its header is not the JSON of a safetensors file: Expecting property name"),
    "nested JSON": (raw(b"[" * 100_000), "its header is not the JSON of a safetensors file: maximum recursion"),
    "not an object": (raw([]), "its header must be a JSON object"),
    "name twice": (
        raw(b'{"w": 1, "w": 2}'),
        "its header is not the JSON of a safetensors file: 'w' stands there twice",
    ),
    "metadata": (raw({"__metadata__": {"a": 1}}), "__metadata__ in its header must map names to strings"),
    "unprintable name": (
        raw({"w\x1b[2J": entry(0, 8)}, DATA),
        r"tensor 'w\x1b[2J': its name is empty or not printable",
    ),
    "no offsets": (
        raw({"w": {"dtype": "F32", "shape": [2]}}),
        "tensor w: its header entry must have dtype, shape and data_offsets",
    ),
    "dtype of another kind": (raw({"w": entry(0, 8, dtype=[])}, DATA), "tensor w: its dtype must be the name of one"),
    "negative length": (
        raw({"w": entry(0, 8, shape=(-2,))}, DATA),
        "tensor w: its shape must be a list of at most 32 non-negative integers",
    ),
    "true as length": (
        raw({"w": entry(0, 4, shape=(True,))}, DATA),
        "tensor w: its shape must be a list of at most 32 non-negative integers",
    ),
    "absurd shape": (raw({"w": entry(0, 0, shape=(0, 1 << 62))}), "tensor w: its shape is absurdly large"),
    "three offsets": (
        raw({"w": entry(0, 8, 16)}, DATA),
        "tensor w: its data_offsets must be two ascending non-negative integers",
    ),
    "descending offsets": (
        raw({"w": entry(8, 0)}, DATA),
        "tensor w: its data_offsets must be two ascending non-negative integers",
    ),
    "wrong size": (
        raw({"w": entry(0, 16, shape=(3,))}, DATA),
        "tensor w: F32 [3] takes 12 bytes, but its data_offsets span 16",
    ),
    "truncated data": (
        raw({"v": entry(0, 8), "w": entry(8, 16)}, DATA[:13]),
        "tensor w: it ends 3 bytes after the end of the file; is the file truncated?",
    ),
    "overlap": (
        raw({"v": entry(0, 12, shape=(3,)), "w": entry(8, 16)}, DATA),
        "tensor w: its bytes overlap with those of another tensor",
    ),
    "hole": (
        raw({"v": entry(0, 4, shape=(1,)), "w": entry(8, 16)}, DATA),
        "tensor w: the bytes before it belong to no tensor",
    ),
    "bytes left over": (raw({"w": entry(0, 8)}, DATA), "its last 8 bytes belong to no tensor"),
}


@pytest.mark.parametrize(("content", "expected"), LIES.values(), ids=LIES)
def test_lies_are_found_and_named(tmp_path, content, expected):
    path = tmp_path / "lie.safetensors"
    path.write_bytes(content)
    assert message(open_safetensors, path).startswith(f": {expected}")


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_never_end_in_a_traceback(tmp_path_factory, data):
    """One changed byte either is caught, or leaves a file that the reference library accepts too."""
    content = bytearray(save({"a.weight": np.ones((2, 3), np.float32), "b": np.ones(3, np.float16)}, {"k": "v"}))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(content)
    try:
        read_floats(path)
    except InputError:
        return
    if any(entry.dtype not in DTYPE_BYTES for entry in open_safetensors(path).header.entries.values()):
        return  # a type that nobody here knows, which the library refuses with the whole file
    try:
        load_file(path)
    except SafetensorError as error:
        pytest.fail(f"the library refuses it: {error}")


@pytest.mark.parametrize(
    ("dtype", "value"), [("<f4", np.nan), ("<f2", np.inf), ("<f8", 1e39)], ids=["nan", "inf", "beyond float32"]
)
def test_values_must_be_finite(tmp_path, dtype, value):
    values = np.zeros((3, 4), dtype)
    values[1, 2] = values[2, 0] = value
    path = tmp_path / "a.safetensors"
    save_file({"w": values}, path)
    expected = ": tensor w: 2 of its 12 values are NaN or infinite in float32, the first at [1, 2]"
    assert message(read_floats, path) == expected


def test_integers_are_no_weights(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(3, np.int8)}, path)
    expected = ": tensor w: I8 values cannot be read as weights; convert them to one of F64, F32, F16, BF16"
    assert message(open_safetensors(path).read_float32, path, "w") == expected


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(3, np.float32)}, path)
    file = open_safetensors(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert message(file.read_float32, path, "w") == ": tensor w: the file was truncated while it was read"


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
def test_every_dtype_of_numpy_is_known(tmp_path, dtype):
    path = tmp_path / "a.safetensors"
    values = np.arange(5).astype(dtype)
    save_file({"w": values}, path)
    assert open_safetensors(path).read_bytes("w") == values.tobytes()


LAYERS = ("encoder.layer.0.attention.self.query.weight", "lm_head.weight", "embed_out.weight", "pooler.dense.weight")
OTHERS = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "model.embed_tokens.weight",
    "transformer.wte.weight",
    "wpe.weight",
    "gpt_neox.embed_in.weight",
    "tok_embeddings.weight",
    "block.0.relative_attention_bias.weight",
    "layer.0.LayerNorm.weight",
    "ln_f.weight",
    "pooler.dense.bias",
    "rotary.inv_freq",
)


def small_model(**more):
    matrices = {name: np.ones((2, 4), np.float16) for name in (*LAYERS, *OTHERS)}
    return matrices | {"norm.weight": np.ones(4, np.float32), "ids.weight": np.ones((2, 2), np.int64)} | more


def test_linear_layers_are_found_by_name_and_shape(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(small_model(), path)
    assert sorted(linear_layers(open_model(path))) == sorted(LAYERS)
    assert open_model(tmp_path).files.keys() == open_model(path).files.keys()


def test_a_model_without_linear_layers(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"norm.weight": np.ones(3, np.float32)}, path)
    expected = ": no linear layers: no floating-point matrix in it is named *.weight"
    assert message(linear_layers, path, open_model(path)) == expected


def write_shards(folder, weight_map):
    save_file({"a.weight": np.ones((2, 2), np.float32)}, folder / "one.safetensors", {"format": "pt"})
    save_file({"b.weight": np.full((2, 2), 2, np.float32)}, folder / "two.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_one_model(tmp_path):
    write_shards(tmp_path, {"b.weight": "two.safetensors", "a.weight": "one.safetensors"})
    model = open_model(tmp_path)
    assert linear_layers(model) == ["b.weight", "a.weight"]
    assert model.read_float32("b.weight").tolist() == [[2, 2], [2, 2]]
    assert model.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    ("weight_map", "expected"),
    [
        ([], "weight_map must map the names of tensors to the names of files"),
        ({"a.weight": 3}, "weight_map must map the names of tensors to the names of files"),
        ({"a.weight": "none.safetensors"}, "tensor 'a.weight': 'none.safetensors' is not a file in the folder"),
        ({"a.weight": "../x.safetensors"}, "tensor 'a.weight': '../x.safetensors' is not a file in the folder"),
        ({"c.weight": "one.safetensors"}, "tensor 'c.weight' is not in one.safetensors"),
    ],
)
def test_bad_indexes(tmp_path, weight_map, expected):
    save_file({"a.weight": np.ones((2, 2), np.float32)}, tmp_path / "x.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    write_shards(folder, weight_map)
    assert message(open_model, folder) == f"model.safetensors.index.json: {expected}"


def test_an_index_that_is_no_json(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("{")
    assert message(open_model, tmp_path).startswith("model.safetensors.index.json: not JSON: Expecting property")


def test_models_that_are_not_there(tmp_path):
    assert message(open_model, tmp_path / "none") == ": no such file or folder"
    expected = ": has neither model.safetensors nor model.safetensors.index.json"
    assert message(open_model, tmp_path) == expected
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "other.safetensors")
    assert message(open_model, tmp_path) == f"{expected}; name one of its files: other.safetensors"
