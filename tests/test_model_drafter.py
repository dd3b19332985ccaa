"""models/model_drafter.py: a model's guesses are what it would write itself, and change no text."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from einloom.cli.run import run
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from einloom.models.model_drafter import ModelDrafter
from einloom.models.text_generation import generate_text
from einloom.spec.errors import InputError
from tests.tiny_llama import write_tiny_llama

CONTEXT = 48


class Counting(Decoder):
    """A decoder that counts its steps."""

    steps = 0

    def step(self, tokens: list[int]) -> Floats:
        self.steps += 1
        return super().step(tokens)


def decoder(model: DecoderModel) -> Counting:
    return Counting(model, FloatLinears(model.linears))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    return load_folder(write_tiny_llama(tmp_path_factory.mktemp("model"), max_position_embeddings=CONTEXT))


def test_a_model_that_guesses_for_itself_is_always_right(model: DecoderModel) -> None:
    expected = generate_text(decoder(model), [1, 2, 3], 24)
    fast = decoder(model)
    found = generate_text(fast, [1, 2, 3], 24, at_once=4, drafter=ModelDrafter(model, of=model))
    assert found.continuation == expected.continuation
    assert fast.steps == 1 + -(-23 // 4)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_models_guesses_change_no_text(tmp_path: Path, model: DecoderModel, seed: int) -> None:
    """Also where its context ends before the other's."""
    other = load_folder(write_tiny_llama(tmp_path, seed=seed, max_position_embeddings=20))
    expected = generate_text(decoder(model), [1, 2, 3], 40)
    found = generate_text(decoder(model), [1, 2, 3], 40, at_once=5, drafter=ModelDrafter(other, of=model))
    assert found.continuation == expected.continuation


def test_guesses_are_the_models_own_text_wherever_it_is_asked(model: DecoderModel) -> None:
    drafter = ModelDrafter(model, of=model)
    for tokens in ([5, 6, 7, 8], [5, 6, 7, 8, 9, 10], [5, 6, 1], [5], [9, 9]):
        assert drafter(tokens, 3) == list(generate_text(decoder(model), tokens, 3).continuation)
    assert drafter([1] * CONTEXT, 3) == list(generate_text(decoder(model), [1] * CONTEXT, 1).continuation)
    assert drafter([1] * (CONTEXT + 1), 3) == []


def test_the_command_writes_the_same_text_and_refuses_other_tokens(tmp_path: Path) -> None:
    folder, other = write_tiny_llama(tmp_path / "model"), write_tiny_llama(tmp_path / "other")
    app = typer.Typer()
    app.command()(run)
    plain = [str(folder), "-c", "default", "--backend", "golden", "-p", "ab", "-n", "9", "--json"]
    drafted = [*plain, "--speculate", "4", "--draft", str(folder)]
    texts = [json.loads(CliRunner().invoke(app, words).stdout) for words in (plain, drafted)]
    assert texts[0]["text"] == texts[1]["text"]
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[:2]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused = CliRunner().invoke(app, [*plain, "--speculate", "4", "--draft", str(other)])
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception).startswith(
        "the model that drafts must have the tokens of the one that writes: 2 of its"
    )
