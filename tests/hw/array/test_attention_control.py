"""AttentionControl with one column (AttentionColumn), and with the columns of a query's spans (SpanGroup)."""

import pytest

from einloom.hw.array.attention_control import AttentionControl, exp_delay
from einloom.hw.array.span_group import SpanGroup
from einloom.hw.pe.attention_column import AttentionColumn
from einloom.hw.pe.fusemax import Step
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.attention_format import AttentionFormat
from tests.hw.array.one_query import DIGITS, OneQuery, check, random_tile

FORMAT = AttentionFormat(input_bits=8, max_head=32, max_keys=64)
SHAPES = {"column": (4, 1), "one key": (1, 1), "two spans": (2, 2), "four spans": (1, 4)}


@pytest.mark.parametrize("shape", SHAPES)
def test_one_query_against_its_keys_is_golden(shape: str) -> None:
    rows, spans = SHAPES[shape]
    part = OneQuery(FORMAT, rows, spans)
    for seed in range(8):
        check(part, random_tile(seed, FORMAT, rows * spans))


@pytest.mark.parametrize("input_bits", [8, 16])
@pytest.mark.parametrize("rows", [2, 4, 16])
def test_one_query_with_serial_exponentials_is_golden(rows: int, input_bits: int) -> None:
    format = AttentionFormat(input_bits, max_head=32, max_keys=64)
    part = OneQuery(format, rows, 1, serial=True)
    for seed in range(6):
        check(part, random_tile(seed, format, rows))


def test_the_exponential_starts_when_the_maximum_over_all_rows_and_spans_is_there() -> None:
    for rows, spans in SHAPES.values():
        issue = [{"valid": 1, "step": Step.SCALE}, {"valid": 0}]
        bench = PartBench(
            AttentionControl(FORMAT, rows, spans), held={"issue": issue}, watch=["control", "row_control"], cycles=40
        )
        traces = bench.check(lambda _: {}).traces
        (difference,) = [n for n, now in enumerate(traces["control"]) if now["difference"]]
        assert difference + 1 == exp_delay(rows, spans)
        assert traces["row_control"][difference]["difference"]


def test_a_span_group_divides_for_each_column_of_a_query_that_is_not_split() -> None:
    """It has as many results as columns; AttentionColumn has one."""
    group, column = SpanGroup(FORMAT, 2, DIGITS, 2), AttentionColumn(FORMAT, 2, DIGITS)
    for part in (group, column):
        part._MustUse__used = True  # only asked for its ports
    assert len(group.result) == 2 * len(column.result)
