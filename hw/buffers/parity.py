"""Ports and logic of parts that have parity bits.

A word's parity bit makes the number of ones even. It is written with the word and checked where the word is used.
"""

from amaranth import Cat, Module
from amaranth.lib.wiring import In, Out

from einloom.hw.wires import feed

SCRUB_BITS = 16  # width of a scrub address; memories of fewer words ignore its high bits


def corrupt_port(parity: bool) -> dict:
    """Ports of a memory that never reads an unwritten word, so it needs no scrubbing."""
    return {"corrupt": Out(1)} if parity else {}


def parity_ports(parity: bool) -> dict:
    """Ports of a memory that may read an unwritten word, so all words are scrubbed (written) first."""
    return {"scrub": In(1), "scrub_address": In(SCRUB_BITS)} | corrupt_port(True) if parity else {}


def with_parity(word, parity: bool):
    """The word with its parity bit, as it lies in memory."""
    return Cat(word, word.xor()) if parity else word


def connect_parity(m: Module, owner, memory, others: tuple = ()) -> None:
    """Connect a part's own parity ports with its memory; `others` are parts in it that have only `corrupt`."""
    feed(m, owner, memory, "scrub", "scrub_address")
    m.d.comb += owner.corrupt.eq(Cat(memory.corrupt, *(part.corrupt for part in others)).any())
