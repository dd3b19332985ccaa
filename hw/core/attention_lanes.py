"""Attention lanes: attention units side by side, each beside the weight channels that have its keys and values."""

from amaranth import Cat, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.array.attention_engine import AttentionSpec
from einloom.hw.buffers.fifo import StreamFifo
from einloom.hw.buffers.parity import connect_parity, parity_ports
from einloom.hw.buffers.stream_arbiter import StreamArbiter
from einloom.hw.bus.read_master import beat_layout
from einloom.hw.bus.stripes import StripedReader
from einloom.hw.bus.window import request_layout
from einloom.hw.core.attend_extent import extent_layout
from einloom.hw.core.attention_unit import BLOCKS, COLUMN_BITS, AttentionUnit
from einloom.hw.core.float_words import integers_layout
from einloom.hw.core.layouts import INDEX_BITS, WORD_ADDRESS_BITS, unit_ports, write_port
from einloom.hw.core.permit_board import MASK_BITS
from einloom.hw.isa_layout import decoded
from einloom.hw.part import Part
from einloom.hw.wires import feed, join, members
from einloom.spec.attention_format import OUTPUT_BITS, QUERY_BITS
from einloom.spec.cache_format import CacheFormat
from einloom.spec.isa import INSTRUCTION_BITS


class AttentionLanes(Part):
    """Carries out `attend` (spec/isa.py) on `count` AttentionUnits, each with a head of keys and values of its own.

    All lanes take the same instruction, each when it can; it is complete when all have completed it. Lane n's heads
    follow those of lane n - 1 in the vector memory. Word w of lane n's query buffer is word n * `words` + w of all.
    A lane reads its cache through its share of the masters, whose beats side by side are one of the cache's.

    Throughput: that of `count` AttentionUnits, whose outputs share FloatWords and the port of the vector memory.
    Latency: an AttentionUnit's, 1 cycle more for the instruction, 2 for a word, and 2 at the end.

    Parameters
    ----------
    spec, lanes, cache, words, parity : see AttentionUnit.
    count : number of lanes.
    masters : read masters of the cache, of all lanes.

    Members
    -------
    instruction, chunk, busy, prepared, extent, done, signal, idle, index, write, integers, written, scrub,
    scrub_address, corrupt, oldest_index : see AttentionUnit
    array_busy, row_busy, waiting : Out(1), those of any lane, a cycle later
    requests, beats : to and from the read masters, an array each
    request_indices : Out, array: number of the instruction whose tiles are requested from each master
    """

    def __init__(
        self, spec: AttentionSpec, lanes: int, cache: CacheFormat, words: int, parity: bool, count: int, masters: int
    ):
        self.stripe_bits = cache.beat_bits * count // masters
        super().__init__({
            **unit_ports(),
            "prepared": In(1),
            "extent": In(extent_layout(cache)),
            **members(Out, "done", "idle", "array_busy", "row_busy", "waiting"),
            "signal": Out(MASK_BITS),
            "index": In(INDEX_BITS),
            "request_indices": Out(INDEX_BITS).array(masters),
            "write": In(write_port(lanes * QUERY_BITS, column=COLUMN_BITS, scale=1)),
            "requests": Out(stream.Signature(request_layout())).array(masters),
            "beats": In(stream.Signature(beat_layout(self.stripe_bits))).array(masters),
            "integers": Out(stream.Signature(integers_layout(lanes, OUTPUT_BITS))),
            "written": In(1),
            **parity_ports(parity),
            **({"oldest_index": Out(INDEX_BITS)} if parity else {}),
        })

    def build(self, m, platform):
        parameters = (self.spec, self.lanes, self.cache, self.words, self.parity)
        units = [AttentionUnit(*parameters).place(m, f"lane_{n}", platform) for n in range(self.count)]
        stripes = self.masters // self.count
        for n, unit in enumerate(units):
            reader = StripedReader(stripes, self.stripe_bits).place(m, f"reader_{n}", platform)
            join(m, unit.request, reader.request)
            join(m, reader.beats, unit.beats)
            for stripe in range(stripes):
                port = n * stripes + stripe
                join(m, reader.requests[stripe], self.requests[port])
                join(m, self.beats[port], reader.stripes[stripe])
                m.d.comb += self.request_indices[port].eq(unit.request_index)
            feed(m, self, unit, "chunk", "extent", "index")
            self._write(m, n, unit)
        on_the_way = self._merge(m, platform, units)
        self._hand_out(m, platform, units, on_the_way)
        if self.parity:
            connect_parity(m, self, units[0], tuple(units[1:]))
            for unit in units[1:]:
                feed(m, self, unit, "scrub", "scrub_address")
            m.d.comb += self.oldest_index.eq(units[-1].oldest_index)
            for unit in reversed(units[:-1]):
                with m.If(unit.corrupt):
                    m.d.comb += self.oldest_index.eq(unit.oldest_index)

    def _write(self, m, n, unit):
        """Lane n's share of the words of the query buffers."""
        inside = (self.words - 1).bit_length()
        address, mine = self.write.address, 1
        if self.count > 1:
            mine = address[inside : inside + (self.count - 1).bit_length()] == n
            address = address[:inside]
        feed(m, self.write, unit.write, "token", "data", "column", "scale")
        m.d.comb += [unit.write.enable.eq(self.write.enable & mine), unit.write.address.eq(address)]

    def _hand_out(self, m, platform, units, on_the_way):
        """Offer the instruction to the lanes at work, and note when all have completed it."""
        i = decoded(self.instruction.payload, "attend")
        entry = data.StructLayout({"signal": MASK_BITS, "lanes": self.count})
        pending = StreamFifo(entry.size, BLOCKS).place(m, "pending", platform)
        given, oldest = data.View(entry, pending.i.payload), data.View(entry, pending.o.payload)
        # The first word of a lane's outputs is right two cycles after the instruction came, when a unit takes it.
        heads = Signal(WORD_ADDRESS_BITS)
        m.d.sync += heads.eq(i.group * i.d_outer)
        sent, at_work = Signal(self.count), Signal(self.count)
        complete = Signal(self.count)
        for n, unit in enumerate(units):
            payload, base = Signal(INSTRUCTION_BITS, name=f"instruction_{n}"), Signal(16, name=f"base_{n}")
            m.d.sync += base.eq(i.d_base + n * heads)
            m.d.comb += [
                payload.eq(self.instruction.payload),
                decoded(payload, "attend").d_base.eq(base),
                unit.instruction.payload.eq(payload),
                unit.instruction.valid.eq(self.instruction.valid & at_work[n] & ~sent[n]),
                unit.prepared.eq(self.prepared & at_work[n] & ~sent[n]),
            ]
            # A register, since no instruction is prepared before its third cycle; the first lane is always at work.
            if n:
                m.d.sync += at_work[n].eq(i.other_lanes >= n)
            else:
                m.d.comb += at_work[n].eq(1)
            waiting = Signal(range(BLOCKS + 1), name=f"complete_{n}")  # instructions that this lane has completed
            finished = Signal(name=f"finished_{n}")
            m.d.comb += complete[n].eq((waiting != 0) | ~oldest.lanes[n])
            m.d.sync += [
                finished.eq(unit.done),
                sent[n].eq(~self.instruction.ready & (sent[n] | (unit.prepared & unit.instruction.ready))),
                waiting.eq(waiting + finished - (self.done & oldest.lanes[n])),
            ]
        m.d.comb += [
            # Registers, because the permits of all units wait for it. The first lane takes only what is prepared.
            self.instruction.ready.eq((sent | ~at_work).all() & pending.i.ready),
            pending.i.valid.eq((sent | ~at_work).all()),
            given.signal.eq(i.signal),
            given.lanes.eq(at_work),
            # A lane's work ends as its last word is taken; all words must be in the vector memory.
            self.done.eq(pending.o.valid & complete.all() & ~on_the_way),
            self.signal.eq(oldest.signal),
            pending.o.ready.eq(self.done),
            self.idle.eq(~self.instruction.valid & (pending.level == 0)),
            self.busy.eq(~self.idle),
        ]

    def _merge(self, m, platform, units):
        """Outputs of all lanes, and what counters count; returns whether a lane's last word is still on its way."""
        arbiter = StreamArbiter(len(Value.cast(self.integers.payload)), self.count).place(m, "arbiter", platform)
        last = Signal(self.count)  # bit n: lane n's instruction has its last word taken
        for n, unit in enumerate(units):
            join(m, unit.integers, arbiter.inputs[n])
            m.d.comb += [
                last[n].eq(unit.integers.valid & unit.integers.ready & unit.integers.payload.last),
                unit.written.eq(last[n]),
            ]
        join(m, arbiter.o, self.integers)
        on_the_way = Signal(range(self.count * BLOCKS + 1))
        m.d.sync += on_the_way.eq(on_the_way + last.any() - self.written)
        # Counters have a long way from here, and do not mind a cycle.
        for name in ("array_busy", "row_busy", "waiting"):
            m.d.sync += getattr(self, name).eq(Cat(getattr(unit, name) for unit in units).any())
        return on_the_way != 0
