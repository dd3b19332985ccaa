"""Look-up tables: the remap, ternary bytes, what rounding costs, and faults that the bench finds."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from amaranth import Const
from amaranth.sim import Simulator
from hypothesis import strategies as st

import einloom.hw.pe.aligned_tables
import einloom.hw.pe.lut
from einloom.generators.registry import generate
from einloom.hw.arith.trits import TritDecoder
from einloom.hw.pe.lut import LutSpec
from einloom.hw.pe.lut_fp16 import LutFp16PE
from einloom.hw.pe.rounded_tables import RoundedTables
from einloom.hw.pe.table_generator import TableGenerator
from einloom.mapping.gemm_operands import pack_weights
from einloom.sim.bench.cases import random_activations, random_tensor
from einloom.sim.engine_benches import simulate
from einloom.sim.golden.gemm import integer_gemm
from einloom.sim.golden.lut_rounded import Rounding, rounded_gemm, rounding_bound
from einloom.sim.golden.stream_reader import read_weights
from einloom.sim.strategies import make_config
from einloom.spec.errors import CheckFailed
from einloom.spec.formats import PLANE_FORMATS
from einloom.spec.lookup import digits_of, original_codes, remap, remapped_codes, restore, table_sizes
from einloom.spec.trits import CODES, from_bytes, to_bytes
from tests.marks import slow
from tests.properties import given

EVERY_FORMAT = pytest.mark.parametrize("format", PLANE_FORMATS.values(), ids=PLANE_FORMATS)
SIZES = st.builds(table_sizes, st.sampled_from([1, 2, 4, 8, 16, 32, 64]), st.integers(1, 6))


@EVERY_FORMAT
def test_a_value_is_half_of_its_zero_and_its_digits(format):
    codes = np.arange(len(format.table), dtype=np.uint8)
    signs = 2 * digits_of(codes, format).astype(int) - 1
    assert (2 * format.decode(codes) == format.zero + signs @ (1 << np.array(format.planes))).all()


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("inputs", range(1, 7))
def test_as_few_tables_as_possible_share_the_lanes_evenly(lanes, inputs):
    sizes = table_sizes(lanes, inputs)
    assert sum(sizes) == lanes
    assert len(sizes) == -(-lanes // inputs)
    assert max(sizes) <= inputs
    assert max(sizes) - min(sizes) <= 1


@given(sizes=SIZES, seed=st.integers(0, 1 << 30))
def test_remapped_weights_give_the_same_sums_from_half_tables(sizes, seed):
    """The remap's definition evaluated: entries with a plus in the last lane, and a sign."""
    rng = np.random.default_rng(seed)
    digits, a = rng.integers(0, 2, sum(sizes), np.uint8), rng.integers(-128, 128, sum(sizes))
    values, signs = [], []
    ends = np.cumsum(sizes)[:-1]
    for lanes, part in zip(np.split(a, ends), np.split(remap(digits, sizes), ends), strict=True):
        values.append(lanes[-1] + (lanes[:-1] * (2 * part[:-1].astype(int) - 1)).sum())
        signs.append(part[-1])
    total = sum(-v if s else v for v, s in zip(values, signs, strict=True))
    assert total == (a * (2 * digits.astype(int) - 1)).sum()
    assert (restore(remap(digits, sizes), sizes) == digits).all()


@EVERY_FORMAT
def test_remapped_codes_come_back(format):
    if format.in_trits:
        pytest.skip("ternary codes are never stored remapped")
    codes = np.random.default_rng(1).integers(0, len(format.table), (3, 5, 16), np.uint8)
    for inputs in range(1, 7):
        sizes = table_sizes(16, inputs)
        assert (original_codes(remapped_codes(codes, format, sizes), format, sizes) == codes).all()


def test_five_trits_are_a_byte():
    every = np.array(list(product(range(3), repeat=5)), np.uint8)
    packed = to_bytes(every)
    assert packed.shape == (243, 1)
    assert len(np.unique(packed)) == 243
    assert (CODES[packed[:, 0]] == every).all()
    assert CODES.max() == 2
    codes = np.random.default_rng(2).integers(0, 3, (4, 7, 13), np.uint8)
    assert (from_bytes(to_bytes(codes), 13) == codes).all()
    unused = np.setdiff1d(np.arange(256, dtype=np.uint8), packed)
    for byte in unused:
        with pytest.raises(ValueError, match=r"^a byte stands for no five ternary codes$"):
            from_bytes(np.array([byte]), 5)
    with pytest.raises(ValueError, match=r"^codes after the last one must be 0$"):
        from_bytes(to_bytes(np.array([0, 0, 0, 0, 1], np.uint8)), 4)


def test_the_decoder_of_trits_agrees_on_every_byte():
    decoder = TritDecoder()
    found = []

    async def bench(ctx):
        for byte in range(1 << 8):
            ctx.set(decoder.trits, byte)
            found.append([ctx.get(decoder.codes) >> 2 * n & 3 for n in range(5)])

    simulator = Simulator(decoder)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == CODES.tolist()


@EVERY_FORMAT
@pytest.mark.parametrize("group", [64, "channel"])
def test_the_stream_holds_the_weights(format, group):
    engine = {"kind": "lut", "rows": 1, "columns": 6, "lanes": 8, "table_inputs": 3, "formats": [format.name]}
    gemm = generate(make_config(engine | {"group": group}, channels=2, beat_bits=32)).manifest.gemm
    tensor = random_tensor(np.random.default_rng(3), gemm, format, 10, 128)
    blocks = 128 // gemm.weights.block
    found = read_weights(pack_weights(tensor, gemm.weights), gemm, 0, blocks, 2, 0)
    assert (found[:10] == tensor.values() * np.repeat(tensor.scales.astype(int), tensor.group, axis=1)).all()


