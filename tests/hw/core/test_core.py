"""The whole core in Amaranth's simulator: registers, a program from memory, its report, and a program's mistake."""

import numpy as np

from einloom.hw.core.core import Core
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.core_registers import core_registers, report_names
from einloom.spec.isa import CoreError
from einloom.spec.registers import CTRL
from tests.hw.around import Memory
from tests.hw.bus.axi_partners import AxiMemory, Host
from tests.hw.core.programs import BEATS, image, scaled_rows
from tests.hw.core.small import small

LENGTH, POSITION = 3, 4
BASE, WEIGHTS = 0x1_0000_0000, 0x40000
REPORT = 240  # beat


def test_a_job_from_the_hosts_start_to_its_report_and_one_outside_its_window() -> None:
    core = small("int_mac")
    program = scaled_rows(core.manifest)
    raw, golden, beat = image(program, core.manifest), core.golden(), core.spec.beat_bits // 8
    golden.system = raw.copy()
    golden.run(0, len(program), POSITION, LENGTH)
    memory, weights = Memory(), Memory()
    memory.put(0, len(raw), int.from_bytes(raw.tobytes(), "little"))
    weights.put(0, len(golden.weights[0]), int.from_bytes(golden.weights[0].tobytes(), "little"))
    system = AxiMemory(memory, beat, "m_axi_system", base=BASE, writes=True)
    host = Host("s_axi_control")
    table = {r.name: r for r in core_registers(1)}

    def write(**values: int) -> None:
        for name, value in values.items():
            host.write(table[name].offset, value, table[name].words)

    write(instructions=len(program), position=POSITION, length=LENGTH, watchdog=5000, report=REPORT)
    write(system_base=BASE, system_size=BEATS * beat, weights0_base=WEIGHTS, weights0_size=len(golden.weights[0]))
    host.write(CTRL, 1)
    errors: list[tuple[int, int]] = []
    phase = 0

    def driver(_: Cycle) -> None:
        """Polls until the core is done; starts a second job whose program lies behind the window."""
        nonlocal phase
        names = [table[name].offset for name in ("error", "error_index")]
        if not host.idle or len(errors) == 2:
            return
        if phase == 0:
            host.found.pop(CTRL, None)
            host.read([CTRL])
            phase = 1
        elif phase == 1:
            phase = 0
            if host.found[CTRL] & 2:  # ap_done
                host.read(names)
                phase = 2
        else:
            errors.append((host.found[names[0]], host.found[names[1]]))
            write(program=BEATS, report=0)
            host.write(CTRL, 1)
            phase = 0

    bench = PartBench(
        Core(core.spec),
        partners=[system, AxiMemory(weights, beat, "m_axi_weights0", base=WEIGHTS), host, driver],
        until=lambda: len(errors) == 2,
        limit=20_000,
    )
    bench.check(lambda _: {})
    assert errors == [(CoreError.NONE, 0), (CoreError.WINDOW, 0)]
    found = np.array([memory.byte(n) for n in range(REPORT * beat)], np.uint8)
    wrong = np.flatnonzero(found != golden.system[: len(found)])
    assert not len(wrong), f"byte {wrong[0]}: {found[wrong[0]]}, golden {golden.system[wrong[0]]}; {len(wrong)} differ"
    numbers = {name: memory.word(REPORT * beat + 8 * n, 8) for n, name in enumerate(report_names(1))}
    assert numbers["design"] == core.spec.design
    assert numbers["error"] == 0
    assert numbers["completed"] == 2 * (len(program) - 2)
    assert numbers["vector_busy"] > 0
    assert all(BASE <= address < BASE + BEATS * beat for address, _ in system.bursts)
