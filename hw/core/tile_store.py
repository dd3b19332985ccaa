"""Writes new keys or values into the tiles of the cache."""

from amaranth import Cat, Mux, Signal
from amaranth.lib.wiring import In

from einloom.hw.arith.delay import registered
from einloom.hw.arith.named import named
from einloom.hw.buffers.banked_buffer import BankedBuffer
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.bus.window import OFFSET_BITS
from einloom.hw.core.layouts import POSITION_BITS, ring_mask, unit_ports, write_port, writer_ports
from einloom.hw.core.transfer import Transfer
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.spec.cache_format import CacheFormat

BYTE = 8


class TileStore(Part):
    """Carries out `store_kv` (spec/isa.py), complete when memory has answered.

    Words of a token's elements gather in a staging buffer with a bank for each token of a chunk. They leave as a tile
    lies in memory: byte e of all rows, for one e after the other, as strobed beats. Only the rows of the chunk's
    positions are written, so row r gets what is in bank r mod banks. A chunk that reaches into the next tile takes a
    second request. With 4 bits a byte holds two elements of one key, the even one lowest. With a scale per token, the
    end of the word at `base` is the header of the elements, which begin in the next word. With recent tiles, each tile
    takes two requests: one for all bits of the codes, and one for their upper halves, of which two groups of the buffer
    make one of a beat. In a ring a tile takes the place of an earlier one, and tiles of sinks lie behind it.

    Throughput: a beat every cycle, within a request; one of upper halves every 3. Latency: 4 cycles from an instruction
    to its first request, 2 from that to the first beat.

    Parameters
    ----------
    lanes : of the vector unit.
    cache : the tiles in memory; a tile has at least as many rows as a chunk has tokens.
    words : depth of each bank of the staging buffer.
    banks : of that buffer, a power of two, at least the tokens of a chunk and at most the rows of a tile.
    parity : the staging buffer has parity bits.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    write : In, a word of `lanes` integers of a token of the chunk
    request, beats, answered : to a write master of the system window
    scrub, scrub_address, corrupt : see BankedBuffer
    """

    def __init__(self, lanes: int, cache: CacheFormat, words: int, banks: int, parity: bool):
        super().__init__({
            **unit_ports(),
            "write": In(write_port(lanes * cache.code_bits)),
            **writer_ports(cache.beat_bits),
            **parity_ports(parity),
        })

    def build(self, m, platform):
        i, cache = decoded(self.instruction.payload, "store_kv"), self.cache
        row_bits = (cache.rows - 1).bit_length()
        transfer = Transfer(m, self)
        tile = Signal(POSITION_BITS)
        second, halves = Signal(), Signal()  # the second of two tiles; the upper halves of codes
        first_row, end = Signal(range(cache.rows)), Signal(range(2 * cache.rows + 1))
        tile_bytes, tile_beats, product = Signal(24), Signal(24), Signal(OFFSET_BITS, reset_less=True)
        beat_shift = (cache.beat_bits // BYTE).bit_length() - 1
        coded_beats = tile_bytes >> beat_shift
        m.d.comb += [
            first_row.eq(self.chunk.position[:row_bits]),
            end.eq(first_row + self.chunk.tokens),  # row behind the last one, counted from the first tile's start
            tile_bytes.eq((i.elements >> (halves if cache.recent else cache.bits == 4)) << row_bits),
            tile_beats.eq(coded_beats + cache.header_beats if cache.token_scales else coded_beats),
        ]
        start = registered(m, "start", i.offset + self.chunk.place, len(i.offset))  # long before the first request
        m.d.sync += tile.eq((self.chunk.position >> row_bits) + second)
        if cache.recent:
            wide = ((i.elements << row_bits) >> beat_shift) + cache.header_beats  # beats of a recent tile
            place = Mux(tile == 0, cache.recent, tile[: (cache.recent - 1).bit_length()])
            behind = Mux(halves, (cache.recent + 1) * wide, 0)
            m.d.sync += product.eq(Mux(halves, tile, place) * tile_beats + behind)
        elif cache.ring:
            sinks = (i.sinks + cache.rows - 1) >> row_bits
            inside = Mux(tile < sinks, ((1 << i.ring) >> 1) + tile, tile & ring_mask(i.ring))
            m.d.sync += product.eq(Mux(i.ring == 0, tile, inside) * tile_beats)
        else:
            m.d.sync += product.eq(tile * tile_beats)

        nothing = ((tile_bytes if cache.token_scales else tile_beats) == 0) | (self.chunk.tokens == 0)
        last_tile = second | (end <= cache.rows)
        finished = last_tile & halves if cache.recent else last_tile
        sent = Signal.like(tile_beats)
        fetched = Signal() if cache.recent else 1  # all that the next beat needs is read
        last_beat = registered(m, "last_beat", tile_beats - 1, len(tile_beats))  # stable long before the first beat
        part = Signal(range(max(self._parts, 2)))  # of the bytes that the buffer gives, in the present beat
        last_part = part == self._parts - 1
        settled = Signal(2)  # cycles since the tile's number changed; its product is two registers behind
        transfer.run(
            start=self.instruction.valid & ~nothing,
            prepared=settled == 2,
            fetched=fetched,
            last_beat=sent == last_beat,
            again=~finished,
            refetch=halves & last_part if cache.recent else 0,
        )
        outputs = self._bytes(m, platform, i.base, transfer, halves, part, last_part)
        if cache.recent:
            outputs = self._halved(m, outputs, transfer, halves & (sent >= cache.header_beats), fetched)
        self._send(m, outputs, part, first_row, end, second)
        m.d.comb += [
            self.busy.eq(~transfer.idle),
            self.request.payload.offset.eq((start + product) << beat_shift),
            self.request.payload.beats.eq(tile_beats),
            self.instruction.ready.eq((transfer.idle & nothing) | transfer.done),
        ]
        m.d.sync += settled.eq(Mux(transfer.prepare, settled + 1, 0))
        with m.If(transfer.request & self.request.ready):
            m.d.sync += sent.eq(0)
        with m.Elif(transfer.beat):
            m.d.sync += sent.eq(sent + 1)
        self._follow(m, transfer, second, halves)

    def _follow(self, m, transfer, second, halves):
        """Which of a chunk's tiles is being written, and whether as upper halves."""
        with m.If(transfer.idle):
            m.d.sync += [second.eq(0), halves.eq(0)]
        with m.Elif(transfer.answer & self.answered):
            if self.cache.recent:
                m.d.sync += [second.eq(second | halves), halves.eq(~halves)]
            else:
                m.d.sync += second.eq(1)

    @property
    def _at_once(self) -> int:
        """Bytes of each row in a beat."""
        return max(1, self.cache.beat_bits // (BYTE * self.cache.rows))

    @property
    def _parts(self) -> int:
        """Beats of a byte of each row."""
        return max(1, BYTE * self.cache.rows // self.cache.beat_bits)

    def _bytes(self, m, platform, base, transfer, halves, part, last_part):
        """The staging buffer and its words in; returns the bytes that it gives, in memory's order."""
        rows, at_once, banks = self.cache.rows, self._at_once, self.banks
        word_bytes = self.lanes * self.cache.code_bits // BYTE
        skipped = (word_bytes - self.cache.header_bytes) // at_once if self.cache.token_scales else 0
        buffer = BankedBuffer(banks, self.words, word_bytes, BYTE, at_once, parity=self.parity)
        buffer.place(m, "staging", platform)
        if self.parity:
            connect_parity(m, self, buffer)
        address = Signal.like(buffer.read_address)
        follows = last_part & ~halves if self.cache.recent else last_part
        m.d.comb += [
            buffer.write.eq(self.write.enable),
            buffer.bank.eq((self.chunk.position + self.write.token)[: (banks - 1).bit_length()]),
            buffer.address.eq(self.write.address),
            buffer.data.eq(self.write.data),
            buffer.read.eq(transfer.fetch | (transfer.beat & follows)),
            buffer.read_address.eq(address),
        ]
        with m.If(transfer.request):
            start = base << (word_bytes // at_once).bit_length() - 1
            m.d.sync += [address.eq(start + skipped if skipped else start), part.eq(0)]
        with m.Elif(buffer.read):
            m.d.sync += address.eq(address + 1)
        with m.If(transfer.beat):
            m.d.sync += part.eq(Mux(last_part, 0, part + 1))
        # The buffer gives bytes row by row; memory has them byte by byte of all rows.
        return [
            buffer.elements.word_select(row % banks * at_once + n, BYTE) for n in range(at_once) for row in range(rows)
        ]

    def _halved(self, m, codes, transfer, packing, fetched):
        """While `packing`, the upper halves of two groups of codes; the first is kept as the second is read."""
        rows, again = self.cache.rows, Signal()
        m.d.comb += fetched.eq(~packing | again)
        halves = [Mux(code[4:] == 7, 7, code[4:] + code[3])[:4] for code in codes]
        kept = Signal(4 * len(halves), reset_less=True)
        with m.If(transfer.fetch):
            m.d.sync += [again.eq(~fetched), kept.eq(Cat(halves))]
        groups = [[kept.word_select(n, 4) for n in range(len(halves))], halves]
        if self._at_once == 1:
            packed = [Cat(pair) for pair in zip(*groups, strict=True)]
        else:
            packed = [
                Cat(group[n * rows + row], group[(n + 1) * rows + row])
                for group in groups
                for n in range(0, self._at_once, 2)
                for row in range(rows)
            ]
        return [Mux(packing, half, code) for half, code in zip(packed, codes, strict=True)]

    def _send(self, m, outputs, part, first_row, end, second):
        """The beat that these bytes make, and its strobes."""
        beat_bits, rows, at_once = self.cache.beat_bits, self.cache.rows, self._at_once
        low, high = Signal.like(end), Signal.like(end)
        m.d.sync += [  # stable long before the first beat
            low.eq(Mux(second, 0, first_row)),
            high.eq(Mux(second, end - rows, Mux(end > rows, rows, end))),
        ]
        written = named(m, "written", Cat((row >= low) & (row < high) for row in range(rows)))
        strobes = Cat(written for _ in range(at_once))
        m.d.comb += [
            self.beats.payload.data.eq(Cat(outputs).word_select(part, min(beat_bits, BYTE * rows * at_once))),
            self.beats.payload.strobe.eq(strobes.word_select(part, min(beat_bits // BYTE, rows * at_once))),
        ]
