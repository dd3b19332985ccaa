"""What a user can say of a model's compression: formats, mixtures of them, and the text that it is calibrated on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from einloom.mapping.codegen.padding import PaddedSizes
from einloom.mapping.compress.mixture import choose_formats
from einloom.mapping.compress.quantize import quantize
from einloom.mapping.pipeline import Compression, compile_model
from einloom.models.calibration_texts import WINDOW, conversations, self_texts, windows
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from einloom.spec.manifest import Manifest
from tests.cores import core_manifest
from tests.small_models import small_llama


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return small_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return core_manifest(engine={"formats": ["bitmod-fp3", "int8", "bitmod-fp4"]})


@pytest.mark.parametrize("bits", [3.5, 4.6, 8.4])
def test_a_mixture_takes_at_most_so_many_bits_and_uses_them(
    model: DecoderModel, manifest: Manifest, bits: float
) -> None:
    _, found = compile_model(model, manifest, Compression(weights=f"auto:{bits}"))
    assert bits - 0.4 < found <= bits


@pytest.mark.parametrize(("sparse", "bits"), [("int4-nof16", 1.5), ("int4-nof16", 2.6), ("int4-nof8", 3.2)])
def test_a_mixture_prunes_where_no_dense_format_is_cheap_enough(model: DecoderModel, sparse: str, bits: float) -> None:
    engine = {"kind": "sparse_dsp", "rows": 2, "columns": 8, "lanes": 8, "packing": "tokens"}
    manifest = core_manifest(
        engine={**engine, "formats": [sparse, "int4-nof4", "int8"]},
        core={"activation_words": 64},
        attention={"rows": 8},
    )
    sizes = PaddedSizes.of(model.graph, manifest.core)
    formats = choose_formats(model, sizes, manifest.config.gemm, self_texts(model), bits)
    assert any(format.pruned for format in formats.values())
    _, found = compile_model(model, manifest, Compression(weights=f"auto:{bits}"))
    assert bits - 0.5 < found <= bits


def test_a_matrix_that_a_cheap_format_holds_exactly_is_the_first_to_get_it(
    model: DecoderModel, manifest: Manifest
) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    exact = quantize(model.tensors[name], FORMATS["bitmod-fp3"], 32).dequantize()
    easy = DecoderModel(model.graph, model.tensors | {name: exact}, model.tokenizer)
    sizes = PaddedSizes.of(model.graph, manifest.core)
    formats = choose_formats(easy, sizes, manifest.config.gemm, self_texts(easy), 8.2)
    assert [n for n, format in formats.items() if format.name != "int8"] == [name]
    assert formats[name].name == "bitmod-fp3"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("auto:2", "auto:2: the design's formats take at least 3.31 bits a weight"),
        ("auto:", "a number of bits must follow auto:"),
        ("auto:-1", "a number of bits must follow auto:"),
        ("int4", "int4: the design's formats are bitmod-fp3, int8, bitmod-fp4, or auto:BITS"),
    ],
)
def test_weights_that_cannot_be(model: DecoderModel, manifest: Manifest, weights: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_model(model, manifest, Compression(weights=weights))


def test_a_format_of_the_design_is_taken(model: DecoderModel, manifest: Manifest) -> None:
    assert compile_model(model, manifest, Compression(weights="int8"))[1] == pytest.approx(8 + 8 / 32)


def test_windows_lie_over_the_whole_text(model: DecoderModel) -> None:
    ids = model.tokenizer.encode(text := "".join(chr(33 + n % 90) for n in range(700))).ids
    cut = windows(model, text)
    length = min(WINDOW, model.graph.context)
    assert cut.shape == (len(ids) // length, length)
    assert cut[-1].tolist() == ids[-length:]
    with pytest.raises(InputError, match=f"has 3 tokens: give at least {length}"):
        windows(model, "abc")


def test_texts_are_the_models_own_and_side_by_side_as_alone(model: DecoderModel) -> None:
    texts = self_texts(model, texts=3, seed=4)
    np.testing.assert_array_equal(texts, self_texts(model, texts=3, seed=4))
    assert (texts != self_texts(model, texts=3, seed=5)).any()
    side_by_side = Decoder(model, FloatLinears(model.linears), texts=3).step(texts.ravel().tolist())
    alone = [Decoder(model, FloatLinears(model.linears)).step(text.tolist()) for text in texts]
    np.testing.assert_allclose(side_by_side, np.concatenate(alone), rtol=1e-4, atol=1e-4)


def test_conversations_begin_as_the_chat_template_does_and_follow_from_the_seed(model: DecoderModel) -> None:
    chatting = replace(model, chat_template="{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    length = model.graph.context // 2
    written = conversations(chatting, 3 * length, length=length, seed=4)
    ids = model.tokenizer.encode(written, add_special_tokens=False).ids
    assert written == conversations(chatting, 2 * length + 1, length=length, seed=4)
    assert written != conversations(chatting, 3 * length, length=length, seed=5)
    assert written.startswith("user: ")
    assert written.count("user: ") >= 3
    assert len(ids) >= 2 * length


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "no chat template"),
        ("{{ messages[0].role }}", "leaves the user's words out"),
        ("{{ messages[0].content }}", "nothing before the user's words"),
        ("x" * 500 + "{{ messages[0].content }}", "no room for a question"),
    ],
)
def test_models_that_cannot_write_conversations_say_why(template: str, message: str, model: DecoderModel) -> None:
    with pytest.raises(InputError, match=message):
        conversations(replace(model, chat_template=template), 100, length=64)


def test_the_command_line_takes_a_calibration_text(tmp_path: Path) -> None:
    from einloom.compiled import compile

    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be, that is the question: " * 12)
    given, own = compile(calibration=text), compile()
    assert not np.array_equal(given.program.weights[0], own.program.weights[0])
    assert given.bits_per_weight == own.bits_per_weight
