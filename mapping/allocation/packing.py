"""Addresses for runs whose steps are fixed: dynamic storage allocation."""

import random
from collections.abc import Sequence

from einloom.mapping.allocation.schedule import Run

TRIES = 300
"""Orders of placing runs that are tried before it is given up."""


def pack(runs: Sequence[Run], words: int, tries: int = TRIES) -> dict[Run, int] | None:
    """An address for each run, so that no two that meet share a word, within `words`; None when none was found."""
    addresses, height = lowest(runs, words, tries)
    return addresses if height <= words else None


def lowest(runs: Sequence[Run], words: int = 0, tries: int = TRIES) -> tuple[dict[Run, int], int]:
    """Addresses that end as low as was found, and where they end; the first that end within `words`.

    Runs are placed one by one where they lie lowest, in several orders; then, as long as there are tries, those that
    end highest are placed earlier.
    """
    meeting = _meeting(runs)
    orders = [
        sorted(runs, key=lambda run: (-run.words, run)),
        sorted(runs, key=lambda run: (-run.words * (run.last - run.first + 1), run)),
        sorted(runs, key=lambda run: (run.first - run.last, -run.words, run)),
        sorted(runs),
    ]
    goal = max(words, _bound(runs))
    best: tuple[int, dict[Run, int], list[Run]] | None = None
    for order in orders:
        addresses, height = _place(order, meeting)
        if best is None or height < best[0]:
            best = height, addresses, order
    assert best is not None
    chance = random.Random(1)
    for _ in range(tries if runs else 0):
        if best[0] <= goal:
            break
        order = list(best[2])
        highest = [run for run in order if best[1][run] + run.words == best[0]]
        for run in (highest[0], chance.choice(order)):
            order.remove(run)
            order.insert(chance.randrange(len(order) // 2 + 1), run)
        addresses, height = _place(order, meeting)
        if height <= best[0]:
            best = height, addresses, order
    return best[1], best[0]


def _bound(runs: Sequence[Run]) -> int:
    """Most words that are there at once."""
    return max((sum(r.words for r in runs if r.first <= run.first <= r.last) for run in runs), default=0)


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


def _place(order: Sequence[Run], meeting: dict[Run, list[Run]]) -> tuple[dict[Run, int], int]:
    """Each run where it lies lowest beside those before it."""
    addresses: dict[Run, int] = {}
    height = 0
    for run in order:
        address = 0
        for start, end in sorted((addresses[o], addresses[o] + o.words) for o in meeting[run] if o in addresses):
            if start - address >= run.words:
                break
            address = max(address, end)
        addresses[run] = address
        height = max(height, address + run.words)
    return addresses, height
