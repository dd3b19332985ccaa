"""The schedule of the FuseMax arrays: the fetch and the issue of each cycle."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from einloom.hw.array.attention_control import exp_delay, issue_layout, serial_delay
from einloom.hw.array.tile_walk import TileWalk, job_layout
from einloom.hw.part import Part
from einloom.hw.pe.attention_column import tile_layout
from einloom.hw.pe.fusemax import PE_LATENCY, Step
from einloom.hw.wires import join, members
from einloom.spec.attention_format import EXP2_STEPS, QUERY_ADDRESS_BITS, AttentionFormat

LOAD_AT = PE_LATENCY - 1  # cycle of the first half in which the exponentials of the epoch before are complete
SCALE_AT = PE_LATENCY - 1  # cycle of the second half in which the dot products are complete


def exp_end(rows: int, spans: int = 1, serial: bool = False) -> int:
    """Cycles of the second half of an epoch up to the last step of the exponential.

    Serial exponentials take no step, and have as much time as if they did: up to LOAD_AT of the next epoch.
    """
    return serial_delay(rows) + SCALE_AT - LOAD_AT if serial else exp_at(rows, spans)[-1] + 1


def exp_at(rows: int, spans: int = 1) -> tuple[int, ...]:
    """Cycles of the exponential's steps in the second half of an epoch, where PEs take them."""
    start = SCALE_AT + exp_delay(rows, spans)
    return tuple(range(start, start + EXP2_STEPS * PE_LATENCY, PE_LATENCY))


