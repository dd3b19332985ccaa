"""Jobs of all kinds back to back: tests/core_soak.py says what they are."""

from collections.abc import Iterator

import pytest

from einloom.spec.isa import CoreError
from tests.core_bed import Bed
from tests.core_soak import soak, soak_bed


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    bed = soak_bed()
    yield bed
    bed.close()


def test_thirty_jobs_leave_no_trace(bed: Bed) -> None:
    assert soak(bed, seed=2, jobs=30).jobs >= 30


@pytest.mark.slow
def test_three_hundred_jobs_on_attention_lanes_leave_no_trace() -> None:
    bed = soak_bed(lanes=True)
    try:
        assert soak(bed, seed=3, jobs=300).jobs >= 300
    finally:
        bed.close()


@pytest.mark.slow
def test_a_thousand_jobs_leave_no_trace(bed: Bed) -> None:
    run = soak(bed, seed=1, jobs=1000)
    assert run.jobs >= 1000
    ends = {end.split(": ")[1] for end in run.ends}
    expected = {error.name for error in CoreError if error is not CoreError.PARITY}
    assert ends >= expected - {CoreError.PERMITS.name} | {"RESET"}
