"""Starts and ends jobs, and stops those that go wrong."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import enum
from amaranth.lib.wiring import In, Out

from einloom.hw.bus.axi import BusError
from einloom.hw.core.layouts import INDEX_BITS
from einloom.hw.core.sequencer import ERROR_BITS
from einloom.hw.part import Part
from einloom.spec.isa import CoreError

WATCHDOG_BITS = 32


class _Step(enum.Enum, shape=3):
    IDLE = 0
    RUN = 1
    STOP = 2
    CLEAR = 3
    OWED = 4
    REPORT = 5


class Supervisor(Part):
    """From ap_start to ap_done.

    A job ends with the program's end, the first error, an abort, or the watchdog. Then all masters stop, and when
    memory has answered all they asked for they and the machine are cleared, so that the next job finds everything as
    after a reset. When memory does not answer in the watchdog's time, the job is reported all the same; as long as
    answers are due, no other one starts, and each that is wanted ends with the watchdog.

    Where a report is wanted, it is written next, by the cleared writer, which is stopped and cleared again; a report
    that cannot be written is given up, and the job's own end stands.

    Parameters
    ----------
    masters : number of bus masters.

    Members
    -------
    ap_start, ap_done, ap_idle : see ControlRegisters; `ap_done` is `ap_ready` too
    abort : In(1); watchdog : In, cycles without progress, 0 for never
    start : Out(1), to the machine
    machine_done : In(1); machine_error, machine_index : In, the program's own mistake, and its instruction
    oldest : In, the instruction that is blamed when no other can be: by the watchdog, an abort, too many tokens
    progress : In(1), something was completed
    errors, indices : In, each master's error, and the instruction that it works for
    idle : In, bit n for each master
    stop, clear : Out(1), to the masters; `clear` resets the machine
    running : Out(1)
    error, error_index : Out, of the last job
    reports : In(1), a report is wanted; reporting : Out(1), it is being written; report_done : In(1)
    """

    def __init__(self, masters: int):
        super().__init__({
            "ap_start": In(1),
            "ap_done": Out(1),
            "ap_idle": Out(1),
            "abort": In(1),
            "watchdog": In(WATCHDOG_BITS),
            "start": Out(1),
            "machine_done": In(1),
            "machine_error": In(ERROR_BITS),
            "machine_index": In(INDEX_BITS),
            "oldest": In(INDEX_BITS),
            "progress": In(1),
            "errors": In(BusError).array(masters),
            "indices": In(INDEX_BITS).array(masters),
            "idle": In(masters),
            "stop": Out(1),
            "clear": Out(1),
            "running": Out(1),
            "error": Out(ERROR_BITS),
            "error_index": Out(INDEX_BITS),
            "reports": In(1),
            "reporting": Out(1),
            "report_done": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        step = Signal(_Step)
        quiet = Signal(WATCHDOG_BITS)
        late = Signal()
        owed = Signal()  # the host knows of the job's end already; memory had not answered
        written = Signal()  # the report, or what became of it
        error, index = Signal(ERROR_BITS), Signal(INDEX_BITS)
        m.d.comb += [
            late.eq((self.watchdog != 0) & (quiet == self.watchdog)),
            self.ap_idle.eq(step == _Step.IDLE),
            self.running.eq(step == _Step.RUN),
            self.stop.eq((step == _Step.STOP) | (step == _Step.OWED)),
            self.clear.eq(step == _Step.CLEAR),
            self.reporting.eq(step == _Step.REPORT),
        ]
        waits = (step == _Step.IDLE) | ((step == _Step.OWED) & ~self.ap_start)
        m.d.sync += [quiet.eq(Mux(self.progress | late | waits, 0, quiet + 1)), self.ap_done.eq(0)]
        self._first(m, late, error, index)
        with m.Switch(step):
            with m.Case(_Step.IDLE):
                with m.If(self.ap_start & ~self.ap_done):
                    m.d.comb += self.start.eq(1)
                    m.d.sync += [self.error.eq(0), self.error_index.eq(0), step.eq(_Step.RUN)]
            with m.Case(_Step.RUN):
                with m.If(error != CoreError.NONE):
                    m.d.sync += [self.error.eq(error), self.error_index.eq(index), step.eq(_Step.STOP)]
                with m.Elif(self.machine_done):
                    m.d.sync += step.eq(_Step.STOP)
            with m.Case(_Step.STOP):
                with m.If(self.idle.all()):
                    m.d.sync += step.eq(_Step.CLEAR)
                with m.Elif(late):
                    m.d.sync += [step.eq(_Step.OWED), self.ap_done.eq(1), owed.eq(1)]
            with m.Case(_Step.CLEAR):
                with m.If(self.reports & ~written & ~owed):
                    m.d.sync += [step.eq(_Step.REPORT), written.eq(1)]
                with m.Else():
                    m.d.sync += [step.eq(_Step.IDLE), self.ap_done.eq(~owed), owed.eq(0), written.eq(0)]
            with m.Case(_Step.REPORT):
                failed = Cat(found != BusError.NONE for found in self.errors).any()
                with m.If(self.report_done | failed | late):
                    m.d.sync += step.eq(_Step.STOP)
            with m.Case(_Step.OWED):
                with m.If(self.idle.all()):
                    m.d.sync += step.eq(_Step.CLEAR)
                with m.Elif(late):
                    m.d.sync += [self.error.eq(CoreError.WATCHDOG), self.error_index.eq(0), self.ap_done.eq(1)]
        return m

    def _first(self, m, late, error, index):
        """The error of this cycle, a program's own mistakes last, for they may follow from a master's."""
        m.d.comb += index.eq(self.oldest)
        with m.If(late):
            m.d.comb += error.eq(CoreError.WATCHDOG)
        with m.If(self.machine_error != CoreError.NONE):
            m.d.comb += [
                error.eq(self.machine_error),
                index.eq(Mux(self.machine_error == CoreError.PERMITS, self.oldest, self.machine_index)),
            ]
        at_fault, found, at = self._last_of(m, list(zip(self.errors, self.indices, strict=True)))
        with m.If(at_fault):
            m.d.comb += [
                error.eq(Mux(found == BusError.WINDOW, CoreError.WINDOW, CoreError.RESPONSE)),
                index.eq(at),
            ]
        with m.If(self.abort):
            m.d.comb += [error.eq(CoreError.ABORTED), index.eq(self.oldest)]

    def _last_of(self, m, masters):
        """(is there one, error, index) of the last of the masters with an error; a tree, for there may be many."""
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
