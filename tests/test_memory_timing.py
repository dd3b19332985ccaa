"""The times of a simulated HBM against what its pseudo-channels give."""

import pytest

from einloom.spec.memory_timing import MemoryTiming

MEASURED = 13.27e9
"""Bytes a second of a pseudo-channel (Shuhai, FCCM 2020)."""


@pytest.mark.parametrize(("beat_bits", "clock_mhz"), [(512, 300), (512, 250), (512, 450), (256, 450), (1024, 225)])
def test_wide_ports_get_what_was_measured(beat_bits: int, clock_mhz: float) -> None:
    share = MemoryTiming.hbm(beat_bits, clock_mhz).beat_share
    assert share * beat_bits / 8 * clock_mhz * 1e6 == pytest.approx(MEASURED, rel=0.01)


def test_a_narrow_port_loses_refreshes_alone() -> None:
    timing = MemoryTiming.hbm(256, 300)
    assert timing.bandwidth == 256
    assert timing.beat_share == pytest.approx(1 - 306 / 3900, abs=1e-3)


def test_times_are_cycles_of_the_clock() -> None:
    fast, slow = MemoryTiming.hbm(512, 400), MemoryTiming.hbm(512, 200)
    assert (fast.latency, fast.refresh_every, fast.refresh_for) == (44, 1560, 122)
    assert (slow.latency, slow.refresh_every, slow.refresh_for) == (22, 780, 61)
    assert fast.row_miss < fast.row_again < fast.latency


def test_ideal_memory_gives_a_beat_in_each_cycle() -> None:
    assert MemoryTiming().beat_share == 1
    assert MemoryTiming(bandwidth=64).beat_share == 0.25
