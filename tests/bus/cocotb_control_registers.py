"""ControlRegisters as XRT and its drivers use them, through cocotbext-axi's AXI4-Lite master."""

import itertools
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from einloom.sim.bench.driver import SETTINGS
from einloom.spec.registers import (
    AP_DONE,
    AP_IDLE,
    AP_READY,
    AP_START,
    AUTO_RESTART,
    CTRL,
    GIER,
    INTERRUPT,
    IP_IER,
    IP_ISR,
    Register,
)
from tests.bus.drive import pauses, reset

TABLE = [Register.model_validate(register) for register in SETTINGS.get("table", [])]


class Bench:
    def __init__(self, dut, pause: float):
        self.dut = dut
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi", bus_separator="__"), dut.clk, dut.rst)
        for part in (self.host.write_if, self.host.read_if):
            part.log.setLevel("WARNING")
        if pause:
            writes, reads = self.host.write_if, self.host.read_if
            for channel in (
                writes.aw_channel,
                writes.w_channel,
                writes.b_channel,
                reads.ar_channel,
                reads.r_channel,
            ):
                channel.set_pause_generator(pauses(self.rng, pause))
        for name in ("ap_done", "ap_ready", *(r.name for r in TABLE if r.access == "ro")):
            getattr(dut, name).value = 0
        dut.ap_idle.value = 1

    async def read(self, offset: int) -> int:
        return await self.host.read_dword(offset)

    async def bit(self, offset: int, bit: int) -> int:
        return await self.read(offset) >> bit & 1

    async def finish(self) -> None:
        """The kernel's end of a job."""
        for name in ("ap_done", "ap_ready"):
            getattr(self.dut, name).value = 1
        self.dut.ap_idle.value = 1
        await RisingEdge(self.dut.clk)
        for name in ("ap_done", "ap_ready"):
            getattr(self.dut, name).value = 0


async def _started(dut, pause: float = 0.0) -> Bench:
    bench = Bench(dut, pause)
    await reset(dut)
    return bench


@cocotb.test(timeout_time=50, timeout_unit="us")
async def arguments_reach_the_kernel(dut):
    await _check_arguments(await _started(dut))


@cocotb.test(timeout_time=50, timeout_unit="us")
async def arguments_reach_the_kernel_under_back_pressure(dut):
    await _check_arguments(await _started(dut, pause=0.5))


async def _check_arguments(bench: Bench) -> None:
    dut = bench.dut
    for _ in range(20):
        values = {r.name: bench.rng.getrandbits(r.bits) for r in TABLE}
        for register in TABLE:
            value = values[register.name]
            if register.access == "rw":
                for word in range(register.words):
                    await bench.host.write_dword(register.offset + 4 * word, value >> 32 * word & 0xFFFFFFFF)
            else:
                getattr(dut, register.name).value = value
        for register in TABLE:
            words = [await bench.read(register.offset + 4 * word) for word in range(register.words)]
            assert sum(w << 32 * n for n, w in enumerate(words)) == values[register.name], register.name
            if register.access == "rw":
                assert int(getattr(dut, register.name).value) == values[register.name]


@cocotb.test(timeout_time=50, timeout_unit="us")
async def strobes_write_single_bytes(dut):
    bench = await _started(dut)
    for register in TABLE:
        if register.access != "rw":
            continue
        expected = 0
        for _ in range(20):
            byte, value = bench.rng.randrange(-(-register.bits // 8)), bench.rng.getrandbits(8)
            await bench.host.write(register.offset + byte, bytes([value]))
            expected = (expected & ~(0xFF << 8 * byte) | value << 8 * byte) & ((1 << register.bits) - 1)
            assert int(getattr(dut, register.name).value) == expected, register.name


@cocotb.test(timeout_time=50, timeout_unit="us")
async def what_has_no_register_reads_as_zero_and_ignores_writes(dut):
    bench = await _started(dut)
    mapped = {r.offset + 4 * w for r in TABLE for w in range(r.words)} | {CTRL, GIER, IP_IER, IP_ISR}
    limit = 1 << SETTINGS["address_bits"]
    for offset in [o for o in range(0, limit, 4) if o not in mapped][:64] + [limit - 4]:
        await bench.host.write_dword(offset, 0xFFFFFFFF)
        assert await bench.read(offset) == 0
    for register in TABLE:
        if register.access == "ro":
            getattr(dut, register.name).value = 0
            await bench.host.write_dword(register.offset, 0xFFFFFFFF)
        assert await bench.read(register.offset) == 0
    assert not dut.ap_start.value


@cocotb.test(timeout_time=50, timeout_unit="us")
async def a_job_starts_runs_and_is_polled(dut):
    bench = await _started(dut)
    for _ in range(3):
        assert await bench.read(CTRL) == 1 << AP_IDLE
        await bench.host.write(CTRL, b"\1")
        assert dut.ap_start.value
        dut.ap_idle.value = 0
        assert await bench.read(CTRL) == 1 << AP_START
        await ClockCycles(dut.clk, 30)
        assert dut.ap_start.value
        await bench.finish()
        await ClockCycles(dut.clk, 2)
        assert not dut.ap_start.value
        assert await bench.read(CTRL) == 1 << AP_DONE | 1 << AP_IDLE | 1 << AP_READY
        assert await bench.read(CTRL) == 1 << AP_IDLE  # done and ready are cleared by reading


@cocotb.test(timeout_time=50, timeout_unit="us")
async def a_done_is_seen_once_however_reads_fall(dut):
    bench = await _started(dut)
    for delay in range(12):
        await bench.host.write_dword(CTRL, 1 << AP_START)

        async def end(delay=delay):
            await ClockCycles(dut.clk, delay)
            await bench.finish()

        ending = cocotb.start_soon(end())
        seen = [await bench.bit(CTRL, AP_DONE) for _ in range(12)]
        await ending
        assert sum(seen) == 1, delay


@cocotb.test(timeout_time=50, timeout_unit="us")
async def auto_restart_starts_again_until_it_is_taken_away(dut):
    bench = await _started(dut)
    await bench.host.write_dword(CTRL, 1 << AP_START | 1 << AUTO_RESTART)
    for _ in range(3):
        await bench.finish()
        await ClockCycles(dut.clk, 2)
        assert dut.ap_start.value
    assert await bench.bit(CTRL, AUTO_RESTART)
    await bench.host.write_dword(CTRL, 0)
    assert dut.ap_start.value  # writing a 0 does not stop a job
    await bench.finish()
    await ClockCycles(dut.clk, 2)
    assert not dut.ap_start.value


@cocotb.test(timeout_time=50, timeout_unit="us")
async def interrupts_come_only_when_enabled_and_go_when_toggled(dut):
    bench = await _started(dut)
    for gier, ier in itertools.product((0, 1), range(4)):
        await bench.host.write_dword(GIER, gier)
        await bench.host.write_dword(IP_IER, ier)
        assert (await bench.read(GIER), await bench.read(IP_IER)) == (gier, ier)
        await bench.host.write_dword(CTRL, 1)
        await bench.finish()
        await ClockCycles(dut.clk, 3)
        assert bool(dut.irq.value) == bool(gier and ier)
        assert await bench.bit(CTRL, INTERRUPT) == bool(gier and ier)
        causes = await bench.read(IP_ISR)
        assert causes == ier
        await bench.host.write_dword(IP_ISR, causes)
        await ClockCycles(dut.clk, 3)
        assert not dut.irq.value
        assert await bench.read(IP_ISR) == 0
    await bench.host.write_dword(IP_ISR, 2)  # a toggle also sets
    assert await bench.read(IP_ISR) == 2
