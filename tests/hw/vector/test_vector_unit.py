"""The vector unit: instructions on its lanes against golden, its cycles against their formula, and planted faults."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from einloom.generators.emit import LINT_WAIVERS, SharedModules
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.vector import reduction, vector_unit
from einloom.hw.vector.issue import Issue
from einloom.hw.vector.lane import Left, Right
from einloom.hw.vector.vector_unit import VectorUnit, result_latency
from einloom.sim.bench.vector import DEPTH, Step, VectorDevice
from einloom.sim.golden import vector as golden
from einloom.sim.verilator import Toolchain
from einloom.spec.instruction import Instruction
from einloom.spec.isa import BY_NAME, HEADER, REDUCE_PARTIALS, REDUCTIONS, Operand, Space, VectorOp
from tests.marks import slow
from tests.properties import given, settings
from tests.test_emit import slang_accepts
from tests.vector_operands import corner_pairs, corners, near_negative, random_numbers, random_pairs
from tests.vector_schedule import Schedule

ELEMENTWISE = tuple(op for op in VectorOp if op not in REDUCTIONS)
UNITS = {
    4: VectorUnit(4, read_latency=1, write_latency=3, kv_bits=8, overlap=False, exchange=True),
    8: VectorUnit(8, read_latency=2, write_latency=1, kv_bits=4, overlap=True, exchange=True),
    16: VectorUnit(16, read_latency=3, write_latency=2, kv_bits=8, overlap=True, exchange=True),
}
LANES = (4, 8, pytest.param(16, marks=pytest.mark.slow))  # whose simulator takes half a minute to compile
Words = npt.NDArray[np.uint32]
Devices = Callable[[int], VectorDevice]


@pytest.fixture(scope="module")
def devices() -> Iterator[Devices]:
    """Simulators by their number of lanes."""
    running: dict[int, VectorDevice] = {}

    def device(lanes: int) -> VectorDevice:
        if lanes not in running:
            running[lanes] = VectorDevice(UNITS[lanes])
        return running[lanes]

    yield device
    for one in running.values():
        one.close()


def vector(op: VectorOp, **fields: int) -> Instruction:
    return Instruction.make("vector", **{"op": op, "outer": 1, "a_inner": 1, "b_inner": 1, "c_inner": 1, **fields})


def check(device: VectorDevice, memory: Words, steps: Sequence[Step], *, stall: int = 0, seed: int = 1) -> None:
    """All words that `steps` write, where they go, and the cycles that they take."""
    run = device.run(memory, steps, stall=stall, seed=seed)
    memory = memory.copy()
    expected = [step.execute(memory, device.unit.kv_bits) for step in steps]
    of_step = np.repeat(np.arange(len(steps)), [len(e.data) for e in expected])
    assert len(run.results.data) == len(of_step), f"{len(run.results.data)} words came, not {len(of_step)}"
    for name, found in run.results.fields.items():
        wanted = np.concatenate([e.fields[name] for e in expected])
        wrong = np.flatnonzero(found != wanted)
        assert not len(wrong), (
            f"{steps[of_step[wrong[0]]]}: {name} of word {wrong[0]}: {found[wrong[0]]}, not {wanted[wrong[0]]}"
        )
    data = np.concatenate([e.data for e in expected])
    wrong = np.argwhere(run.results.data != data)
    if len(wrong):
        word, lane = wrong[0]
        raise AssertionError(
            f"{len(wrong)} wrong, first in word {word}, lane {lane} of {steps[of_step[word]]}: "
            f"hardware {run.results.data[word, lane]:#x}, golden {data[word, lane]:#x}"
        )
    assert run.signal == [step.instruction["signal"] for step in steps]
    if not stall:
        assert run.done == Schedule(device.unit).done(steps)


# Every operation on many operands.

TOKENS, WORDS = 4, 4095  # of one instruction; 8 lanes make 131,040 operands of them


def operands(lanes: int, seed: int) -> Words:
    """A memory whose words from 0 on are a, then come b and c; c is near the negative product, or near -a."""
    rng = np.random.default_rng(seed)
    count = TOKENS * WORDS * lanes
    a, b = random_pairs(rng, count)
    pairs = corner_pairs()
    size = len(pairs[0])
    a[:size], b[:size] = pairs
    c = near_negative(rng, golden.bits(golden.multiply(golden.floats(a), golden.floats(b))))
    c[::3] = near_negative(rng, a[::3])
    c[1::3] = random_numbers(rng, len(c[1::3]))
    c[:size] = rng.permutation(a[:size])
    memory = np.zeros((DEPTH, lanes), np.uint32)
    for n, values in enumerate((a, b, c)):
        memory[n * TOKENS * WORDS :][: TOKENS * WORDS] = values.reshape(-1, lanes)
    return memory


def bulk(op: VectorOp, **fields: int) -> Step:
    size = TOKENS * WORDS
    strides = {f"{operand}_token": WORDS for operand in "abcd"}
    return Step(vector(op, inner=WORDS, b_base=size, c_base=2 * size, d_base=3 * size, **strides, **fields), TOKENS)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_an_operation_is_golden_on_corners_and_on_many_operands(devices: Devices, op: VectorOp) -> None:
    steps = [bulk(op, x=Operand.VECTOR, y=Operand.VECTOR)]
    if op == VectorOp.MAD:
        steps += [
            bulk(op, x=Operand.VECTOR, y=Operand.NONE, negate=1),
            bulk(op, x=Operand.NONE, y=Operand.VECTOR),
            bulk(op, x=Operand.NONE, y=Operand.NONE, negate=1),
            bulk(op, x=Operand.VECTOR, y=Operand.IMMEDIATE, immediate=0x00FFFFFF),
        ]
    elif op == VectorOp.EXCHANGE:
        steps = [bulk(op, x=Operand.VECTOR, y=Operand.VECTOR, immediate=distance) for distance in (0, 1, 4, 10)]
    elif op not in (VectorOp.TOINT, VectorOp.TOFLOAT):
        steps += [bulk(op, x=Operand.NONE), bulk(op, x=Operand.IMMEDIATE, immediate=0x807FFFFF)]
    memory = operands(8, int(op))
    if op in (VectorOp.TOINT, VectorOp.TOFLOAT):
        size = TOKENS * WORDS
        memory[:size] = random_numbers(np.random.default_rng(1), 8 * size).reshape(-1, 8)
        if op == VectorOp.TOFLOAT:
            memory[:size] >>= np.random.default_rng(2).integers(0, 32, (size, 8), dtype=np.uint32)
    check(devices(8), memory, steps)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("space", [s for s in Space if s != Space.VECTOR], ids=lambda s: s.name)
def test_integers_for_a_space_are_golden(devices: Devices, lanes: int, space: Space) -> None:
    rng = np.random.default_rng(int(space))
    memory = random_numbers(rng, DEPTH * lanes).reshape(DEPTH, lanes)
    memory.ravel()[: len(corners())] = corners()
    fields = {"outer": 7, "a_token": 700, "a_outer": 100, "d_token": 4001, "d_outer": 200, "d_base": 65000}
    steps = [
        Step(vector(VectorOp.MAD, space=space, block=block, inner=100, **fields), tokens)
        for block, tokens in ((0, 3), (1, 5), (2, 9), (7, 4))
    ]
    check(devices(lanes), memory, steps)


def test_a_block_of_128_tokens_and_255_outer_steps_counts_its_columns(
    devices: Devices,
) -> None:
    memory = np.zeros((DEPTH, 8), np.uint32)
    fields = {"outer": 255, "inner": 1, "block": 7, "d_token": 5}
    check(devices(8), memory, [Step(vector(VectorOp.MAD, space=Space.QUERIES, **fields), 255)])


# Reductions.


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.name)
def test_a_reduction_of_any_length_is_golden(devices: Devices, op: VectorOp, lanes: int) -> None:
    rng = np.random.default_rng(lanes)
    memory = reduced_numbers(rng, lanes)
    lengths = (*range(1, 2 * REDUCE_PARTIALS + 2), 63, 64, 65, 500)
    fields = {"outer": 2, "b_base": 30000, "a_outer": 17, "a_token": 501, "d_base": 60000, "d_token": 2, "d_outer": 1}
    steps = [
        Step(vector(op, x=x, inner=n, negate=n & 1, immediate=0x3FA00001, **fields), 3)
        for n in lengths
        for x in Operand
    ]
    check(devices(lanes), memory, steps)


def reduced_numbers(rng: np.random.Generator, lanes: int) -> Words:
    """A memory of ordinary numbers, whose sums depend on their order, with rare NaN and infinities."""
    memory = (rng.normal(size=(DEPTH, lanes)) * 2.0 ** rng.integers(-20, 20, (DEPTH, lanes))).astype(np.float32)
    bits = memory.view(np.uint32)
    rare = rng.random((DEPTH, lanes))
    bits[rare < 2e-5] = 0x7F800001
    bits[rare > 1 - 4e-5] = 0xFF800000
    return bits


def test_a_reduction_of_zeros_keeps_its_sign_and_nan_outweighs_infinity(
    devices: Devices,
) -> None:
    memory = np.full((DEPTH, 8), 0x80000000, np.uint32)
    memory[100, 3], memory[101, 2] = 0xFF800001, 0x7F800000
    steps = [
        Step(vector(op, inner=n, a_base=base, d_base=9000), 1)
        for op in REDUCTIONS
        for n in (1, 8, 20)
        for base in (0, 90)
    ]
    check(devices(8), memory, steps)


def test_golden_sums_are_those_of_float64_within_their_bound() -> None:
    lanes, words = 16, 300
    values = np.random.default_rng(3).normal(size=(50, words, lanes)).astype(np.float32)
    factor = np.full((1, 1, 1), np.float32(0.3))
    found = golden.floats(golden.reduce(VectorOp.SUM, values.view(np.uint32), factor.view(np.uint32)))
    products = values.astype(np.float64) * factor
    # Each value passes through its product, the additions of its partial sum, and those of the trees.
    roundings = 1 + -(-words // REDUCE_PARTIALS) + (REDUCE_PARTIALS * lanes - 1).bit_length()
    bound = roundings * 2.0**-24 * np.abs(products).sum(axis=(1, 2)) * 1.001
    assert (np.abs(found - products.sum(axis=(1, 2))) <= bound).all()


# Time.


@pytest.mark.parametrize("lanes", LANES)
def test_short_instructions_follow_each_other_closely(devices: Devices, lanes: int) -> None:
    count, words = 50, 4
    apart = [Step(vector(VectorOp.MAD, inner=words, a_base=8 * n, d_base=8 * n + 4), 1) for n in range(count)]
    chain = [Step(vector(VectorOp.MAD, inner=words, a_base=4 * n, d_base=4 * n + 4), 1) for n in range(count)]
    unit = UNITS[lanes]
    latency = result_latency(unit.read_latency, Space.VECTOR)
    device, memory = devices(lanes), np.zeros((DEPTH, lanes), np.uint32)
    for steps, cycles in ((apart, words + 1), (chain, latency + unit.write_latency)):
        done = device.run(memory, steps).done
        assert set(np.diff(done)) == {cycles if unit.overlap else words + 2 + latency}


def test_long_instructions_do_not_wait_for_each_other(devices: Devices) -> None:
    words = 64
    steps = [Step(vector(VectorOp.MAD, inner=words, a_base=64 * n, d_base=64 * n + 64), 1) for n in range(10)]
    assert set(np.diff(devices(8).run(np.zeros((DEPTH, 8), np.uint32), steps).done)) == {words + 1}


# Any instruction.


@st.composite
def instructions(draw: st.DrawFn, near: bool = False) -> Step:
    """Any fields, with so few steps that many are tried, and in every third case in place.

    If they are `near`, instructions often use each other's results.
    """
    fields = {f.name: draw(st.integers(0, (1 << f.bits) - 1)) for f in BY_NAME["vector"].fields if f.bits > 4}
    fields |= {name: draw(st.integers(0, 1)) for name in ("a_inner", "b_inner", "c_inner", "negate")}
    fields |= {name: draw(st.sampled_from(Operand)) for name in ("x", "y")}
    fields |= {"op": draw(st.sampled_from(VectorOp)), "space": draw(st.sampled_from(Space))}
    fields |= {
        "signal": draw(st.integers(0, 255)),
        "block": draw(st.integers(0, 7)),
        "outer": draw(st.integers(0, 4)),
        "inner": draw(st.integers(0, 20)),
    }
    for name in ("a_token", "b_token", "d_token", "a_outer", "b_outer", "d_outer"):
        fields[name] = draw(st.sampled_from([0, 1, fields[name]]))
    if near:
        fields |= {f"{operand}_base": fields[f"{operand}_base"] % 32 for operand in "abcd"}
    if draw(st.integers(0, 2)) == 0:
        fields |= {f"d_{name}": fields[f"a_{name}"] for name in ("base", "token", "outer")} | {"a_inner": 1}
    return apart(Step(Instruction.make("vector", **fields), draw(st.integers(0, 6))))


def apart(step: Step) -> Step:
    """The step, or one that writes elsewhere if it read a word after another result of its went there."""
    written: dict[int, int] = {}
    for order, address in enumerate(step.addresses("d").ravel().tolist()):
        written.setdefault(address, order)
    for name in step.operands():
        reads = step.addresses(name).ravel().tolist()
        if any(written.get(address, order) < order for order, address in enumerate(reads)):
            return Step(step.instruction.changed(space=Space.ACTIVATIONS), step.tokens)
    return step


@pytest.mark.parametrize("lanes", LANES)
def test_any_instructions_are_golden(devices: Devices, lanes: int) -> None:
    numbers = reduced_numbers(np.random.default_rng(4), lanes)
    patterns = random_pairs(np.random.default_rng(5), DEPTH * lanes)[0].reshape(DEPTH, lanes)

    @settings(max_examples=40)
    @given(
        steps=st.booleans().flatmap(lambda near: st.lists(instructions(near), min_size=1, max_size=8)),
        bits=st.booleans(),
        stall=st.sampled_from([0, 0, 100, 250]),
        seed=st.integers(1, 1 << 30),
    )
    def attempt(steps: list[Step], bits: bool, stall: int, seed: int) -> None:
        check(devices(lanes), patterns if bits else numbers, steps, stall=stall, seed=seed)

    attempt()


@pytest.mark.slow
@pytest.mark.parametrize("lanes", UNITS)
def test_many_more_instructions_are_golden(devices: Devices, lanes: int) -> None:
    @settings(max_examples=2000)
    @given(steps=st.lists(instructions(near=True), min_size=1, max_size=20), seed=st.integers(1, 1 << 30))
    def attempt(steps: list[Step], seed: int) -> None:
        check(devices(lanes), reduced_numbers(np.random.default_rng(seed), lanes), steps)

    attempt()


@pytest.mark.parametrize("zero", ["tokens", "outer", "inner"])
@pytest.mark.parametrize("op", [VectorOp.MAD, *REDUCTIONS], ids=lambda op: op.name)
def test_no_steps_are_complete_without_a_word(devices: Devices, op: VectorOp, zero: str) -> None:
    counts = {"tokens": 2, "outer": 2, "inner": 2} | {zero: 0}
    tokens = counts.pop("tokens")
    following = Step(vector(VectorOp.MAD, inner=2, d_base=500), 1)
    check(devices(4), np.zeros((DEPTH, 4), np.uint32), [Step(vector(op, **counts, d_base=900), tokens), following])


def test_an_illegal_instruction_comes_to_its_end(devices: Devices) -> None:
    legal = Step(vector(VectorOp.MAD, inner=3), 1)
    illegal = [
        Step(vector(VectorOp.MAD, inner=3, **{name: 7 if name == "space" else 3}), 1) for name in ("x", "y", "space")
    ]
    illegal += [Step(Instruction.make("vector", op=op, inner=3, outer=1), 1) for op in range(len(VectorOp), 16)]
    run = devices(8).run(np.zeros((DEPTH, 8), np.uint32), [legal, *illegal, legal])
    assert len(run.done) == 2 + len(illegal)
    assert len(run.results.data) == 3 * len(run.done)


# The layout, and planted faults.


@pytest.mark.parametrize("name", BY_NAME)
def test_the_layout_is_that_of_the_encoded_instruction(name: str) -> None:
    rng = np.random.default_rng(1)
    fields = {f.name: int(rng.integers(1 << f.bits)) for f in (*HEADER[1:], *BY_NAME[name].fields)}
    instruction = Instruction.make(name, **fields)
    word = int.from_bytes(instruction.encode(), "little")
    found = instruction_layout(name).from_bits(word & ((1 << instruction_layout(name).size) - 1))
    assert {key: found[key] for key in instruction.values} == instruction.values
    assert word >> instruction_layout(name).size == 0


def test_verilator_lint_and_slang_report_nothing(tmp_path: Path) -> None:
    source = tmp_path / "vector_unit.v"
    source.write_text(LINT_WAIVERS + SharedModules().emit(UNITS[4], "vector_unit"))
    tools = Toolchain()
    command = [tools.command, "--lint-only", "-Wall", "--top-module", "vector_unit", "-Mdir", "obj", str(source)]
    tools.run(command, tmp_path)
    assert slang_accepts(source)


def neighbours(lanes: int) -> list[tuple[int, int]]:
    """Lanes in pairs of neighbours, not of halves."""
    return [(2 * n % lanes, (2 * n + 1) % lanes) for n in range(lanes)]


RIGHT_FOLDS = reduction.folds


def neighbours_first(lanes: int) -> dict[int, tuple[Left, Right]]:
    """The folds with partial sums that are 2 apart first, and those that are 4 apart behind them."""
    other = {Left.AGO_4: Left.AGO_2, Left.AGO_2: Left.AGO_4}
    return {place: (other.get(left, left), right) for place, (left, right) in RIGHT_FOLDS(lanes).items()}


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        slow(vector_unit, "shuffled", neighbours),
        slow(reduction, "folds", neighbours_first),
        (vector_unit, "Issue", lambda memory_cycles, longer: Issue(memory_cycles - 1, longer)),
    ],
)
def test_a_planted_fault_in_the_order_of_sums_or_words_is_found(
    module: object, name: str, wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, wrong)
    device = VectorDevice(VectorUnit(4, read_latency=2, write_latency=1, kv_bits=8, overlap=True))
    memory = reduced_numbers(np.random.default_rng(1), 4)
    sums = Step(vector(VectorOp.SUM, inner=40, a_token=40, d_token=1, d_base=60000), 20)
    chain = [Step(vector(VectorOp.IADD, a_base=n, d_base=n + 1, inner=1), 1) for n in range(4)]
    with pytest.raises(AssertionError, match="wrong, first"):
        check(device, memory, [sums, *chain])
    device.close()
