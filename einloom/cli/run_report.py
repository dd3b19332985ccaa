"""What `einloom run` tells at its end: one object of figures, as a table or as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from einloom.config import Config
from einloom.quantized import QuantizedTensor
from mapping.importer.huggingface import LlamaModel
from sim.bench.attention import AttentionOutcome
from sim.device import Counters
from sim.golden.agreement import Agreement
from sim.golden.generate import Generation


@dataclass(frozen=True)
class RunReport:
    """The figures of a run; those that a backend can't measure, because it has no clock, are None.

    Attributes
    ----------
    text : the prompt and its continuation.
    tokens, prompt_tokens : tokens made, and tokens given.
    token_ids : the tokens made.
    bit_exact : True when the backend checked every linear layer against the golden model, and all were equal in every
        bit; None on the golden backend, where there is nothing to compare.
    linear_layers : matrix products computed, each for one or several tokens.
    attention_jobs : attention of a key/value head with up to as many queries as the attention engine has columns; 0
        where attention is float arithmetic outside the design.
    attention_cycles_per_token, attention_utilisation : of the attention engine: its cycles / tokens, and the share of
        them in which its 2D array was at work.
    cycles : clock cycles of all linear layers, those of the prompt included.
    cycles_per_token : cycles / tokens.
    utilisation : multiply-accumulates that the model needed over those that the array can do in `cycles`, 0 to 1.
    beat_share : share of the cycles, 0 to 1, in which a memory channel's weight beat was accepted.
    bits_per_weight : stored bits, over all weights of linear layers.
    top1_agreement : share of the positions, 0 to 1, at which the float model finds the same token most probable.
    kl : mean KL(float || device) over the positions, in nats.
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
    linear_layers: int
    attention_jobs: int
    attention_cycles_per_token: float | None
    attention_utilisation: float | None
    cycles: int | None
    cycles_per_token: float | None
    utilisation: float | None
    beat_share: float | None
    bits_per_weight: float
    top1_agreement: float
    kl: float
    cycles_per_second: float | None
    seconds: float

    def table(self) -> Table:
        """The figures for people."""
        table = Table(title=f"{self.config} on the {self.backend} backend", title_justify="left", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("tokens", f"{self.tokens} after {self.prompt_tokens} of the prompt")
        if self.bit_exact is None:
            table.add_row("linear layers", f"{self.linear_layers:,}")
        else:
            table.add_row("linear layers checked bit for bit", f"{self.linear_layers:,}")
        checked = "" if self.bit_exact is None else " checked bit for bit"
        table.add_row(f"attention jobs{checked}", f"{self.attention_jobs:,}" if self.attention_jobs else "in float")
        table.add_row("cycles per token", _figure(self.cycles_per_token, ",.0f"))
        table.add_row("MACs per cycle over peak", _figure(self.utilisation, ".1%"))
        table.add_row("cycles with a weight beat", _figure(self.beat_share, ".1%"))
        table.add_row("attention cycles per token", _figure(self.attention_cycles_per_token, ",.0f"))
        table.add_row("attention array at work", _figure(self.attention_utilisation, ".1%"))
        table.add_row("bits per weight", f"{self.bits_per_weight:.2f}")
        table.add_row("agreement with the float model", f"top-1 {self.top1_agreement:.1%}, KL {self.kl:.4f} nats")
        table.add_row("simulation rate", _figure(self.cycles_per_second, ",.0f", " cycles/s"))
        table.add_row("seconds", f"{self.seconds:.1f}")
        return table


def report_of(
    model: LlamaModel,
    config: Config,
    tensors: Mapping[str, QuantizedTensor],
    generation: Generation,
    *,
    backend: str,
    agreement: Agreement,
    counters: Counters,
    peak_macs_per_cycle: float,
    linear_layers: int,
    attention_jobs: int,
    attention: AttentionOutcome | None,
    seconds: float,
) -> RunReport:
    """The report of a run in which every check passed."""
    cycles = counters.cycles
    stored_bits = sum(t.bits_per_weight * t.codes.size for t in tensors.values())
    return RunReport(
        config=config.name,
        backend=backend,
        text=model.tokenizer.decode(list(generation.tokens)),
        tokens=len(generation.continuation),
        prompt_tokens=len(generation.prompt),
        token_ids=generation.continuation,
        bit_exact=True if cycles else None,
        linear_layers=linear_layers,
        attention_jobs=attention_jobs,
        attention_cycles_per_token=attention.cycles / len(generation.continuation) if attention else None,
        attention_utilisation=attention.busy / attention.cycles if attention and attention.cycles else None,
        cycles=cycles or None,
        cycles_per_token=cycles / len(generation.continuation) if cycles else None,
        utilisation=counters.macs / (cycles * peak_macs_per_cycle) if cycles else None,
        beat_share=counters.beats / (cycles * config.memory.channels) if cycles else None,
        bits_per_weight=stored_bits / sum(t.codes.size for t in tensors.values()),
        top1_agreement=agreement.top1,
        kl=agreement.kl,
        cycles_per_second=cycles / seconds if cycles else None,
        seconds=seconds,
    )


def _figure(value: float | None, spec: str, unit: str = "") -> str:
    return "n/a" if value is None else f"{value:{spec}}{unit}"
