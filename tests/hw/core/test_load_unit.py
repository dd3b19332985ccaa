"""Rows of memory into the vector memory, as `load` and `tokens` are defined."""

import pytest

from einloom.hw.core.load_unit import LoadUnit
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.isa import Elements, Rows
from tests.hw.around import PAUSES, Memory, following, instruction, reader, table_rows

TOKENS = 4
SHAPES = {"beat-is-word": (4, 128), "two-beats": (4, 64)}
PARTS = {name: LoadUnit(TOKENS, *shape) for name, shape in SHAPES.items()}
CHUNK = table_rows(37, 3, 0)
MASK = (1 << 25) - 1
SHORT_ROWS = {"elements": Elements.BFLOAT16, "rows": Rows.POSITIONS}
STEPS = [
    (("tokens", {"offset": 1000}), CHUNK),
    (("load", {"offset": 50, "rows": Rows.TOKENS, "stride": 6, "words": 3, "d_base": 9, "d_token": 5}), CHUNK),
    (("load", {"offset": 8, "rows": Rows.POSITIONS, "stride": 2, "words": 1, "d_base": 0xFFFF, "d_token": 1}), CHUNK),
    (("load", {"offset": 77, "rows": Rows.ONE, "stride": 99, "words": 4, "d_base": 20, "d_token": 7}), CHUNK),
    (("load", {"offset": 77, "rows": Rows.POSITIONS, "stride": 99, "words": 0, "d_base": 20, "d_token": 7}), CHUNK),
    (("tokens", {"offset": 3}), table_rows(2, TOKENS)),
    (
        ("load", {"offset": (1 << 32) - 1, "rows": Rows.TOKENS, "stride": 4, "words": 2, "d_base": 0, "d_token": 2}),
        table_rows(2, TOKENS),
    ),
    (("load", {"offset": 5, "rows": Rows.ONE, "words": 1, "d_base": 1, "d_token": 1}), table_rows()),
    (("load", {"offset": 50, "stride": 2, "words": 3, "d_base": 9, "d_token": 5, **SHORT_ROWS}), CHUNK),
    (("load", {"offset": 90, "stride": 7, "words": 4, "d_base": 9, "d_token": 5, **SHORT_ROWS}), CHUNK),
    (("load", {"offset": 9, "words": 1, "d_base": 40, "elements": Elements.BFLOAT16, "rows": Rows.ONE}), CHUNK),
    (("load", {"offset": 4, "words": 2, "d_base": 40, "rows": Rows.ONE}), CHUNK),
]


