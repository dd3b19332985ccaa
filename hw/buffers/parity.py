"""What parts that have parity bits have in common.

A word's parity bit makes the number of ones even. It is written with the word and checked where the word is used, so a
bit that the memory lost in between is found before or while the word goes on.
"""

from amaranth import Cat, Module
from amaranth.lib.wiring import In, Out

SCRUB_BITS = 16  # of an address; memories of fewer words ignore the high ones


def corrupt_port(parity: bool) -> dict:
    """Of a part whose words are only read when they were written."""
    return {"corrupt": Out(1)} if parity else {}


def parity_ports(parity: bool) -> dict:
    """Of a part that may read words which were never written: so that they have parity, each is written first."""
    return {"scrub": In(1), "scrub_address": In(SCRUB_BITS)} | corrupt_port(True) if parity else {}


def with_parity(word, parity: bool):
    """The word as it lies in memory."""
    return Cat(word, word.xor()) if parity else word


def connect_parity(m: Module, owner, memory, others: tuple = ()) -> None:
    """Hand a part's own parity ports on to its memory; `others` are parts in it with nothing but `corrupt`."""
    m.d.comb += [
        memory.scrub.eq(owner.scrub),
        memory.scrub_address.eq(owner.scrub_address),
        owner.corrupt.eq(Cat(memory.corrupt, *(part.corrupt for part in others)).any()),
    ]
