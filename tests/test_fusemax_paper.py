"""The cost models of FuseMax, FLAT and no fusion against the published results, and their shape everywhere else."""

import sys
from dataclasses import replace
from math import ceil
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import strategies as st

from benchmarks import fusemax_paper as benchmark
from einloom.mapping.cost.attention import flat, fusemax_paper
from einloom.mapping.cost.attention.flat import best_mapping, flat_cost
from einloom.mapping.cost.attention.fusemax_paper import fusemax_cost, phases, resident_blocks
from einloom.mapping.cost.attention.hardware import FLAT, FUSEMAX, UNFUSED
from einloom.mapping.cost.attention.unfused import unfused_cost
from einloom.mapping.cost.attention.workloads import ENCODERS, LENGTHS, Attention
from tests.properties import given

POINTS = benchmark.points()
BERT_HEADS = 64 * 12
DOCS = Path(__file__).parent.parent / "docs" / "fusemax-paper.md"

shapes = st.builds(
    Attention,
    heads=st.integers(1, 8),
    queries=st.integers(1, 1 << 15),
    keys=st.integers(1, 1 << 15),
    e=st.integers(16, 256),
    f=st.integers(16, 256),
)


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p.model}-{p.length}")
def test_point_is_within_two_percent_of_the_published(point: benchmark.Point) -> None:
    for machine in benchmark.MACHINES:
        assert abs(benchmark.off(point.utilisation(machine))) < 0.02
        ours, published = point.ours[machine.key], point.published[machine.key]
        assert ours.seconds == pytest.approx(published.seconds, rel=0.02)
    for machine in (benchmark.FLAT_MODEL, benchmark.UNFUSED_MODEL):
        assert abs(benchmark.off(point.speedup(machine))) < 0.02


def test_mean_speedups() -> None:
    assert len(POINTS) == 24
    for machine, mean in ((benchmark.FLAT_MODEL, 6.72), (benchmark.UNFUSED_MODEL, 10.05)):
        ours, published = zip(*(point.speedup(machine) for point in POINTS), strict=True)
        assert fmean(published) == pytest.approx(mean, abs=0.005)
        assert fmean(ours) == pytest.approx(mean, rel=0.02)


@pytest.mark.parametrize("tokens", LENGTHS.values(), ids=LENGTHS)
def test_fusemax_utilisation_is_set_by_the_division_at_the_end(tokens: int) -> None:
    tiles = tokens // 256
    cost = fusemax_cost(ENCODERS["BERT"].attention(tokens))
    assert cost.utilisation_2d(FUSEMAX) == pytest.approx(137 * tiles / (138 * tiles + 64), rel=1e-12)
    assert cost.utilisation_1d(FUSEMAX) == pytest.approx(1)


def test_fusemax_utilisation_rises_to_its_limit() -> None:
    utilisation = [fusemax_cost(Attention(1, 1 << 15, 256 << n, 64, 64)).utilisation_2d(FUSEMAX) for n in range(20)]
    assert utilisation == sorted(utilisation)
    assert utilisation[-1] < 137 / 138
    assert utilisation[-1] == pytest.approx(137 / 138, rel=1e-5)


def test_cycles_of_a_tile_are_the_operations_of_the_cascade() -> None:
    parts = phases(e=80, f=48)
    assert sum(part.array for part in parts) == 80 + 1 + 7 + 1 + 48
    assert sum(part.row for part in parts) == 1 + 7 + 1 + 1 + 2 * 48
    assert sum(part.row_once for part in parts) == 48


def test_wide_values_leave_the_1d_array_as_the_bound() -> None:
    cost = fusemax_cost(Attention(1, 16 * 256, 16 * 256, e=32, f=128))
    assert cost.seconds * FUSEMAX.clock_hz == pytest.approx(16 * (16 * (2 * 128 + 10) + 128))
    assert cost.utilisation_1d(FUSEMAX) == pytest.approx(1)


def test_wide_keys_hide_the_division() -> None:
    cost = fusemax_cost(Attention(1, 16 * 256, 16 * 256, e=128, f=32))
    assert cost.seconds * FUSEMAX.clock_hz == pytest.approx(16 * 16 * (128 + 32 + 10))
    assert cost.utilisation_1d(FUSEMAX) < 0.5


@given(shapes)
def test_fusemax_lasts_as_long_as_its_slowest_part(shape: Attention) -> None:
    cost = fusemax_cost(shape)
    cycles = cost.seconds * FUSEMAX.clock_hz
    memory = cost.dram_bytes / FUSEMAX.dram_bytes_per_second
    assert cycles >= max(cost.busy_2d, cost.busy_1d) * (1 - 1e-12)
    assert cost.seconds >= memory
    assert cycles <= max(cost.busy_2d + cost.busy_1d, memory * FUSEMAX.clock_hz) * (1 + 1e-12)
    assert cost.mac_utilisation(shape, FUSEMAX) <= cost.utilisation_2d(FUSEMAX) * (1 + 1e-12)


@given(shapes)
def test_state_of_resident_queries_fits_and_divides_them(shape: Attention) -> None:
    p1, blocks = resident_blocks(shape), ceil(shape.queries / 256)
    assert blocks % p1 == 0
    assert 2 * 256 * (p1 * (shape.e + shape.f + 2) + shape.e + shape.f) <= FUSEMAX.buffer_bytes


def test_fusemax_traffic_counts_sweeps_over_the_keys() -> None:
    tensor = BERT_HEADS * 65536 * 64 * 2
    assert resident_blocks(ENCODERS["BERT"].attention(65536)) == 128
    assert fusemax_paper.dram_bytes(ENCODERS["BERT"].attention(65536)) == (2 + 2 * 2) * tensor
    for point in POINTS:
        published = point.published["fusemax"].dram_bytes
        assert point.ours["fusemax"].dram_bytes == pytest.approx(published, rel=1e-6)


