"""Faults of DSP chains that several tests plant."""

from collections.abc import Callable

import pytest

from einloom.hw.pe.field_packing import FieldPacking

Patch = pytest.MonkeyPatch


def changed(owner: type, name: str, change: Callable) -> Callable[[Patch], None]:
    """Plants `change`, which gets what the property `name` of `owner` gives."""
    right = getattr(owner, name).fget
    return lambda patch: patch.setattr(owner, name, property(lambda self: change(right(self))))


def nearer(bits: int) -> Callable[[Patch], None]:
    """Fields are nearer than their sums are wide, even those of single products."""

    def plant(patch: Patch) -> None:
        changed(FieldPacking, "shift", lambda s: s - bits)(patch)
        changed(FieldPacking, "held", lambda n: max(1, n))(patch)

    return plant