class AttentionSequencer(Part):
    """Issues the steps of epochs. An epoch is one tile long and works on two tiles, `front` and the one before, `back`:

        first half    E SCORE steps of front
        second half   F + 1 VALUE steps of back, and among them SCALE and the EXP steps of front

    Throughput: a step every cycle. An epoch takes E + F + 1 + 1 + EXP2_STEPS cycles, in each of which every PE is busy.
    With `serial` exponentials there are no EXP steps, and the second half lasts until they are complete, if that is
    longer.
    Latency: 3 cycles from a job to its first key, and 1 from a take to its step's issue. The exponentials are complete
    when their tile is the back of the next epoch. Steps of a missing front (after the last tile) or back (before the
    first) are left out. Jobs follow each other without a gap.

    A step waits for its key or value, or, with the last tile of its queries, for the dividers. Nothing is issued until
    then; issued steps run on, so a wait only makes distances longer.

    Source: FuseMax (MICRO 2024), section V. Its QK and SLNV alternate cycle by cycle because its array is systolic.
    Here operands are broadcast, and the halves stay apart, so keys and values can share a memory port.

    Members
    -------
    job : In, stream, a block of queries (hw/array/tile_walk.py)
    key_valid, key_take, value_valid, value_take : the streams' handshakes
    row_unit : Out(1), in the cycle of a value's take: the row operand is the denominator's unit instead
    split : Out, with more than one span: the key or value taken belongs to a split job
    query_address, query_read : Out, read a word of the queries
    dividers_free : In(1), nothing is being divided
    issue : Out, registered, with the operands taken the cycle before
    tiles : Out, of front, for each span
    final_head : Out, F of the queries whose last step was issued last
    idle : Out(1), no job is known
    """

    def __init__(self, format: AttentionFormat, rows: int, spans: int = 1, serial: bool = False):
        self.exp_end = exp_end(rows, spans, serial)
        self.exp_places = () if serial else exp_at(rows, spans)
        super().__init__({
            "job": In(stream.Signature(job_layout(format, spans))),
            **members(In, "key_valid", "value_valid"),
            **members(Out, "key_take", "value_take", "row_unit"),
            "query_address": Out(QUERY_ADDRESS_BITS),
            "query_read": Out(1),
            "dividers_free": In(1),
            "issue": Out(issue_layout(format, spans)),
            "tiles": Out(data.ArrayLayout(tile_layout(format, rows, spans), spans)),
            "final_head": Out(range(format.max_head + 1)),
            **members(Out, "idle", *(["split"] if spans > 1 else [])),
        })

    def build(self, m, platform):
        spans = self.spans
        walk = TileWalk(self.format, self.rows, spans).place(m, "walk", platform)
        front, at = walk.front, Signal(range(max(self.format.max_head, self.exp_end - 1) + 8))
        head = range(self.format.max_head + 1)
        back = Signal(data.StructLayout({"valid": 1, "head": head, "last": 1, "split": int(spans > 1)}))
        second = Signal()
        fetch = Signal(issue_layout(self.format, spans))
        # For the second half. They are compared a cycle ahead, because the end of an epoch depends on them.
        special = Signal()  # a step of front has this place
        past = Signal()  # no step of front has a later place
        # VALUE steps of back that are issued: their number, and whether that is none, all but one, or all.
        given_layout = data.StructLayout({"steps": range(head.stop + 1), "none": 1, "all_but_one": 1, "all": 1})
        given = Signal(given_layout, init={"none": 1})
        moves, moves_on = Signal(), Signal()  # the position advances: in the first half, in the second
        ends = Signal()  # ... into the next epoch

        join(m, self.job, walk.job)
        m.d.comb += [
            self.tiles.eq(walk.tiles),
            walk.advance.eq(ends),
            self.idle.eq(walk.job.ready & ~front.valid & ~back.valid & ~self.issue.valid),
        ]
        m.d.sync += self.issue.eq(fetch)
        with m.If(~front.valid & ~back.valid):
            m.d.comb += ends.eq(walk.known)
        with m.Elif(~second):
            self._first_half(m, front, at, fetch, moves)
            with m.If(moves & (at == Mux(front.valid, front.query_head - 1, LOAD_AT))):
                m.d.sync += [second.eq(1), at.eq(0)]
            with m.Elif(moves):
                m.d.sync += at.eq(at + 1)
        with m.Else():
            values_end = self._second_half(m, front, back, at, fetch, moves_on, special, given)
            m.d.comb += ends.eq(moves_on & values_end & (~front.valid | past))
            with m.If(moves_on):
                following = at + 1
                m.d.sync += [
                    at.eq(following),
                    special.eq(Cat(following == place for place in (SCALE_AT, *self.exp_places)).any()),
                    past.eq(following >= self.exp_end - 1),
                ]
        with m.If(ends):
            m.d.sync += [
                *(signal.eq(0) for signal in (second, at, special, past, given.steps, given.all)),
                given.none.eq(1),
                given.all_but_one.eq(front.value_head == 0),
                back.valid.eq(front.valid),
                back.head.eq(front.value_head),
                back.last.eq(front.last),
                back.split.eq(front.split),
            ]
        if spans > 1:
            m.d.comb += self.split.eq(Mux(second, back.split, front.split))

    def _first_half(self, m, front, at, fetch, moves):
        """Issue SCORE steps, or wait for the exponentials if there is no front."""
        m.d.comb += [
            moves.eq(self.key_valid | ~front.valid),
            self.key_take.eq(front.valid),
            fetch.load.eq(moves & (at == LOAD_AT)),
            fetch.step.eq(Step.SCORE),
            fetch.valid.eq(front.valid & moves),
            fetch.first.eq(at == 0),
            self.query_read.eq(front.valid & moves),
            self.query_address.eq(front.queries + at),
        ]

    def _second_half(self, m, front, back, at, fetch, moves, special, given):
        """Issue the steps of front at their places and VALUE steps at all others; returns whether these end."""
        values_end = Signal()
        with m.If(front.valid):
            with m.Switch(at):
                for n, place in enumerate(self.exp_places):
                    with m.Case(place):
                        m.d.comb += [fetch.step.eq(Step.EXP), fetch.term.eq(n)]
                with m.Case(SCALE_AT):
                    m.d.comb += [fetch.step.eq(Step.SCALE), fetch.first.eq(front.fresh)]
                    m.d.comb += fetch.merge.eq(front.last & front.split)
        value, ready = Signal(), Signal()
        m.d.comb += [
            value.eq(back.valid & ~(front.valid & special) & ~given.all),
            self.row_unit.eq(given.none),
            ready.eq(Mux(given.none, ~back.last | self.dividers_free, self.value_valid)),
            self.value_take.eq(value & ready & ~given.none),
            moves.eq(~value | ready),
            fetch.valid.eq((front.valid & special) | (value & ready)),
            fetch.address.eq(Mux(given.none, self.format.max_head, given.steps - 1)),
            fetch.last.eq(value & back.last),
            fetch.end.eq(given.all_but_one),
            # Two more words follow a query: its scale, and its position, which is read first.
            self.query_read.eq(front.valid & moves & (at <= SCALE_AT)),
            self.query_address.eq(front.queries + front.query_head + Mux(at == SCALE_AT, 0, at + 1)),
            fetch.position_low.eq(front.valid & moves & (at == 0)),
            fetch.position_high.eq(front.valid & moves & (at == 1)),
            values_end.eq(~back.valid | given.all | (value & fetch.end)),
        ]
        with m.If(value):
            m.d.comb += [fetch.step.eq(Step.VALUE), fetch.merge.eq(back.last & back.split)]
            with m.If(ready):
                following = given.steps + 1
                m.d.sync += [
                    given.steps.eq(following),
                    given.none.eq(0),
                    given.all_but_one.eq(following == back.head),
                    given.all.eq(given.all_but_one),
                ]
                with m.If(back.last & fetch.end):
                    m.d.sync += self.final_head.eq(back.head)
        return values_end
