"""Requests inside a window get their addresses; all others are refused in their turn."""

import random

import pytest

from einloom.hw.bus.window import WindowCheck
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES

PARTS = {64: WindowCheck(64), 512: WindowCheck(512, address_bits=40)}
TOP = {64: 1 << 64, 512: 1 << 40}


def requests(beat: int, size: int, seed: int) -> list[dict[str, int]]:
    """At the ends of a window of `size` bytes, far outside it, not aligned, of no beats; many of them good."""
    rng = random.Random(seed)
    whole = size // beat
    some = [(0, whole), (0, whole + 1), (size - beat, 1), (size, 1), (size - beat, 2), (0, 0), (1, 1), (beat // 2, 1)]
    some += [((1 << 40) - beat, (1 << 24) - 1), (0, (1 << 24) - 1), ((1 << 40) - beat, 1)]
    some += [(rng.randrange(whole + 4) * beat, rng.randrange(whole + 4)) for _ in range(60)]
    rng.shuffle(some)
    return [{"offset": offset, "beats": beats} for offset, beats in some]


def inside(request: dict[str, int], beat: int, base: int, size: int, top: int) -> bool:
    end = request["offset"] + request["beats"] * beat
    aligned = request["offset"] % beat == 0 and base % beat == 0
    return request["beats"] > 0 and aligned and end <= size and base + size <= top


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("place", ["low", "at the top", "beyond the top", "not aligned"])
@pytest.mark.parametrize("bits", PARTS)
def test_just_what_lies_inside_the_window_passes(bits: int, place: str, pause: float) -> None:
    beat, top, size = bits // 8, TOP[bits], 40 * bits // 8
    base = {"low": 3 * beat, "at the top": top - size, "beyond the top": top - size + beat, "not aligned": beat + 1}[
        place
    ]
    given = requests(beat, size, seed=bits)
    refused = 0

    def count(cycle: Cycle) -> None:
        nonlocal refused
        refused += cycle["refused"]

    bench = PartBench(
        PARTS[bits],
        {"i": given},
        held={"base": base, "size": size},
        pauses={"i": pause, "o": pause},
        partners=[count],
        cycles=300,
    )
    good = [r for r in given if inside(r, beat, base, size, top)]
    run = bench.check(lambda _: {"o": [{"address": base + r["offset"], "beats": r["beats"]} for r in good]})
    assert refused == len(given) - len(good)
    if not pause:
        # Two cycles behind, one in every cycle, in order with the refused ones.
        assert run.cycles["o"] == [n + 2 for n, r in enumerate(given) if r in good]


def test_a_cleared_check_forgets_its_requests() -> None:
    part = PARTS[64]
    held = {"size": 1 << 20, "clear": [0, 0, 1, 0]}
    bench = PartBench(part, {"i": [{"offset": 8 * n, "beats": 1} for n in range(6)]}, held=held, watch=["busy"])
    # The first leaves in the cycle of the clear; two are inside then.
    run = bench.check(lambda _: {"o": [{"address": 8 * n, "beats": 1} for n in (0, 3, 4, 5)]})
    assert run.traces["busy"][:4] == [0, 1, 1, 0]
