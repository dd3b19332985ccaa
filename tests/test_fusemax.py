"""The FuseMax engine: RTL against golden, golden against float64 attention, and its cost model against both."""

import json
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import strategies as st

from einloom.generators import fusemax
from einloom.generators.registry import generate
from einloom.hw.arith import exp2 as exp2_hardware
from einloom.hw.array import attention_control, span_group
from einloom.mapping.attention_operands import AttentionJob, pack_attention_job, quantize_channels, quantize_queries
from einloom.mapping.cost.fusemax import AttentionShape, attention_cycles
from einloom.sim.attention_device import AttentionDevice
from einloom.sim.bench.attention_cases import random_job
from einloom.sim.engine_benches import simulate
from einloom.sim.golden.fusemax import State, attend, exp2
from einloom.sim.strategies import fusemax_configs, make_config
from einloom.spec.attention_format import PROBABILITY_FRACTION, SCORE_FRACTION, AttentionFormat, Mask
from einloom.spec.config import Config
from einloom.spec.errors import CheckFailed, InputError
from tests.marks import slow
from tests.properties import given, settings

SMALL = {"kind": "fusemax", "rows": 4, "columns": 3, "max_head": 64, "max_keys": 4096}
SPLIT = {**SMALL, "columns": 4, "spans": 2}
SERIAL = {**SMALL, "rows": 8, "exponentials": "serial"}


# RTL against golden.


def check(config: Config, seed: int, cases: int, max_keys: int) -> None:
    try:
        simulate(generate(config), seed=seed, cases=cases, max_keys=max_keys)
    except Exception as error:
        error.add_note(f"config: {json.dumps(config.model_dump(mode='json'))}, seed {seed}, cases {cases}")
        raise


@pytest.mark.parametrize("input_bits", [8, slow(16)])
def test_rtl_is_golden(input_bits: int) -> None:
    check(make_config({**SMALL, "input_bits": input_bits, "max_head": 128}), seed=1, cases=30, max_keys=200)


@pytest.mark.parametrize("input_bits", [8, slow(16)])
def test_rtl_with_serial_exponentials_is_golden(input_bits: int) -> None:
    check(make_config({**SERIAL, "input_bits": input_bits, "max_head": 128}), seed=1, cases=30, max_keys=200)


@pytest.mark.parametrize(
    "engine",
    [
        SPLIT,
        slow({**SPLIT, "spans": 4, "input_bits": 16}),
        # Two stages of the trees over the spans, and spans that begin beyond the largest position.
        slow({**SPLIT, "rows": 2, "columns": 8, "spans": 8, "max_keys": 2}),
    ],
    ids=["2 of 4 columns", "4 of 4 columns", "8 columns, 2 keys"],
)
def test_split_rtl_is_golden(engine: dict[str, object]) -> None:
    check(make_config(engine), seed=1, cases=20, max_keys=200)


@settings(max_examples=2)
@given(config=fusemax_configs(), seed=st.integers(0, 1 << 30))
def test_random_designs_are_golden(config: Config, seed: int) -> None:
    check(config, seed, cases=6, max_keys=150)


