"""The registers of a core behind those of ap_ctrl_hs, as the host sees them."""

from functools import cache
from typing import Literal

from einloom.spec.isa import UNITS, CoreError
from einloom.spec.memory_ports import Ports
from einloom.spec.registers import RegisterTable, lay_out


def counter_names(ports: Ports) -> dict[str, str]:
    """Counters, all of cycles or beats of the last job, with their meaning."""
    counters = {"cycles": "cycles from start to done"}
    for unit in UNITS:
        name = unit.name.lower()
        counters[f"{name}_busy"] = f"cycles in which the {name} unit is at work"
        counters[f"{name}_waiting"] = f"cycles in which an instruction of the {name} unit waits for permits"
    counters |= {
        "gemm_starved": "cycles in which the GEMM engine waits for weights",
        "attention_array": "cycles in which the attention engine's 2D array is at work",
        "attention_row": "cycles in which its 1D row is at work",
        "attention_starved": "cycles in which it waits for keys or values",
        "completed": "instructions completed",
    }
    for port in ports:
        counters |= port.counters
    return counters


def report_names(ports: Ports) -> tuple[str, ...]:
    """Names of the numbers in a report of the last job, in its order: 64 bits each, low byte first.

    `design` is the config's `design_number`; the rest are the registers of those names.
    """
    return ("design", "error", "error_index", *counter_names(ports))


def design_number(digest: str) -> int:
    """The first 64 bits of a config's digest."""
    return int(digest[:16], 16)


@cache
def core_registers(ports: Ports) -> RegisterTable:
    """The table of a core with these memory ports, each of which has a window."""
    errors = ", ".join(f"{e.value} {e.name.lower()}" for e in CoreError)
    entries: list[tuple[str, int, Literal["rw", "ro"], str]] = [
        ("program", 40, "rw", "first beat of the program, from the start of the system window"),
        ("instructions", 32, "rw", "instructions of the program"),
        ("row", 32, "rw", "row of the first token in the table of tokens"),
        ("length", 32, "rw", "number of tokens"),
        ("watchdog", 32, "rw", "cycles without any progress after which the job is stopped; 0 for never"),
        ("abort", 1, "rw", "1 stops the job"),
        ("report", 40, "rw", "beat of the system window where each job's report goes when it ends; 0 for none"),
    ]
    for port in ports:
        entries.append((f"{port.name}_base", 64, "rw", f"address of the {port.name} window"))
        entries.append((f"{port.name}_size", 64, "rw", "its size in bytes"))
    entries.append(("error", 32, "ro", f"why the last job stopped: {errors}"))
    entries.append(("error_index", 32, "ro", "number of the instruction at which it stopped"))
    entries.extend((name, 64, "ro", meaning) for name, meaning in counter_names(ports).items())
    return lay_out(entries)
