"""models/conversation.py: answers come piece by piece, and what was read is not read again."""

import dataclasses
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from einloom.cli.run import run
from einloom.models.conversation import Conversation, TextStream
from einloom.models.decoder_model import DecoderModel
from einloom.models.float_decoder import Decoder
from einloom.models.importer.huggingface import load_folder
from einloom.models.linears import FloatLinears, Floats
from einloom.spec.errors import InputError
from einloom.spec.sampling import GREEDY, Sampling
from tests.tiny_llama import write_tiny_llama

TEMPLATE = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}a:"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DecoderModel:
    folder = write_tiny_llama(tmp_path_factory.mktemp("model"), max_position_embeddings=96)
    return dataclasses.replace(load_folder(folder), chat_template=TEMPLATE)


class Counting(Decoder):
    """A decoder that counts the tokens that it reads."""

    read = 0

    def step(self, tokens: list[int]) -> Floats:
        self.read += len(tokens)
        return super().step(tokens)


def conversation(model: DecoderModel, decoder: Decoder, at_once: int = 1) -> Conversation:
    return Conversation(model, decoder, tokens=9, sampling=GREEDY, at_once=at_once)


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_second_answer_is_that_of_the_whole_text_read_anew(model: DecoderModel, at_once: int) -> None:
    kept = Counting(model, FloatLinears(model.linears))
    talk = conversation(model, kept, at_once)
    for message in ("Hello", "And then?"):
        before, pieces = list(talk.messages), list[str]()
        found = talk.answer(message, pieces.append)
        assert "".join(pieces) == talk.messages[-1]["content"]
        anew = conversation(model, Decoder(model, FloatLinears(model.linears)))
        anew.messages = before
        assert anew.answer(message).continuation == found.continuation
    assert [m["role"] for m in talk.messages] == ["user", "assistant"] * 2
    assert kept.read < 1.3 * kept.position or at_once > 1


def test_a_message_that_does_not_fit_is_none_of_the_conversation(model: DecoderModel) -> None:
    talk = conversation(model, Decoder(model, FloatLinears(model.linears)))
    talk.answer("Hi")
    with pytest.raises(InputError, match="the model's context is 96"):
        talk.answer("x" * 100)
    assert len(talk.messages) == 2
    talk.answer("again")


def test_characters_are_held_back_until_all_their_bytes_are_there(model: DecoderModel) -> None:
    pieces = list[str]()
    stream = TextStream(model.tokenizer, pieces.append)
    for token in model.tokenizer.encode("aé漢").ids:
        stream.add(token)
    assert pieces == ["a", "é", "漢"]
    stream.add(model.tokenizer.encode("é").ids[0])
    assert len(pieces) == 3
    stream.end()
    assert stream.text == "aé漢\N{REPLACEMENT CHARACTER}"


def test_the_command_answers_each_line(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(run)
    folder = write_tiny_llama(tmp_path / "model", head_dim=32)
    (folder / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    options = [str(folder), "-c", "default", "--chat", "--backend", "golden", "-n", "3"]
    result = CliRunner().invoke(app, options, input="To\n\nbe\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") >= 2
    assert result.stderr.count("3 tokens, ") == 2


def test_sampled_answers_follow_the_seed(model: DecoderModel) -> None:
    def answer(seed: int) -> tuple[int, ...]:
        decoder = Decoder(model, FloatLinears(model.linears))
        talk = Conversation(model, decoder, tokens=12, sampling=Sampling(1.0, seed=seed))
        return talk.answer("Hello").continuation

    assert answer(1) == answer(1) != answer(2)
