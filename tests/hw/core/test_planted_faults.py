"""Faults planted in parts of the core: each is found by the part's own test."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from amaranth import Const, Mux, Value

from einloom.hw.core.layouts import POSITION_BITS
from einloom.hw.core.unit_queue import UnitQueue
from einloom.hw.isa_layout import instruction_layout
from einloom.hw.part import Part
from tests.hw.core import (
    test_attention_lanes,
    test_float_words,
    test_load_unit,
    test_recent_tiles,
    test_row_store,
    test_store_lanes,
    test_sum_words,
    test_tile_order,
    test_tile_reader,
    test_tile_store,
    test_token_scales,
    test_unit_queue,
    test_vector_memory,
    test_weight_unit,
)
from tests.hw.faulty import Faulty, Swallowing

LAST = 2 * POSITION_BITS
"""Where the last tile's number begins in VISITED."""
OTHER_LANES = instruction_layout("store_kv")["other_lanes"].offset
"""Where the field begins."""


class Unconditional(UnitQueue):
    """Carries out every instruction."""

    def _wanted(self, entry: Value) -> Value:
        return Const(1)


def _without_bit(payload: Value, bit: int) -> Value:
    value = Value.cast(payload)
    return value & ~Const(1 << bit, len(value))


def _ring_longer(part: Part, job: Value) -> Value:
    """The job of a TileReader with a ring that ends after twice as many tiles, if it has one."""
    field = part.job.payload.shape()["ring"]
    ring = Value.cast(job)[field.offset : field.offset + field.width]
    return Value.cast(job) + Mux(ring == 0, 0, 1 << field.offset)


class Fault(NamedTuple):
    """A wrong part in the place of one in a test's table of parts, and the test that must fail.

    `plant` makes it from the right one.
    """

    module: object
    key: object
    plant: Callable[[Part], Part]
    test: Callable[[], object]


