"""The core: a kernel with control registers, memory ports, and a machine between them."""

from amaranth import Cat, Const, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.buffers.skid import SkidBuffer
from einloom.hw.bus.axi import BusError, axi_lite, axi_read, axi_write, connect_flat, flat_members
from einloom.hw.bus.control_registers import ControlRegisters
from einloom.hw.bus.read_master import ReadMaster
from einloom.hw.bus.read_mux import ReadMux
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import WriteMaster, strobed_layout
from einloom.hw.core.machine import CLIENTS, READERS, Machine
from einloom.hw.core.reporter import NUMBER_BITS, Reporter
from einloom.hw.core.request_log import RequestLog
from einloom.hw.core.spec import CoreSpec
from einloom.hw.core.supervisor import Supervisor
from einloom.hw.part import Part
from einloom.hw.wires import feed, join
from einloom.spec.core_registers import core_registers, counter_names, report_names
from einloom.spec.isa import UNITS, CoreError, Unit

ADDRESS_BITS = 64
CONTROL_BITS = 12
MAX_BURST = 64
READER_FIFO = 256  # beats due to each reader: a beat a cycle as long as memory answers within three bursts
COUNTER_BITS = 64


PROBES = {
    "machine": "machine",
    "registers": "registers",
    "memory.vector": "machine.memory.words",
    "memory.activations": "machine.gemm_unit.activations.banks.copy[1].part.words",
    "memory.queries": "machine.attention_unit.queries.banks.copy[1].part.words",
    "memory.staging": "machine.store_unit.tiles.staging.banks.copy[1].part.words",
    "memory.states": "machine.attention_unit.engine.grid.copy[1].part.softmax.states",
    "memory.dividends": "machine.attention_unit.engine.grid.copy[1].part.divider.bank",
    "memory.values": "machine.attention_unit.reader.values.words",
    "memory.weights": "machine.gemm_unit.weights_0.queue.words",
    "memory.program_beats": "program_master.beats.words",
    "memory.load_beats": "load_master.beats.words",
    "memory.cache_beats": "cache_master.beats.words",
    "memory.weight_beats": "weights0_master.beats.words",
}
"""Paths, in the names that parts are placed with, to what benches look into.

These are the machine, the registers, and the memories on the chip that may lose a bit, by what they hold. Of a memory
with copies, it is copy 1.
"""