def golden(memory: Memory, lanes: int, beat_bits: int) -> dict[str, list]:
    """The requests and words of STEPS, from the instruction set."""
    beat = beat_bits // 8
    requests, words, ids, position = [], [], [], CHUNK["row"]
    for (name, i), now in STEPS:
        if name == "tokens":
            beats = [i["offset"] + now["row"] + t for t in range(now["tokens"])]
            requests += [{"offset": b * beat, "beats": 1} for b in beats]
            ids = [memory.word(b * beat, 4) & MASK for b in beats]
            position = memory.word(beats[0] * beat + 4, 4) & MASK
            continue
        numbers = {
            Rows.ONE: [0],
            Rows.POSITIONS: [position + t for t in range(now["tokens"])],
            Rows.TOKENS: ids[: now["tokens"]],
        }[i["rows"]]
        for token, row in enumerate(numbers if i["words"] else ()):
            at = (i["offset"] + row * i.get("stride", 0)) * beat
            size = 2 if i.get("elements") == Elements.BFLOAT16 else 4
            requests.append({"offset": at % (1 << 40), "beats": -(-i["words"] * lanes * size // beat)})
            for n in range(i["words"]):
                address = (i["d_base"] + token * i.get("d_token", 0) + n) % (1 << 16)
                first = at % (1 << 40) + n * lanes * size
                elements = [memory.word(first + size * lane, size) << 32 - 8 * size for lane in range(lanes)]
                words.append({"address": address, "data": sum(e << 32 * lane for lane, e in enumerate(elements))})
    return {"request": requests, "result": words}


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_become_words(shape: str, pause: float) -> None:
    lanes, beat_bits = SHAPES[shape]
    memory = Memory()
    for n in range(40):  # ids are small, so that their rows are in memory
        for start, id, position in ((1000, 3 * n, 90 + n), (3, MASK - n, 7 * n)):
            memory.put((start + n) * beat_bits // 8, 4, id)
            memory.put((start + n) * beat_bits // 8 + 4, 4, position)
    bench = PartBench(
        PARTS[shape],
        {"instruction": [instruction(name, **fields) for (name, fields), _ in STEPS]},
        held={"chunk": STEPS[0][1]},
        pauses=dict.fromkeys(("instruction", "request", "beats", "result"), pause),
        partners=[following("instruction", chunk=[c for _, c in STEPS]), reader(memory, beat_bits // 8)],
    )
    bench.check(lambda _: golden(memory, lanes, beat_bits))


def test_a_row_is_requested_every_three_cycles_and_long_rows_come_at_the_ports_speed() -> None:
    memory = Memory()
    step = ("load", {"rows": Rows.POSITIONS, "stride": 8, "words": 8, "d_token": 8})
    bench = PartBench(
        PARTS["beat-is-word"],
        {"instruction": [instruction(step[0], **step[1])]},
        held={"chunk": table_rows(tokens=4)},
        partners=[reader(memory, 16)],
    )
    words = [{"address": n, "data": memory.word(16 * n, 16)} for n in range(32)]
    run = bench.check(lambda _: {"request": [{"offset": 128 * t, "beats": 8} for t in range(4)], "result": words})
    assert [b - a for a, b in zip(run.cycles["request"], run.cycles["request"][1:], strict=False)] == [3] * 3
    assert run.cycles["result"][-1] - run.cycles["result"][0] == len(words) - 1


def test_a_beat_of_short_elements_lasts_two_cycles() -> None:
    memory = Memory()
    bench = PartBench(
        PARTS["beat-is-word"],
        {"instruction": [instruction("load", words=8, elements=Elements.BFLOAT16)]},
        held={"chunk": table_rows()},
        partners=[reader(memory, 16)],
    )
    elements = [memory.word(2 * n, 2) << 16 for n in range(32)]
    words = [{"address": n, "data": sum(elements[4 * n + lane] << 32 * lane for lane in range(4))} for n in range(8)]
    run = bench.check(lambda _: {"request": [{"offset": 0, "beats": 4}], "result": words})
    assert run.cycles["result"][-1] - run.cycles["result"][0] == 7


def test_a_chunk_is_at_its_row_until_the_table_says_where() -> None:
    """Position and place are those of the first token's row, and a new chunk forgets them."""
    memory = Memory()
    for n, (id, position, place) in enumerate([(5, 300, 1 << 31), (6, 9, 4)]):
        for k, value in enumerate((id, position, place)):
            memory.put(16 * (20 + n) + 4 * k, 4, value)
    begins, chunks = [1] + [0] * 29 + [1] + [0] * 9, [table_rows(10, 2)] * 30 + [table_rows(12, 2)] * 10
    bench = PartBench(
        PARTS["beat-is-word"],
        {"instruction": [instruction("tokens", offset=10)]},
        held={"chunk": chunks, "begins": begins},
        watch=("position", "cache_place"),
        partners=[reader(memory, 16)],
        cycles=40,
    )
    requests = [{"offset": 16 * (20 + n), "beats": 1} for n in range(2)]
    traces = bench.check(lambda _: {"request": requests, "result": []}).traces
    seen = list(dict.fromkeys(zip(traces["position"], traces["cache_place"], strict=True)))
    assert seen == [(0, 0), (10, 0), (300, 1 << 31), (12, 0)]
