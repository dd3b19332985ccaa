"""From ap_start to ap_done: jobs that end, go wrong, wait for memory, and are reported."""

from collections.abc import Mapping

import pytest

from einloom.hw.bus.axi import BusError
from einloom.hw.core.supervisor import Supervisor
from einloom.sim.bench.part_bench import Cycle, PartBench
from einloom.spec.isa import CoreError

MASTERS = 3
PART = Supervisor(MASTERS)
MANY = 40
CROWD = Supervisor(MANY)
BUSY = {"idle": 0b111}
Events = dict[str, list[int]]


def run(
    script: Mapping[int, Mapping[str, int]], cycles: int, part: Supervisor = PART, **held: int
) -> tuple[Events, dict[str, list[int]]]:
    """(the cycles in which each output of one bit is set, all outputs by cycle) of inputs that change as `script` says:
    from a cycle on."""
    values: dict[str, list[int]] = {"idle": [0b111], **{name: [value] for name, value in held.items()}}
    names = {name for change in script.values() for name in change} | values.keys()
    inputs = {name: [] for name in names}
    now = {name: values.get(name, [0])[0] for name in names}
    for cycle in range(cycles):
        now |= script.get(cycle, {})
        for name in names:
            inputs[name].append(now[name])
    flags = ("start", "running", "stop", "clear", "ap_done", "ap_idle", "reporting")
    watch = (*flags, "error", "error_index")
    traces = PartBench(part, held=inputs, watch=watch, cycles=cycles, tail=0).check(lambda _: {}).traces
    return {name: [n for n, value in enumerate(traces[name]) if value] for name in flags}, traces


def pulse(cycle: int, **values: int) -> dict[int, dict[str, int]]:
    """Inputs for one cycle."""
    return {cycle: values, cycle + 1: dict.fromkeys(values, 0)}


