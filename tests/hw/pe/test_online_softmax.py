"""The 1D PE below a column: running maxima, and states that are corrected when a maximum grows."""

import numpy as np
import pytest

from einloom.hw.pe.online_softmax import OnlineSoftmax
from einloom.sim.bench.part_bench import PartBench
from einloom.sim.golden.fusemax import exp2
from einloom.spec.attention_format import EXP2_STEPS, PROBABILITY_FRACTION, AttentionFormat

FORMAT = AttentionFormat(8, 8, 1000)
SUM_BITS = 32
HEAD = 5
STEP = 3  # cycles from one step of an exponential to the next


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("parity", [False, True])
def test_states_are_sums_relative_to_the_largest_maximum(parity: bool, given: bool) -> None:
    """Also where somebody else found maximum and correction."""
    rng = np.random.default_rng(3)
    part = OnlineSoftmax(FORMAT, SUM_BITS, parity=parity, given=given)
    corrections: dict[int, tuple[int, int]] = {}
    controls: dict[int, dict[str, int]] = {}
    maxima: dict[int, int] = {}
    sums: dict[int, int] = {}
    expected_state: dict[int, int] = {}
    expected_maximum: dict[int, int] = {}
    now = 0
    maximum, states = 0, np.zeros(HEAD, np.int64)

    def control(cycle: int, **fields: int) -> None:
        controls.setdefault(cycle, {}).update(fields)

    for tile in range(14):
        fresh = tile % 5 == 0
        peak = int(rng.integers(-(1 << 24), 1 << 24)) >> int(rng.integers(0, 16))
        control(now, maximum=1, fresh=int(fresh))
        maxima[now] = peak
        before, maximum = maximum, peak if fresh else max(maximum, peak)
        expected_maximum[now + 1] = maximum
        control(now + 1, difference=1)
        start = now + 1
        for n in range(EXP2_STEPS):
            step = start + STEP * n
            control(step + 1, exp=1)
            control(step + 3, power=1, term=n)
        load = start + STEP * (EXP2_STEPS - 1) + 4
        control(load, load=1)
        correction = 0 if fresh else int(exp2(np.array([before - maximum]))[0])
        corrections[load] = correction, int(fresh)
        for f in range(HEAD):
            step = load + f
            control(step, address=f)
            control(step + 4, write=1, write_address=f)
            sums[step + 3] = int(rng.integers(-(1 << 26), 1 << 26))
            half, drop = 1 << PROBABILITY_FRACTION - 1, FORMAT.value_drop
            states[f] = (int(states[f]) * correction + half >> PROBABILITY_FRACTION) + (
                sums[step + 3] + (1 << drop - 1) >> drop
            )
            expected_state[step + 4] = int(states[f])
        now = load + HEAD + 8
    cycles = range(now)
    held = {
        "control": [controls.get(n, {}) for n in cycles],
        "tile_sum": [sums.get(n, 0) for n in cycles],
    }
    golden = {"state": [expected_state.get(n) for n in cycles]} | ({"corrupt": [0] * now} if parity else {})
    if given:
        held |= {
            name: [corrections.get(n, (0, 0))[i] for n in cycles] for i, name in enumerate(("correction", "fresh"))
        }
    else:
        held["tile_maximum"] = [maxima.get(n, 0) for n in cycles]
        golden["maximum"] = [expected_maximum.get(n) for n in cycles]
    PartBench(part, held=held, tail=0).check(lambda _: golden)
