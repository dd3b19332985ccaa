"""Texts that a model is calibrated on: a given one, or what it writes by itself.

A model's own samples are in its own language and tokens, and need no file (self-calibration: Williams et al., 2024). A
text of the kind that the model will read is better.
"""

import numpy as np
import numpy.typing as npt

from einloom.models.decoder_model import DecoderModel
from einloom.models.float_attention import AttentionFunction, float_attention
from einloom.models.float_decoder import Decoder
from einloom.models.linears import FloatLinears
from einloom.spec.errors import InputError
from einloom.spec.sampling import Sampling

TEXTS = 32
TOKENS = 64
"""Of each text that the model writes; less where its context is shorter."""
WINDOWS, WINDOW = 64, 128
"""Most windows of a given text, and tokens of each; less where the model's context is shorter."""
SIDE_BY_SIDE = 64
"""Conversations that are written at once."""
TEMPERATURE = 0.7
"""Of their tokens: between what a model says to a user, who takes little above 0, and all that it could."""
MARK = "\ue000"
"""Stands for the user's words in a chat template; a character that no template has."""


def self_texts(
    model: DecoderModel, *, texts: int = TEXTS, seed: int = 0, attention: AttentionFunction = float_attention
) -> npt.NDArray[np.int64]:
    """Tokens [texts, T] that the float model writes, sampled at temperature 1; all texts are written side by side.

    Every other one begins as the model's texts do: with what the tokenizer puts before any text, or BOS where it does
    not. The first token matters most to a cache: its keys and values are often twenty times larger than all others. The
    other texts begin with a random token, as a text without a beginning would.
    """
    sampling = Sampling(temperature=1.0)
    rng, length = np.random.default_rng(seed), min(TOKENS, model.graph.context)
    written = rng.integers(model.graph.vocab, size=(texts, length))
    begins = beginning(model)[:length]
    written[::2, : len(begins)] = begins
    decoder = Decoder(model, FloatLinears(model.linears), attention, texts=texts)
    for at in range(length - 1):
        logits = decoder.step(written[:, at].tolist())
        for n, row in enumerate(logits):
            if at + 1 >= (len(begins) if n % 2 == 0 else 1):
                written[n, at + 1] = sampling.choose(row, rng)
    return written


def windows(
    model: DecoderModel, text: str, *, least: int = 1, most: int | None = WINDOWS, length: int = WINDOW
) -> npt.NDArray[np.int64]:
    """Tokens [texts, T] of a given text: windows of `length` or the context that lie evenly over it, up to `most`.

    Every other one begins as the model's texts do. InputError when the text is shorter than `least` windows.
    """
    ids = np.array(model.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
    length = min(length, model.graph.context)
    if len(ids) < least * length:
        raise InputError(f"the text to calibrate on has {len(ids)} tokens: give at least {least * length}")
    count = len(ids) // length if most is None else min(most, len(ids) // length)
    starts = np.linspace(0, len(ids) - length, count).astype(np.int64)
    cut: npt.NDArray[np.int64] = ids[starts[:, None] + np.arange(length)]
    begins = beginning(model)[:length]
    cut[::2, : len(begins)] = begins
    return cut


def conversations(
    model: DecoderModel, tokens: int, *, length: int, seed: int = 0, attention: AttentionFunction = float_attention
) -> str:
    """Conversations that the float model writes by itself, both sides of them: at least so many `tokens` of text.

    What its chat template puts before a user's words makes it ask, and its question makes it answer (Magpie: Xu et al.,
    2024). Each conversation has `length` tokens, or the model's context, and up to SIDE_BY_SIDE are written at once.
    InputError for a model without a chat template, or with one that doesn't give the user's words.
    """
    opening, length = _before_a_question(model), min(length, model.graph.context)
    if len(opening) >= length:
        raise InputError(f"the model's chat template takes {len(opening)} tokens of {length}: no room for a question")
    sampling, rng, found = Sampling(temperature=TEMPERATURE), np.random.default_rng(seed), list[str]()
    for done in range(0, -(-tokens // length), SIDE_BY_SIDE):
        written = np.empty((min(SIDE_BY_SIDE, -(-tokens // length) - done), length), np.int64)
        written[:, : len(opening)] = opening
        decoder = Decoder(model, FloatLinears(model.linears), attention, texts=len(written))
        if len(opening) > 1:
            decoder.read(written[:, : len(opening) - 1].ravel().tolist())
        for at in range(len(opening), length):
            logits = decoder.step(written[:, at - 1].tolist())
            written[:, at] = [sampling.choose(row, rng) for row in logits]
        found += model.tokenizer.decode_batch(written.tolist(), skip_special_tokens=False)
    return "".join(found)


def _before_a_question(model: DecoderModel) -> list[int]:
    """The tokens of the chat template before a user's first words."""
    if not model.chat_template:
        raise InputError("the model has no chat template, so it can't write conversations: give it a text")
    before, found, _ = model.rendered([{"role": "user", "content": MARK}]).partition(MARK)
    if not found:
        raise InputError("the model's chat template leaves the user's words out: give it a text")
    tokens: list[int] = model.tokenizer.encode(before, add_special_tokens=False).ids
    if not tokens:
        raise InputError("the model's chat template has nothing before the user's words: give it a text")
    return tokens


def beginning(model: DecoderModel) -> list[int]:
    """What the tokenizer puts before any text, or BOS where it puts nothing; empty for a model that has neither."""
    begins: list[int] = model.tokenizer.encode("").ids
    if not begins and model.bos is not None and model.bos < model.graph.vocab:
        begins = [model.bos]
    return begins
