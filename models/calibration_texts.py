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


def beginning(model: DecoderModel) -> list[int]:
    """What the tokenizer puts before any text, or BOS where it puts nothing; empty for a model that has neither."""
    begins: list[int] = model.tokenizer.encode("").ids
    if not begins and model.bos is not None and model.bos < model.graph.vocab:
        begins = [model.bos]
    return begins
