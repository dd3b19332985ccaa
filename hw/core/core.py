"""The core: a kernel with control registers, memory ports, and a machine between them."""

from typing import NamedTuple

from amaranth import Cat, Const, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect

from einloom.hw.buffers.half_rate import HalfRateBuffer
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
from einloom.spec.memory_ports import MemoryPort, Traffic

ADDRESS_BITS = 64
CONTROL_BITS = 12
MAX_BURST = 64
READER_FIFO = 256  # beats due to each reader: a beat a cycle as long as memory answers within three bursts
COUNTER_BITS = 64


def probes(spec: CoreSpec) -> dict[str, str]:
    """Paths, in the names that parts are placed with, to what benches look into.

    These are the machine, the registers, and the memories on the chip that may lose a bit, by what they hold. Of a
    memory with copies, it is copy 1, of attention lanes the last one, of channels the first.
    """
    lane = f".lane_{spec.attention_lanes - 1}" if spec.cache_in_channels else ""
    attention, tiles = f"machine.attention_unit{lane}", f"machine.store_unit.tiles{lane}"
    return {
        "machine": "machine",
        "registers": "registers",
        "memory.vector": "machine.memory.words",
        "memory.activations": f"machine.gemm_unit.activations.banks.copy[{min(1, spec.tokens - 1)}].part.words",
        "memory.queries": f"{attention}.queries.banks.copy[{min(1, spec.attention.columns - 1)}].part.words",
        "memory.staging": f"{tiles}.staging.banks.copy[{min(1, spec.tokens - 1)}].part.words",
        "memory.states": f"{attention}.engine.grid.copy[{min(1, spec.attention.columns - 1)}].part.softmax.states",
        "memory.dividends": f"{attention}.engine.grid.copy[{min(1, spec.attention.columns - 1)}].part.divider.bank",
        "memory.values": f"{attention}.reader.values.words",
        "memory.weights": "machine.gemm_unit.weights_0.queue.words",
        "memory.program_beats": "program_master.beats.words",
        "memory.load_beats": "load_master.beats.words",
        "memory.cache_beats": f"cache{0 if spec.cache_in_channels else ''}_master.beats.words",
        "memory.weight_beats": "weights0_master.beats.words",
    }


BY_TRAFFIC = {Traffic(client.name): client for client in CLIENTS}
"""The machine's clients, by what they move; weights go to the units themselves."""


class _Placed(NamedTuple):
    """A master on its port, with what it moves, the instruction that it works for, and its requests."""

    master: ReadMaster | WriteMaster
    port: MemoryPort
    traffic: Traffic
    index: Value
    request: object