@pytest.mark.slow
@settings(max_examples=120)
@given(config=fusemax_configs(max_size=8), seed=st.integers(0, 1 << 30), max_keys=st.sampled_from([16, 300, 4096]))
def test_many_random_designs_are_golden(config: Config, seed: int, max_keys: int) -> None:
    check(config, seed, cases=10, max_keys=max_keys)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (exp2_hardware, "addend", lambda right: lambda step: right(step) ^ (1 << SCORE_FRACTION)),
        slow(
            exp2_hardware,
            "scaled",
            lambda right: lambda power, exponent: right(power, exponent) ^ (power[0] & power[1] & power[2]),
        ),
        slow(exp2_hardware, "split", lambda right: lambda difference: right(difference + 1)),
        # Of merging: the sum forgets all spans but one, and the correction starts before the merged maximum is there.
        slow(span_group, "Mux", lambda _right: lambda _wanted, state, _nothing: state & 0),
        (attention_control, "merge_delay", lambda right: lambda spans: right(spans) - 1),
    ],
    ids=["addend", "scaled", "split", "sum over spans", "maximum over spans"],
)
def test_the_bench_finds_a_planted_fault(
    module: ModuleType, name: str, wrong: Callable[[object], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    design = fusemax.attention_design(make_config({**SMALL, "rows": 2, "columns": 2, "spans": 2}))
    with pytest.raises(CheckFailed, match="RTL is not golden"):
        simulate(design, cases=10, max_keys=40)


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        slow(exp2_hardware, "rounded", lambda right: lambda power: right(power) ^ (power[1] & power[2] & power[3])),
        slow(attention_control, "SERIAL_START", lambda right: right - 2),
        (attention_control, "serial_cycles", lambda right: lambda rows: right(rows) - rows),
    ],
    ids=["rounded", "before the last key is summed", "half of the keys are late"],
)
def test_the_bench_finds_a_planted_fault_of_serial_exponentials(
    module: ModuleType, name: str, wrong: Callable[[object], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    design = fusemax.attention_design(make_config(SERIAL))
    with pytest.raises(CheckFailed, match="RTL is not golden"):
        simulate(design, cases=10, max_keys=40)


@pytest.mark.parametrize("engine", [slow(SMALL), {**SPLIT, "spans": 4}, SERIAL], ids=["whole", "split", "serial"])
def test_cycles_are_those_of_the_formula_on_thirty_shapes(engine: dict[str, object]) -> None:
    rng = np.random.default_rng(3)
    with AttentionDevice(make_config(engine)) as device:
        for _ in range(30):
            jobs = [
                random_job(rng, device.manifest, "job", int(rng.choice([5, 60, 300, 1000])))
                for _ in range(rng.integers(1, 4))
            ]
            _, outcome = device.run(jobs)
            cost = attention_cycles(device.manifest, [AttentionShape.of(job) for job in jobs])
            assert (cost.cycles, cost.busy, cost.row_busy) == (outcome.cycles, outcome.busy, outcome.row_busy)


def test_utilisation_and_decoding_reach_their_marks() -> None:
    manifest = generate(make_config({"kind": "fusemax"})).manifest.attention
    assert manifest is not None
    for keys, mark in ((512, 0.90), (4096, 0.97), (16384, 0.98)):
        blocks = [AttentionShape(64, 64, p, p + 15, Mask(keys)) for p in range(0, keys, 16)]
        assert attention_cycles(manifest, blocks).utilisation >= mark
    blocks = [AttentionShape(64, 64, p, p + 15, Mask(4096, causal=True)) for p in range(0, 4096, 16)]
    assert attention_cycles(manifest, blocks).utilisation >= 0.93
    groups = [AttentionShape(64, 64, 8191, 8191, Mask(8192, causal=True))] * 2
    beats = 2 * 8192 // manifest.rows * (64 + 64)
    assert attention_cycles(manifest, groups).cycles / beats <= 1.10


def test_split_decoding_has_all_columns_at_work_near_the_bound_of_the_wide_port() -> None:
    manifest = generate(make_config({"kind": "fusemax", "spans": 4})).manifest.attention
    assert manifest is not None
    assert 4 * manifest.spans == manifest.columns  # a group of four queries
    groups = [AttentionShape(64, 64, 8191, 8191, Mask(8192, causal=True), manifest.spans)] * 2
    cost = attention_cycles(manifest, groups)
    beats = 2 * 8192 // (manifest.rows * manifest.spans) * (64 + 64)
    assert cost.cycles / beats <= 1.10
    assert cost.utilisation >= 0.97
    # An epoch per tile, and what is paid once: merging adds no cycle but those of its pipelines, at the very end.
    whole = attention_cycles(manifest, [replace(group, mask=Mask(8192 // 4), spans=1) for group in groups])
    assert cost == whole


def test_a_masked_tile_costs_nothing() -> None:
    manifest = generate(make_config(SMALL)).manifest.attention
    assert manifest is not None

    def cycles(mask: Mask) -> int:
        return attention_cycles(manifest, [AttentionShape(32, 32, 96, 98, mask)]).cycles

    # A window of 5 keys and a sink touch 3 tiles of 4; a short sequence with as many tiles costs the same.
    assert cycles(Mask(4000, causal=True, window=5, sinks=1)) == cycles(Mask(12))


def test_the_verilog_does_not_depend_on_the_sequence_but_for_the_widths_of_its_numbers() -> None:
    one, other = (generate(make_config({**SMALL, "max_keys": keys})).manifest for keys in (1 << 10, 1 << 20))
    assert one.modules == other.modules
    assert other.memory_bits - one.memory_bits == 3 * 2 * 65 * 10  # ten bits of each state


def test_an_engine_without_spans_has_nothing_of_them() -> None:
    whole, split = (generate(make_config({**SPLIT, "spans": spans})).manifest for spans in (1, 2))
    spans = {m.removeprefix(f"{split.top}_") for m in split.modules if "span" in m}
    assert spans == {"span_group", "span_group_array"}
    assert not any("span" in m for m in whole.modules)
    assert whole.attention.job.split == 0
    assert whole.memory_bits == split.memory_bits  # spans share queries, not memories


def test_beats_that_no_netlist_holds_are_refused() -> None:
    with pytest.raises(InputError, match=r"^drawn: a beat of keys would have 65,536 bits, more than .* fewer spans$"):
        generate(make_config({"kind": "fusemax", "rows": 256, "spans": 16, "columns": 16, "input_bits": 16}))


def test_columns_that_no_netlist_holds_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^drawn: a column would have 67,584 bits, more than the 65,536 .* fewer rows$"
    ):
        generate(make_config({"kind": "fusemax", "rows": 1024, "columns": 1, "input_bits": 16}))


# Golden against its definition and against float64.


def test_exp2_is_accurate_and_exact_where_it_must_be() -> None:
    d = -np.arange(0, 25 << SCORE_FRACTION, dtype=np.int64)
    exact = 2.0 ** (d / 2**SCORE_FRACTION + PROBABILITY_FRACTION)
    assert np.abs(exp2(d) - exact).max() <= 0.5 + 4e-6 * (1 << PROBABILITY_FRACTION)
    assert exp2(np.array([0]))[0] == 1 << PROBABILITY_FRACTION
    assert exp2(np.array([-(1 << 31)]))[0] == 0
    assert (np.diff(exp2(d)) <= 1).all()


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: Mask, positions: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """(the engine's outputs in the units of v, float64 attention), [P, F] each, from unquantized tensors."""
    format = AttentionFormat(bits, 128, 1 << 20)
    keys, key_scale = quantize_channels(k, bits)
    values, value_scale = quantize_channels(v, bits)
    queries, scales = quantize_queries(q, key_scale, format)
    state = attend(format, 16, queries, scales, positions, keys, values, mask)
    scores = np.where(mask.visible(positions).T, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    reference = weights @ v / weights.sum(axis=1, keepdims=True)
    return state.outputs().T * 2.0**-format.output_fraction * value_scale, reference


def relative_error(actual: np.ndarray, reference: np.ndarray) -> float:
    return float(np.sqrt(((actual - reference) ** 2).mean() / (reference**2).mean()))


@pytest.mark.parametrize(("bits", "bound"), [(16, 0.003), (8, 0.015)])
@pytest.mark.parametrize(("keys", "heads"), [(1, (64, 64)), (100, (32, 128)), (1000, (128, 32)), (4096, (64, 64))])
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_are_those_of_softmax_attention(
    bits: int, bound: float, keys: int, heads: tuple[int, int], masked: bool
) -> None:
    rng = np.random.default_rng(keys)
    q, k, v = rng.normal(size=(16, heads[0])), rng.normal(size=(keys, heads[0])), rng.normal(size=(keys, heads[1]))
    positions = np.maximum(np.arange(keys - 16, keys), 0)
    mask = Mask(keys, causal=True, window=keys // 3 + 1, sinks=4) if masked else Mask(keys)
    assert relative_error(*attention(q, k, v, mask, positions, bits)) <= bound


@pytest.mark.parametrize(("bits", "bound"), [(16, 0.003), (8, 0.015)])
@pytest.mark.parametrize("magnitude", [0.0, 1e4])
def test_equal_and_enormous_scores_stay_in_bound(bits: int, bound: float, magnitude: float) -> None:
    rng = np.random.default_rng(1)
    q, k, v = (rng.normal(size=shape) for shape in ((16, 64), (512, 64), (512, 64)))
    scores = q @ k.T / 8
    q *= magnitude / np.abs(scores).max()
    positions = np.arange(16)
    assert relative_error(*attention(q, k, v, Mask(512), positions, bits)) <= bound


def test_states_merge_to_that_of_all_keys() -> None:
    rng = np.random.default_rng(5)
    format = AttentionFormat(8, 64, 1 << 20)
    q, k, v = rng.integers(-9999, 9999, (4, 64)), rng.integers(-128, 128, (640, 64)), rng.integers(-128, 128, (640, 64))
    scales, positions = np.full(4, 2), np.full(4, 639)
    whole = attend(format, 16, q, scales, positions, k, v, Mask(640)).outputs()
    parts = [
        attend(format, 16, q, scales, positions, k[s], v[s], Mask(len(k[s])))
        for s in (slice(0, 100), slice(100, 101), slice(101, 640))
    ]
    left = parts[0].merged(parts[1]).merged(parts[2])
    right = parts[0].merged(parts[1].merged(parts[2]))
    empty = State.empty(64, 4).merged(left)
    for state in (left, right, empty):
        assert np.abs(state.outputs() - whole).max() <= 2  # of 2^16 units of v


def test_split_attention_is_that_of_the_whole_but_for_the_rounding() -> None:
    rng = np.random.default_rng(6)
    format = AttentionFormat(8, 64, 1 << 20)
    for keys in (1, 15, 16, 17, 64, 65, 500):
        q = rng.integers(-9999, 9999, (4, 64))
        k, v = rng.integers(-128, 128, (keys, 64)), rng.integers(-128, 128, (keys, 64))
        operands = (format, 16, q, np.full(4, 2), np.full(4, keys - 1), k, v)
        for mask in (Mask(keys), Mask(keys, causal=True, window=keys // 2 + 1, sinks=2)):
            whole = attend(*operands, mask)
            spans = [attend(*operands, mask, spans=n) for n in (1, 2, 4)]
            assert (spans[0].outputs() == whole.outputs()).all()
            for split in spans[1:]:
                assert (split.maximum == whole.maximum).all()
                # What exp2's relative error of 4e-6 does to two values of 128.
                assert np.abs(split.outputs() - whole.outputs()).max() <= 2 * 4e-6 * (128 << format.output_fraction)


def test_merging_states_of_one_maximum_is_exact() -> None:
    rng = np.random.default_rng(7)
    maximum = rng.integers(-(1 << 20), 1 << 20, 4)
    one, other = (State(maximum, rng.integers(-(1 << 40), 1 << 40, (8, 4)), np.full(4, 1 << 20)) for _ in range(2))
    merged = one.merged(other)
    assert (merged.values == one.values + other.values).all()
    assert (merged.denominator == 1 << 21).all()


def test_a_query_that_sees_nothing_gives_zeros() -> None:
    job_mask = Mask(3, window=1)
    state = attend(
        AttentionFormat(8, 64, 64),
        4,
        np.ones((1, 32), np.int64),
        np.ones(1, np.int64),
        np.array([50]),
        np.full((3, 32), 7),
        np.full((3, 32), 7),
        job_mask,
    )
    assert not state.outputs().any()


def brute_force_tiles(mask: Mask, positions: np.ndarray, rows: int) -> set[int]:
    return {int(m) // rows for m in np.argwhere(mask.visible(positions).any(axis=1))[:, 0]}


@given(
    keys=st.integers(1, 80),
    causal=st.booleans(),
    window=st.integers(0, 90),
    sinks=st.integers(0, 90),
    first=st.integers(0, 79),
    count=st.integers(1, 6),
    rows=st.sampled_from([1, 2, 8]),
)
def test_visited_tiles_are_those_with_a_visible_key(
    keys: int, causal: bool, window: int, sinks: int, first: int, count: int, rows: int
) -> None:
    mask, positions = Mask(keys, causal, window, sinks), np.arange(first, first + count)
    visited = mask.tiles(positions, rows)
    needed = brute_force_tiles(mask, positions, rows)
    assert set(visited) >= needed
    assert len(visited) <= max(len(needed), 1) + (window > 0)  # the tile of the last key is always visited
    assert visited == sorted(set(visited))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.zeros((5, 32), np.int64)}, "up to 4 queries, not 5"),
        ({"keys": np.zeros((8, 65), np.int64)}, "up to 64 elements of a query, not 65"),
        ({"values": np.zeros((8, 65), np.int64)}, "up to 64 elements of a value, not 65"),
        ({"mask": Mask(5000)}, "up to 4096 keys, not 5000"),
        ({"spans": 2}, "up to 2 queries in a split job, not 3"),
        ({"spans": 4}, "1 or 2 spans, not 4"),
    ],
)
def test_a_job_that_does_not_fit_is_explained(change: dict[str, object], message: str) -> None:
    manifest = generate(make_config(SPLIT)).manifest.attention
    assert manifest is not None
    fields: dict[str, object] = {
        "queries": np.zeros((3, 32), np.int64),
        "scales": np.ones(3, np.int64),
        "positions": np.arange(3),
        "keys": np.zeros((8, 32), np.int64),
        "values": np.zeros((8, 32), np.int64),
        "mask": Mask(8),
    }
    with pytest.raises(InputError, match=f"^job: this design takes {message}$"):
        pack_attention_job(AttentionJob("job", **{**fields, **change}), manifest, queries=0)
