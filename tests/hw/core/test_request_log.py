"""Whose request it was."""

import random

from einloom.hw.core.request_log import DEPTH, RequestLog
from einloom.sim.bench.part_bench import PartBench


def test_the_culprit_is_the_instruction_of_the_oldest_request_that_is_not_checked_or_answered() -> None:
    rng = random.Random(4)
    indices: list[int] = []
    checked = answered = 0
    held: dict[str, list[int]] = {name: [] for name in ("put", "index", "checked", "answered", "refused")}
    expected: list[int | None] = []
    for _ in range(600):
        put = len(indices) - answered < DEPTH - 1 and rng.random() < 0.5
        check, answer = (checked < len(indices) and rng.random() < 0.4), (answered < checked and rng.random() < 0.3)
        refused, index = rng.getrandbits(1), rng.getrandbits(32)
        at = checked if refused else answered
        expected.append(indices[at] if at < len(indices) else None)
        for name, value in {
            "put": put,
            "index": index,
            "checked": check,
            "answered": answer,
            "refused": refused,
        }.items():
            held[name].append(int(value))
        if put:
            indices.append(index)
        checked, answered = checked + check, answered + answer
    assert len(indices) > 2 * DEPTH
    PartBench(RequestLog(), held=held).check(lambda _: {"culprit": expected})
