"""Rows of memory into the vector memory, as `load` and `ids` are defined."""

import pytest

from einloom.hw.core.load_unit import LoadUnit
from einloom.sim.bench.part_bench import PartBench
from einloom.spec.isa import Elements, Rows
from tests.hw.around import PAUSES, Memory, chunk, following, instruction, reader

TOKENS = 4
SHAPES = {"beat-is-word": (4, 128), "two-beats": (4, 64)}
PARTS = {name: LoadUnit(TOKENS, *shape) for name, shape in SHAPES.items()}
CHUNK = chunk(position=37, tokens=3, last=0)
SHORT_ROWS = {"elements": Elements.BFLOAT16, "rows": Rows.POSITIONS}
STEPS = [
    (("ids", {"offset": 1000}), CHUNK),
    (("load", {"offset": 50, "rows": Rows.TOKENS, "stride": 6, "words": 3, "d_base": 9, "d_token": 5}), CHUNK),
    (("load", {"offset": 8, "rows": Rows.POSITIONS, "stride": 2, "words": 1, "d_base": 0xFFFF, "d_token": 1}), CHUNK),
    (("load", {"offset": 77, "rows": Rows.ONE, "stride": 99, "words": 4, "d_base": 20, "d_token": 7}), CHUNK),
    (("load", {"offset": 77, "rows": Rows.POSITIONS, "stride": 99, "words": 0, "d_base": 20, "d_token": 7}), CHUNK),
    (("ids", {"offset": 3}), chunk(position=2, tokens=TOKENS)),
    (
        ("load", {"offset": (1 << 32) - 1, "rows": Rows.TOKENS, "stride": 4, "words": 2, "d_base": 0, "d_token": 2}),
        chunk(position=2, tokens=TOKENS),
    ),
    (("load", {"offset": 5, "rows": Rows.ONE, "words": 1, "d_base": 1, "d_token": 1}), chunk(tokens=1)),
    (("load", {"offset": 50, "stride": 2, "words": 3, "d_base": 9, "d_token": 5, **SHORT_ROWS}), CHUNK),
    (("load", {"offset": 90, "stride": 7, "words": 4, "d_base": 9, "d_token": 5, **SHORT_ROWS}), CHUNK),
    (("load", {"offset": 9, "words": 1, "d_base": 40, "elements": Elements.BFLOAT16, "rows": Rows.ONE}), CHUNK),
    (("load", {"offset": 4, "words": 2, "d_base": 40, "rows": Rows.ONE}), CHUNK),
]


def golden(memory: Memory, lanes: int, beat_bits: int) -> dict[str, list]:
    """The requests and words of STEPS, from the instruction set."""
    beat = beat_bits // 8
    requests, words, ids = [], [], []
    for (name, i), now in STEPS:
        if name == "ids":
            beats = [i["offset"] + now["position"] + t for t in range(now["tokens"])]
            requests += [{"offset": b * beat, "beats": 1} for b in beats]
            ids = [memory.word(b * beat, 4) & (1 << 25) - 1 for b in beats]
            continue
        numbers = {
            Rows.ONE: [0],
            Rows.POSITIONS: [now["position"] + t for t in range(now["tokens"])],
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
        memory.put((1000 + n) * beat_bits // 8, 4, 3 * n)
        memory.put((3 + n) * beat_bits // 8, 4, (1 << 25) - 1 - n)
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
        held={"chunk": chunk(tokens=4)},
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
        held={"chunk": chunk(tokens=1)},
        partners=[reader(memory, 16)],
    )
    elements = [memory.word(2 * n, 2) << 16 for n in range(32)]
    words = [{"address": n, "data": sum(elements[4 * n + lane] << 32 * lane for lane in range(4))} for n in range(8)]
    run = bench.check(lambda _: {"request": [{"offset": 0, "beats": 4}], "result": words})
    assert run.cycles["result"][-1] - run.cycles["result"][0] == 7
