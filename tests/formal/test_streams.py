"""Unbounded proofs of the stream rules: queues, buffers of registers, the burst splitter, the window."""

from pathlib import Path

import pytest
from amaranth import Cat, Signal

from einloom.hw.buffers import fifo
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.half_rate import HalfRateBuffer
from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.axi import PAGE_BYTES
from einloom.hw.bus.burst_splitter import BurstSplitter
from einloom.hw.bus.window import WindowCheck, request_layout
from einloom.hw.part import Part
from tests.formal.engine import PROVED, Proof, Word, abc
from tests.marks import slow

pytestmark = [pytest.mark.formal, pytest.mark.skipif(abc() is None, reason="needs pyosys: pip install .[formal]")]


def moved(stream) -> Word:
    """The words of a stream."""
    return Word(stream.valid & stream.ready, stream.payload)


def queue_proof(part: StreamFifo) -> Proof:
    proof = Proof(part)
    proof.check("output is stable", proof.stable("output", part.o, part.clear))
    inside = proof.queue("queue", moved(part.i), moved(part.o), part.depth, part.clear)
    proof.check("level counts the words", part.level == inside)
    proof.check("takes words while there is room", part.i.ready == (inside != part.depth))
    proof.reach("full", inside == part.depth)
    proof.reach("empty again", (proof.past(inside, "inside") == 1) & (inside == 0) & ~proof.past(part.clear, "clear"))
    return proof


@pytest.mark.parametrize("depth", [2, 4, 5])
@pytest.mark.parametrize("lutram_depth", [fifo.LUTRAM_DEPTH, 0], ids=["distributed", "block"])
def test_queues_keep_order_and_words(
    depth: int, lutram_depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fifo, "LUTRAM_DEPTH", lutram_depth)
    assert queue_proof(StreamFifo(1, depth)).run(tmp_path) == PROVED


@pytest.mark.parametrize(("part", "words"), [(SkidBuffer(1), 2), (HalfRateBuffer(1), 1)])
def test_buffers_of_registers_keep_order_and_words(part: Part, words: int, tmp_path: Path) -> None:
    proof = Proof(part)
    proof.check("output is stable", proof.stable("output", part.o))
    inside = proof.queue("buffer", moved(part.i), moved(part.o), words)
    proof.reach("full", inside == words)
    assert proof.run(tmp_path) == PROVED


def splitter_proof(part: BurstSplitter) -> Proof:
    proof = Proof(part)
    m, size = proof.m, part.data_bits // 8
    accepted, sent = moved(part.i).moves, moved(part.o).moves
    burst = part.o.payload
    beats = burst.len + 1
    # What the request still needs.
    address = Signal(part.address_bits)
    left = Signal(part.beats_bits)
    with m.If(part.clear):
        m.d.sync += left.eq(0)
    with m.Elif(accepted):
        m.d.sync += [address.eq(part.i.payload.address), left.eq(part.i.payload.beats)]
    with m.Elif(sent):
        m.d.sync += [address.eq(address + beats * size), left.eq(left - beats)]

    proof.assume(part.i.payload.address % size == 0)
    proof.check("bursts are stable", proof.stable("bursts", part.o, part.clear))
    proof.check("bursts come without a gap", (left != 0) == part.o.valid)
    proof.check("bursts begin where the last one ended", ~part.o.valid | (burst.address == address))
    proof.check("bursts do not exceed the request", ~part.o.valid | (beats <= left))
    proof.check("the last burst ends the request", ~part.o.valid | (burst.last == (beats == left)))
    proof.check("no request is cut short", ~accepted | (left == 0) | (sent & burst.last))
    proof.check("no burst crosses a page", ~part.o.valid | (burst.address[:12] + beats * size <= PAGE_BYTES))
    proof.check("no burst is too long", ~part.o.valid | (beats <= part.limit))
    proof.reach("a full burst that is not the last", sent & ~burst.last & (beats == part.limit))
    proof.reach("a short burst that is not the last", sent & ~burst.last & (beats == 1))
    return proof


