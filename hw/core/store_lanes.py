"""Stores of keys and values on all attention lanes at once."""

from amaranth import Cat, Const, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from einloom.hw.buffers.parity import parity_ports
from einloom.hw.bus.stripes import StripedWriter
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import strobed_layout
from einloom.hw.core.layouts import unit_ports, write_port
from einloom.hw.core.tile_store import TileStore
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.wires import feed, join
from einloom.spec.cache_format import CacheFormat


class StoreLanes(Part):
    """Carries out `store_kv` (spec/isa.py) on `count` TileStores, each with a head of its own; complete when all are.

    Word w of lane n's staging buffer is word n * `words` + w of all. A lane writes its cache through its share of the
    masters, whose beats side by side are one of the cache's. Throughput: that of `count` TileStores. Latency: the
    longest of theirs, and 2 cycles.

    Parameters
    ----------
    lanes, cache, words, banks, parity : see TileStore.
    count : number of lanes.
    masters : write masters of the cache, of all lanes.

    Members
    -------
    instruction, chunk, busy : see `unit_ports`
    write : In, a word of `lanes` integers of a token of the chunk
    requests, beats : to the write masters, an array each
    answers : In, bit n: master n has answered a request
    scrub, scrub_address, corrupt : see BankedBuffer
    """

    def __init__(self, lanes: int, cache: CacheFormat, words: int, banks: int, parity: bool, count: int, masters: int):
        self.stripe_bits = cache.beat_bits * count // masters
        super().__init__({
            **unit_ports(),
            "write": In(write_port(lanes * cache.code_bits)),
            "requests": Out(stream.Signature(request_layout())).array(masters),
            "beats": Out(stream.Signature(strobed_layout(self.stripe_bits))).array(masters),
            "answers": In(masters),
            **parity_ports(parity),
        })

    def build(self, m, platform):
        i = decoded(self.instruction.payload, "store_kv")
        stripes, inside = self.masters // self.count, (self.words - 1).bit_length()
        finished, complete = Signal(self.count), Signal(self.count)
        stores = []
        for n in range(self.count):
            size = (self.lanes, self.cache, self.words, self.banks, self.parity)
            store = TileStore(*size).place(m, f"lane_{n}", platform)
            writer = StripedWriter(stripes, self.stripe_bits).place(m, f"writer_{n}", platform)
            stores.append(store)
            was_at_work = Signal(name=f"was_at_work_{n}")
            feed(m, self, store, "chunk")
            address, mine, at_work = self.write.address, 1, i.other_lanes >= n if n else Const(1)
            if self.count > 1:
                mine = address[inside : inside + (self.count - 1).bit_length()] == n
                address = address[:inside]
            feed(m, self.write, store.write, "token", "data")
            m.d.comb += [
                store.write.enable.eq(self.write.enable & mine),
                store.write.address.eq(address),
                store.instruction.payload.eq(self.instruction.payload),
                store.instruction.valid.eq(self.instruction.valid & at_work & ~finished[n]),
                complete[n].eq(~was_at_work | finished[n]),
            ]
            # The first lane always is, so nothing is complete while that of another is of the instruction before.
            m.d.sync += was_at_work.eq(at_work)
            m.d.sync += finished[n].eq(
                ~self.instruction.ready & (finished[n] | (store.instruction.valid & store.instruction.ready))
            )
            join(m, store.request, writer.request)
            join(m, store.beats, writer.beats)
            m.d.comb += store.answered.eq(writer.answered)
            for stripe in range(stripes):
                port = n * stripes + stripe
                join(m, writer.requests[stripe], self.requests[port])
                join(m, writer.stripes[stripe], self.beats[port])
                m.d.comb += writer.answers[stripe].eq(self.answers[port])
        # A register, because the permits of all units wait for it.
        m.d.sync += self.instruction.ready.eq(self.instruction.valid & complete.all() & ~self.instruction.ready)
        m.d.comb += [
            self.busy.eq(Cat(store.busy for store in stores).any()),
        ]
        if self.parity:
            for store in stores:
                feed(m, self, store, "scrub", "scrub_address")
            m.d.comb += self.corrupt.eq(Cat(store.corrupt for store in stores).any())
