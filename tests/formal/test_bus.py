"""Proofs of the AXI rules on the masters, the multiplexer and the control registers.

Where a proof for any time does not converge, the test says for how many cycles it holds. Widths are small, but every
width is a parameter of the same text; addresses have 13 bits, so that there are two pages of 32 beats.
"""

from pathlib import Path

import pytest
from amaranth import Cat, Const, Mux, Signal

from einloom.hw.bus.axi import BusError, Response
from einloom.hw.bus.control_registers import ControlRegisters
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.read_mux import ReadMux
from einloom.hw.bus.write_master import WriteMaster
from einloom.spec.registers import lay_out
from tests.formal.axi_rules import Channel, Halt, Lengths, beat_number, check_addresses
from tests.formal.engine import PROVED, Offer, Proof, Word, abc
from tests.marks import slow

pytestmark = [pytest.mark.formal, pytest.mark.skipif(abc() is None, reason="needs pyosys: pip install .[formal]")]

ADDRESS_BITS = 13
WIDE = {"data_bits": 1024, "address_bits": ADDRESS_BITS, "max_burst": 4, "max_outstanding": 2}  # for addresses
NARROW = {"data_bits": 8, "address_bits": ADDRESS_BITS, "max_burst": 2, "max_outstanding": 2}  # for data
BEAT = WIDE["data_bits"] // 8
WINDOW_BEATS = (27, 21)  # base and size of a window across the page boundary at beat 32
MASTERS = {"read": (ReadMaster, {"fifo_beats": 4}, "ar"), "write": (WriteMaster, {}, "aw")}


def address_proof(kind: str) -> tuple[Proof, ReadMaster | WriteMaster]:
    """Requests that are aligned and may reach out of the window: the window's own proof has the others."""
    make, more, name = MASTERS[kind]
    part = make(**WIDE, **more)
    proof = Proof(part)
    check_addresses(proof, part, Channel(proof, part, name), Halt(proof, part))
    request = part.request.payload
    proof.assume((request.offset < 1 << ADDRESS_BITS) & (request.offset % BEAT == 0) & (request.beats < 1 << 5))
    proof.reach("a refusal", part.error == BusError.WINDOW)
    proof.reach("a bad response", part.error == BusError.RESPONSE)
    proof.reach("the end of an abort", part.clear & part.idle & (part.error != BusError.NONE))
    return proof, part


@pytest.mark.parametrize("kind", [slow("read"), "write"])
def test_addresses_with_one_window_for_ever(kind: str, tmp_path: Path) -> None:
    proof, part = address_proof(kind)
    base, size = WINDOW_BEATS
    proof.assume((part.window_base == base * BEAT) & (part.window_size == size * BEAT))
    valid, address = (getattr(part.axi, MASTERS[kind][2] + name) for name in ("valid", "addr"))
    proof.reach("a burst in the second page", valid & (address == 32 * BEAT))
    proof.reach("the last beat of the window", valid & (address == (base + size - 1) * BEAT))
    assert proof.run(tmp_path) == PROVED


@pytest.mark.parametrize("kind", ["read", slow("write")])
def test_addresses_with_any_window_for_ten_cycles(kind: str, tmp_path: Path) -> None:
    """Bounded: no proof for any time converges over the sums of two free bounds."""
    proof, part = address_proof(kind)
    for name in ("window_base", "window_size"):
        value = getattr(part, name)
        proof.assume(proof.constant(value, name) & (value % BEAT == 0))
    assert proof.run(tmp_path, depth=10) == PROVED


def data_proof(kind: str) -> tuple[Proof, ReadMaster | WriteMaster, Channel, Halt]:
    make, more, name = MASTERS[kind]
    part = make(**NARROW, **({"fifo_beats": 3} if more else {}))
    proof = Proof(part)
    request = part.request.payload
    proof.assume((part.window_base == 0) & (part.window_size == 1 << ADDRESS_BITS - 1))
    proof.assume((request.offset < 16) & (request.beats < 16))
    return proof, part, Channel(proof, part, name), Halt(proof, part)


def test_read_beats_are_asked_for_kept_and_given_in_order(tmp_path: Path) -> None:
    """With a memory that marks the last beat of each burst, and only that."""
    proof, part, channel, halt = data_proof("read")
    m, axi = proof.m, part.axi
    beat, over = Signal(), Signal()
    m.d.comb += [beat.eq(axi.rvalid & axi.rready), over.eq(beat & axi.rlast)]
    bursts = Lengths(m, channel, over, most=3)
    proof.assume(~axi.rvalid | (axi.rlast == (beat_number(m, beat, axi.rlast, "beats") == bursts.oldest)))
    # Beats of bursts that memory has accepted; negative when it answers before.
    owed = Signal(8)
    m.d.sync += owed.eq(owed + Mux(axi.arvalid & axi.arready, axi.arlen + 1, 0) - beat)

    proof.check("no beat is accepted that was not asked for", ~axi.rready | bursts.any)
    proof.check("memory never waits", axi.rready | (owed.as_signed() <= 0))
    proof.check("no more bursts are outstanding than may be", bursts.count + channel.announced <= part.max_outstanding)
    proof.check("idle means that nothing is outstanding", ~(part.idle & bursts.any))
    good = Word(beat & ~halt.now & (axi.rresp == Response.OKAY.value), axi.rdata)
    output = part.output
    given = Word(output.valid & output.ready, output.payload.data)
    proof.queue("beats", good, given, part.fifo_beats, halt.wipe)
    proof.check("output is stable", proof.stable("output", output, halt.wipe))
    proof.reach("the end of a request", given.moves & output.payload.last)
    proof.reach("a stall for lack of room", part.stalled)
    assert proof.run(tmp_path) == PROVED


