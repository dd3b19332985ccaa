"""A buffer that is written by the word of one bank and read by the element of all banks."""

from amaranth import Module, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port, parity_ports, with_parity
from einloom.hw.part import Part
from einloom.hw.replicated import Replicated


class BufferBank(Part):
    """One bank: words of `lanes` elements in, `read_lanes` elements out the cycle after `read`, held until the next.

    Members
    -------
    write, address, data : In, a word is written
    read, read_address : In, the address counts groups of `read_lanes` elements
    elements : Out
    corrupt : Out(1), with `parity` only: the word that was read in the cycle before is not one that was written
    """

    def __init__(self, words: int, lanes: int, bits: int, read_lanes: int, parity: bool):
        super().__init__({
            "write": In(1),
            "address": In(range(max(words, 2))),
            "data": In(lanes * bits),
            "read": In(1),
            "read_address": In(range(max(words * lanes // read_lanes, 2))),
            "elements": Out(read_lanes * bits),
            **corrupt_port(parity),
        })

    def elaborate(self, platform):
        m = Module()
        word = self.lanes * self.bits
        m.submodules.words = words = memory.Memory(shape=word + self.parity, depth=self.words, init=[])
        write, read = words.write_port(), words.read_port()
        low = (self.lanes // self.read_lanes - 1).bit_length()  # of a read address: which part of a word
        part = Signal(max(low, 1))
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.address),
            write.data.eq(with_parity(self.data, self.parity)),
            read.en.eq(self.read),
            read.addr.eq(self.read_address[low:]),
            self.elements.eq(
                read.data[:word].word_select(part, self.read_lanes * self.bits) if low else read.data[:word]
            ),
        ]
        if self.parity:
            fresh = Signal()
            # Readers that fetch ahead may go beyond the last word, which is nowhere and so has no parity.
            inside = self.read_address[low:] < self.words
            m.d.sync += fresh.eq(self.read & inside)
            m.d.comb += self.corrupt.eq(fresh & read.data.xor())
        with m.If(self.read):
            m.d.sync += part.eq(self.read_address[:low])
        return m


class BankedBuffer(Part):
    """`banks` banks of `words` words: a word of one bank is written, an element (or `read_lanes`) of every bank read.

    So it turns tokens into steps of an engine, or keys into rows of tiles. Latency of a read: 1 cycle; the output is
    held until the next read. With `parity` each word of each bank has a bit more, which is checked at every read.

    Members
    -------
    write, bank, address, data : In, a word of `lanes` elements of `bits` each is written into one bank
    read, read_address : In, the address counts groups of `read_lanes` elements
    elements : Out, that group of every bank, bank 0 lowest
    scrub, scrub_address : In, with `parity` only: zeros are written into a word of every bank
    corrupt : Out(1), with `parity` only: a word that was read two cycles before is not one that was written
    """

    def __init__(self, banks: int, words: int, lanes: int, bits: int, read_lanes: int = 1, *, parity: bool = False):
        self._pattern = BufferBank(words, lanes, bits, read_lanes, parity)
        ports = {name: self._pattern.signature.members[name] for name in ("address", "data", "read", "read_address")}
        super().__init__({
            "write": In(1),
            "bank": In(range(max(banks, 2))),
            **ports,
            "elements": Out(banks * read_lanes * bits),
            **parity_ports(parity),
        })

    def elaborate(self, platform):
        m = Module()
        sliced = ("write", "elements", "corrupt")
        banks = Replicated(self._pattern, self.banks, sliced=sliced).place(m, "banks", platform)
        m.d.comb += [
            banks.write.eq(self.write << self.bank),
            banks.address.eq(self.address),
            banks.data.eq(self.data),
            banks.read.eq(self.read),
            banks.read_address.eq(self.read_address),
            self.elements.eq(banks.elements),
        ]
        if self.parity:
            m.d.sync += self.corrupt.eq(banks.corrupt.any())
            with m.If(self.scrub):
                m.d.comb += [banks.write.eq(~0), banks.address.eq(self.scrub_address), banks.data.eq(0)]
        return m
