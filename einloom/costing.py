"""What a model costs on a core, predicted from its shape: no weights are read, and nothing is simulated in RTL."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from einloom.catalogue import load_config, load_graph
from einloom.choice import choose_config
from einloom.generators.registry import describe
from einloom.html import rows_table
from einloom.mapping.codegen.shape_only import shape_only_program
from einloom.mapping.cost.cached_schedule_search import STANDARD_NAME, schedule_named
from einloom.mapping.cost.program_cost import JobCost, PartCost, cycles_without, job_cost, prompt_work
from einloom.mapping.cost.roofline import ATTENTION, Roof, Work, roofs
from einloom.mapping.cost.schedule_search import Found
from einloom.mapping.schedule.schedule import STANDARD
from einloom.memory_sizes import sized
from einloom.plots import require_plots
from einloom.running import CLOCKS_MHZ, Memory
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.formats import Format, format_named
from einloom.spec.manifest import Manifest
from einloom.spec.memory_timing import CLOCK_MHZ, MemoryTiming
from einloom.spec.program import Program
from einloom.timeline import write_timeline

POSITION = 1023
"""Of the token whose cost is predicted, unless told otherwise or the model's context is shorter."""


@dataclass(frozen=True)
class CostReport:
    """What a token costs, and a prompt.

    Attributes
    ----------
    step : the job of a token at a position.
    without : cycles of that job if one resource took no time, by the resource's name; empty if nobody asked for it.
    format : of the weights.
    roofs : of products and of attention, in the token's job.
    prompt : tokens of a prompt, if it was asked for.
    prompt_work : MACs, bytes and cycles from its start to the logits behind it.
    seconds : that the prediction took.
    program : that was simulated.
    found : its schedule, if that was searched for.
    """

    manifest: Manifest
    memory: Memory
    clock_mhz: float
    step: JobCost
    without: dict[str, int]
    format: Format
    roofs: tuple[Roof, Roof]
    prompt: int | None
    prompt_work: Work | None
    seconds: float
    program: Program
    found: Found | None = None

    def draw_timeline(self, path: str | Path) -> None:
        """Draw what each unit does in the token's job into an .svg or .png, or write a .json that Perfetto opens."""
        write_timeline(self.step.events, self.program.instructions, self.program.notes, Path(path))

    def plot(self, path: str | Path) -> None:
        """Draw the roofline and the timeline into an .svg, .png or .pdf; InputError without matplotlib."""
        require_plots(Path(path))
        from einloom.cost_plot import plot_cost  # needs an optional package

        plot_cost(Path(path), self)

    def write_html(self, path: str | Path) -> None:
        """Write all of it as one page that needs nothing else; InputError without matplotlib."""
        require_plots(Path(path), "--html", (".html", ".htm"))
        from einloom.cost_page import cost_page  # needs an optional package

        write_file(Path(path), cost_page(self).encode())

    @property
    def prompt_cycles(self) -> int | None:
        """From a prompt's start to the logits behind it; None without a prompt."""
        return None if self.prompt_work is None else self.prompt_work.cycles

    def roof_of(self, work: Work) -> Roof:
        """That of an operation."""
        return self.roofs[work.name == ATTENTION]

    @property
    def seconds_per_token(self) -> float:
        """At the clock."""
        return self.step.cycles / (self.clock_mhz * 1e6)

    @property
    def time_to_first_token(self) -> float | None:
        """Seconds from a prompt's start to the logits behind it; None without a prompt."""
        return None if self.prompt_cycles is None else self.prompt_cycles / (self.clock_mhz * 1e6)

    @property
    def helps_most(self) -> tuple[str, int]:
        """The resource without which the job would be shortest, and the cycles that would be left."""
        return min(self.without.items(), key=lambda item: item[1])

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom cost --json` prints."""
        step, first = self.step, self.time_to_first_token
        return {
            "config": self.manifest.name,
            "digest": self.manifest.digest,
            "position": step.position,
            "memory": str(self.memory),
            "clock_mhz": self.clock_mhz,
            "cycles": step.cycles,
            "seconds_per_token": self.seconds_per_token,
            "tokens_per_second": 1 / self.seconds_per_token,
            "prompt": self.prompt,
            "prompt_cycles": self.prompt_cycles,
            "time_to_first_token": first,
            "bound": str(step.bound),
            "share_of_bound": round(step.share_of_bound, 4),
            "least": {str(bound): cycles for bound, cycles in step.least.items()},
            "bounds": {str(bound): cycles for bound, cycles in step.bounds.items()},
            "layers": [_part(part) for part in step.layers],
            "operations": [_part(part) for part in step.operations],
            "roofs": [self._roof(roof) for roof in self.roofs],
            "work": [self._work(work) for work in (*step.work, step.whole, *filter(None, [self.prompt_work]))],
            "units": {
                unit.name.lower(): {"busy": t.busy, "waiting": t.waiting, "starved": t.starved}
                for unit, t in step.units.items()
            },
            "without": self.without,
            "schedule": asdict(self.found) if self.found else None,
            "seconds": round(self.seconds, 3),
        }

    def _roof(self, roof: Roof) -> dict[str, Any]:
        hertz = self.clock_mhz * 1e6
        return {
            "name": roof.name,
            "macs_per_second": roof.macs * hertz,
            "macs_per_second_of_a_token": roof.macs_of_job * hertz,
            "bytes_per_second": roof.bytes * hertz,
        }

    def _work(self, work: Work) -> dict[str, Any]:
        return {
            "name": work.name,
            "macs": work.macs,
            "bytes": work.bytes,
            "cycles": work.cycles,
            "macs_per_byte": work.intensity,
            "macs_per_second": work.rate * self.clock_mhz * 1e6,
        }

    def _repr_html_(self) -> str:
        rows = ((part.name, part.cycles, str(part.bound)) for part in self.step.operations)
        return rows_table(f"{self.manifest.name}: {self.step.cycles:,} cycles", ("operation", "cycles", "bound"), rows)


def cost(
    model: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | Config | None = None,
    *,
    position: int | None = None,
    prompt: int | None = None,
    weights: str = "",
    memory: str = "hbm",
    clock_mhz: float | None = None,
    schedule: str = STANDARD_NAME,
    what_if: bool = True,
) -> CostReport:
    """Predict what a token of a model costs on the core of a config.

    Parameters
    ----------
    model : a folder, of which config.json is enough, a GGUF file or a shipped model.
    config : the smallest shipped core that takes the model if None.
    position : of the token; 1,023 if None, or the last one that the model's context has.
    prompt : tokens of a prompt whose time is predicted, too.
    weights : one of the design's weight formats, for all matrices; the first if empty.
    memory : behind each port: "hbm", a channel of HBM2, or "ideal", which gives a beat in each cycle.
    clock_mhz : the core's clock; 300 if None.
    schedule : "standard", or "decode" or "prefill" for the one with the fewest cycles up to that position.
    what_if : also simulate the job without each of its limits, which takes most of the time.

    InputError when the model doesn't fit the design, or a number is none that the model can have.
    """
    started = time.perf_counter()
    graph = load_graph(model)
    chosen = choose_config(graph)[0] if config is None else sized(load_config(config), graph)
    behind, clock = _memory(memory), _clock(clock_mhz)
    at = min(POSITION, graph.context - 1) if position is None else position
    _check_counts(at, prompt, graph.context)
    manifest = describe(chosen)
    format = _format(manifest, weights)
    timing = MemoryTiming() if behind is Memory.ideal else MemoryTiming.hbm(8 * manifest.core.beat_bytes, clock)
    context = max(at + 1, prompt or 1)
    found = schedule_named(schedule, graph, manifest, format, context, timing)
    program = shape_only_program(graph, manifest, format, context, found.schedule if found else STANDARD)
    step = job_cost(manifest, program, timing, [layer.name for layer in graph.layers], at)
    without = cycles_without(manifest, program, timing, at) if what_if else {}
    first = None if prompt is None else prompt_work(manifest, program, timing, prompt)
    return CostReport(
        manifest,
        behind,
        clock,
        step,
        without,
        format,
        roofs(manifest, format, timing, 1),
        prompt,
        first,
        time.perf_counter() - started,
        program,
        found,
    )


def _memory(name: str) -> Memory:
    if name not in list(Memory):
        raise InputError(f"--memory must be {' or '.join(Memory)}, not {name}")
    return Memory(name)


def _clock(mhz: float | None) -> float:
    clock = CLOCK_MHZ if mhz is None else mhz
    if not CLOCKS_MHZ[0] <= clock <= CLOCKS_MHZ[1]:
        raise InputError(f"--clock must be {CLOCKS_MHZ[0]:g} to {CLOCKS_MHZ[1]:g} MHz, not {clock:g}")
    return clock


def _check_counts(position: int, prompt: int | None, context: int) -> None:
    """InputError with all numbers that the context has not."""
    problems = []
    if not 0 <= position < context:
        problems.append(f"--position must be 0 to {context - 1}, the model's last one, not {position}")
    if prompt is not None and not 1 <= prompt <= context:
        problems.append(f"--prompt must be 1 to {context} tokens, the model's context, not {prompt}")
    if problems:
        raise InputError("; ".join(problems))


def _format(manifest: Manifest, weights: str) -> Format:
    """The design's format of that name, its first if there is no name; InputError when it has none, or when the cost of
    its products depends on more than their shape."""
    names = [step.format for step in manifest.gemm.weights.steps]
    if weights and weights not in names:
        raise InputError(f"--weights {weights}: the design's formats are {', '.join(names)}")
    format = format_named(weights or names[0])
    if format.of:
        raise InputError(f"{format.name}: how many weights of a block it keeps depends on the weights")
    return format


def _part(part: PartCost) -> dict[str, Any]:
    bounds = {str(bound): cycles for bound, cycles in part.bounds.items() if cycles}
    return {"name": part.name, "cycles": part.cycles, "bound": str(part.bound), "bounds": bounds}
