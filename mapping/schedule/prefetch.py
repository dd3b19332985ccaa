"""Moves requests for weights well before the products that take them."""

from collections.abc import Sequence

from einloom.mapping.schedule.permits import Step
from einloom.spec.isa import Unit


def hoist_weights(steps: Sequence[Step], ahead: int) -> list[Step]:
    """The same steps, with each `weights` moved in front of the `gemm` that is `ahead` products earlier.

    Requests keep their order, and none crosses a CONTROL instruction, at which all units must be idle.
    """
    moved = list[Step]()
    section = list[Step]()
    for step in steps:
        section.append(step)
        if step.unit is Unit.CONTROL:
            moved += _hoisted(section, ahead)
            section = []
    return moved + _hoisted(section, ahead)


def _hoisted(section: Sequence[Step], ahead: int) -> list[Step]:
    requests = [step for step in section if step.unit is Unit.WEIGHTS]
    moved, sent = requests[:ahead], min(ahead, len(requests))
    for step in section:
        if step.unit is Unit.GEMM:
            moved += requests[sent : sent + 1]
            sent += 1
        if step.unit is not Unit.WEIGHTS:
            moved.append(step)
    return moved