def test_a_larger_buffer_never_adds_traffic() -> None:
    shape = ENCODERS["XLM"].attention(1 << 20)
    traffic = [fusemax_paper.dram_bytes(shape, replace(FUSEMAX, buffer_bytes=1 << n)) for n in range(19, 32)]
    assert traffic == sorted(traffic, reverse=True)


@pytest.mark.parametrize("model", ENCODERS)
def test_flat_is_bound_by_softmax_until_its_scores_leave_the_chip(model: str) -> None:
    for length, tokens in LENGTHS.items():
        mapping, cost = best_mapping(ENCODERS[model].attention(tokens))
        beyond = tokens >= LENGTHS["256K"]
        assert cost.memory_bound == beyond, length
        assert mapping.scores_on_chip != beyond, length
        if not beyond:
            assert cost.utilisation_2d(FLAT) == pytest.approx(ENCODERS[model].head_size / 512)


@pytest.mark.parametrize(("model", "share"), [("BERT", 1 / 129), ("XLM", 1 / 65)])
def test_flat_spills_little_at_64k(model: str, share: float) -> None:
    """The shares are those of the published mappings (proportion_spilled in flat_validation.csv)."""
    shape = ENCODERS[model].attention(LENGTHS["64K"])
    mapping = flat.FlatMapping(rows=256, scores_on_chip=True, keep_keys=False)
    assert flat.spilled_share(shape, mapping, FLAT) == pytest.approx(share)


def test_flat_traffic_is_the_published_where_it_sets_the_latency() -> None:
    bound = [point for point in POINTS if LENGTHS[point.length] >= LENGTHS["256K"]]
    for point in bound:
        assert point.ours["flat"].dram_bytes == pytest.approx(point.published["flat"].dram_bytes, rel=1e-6)


def test_eight_times_the_lanes_close_the_gap_while_scores_fit() -> None:
    for tokens in (LENGTHS["1K"], LENGTHS["4K"], LENGTHS["16K"]):
        shape = ENCODERS["BERT"].attention(tokens)
        assert flat_cost(shape, replace(FLAT, lanes=8 * 256)).seconds < fusemax_cost(shape).seconds


@given(shapes)
def test_flat_gains_from_lanes_and_from_choices(shape: Attention) -> None:
    rows = (1, *flat.PAPER_ROWS)
    plain = best_mapping(shape, rows=rows)[1]
    assert best_mapping(shape, replace(FLAT, lanes=8 * 256), rows=rows)[1].seconds <= plain.seconds
    assert best_mapping(shape, rows=(*rows, 64))[1].seconds <= plain.seconds
    assert best_mapping(shape, rows=rows, scores_stationary=False)[1].seconds >= plain.seconds


@pytest.mark.parametrize("model", ENCODERS)
def test_fusion_never_loses(model: str) -> None:
    for tokens in LENGTHS.values():
        shape = ENCODERS[model].attention(tokens)
        assert fusemax_cost(shape).seconds < flat_cost(shape).seconds < unfused_cost(shape).seconds


def test_latency_is_proportional_to_heads() -> None:
    one, three = (Attention(heads, 4096, 4096, 64, 64) for heads in (1, 3))
    for cost in (fusemax_cost, flat_cost, unfused_cost):
        assert cost(three).seconds == pytest.approx(3 * cost(one).seconds)


def test_unfused_steps_add_up() -> None:
    cost = unfused_cost(ENCODERS["BERT"].attention(1024))
    scores, tensor = BERT_HEADS * 1024 * 1024, BERT_HEADS * 1024 * 64
    products = 2 * (scores + 2 * tensor) * 2 / UNFUSED.dram_bytes_per_second  # QK and AV wait for DRAM
    assert cost.seconds == pytest.approx(products + 4 * scores / 256 / UNFUSED.clock_hz)
    assert cost.memory_bound


def test_what_does_not_fit_is_refused() -> None:
    shape = Attention(1, 512, 512, 64, 64)
    with pytest.raises(ValueError, match=r"^a buffer of 65536 bytes is too small for one block of queries$"):
        fusemax_cost(shape, replace(FUSEMAX, buffer_bytes=1 << 16))
    with pytest.raises(ValueError, match=r"^FuseMax has one 1D lane per column, not 8 for 256$"):
        fusemax_cost(shape, replace(FUSEMAX, lanes=8))
    with pytest.raises(ValueError, match=r"^no mapping of .* fits in 65536 bytes with rows from \(256, 512, 1024\)$"):
        flat_cost(shape, replace(FLAT, buffer_bytes=1 << 16))
    with pytest.raises(ValueError, match=r"^a row of 512 scores does not fit in 512 bytes$"):
        unfused_cost(shape, replace(UNFUSED, buffer_bytes=512))
    with pytest.raises(ValueError, match=r"^a buffer of 32768 bytes is too small for two blocks of 64 words$"):
        unfused_cost(shape, replace(UNFUSED, buffer_bytes=1 << 15))


def test_the_page_has_the_tables_of_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["fusemax_paper.py", "--docs", str(page)])
    assert benchmark.main() == 0
    assert "Speed-up of FuseMax" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == DOCS.read_text(encoding="utf-8")


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="lacks the lines"):
        benchmark.write_docs([], page)
    assert page.read_text(encoding="utf-8") == "nothing\n"


def test_the_figure_is_the_same_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        benchmark.draw(POINTS, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
