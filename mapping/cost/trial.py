"""A model on a core, tried by simulating a few of its layers: cycles, and bytes of each port's memory.

All layers of most decoders are alike. Then a program of one layer and one of three tell what all take; of others the
whole program is simulated.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.program_cost import Bound, job_cost, job_cycles, prompt_cycles
from einloom.mapping.cost.vector_slots import instruction_slots
from einloom.mapping.schedule.schedule import STANDARD, Schedule
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.formats import Format
from einloom.spec.isa import Unit
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import MemoryTiming
from einloom.spec.program import Program

FEW, MORE = 1, 3
"""Layers of the two programs."""


def layers_alike(graph: DecoderGraph) -> bool:
    """All layers have the same sizes, rotation and window."""
    first, *others = (layer.attention for layer in graph.layers)
    return all((layer.scores, layer.rope, layer.size) == (first.scores, first.rope, first.size) for layer in others)


def shortened(graph: DecoderGraph, layers: int) -> DecoderGraph:
    """The first layers of a model, with its embedding and head."""
    return replace(graph, layers=graph.layers[:layers])


@dataclass(frozen=True)
class Trial:
    """A model in a format on a design, for texts of up to `context` tokens, as a schedule has it."""

    graph: DecoderGraph
    manifest: Manifest
    format: Format
    context: int
    timing: MemoryTiming
    schedule: Schedule = STANDARD

    @cached_property
    def _programs(self) -> tuple[tuple[int, Program], ...]:
        """Programs of some layers, the fewest first."""
        whole = len(self.graph.layers)
        wanted = (FEW, MORE) if whole > MORE and layers_alike(self.graph) else (whole,)
        return tuple(
            (n, shape_only_program(shortened(self.graph, n), self.manifest, self.format, self.context, self.schedule))
            for n in wanted
        )

    def cycles(self, position: int, tokens: int = 1) -> int:
        """Cycles of a job of so many tokens from a position on."""
        return self._of_all([job_cycles(self.manifest, p, self.timing, position, tokens) for _, p in self._programs])

    def prompt_cycles(self, tokens: int) -> int:
        """Cycles of a prompt."""
        return self._of_all([prompt_cycles(self.manifest, p, self.timing, tokens) for _, p in self._programs])

    def work(self, position: int, tokens: int = 1) -> dict[Bound, int]:
        """Fewest cycles of each resource's work in a job of so many tokens from a position on."""
        jobs = []
        for layers, program in self._programs:
            names = [layer.name for layer in self.graph.layers[:layers]]
            jobs.append(job_cost(self.manifest, program, self.timing, names, position, tokens))
        return {bound: self._of_all([job.least.get(bound, 0) for job in jobs]) for bound in jobs[-1].least}

    def vector_slots(self, tokens: int) -> int:
        """Slots of the vector unit in a job of so many tokens; nothing is simulated."""
        lanes = self.manifest.core.lanes
        found = []
        for _, program in self._programs:
            own = [i.values for i in program.instructions if i.opcode.unit is Unit.VECTOR]
            found.append(sum(instruction_slots(values, tokens, lanes) for values in own))
        return self._of_all(found)

    @cached_property
    def image_bytes(self) -> tuple[int, ...]:
        """Bytes of the memory of each port."""
        images = [[image.size for image in program.images] for _, program in self._programs]
        return tuple(self._of_all(list(sizes)) for sizes in zip(*images, strict=True))

    def _of_all(self, found: list[int]) -> int:
        """What all layers take, of what the programs take."""
        if len(found) == 1:
            return found[0]
        return found[0] + round((found[1] - found[0]) / (MORE - FEW) * (len(self.graph.layers) - FEW))