class Core(Part):
    """An accelerator: AXI4-Lite control, and an AXI4 port for each of `CoreSpec.ports`.

    What a port carries says which masters are on it (spec/memory_ports.py). They stand beside the memory; registers
    (`SkidBuffer`, `HalfRateBuffer`) cut every stream between them and the machine.
    Throughput: a beat a cycle on each port. Latency: that of masters and machine, and 1 cycle for each crossing.

    Members
    -------
    s_axi_control_... : AXI4-Lite, the registers of spec/core_registers.py
    m_axi_<port>_... : AXI4 of each port, read only unless results go through it
    interrupt : Out(1)
    """

    def __init__(self, spec: CoreSpec):
        bits = spec.beat_bits
        self._muxes = {}
        ports: dict = {}
        for port in spec.ports:
            readers = port.reads
            mux = ReadMux(len(readers), bits, ADDRESS_BITS) if len(readers) > 1 else None
            self._muxes[port] = mux
            ids = [mux.id_bits] if mux else []
            writes = [Out(axi_write(bits, ADDRESS_BITS, *ids))] if port.writes else []
            ports |= flat_members(port.axi, Out(axi_read(bits, ADDRESS_BITS, *ids)), *writes)
        super().__init__({
            **flat_members("s_axi_control", In(axi_lite(CONTROL_BITS))),
            **ports,
            "interrupt": Out(1),
        })

    def build(self, m, platform):
        spec = self.spec
        registers = ControlRegisters(core_registers(spec.ports), CONTROL_BITS).place(m, "registers", platform)
        count = sum(len(port.carries) for port in spec.ports)
        supervisor = Supervisor(count).place(m, "supervisor", platform)
        machine = Machine(spec).place(m, "machine", platform, reset=supervisor.clear)
        connect_flat(m, self, "s_axi_control", registers.axi)
        masters = []
        for port in spec.ports:
            masters += self._place_readers(m, platform, port, supervisor, machine)
            if Traffic.RESULTS in port.carries:
                masters.append(self._place_writer(m, platform, port, registers, supervisor, machine))
            if Traffic.KEY_VALUES in port.carries:
                masters.append(self._place_cache_writer(m, platform, port, supervisor, machine))
        for n, placed in enumerate(masters):
            master, window = placed.master, placed.port.name
            self._cross(m, platform, f"request_{n}", supervisor, placed.request, master.request)
            feed(m, supervisor, master, "stop", "clear")
            m.d.comb += [
                master.window_base.eq(getattr(registers, f"{window}_base")),
                master.window_size.eq(getattr(registers, f"{window}_size")),
                supervisor.errors[n].eq(master.error),
                supervisor.indices[n].eq(placed.index),
                supervisor.idle[n].eq(master.idle),
            ]
        self._control(m, registers, supervisor, machine, [placed.master.beat for placed in masters])
        if spec.parity:
            self._check_parity(m, registers, supervisor, machine, masters)
        self._count(m, registers, supervisor, machine, masters)

    def _place_readers(self, m, platform, port, supervisor, machine):
        """A read master for each reader of a port; several share it through a multiplexer."""
        mux, masters = self._muxes[port], []
        if mux:
            mux.place(m, "mux" if port.channel is None else f"{port.name}_mux", platform)
            connect_flat(m, self, port.axi, mux.axi)
        for n, traffic in enumerate(port.reads):
            channel = port.channel
            name = str(traffic) if channel is None else f"{traffic}{channel}"
            master = ReadMaster(self.spec.beat_bits, ADDRESS_BITS, MAX_BURST, READER_FIFO, parity=self.spec.parity)
            master.place(m, f"{name}_master", platform)
            if mux:
                connect(m, master.axi, mux.clients[n])
            else:
                connect_flat(m, self, port.axi, master.axi)
            if channel is None:
                request, beats = getattr(machine, f"{name}_request"), getattr(machine, f"{name}_beats")
            else:  # its crossing comes before its log, a client's behind it: the Verilog's order
                request, beats = (getattr(machine, of)[channel] for of in (f"{traffic}_requests", str(traffic)))
                if traffic is Traffic.CACHE:
                    buffer = HalfRateBuffer if self.spec.slow_lanes else SkidBuffer
                    self._cross(m, platform, f"{name}_beats", supervisor, master.output, beats, buffer)
                else:  # the queue that takes them has registers of its own (hw/buffers/beat_queue.py)
                    join(m, master.output, beats)
            index = self._index_of(m, platform, port, traffic, name, supervisor, machine, master, request)
            masters.append(_Placed(master, port, traffic, index, request))
            if channel is None:
                self._cross(m, platform, f"{name}_beats", supervisor, master.output, beats)
        return masters

    def _index_of(self, m, platform, port, traffic, name, supervisor, machine, master, request):
        """The instruction that a read master works for, or of one that runs ahead the one whose request failed."""
        if port.channel is not None:
            weights = traffic is Traffic.WEIGHTS
            present = machine.indices[UNITS.index(Unit.WEIGHTS)] if weights else machine.cache_indices[port.channel]
            return self._culprit(m, platform, name, supervisor, master, request, present)
        client = BY_TRAFFIC[traffic]
        if client.ahead:
            present = getattr(machine, f"{name}_index")
            return self._culprit(m, platform, name, supervisor, master, request, present)
        return machine.index if client.unit is Unit.CONTROL else machine.indices[UNITS.index(client.unit)]

    def _place_writer(self, m, platform, port, registers, supervisor, machine):
        """The write master of a port, which the machine's stores and the report share."""
        bits, names = self.spec.beat_bits, report_names(self.spec.ports)
        writer = WriteMaster(bits, ADDRESS_BITS, MAX_BURST, id_bits=self._muxes[port].id_bits)
        writer.place(m, "store_master", platform)
        connect_flat(m, self, port.axi, writer.axi)
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
        return _Placed(writer, port, Traffic.RESULTS, machine.indices[UNITS.index(Unit.STORE)], requests)

    def _place_cache_writer(self, m, platform, port, supervisor, machine):
        """The write master of keys and values on a weight channel's port."""
        c = port.channel
        writer = WriteMaster(self.spec.beat_bits, ADDRESS_BITS, MAX_BURST, id_bits=self._muxes[port].id_bits)
        writer.place(m, f"key_values{c}_master", platform)
        connect_flat(m, self, port.axi, writer.axi)
        # A few beats a token: they need no full rate.
        source = machine.key_values[c]
        self._cross(m, platform, f"key_values{c}_beats", supervisor, source, writer.data, HalfRateBuffer)
        m.d.comb += machine.key_values_answers[c].eq(writer.done)
        index = machine.indices[UNITS.index(Unit.STORE)]
        return _Placed(writer, port, Traffic.KEY_VALUES, index, machine.key_values_requests[c])

    def _cross(self, m, platform, name, supervisor, source, sink, buffer=SkidBuffer):
        """Join two streams by registers, because the machine may lie on other dies than the masters."""
        width = len(Value.cast(source.payload))
        crossing = buffer(width).place(m, f"{name}_crossing", platform, reset=supervisor.clear)
        join(m, source, crossing.i)
        join(m, crossing.o, sink)

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
        feed(m, registers, machine, "program", "instructions", "row", "length")
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
        names = report_names(self.spec.ports)[1:]
        values = [Const(self.spec.design, NUMBER_BITS), *(getattr(registers, name) for name in names)]
        return Cat(Cat(value, Const(0, NUMBER_BITS - len(value))) for value in values)

    def _check_parity(self, m, registers, supervisor, machine, masters):
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
            machine.readers_corrupt.eq(
                Cat(Cat(p.master.corrupt for p in masters if str(p.traffic) == name).any() for name in READERS)
            ),
            machine.weights_corrupt.eq(Cat(p.master.corrupt for p in masters if p.traffic is Traffic.WEIGHTS).any()),
            supervisor.ap_start.eq(registers.ap_start & ~scrubbing),
            registers.ap_idle.eq(supervisor.ap_idle & ~scrubbing),
        ]
        with m.If(machine.corrupt):
            m.d.comb += [
                supervisor.machine_error.eq(CoreError.PARITY),
                supervisor.machine_index.eq(machine.corrupt_index),
            ]

    def _count(self, m, registers, supervisor, machine, masters):
        """Count what happens in a job; the counters begin at 0 with each job."""
        by_port = []
        for port in self.spec.ports:
            beats = [placed.master.beat for placed in masters if placed.port == port]
            if port.channel is None:
                reads = Signal(name=f"{port.name}_reads")
                m.d.comb += reads.eq(Cat(beats[: len(port.reads)]).any())
                beats = [reads, beats[-1]]
            by_port.append((port, beats))
        completed = Signal(len(UNITS))  # a cycle late, which is in time: the program's end comes two cycles later
        m.d.sync += completed.eq(machine.completed)
        events = {"cycles": supervisor.running}
        for n, unit in enumerate(UNITS):
            name = unit.name.lower()
            events |= {f"{name}_busy": machine.busy[n], f"{name}_waiting": machine.waiting[n]}
        for name in ("gemm_starved", "attention_array", "attention_row", "attention_starved"):
            events[name] = getattr(machine, name)
        events["completed"] = sum(completed)
        for port, counted in by_port:
            events |= dict(zip(port.counters, counted, strict=True))
        assert list(events) == list(counter_names(self.spec.ports))
        for name, event in events.items():
            counter = Signal(COUNTER_BITS, name=f"{name}_counter")
            with m.If(supervisor.start):
                m.d.sync += counter.eq(0)
            with m.Elif(supervisor.running):
                m.d.sync += counter.eq(counter + event)
            m.d.comb += getattr(registers, name).eq(counter)
