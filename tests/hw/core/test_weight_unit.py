"""One request to every weight channel for each instruction."""

import pytest

from einloom.hw.core.weight_unit import WeightUnit
from einloom.sim.bench.part_bench import PartBench
from tests.hw.around import PAUSES, instruction

SPANS = [(0, 1), (7, 3), (5, 0), (5, 0), ((1 << 32) - 1, (1 << 24) - 1), (12, 0), (1, 9), (2, 8)]
"""(first beat, beats); none, and the most that the fields can say."""
PARTS = {shape: WeightUnit(*shape) for shape in ((1, 64), (3, 512))}


def check(part: WeightUnit, pauses: dict[str, float], **options: object) -> list[list[int]]:
    """Requests as the instruction set has them; returns the cycles of each channel's."""
    bench = PartBench(
        part,
        {"instruction": [instruction("weights", offset=offset, beats=beats) for offset, beats in SPANS]},
        pauses=pauses,
        **options,
    )
    expected = [{"offset": o * part.beat_bits // 8, "beats": beats} for o, beats in SPANS if beats]
    run = bench.check(lambda _: {f"requests_{n}": expected for n in range(part.channels)})
    return [run.cycles[f"requests_{n}"] for n in range(part.channels)]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", PARTS)
def test_every_channel_gets_every_request_that_is_not_empty(shape: tuple[int, int], pause: float) -> None:
    channels, _ = shape
    cycles = check(PARTS[shape], {"instruction": pause, **{f"requests_{n}": pause for n in range(channels)}})
    if not pause:
        # An instruction a cycle, also those that ask for nothing.
        assert cycles == [[n for n, (_, beats) in enumerate(SPANS) if beats]] * channels


def test_an_instruction_is_complete_when_the_slowest_channel_has_taken_its_request() -> None:
    slow = [1, 1, 1, 0]
    cycles = check(PARTS[3, 512], {"requests_1": slow})
    first, second, third = cycles
    assert [before < after for before, after in zip(second, first[1:], strict=False)] == [True] * (len(first) - 1)
    assert first == third
