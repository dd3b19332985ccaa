"""The addresses of an operand in loops over tokens, outer and inner steps."""

import itertools
import random

import pytest

from einloom.hw.vector.address import ADDRESS_BITS, AddressWalk, Step
from einloom.sim.bench.part_bench import PartBench

PART = AddressWalk()
LOOPS = [  # tokens, outer, inner, base, strides of each
    ((3, 2, 4), 100, (50, 9, 1)),
    ((1, 1, 1), 7, (4095, 255, 1)),
    ((2, 3, 2), 65530, (4095, 255, 0)),
    ((4, 1, 5), 0, (0, 0, 1)),
    ((1, 5, 1), 65535, (1, 255, 1)),
]


@pytest.mark.parametrize("chance", [0.0, 0.5], ids=["full-rate", "paused"])
def test_addresses_are_the_base_and_multiples_of_the_strides(chance: float) -> None:
    rng = random.Random(2)
    names = ("base", "token_stride", "outer_stride", "inner_stride", "step", "enable")
    held: dict[str, list[int]] = {name: [] for name in names}
    expected: list[int | None] = [None]

    def cycle(step: Step, enable: int, base: int, strides: tuple[int, int, int]) -> None:
        for name, value in zip(names, (base, *strides, step.value, enable), strict=True):
            held[name].append(value)

    for counts, base, strides in LOOPS:
        before: tuple[int, ...] | None = None
        for now in itertools.product(*map(range, counts)):
            if before is None:
                step = Step.LOAD
            elif now[0] != before[0]:
                step = Step.TOKEN
            else:
                step = Step.OUTER if now[1] != before[1] else Step.INNER
            while rng.random() < chance:
                cycle(rng.choice(list(Step)), 0, base, strides)
                expected.append(expected[-1])
            cycle(step, 1, base, strides)
            expected.append((base + sum(n * s for n, s in zip(now, strides, strict=True))) % (1 << ADDRESS_BITS))
            before = now
    PartBench(PART, held=held, tail=0).check(lambda _: {"address": expected})


def test_the_token_stride_may_change_from_one_token_to_the_next() -> None:
    """What is given with a token is the stride from it to the next."""
    strides = [3, 10, 0, 7]
    held = {"base": 20, "enable": 1, "step": [Step.LOAD.value, *[Step.TOKEN.value] * 4], "token_stride": [*strides, 0]}
    PartBench(PART, held=held, tail=0).check(lambda _: {"address": [None, 20, 23, 33, 33, 40]})
