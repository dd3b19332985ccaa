"""Text from a decoder, one token after the other, or several at a time where a draft of them proves right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from einloom.models.linears import Floats
from einloom.spec.sampling import GREEDY, Sampling

LONGEST_CLUE = 3
"""Tokens at the end of a text that are looked up in it; fewer where so many never came before."""


class TextDecoder(Protocol):
    """A model at some position of a text: `position` tokens seen of at most `context`."""

    @property
    def position(self) -> int: ...

    @property
    def context(self) -> int: ...

    def step(self, tokens: list[int]) -> Floats:
        """Logits [rows, vocab] after the last `rows` of the next `tokens`, at least after the last one."""

    def rewind(self, position: int) -> None:
        """Go on at `position`, as if the tokens from there on had not been read."""


Drafter = Callable[[Sequence[int], int], Sequence[int]]
"""Guesses up to so many tokens that go on with a text."""


def look_up(tokens: Sequence[int], count: int) -> Sequence[int]:
    """A draft from the text itself: what followed the last time that it went as it does now.

    Source: prompt look-up decoding (Saxena, 2023). The longest end of the text, of up to LONGEST_CLUE tokens, that came
    before is the clue; nothing where even the last token is new.
    """
    text = np.asarray(tokens)
    for length in range(min(LONGEST_CLUE, len(text) - 1), 0, -1):
        windows = np.lib.stride_tricks.sliding_window_view(text[:-1], length)
        found = np.flatnonzero((windows == text[-length:]).all(axis=1))
        if len(found):
            start = int(found[-1]) + length
            return [int(t) for t in text[start : start + count]]
    return []


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens with which both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


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
    sampling: Sampling = GREEDY,
    at_once: int = 1,
    drafter: Drafter = look_up,
    on_token: Callable[[int], None] | None = None,
) -> Generation:
    """Continue `prompt` by up to `count` >= 1 tokens with a decoder that has seen nothing yet.

    Parameters
    ----------
    stop : tokens that end the text; it also ends where the decoder's context is full.
    at_once : tokens that the decoder reads in a step. Above 1 the `drafter` guesses those behind the last token, and
        they are kept as far as they are what would have been chosen. So the text is the same, from fewer steps
        (Leviathan et al., ICML 2023, with a draft that is certain of itself). The decoder must give logits after each.
    on_token : called with every token as it is made.
    """
    rng = np.random.default_rng(sampling.seed)
    logits, continuation = [decoder.step(list(prompt))], list[int]()

    def finished(token: int, position: int) -> bool:
        """Take a token that was chosen with `position` tokens read; True when it is the last one."""
        continuation.append(token)
        if on_token is not None:
            on_token(token)
        return len(continuation) == count or token in stop or position == decoder.context

    token = sampling.choose(logits[-1][-1], rng)
    done = finished(token, decoder.position)
    while not done:
        start = decoder.position
        unbroken = getattr(decoder, "unbroken", at_once)  # of a step of several jobs the last one's logits would come
        room = min(at_once, unbroken, decoder.context - start, count - len(continuation)) - 1
        draft = list(drafter([*prompt, *continuation], room)) if room > 0 else []
        rows, read = decoder.step([token, *draft]), 0
        for row, guess in zip(rows, [*draft, None], strict=True):
            read += 1
            token = sampling.choose(row, rng)
            done = finished(token, start + read)
            if done or token != guess:
                break
        logits.append(rows[:read])
        if read < len(rows):
            decoder.rewind(start + read)
    return Generation(tuple(prompt), tuple(continuation), np.concatenate(logits))
