"""A whole kernel between third-party models: XRT's calls on its control port, memories of cocotbext-axi elsewhere."""

import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus

from einloom.sim.bench.driver import SETTINGS
from einloom.spec.core_registers import report_names
from einloom.spec.isa import CoreError
from einloom.spec.memory_ports import memory_ports
from einloom.spec.registers import AP_IDLE, AP_START, CTRL, GIER, IP_IER, IP_ISR, Register
from tests.bus.drive import pauses

REGISTERS = {r["name"]: Register.model_validate(r) for r in SETTINGS.get("registers", [])}
SPACE = 1 << 40  # bytes behind each port
BANK = 0x10_0000_0000  # the address of a port's memory is its number times this
WORD = 0xFFFF_FFFF
DONE = 1  # of IP_IER and IP_ISR: the job is done
JOB_NS = 1_000_000
PAUSE = 0.3
RESET_CYCLES = 16
REPORT_BYTES = 4096  # room for a report behind the image
INTERRUPT_CYCLES = 3  # from its acknowledgement to its end, at most


class Host:
    """What XRT does with a kernel."""

    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        control = AxiLiteBus.from_prefix(dut, "s_axi_control")
        clocking = {"clock": dut.ap_clk, "reset": dut.ap_rst_n, "reset_active_level": False}
        self.control = AxiLiteMaster(control, **clocking)
        system = AxiRam(AxiBus.from_prefix(dut, "m_axi_system"), **clocking, size=SPACE)
        self.memories = [system]
        reads, writes = [system.read_if], [system.write_if, self.control.write_if]
        for c in range(SETTINGS["channels"]):
            memory = AxiRamRead(AxiReadBus.from_prefix(dut, f"m_axi_weights{c}"), **clocking, size=SPACE)
            self.memories.append(memory)
            reads.append(memory)
        reads.append(self.control.read_if)
        for part in (*reads, *writes):
            part.log.setLevel("WARNING")
        if pause:
            for part, channels in ((reads, ("ar", "r")), (writes, ("aw", "w", "b"))):
                for port in part:
                    for channel in channels:
                        getattr(port, f"{channel}_channel").set_pause_generator(pauses(self.rng, pause))

    async def write(self, name: str, value: int) -> None:
        for word in range(REGISTERS[name].words):
            await self.control.write_dword(REGISTERS[name].offset + 4 * word, value >> 32 * word & WORD)

    async def read(self, name: str) -> int:
        words = [
            await self.control.read_dword(REGISTERS[name].offset + 4 * word) for word in range(REGISTERS[name].words)
        ]
        return sum(value << 32 * n for n, value in enumerate(words))

    async def load(self, job: dict) -> None:
        """The job's images into the banks, and the arguments that say where they are."""
        names = ["system", *(f"weights{c}" for c in range(SETTINGS["channels"]))]
        for n, (name, memory) in enumerate(zip(names, self.memories, strict=True)):
            image = (Path(job["folder"]) / f"{name}.bin").read_bytes()
            memory.write(n * BANK, image)
            await self.write(f"{name}_base", n * BANK)
            await self.write(f"{name}_size", len(image) + (REPORT_BYTES if name == "system" else 0))
        await self.write("report", job["report"])
        for name in ("program", "instructions", "row", "length"):
            await self.write(name, job[name])

    async def run(self) -> None:
        """Start, wait for the interrupt, acknowledge it."""
        assert await self.control.read_dword(CTRL) >> AP_IDLE & 1
        await self.control.write_dword(CTRL, 1 << AP_START)
        if not self.dut.interrupt.value:
            await with_timeout(RisingEdge(self.dut.interrupt), JOB_NS, "ns")
        assert await self.control.read_dword(IP_ISR) & DONE
        await self.control.write_dword(IP_ISR, DONE)
        await ClockCycles(self.dut.ap_clk, INTERRUPT_CYCLES)
        assert not self.dut.interrupt.value


@cocotb.test()
async def jobs_at_full_speed_are_golden(dut):
    await check_jobs(dut, 0)


@cocotb.test()
async def jobs_with_pauses_are_golden(dut):
    await check_jobs(dut, PAUSE)


async def check_jobs(dut, pause):
    """All jobs of the settings, one after the other; afterwards memory must be what golden left."""
    await hold_reset(dut)
    host = Host(dut, pause)
    dut.ap_rst_n.value = 1
    await ClockCycles(dut.ap_clk, RESET_CYCLES)
    await host.write("watchdog", JOB_NS)
    await host.control.write_dword(GIER, 1)
    await host.control.write_dword(IP_IER, DONE)
    for job in SETTINGS["jobs"]:
        await host.load(job)
        await host.run()
        assert await host.read("error") == CoreError.NONE, job["folder"]
        expected = (Path(job["folder"]) / "expected.bin").read_bytes()
        found = host.memories[0].read(0, len(expected))
        wrong = [n for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
        assert not wrong, f"{job['folder']}: byte {wrong[0]} of memory is not golden's, {len(wrong)} in all"
        await check_report(host, len(expected))
        assert await host.read("system_read_beats")
        assert await host.read("cycles")


async def hold_reset(dut):
    """Start the clock, and hold the reset for as long as the platform's shortest one; the models would not stand what
    registers hold before it."""
    Clock(dut.ap_clk, 2, "ns").start()
    dut.ap_rst_n.value = 0
    await ClockCycles(dut.ap_clk, RESET_CYCLES)


async def check_report(host, offset):
    """The report behind the image says what the registers say."""
    names = report_names(memory_ports(SETTINGS["channels"]))
    raw = host.memories[0].read(offset, 8 * len(names))
    numbers = [int.from_bytes(raw[8 * n : 8 * n + 8], "little") for n in range(len(names))]
    assert numbers == [SETTINGS["design"], *[await host.read(name) for name in names[1:]]]