def merged(*scripts: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    result: dict[int, dict[str, int]] = {}
    for script in scripts:
        for cycle, change in script.items():
            result[cycle] = {**result.get(cycle, {}), **change}
    return result


def test_a_job_that_ends_by_itself() -> None:
    """Masters stop, and are cleared with the machine when memory has answered all; then the host is told."""
    script = merged(pulse(2, ap_start=1), pulse(10, machine_done=1), {8: {"idle": 0b101}, 20: {"idle": 0b111}})
    events, traces = run(script, 40)
    assert events["start"] == [2]
    assert events["running"] == list(range(3, 11))
    assert events["stop"] == list(range(11, 21))
    assert events["clear"] == [21]
    assert events["ap_done"] == [22]
    assert events["ap_idle"] == [0, 1, 2, *range(22, 40)]
    assert traces["error"] == [0] * 40


ERRORS = {
    "window": ({"errors_1": BusError.WINDOW.value, "indices_1": 77}, CoreError.WINDOW, 77),
    "response": ({"errors_0": BusError.RESPONSE.value, "indices_0": 5}, CoreError.RESPONSE, 5),
    "illegal": ({"machine_error": CoreError.ILLEGAL, "machine_index": 9}, CoreError.ILLEGAL, 9),
    "too many permits": ({"machine_error": CoreError.PERMITS, "machine_index": 9}, CoreError.PERMITS, 4),
    "abort": ({"abort": 1}, CoreError.ABORTED, 4),
    "a master's before the machine's": (
        {"machine_error": CoreError.ILLEGAL, "errors_2": BusError.WINDOW.value, "indices_2": 3},
        CoreError.WINDOW,
        3,
    ),
    "an abort before all": (
        {"abort": 1, "errors_2": BusError.WINDOW.value, "indices_2": 3},
        CoreError.ABORTED,
        4,
    ),
}


@pytest.mark.parametrize(("inputs", "error", "index"), ERRORS.values(), ids=ERRORS)
def test_the_first_error_ends_the_job_and_stands(inputs: dict[str, int], error: CoreError, index: int) -> None:
    later = {"errors_0": BusError.RESPONSE.value, "indices_0": 1000, "abort": 0}
    script = merged(pulse(1, ap_start=1), {9: inputs}, {10: later}, {12: {"idle": 0b111}})
    events, traces = run({6: BUSY | {"idle": 0}, **script}, 30, oldest=4)
    assert events["stop"][0] == 10
    assert len(events["ap_done"]) == 1
    assert {*traces["error"][10:]} == {error}
    assert {*traces["error_index"][10:]} == {index}


@pytest.mark.parametrize("master", [0, 15, 16, MANY - 1])
def test_of_many_masters_any_ones_error_ends_the_job_a_cycle_later(master: int) -> None:
    idle = {0: {"idle": (1 << MANY) - 1}}
    failing = {9: {f"errors_{master}": BusError.WINDOW.value, f"indices_{master}": 70 + master}}
    cleared = {11: {f"errors_{master}": BusError.NONE.value}}
    script = merged(idle, pulse(1, ap_start=1), failing, cleared, pulse(15, ap_start=1), pulse(21, machine_done=1))
    events, traces = run(script, 30, CROWD)
    assert events["stop"] == [11, 12, 22, 23]
    assert traces["error"][13] == CoreError.WINDOW
    assert traces["error_index"][13] == 70 + master
    assert traces["error"][29] == CoreError.NONE  # of the next job


@pytest.mark.parametrize("part", [CROWD, PART], ids=["many", "few"])
def test_a_master_that_began_as_the_job_ended_is_waited_for(part: Supervisor) -> None:
    """All are idle in the job's last cycle, and one is not in the next ones."""
    everyone = (1 << part.masters) - 1
    idle = {0: {"idle": everyone}, 7: {"idle": everyone - 1}, 12: {"idle": everyone}}
    events, _ = run(merged(idle, pulse(1, ap_start=1), pulse(6, machine_done=1)), 30, part)
    assert events["stop"] == list(range(7, 14 if part is CROWD else 13))
    assert events["clear"] == [events["stop"][-1] + 1]


def test_the_next_job_has_no_error() -> None:
    script = merged(pulse(1, ap_start=1), pulse(5, abort=1), pulse(12, ap_start=1), pulse(20, machine_done=1))
    events, traces = run(script, 40)
    assert len(events["ap_done"]) == 2
    assert traces["error"][11] == CoreError.ABORTED
    assert {*traces["error"][13:]} == {CoreError.NONE}


@pytest.mark.parametrize("watchdog", [3, 7, 20])
def test_no_progress_for_as_many_cycles_ends_the_job(watchdog: int) -> None:
    script = merged(pulse(1, ap_start=1), pulse(3, progress=1))
    events, traces = run(script, 60, watchdog=watchdog, oldest=6)
    assert events["stop"][0] == 3 + watchdog + 2
    assert traces["error"][-1] == CoreError.WATCHDOG
    assert traces["error_index"][-1] == 6


def test_a_watchdog_of_0_never_barks() -> None:
    events, _ = run(pulse(1, ap_start=1), 300)
    assert events["ap_done"] == []
    assert events["running"][-1] == 299


def test_a_job_is_reported_though_memory_never_answers_and_no_other_starts_until_it_has() -> None:
    script = merged(
        pulse(1, ap_start=1), {3: {"idle": 0b011}}, pulse(5, abort=1), {40: {"ap_start": 1}}, {100: {"idle": 0b111}}
    )
    events, traces = run(script, 130, watchdog=10, reports=1)
    assert not [cycle for cycle in events["reporting"] if cycle < 110]  # of a job that the host knows the end of
    owed = [cycle for cycle in events["ap_done"] if cycle < 100]
    assert owed[0] < 20  # the abort, when memory had not answered for 10 cycles
    assert traces["error"][owed[0]] == CoreError.ABORTED
    assert traces["error"][owed[1]] == CoreError.WATCHDOG  # the job that waited from cycle 40 on
    assert 50 <= owed[1] <= 53
    assert events["clear"][0] == 101
    assert events["start"] == [1, *[cycle for cycle in events["start"] if cycle > 101]]
    assert len(events["start"]) > 1


def test_a_report_is_written_between_clearing_and_clearing_again() -> None:
    script = merged(pulse(1, ap_start=1), pulse(5, machine_done=1), pulse(20, report_done=1))
    events, traces = run(script, 40, reports=1)
    first, second = events["clear"]
    assert first < events["reporting"][0]
    assert events["reporting"] == list(range(first + 1, 21))
    assert 20 < second < events["ap_done"][0]
    assert len(events["ap_done"]) == 1
    assert {*traces["error"]} == {CoreError.NONE}


def test_a_report_that_cannot_be_written_is_given_up() -> None:
    failing = {15: {"errors_0": BusError.WINDOW.value, "indices_0": 8}}
    script = merged(pulse(1, ap_start=1), pulse(5, machine_done=1), failing)
    events, traces = run(script, 40, reports=1)
    assert events["reporting"][-1] == 16
    assert len(events["ap_done"]) == 1
    assert {*traces["error"]} == {CoreError.NONE}  # the job's own end stands


def test_a_start_that_the_registers_have_not_cleared_yet_is_no_new_one() -> None:
    """`ap_done` clears `ap_start` in the registers, a cycle later."""
    starts = []

    def registers(cycle: Cycle) -> None:
        starts.append(cycle["start"])
        cycle.set(
            "ap_start", int(cycle.number > 0 and not cycle["ap_done"] and (sum(starts) == 0 or cycle["ap_start"]))
        )
        cycle.set("machine_done", int(cycle["running"]))

    PartBench(PART, held={"idle": 7}, partners=[registers], cycles=40).check(lambda _: {})
    assert sum(starts) == 1