class Core(Part):
    """An accelerator: AXI4-Lite control, a read-only AXI4 port for each weight channel, and an AXI4 port for the rest.

    The system port serves the program, parameters, the cache and the results. Its four masters and those of the
    weights stand beside the memory; registers (`SkidBuffer`) cut every stream between them and the machine.
    Throughput: a beat a cycle on each port. Latency: that of masters and machine, and 1 cycle for each crossing.

    Members
    -------
    s_axi_control_... : AXI4-Lite, the registers of spec/core_registers.py
    m_axi_system_... : AXI4
    m_axi_weights<c>_... : AXI4, read only
    interrupt : Out(1)
    """

    def __init__(self, spec: CoreSpec):
        bits = spec.beat_bits
        self._mux = ReadMux(len(READERS), bits, ADDRESS_BITS)
        id_bits = self._mux.id_bits
        weights: dict = {}
        for c in range(spec.channels):
            weights |= flat_members(f"m_axi_weights{c}", Out(axi_read(bits, ADDRESS_BITS)))
        super().__init__({
            **flat_members("s_axi_control", In(axi_lite(CONTROL_BITS))),
            **flat_members(
                "m_axi_system", Out(axi_read(bits, ADDRESS_BITS, id_bits)), Out(axi_write(bits, ADDRESS_BITS, id_bits))
            ),
            **weights,
            "interrupt": Out(1),
        })

    def build(self, m, platform):
        spec, channels = self.spec, self.spec.channels
        registers = ControlRegisters(core_registers(channels), CONTROL_BITS).place(m, "registers", platform)
        supervisor = Supervisor(len(READERS) + 1 + channels).place(m, "supervisor", platform)
        machine = Machine(spec).place(m, "machine", platform, reset=supervisor.clear)
        connect_flat(m, self, "s_axi_control", registers.axi)
        masters = [
            *self._place_readers(m, platform, supervisor, machine),
            self._place_writer(m, platform, registers, supervisor, machine),
            *self._place_weight_readers(m, platform, supervisor, machine),
        ]
        for n, (master, window, index, request) in enumerate(masters):
            self._cross(m, platform, f"request_{n}", supervisor, request, master.request)
            feed(m, supervisor, master, "stop", "clear")
            m.d.comb += [
                master.window_base.eq(getattr(registers, f"{window}_base")),
                master.window_size.eq(getattr(registers, f"{window}_size")),
                supervisor.errors[n].eq(master.error),
                supervisor.indices[n].eq(index),
                supervisor.idle[n].eq(master.idle),
            ]
        beats = [master.beat for master, *_ in masters]
        self._control(m, registers, supervisor, machine, beats)
        if spec.parity:
            readers = [master for master, *_ in masters if isinstance(master, ReadMaster)]
            self._check_parity(m, registers, supervisor, machine, readers)
        self._count(m, registers, supervisor, machine, beats)

    # These return masters, each with the name of its window, the instruction it works for, and its requests.

    def _place_readers(self, m, platform, supervisor, machine):
        """A read master for each client that reads, all on the system port."""
        mux = self._mux.place(m, "mux", platform)
        connect_flat(m, self, "m_axi_system", mux.axi)
        masters = []
        for n, client in enumerate(client for client in CLIENTS if not client.writes):
            name = client.name
            master = self._reader().place(m, f"{name}_master", platform)
            connect(m, master.axi, mux.clients[n])
            request = getattr(machine, f"{name}_request")
            if client.ahead:
                index = getattr(machine, f"{name}_index")
                index = self._culprit(m, platform, name, supervisor, master, request, index)
            elif client.unit is Unit.CONTROL:
                index = machine.index
            else:
                index = machine.indices[UNITS.index(client.unit)]
            masters.append((master, "system", index, request))
            self._cross(m, platform, f"{name}_beats", supervisor, master.output, getattr(machine, f"{name}_beats"))
        return masters

    def _place_writer(self, m, platform, registers, supervisor, machine):
        """The write master of the system port, which the machine's stores and the report share."""
        bits, names = self.spec.beat_bits, report_names(self.spec.channels)
        writer = WriteMaster(bits, ADDRESS_BITS, MAX_BURST, id_bits=self._mux.id_bits)
        writer.place(m, "store_master", platform)
        connect_flat(m, self, "m_axi_system", writer.axi)
        reporter = Reporter(len(names), bits).place(m, "reporter", platform, reset=supervisor.clear)
        stores = stream.Signature(strobed_layout(bits)).create()
        self._cross(m, platform, "store_beats", supervisor, machine.store_beats, stores)
        requests = stream.Signature(request_layout()).create()
        sources = ((requests, machine.store_request, reporter.request), (writer.data, stores, reporter.beats))
        for sink, store, report in sources:
            m.d.comb += [
                sink.payload.eq(Mux(supervisor.reporting, report.payload.as_value(), store.payload.as_value())),
                sink.valid.eq(Mux(supervisor.reporting, report.valid, store.valid)),
                store.ready.eq(sink.ready & ~supervisor.reporting),
                report.ready.eq(sink.ready & supervisor.reporting),
            ]
        m.d.comb += [
            machine.store_answered.eq(writer.done & ~supervisor.reporting),
            reporter.answered.eq(writer.done),
            supervisor.reports.eq(registers.report != 0),
            supervisor.report_done.eq(reporter.done),
            reporter.start.eq(supervisor.reporting),
            reporter.beat.eq(registers.report),
            reporter.contents.eq(self._report(registers)),
        ]
        return writer, "system", machine.indices[UNITS.index(Unit.STORE)], requests

    def _place_weight_readers(self, m, platform, supervisor, machine):
        """A read master with a port of its own for each weight channel."""
        masters = []
        for c in range(self.spec.channels):
            window, request = f"weights{c}", machine.weights_requests[c]
            master = self._reader().place(m, f"{window}_master", platform)
            connect_flat(m, self, f"m_axi_{window}", master.axi)
            self._cross(m, platform, f"{window}_beats", supervisor, master.output, machine.weights[c])
            index = machine.indices[UNITS.index(Unit.WEIGHTS)]
            index = self._culprit(m, platform, window, supervisor, master, request, index)
            masters.append((master, window, index, request))
        return masters

    def _reader(self):
        return ReadMaster(self.spec.beat_bits, ADDRESS_BITS, MAX_BURST, READER_FIFO, parity=self.spec.parity)

    def _cross(self, m, platform, name, supervisor, source, sink):
        """Join two streams by registers, because the machine may lie on other dies than the masters."""
        width = len(Value.cast(source.payload))
        skid = SkidBuffer(width).place(m, f"{name}_crossing", platform, reset=supervisor.clear)
        join(m, source, skid.i)
        join(m, skid.o, sink)

    def _culprit(self, m, platform, name, supervisor, master, request, index):
        """Index of the instruction whose request failed. A log has it, since the unit may execute a later one."""
        log = RequestLog().place(m, f"{name}_log", platform, reset=supervisor.clear)
        m.d.comb += [
            log.put.eq(request.valid & request.ready),
            log.index.eq(index),
            log.refused.eq(master.error == BusError.WINDOW),
        ]
        feed(m, master, log, "checked", "answered")
        return log.culprit

    def _control(self, m, registers, supervisor, machine, beats):
        """Connect registers, supervisor and machine."""
        feed(m, registers, supervisor, "ap_start", "abort", "watchdog")
        feed(m, supervisor, registers, "ap_done", "ap_idle", "error", "error_index")
        feed(m, registers, machine, "program", "instructions", "position", "length")
        m.d.comb += [
            registers.ap_ready.eq(supervisor.ap_done),
            self.interrupt.eq(registers.irq),
            supervisor.machine_done.eq(machine.done),
            supervisor.machine_error.eq(machine.error),
            supervisor.machine_index.eq(machine.index),
            supervisor.oldest.eq(machine.oldest),
            machine.start.eq(supervisor.start),
        ]
        # Completions come so late in a cycle that they take one register more than beats.
        completed = Signal(len(UNITS))
        m.d.sync += [completed.eq(machine.completed), supervisor.progress.eq(Cat(*beats, completed).any())]

    def _report(self, registers):
        """The numbers of a report, each in its 64 bits."""
        names = report_names(self.spec.channels)[1:]
        values = [Const(self.spec.design, NUMBER_BITS), *(getattr(registers, name) for name in names)]
        return Cat(Cat(value, Const(0, NUMBER_BITS - len(value))) for value in values)

    def _check_parity(self, m, registers, supervisor, machine, readers):
        """A lost bit stops the job.

        Words have no parity until they are written. So all are written after a reset, before the first job, and again
        after a lost bit, so that it stops no later job.
        """
        spec = self.spec
        words = max(spec.vector_words, spec.activation_words, spec.query_words, spec.staging_words)
        scrubbing = Signal(init=1)
        address = Signal(range(words))
        with m.If(supervisor.clear & (supervisor.error == CoreError.PARITY)):
            m.d.sync += scrubbing.eq(1)
        with m.Elif(address == words - 1):
            m.d.sync += [scrubbing.eq(0), address.eq(0)]
        with m.Elif(scrubbing):
            m.d.sync += address.eq(address + 1)
        m.d.comb += [
            machine.scrub.eq(scrubbing),
            machine.scrub_address.eq(address),
            machine.readers_corrupt.eq(Cat(reader.corrupt for reader in readers[: len(READERS)])),
            machine.weights_corrupt.eq(Cat(reader.corrupt for reader in readers[len(READERS) :]).any()),
            supervisor.ap_start.eq(registers.ap_start & ~scrubbing),
            registers.ap_idle.eq(supervisor.ap_idle & ~scrubbing),
        ]
        with m.If(machine.corrupt):
            m.d.comb += [
                supervisor.machine_error.eq(CoreError.PARITY),
                supervisor.machine_index.eq(machine.corrupt_index),
            ]

    def _count(self, m, registers, supervisor, machine, beats):
        """Count what happens in a job; the counters begin at 0 with each job."""
        readers = len(READERS)
        system_reads = Signal()
        completed = Signal(len(UNITS))  # a cycle late, which is in time: the program's end comes two cycles later
        m.d.comb += system_reads.eq(Cat(beats[:readers]).any())
        m.d.sync += completed.eq(machine.completed)
        events = {"cycles": supervisor.running}
        for n, unit in enumerate(UNITS):
            name = unit.name.lower()
            events |= {f"{name}_busy": machine.busy[n], f"{name}_waiting": machine.waiting[n]}
        for name in ("gemm_starved", "attention_array", "attention_row", "attention_starved"):
            events[name] = getattr(machine, name)
        events |= {"completed": sum(completed), "system_read_beats": system_reads, "system_write_beats": beats[readers]}
        events |= {f"weights{c}_beats": beats[readers + 1 + c] for c in range(self.spec.channels)}
        assert list(events) == list(counter_names(self.spec.channels))
        for name, event in events.items():
            counter = Signal(COUNTER_BITS, name=f"{name}_counter")
            with m.If(supervisor.start):
                m.d.sync += counter.eq(0)
            with m.Elif(supervisor.running):
                m.d.sync += counter.eq(counter + event)
            m.d.comb += getattr(registers, name).eq(counter)
