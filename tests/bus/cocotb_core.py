"""A whole core between third-party models: XRT's calls on its control port, memories of cocotbext-axi on the others."""

import random
from pathlib import Path

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus

from einloom.isa import CoreError
from einloom.registers import AP_IDLE, AP_START, CTRL, GIER, IP_IER, IP_ISR, Register
from sim.bench.driver import SETTINGS
from tests.bus.drive import pauses, reset

REGISTERS = {r["name"]: Register.model_validate(r) for r in SETTINGS.get("registers", [])}
SPACE = 1 << 40  # bytes behind each port
BANK = 0x10_0000_0000  # the address of a port's memory is its number times this
WORD = 0xFFFF_FFFF
DONE = 1  # of IP_IER and IP_ISR: the job is done
JOB_NS = 1_000_000
PAUSE = 0.3
INTERRUPT_CYCLES = 3  # from its acknowledgement to its end, at most


class Host:
    """What XRT does with a kernel."""

    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        control = AxiLiteBus.from_prefix(dut, "s_axi_control")
        self.control = AxiLiteMaster(control, dut.clk, dut.rst)
        system = AxiRam(AxiBus.from_prefix(dut, "m_axi_system"), dut.clk, dut.rst, size=SPACE)
        self.memories = [system]
        reads, writes = [system.read_if], [system.write_if, self.control.write_if]
        for c in range(SETTINGS["channels"]):
            memory = AxiRamRead(AxiReadBus.from_prefix(dut, f"m_axi_weights{c}"), dut.clk, dut.rst, size=SPACE)
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
            await self.write(f"{name}_size", len(image))
        for name in ("program", "instructions", "position", "length"):
            await self.write(name, job[name])

    async def run(self) -> None:
        """Start, wait for the interrupt, acknowledge it."""
        assert await self.control.read_dword(CTRL) >> AP_IDLE & 1
        await self.control.write_dword(CTRL, 1 << AP_START)
        if not self.dut.interrupt.value:
            await with_timeout(RisingEdge(self.dut.interrupt), JOB_NS, "ns")
        assert await self.control.read_dword(IP_ISR) & DONE
        await self.control.write_dword(IP_ISR, DONE)
        await ClockCycles(self.dut.clk, INTERRUPT_CYCLES)
        assert not self.dut.interrupt.value


@cocotb.test()
async def jobs_at_full_speed_are_golden(dut):
    await check_jobs(dut, 0)


@cocotb.test()
async def jobs_with_pauses_are_golden(dut):
    await check_jobs(dut, PAUSE)


async def check_jobs(dut, pause):
    """All jobs of the settings, one after the other; afterwards memory must be what golden left."""
    host = Host(dut, pause)
    await reset(dut)
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
        assert await host.read("system_read_beats")
        assert await host.read("cycles")
