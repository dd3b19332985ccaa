"""A window that is striped over masters is one window of wide beats, whenever each master asks and answers."""

import random

import pytest

from einloom.hw.bus.stripes import StripedReader, StripedWriter
from einloom.sim.bench.part_bench import Cycle, PartBench
from tests.hw.around import PAUSES, Memory, Writer, reader

BITS = 32
BEAT = BITS // 8
READERS = {count: StripedReader(count, BITS) for count in (1, 2, 4)}
WRITERS = {count: StripedWriter(count, BITS) for count in (1, 2, 4)}


def requests(count: int) -> list[dict[str, int]]:
    """In bytes of the wide window."""
    rng = random.Random(count)
    return [{"offset": rng.randrange(1 << 20) * count * BEAT, "beats": rng.randint(1, 5)} for _ in range(20)]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("count", READERS)
def test_a_wide_beat_is_one_of_each_master(count: int, pause: float) -> None:
    memories, asked = [Memory(n) for n in range(count)], requests(count)
    streams = [f"{name}_{n}" for name in ("requests", "stripes") for n in range(count)]
    masters = [reader(memory, BEAT, f"requests_{n}", f"stripes_{n}") for n, memory in enumerate(memories)]
    bench = PartBench(READERS[count], {"request": asked}, pauses=dict.fromkeys(streams, pause), partners=masters)
    each = [{**r, "offset": r["offset"] // count} for r in asked]
    beats = [
        {
            "data": sum(m.word(r["offset"] + b * BEAT, BEAT) << BITS * n for n, m in enumerate(memories)),
            "last": b + 1 == r["beats"],
        }
        for r in each
        for b in range(r["beats"])
    ]
    bench.check(lambda _: {"beats": beats, **{f"requests_{n}": each for n in range(count)}})


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("count", WRITERS)
def test_a_request_is_answered_when_each_master_has_written_its_part(count: int, pause: float) -> None:
    rng, asked = random.Random(count), requests(count)
    writers = [Lane(n, beats="stripes") for n in range(count)]
    data = [[rng.getrandbits(BITS * count) for _ in range(r["beats"])] for r in asked]
    strobes = [[rng.getrandbits(BEAT * count) for _ in range(r["beats"])] for r in asked]
    waiting, answered, offered = list(zip(asked, data, strobes, strict=True)), list[int](), list[bool]()

    def drive(cycle: Cycle) -> None:
        """The next request when the one before is answered, and its beats behind it: so it is with a TileStore."""
        cycle.set("answers", sum(writer.answered << n for n, writer in enumerate(writers)))
        if cycle["answered"]:
            assert all(writer.answers > len(answered) for writer in writers), "a master has not written its part"
            answered.append(cycle.number)
        if cycle.taken("request") is not None:
            _, words, strobed = waiting.pop(0)
            cycle.put("beats", *({"data": d, "strobe": s} for d, s in zip(words, strobed, strict=True)))
            offered.clear()
        elif waiting and not offered and len(answered) == len(asked) - len(waiting):
            cycle.put("request", waiting[0][0])
            offered.append(True)

    streams = [f"{name}_{n}" for name in ("requests", "stripes") for n in range(count)]
    bench = PartBench(
        WRITERS[count],
        pauses=dict.fromkeys(streams, pause),
        partners=[*writers, drive],
        until=lambda: len(answered) == len(asked),
    )
    bench.check(lambda _: dict.fromkeys(streams))
    wanted: list[dict[int, int]] = [{} for _ in range(count)]
    for request, words, strobed in zip(asked, data, strobes, strict=True):
        for beat, (word, strobe) in enumerate(zip(words, strobed, strict=True)):
            for byte in range(count * BEAT):
                if strobe >> byte & 1:
                    at = request["offset"] // count + beat * BEAT + byte % BEAT
                    wanted[byte // BEAT][at] = word >> 8 * byte & 0xFF
    assert [writer.memory for writer in writers] == wanted


class Lane(Writer):
    """A write master among several: it is later than the one before, and `answered` is a bit of a port."""

    def __init__(self, number: int, beat: int = BEAT, beats: str = "beats") -> None:
        super().__init__(beat, latency=1 + 3 * number)
        self._request, self._beats = f"requests_{number}", f"{beats}_{number}"
        self.answered = 0

    @property
    def idle(self) -> bool:
        """It has answered all requests."""
        return not self._spans and not self._due

    def __call__(self, cycle: Cycle) -> None:
        before = self.answers
        super().__call__(_Without(cycle))
        self.answered = self.answers - before


class _Without:
    """A cycle in which a Writer's own answer goes nowhere."""

    def __init__(self, cycle: Cycle) -> None:
        self.number, self.taken = cycle.number, cycle.taken

    def set(self, name: str, value: int) -> None:
        pass
