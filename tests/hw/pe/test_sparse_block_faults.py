"""Faults planted in what makes N of M weights, two tokens a DSP and scales in DSPs: small engines' sums find each."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from amaranth import Const, Signal

from einloom.hw.array.block_sequencer import BlockSequencer
from einloom.hw.array.engine import GemmEngine
from einloom.hw.pe.dsp_column import ValueColumn
from einloom.hw.pe.dsp_scaler import DspScaler
from einloom.hw.pe.sparse_dsp import SparseDspPE, SparseDspSpec
from einloom.hw.pe.timing import Timing
from einloom.spec.lane_sets import LaneSets
from tests.hw.array.gemm import check, engine, jobs_for
from tests.hw.pe.planted import changed, nearer

Patch = pytest.MonkeyPatch
SHAPES = [(2, 2, 4), (1, 1, 8), (2, 2, 3)]
BLOCKS = {"lanes": 4, "group": 32, "formats": ["int4-nof8", "int3"]}
TOKENS = {**BLOCKS, "packing": "tokens", "formats": ["bitmod-fp4-nof8", "int4-nof4"]}
PATTERNS = {"lanes": 4, "group": 32, "packing": "tokens", "formats": ["int4-2of4", "int4-nof8"]}
SCALED = {"lanes": 16, "group": 32, "formats": ["int8", "bitmod-fp3"]}


def run(section: dict[str, object]) -> None:
    sizes = {"kind": "sparse_dsp", "rows": 2, "columns": 2, "max_inputs": 8 * 32}
    part, manifest = engine({**sizes, **section}, beat_bits=256)
    check(part, manifest, jobs_for(manifest, 5, SHAPES), 0.2, limit=6_000)


@dataclass(frozen=True)
class Fault:
    plant: Callable[[Patch], None]
    section: dict[str, object]


def built(owner: type, change: Callable) -> Callable[[Patch], None]:
    """Plants `change` of a part before it is built."""

    def plant(patch: Patch) -> None:
        right = owner.build

        def build(self, m, platform):
            change(self, m)
            right(self, m, platform)

        patch.setattr(owner, "build", build)

    return plant


def later(by: int) -> Callable[[Timing], Timing]:
    return lambda right: Timing(right.accumulate + by, right.capture + by, right.align, right.scale_bits)


def loaded(by: int) -> Callable[[Timing], Timing]:
    return lambda right: Timing(right.accumulate, right.capture + by, right.align, right.scale_bits)


def fixed_port(name: str, value: int) -> Callable:
    """The part takes a constant for what comes in at a port."""
    return lambda part, _: setattr(part, name, Const(value, len(getattr(part, name))))


class Said:
    """What a header says, but for the `other` fields."""

    def __init__(self, header, **other):
        self.density, self.skip = header.density, header.skip
        vars(self).update(other)


def no_skip(part, _) -> None:
    part.header = Said(part.header, skip=Const(0, 1))


def keeps_density(part, m) -> None:
    """Each block has the steps of the one before."""
    late = Signal.like(part.header.density)
    with m.If(part.load_metadata):
        m.d.sync += late.eq(part.header.density)
    part.header = Said(part.header, density=late)


def header_of_codes(patch: Patch) -> None:
    right = GemmEngine._metadata
    patch.setattr(GemmEngine, "_metadata", lambda self, s, word: right(self, s, word) >> 1)


def ranks_swapped(patch: Patch) -> None:
    right = LaneSets.rank
    patch.setattr(ValueColumn, "_index", _with(ValueColumn._index, "rank", lambda self, lane: right(self, lane ^ 1)))


def _with(method: Callable, name: str, other: Callable) -> Callable:
    """`method` as it is while LaneSets has another method of that name."""

    def wrapped(self, *arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LaneSets, name, other)
            return method(self, *arguments)

    return wrapped


def one_column(patch: Patch) -> None:
    """Kept weights of the upper column pick as the lower one says."""
    patch.setattr(SparseDspPE, "_activation", _with(SparseDspPE._activation, "column_of", lambda *_: 0))


def tokens_swapped(patch: Patch) -> None:
    right = SparseDspPE._activation
    patch.setattr(SparseDspPE, "_activation", lambda self, m, lane, token: right(self, m, lane, 1 - token))


def early_bits_late(patch: Patch) -> None:
    patch.setattr("einloom.hw.pe.dsp_column.EARLY_BITS", 3)


def scale_of_the_first(patch: Patch) -> None:
    patch.setattr(SparseDspPE, "_operand", lambda self, _: self.operand[0])


FAULTS = {
    "empty blocks are not skipped": Fault(built(BlockSequencer, no_skip), BLOCKS),
    "a block has the density of the one before": Fault(built(BlockSequencer, keeps_density), BLOCKS),
    "headers are read a bit too high": Fault(header_of_codes, BLOCKS),
    "all steps are of kept weights": Fault(built(ValueColumn, fixed_port("full", 0)), BLOCKS),
    "full steps take the inputs in another order": Fault(ranks_swapped, BLOCKS),
    "turns are ignored": Fault(built(ValueColumn, fixed_port("turn", 0)), TOKENS),
    "both columns pick the same inputs": Fault(one_column, BLOCKS),
    "tokens are swapped": Fault(tokens_swapped, TOKENS),
    "the early bits of an index come with the others": Fault(early_bits_late, TOKENS),
    "a pattern's turn is ignored": Fault(built(ValueColumn, fixed_port("turn", 0)), PATTERNS),
    "activations are too near for a field": Fault(nearer(6), TOKENS),
    "a step is added a cycle late": Fault(changed(SparseDspSpec, "timing", later(1)), SCALED),
    "a tile's result is taken a cycle early": Fault(changed(SparseDspSpec, "timing", loaded(-1)), SCALED),
    "the lower sums keep their bias": Fault(
        built(DspScaler, lambda part, _: part.bias and setattr(part, "bias", 0)), SCALED
    ),
    "both columns have the lower one's scale": Fault(scale_of_the_first, SCALED),
    "what is behind a chain comes a cycle late": Fault(changed(SparseDspSpec, "step_delay", lambda n: n + 1), SCALED),
}


@pytest.mark.parametrize("section", [BLOCKS, TOKENS, PATTERNS, SCALED], ids=["blocks", "tokens", "patterns", "scaled"])
def test_without_a_fault_all_is_golden(section: dict[str, object]) -> None:
    run(section)


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = FAULTS[name]
    fault.plant(monkeypatch)
    with pytest.raises((AssertionError, IndexError)):  # an index of activations that there are not
        run(fault.section)
