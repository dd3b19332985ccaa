"""models/float_decoder.py and what it computes with: linears.py, generate.py and agreement.py."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from einloom.models.agreement import agreement, agreement_with_float
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears
from einloom.models.text_generation import generate_text
from einloom.sim.device import GoldenDevice
from einloom.sim.device_linears import DeviceLinears, quantize_activations
from einloom.spec.errors import InputError
from einloom.spec.formats import FORMATS
from einloom.spec.quantized import QuantizedTensor
from einloom.spec.sampling import Sampling
from tests.tiny_llama import CONFIG, write_tiny_llama

TOKENS = [7, 200, 0, 31, 31, 99, 254, 5]
FLOAT32_ROUNDING = 2e-5  # bound on |logit| errors of about 4, after two layers in float32


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> DecoderModel:
    return load_folder(write_tiny_llama(tmp_path / "model", tie_word_embeddings=request.param))


def float_decoder(model: DecoderModel) -> Decoder:
    return Decoder(model, FloatLinears(model.linears))


def int8(weights: npt.NDArray[np.float32]) -> QuantizedTensor:
    """Rounded to nearest with one scale per output."""
    scale = (np.abs(weights).max(axis=1) / 127).astype(np.float32)
    codes = np.rint(weights / scale[:, None]).astype(np.int8).view(np.uint8)
    ones = np.ones((len(weights), 1), np.uint8)
    return QuantizedTensor(FORMATS["int8"], weights.shape[1], codes, ones, ones * 0, scale)


def device_decoder(model: DecoderModel) -> Decoder:
    return Decoder(model, DeviceLinears(GoldenDevice(), {name: int8(w) for name, w in model.linears.items()}))


def plain_llama(model: DecoderModel, tokens: list[int]) -> npt.NDArray[np.float64]:
    """Logits [T, vocab] in float64, from all tokens at once: no cache, a loop over heads, RoPE in complex numbers."""
    attention, weight = model.graph.attention, {name: w.astype(np.float64) for name, w in model.tensors.items()}
    size, past = attention.size, np.tril(np.ones((len(tokens), len(tokens)), bool))
    frequencies = CONFIG["rope_theta"] ** (-2 * np.arange(size // 2) / size)
    turns = np.exp(1j * np.arange(len(tokens))[:, None] * frequencies)

    def norm(x, name):
        return weight[name] * x / np.sqrt((x**2).mean(-1, keepdims=True) + CONFIG["rms_norm_eps"])

    def turned(x):
        y = (x[:, : size // 2] + 1j * x[:, size // 2 :]) * turns
        return np.concatenate([y.real, y.imag], axis=1)

    x = weight["model.embed_tokens.weight"][tokens]
    for n in range(len(model.graph.layers)):
        layer = f"model.layers.{n}."
        h = norm(x, layer + "input_layernorm.weight")
        q, k, v = (h @ weight[f"{layer}self_attn.{name}_proj.weight"].T for name in "qkv")
        mixed = []
        for head in range(attention.heads):
            mine = slice(head * size, (head + 1) * size)
            shared_head = head * attention.groups // attention.heads
            shared = slice(shared_head * size, (shared_head + 1) * size)
            scores = np.einsum("td,sd->ts", turned(q[:, mine]), turned(k[:, shared])) / np.sqrt(size)
            powers = np.exp(scores) * past
            mixed.append(np.einsum("ts,sd->td", powers / powers.sum(1, keepdims=True), v[:, shared]))
        x = x + np.concatenate(mixed, axis=1) @ weight[layer + "self_attn.o_proj.weight"].T
        h = norm(x, layer + "post_attention_layernorm.weight")
        gate, up = (h @ weight[f"{layer}mlp.{name}_proj.weight"].T for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight[layer + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ weight[model.graph.head.linear.weight].T


def test_float_decoder_is_a_llama(model: DecoderModel) -> None:
    logits = float_decoder(model).step(TOKENS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, plain_llama(model, TOKENS), rtol=0, atol=FLOAT32_ROUNDING)


def test_float_decoder_is_that_of_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = write_tiny_llama(tmp_path / "model", head_dim=32, rope_theta=500.0)
    reference = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        expected = reference(torch.tensor([TOKENS])).logits[0].numpy()
    np.testing.assert_allclose(float_decoder(load_folder(folder)).step(TOKENS), expected, rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("cuts", [[1, 2, 3, 4, 5, 6, 7], [5], [3, 4]])
def test_cache_changes_nothing(model: DecoderModel, cuts: list[int]) -> None:
    decoder = float_decoder(model)
    parts = [decoder.step(list(part)) for part in np.split(np.array(TOKENS), cuts)]
    assert decoder.position == len(TOKENS)
    whole = float_decoder(model).step(TOKENS)
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=FLOAT32_ROUNDING)


def test_decoder_ends_with_the_context(model: DecoderModel) -> None:
    decoder = float_decoder(model)
    decoder.step([1] * 32)
    with pytest.raises(ValueError, match=r"^33 tokens do not fit into a context of 32$"):
        decoder.step([1])


def test_gates_of_any_size_are_finite(model: DecoderModel) -> None:
    tensors = {name: w * 1e4 if "gate" in name else w for name, w in model.tensors.items()}
    large = DecoderModel(model.graph, tensors, model.tokenizer)
    assert np.isfinite(float_decoder(large).step(TOKENS)).all()


@pytest.mark.parametrize("make", [float_decoder, device_decoder])
def test_overflow_is_explained(model: DecoderModel, make) -> None:
    tensors = {name: w * 1e30 if "up_proj" in name or "down_proj" in name else w for name, w in model.tensors.items()}
    with pytest.raises(InputError, match=r"^the model's activations overflow float32$"):
        make(DecoderModel(model.graph, tensors, model.tokenizer)).step(TOKENS)


def test_device_linears_are_exact_on_integers() -> None:
    rng = np.random.default_rng(0)
    weights, x = rng.integers(-128, 128, (5, 16)), rng.integers(-127, 128, (3, 16))
    x[:, 0] = 127  # so that every token's scale is 1
    ones = np.ones((5, 1), np.uint8)
    channel_scale = np.array([1, 2, 0.5, 0, -4], np.float32)
    tensor = QuantizedTensor(FORMATS["int8"], 16, weights.astype(np.uint8), ones, ones * 0, channel_scale)
    linears = DeviceLinears(GoldenDevice(), {"w": tensor})
    y = linears("w", x.astype(np.float32))
    assert y.dtype == np.float32
    assert (y == x @ weights.T * channel_scale).all()
    assert linears.calls == 1


def test_device_linears_apply_the_unit() -> None:
    weights = np.array([[0.5, -6, 8, 1.5]], np.float32)  # values of bitmod-fp4, whose unit is a half
    codes = np.array([[1, 15, 8, 3]], np.uint8)
    tensor = QuantizedTensor(
        FORMATS["bitmod-fp4"],
        4,
        codes,
        np.full((1, 1), 3, np.uint8),
        np.full((1, 1), 2, np.uint8),
        np.ones(1, np.float32),
    )
    x = np.array([[127, 1, 2, 3], [0, 0, 0, 0]], np.float32)
    assert (DeviceLinears(GoldenDevice(), {"w": tensor})("w", x) == 3 * x @ weights.T).all()


def test_activations_round_half_to_even_per_token() -> None:
    x = np.array([[127, 0.5, 1.5, -2.5], [254, 1, 3, -5], [0, 0, 0, 0], [1e-40, 0, 0, -1e-40]], np.float32)
    codes, scales = quantize_activations(x)
    assert codes.dtype == np.int8
    assert scales.dtype == np.float32
    assert codes.tolist() == [[127, 0, 2, -2], [127, 0, 2, -2], [0] * 4, [0] * 4]
    assert scales.tolist() == [1, 2, 0, 0]


def test_activations_of_any_magnitude_fit() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 64)) * 10.0 ** rng.uniform(-36, 36, (300, 1))).astype(np.float32)
    codes, scales = quantize_activations(x)
    assert (np.abs(codes).max(axis=1) == 127).all()
    assert (np.abs(codes * scales[:, None] - x) <= 0.50001 * scales[:, None]).all()


def test_int8_device_is_near_the_float_model(model: DecoderModel) -> None:
    found = agreement_with_float(model, TOKENS, device_decoder(model).step(TOKENS))
    assert found.top1 >= 0.75
    assert 0 < found.kl < 0.01


def test_agreement_of_known_distributions() -> None:
    reference = np.log(np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], np.float32))
    other = np.log(np.array([[0.25, 0.5, 0.25], [0.2, 0.2, 0.6]], np.float32))
    found = agreement(reference, other + 3)
    assert found.top1 == 0.5
    assert found.kl == pytest.approx((0.5 * np.log(2) - 0.25 * np.log(2)) / 2)
    assert agreement(reference, reference).kl == 0


def test_greedy_takes_the_most_probable_token(model: DecoderModel) -> None:
    seen: list[int] = []
    made = generate_text(float_decoder(model), TOKENS, 4, on_token=seen.append)
    assert made.continuation == tuple(seen)
    assert made.tokens == (*TOKENS, *seen)
    logits = plain_llama(model, list(made.tokens[:-1]))
    np.testing.assert_allclose(made.logits, logits, rtol=0, atol=FLOAT32_ROUNDING)
    assert made.continuation == tuple(logits[len(TOKENS) - 1 :].argmax(axis=1))


def test_generation_stops_where_it_must(model: DecoderModel) -> None:
    made = generate_text(float_decoder(model), TOKENS, 6).continuation
    assert len(made) == 6
    first = made.index(made[2])
    assert generate_text(float_decoder(model), TOKENS, 6, stop=[made[2]]).continuation == made[: first + 1]
    # The last token that fits into the context is fed, and one more comes out.
    assert len(generate_text(float_decoder(model), TOKENS, 100).continuation) == 32 - len(TOKENS) + 1
    assert len(generate_text(float_decoder(model), TOKENS * 4, 100).continuation) == 1


def test_sampling_follows_the_seed(model: DecoderModel) -> None:
    def sampled(temperature: float, seed: int) -> tuple[int, ...]:
        return generate_text(float_decoder(model), TOKENS, 8, sampling=Sampling(temperature, seed=seed)).continuation

    greedy = generate_text(float_decoder(model), TOKENS, 8).continuation
    assert sampled(2.0, 1) == sampled(2.0, 1)
    assert sampled(2.0, 1) != sampled(2.0, 2)
    assert sampled(1e-320, 1) == greedy