FAULTS = {
    "weights: a beat too many": Fault(
        test_weight_unit,
        (1, 64),
        lambda part: Faulty(part, {"requests_0_payload": lambda _, request: request + (1 << 40)}),
        lambda: test_weight_unit.test_every_channel_gets_every_request_that_is_not_empty((1, 64), 0.5),
    ),
    "sums: the next token's address": Fault(
        test_sum_words,
        (8, 2),
        lambda part: Faulty(part, {"stride": lambda _, stride: stride + 1}),
        lambda: test_sum_words.test_words_lie_where_the_instruction_says((8, 2), 0.0),
    ),
    "sums: the last word is lost": Fault(
        test_sum_words,
        (4, 4),
        lambda part: Swallowing(part, "words", 13),
        lambda: test_sum_words.test_words_lie_where_the_instruction_says((4, 4), 0.5),
    ),
    "queue: conditions are ignored": Fault(
        test_unit_queue,
        "plain",
        lambda _: Unconditional(),
        lambda: test_unit_queue.test_instructions_wait_for_their_permits_and_conditions("plain", "middle", 0.0),
    ),
    "queue: waiting and completed are swapped": Fault(
        test_unit_queue,
        "plain",
        lambda part: Faulty(part, {}, swapped=("waiting", "completed")),
        test_unit_queue.test_an_instruction_without_its_permit_is_not_presented,
    ),
    "load: the ids' positions are counted from the chunk's start": Fault(
        test_load_unit,
        "two-beats",
        lambda part: Faulty(part, {"chunk": lambda _, chunk: Value.cast(chunk) & ~Const(0x1FFFFFF, len(chunk))}),
        lambda: test_load_unit.test_rows_become_words("two-beats", 0.0),
    ),
    "store: complete before memory has answered": Fault(
        test_row_store,
        "beat-is-word",
        lambda part: Faulty(part, {"answered": lambda *_: Const(1)}),
        test_row_store.test_an_instruction_is_complete_when_memory_has_answered_its_last_row,
    ),
    "floats: a word is offered when memory takes one": Fault(
        test_float_words,
        (4, 26),
        lambda part: Faulty(part, {"words_valid": lambda _, valid: valid & part.words.ready}),
        lambda: test_float_words.test_integers_become_the_nearest_floats((4, 26), "patient"),
    ),
    "reader: values of a job where keys should be": Fault(
        test_tile_reader,
        "8 bits",
        lambda part: Faulty(part, {}, swapped=("keys_payload", "values_payload")),
        lambda: test_tile_reader.test_tiles_come_in_the_engines_order("8 bits", 0.0),
    ),
    "reader: a ring is twice as long": Fault(
        test_tile_reader,
        "ring",
        lambda part: Faulty(part, {"job_payload": lambda _, job: _ring_longer(part, job)}),
        lambda: test_tile_reader.test_a_ring_is_read_behind_its_sinks(0.0),
    ),
    "recent tiles: the last bit of the last tile's number is lost": Fault(
        test_recent_tiles,
        2,
        lambda part: Faulty(part, {"visited": lambda _, visited: _without_bit(visited, LAST)}),
        lambda: test_recent_tiles.test_the_first_and_the_last_tiles_are_recent(2),
    ),
    "store: a bit of the first row's codes is lost": Fault(
        test_tile_store,
        "recent",
        lambda part: Faulty(part, {"beats_payload": lambda _, beat: _without_bit(beat, 3)}),
        lambda: test_tile_store.test_keys_lie_in_the_tiles_of_their_positions_and_nothing_else_changes("recent", 0.0),
    ),
    "scales: a bit of the first row's headers is lost": Fault(
        test_token_scales,
        "4 bits",
        lambda part: Faulty(part, {"codes_payload": lambda _, codes: codes & ~Const(1 << 2, len(Value.cast(codes)))}),
        lambda: test_token_scales.test_elements_are_codes_times_the_scale_of_their_row("4 bits", 0.5),
    ),
    "scales: an element is lost": Fault(
        test_token_scales,
        "8 bits",
        lambda part: Swallowing(part, "values", 3),
        lambda: test_token_scales.test_elements_are_codes_times_the_scale_of_their_row("8 bits", 0.5),
    ),
    "attention lanes: all queries go to the first one": Fault(
        test_attention_lanes,
        "lanes",
        lambda part: Faulty(part, {"write_address": lambda _, address: address & (part.words - 1)}),
        lambda: test_attention_lanes.test_each_lane_attends_to_its_own_channels(0),
    ),
    "attention lanes: two channels are swapped": Fault(
        test_attention_lanes,
        "lanes",
        lambda part: Faulty(part, {}, swapped=("beats_2_payload", "beats_3_payload")),
        lambda: test_attention_lanes.test_each_lane_attends_to_its_own_channels(0),
    ),
    "attention lanes: words that are taken count as written": Fault(
        test_attention_lanes,
        "lanes",
        lambda part: Faulty(part, {"written": lambda *_: part.integers.valid & part.integers.payload.last}),
        lambda: test_attention_lanes.test_each_lane_attends_to_its_own_channels(30),
    ),
    "store lanes: one more is at work": Fault(
        test_store_lanes,
        "lanes",
        lambda part: Faulty(part, {"instruction_payload": lambda _, payload: payload | (1 << OTHER_LANES)}),
        lambda: test_store_lanes.test_each_lane_stores_behind_its_own_channels(0.0),
    ),
    "store lanes: the first answer is taken for all": Fault(
        test_store_lanes,
        "lanes",
        lambda part: Faulty(part, {"answers": lambda _, answers: Mux(answers != 0, 0b1111, 0)}),
        lambda: test_store_lanes.test_each_lane_stores_behind_its_own_channels(0.0),
    ),
    "memory: sums before loads": Fault(
        test_vector_memory,
        False,
        lambda part: Faulty(part, {"load_valid": lambda _, valid: Mux(part.gemm.valid, 0, valid)}),
        lambda: test_vector_memory.test_words_are_written_by_priority_and_read_two_cycles_later(False, 0.0),
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = next(table for table in (fault.module.PARTS, getattr(fault.module, "RING_PARTS", {})) if fault.key in table)
    right = parts[fault.key]
    again = type(right)(**right.parameters)  # the right one has a simulator
    monkeypatch.setitem(parts, fault.key, fault.plant(again))
    with pytest.raises(AssertionError):
        fault.test()


def test_an_order_that_ends_a_tile_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    early = Faulty(type(test_tile_order.PART)(), {"tiles": lambda _, tiles: Mux(tiles > 2, tiles - 1, tiles)})
    monkeypatch.setattr(test_tile_order, "PART", early)
    with pytest.raises(AssertionError):
        test_tile_order.test_values_follow_their_keys_by_one_tile(1.0)
