"""Report at the end of `einloom run`: one object of figures, as tables or as JSON."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from html import escape
from math import prod

from rich.table import Table

from einloom.html import figures_table
from einloom.models.agreement import Agreement
from einloom.models.decoder_model import DecoderModel
from einloom.models.text_generation import Generation
from einloom.spec.core_registers import counter_names
from einloom.spec.driver import JobResult
from einloom.spec.isa import UNITS
from einloom.spec.manifest import Manifest
from einloom.spec.memory_ports import Traffic
from einloom.spec.program import Program


@dataclass
class JobTotals:
    """The counters of all jobs, added up, and those of the first, the prompt's, and of the last one."""

    jobs: int = 0
    first: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def add(self, result: JobResult) -> None:
        """Another job is done."""
        self.jobs += 1
        self.last = result.counters
        self.first = self.first or self.last
        self.counters = {name: self.counters.get(name, 0) + value for name, value in result.counters.items()}


@dataclass(frozen=True)
class RunReport:
    """The figures of a run; those that a backend can't measure, because it has no clock, are None.

    Attributes
    ----------
    text : the prompt and its continuation, or the answer of a chat.
    tokens, prompt_tokens : tokens made, and tokens given.
    token_ids : the tokens made.
    bit_exact : True when every logit and the final memory were equal to golden's in every bit; None on the golden
        backend, where there is nothing to compare.
    instructions, program_bytes : size of the program.
    image_bytes : size of the memory images, the program included.
    cycles : clock cycles of all jobs, those of the prompt included.
    jobs : jobs of the whole run; the first is the prompt's.
    cycles_per_token : clock cycles of the last job, which is the last token's.
    cycles_per_new_token : clock cycles of the jobs behind the first, for each of their tokens.
    utilisation : multiply-accumulates of the linear layers over those that the GEMM array can do in `cycles`, 0 to 1.
    beat_share : share of the last job's cycles, 0 to 1, in which a weight channel accepted a beat.
    memory : what was behind the ports of a simulated core.
    memory_share : beats of all ports in the last job over those that this memory can give, 0 to 1.
    bits_per_weight : stored bits, over all weights of linear layers.
    padding : share of the weights, and of what a token multiplies, 0 to 1, that are zeros to fill up blocks and tiles.
    top1_agreement : share of the compared positions, 0 to 1, at which the float model finds the same token most
        probable.
    kl : mean KL(float || design) over those positions, in nats.
    saturated : share of the codes in the cache of keys and values, 0 to 1, that are at their limit, so that what they
        stand for may be larger.
    positions : compared positions: the prompt's last chunk and all tokens made.
    counters : counters of the last job, by the names of spec/core_registers.py.
    cycles_per_second : simulated cycles per second of wall-clock time.
    seconds : wall-clock time of generating, without building the simulator.
    """

    config: str
    backend: str
    text: str
    tokens: int
    prompt_tokens: int
    token_ids: tuple[int, ...]
    bit_exact: bool | None
    instructions: int
    program_bytes: int
    image_bytes: int
    cycles: int | None
    jobs: int | None
    cycles_per_token: float | None
    cycles_per_new_token: float | None
    utilisation: float | None
    beat_share: float | None
    memory: str | None
    memory_share: float | None
    bits_per_weight: float
    padding: float
    top1_agreement: float
    kl: float
    saturated: float
    positions: int
    counters: dict[str, int] | None
    cycles_per_second: float | None
    seconds: float

    def tables(self) -> Iterator[Table]:
        """The figures for people."""
        table = Table(title=f"{self.config} on the {self.backend} backend", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("tokens", f"{self.tokens} after {self.prompt_tokens} of the prompt")
        if self.bit_exact is not None:
            table.add_row("logits and memory equal golden's", "in every bit")
        table.add_row("program", f"{self.instructions:,} instructions, {self.program_bytes:,} bytes")
        table.add_row("cycles of the last token", _figure(self.cycles_per_token, ",.0f"))
        table.add_row("cycles of a new token, mean", _figure(self.cycles_per_new_token, ",.0f"))
        table.add_row("jobs", _figure(self.jobs, ","))
        table.add_row("MACs per cycle over peak", _figure(self.utilisation, ".1%"))
        table.add_row("its cycles with a weight beat", _figure(self.beat_share, ".1%"))
        if self.memory is not None:
            table.add_row(f"beats over what {self.memory} memory gives", _figure(self.memory_share, ".1%"))
        table.add_row("bits per weight", f"{self.bits_per_weight:.2f}")
        table.add_row("of them zeros that fill up", f"{self.padding:.1%}")
        agreement = f"top-1 {self.top1_agreement:.1%}, KL {self.kl:.4f} nats"
        table.add_row("agreement with the float model", agreement)
        table.add_row("measured on", f"{self.positions} positions of this text alone")
        table.add_row("cache codes at their limit", f"{self.saturated:.3%}")
        table.add_row("simulation rate", _figure(self.cycles_per_second, ",.0f", " cycles/s"))
        table.add_row("seconds", f"{self.seconds:.1f}" if self.cycles else f"{self.seconds:.1f} ({self._rate})")
        yield table
        if self.counters:
            yield self._units(self.counters)

    def _repr_html_(self) -> str:
        figures = asdict(self)
        text, _, counters = (figures.pop(name) for name in ("text", "token_ids", "counters"))
        tables = [figures_table(f"{self.config} on the {self.backend} backend", figures)]
        tables += [figures_table("counters of the last token", counters)] if counters else []
        return f"<pre>{escape(text)}</pre>" + "".join(tables)

    @property
    def _rate(self) -> str:
        return f"{self.tokens / self.seconds:.1f} tokens/s"

    def _units(self, counters: dict[str, int]) -> Table:
        """Cycles of each unit for the last token: at work, waiting, starved."""
        table = Table(title=f"units, cycles of the last token: {counters['cycles']:,}", title_justify="left")
        for name in ("unit", "at work", "waiting for permits", "starved"):
            table.add_column(name, justify="left" if name == "unit" else "right")
        for unit in UNITS:
            name = unit.name.lower()
            starved = counters.get(f"{name}_starved")
            shown = "" if starved is None else f"{starved:,}"
            table.add_row(name, f"{counters[f'{name}_busy']:,}", f"{counters[f'{name}_waiting']:,}", shown)
        return table


def report_of(
    model: DecoderModel,
    manifest: Manifest,
    program: Program,
    generation: Generation,
    *,
    backend: str,
    bits_per_weight: float,
    padding: float,
    agreement: Agreement,
    saturated: float,
    totals: JobTotals,
    seconds: float,
    memory: tuple[str, float] | None = None,
    answer_only: bool = False,
) -> RunReport:
    """The report of a run in which every check passed; with `answer_only` its text is without the prompt.

    `memory` is what was simulated, and the share of cycles in which it can give a beat.
    """
    gemm = manifest.gemm
    assert gemm is not None
    ports = manifest.core.ports
    cycles = totals.counters.get("cycles")
    peak = gemm.macs_per_step / gemm.weights.steps[0].cycles
    name_of_head = model.graph.head.linear.weight
    sizes = {tensor.name: prod(tensor.shape) for tensor in model.graph.linears()}
    head = sizes.pop(name_of_head)
    layers = sum(sizes.values())
    macs = layers * (len(generation.tokens) - 1) + head * len(generation.logits)
    last = totals.last or None
    assert last is None or last.keys() == counter_names(ports).keys()
    new = len(generation.continuation) - 1
    of_channels = [f"{Traffic.WEIGHTS}{port.channel}_beats" for port in ports if port.channel is not None]
    channels = len(of_channels)
    beats = sum(last[name] for name in of_channels) if last else 0
    others = sum(last[name] for port in ports for name in port.counters) - beats if last else 0
    return RunReport(
        config=manifest.name,
        backend=backend,
        text=model.tokenizer.decode(list(generation.continuation if answer_only else generation.tokens)),
        tokens=len(generation.continuation),
        prompt_tokens=len(generation.prompt),
        token_ids=generation.continuation,
        bit_exact=True if cycles else None,
        instructions=len(program.instructions),
        program_bytes=program.program_bytes,
        image_bytes=program.image_bytes,
        cycles=cycles,
        jobs=totals.jobs or None,
        cycles_per_token=last["cycles"] if last else None,
        cycles_per_new_token=(cycles - totals.first["cycles"]) / new if cycles and new else None,
        utilisation=macs / (cycles * peak) if cycles else None,
        beat_share=beats / (last["cycles"] * channels) if last else None,
        memory=memory[0] if memory else None,
        memory_share=(beats + others) / (last["cycles"] * len(ports) * memory[1]) if last and memory else None,
        bits_per_weight=bits_per_weight,
        padding=padding,
        top1_agreement=agreement.top1,
        kl=agreement.kl,
        saturated=saturated,
        positions=len(generation.logits),
        counters=last,
        cycles_per_second=cycles / seconds if cycles else None,
        seconds=seconds,
    )


def _figure(value: float | None, spec: str, unit: str = "") -> str:
    return "n/a" if value is None else f"{value:{spec}}{unit}"
