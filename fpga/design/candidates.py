"""Cores by what they promise: their bounds and resources, before anything is simulated.

What depends on the array and what depends on attention is reckoned apart, once for each, so that a pair of them costs a
few additions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import inf

from einloom.fpga.design.arrays import Array, all_arrays
from einloom.fpga.design.bounds import Bound, attention_work, linear_work
from einloom.fpga.design.capacity import missing, need
from einloom.fpga.design.core_config import config_of
from einloom.fpga.design.resource_model import array_resources, other_resources
from einloom.fpga.design.space import Heads, Ports, all_heads, all_ports
from einloom.fpga.design.vector_work import VectorWork
from einloom.fpga.design.wish import Wish
from einloom.fpga.resources import Resources
from einloom.generators.core import spec_and_manifest
from einloom.generators.registry import pe_spec
from einloom.hw.core.spec import CoreSpec
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.manifest import CoreManifest

COUNTED = ("lut", "dsp", "bram36", "uram")
"""Resources that may bind a design. Registers are twice as many as LUTs on these FPGAs, and never have."""
WORSE = 1.2
"""Ports are left out whose fewest cycles are so many times those of the best core with more of them."""
TYPICAL = {"vector_words": 8192, "activation_words": 512, "query_words": 32, "staging_words": 16}
"""Words of memories before a model's program is known."""


@dataclass(frozen=True)
class Candidate:
    """A core that fits the board, with its bound and its resources as far as they are known without a program."""

    ports: Ports
    array: Array
    heads: Heads
    bound: Bound
    resources: Resources

    @property
    def order(self) -> tuple[float, int]:
        """The most promising first, per token."""
        return self.bound.likely / self.array.rows, self.resources.lut

    def config(self, wish: Wish, name: str) -> Config:
        """Its config; the core's memories are `auto`."""
        return config_of(name, wish.graph, wish.format, self.ports, self.array, self.heads, wish.cache_bits)


def shares(resources: Resources, room: Resources) -> dict[str, float]:
    """Share of what a board leaves, of each of COUNTED; infinite where it has none of what is needed."""
    taken = {name: (getattr(resources, name), getattr(room, name)) for name in COUNTED}
    return {name: of and (of / has if has else inf) for name, (of, has) in taken.items()}


def candidates(wish: Wish) -> list[Candidate]:
    """All cores that fit, the most promising first."""
    found: list[Candidate] = []
    best, vector_work = float("inf"), VectorWork(wish)
    for ports in all_ports(wish.board):
        if missing(wish, ports.channels) or _least_cycles(wish, ports) > WORSE * best:
            continue
        found += _with_ports(wish, ports, vector_work)
        best = min((candidate.order[0] for candidate in found), default=best)
    return sorted(found, key=lambda candidate: candidate.order)


def _least_cycles(wish: Wish, ports: Ports) -> float:
    """Cycles of a token that ports of this kind cannot fall below: those of all weights."""
    weights = need(wish).weights / max(wish.goal.rows)
    beat_share = wish.board.timing(ports.beat_bits, wish.clock_mhz).beat_share
    return weights / (ports.channels * ports.beat_bits / 8 * beat_share)


def _with_ports(wish: Wish, ports: Ports, vector_work: VectorWork) -> Iterator[Candidate]:
    room = wish.board.room(ports.channels + 1)
    timing = wish.board.timing(ports.beat_bits, wish.clock_mhz)
    for rows in wish.goal.rows:
        kinds = (all_arrays(kind, ports, wish.format, wish.goal) for kind in wish.engines)
        arrays = [array for arrays in kinds for array in arrays if array.rows == rows]
        heads = list(all_heads(ports, wish.graph, rows, wish.cache_bits))
        # The first of either that goes with any of the others.
        engines = next(filter(None, (_known(wish, ports, arrays, [head]) for head in heads)), [])
        if not engines:
            continue
        lanes = _known(wish, ports, [engines[0][0]], heads)
        engine_work = [(a, linear_work(wish.graph, m, wish.format, rows), array_resources(s)) for a, _, s, m in engines]
        lane_work = [
            (h, attention_work(wish.graph, m, wish.context, rows, serial=True), other_resources(s))
            for _, h, s, m in lanes
        ]
        vector = vector_work.cycles(ports, engines[0][0], lanes[0][1])
        if vector is None:
            continue
        for (array, linear, first), (head, attention, second) in product(engine_work, lane_work):
            resources = first + second
            if max(shares(resources, room).values()) <= wish.share:
                beats = (linear.beats + attention.beats) / timing.beat_share
                bound = Bound(beats, linear.cycles, attention.cycles, vector)
                yield Candidate(ports, array, head, bound, resources)


def _known(
    wish: Wish, ports: Ports, arrays: list[Array], heads: list[Heads]
) -> list[tuple[Array, Heads, CoreSpec, CoreManifest]]:
    """Specs and manifests of those that can be built."""
    found = []
    for array, head in product(arrays, heads):
        try:
            config = config_of("candidate", wish.graph, wish.format, ports, array, head, wish.cache_bits)
            config = config.with_memories(TYPICAL)
            spec, manifest = spec_and_manifest(config, pe_spec(config))
        except InputError:  # ports and sizes that don't go together
            continue
        found.append((array, head, spec, manifest))
    return found
