"""Faults planted in chains of DSPs and around them: each is found by a small engine's sums."""

from collections.abc import Callable

import pytest
from amaranth import Cat, Const

from einloom.hw.arith.dsp48e2 import Dsp48e2Model
from einloom.hw.array.engine import GemmEngine
from einloom.hw.pe import dsp_column, sparse_dsp
from einloom.hw.pe.dsp_column import ValueColumn
from einloom.hw.pe.field_packing import FieldPacking
from einloom.hw.pe.group_scaler import GroupScaler
from einloom.hw.pe.sparse_dsp import SparseDspPE, SparseDspSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.sparsity import PATTERNS
from tests.hw.array.gemm import check, engine, jobs_for
from tests.hw.pe.planted import changed, nearer

Patch = pytest.MonkeyPatch
SHAPES = [(1, 2, 2), (2, 1, 3), (1, 1, 2)]


def run(formats: list[str], lanes: int = 4) -> None:
    section = {"kind": "sparse_dsp", "rows": 2, "columns": 2, "lanes": lanes, "group": 32, "formats": formats}
    if formats is THREE:
        section |= {"columns": 3, "packing": "three_weights", "scaling": "dsp"}
    if lanes == 16:
        section["group"] = 128
    part, manifest = engine({**section, "max_inputs": 4 * 128}, beat_bits=256)
    check(part, manifest, jobs_for(manifest, 3, SHAPES), 0.2)


def timed(**other: int) -> Callable[[Patch], None]:
    def change(right: Timing) -> Timing:
        values = {f: getattr(right, f) for f in ("accumulate", "capture", "align", "scale_bits")}
        return Timing(**{f: v + other.get(f, 0) for f, v in values.items()})

    return changed(SparseDspSpec, "timing", change)


def never_restarts(patch: Patch) -> None:
    right = Dsp48e2Model.build

    def build(self, m, platform):
        if self.accumulates:
            self.restart = Const(0)
        right(self, m, platform)

    patch.setattr(Dsp48e2Model, "build", build)


def borrows(patch: Patch) -> None:
    """The lower field may be negative, and the upper one lacks 1 where it is."""
    right = SparseDspPE._fields

    def fields(self, result):
        return [result[: self.spec.packing.lower_bits(self.spec.products)].as_signed(), right(self, result)[-1]]

    patch.setattr(SparseDspPE, "_fields", fields)
    patch.setattr(sparse_dsp, "Dsp48e2", lambda **kind: right_dsp(**(kind | {"constant": 0})))


right_dsp = sparse_dsp.Dsp48e2


def swapped(patch: Patch) -> None:
    right = SparseDspPE._fields
    patch.setattr(SparseDspPE, "_fields", lambda self, result: right(self, result)[::-1])


def adds(patch: Patch) -> None:
    right = GroupScaler.build

    def build(self, m, platform):
        self.negated = False
        right(self, m, platform)

    patch.setattr(GroupScaler, "build", build)


def ignores_selectors(patch: Patch) -> None:
    patch.setattr(ValueColumn, "_special_value", lambda self, _: self.special_values[0])


def decodes_at_once(patch: Patch) -> None:
    """Formats and special values are those of the present step, in late lanes too."""

    class Present:
        def __init__(self, _, values):
            self.values = values

        def at(self, name, _):
            return self.values[name]

    patch.setattr(dsp_column, "Delays", Present)


def metadata_of_the_step(patch: Patch) -> None:
    patch.setattr(GemmEngine, "_metadata", lambda _, __, word: word)


def takes_the_next_input(patch: Patch) -> None:
    right = SparseDspPE._activation

    def activation(self, m, lane, token):
        return right(self, m, lane, token) if lane != 2 else self.activations[lane * 4 + 1]

    patch.setattr(SparseDspPE, "_activation", activation)


def other_columns(patch: Patch) -> None:
    right = ValueColumn._code

    def code(self, format, lane):
        self.column = 1 - self.column
        found = right(self, format, lane)
        self.column = 1 - self.column
        return found

    patch.setattr(ValueColumn, "_code", code)


def other_patterns(patch: Patch) -> None:
    patch.setattr(dsp_column, "PATTERNS", PATTERNS[::-1])


def ignores_the_lowest_sign(patch: Patch) -> None:
    """The middle weight is not one less where the lowest one, sign extended, is negative."""

    def packed(self, _m, _lane, lower):
        low, high = lower
        return Cat(low, low[-1].replicate(self.spec.packing.shift - len(low)), high).as_signed()

    patch.setattr(SparseDspPE, "_packed", packed)


def swaps_lower_fields(patch: Patch) -> None:
    right = SparseDspPE._packed
    patch.setattr(SparseDspPE, "_packed", lambda self, m, lane, lower: right(self, m, lane, lower[::-1]))


FP4, INT8, SPARSE = ["bitmod-fp4", "int3"], ["int8"], ["int4-2of4", "int3"]
THREE = ["int2", "bipolar2"]
FAULTS: dict[str, tuple[Callable[[Patch], None], list[str], int]] = {
    "a group's sum goes on into the next": (never_restarts, FP4, 4),
    "a step's sum is taken a cycle early": (timed(accumulate=-1), FP4, 4),
    "sums of steps are added up a cycle late": (timed(accumulate=1), INT8, 16),
    "a group's sum is captured a cycle early": (timed(capture=-1), FP4, 4),
    "the lower field borrows from the upper one": (borrows, FP4, 4),
    "columns are swapped": (swapped, FP4, 4),
    "the lower sum has the wrong sign": (adds, FP4, 4),
    "fields are too near": (nearer(8), ["int6"], 4),
    "lanes come in the wrong order": (changed(SparseDspSpec, "lane_delays", lambda d: d[::-1]), FP4, 4),
    "a chain is twice as long as its field holds": (changed(FieldPacking, "held", lambda n: 2 * n), INT8, 16),
    "selectors are ignored": (ignores_selectors, FP4, 4),
    "late lanes have the next group's special value": (decodes_at_once, FP4, 4),
    "a kept weight meets a fixed input": (takes_the_next_input, SPARSE, 4),
    "kept weights are in the other column's DSPs": (other_columns, SPARSE, 4),
    "the middle weight ignores the lowest one's sign": (ignores_the_lowest_sign, THREE, 8),
    "the two lower of three columns are swapped": (swaps_lower_fields, THREE, 8),
    "a chain of three weights is twice as long as its field holds": (
        changed(FieldPacking, "held", lambda n: 2 * n),
        THREE,
        8,
    ),
    "three fields are too near": (nearer(3), THREE, 8),
    "patterns are numbered otherwise": (other_patterns, SPARSE, 4),
    "scales are taken from the codes": (metadata_of_the_step, FP4, 4),
}


@pytest.mark.parametrize(("formats", "lanes"), [(FP4, 4), (INT8, 16), (THREE, 8)])
def test_without_a_fault_all_is_golden(formats: list[str], lanes: int) -> None:
    run(formats, lanes)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, formats, lanes = FAULTS[name]
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        run(formats, lanes)
