"""Addresses for things of which it is known which are there at the same time: dynamic storage allocation."""

import random
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from einloom.mapping.allocation.schedule import Run, live_words

Thing = TypeVar("Thing", bound=Hashable)
TRIES = 300
"""Orders of placing things that are tried before it is given up."""


def pack(runs: Sequence[Run], words: int, tries: int = TRIES) -> dict[Run, int] | None:
    """An address for each run, so that no two that meet share a word, within `words`; None when none was found."""
    addresses, height = lowest_runs(runs, words, tries)
    return addresses if height <= words else None


def lowest_runs(runs: Sequence[Run], words: int = 0, tries: int = TRIES) -> tuple[dict[Run, int], int]:
    """Addresses that end as low as was found, and where they end; the first that end within `words`."""
    orders = [
        sorted(runs, key=lambda run: (-run.words, run)),
        sorted(runs, key=lambda run: (-run.words * (run.last - run.first + 1), run)),
        sorted(runs, key=lambda run: (run.first - run.last, -run.words, run)),
        sorted(runs),
    ]
    most = max(live_words(runs, max((run.last for run in runs), default=-1) + 1), default=0)
    return lowest({run: run.words for run in runs}, _meeting(runs), orders, max(words, most), tries)


def lowest(
    words: Mapping[Thing, int],
    meeting: Mapping[Thing, Collection[Thing]],
    orders: Sequence[Sequence[Thing]],
    goal: int,
    tries: int = TRIES,
) -> tuple[dict[Thing, int], int]:
    """Addresses that end as low as was found, and where they end.

    Things are placed one by one where they lie lowest beside those that they meet, in several orders; then, until they
    end within `goal` or there are no more tries, those that end highest are placed earlier.
    """
    found = [(*_place(order, words, meeting), order) for order in orders]
    addresses, height, order = min(found, key=lambda placed: placed[1])
    chance = random.Random(1)
    for _ in range(tries if words else 0):
        if height <= goal:
            break
        changed = list(order)
        highest = next(thing for thing in order if addresses[thing] + words[thing] == height)
        for thing in (highest, chance.choice(changed)):
            changed.remove(thing)
            changed.insert(chance.randrange(len(changed) // 2 + 1), thing)
        placed, end = _place(changed, words, meeting)
        if end <= height:
            addresses, height, order = placed, end, changed
    return addresses, height


def _meeting(runs: Sequence[Run]) -> dict[Run, list[Run]]:
    found: dict[Run, list[Run]] = {run: [] for run in runs}
    in_order = sorted(runs)
    for n, run in enumerate(in_order):
        for other in in_order[n + 1 :]:
            if other.first > run.last:
                break
            found[run].append(other)
            found[other].append(run)
    return found


def _place(
    order: Sequence[Thing], words: Mapping[Thing, int], meeting: Mapping[Thing, Collection[Thing]]
) -> tuple[dict[Thing, int], int]:
    """Each thing where it lies lowest beside those before it, and where they end."""
    addresses: dict[Thing, int] = {}
    height = 0
    for thing in order:
        address = 0
        for start, end in sorted((addresses[o], addresses[o] + words[o]) for o in meeting[thing] if o in addresses):
            if start - address >= words[thing]:
                break
            address = max(address, end)
        addresses[thing] = address
        height = max(height, address + words[thing])
    return addresses, height