@pytest.mark.parametrize(
    ("data_bits", "address_bits", "max_burst"), [(512, 16, 64), (256, 14, 16), (1024, 14, 256), slow(64, 14, 1)]
)
def test_bursts_cover_requests_inside_pages(data_bits: int, address_bits: int, max_burst: int, tmp_path: Path) -> None:
    part = BurstSplitter(data_bits, address_bits, max_burst, beats_bits=9)
    proof = splitter_proof(part)
    if part.limit == 1:
        proof.drop("a short burst that is not the last")
    assert proof.run(tmp_path) == PROVED


def window_proof(part: WindowCheck) -> Proof:
    """Against a reference that has the same two stages but decides in one sum, from the request itself."""
    proof = Proof(part)
    m, size = proof.m, part.data_bits // 8
    first, second = Signal(request_layout()), Signal(request_layout())
    first_valid, second_valid, move, fits = Signal(), Signal(), Signal(), Signal()
    m.d.comb += move.eq(~second_valid | part.o.ready)
    with m.If(~first_valid | move):
        m.d.sync += [first_valid.eq(part.i.valid), first.eq(part.i.payload)]
    with m.If(move):
        m.d.sync += [second_valid.eq(first_valid), second.eq(first)]
    with m.If(part.clear):
        m.d.sync += [first_valid.eq(0), second_valid.eq(0)]
    m.d.comb += fits.eq(
        (second.offset + second.beats * size <= part.size)
        & (part.base + part.size <= 1 << part.address_bits)
        & (second.beats != 0)
        & (second.offset % size == 0)
        & (part.base % size == 0)
    )

    proof.assume(proof.constant(part.base, "base"))
    proof.assume(proof.constant(part.size, "size"))
    span = part.o.payload
    proof.check("takes requests while there is room", part.i.ready == (~first_valid | move))
    proof.check("passes what fits", part.o.valid == (second_valid & fits))
    proof.check("refuses what does not", part.refused == (second_valid & ~fits & part.o.ready))
    proof.check("tells when it is busy", part.busy == (first_valid | second_valid))
    expected = Cat((part.base + second.offset)[: part.address_bits], second.beats)
    proof.check("keeps addresses and beats", ~part.o.valid | (span.as_value() == expected))
    proof.reach("a refusal", part.refused)
    proof.reach("a pass", moved(part.o).moves)
    return proof


def inside(part: WindowCheck) -> object:
    """Whether what is passed on lies in the window."""
    span = part.o.payload
    end = span.address + span.beats * (part.data_bits // 8)
    return ~part.o.valid | ((span.address >= part.base) & (end <= part.base + part.size))


def test_the_window_of_every_width_for_eight_cycles(tmp_path: Path) -> None:
    """Bounded: the proof for any time does not converge with sums of 64 bits. No request stays longer than two cycles
    unless it is stalled."""
    assert window_proof(WindowCheck(512, 64)).run(tmp_path, depth=8) == PROVED


def test_a_small_window_for_ever(tmp_path: Path) -> None:
    part = WindowCheck(512, 10)
    proof = window_proof(part)
    request = part.i.payload
    proof.assume((request.offset < 1 << 11) & (request.beats < 1 << 5))
    proof.check("passes only what is inside", inside(part))
    assert proof.run(tmp_path) == PROVED


def faulty() -> Proof:
    """A queue that may be cleared does withdraw what it offers, and a queue becomes full."""
    part = StreamFifo(1, 4)
    proof = Proof(part)
    proof.check("output is stable", proof.stable("output", part.o))
    proof.check("never full", part.level != 4)
    proof.check("never overfull", part.level <= 4)
    proof.reach("overfull", part.level > 4)
    return proof


def test_what_does_not_hold_is_found(tmp_path: Path) -> None:
    verdict = faulty().run(tmp_path)
    assert set(verdict.broken) == {"output is stable", "never full"}
    assert verdict.unreached == ("overfull",)
    bounded = faulty().run(tmp_path, depth=10)
    assert (set(bounded.broken), bounded.unreached) == (set(verdict.broken), verdict.unreached)
    assert set(faulty().run(tmp_path, depth=3).broken) == {"output is stable"}
