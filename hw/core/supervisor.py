"""Starts and ends jobs, and stops those that go wrong."""

from amaranth import Cat, Mux, Signal
from amaranth.lib.wiring import In, Out

from einloom.hw.arith.delay import delayed
from einloom.hw.bus.axi import BusError
from einloom.hw.core.layouts import INDEX_BITS
from einloom.hw.core.sequencer import ERROR_BITS
from einloom.hw.part import Part
from einloom.hw.wires import members
from einloom.spec.isa import CoreError

WATCHDOG_BITS = 32
TREE_MASTERS = 16
"""Most masters whose errors are compared, and whose rest is seen, within a cycle."""


class Supervisor(Part):
    """Carries out jobs: from ap_start to ap_done.

    Throughput: one job at a time. Latency: none from `ap_start` to `start`; 3 cycles from the program's end to
    `ap_done`, without a report and if the masters are idle, and 4 with more than TREE_MASTERS masters.

    A job ends with the program's end, the first error, an abort, or the watchdog. Then all masters stop. When memory
    has answered all requests, masters and machine are cleared, so the next job finds everything as after a reset.

    If memory never answers, the job is reported as done anyway, after the watchdog's time. Until the missing answers
    arrive, each later job fails with WATCHDOG.

    A report is written after the job, by the cleared writer, which is stopped and cleared again. A report that cannot
    be written is given up; the job's own error stands.

    Parameters
    ----------
    masters : number of bus masters.

    Members
    -------
    ap_start, ap_done, ap_idle : see ControlRegisters; `ap_done` is `ap_ready` too
    abort : In(1)
    watchdog : In, cycles without progress that end a job, 0 for never
    progress : In(1), something was completed
    start : Out(1), to the machine
    machine_done : In(1), the program's end
    machine_error, machine_index : In, the program's own mistake, and its instruction
    oldest : In, the instruction that is blamed for the watchdog, an abort, or too many permits
    errors, indices : In, each master's error, and the instruction that it works for
    idle : In, bit n: master n owes and is owed nothing
    stop, clear : Out(1), to the masters; `clear` resets the machine
    running : Out(1)
    error, error_index : Out, of the last job
    reports : In(1), a report is wanted
    reporting : Out(1), it is being written
    report_done : In(1), it is written
    """

    def __init__(self, masters: int):
        super().__init__({
            **members(In, "ap_start", "abort"),
            **members(Out, "ap_done", "ap_idle"),
            "watchdog": In(WATCHDOG_BITS),
            "start": Out(1),
            "machine_done": In(1),
            "machine_error": In(ERROR_BITS),
            **members(In, "machine_index", "oldest", shape=INDEX_BITS),
            "progress": In(1),
            "errors": In(BusError).array(masters),
            "indices": In(INDEX_BITS).array(masters),
            "idle": In(masters),
            **members(Out, "stop", "clear", "running"),
            "error": Out(ERROR_BITS),
            "error_index": Out(INDEX_BITS),
            "reports": In(1),
            "reporting": Out(1),
            "report_done": In(1),
        })

    def build(self, m, platform):
        quiet = Signal(WATCHDOG_BITS)  # cycles without progress
        late, waits, settled = Signal(), Signal(), Signal()
        owed = Signal()  # the host was told of the job's end before memory had answered
        written = Signal()  # the report is written, or given up
        error, index = Signal(ERROR_BITS), Signal(INDEX_BITS)
        # For the report, which some cycles' delay does not harm. Errors of the job itself are cleared before it.
        wrong = Cat(found != BusError.NONE for found in self.errors).any()
        failed = Signal()
        m.d.sync += failed.eq(wrong & self.reporting)
        m.d.comb += settled.eq(self.idle.all())
        if self.masters > TREE_MASTERS:
            # Masters that stop announce nothing more, so that an idle one stays idle until they are cleared.
            settled = delayed(m, "settled", self.stop & settled, 1, reset_less=False)
        m.d.comb += late.eq((self.watchdog != 0) & (quiet == self.watchdog))
        m.d.sync += [quiet.eq(Mux(self.progress | late | waits, 0, quiet + 1)), self.ap_done.eq(0)]
        self._first(m, late, error, index)
        with m.FSM():
            with m.State("idle"):
                m.d.comb += [self.ap_idle.eq(1), waits.eq(1)]
                with m.If(self.ap_start & ~self.ap_done):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += [self.error.eq(0), self.error_index.eq(0)]
                    m.next = "run"
            with m.State("run"):
                m.d.comb += self.running.eq(1)
                with m.If(error != CoreError.NONE):
                    m.d.sync += [self.error.eq(error), self.error_index.eq(index)]
                with m.If((error != CoreError.NONE) | self.machine_done):
                    m.next = "stop"
            with m.State("stop"):
                m.d.comb += self.stop.eq(1)
                with m.If(settled):
                    m.next = "clear"
                with m.Elif(late):
                    m.d.sync += [self.ap_done.eq(1), owed.eq(1)]
                    m.next = "owed"
            with m.State("clear"):
                m.d.comb += self.clear.eq(1)
                with m.If(self.reports & ~written & ~owed):
                    m.d.sync += written.eq(1)
                    m.next = "report"
                with m.Else():
                    m.d.sync += [self.ap_done.eq(~owed), owed.eq(0), written.eq(0)]
                    m.next = "idle"
            with m.State("owed"):
                m.d.comb += [self.stop.eq(1), waits.eq(~self.ap_start)]
                with m.If(settled):
                    m.next = "clear"
                with m.Elif(late):
                    m.d.sync += [self.error.eq(CoreError.WATCHDOG), self.error_index.eq(0), self.ap_done.eq(1)]
            with m.State("report"):
                m.d.comb += self.reporting.eq(1)
                with m.If(self.report_done | failed | late):
                    m.next = "stop"

    def _first(self, m, late, error, index):
        """Choose the error of this cycle: an abort, a master's, the program's (a master may be why), the watchdog's."""
        m.d.comb += index.eq(self.oldest)
        with m.If(late):
            m.d.comb += error.eq(CoreError.WATCHDOG)
        with m.If(self.machine_error != CoreError.NONE):
            m.d.comb += [
                error.eq(self.machine_error),
                index.eq(Mux(self.machine_error == CoreError.PERMITS, self.oldest, self.machine_index)),
            ]
        masters = list(zip(self.errors, self.indices, strict=True))
        if len(masters) > TREE_MASTERS:
            # A register for each part of a large tree. A program's mistake that follows from a master's error comes
            # later still, because its beat passes more registers.
            parts = [masters[n : n + TREE_MASTERS] for n in range(0, len(masters), TREE_MASTERS)]
            masters = [
                (delayed(m, f"found_{n}", found, 1, reset_less=False), delayed(m, f"found_at_{n}", at, 1))
                for n, (_, found, at) in enumerate(self._last_of(m, part) for part in parts)
            ]
        at_fault, found, at = self._last_of(m, masters)
        with m.If(at_fault):
            m.d.comb += [error.eq(Mux(found == BusError.WINDOW, CoreError.WINDOW, CoreError.RESPONSE)), index.eq(at)]
        with m.If(self.abort):
            m.d.comb += [error.eq(CoreError.ABORTED), index.eq(self.oldest)]

    def _last_of(self, m, masters):
        """(there is one, error, index) of the last master with an error, by a tree, for there may be many masters."""
        if len(masters) == 1:
            [(found, index)] = masters
            return found != BusError.NONE, found, index
        half = len(masters) // 2
        low, high = self._last_of(m, masters[:half]), self._last_of(m, masters[half:])
        here, found, index = Signal(), Signal(BusError), Signal(INDEX_BITS)
        m.d.comb += [
            here.eq(low[0] | high[0]),
            found.eq(Mux(high[0], high[1], low[1])),
            index.eq(Mux(high[0], high[2], low[2])),
        ]
        return here, found, index
