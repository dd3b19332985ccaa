"""models/importer/gguf_*.py: GGUF files hold the same models as folders; damaged ones are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gguf import MODEL_ARCH_NAMES, get_tensor_name_map
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from tokenizers import Tokenizer

from einloom.catalogue import load_model
from einloom.models.decoder_model import DecoderModel
from einloom.models.family.rope import RopeKeys
from einloom.models.float_decoder import Decoder
from einloom.models.importer.gguf_file import open_gguf
from einloom.models.importer.gguf_model import NAMES as GGUF_NAMES
from einloom.models.importer.gguf_model import load_gguf
from einloom.models.importer.gguf_tokenizer import gguf_tokenizer
from einloom.models.importer.huggingface import load_folder
from einloom.models.importer.registry import family_class
from einloom.models.linears import FloatLinears
from einloom.spec.errors import InputError
from tests.families import FAMILIES, keys_of, write_family
from tests.tiny_gguf import gguf_name, write_gguf
from tests.tiny_llama import CONFIG, write_tiny_llama

TEXT = [3, 1, 200, 7, 7, 90]
TYPES = (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q5_1, Type.Q4_1, Type.Q4_0)


def kind(family: str) -> str:
    return str(keys_of(family)["model_type"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    folder = tmp_path_factory.mktemp("model")
    return load_folder(write_tiny_llama(folder, tie_word_embeddings=False, num_key_value_heads=1))


def tokens(model: DecoderModel) -> list[str]:
    vocabulary = model.tokenizer.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.name)
def test_a_file_computes_what_its_numbers_compute_in_a_folder(model: DecoderModel, tmp_path: Path, type: Type) -> None:
    path = write_gguf(tmp_path / "model.gguf", model, type, tokens(model))
    rounded = {
        name: dequantize(quantize(tensor, type), type) if tensor.ndim == 2 and type != Type.F32 else tensor
        for name, tensor in model.tensors.items()
    }
    expected = DecoderModel(model.graph, rounded, model.tokenizer)
    found = load_model(path)
    assert isinstance(found, DecoderModel)
    assert found.graph == model.graph
    logits = [Decoder(m, FloatLinears(m.linears)).step(TEXT) for m in (found, expected)]
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
def test_other_architectures_are_families_too(name: str, tmp_path: Path) -> None:
    changes = {
        "sliding_window": None,
        "use_sliding_window": False,
        "attention_bias": False,
        "vocab_size": 256,
        "rope_theta": CONFIG["rope_theta"],
    }
    model = load_folder(write_family(tmp_path / "model", name, **changes)[0])
    found = load_gguf(write_gguf(tmp_path / "model.gguf", model, Type.F32, tokens(model), name))
    assert found.graph == model.graph
    assert found.tensors.keys() == model.tensors.keys()
    assert all((found.tensors[key] == values).all() for key, values in model.tensors.items())


def test_gemmas_whose_factor_of_scores_is_unknown_are_refused(model: DecoderModel, tmp_path: Path) -> None:
    tied = replace(model, tensors={name: x for name, x in model.tensors.items() if name != "lm_head.weight"})
    path = write_gguf(tmp_path / "model.gguf", tied, Type.F32, tokens(model), "gemma2")
    with pytest.raises(
        InputError, match=r"gemma2\.attention\.key_length: must be 256, not 16: for other heads the file"
    ):
        load_gguf(path)


def test_divisors_of_frequencies_are_llama_3s_scaling(model: DecoderModel, tmp_path: Path) -> None:
    """Files have its result; a folder has its rule."""
    rule = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = RopeKeys(**rule, original_max_position_embeddings=64, rope_theta=CONFIG["rope_theta"]).rope(16)
    plain = RopeKeys(rope_theta=CONFIG["rope_theta"]).rope(16)
    divisors = np.array(plain.frequencies) / np.array(rope.frequencies)
    assert 1 < len(np.unique(divisors)) <= 8
    found = load_gguf(write_gguf(tmp_path / "a.gguf", model, Type.F32, tokens(model), divisors=divisors))
    for layer in found.graph.layers:
        assert layer.attention.rope
        np.testing.assert_allclose(layer.attention.rope.frequencies, rope.frequencies, rtol=1e-7)
    for wrong in (divisors[1:], -divisors):
        path = write_gguf(tmp_path / "b.gguf", model, Type.F32, tokens(model), divisors=wrong)
        with pytest.raises(InputError, match=r"tensor rope_freqs\.weight must have a number above 0 for each pair"):
            load_gguf(path)


def test_bos_is_added_and_stands_for_itself(model: DecoderModel, tmp_path: Path) -> None:
    found = load_gguf(write_gguf(tmp_path / "model.gguf", model, Type.F32, tokens(model)))
    assert found.bos == 255
    assert found.encode("To be") == [255, *model.encode("To be")]


def test_sentencepiece_merges_by_score_and_falls_back_to_bytes() -> None:
    words = ["<unk>", "<s>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "a", "b", "ab", "▁a", "▁ab"]
    scores = [0.0] * 258 + [-9.0, -9.0, -9.0, -3.0, -2.0, -1.0]
    metadata = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": words, "tokenizer.ggml.scores": scores}
    types = [2, 3, *[6] * 256, *[1] * 6]
    made = gguf_tokenizer(metadata | {"tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 1})
    pieces = [made.id_to_token(n) for n in made.encode("ab aab é").ids]
    assert pieces == ["<s>", "▁ab", "▁a", "ab", "▁", "<0xC3>", "<0xA9>"]
    assert made.decode(made.encode("ab aab é").ids) == "ab aab é"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, r"tokenizer\.ggml\.tokens: is missing"),
        ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "bert"}, r"model: must be gpt2 or llama, not 'bert'"),
        (
            {"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "tekken"},
            r"pre: 'tekken' is not known; known are default, gpt-2, .*qwen2",
        ),
        ({"tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.model": "llama"}, r"scores: must have a score for each"),
    ],
)
def test_tokenizers_that_are_not_known_are_refused(metadata: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        gguf_tokenizer(metadata)


def test_other_families_and_other_tensors_are_refused(model: DecoderModel, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", model, Type.F32, tokens(model))
    raw = path.read_bytes()
    for before, after, message in (
        (
            b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
            None,
            "general.architecture: must be one of 'gemma', .*'llama'",
        ),
        (b"blk.1.ffn_up.weight", b"blk.1.ffn_um.weight", r"tensor blk\.1\.ffn_up\.weight is missing"),
        (b"llama.context_length", b"llama.context_lengtx", r"llama\.context_length: is required"),
    ):
        after = before.replace(b"llama", b"other") if after is None else after
        assert before in raw
        path.write_bytes(raw.replace(before, after))
        with pytest.raises(InputError, match=message):
            load_gguf(path)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_or_read(model: DecoderModel, tmp_path: Path, seed: int) -> None:
    """Bits turned over in the header, and files cut short: an InputError, or a model; nothing else."""
    path = write_gguf(tmp_path / "model.gguf", model, Type.Q8_0, tokens(model))
    raw, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(20):
        damaged = bytearray(raw[: rng.integers(len(raw))] if rng.integers(2) else raw)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(4, max(min(len(damaged), 16000), 5)) % len(damaged)] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            load_gguf(path)
        except InputError:
            pass


def test_every_tensor_of_a_file_has_a_place(model: DecoderModel, tmp_path: Path) -> None:
    file = open_gguf(write_gguf(tmp_path / "model.gguf", model, Type.F32, tokens(model)))
    assert set(file.tensors) == {gguf_name(name) for name in model.tensors}
    assert isinstance(gguf_tokenizer(file.metadata), Tokenizer)


@pytest.mark.parametrize("family", [name for name in FAMILIES if family_class(Path(), kind(name)).gguf])
def test_names_of_every_architecture_are_the_reference_librarys(family: str) -> None:
    """A tensor's name in the family's folders, translated by the reference library, is where we look for it."""
    tied = {"tie_word_embeddings": True} if family.startswith("gemma") else {}
    keys = family_class(Path(), kind(family)).model_validate(keys_of(family) | tied)
    (architecture,) = [number for number, name in MODEL_ARCH_NAMES.items() if name == keys.gguf]
    reference = get_tensor_name_map(architecture, keys.num_hidden_layers)
    for tensor in keys.graph().tensors():
        expected = reference.get_name(keys.names.stored(tensor.name), try_suffixes=(".weight", ".bias"))
        assert GGUF_NAMES.stored(tensor.name) == expected, tensor.name
