"""Random cores run random models, on memory of any temper, and are golden."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import Phase, seed
from hypothesis import strategies as st

from einloom.spec.config import Config
from einloom.spec.memory_timing import MemoryTiming
from tests.core_bed import Bed, Shape, core_design, random_program, random_tokens
from tests.core_strategies import cores_with_models, timings
from tests.properties import given, settings

FIRST = 9  # makes a core that is built quickly, of an engine that no other default test has in a core
MANY = [n for n in range(41) if n != FIRST]
TEXTS = st.lists(timings, min_size=3, max_size=3)


def check(config: Config, shape: Shape, weights: int, tempers: Sequence[MemoryTiming]) -> None:
    """A text for each memory: a prompt of any length, then some tokens."""
    rng = np.random.default_rng(weights)
    try:
        design = core_design(config)
        bed = Bed(design, random_program(design.manifest, shape, weights))
        try:
            for timing in tempers:
                length = int(rng.integers(1, shape.context - 2))
                bed.check_text(random_tokens(rng, shape, length), random_tokens(rng, shape, 2), timing)
        finally:
            bed.close()
    except Exception as error:
        error.add_note(f"config: {json.dumps(config.model_dump(mode='json'))}, {shape}, weights {weights}, {tempers}")
        raise


def sweep(number: int) -> None:
    """The first random core of a seed, behind Hypothesis' simplest one, which is left out; nothing is shrunk, for that
    would build dozens of cores."""
    drawn_so_far = 0

    @seed(number)
    @settings(max_examples=2, derandomize=False, database=None, phases=[Phase.generate])
    @given(drawn=cores_with_models(), weights=st.integers(0, 1 << 30), tempers=TEXTS)
    def cores_are_golden(drawn: tuple[Config, Shape], weights: int, tempers: list[MemoryTiming]) -> None:
        nonlocal drawn_so_far
        drawn_so_far += 1
        if drawn_so_far > 1:
            check(*drawn, weights, tempers)

    cores_are_golden()
    assert drawn_so_far == 2


def test_random_cores_are_golden() -> None:
    sweep(FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("number", MANY)
def test_many_random_cores_are_golden(number: int) -> None:
    sweep(number)
