"""Places in the vector memory for regions that are never alive together: they share words.

A region is alive from the step that writes a word of it to the last one that reads what was written. That is found
word by word from the instructions themselves (mapping/check/footprint.py), so a region that each layer writes anew is
alive in a part of each layer only. Two regions that are alive at the same step never share a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from einloom.mapping.allocation.packing import lowest
from einloom.mapping.check.footprint import Footprints, Touched, Words
from einloom.mapping.regions import Memory, Region
from einloom.mapping.schedule.permits import Step

Alive = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SharedWords:
    """First words of regions, in the order of the regions, and the words that they take in all."""

    bases: tuple[int, ...]
    words: int


def share_words(steps: Sequence[Step], regions: Sequence[Region], footprints: Footprints, words: int) -> SharedWords:
    """Places for `regions` of the vector memory within `words`, or in as few as are found if these are too few.

    As many as fit keep words of their own, the small ones first: what shares words waits for each other.
    """
    alive = alive_at(steps, regions, footprints)
    sizes = [region.words * region.tokens for region in regions]
    least = _placed(alive, sizes, 0, words)
    if least.words > words:
        return least
    best, low, high = least, 0, len(sizes)
    while low < high:  # the most regions, from the smallest on, that can be alone
        alone = (low + high + 1) // 2
        found = _placed(alive, sizes, alone, words)
        if found.words <= words:
            best, low = found, alone
        else:
            high = alone - 1
    return best


def alive_at(steps: Sequence[Step], regions: Sequence[Region], footprints: Footprints) -> Alive:
    """Whether each region is alive at each step, [regions, steps]; steps are in program order."""
    owner = np.full(footprints.sizes[Memory.VECTOR], -1, np.int64)
    for n, region in enumerate(regions):
        owner[region.base : region.base + region.words * region.tokens] = n
    written = np.zeros(len(owner), np.int64)
    alive = np.zeros((len(regions), len(steps)), np.bool_)
    known: dict[int, tuple[list[tuple[int, Words]], list[tuple[int, Words]]]] = {}  # layers have many that are alike
    for t, step in enumerate(steps):
        touched = footprints.of(step.instruction)
        if id(touched) not in known:
            known[id(touched)] = _by_region(owner, touched.reads), _by_region(owner, touched.writes)
        reads, writes = known[id(touched)]
        for n, words in reads:
            alive[n, written[words].min() : t + 1] = True
        for n, words in writes:
            written[words] = t
            alive[n, t] = True
    return alive


def _by_region(owner: Words, touched: Touched) -> list[tuple[int, Words]]:
    """The words of the vector memory, region by region."""
    words = touched.get(Memory.VECTOR, np.zeros(0, np.int64))
    return [(int(n), words[owner[words] == n]) for n in np.unique(owner[words])]


def _placed(alive: Alive, sizes: Sequence[int], alone: int, goal: int) -> SharedWords:
    """Places when so many regions, the smallest, share with none."""
    by_size = sorted(range(len(sizes)), key=lambda n: (sizes[n], n))
    together = (alive.astype(np.int32) @ alive.astype(np.int32).T) > 0
    for n in by_size[:alone]:
        together[n, :] = together[:, n] = True
    meeting = {n: [int(m) for m in np.flatnonzero(together[n]) if m != n] for n in range(len(sizes))}
    spans = {n: int(np.count_nonzero(alive[n])) for n in range(len(sizes))}
    orders = [by_size[::-1], sorted(by_size, key=lambda n: (-spans[n] * sizes[n], n)), sorted(by_size)]
    most = int((np.array(sizes) @ alive).max(initial=0))
    addresses, height = lowest(dict(enumerate(sizes)), meeting, orders, max(goal, most))
    return SharedWords(tuple(addresses[n] for n in range(len(sizes))), height)