GEMM = generate(make_config({"kind": "lut", "rows": 1, "columns": 1, "lanes": 8, "group": 64})).manifest.gemm


def rounding_case(format, seed, inputs=4):
    rng = np.random.default_rng(seed)
    return random_activations(rng, GEMM, 4, 128), random_tensor(rng, GEMM, format, 3, 128), table_sizes(8, inputs)


UNSHIFTED = [f for f in PLANE_FORMATS.values() if not f.zero]
SCALES = pytest.mark.parametrize("per_table", [False, True], ids=["step", "table"])


@given(
    format=st.sampled_from(UNSHIFTED),
    seed=st.integers(0, 1 << 30),
    inputs=st.integers(1, 6),
    per_table=st.booleans(),
)
def test_rounded_sums_stay_within_the_stated_bound(format, seed, inputs, per_table):
    activations, tensor, sizes = rounding_case(format, seed, inputs)
    rounding = Rounding(sizes, per_table)
    scaled = tensor.values() * np.repeat(tensor.scales.astype(np.float64), tensor.group, axis=1)
    error = np.abs(rounded_gemm(activations, tensor, rounding) - activations.astype(np.float64) @ scaled.T)
    assert (error <= rounding_bound(activations, tensor, rounding)).all()


@SCALES
@pytest.mark.parametrize("format", UNSHIFTED, ids=lambda f: f.name)
def test_small_activations_are_not_rounded(format, per_table):
    activations, tensor, sizes = rounding_case(format, 5)
    small, rounding = activations // 8, Rounding(sizes, per_table)
    assert (rounding.exponents(small.astype(np.int64)) == 0).all()
    assert (rounded_gemm(small, tensor, rounding) == integer_gemm(small, tensor)).all()


def test_the_exponent_is_the_smallest_that_fits_its_table_or_all_of_a_step():
    steps = np.array([[127, 0, 0, 0, 1, 1, 0, 0], [127, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, -128, -128, -128, -128]])
    own = [[0, 0], [1, 0], [0, 3]]
    assert Rounding((4, 4), per_table=True).exponents(steps.reshape(1, -1)).tolist() == [own]
    assert Rounding((4, 4)).exponents(steps.reshape(1, -1)).tolist() == [[[max(e)] * 2 for e in own]]


@SCALES
def test_rounded_entries_cost_little_of_a_real_looking_layer(per_table):
    rng = np.random.default_rng(6)
    activations = np.clip(np.rint(rng.normal(0, 40, (16, 1024))), -127, 127).astype(np.int8)
    tensor = random_tensor(rng, GEMM, PLANE_FORMATS["bipolar2"], 32, 1024)
    exact = integer_gemm(activations, tensor)
    error = rounded_gemm(activations, tensor, Rounding((4, 4), per_table)) - exact
    assert np.sqrt(np.mean(error.astype(float) ** 2) / np.mean(exact.astype(float) ** 2)) < 2.0**-6


def ignored_sign(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(einloom.hw.pe.lut, "add_or_subtract", lambda left, right, _: left + right)


def exchanged_planes(patch: pytest.MonkeyPatch) -> None:
    shifts = LutSpec.shifts
    patch.setattr(LutSpec, "shifts", lambda self, format: shifts(self, format)[::-1])


def exchanged_entries(patch: pytest.MonkeyPatch) -> None:
    sums = TableGenerator._sums

    def exchanged(self, m, n, lanes):
        first, second, *others = sums(self, m, n, lanes)
        return [second, first, *others]

    patch.setattr(TableGenerator, "_sums", exchanged)


def ignored_rounding(patch: pytest.MonkeyPatch) -> None:
    split_shift = einloom.hw.pe.aligned_tables.split_shift
    patch.setattr(einloom.hw.pe.aligned_tables, "split_shift", lambda *shift: (split_shift(*shift)[0], Const(0, 1)))


def rounded_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RoundedTables, "_rounded", lambda _self, _m, _name, exact, exponent: exact >> exponent)


def shared_exponent(patch: pytest.MonkeyPatch) -> None:
    exponents = RoundedTables._exponents
    patch.setattr(RoundedTables, "_exponents", lambda self, m: exponents(self, m)[:1] * len(self.sizes))


def unmoved_sum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LutFp16PE, "_moved_down", lambda _, group_sum: group_sum)


@pytest.mark.parametrize(
    ("plant", "keys"),
    [
        slow(ignored_sign, {}),
        (exchanged_planes, {}),
        slow(exchanged_entries, {}),
        slow(rounded_down, {"entries": "int8"}),
        slow(shared_exponent, {"entries": "int8", "entry_scale": "table"}),
        (ignored_rounding, {"activations": "fp16"}),
        slow(unmoved_sum, {"activations": "fp16"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_bench_finds_planted_faults(
    plant: Callable[[pytest.MonkeyPatch], None], keys: dict[str, str], monkeypatch
) -> None:
    plant(monkeypatch)
    engine = {"kind": "lut", "rows": 1, "columns": 1, "lanes": 8, "formats": ["bipolar2"], "group": "channel"}
    with pytest.raises(CheckFailed, match="RTL is not golden at token 0"):
        simulate(generate(make_config(engine | keys, beat_bits=32)), cases=4)
