"""Clients take turns on one port, and beats find their client."""

import random

import pytest

from einloom.hw.bus.read_mux import ReadMux
from einloom.sim.bench.part_bench import Cycle, PartBench

PARTS = {clients: ReadMux(clients, 32, address_bits=32) for clients in (1, 3)}
BURSTS = 30


class Bus:
    """Clients that ask for bursts, and a memory that answers with IDs in any order."""

    def __init__(self, clients: int, pause: float) -> None:
        self.asked: list[list[int]] = [[] for _ in range(clients)]
        self.granted: list[tuple[int, int]] = []
        self.beats: list[list[int]] = [[] for _ in range(clients)]
        self.sent: list[tuple[int, int]] = []
        self._left = [BURSTS] * clients
        self._rng, self._pause, self._clients = random.Random(clients), pause, clients
        self._stalled: dict[str, int] | None = None

    @property
    def done(self) -> bool:
        return len(self.granted) == BURSTS * self._clients and sum(map(len, self.beats)) == len(self.granted)

    def __call__(self, cycle: Cycle) -> None:
        for n in range(self._clients):
            self._client(cycle, n)
        if cycle["axi_arvalid"] and cycle["axi_arready"]:
            self.granted.append((cycle["axi_arid"], cycle["axi_araddr"]))
        elif cycle["axi_arvalid"]:
            offered = {name: cycle[f"axi_{name}"] for name in ("arid", "araddr", "arlen")}
            assert self._stalled in (None, offered), "an address changed before it was taken"
            self._stalled = offered
        if cycle["axi_arready"]:
            self._stalled = None
        cycle.set("axi_arready", int(self._rng.random() >= self._pause))
        self._memory(cycle)

    def _client(self, cycle: Cycle, n: int) -> None:
        port = f"clients_{n}"
        valid = cycle[f"{port}_arvalid"]
        if valid and cycle[f"{port}_arready"]:
            self.asked[n].append(cycle[f"{port}_araddr"])
            self._left[n] -= 1
            valid = 0
        if cycle[f"{port}_rvalid"] and cycle[f"{port}_rready"]:
            self.beats[n].append(cycle[f"{port}_rdata"])
            assert cycle[f"{port}_rid"] == 0
        if not valid and self._left[n] and self._rng.random() >= self._pause:
            valid = 1
            cycle.set(f"{port}_araddr", n << 16 | self._left[n])
        cycle.set(f"{port}_arvalid", int(valid))
        cycle.set(f"{port}_arid", 1)
        cycle.set(f"{port}_rready", int(self._rng.random() >= self._pause))

    def _memory(self, cycle: Cycle) -> None:
        """One beat for each burst, in any order of bursts."""
        valid = cycle["axi_rvalid"]
        if valid and cycle["axi_rready"]:
            self.sent.append((cycle["axi_rid"], cycle["axi_rdata"]))
            valid = 0
        waiting = self.granted[:]
        for client, data in self.sent:
            waiting.remove((client, data))
        if not valid and waiting:
            client, data = self._rng.choice(waiting)
            cycle.set("axi_rid", client)
            cycle.set("axi_rdata", data)
            valid = 1
        cycle.set("axi_rvalid", int(valid))


@pytest.mark.parametrize("pause", [0.0, 0.5], ids=["full-rate", "paused"])
@pytest.mark.parametrize("clients", PARTS)
def test_every_burst_is_asked_for_once_and_its_beat_comes_back(clients: int, pause: float) -> None:
    bus = Bus(clients, pause)
    PartBench(PARTS[clients], partners=[bus], until=lambda: bus.done).check(lambda _: {})
    for n in range(clients):
        assert [address for client, address in bus.granted if client == n] == bus.asked[n]
        assert sorted(bus.beats[n]) == sorted(bus.asked[n])
    if not pause:
        # All clients always have a burst, so they take turns.
        order = [client for client, _ in bus.granted][: clients * (BURSTS - 2)]
        assert all(order[i] != order[i + 1] for i in range(len(order) - 1)) or clients == 1
        assert all({*order[i : i + clients]} == {*range(clients)} for i in range(len(order) - clients))
