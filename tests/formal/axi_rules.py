"""What every AXI master of ours must keep, seen from its ports."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value

from einloom.hw.bus.axi import PAGE_BYTES, BusError, burst_limit
from tests.formal.engine import Proof

ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")


class Channel:
    """The address channel `ar` or `aw` of a master."""

    def __init__(self, proof: Proof, part: Any, name: str):
        self.valid, self.ready = getattr(part.axi, f"{name}valid"), getattr(part.axi, f"{name}ready")
        self.address, self.len = getattr(part.axi, f"{name}addr"), getattr(part.axi, f"{name}len")
        self.payload = Cat(getattr(part.axi, name + member) for member in ADDRESS)
        self.announced = Signal()
        """A burst appears in this cycle."""
        proof.m.d.comb += self.announced.eq(self.valid & ~proof.past(self.valid & ~self.ready, f"{name}_waited"))


class Halt:
    """When a master must have come to rest."""

    def __init__(self, proof: Proof, part: Any):
        self.wipe = Signal()
        self.before = Signal()  # a stop or an error in an earlier cycle
        self.now = Signal()
        proof.m.d.comb += [
            self.wipe.eq(part.clear & part.idle),
            self.now.eq(part.stop | self.before | (part.error != BusError.NONE)),
        ]
        proof.m.d.sync += self.before.eq(~self.wipe & self.now)


def check_addresses(proof: Proof, part: Any, channel: Channel, halt: Halt) -> None:
    """The rules of bursts, and what a halt and errors mean for them."""
    size = part.data_bits // 8
    bytes_ = (channel.len + 1) * size
    beats = channel.len + 1
    error = Value.cast(part.error)
    before = proof.past(error, "error")
    proof.check("announcements are stable", proof.stable("announcements", channel))
    proof.check(
        "bursts lie in the window",
        ~channel.valid
        | (
            (channel.address >= part.window_base)
            & (channel.address + bytes_ <= part.window_base + part.window_size)
            & (part.window_base + part.window_size <= 1 << part.address_bits)
        ),
    )
    proof.check("bursts lie in a page", ~channel.valid | (channel.address[:12] + bytes_ <= PAGE_BYTES))
    proof.check("bursts are not too long", ~channel.valid | (beats <= burst_limit(part.data_bits, part.max_burst)))
    proof.check("nothing is announced after a halt", ~(channel.announced & halt.before))
    proof.check("no request is taken after a halt", ~(part.request.ready & halt.now))
    proof.check("idle means that nothing is announced", ~(part.idle & channel.valid))
    proof.check("the first error stays", (before == 0) | (error == before) | proof.past(halt.wipe, "wiped"))


class Lengths:
    """The lengths of bursts that were announced and are not over, the oldest first."""

    def __init__(self, m: Module, channel: Channel, over: Value, most: int):
        lengths = [Signal(8, name=f"length_{n}") for n in range(most)]
        self.count = Signal(range(most + 1))
        self.any = Signal()
        self.oldest = Signal(8)
        m.d.comb += [
            self.any.eq((self.count != 0) | channel.announced),
            self.oldest.eq(Mux(self.count == 0, channel.len, lengths[0])),
        ]
        m.d.sync += self.count.eq(self.count + channel.announced - over)
        for n, length in enumerate(lengths):
            with m.If(channel.announced & (self.count == n + over)):
                m.d.sync += length.eq(channel.len)
            with m.Elif(over):
                m.d.sync += length.eq(lengths[n + 1] if n + 1 < most else 0)


def beat_number(m: Module, moves: Value, last: Value, name: str) -> Signal:
    """The number, in its burst, of the beat that comes next."""
    number = Signal(8, name=name)
    with m.If(moves):
        m.d.sync += number.eq(Mux(last, 0, number + 1))
    return number
