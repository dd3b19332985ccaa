"""Queues, skid buffers and the burst splitter in Amaranth's simulator, with random pauses on both sides."""

import random
from collections.abc import Callable, Iterator

import pytest
from amaranth.sim import Simulator

from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.half_rate import HalfRateBuffer
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.axi import PAGE_BYTES, axi_read, burst_limit
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.read_mux import ReadMux

PAUSES = {"full-rate": (0.0, 0.0), "slow-producer": (0.7, 0.0), "slow-consumer": (0.0, 0.7), "both": (0.4, 0.4)}
CYCLES = 20_000


def through(part, words: list, pause: tuple[float, float], enough: Callable[[list], bool], each=None) -> list:
    """What comes out of `part` for `words` put in, as (cycle, word); fails when a word is withdrawn or changed."""
    rng = random.Random(1)
    out: list = []

    async def put(ctx):
        for word in words:
            while rng.random() < pause[0]:
                await ctx.tick()
            ctx.set(part.i.payload, word)
            ctx.set(part.i.valid, 1)
            taken = False
            while not taken:
                _, _, taken = await ctx.tick().sample(part.i.ready)
            ctx.set(part.i.valid, 0)

    async def get(ctx):
        offered = None
        for cycle in range(CYCLES):
            ready = rng.random() >= pause[1]
            ctx.set(part.o.ready, ready)
            if each:
                each(ctx)
            _, _, valid, payload = await ctx.tick().sample(part.o.valid, part.o.payload)
            word = _plain(payload) if valid else None
            assert offered is None or word == offered
            offered = None if ready else word
            if valid and ready:
                out.append((cycle, word))
                if enough(out):
                    return
        raise TimeoutError(f"{len(out)} words after {CYCLES} cycles")

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(put, background=True)
    simulator.add_testbench(get)
    simulator.run()
    return out


def _plain(payload) -> object:
    return payload if isinstance(payload, int) else tuple(getattr(payload, name) for name in ("address", "len", "last"))


def _words(count: int) -> list[int]:
    rng = random.Random(2)
    return [rng.getrandbits(16) for _ in range(count)]


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize("depth", [2, 3, 32, 33, 64])
def test_a_queue_keeps_words_in_order(depth: int, pause: tuple[float, float]) -> None:
    part, words, levels = StreamFifo(16, depth), _words(400), []
    out = through(
        part, words, pause, lambda out: len(out) == len(words), each=lambda ctx: levels.append(ctx.get(part.level))
    )
    assert [word for _, word in out] == words
    if pause == PAUSES["full-rate"]:
        assert out[-1][0] - out[0][0] == len(words) - 1
        assert max(levels) <= 4
    if pause == PAUSES["slow-consumer"]:
        assert max(levels) == depth


def test_words_leave_a_queue_one_or_three_cycles_later() -> None:
    assert through(StreamFifo(16, 32), [5], (0, 0), lambda out: len(out) == 1) == [(1, 5)]
    assert through(StreamFifo(16, 33), [5], (0, 0), lambda out: len(out) == 1) == [(3, 5)]


@pytest.mark.parametrize("depth", [4, 40])
def test_a_cleared_queue_is_empty(depth: int) -> None:
    part = StreamFifo(8, depth)

    async def bench(ctx):
        for round_ in range(3):
            ctx.set(part.i.valid, 1)
            for n in range(depth + round_):
                ctx.set(part.i.payload, n)
                await ctx.tick()
            assert ctx.get(part.level) == depth
            ctx.set(part.clear, 1)
            await ctx.tick()
            ctx.set(part.clear, 0)
            ctx.set(part.i.payload, 99)
            assert ctx.get(part.level) == 0
            await ctx.tick()
            ctx.set(part.i.valid, 0)
            await ctx.tick().repeat(3)
            assert ctx.get(part.level) == 1
            assert ctx.get(part.o.valid)
            assert ctx.get(part.o.payload) == 99
            ctx.set(part.o.ready, 1)
            await ctx.tick()
            ctx.set(part.o.ready, 0)

    simulator = Simulator(part)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("part", "distance"), [(SkidBuffer, 1), (HalfRateBuffer, 2)])
@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
def test_a_buffer_of_registers_passes_words_on(part: type, distance: int, pause: tuple[float, float]) -> None:
    words = _words(400)
    out = through(part(16), words, pause, lambda out: len(out) == len(words))
    assert [word for _, word in out] == words
    if pause == PAUSES["full-rate"]:
        assert [cycle for cycle, _ in out] == [1 + distance * n for n in range(len(words))]


def _requests(data_bytes: int) -> Iterator[dict[str, int]]:
    """Requests of all sizes from everywhere in a page, also at the end of memory."""
    rng = random.Random(3)
    for _ in range(60):
        yield {
            "address": rng.randrange(1 << 20) * data_bytes,
            "beats": rng.choice((1, 2, 7, 64, 128, 129, rng.randrange(1, 700))),
        }
    yield {"address": (1 << 64) - 5 * data_bytes, "beats": 5}
    yield {"address": 0, "beats": 0}  # swallowed
    yield {"address": PAGE_BYTES - data_bytes, "beats": 2}


@pytest.mark.parametrize("pause", PAUSES.values(), ids=PAUSES)
@pytest.mark.parametrize(("data_bits", "max_burst"), [(512, 64), (256, 256), (64, 16), (8, 1)])
def test_bursts_cover_requests_exactly(data_bits: int, max_burst: int, pause: tuple[float, float]) -> None:
    size = data_bits // 8
    requests = list(_requests(size))
    if max_burst == 1:
        requests = [r for r in requests if r["beats"] < 10]
    covered: list[dict[str, int]] = []

    def enough(out: list) -> bool:
        return sum(last for _, (_, _, last) in out) == sum(r["beats"] != 0 for r in requests)

    bursts = through(BurstSplitter(data_bits, max_burst=max_burst), requests, pause, enough)
    start = None
    for _, (address, length, last) in bursts:
        beats = length + 1
        assert beats <= max_burst
        assert address // PAGE_BYTES == (address + beats * size - 1) // PAGE_BYTES
        if start is None:
            start, total = address, 0
        assert address == start + total * size
        total += beats
        if last:
            covered.append({"address": start, "beats": total})
            start = None
    assert covered == [r for r in requests if r["beats"]]
    if pause == PAUSES["full-rate"]:
        assert bursts[-1][0] - bursts[0][0] == len(bursts) - 1 + 1  # one cycle for the request without a beat


def test_parameters_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^a queue must hold at least 2 words, not 1$"):
        StreamFifo(8, 1)
    with pytest.raises(ValueError, match=r"^AXI4 data must be 8 to 1024 bits and a power of two, not 48$"):
        axi_read(48)
    with pytest.raises(ValueError, match=r"^max_burst must be a power of two up to 256, not 512$"):
        burst_limit(512, 512)
    with pytest.raises(ValueError, match=r"^fifo_beats must hold a burst of 64, not 63$"):
        ReadMaster(512, fifo_beats=63)
    with pytest.raises(ValueError, match=r"^a read port must have a client, not 0$"):
        ReadMux(0, 512)
