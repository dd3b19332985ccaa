"""The unit that writes memory: rows of words, and keys and values."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.layouts import FLOAT_BITS, TOKEN_BITS, WORD_ADDRESS_BITS, unit_ports
from einloom.hw.core.row_store import RowStore
from einloom.hw.core.tile_store import TileStore
from einloom.hw.part import Part
from einloom.spec.isa import BY_NAME, HEADER


class StoreUnit(Part):
    """Hands `store` to a RowStore and `store_kv` to a TileStore, which share a write master.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    write, write_token, write_address, write_data : In, a word for the staging buffer
    address, read, granted, word : a read port of the vector memory
    request, beats, answered : to a write master of the system window
    scrub, scrub_address, corrupt : see BankedBuffer
    """

    def __init__(self, lanes: int, beat_bits: int, rows: int, words: int, cache_bits: int, parity: bool):
        self._parts = RowStore(lanes, beat_bits), TileStore(lanes, beat_bits, rows, words, cache_bits, parity)
        super().__init__({
            **unit_ports(),
            "write": In(1),
            "write_token": In(TOKEN_BITS),
            "write_address": In(WORD_ADDRESS_BITS),
            "write_data": In(lanes * cache_bits),
            "address": Out(WORD_ADDRESS_BITS),
            "read": Out(1),
            "granted": In(1),
            "word": In(lanes * FLOAT_BITS),
            "request": Out(stream.Signature(request_layout())),
            "beats": Out(stream.Signature(strobed_layout(beat_bits))),
            "answered": In(1),
            **parity_ports(parity),
        })

    def elaborate(self, platform):
        m = Module()
        rows = self._parts[0].place(m, "rows", platform)
        tiles = self._parts[1].place(m, "tiles", platform)
        if self.parity:
            connect_parity(m, self, tiles)
        is_tiles = Signal()
        m.d.comb += [
            is_tiles.eq(self.instruction.payload[: HEADER[0].bits] == BY_NAME["store_kv"].code),
            tiles.write.eq(self.write),
            tiles.write_token.eq(self.write_token),
            tiles.write_address.eq(self.write_address),
            tiles.write_data.eq(self.write_data),
            self.address.eq(rows.address),
            self.read.eq(rows.read),
            rows.granted.eq(self.granted),
            rows.word.eq(self.word),
            self.busy.eq(rows.busy | tiles.busy),
            self.instruction.ready.eq(Mux(is_tiles, tiles.instruction.ready, rows.instruction.ready)),
        ]
        for part, chosen in ((rows, ~is_tiles), (tiles, is_tiles)):
            m.d.comb += [
                part.chunk.eq(self.chunk),
                part.instruction.payload.eq(self.instruction.payload),
                part.instruction.valid.eq(self.instruction.valid & chosen),
                part.request.ready.eq(self.request.ready & chosen),
                part.beats.ready.eq(self.beats.ready & chosen),
                part.answered.eq(self.answered & chosen),
            ]
            with m.If(chosen):
                m.d.comb += [
                    self.request.valid.eq(part.request.valid),
                    self.request.payload.eq(part.request.payload),
                    self.beats.valid.eq(part.beats.valid),
                    self.beats.payload.eq(part.beats.payload),
                ]
        return m
