"""models/text_generation.py: sampling, drafts, and the same text from fewer steps."""

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.models.text_generation import generate_text, look_up
from einloom.spec.errors import InputError
from einloom.spec.sampling import Sampling
from tests.properties import given, settings

VOCAB = 7


class Toy:
    """A decoder whose logits are a hash of the last two tokens, so that texts soon repeat themselves."""

    def __init__(self, context: int) -> None:
        self.context, self.read, self.steps = context, list[int](), 0

    @property
    def position(self) -> int:
        return len(self.read)

    def step(self, tokens: list[int]) -> np.ndarray:
        self.steps += 1
        rows = []
        for token in tokens:
            self.read.append(token)
            assert len(self.read) <= self.context
            rng = np.random.default_rng((self.read[-2:] + [0])[:2])
            rows.append(rng.normal(size=VOCAB).astype(np.float32))
        return np.stack(rows)

    def rewind(self, position: int) -> None:
        del self.read[position:]


@settings(max_examples=200)
@given(
    prompt=st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=6),
    count=st.integers(1, 40),
    context=st.integers(6, 50),
    at_once=st.integers(2, 9),
    temperature=st.sampled_from([0.0, 0.3, 1.0]),
    stop=st.sets(st.integers(0, VOCAB - 1), max_size=1),
    junk=st.booleans(),
)
def test_drafts_change_nothing_but_the_number_of_steps(
    prompt: list[int], count: int, context: int, at_once: int, temperature: float, stop: set[int], junk: bool
) -> None:
    sampling, slow, fast = Sampling(temperature, seed=3), Toy(context), Toy(context)
    expected = generate_text(slow, prompt, count, stop=tuple(stop), sampling=sampling)
    drafter = (lambda text, n: [text[0]] * n) if junk else look_up
    found = generate_text(fast, prompt, count, stop=tuple(stop), sampling=sampling, at_once=at_once, drafter=drafter)
    assert found.continuation == expected.continuation
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert fast.steps <= slow.steps


def test_a_text_that_repeats_itself_takes_fewer_steps() -> None:
    slow, fast = Toy(200), Toy(200)
    generate_text(slow, [1, 2], 100)
    generate_text(fast, [1, 2], 100, at_once=8)
    assert slow.steps == 100
    assert fast.steps < 50


@pytest.mark.parametrize(
    ("text", "count", "draft"),
    [
        ([1, 2, 3, 4, 1, 2, 3], 2, [4, 1]),
        ([5, 2, 9, 1, 2, 8, 7, 2], 3, [8, 7, 2]),  # the last time that it came
        ([9, 2, 3, 6, 1, 3, 7, 2, 3], 1, [6]),  # two tokens are a better clue than one
        ([1, 2, 3], 4, []),
        ([4], 4, []),
        ([4, 4], 4, [4]),
    ],
)
def test_a_draft_is_what_followed_the_last_time(text: list[int], count: int, draft: list[int]) -> None:
    assert list(look_up(text, count)) == draft


def chosen(sampling: Sampling, logits: np.ndarray) -> set[int]:
    rng = np.random.default_rng(0)
    return {sampling.choose(logits, rng) for _ in range(300)}


def test_top_k_and_top_p_leave_the_most_probable_tokens() -> None:
    logits = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
    assert chosen(Sampling(1.0), logits) == {0, 1, 2, 3}
    assert chosen(Sampling(1.0, top_k=2), logits) == {1, 3}
    assert chosen(Sampling(1.0, top_p=0.75), logits) == {1, 2, 3}
    assert chosen(Sampling(1.0, top_p=0.1), logits) == {1}
    assert chosen(Sampling(1.0, top_k=3, top_p=0.6), logits) == {1, 3}


def test_every_option_that_cannot_be_is_named() -> None:
    with pytest.raises(InputError, match="--temperature.*--top-k.*--top-p.*--seed"):
        Sampling(-1.0, top_k=-1, top_p=0.0, seed=-1)
    with pytest.raises(InputError, match="--temperature"):
        Sampling(float("nan"))
