"""Text from a decoder, one token after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from einloom.models.linears import Floats


class TextDecoder(Protocol):
    """A model at some position of a text: `position` tokens seen of at most `context`."""

    @property
    def position(self) -> int: ...

    @property
    def context(self) -> int: ...

    def step(self, tokens: list[int]) -> Floats:
        """Logits [rows, vocab] after the last `rows` of the next `tokens`, at least after the last one."""


@dataclass(frozen=True)
class Generation:
    """Result of a generation.

    Attributes
    ----------
    prompt, continuation : tokens given and made; the continuation ends with the stop token if one came.
    logits : float32 [T, vocab], one row after each of the T tokens before the last. Rows cover the continuation, and
        as much of the prompt as the decoder gives.
    """

    prompt: tuple[int, ...]
    continuation: tuple[int, ...]
    logits: Floats

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.prompt + self.continuation


def generate_text(
    decoder: TextDecoder,
    prompt: Sequence[int],
    count: int,
    *,
    stop: Sequence[int] = (),
    temperature: float = 0.0,
    seed: int = 0,
    on_token: Callable[[int], None] | None = None,
) -> Generation:
    """Continue `prompt` by up to `count` >= 1 tokens with a decoder that has seen nothing yet.

    Parameters
    ----------
    stop : tokens that end the text; it also ends where the decoder's context is full.
    temperature : 0 takes the most probable token, anything above samples from softmax(logits / temperature).
    seed : seed of the sampling.
    on_token : called with every token as it is made.
    """
    rng = np.random.default_rng(seed)
    logits, continuation = [decoder.step(list(prompt))], list[int]()
    while True:
        token = choose(logits[-1][-1], temperature, rng)
        continuation.append(token)
        if on_token is not None:
            on_token(token)
        if len(continuation) == count or token in stop or decoder.position == decoder.context:
            return Generation(tuple(prompt), tuple(continuation), np.concatenate(logits))
        logits.append(decoder.step([token]))


def choose(logits: Floats, temperature: float, rng: np.random.Generator) -> int:
    """The next token, given the logits [vocab] of the last one."""
    if temperature == 0:
        return int(np.argmax(logits))
    # Relative to the maximum, so that a tiny temperature ends in the greedy choice: exp(-inf) is 0.
    with np.errstate(over="ignore"):
        weights = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    return int(rng.choice(len(logits), p=weights / weights.sum()))