def test_written_beats_are_those_of_the_stream_or_empty(tmp_path: Path) -> None:
    proof, part, channel, halt = data_proof("write")
    m, axi = proof.m, part.axi
    beat, over, appears = Signal(), Signal(), Signal()
    m.d.comb += [
        beat.eq(axi.wvalid & axi.wready),
        over.eq(beat & axi.wlast),
        appears.eq(axi.wvalid & ~proof.past(axi.wvalid & ~axi.wready, "w_waited")),
    ]
    bursts = Lengths(m, channel, over, most=4)
    number = beat_number(m, beat, axi.wlast, "beats")
    taken = proof.past(part.data.valid & part.data.ready, "taken")
    word = proof.past(part.data.payload.as_value(), "word")
    halted = proof.past(halt.now, "halted")
    answered = axi.bvalid & axi.bready

    offered = Offer(axi.wvalid, axi.wready, Cat(axi.wdata, axi.wstrb, axi.wlast))
    proof.check("beats are stable", proof.stable("w", offered))
    proof.check("no beat without a burst", ~axi.wvalid | bursts.any)
    proof.check("WLAST marks the last beat", ~axi.wvalid | (axi.wlast == (number == bursts.oldest)))
    proof.check("a beat of the stream is written", ~taken | (appears & (Cat(axi.wdata, axi.wstrb) == word)))
    proof.check("nothing else is", ~appears | taken | (axi.wstrb == 0))
    proof.check("after a halt nothing is written", ~(appears & halted) | (axi.wstrb == 0))
    proof.check("an announced burst is completed after a halt", ~(halted & bursts.any & ~part.idle) | axi.wvalid)
    proof.check("done comes from an answer", ~part.done | (proof.past(answered, "answered") & ~halted))
    asked = part.request.valid & part.request.ready
    undone = Signal(3)  # seven fit nowhere
    m.d.sync += undone.eq(Mux(halt.wipe, 0, undone + asked - part.done))
    proof.check("requests are few", undone != 7)
    proof.check("nothing is done more often than asked for", ~part.done | (undone != 0))
    proof.check("idle means that nothing is unsent", ~(part.idle & (bursts.any | axi.wvalid)))
    proof.reach("a request is done", part.done)
    proof.reach("an empty beat", axi.wvalid & (axi.wstrb == 0) & halted)
    assert proof.run(tmp_path) == PROVED


def test_the_multiplexer_loses_nothing_and_starves_nobody(tmp_path: Path) -> None:
    count = 3
    part = ReadMux(count, data_bits=8, address_bits=4)
    proof = Proof(part)
    m, axi = proof.m, part.axi
    fired = [client.arvalid & client.arready for client in part.clients]
    accepted = Signal(len(Cat(axi.araddr, axi.arlen, axi.arid)))
    for n, (fires, client) in enumerate(zip(fired, part.clients, strict=True)):
        with m.If(fires):
            m.d.comb += accepted.eq(Cat(client.araddr, client.arlen, Const(n, part.id_bits)))
    put = Word(Cat(fired).any(), accepted)
    proof.queue("bursts", put, Word(axi.arvalid & axi.arready, Cat(axi.araddr, axi.arlen, axi.arid)), 1)
    for n, client in enumerate(part.clients):
        proof.assume(proof.stable(f"client_{n}", burst_of(client)))
        others = Signal(range(count + 1), name=f"others_{n}")  # bursts of others while this client waits
        with m.If(~client.arvalid | client.arready):
            m.d.sync += others.eq(0)
        with m.Elif(put.moves):
            m.d.sync += others.eq(others + 1)
        proof.check(f"client {n} waits for one burst of each other at most", others < count)
        mine = axi.rvalid & (axi.rid == n)
        proof.check(f"client {n} gets the beats of its own bursts", client.rvalid == mine)
        proof.check(f"client {n} alone takes them", ~mine | (axi.rready == client.rready))
    proof.check("one client at a time", sum(fired) <= 1)
    proof.check("bursts are stable", proof.stable("out", burst_of(axi)))
    assert proof.run(tmp_path) == PROVED


def burst_of(port) -> Offer:
    """What an AR channel offers."""
    return Offer(port.arvalid, port.arready, Cat(port.arid, port.araddr, port.arlen))


def test_the_control_registers_answer_each_access_once(tmp_path: Path) -> None:
    part = ControlRegisters(lay_out([("value", 40, "rw", ""), ("state", 3, "ro", "")]), address_bits=6)
    proof = Proof(part)
    m, axi = proof.m, part.axi
    for answer, asks in (("b", ("aw", "w")), ("r", ("ar",))):
        answered = getattr(axi, f"{answer}valid") & getattr(axi, f"{answer}ready")
        for ask in asks:
            owed = Signal(2, name=f"owed_{ask}")
            asked = getattr(axi, f"{ask}valid") & getattr(axi, f"{ask}ready")
            m.d.sync += owed.eq(owed + asked - answered)
            proof.check(f"{answer} answers {ask}", ~getattr(axi, f"{answer}valid") | (owed == 1))
            proof.check(f"one {ask} at a time", owed <= 1)
    proof.check("b is stable", proof.stable("b", Offer(axi.bvalid, axi.bready, axi.bresp)))
    proof.check("r is stable", proof.stable("r", Offer(axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp))))
    started = proof.past(part.ap_start, "started")
    ready = proof.past(part.ap_ready, "ready")
    proof.check("a start lasts until the kernel is ready", ~started | ready | part.ap_start)
    proof.reach("a start", part.ap_start)
    proof.reach("an interrupt", part.irq)
    assert proof.run(tmp_path) == PROVED
