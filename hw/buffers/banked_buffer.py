"""A buffer whose writes are words of one bank and whose reads are elements of all banks."""

from amaranth import Cat, Signal
from amaranth.lib import memory
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import corrupt_port, parity_ports, with_parity
from einloom.hw.part import Part
from einloom.hw.replicated import Replicated
from einloom.hw.wires import feed


class BufferBank(Part):
    """One bank: words of `lanes` elements in, groups of `read_lanes` elements out.

    A group is a part of a word or several words. In the second case each word of a group has a memory of its own, so
    that all are read at once.
    Throughput: a write and a read every cycle. Latency of a read: 1 cycle.

    Members
    -------
    write, address, data : In, a word is written
    read, read_address : In, the address counts groups of `read_lanes` elements
    elements : Out, held until the next read
    corrupt : Out(1), with `parity` only: a word that was read in the cycle before lost a bit
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

    def build(self, m, platform):
        together = max(self.read_lanes // self.lanes, 1)  # words of a group
        low = (max(self.lanes // self.read_lanes, 1) - 1).bit_length()  # of a read address: which part of a word
        part = Signal(max(low, 1))
        word = self.lanes * self.bits
        reads = self._memories(m, together)
        for read in reads:
            m.d.comb += [read.en.eq(self.read), read.addr.eq(self.read_address[low:])]
        data = reads[0].data[:word] if together == 1 else Cat(read.data[:word] for read in reads)
        m.d.comb += self.elements.eq(data.word_select(part, self.read_lanes * self.bits) if low else data)
        if self.parity:
            fresh = Signal()
            odd = [read.data.xor() for read in reads]
            # Readers that fetch ahead may go beyond the last word; nothing there has parity.
            inside = self.read_address[low:] < self.words // together
            m.d.sync += fresh.eq(self.read & inside)
            m.d.comb += self.corrupt.eq(fresh & (odd[0] if together == 1 else Cat(odd).any()))
        with m.If(self.read):
            m.d.sync += part.eq(self.read_address[:low])

    def _memories(self, m, together):
        """A memory, or one for each word of a group; their read ports."""
        if together == 1:
            return [self._memory(m, "words", self.words, self.write, self.address)]
        low = (together - 1).bit_length()
        which, address, depth = self.address[:low], self.address[low:], self.words // together
        return [self._memory(m, f"words_{n}", depth, self.write & (which == n), address) for n in range(together)]

    def _memory(self, m, name, depth, enable, address):
        """A memory of words, written where `enable` is set; its read port."""
        shape = self.lanes * self.bits + self.parity
        m.submodules[name] = words = memory.Memory(shape=shape, depth=depth, init=[])
        write, read = words.write_port(), words.read_port()
        data = with_parity(self.data, self.parity)
        m.d.comb += [write.en.eq(enable), write.addr.eq(address), write.data.eq(data)]
        return read


class BankedBuffer(Part):
    """`banks` banks of `words` words: a word of one bank is written, `read_lanes` elements of every bank are read.

    It turns tokens into steps of an engine, or keys into rows of tiles. Throughput: a write and a read every cycle.
    Latency of a read: 1 cycle.

    Parameters
    ----------
    banks, words : size.
    lanes, bits : elements of a word, and their width.
    read_lanes : elements of each bank that are read at once: a part of a word, or several words.
    parity : each word of each bank has a parity bit, which is checked at every read.

    Members
    -------
    write, bank, address, data : In, a word is written into one bank
    read, read_address : In, the address counts groups of `read_lanes` elements
    elements : Out, that group of every bank, bank 0 lowest; held until the next read
    scrub, scrub_address : In, with `parity` only: zeros are written into a word of every bank
    corrupt : Out(1), with `parity` only: a word that was read two cycles before lost a bit
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

    def build(self, m, platform):
        sliced = ("write", "elements", "corrupt")
        banks = Replicated(self._pattern, self.banks, sliced=sliced).place(m, "banks", platform)
        m.d.comb += banks.write.eq(self.write << self.bank)
        feed(m, self, banks, "address", "data", "read", "read_address")
        feed(m, banks, self, "elements")
        if self.parity:
            m.d.sync += self.corrupt.eq(banks.corrupt.any())
            with m.If(self.scrub):
                m.d.comb += [banks.write.eq(~0), banks.address.eq(self.scrub_address), banks.data.eq(0)]
