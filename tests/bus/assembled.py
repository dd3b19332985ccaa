"""Readers behind a multiplexer and a writer on one port of the simulated memory."""

from pathlib import Path

from amaranth import Module
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out, connect, flipped

from einloom.generators.emit import SharedModules
from einloom.hw.bus.axi import axi_read, axi_write, connect_flat, flat_members
from einloom.hw.bus.read_master import ReadMaster, beat_layout
from einloom.hw.bus.read_mux import ReadMux
from einloom.hw.bus.window import request_layout
from einloom.hw.bus.write_master import WriteMaster, strobed_layout
from einloom.hw.part import Part
from einloom.sim.verilator import Toolchain
from tests.bus.build import MEMORY

PORT = "m_axi_shared"
BENCH = "assembled_bench"
KNOBS = {"latency": 16, "bandwidth": 16, "seed": 32, "stall": 8, "interleave": 1, "error_read": 32, "error_write": 32}
KNOBS |= {"refresh_every": 16, "refresh_for": 16, "row_miss": 8, "row_again": 8}
KNOBS |= {"restart": 1, "load": 1, "dump": 1, "file_offset": 64, "file_bytes": 64}
COUNTERS = {"read_beats": 64, "write_beats": 64, "read_bursts": 32, "write_bursts": 32, "escaped": 32, "violations": 32}


class Assembled(Part):
    """`readers` ReadMasters on one ReadMux, and a WriteMaster, all with one window and one port of Vitis's names."""

    def __init__(self, readers: int, data_bits: int, max_burst: int, fifo_beats: int):
        self.id_bits = max((readers - 1).bit_length(), 1)
        ports = {
            "request": In(stream.Signature(request_layout())),
            "data": In(stream.Signature(strobed_layout(data_bits))),
            "done": Out(1),
            "window_base": In(64),
            "window_size": In(64),
            "stop": In(1),
            "clear": In(1),
            "idle": Out(1),
            "errors": Out(2 * (readers + 1)),
        }
        for n in range(readers):
            ports[f"request_{n}"] = In(stream.Signature(request_layout()))
            ports[f"output_{n}"] = Out(stream.Signature(beat_layout(data_bits)))
        ports |= flat_members(
            PORT, Out(axi_read(data_bits, id_bits=self.id_bits)), Out(axi_write(data_bits, id_bits=self.id_bits))
        )
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        mux = ReadMux(self.readers, self.data_bits).place(m, "mux", platform)
        writer = WriteMaster(self.data_bits, max_burst=self.max_burst, id_bits=self.id_bits)
        writer.place(m, "writer", platform)
        masters = [writer]
        for n in range(self.readers):
            reader = ReadMaster(self.data_bits, max_burst=self.max_burst, fifo_beats=self.fifo_beats)
            masters.append(reader.place(m, f"reader_{n}", platform))
            connect(m, flipped(getattr(self, f"request_{n}")), reader.request)
            connect(m, reader.output, flipped(getattr(self, f"output_{n}")))
            connect(m, reader.axi, mux.clients[n])
        connect(m, flipped(self.request), writer.request)
        connect(m, flipped(self.data), writer.data)
        connect_flat(m, self, PORT, mux.axi)
        connect_flat(m, self, PORT, writer.axi)
        for master in masters:
            m.d.comb += [
                master.window_base.eq(self.window_base),
                master.window_size.eq(self.window_size),
                master.stop.eq(self.stop),
                master.clear.eq(self.clear & self.idle),
            ]
        idle = 1
        for n, master in enumerate(masters):
            idle &= master.idle
            m.d.comb += self.errors[2 * n : 2 * n + 2].eq(master.error.as_value())
        m.d.comb += [self.idle.eq(idle), self.done.eq(writer.done)]
        return m


def build_assembled(part: Assembled, beats: int) -> Path:
    """The simulator of the part with a memory of `beats` beats; cocotb sees the streams, knobs and counters."""
    ports, declarations = ["clk", "rst"], ["input wire clk", "input wire rst"]
    inner, outer = [".clk(clk)", ".rst(rst)"], [".clk(clk)", ".rst(rst)"]
    wires = []
    for path, member, value in part.signature.flatten(part):
        name = "__".join(map(str, path))
        width = len(value.as_value() if hasattr(value, "as_value") else value)
        inner.append(f".{name}({name})")
        if name.startswith(PORT):
            wires.append(f"wire [{width - 1}:0] {name};")
            if not name.endswith(("cache", "prot")):
                outer.append(f".s_axi{name.removeprefix(PORT)}({name})")
        else:
            ports.append(name)
            declarations.append(f"{'input' if member.flow == In else 'output'} wire [{width - 1}:0] {name}")
    for direction, names in (("input", KNOBS), ("output", COUNTERS)):
        for name, width in names.items():
            ports.append(name)
            declarations.append(f"{direction} wire [{width - 1}:0] {name}")
            outer.append(f".{name}({name})")
    joint = ",\n  "
    parameters = f".DATA_BITS({part.data_bits}), .ID_BITS({part.id_bits}), .SIZE({beats})"
    text = (
        f"module {BENCH}(\n  {joint.join(declarations)}\n);\n  " + "\n  ".join(wires) + "\n"
        f"  assembled dut(\n  {joint.join(inner)}\n);\n"
        f"  axi_memory #({parameters}) memory(\n  {joint.join(outer)}\n);\nendmodule\n"
    )
    sources = {
        "assembled.v": SharedModules().emit(part, "assembled"),
        "axi_memory.sv": MEMORY.read_text(),
        "bench.sv": "`timescale 1ns / 1ps\n" + text,
    }
    return Toolchain().build(sources, BENCH, ports)
