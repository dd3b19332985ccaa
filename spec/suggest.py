"""'Did you mean ...?' for misspelt names."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause with the nearest of `known`, or nothing when none is near; it starts with its own punctuation."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""
