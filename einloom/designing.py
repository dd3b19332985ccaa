"""What to build for a model on a board: the config of the fastest core that fits, and why."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from einloom.catalogue import find_model, load_graph
from einloom.fpga.boards import BOARDS, Board
from einloom.fpga.design.arrays import LANES, engines_for
from einloom.fpga.design.candidates import COUNTED, shares
from einloom.fpga.design.capacity import missing, refusal
from einloom.fpga.design.choose import Advance, Choice, Search, search, trial_of
from einloom.fpga.design.explain import config_text
from einloom.fpga.design.space import Goal
from einloom.fpga.design.wish import Wish
from einloom.fpga.resources import Resources
from einloom.html import rows_table
from einloom.mapping.cost.program_cost import Bound
from einloom.memory_sizes import sized
from einloom.models.decoder_graph import DecoderGraph
from einloom.plots import require_plots
from einloom.spec.config import Config
from einloom.spec.errors import InputError
from einloom.spec.files import write_file
from einloom.spec.formats import FORMATS
from einloom.spec.memory_timing import CLOCK_MHZ
from einloom.spec.suggest import did_you_mean

CONTEXT = 1024
"""Positions that a design is chosen for, unless told otherwise or the model has fewer."""
SHOWN = 6
"""Runners-up that are shown."""
SHARE = 0.7
"""Of each resource that a board leaves, unless told otherwise."""

__all__ = ["Choice", "DesignReport", "design"]


@dataclass(frozen=True)
class DesignReport:
    """What to build.

    Attributes
    ----------
    model : its name.
    search : all cores that were looked at; the first of those that were tried is the choice.
    step_cycles : of the tokens that are computed at once at the end of the context, several for `batch`.
    prompt_cycles : of a prompt as long.
    work : fewest cycles of each resource's work for these tokens.
    seconds : that the choice took.
    """

    wish: Wish
    model: str
    search: Search
    step_cycles: int
    prompt_cycles: int
    work: Mapping[Bound, int]
    seconds: float

    @property
    def choice(self) -> Choice:
        return self.search.tried[0]

    @property
    def board(self) -> Board:
        return self.wish.board

    @property
    def room(self) -> Resources:
        """What the board leaves for the choice."""
        return self.board.room(self.choice.config.memory.channels + 1)

    @property
    def shares(self) -> dict[str, float]:
        """Share of that, of each resource."""
        return shares(self.choice.resources, self.room)

    @property
    def tokens_per_second(self) -> float:
        """For the goal `batch`, of all tokens that are computed at once."""
        return self.wish.clock_mhz * 1e6 * _at_once(self.wish, self.choice) / self.step_cycles

    @property
    def time_to_first_token(self) -> float:
        return self.prompt_cycles / (self.wish.clock_mhz * 1e6)

    @property
    def bound(self) -> Bound:
        """The resource that would be busy longest with a token if nothing ever waited."""
        return max(self.work, key=lambda bound: self.work[bound])

    @property
    def share_of_memory(self) -> float:
        """Of the board's peak bytes a second that weights and cache take while those tokens are made."""
        port = self.choice.config.memory
        beats = self.work[Bound.memory] * self.board.timing(port.beat_bits, self.wish.clock_mhz).beat_share
        seconds = self.step_cycles / (self.wish.clock_mhz * 1e6)
        return beats * port.channels * port.beat_bits / 8 / seconds / self.board.bytes_per_second

    @cached_property
    def text(self) -> str:
        """The config's YAML, with reasons."""
        name, used = self.choice.binding(self.board)
        context, speed, first = self.wish.context, self.tokens_per_second, self.time_to_first_token
        head = [
            f"einloom design: {self.model} on the {self.board.name}, for {self.wish.goal}, {context:,} positions.",
            f"Predicted: {speed:.1f} tokens/s at position {context - 1:,}, {first:.2f} s to a first token there.",
            f"{self.share_of_memory:.0%} of the memory's peak; bound by {self.bound}.",
            f"{used:.0%} of the {name.upper()}s that shell and ports leave, of at most {self.wish.share:.0%}.",
        ]
        return config_text(self.wish, self.choice, self.model, head)

    def write(self, path: str | Path) -> None:
        """Write the config; InputError when that fails."""
        write_file(Path(path), self.text.encode())

    def plot(self, path: str | Path) -> None:
        """Draw tokens a second against LUTs into an .svg, .png or .pdf file; InputError without matplotlib."""
        require_plots(Path(path))
        from einloom.design_plot import plot_choice  # needs an optional package

        plot_choice(Path(path), self)

    def figures(self) -> dict[str, Any]:
        """Figures that `einloom design --json` prints."""
        binding, used = self.choice.binding(self.board)
        return {
            "model": self.model,
            "board": self.board.name,
            "goal": str(self.wish.goal),
            "context": self.wish.context,
            "weights": self.wish.format.name,
            "config": self.choice.config.model_dump(mode="json"),
            "cycles": self.choice.cycles,
            "tokens_per_second": self.tokens_per_second,
            "time_to_first_token": self.time_to_first_token,
            "share_of_memory": round(self.share_of_memory, 4),
            "bound": str(self.bound),
            "resources": {name: asdict(self.choice.resources)[name] for name in COUNTED},
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            "binding": binding,
            "binding_share": round(used, 4),
            "fits": self.search.fits,
            "tried": [_brief(choice) for choice in self.search.tried],
            "seconds": round(self.seconds, 1),
        }

    def _repr_html_(self) -> str:
        rows = ((label(c.config), c.cycles, c.resources.lut, c.resources.dsp) for c in self.search.tried)
        return rows_table(f"{self.model} on the {self.board.name}", ("core", "cycles", "LUTs", "DSPs"), rows)


def design(
    model: str | Path | None,
    board: str = "u280",
    *,
    goal: str = "decode",
    context: int | None = None,
    weights: str = "",
    cache_bits: int = 8,
    engine: str = "",
    share: float = SHARE,
    clock_mhz: float = CLOCK_MHZ,
    name: str | None = None,
    advance: Advance = lambda _done, _of: None,
) -> DesignReport:
    """Choose a core for a model on a board.

    Parameters
    ----------
    model : a folder, of which config.json is enough, a GGUF file or a shipped model.
    board : of einloom.fpga.boards.
    goal : "decode", "prefill" or "batch".
    context : positions that it is chosen for; 1,024, or those that the model has, if None.
    weights : a weight format; one that fits the model's own weights if empty.
    cache_bits : of keys and values, 8 or 4.
    engine : a kind of engine; the best one if empty.
    share : of each resource that shell and ports leave, at most.
    name : of the config.
    advance : told of each core that was simulated.

    InputError when the model does not fit, with what would make it fit.
    """
    started = time.perf_counter()
    graph, called = load_graph(model), find_model(model).name
    wish = _wish(graph, board, goal, context, weights, cache_bits, engine, share, clock_mhz)
    if missing(wish):
        raise InputError(refusal(wish, called))
    found = search(wish, name or _name(called, board), sized, advance)
    trial, tokens = trial_of(wish, found.tried[0].config), _at_once(wish, found.tried[0])
    first = wish.context - tokens
    step, prompt, work = trial.cycles(first, tokens), trial.prompt_cycles(wish.context), trial.work(first, tokens)
    return DesignReport(wish, called, found, step, prompt, work, time.perf_counter() - started)


def _at_once(wish: Wish, choice: Choice) -> int:
    """Tokens that are computed at once when text is generated."""
    return choice.tokens if wish.goal is Goal.batch else 1


def _wish(
    graph: DecoderGraph,
    board: str,
    goal: str,
    context: int | None,
    weights: str,
    cache_bits: int,
    engine: str,
    share: float,
    clock_mhz: float,
) -> Wish:
    """What is asked for, checked as a whole."""
    problems = []
    if board not in BOARDS:
        problems.append(f"--board {board}: not a board{did_you_mean(board, BOARDS)}; boards: {', '.join(BOARDS)}")
    if goal not in list(Goal):
        problems.append(f"--goal must be {', '.join(Goal)}, not {goal}")
    if weights and (weights not in FORMATS or FORMATS[weights].of):
        known = [name for name, f in FORMATS.items() if not f.of]
        problems.append(f"--weights {weights}: no format{did_you_mean(weights, known)}; formats: {', '.join(known)}")
    if engine and engine not in LANES:
        problems.append(f"--engine {engine}: no engine{did_you_mean(engine, LANES)}; engines: {', '.join(LANES)}")
    if cache_bits not in (4, 8):
        problems.append(f"--cache-bits must be 8 or 4, not {cache_bits}")
    if not 0 < share <= 1:
        problems.append(f"--share must be above 0 and at most 1, not {share:g}")
    if context is not None and not 1 < context <= graph.context:
        problems.append(f"--context must be 2 to {graph.context:,}, the model's, not {context:,}")
    if problems:
        raise InputError("; ".join(problems))
    positions = min(CONTEXT, graph.context) if context is None else context
    format, kind = FORMATS[weights or default_format(graph)], Goal(goal)
    if kind is Goal.batch and positions < max(kind.rows):
        raise InputError(
            f"--goal batch computes up to {max(kind.rows)} tokens at once: it needs as many positions, not {positions}"
        )
    engines = engines_for(format)
    if engine and engine not in engines:
        raise InputError(f"--engine {engine} does not take weights in {format.name}; what does: {', '.join(engines)}")
    chosen = (engine,) if engine else engines
    return Wish(graph, BOARDS[board], format, chosen, kind, positions, cache_bits, clock_mhz, share)


def default_format(graph: DecoderGraph) -> str:
    """A format that a model bears whose weights were not trained for one; ternary for BitNets, which were."""
    branches = (branch.operation for branch in graph.layers[0].branches)
    ternary = all(operation.inner_norm is not None for operation in branches)
    return "ternary" if ternary else "bitmod-fp4"


def _name(model: str, board: str) -> str:
    """A config's name, of a model's and a board's."""
    letters = "".join(c if c.isalnum() and c.isascii() else "-" for c in model.lower())
    words = [word for word in letters.split("-") if word]
    name = "-".join([*words, board])
    return (name if name[0].isalpha() else f"core-{name}")[:64].rstrip("-")


def label(config: Config) -> str:
    """A core in a few words."""
    engine, attention, core, memory = config.gemm, config.attention, config.core_section, config.memory
    assert attention is not None
    return (
        f"{memory.channels} x {memory.beat_bits} bits, {engine.kind} of {engine.rows} x {engine.columns} x "
        f"{engine.lanes} products, "
        f"{core.attention_lanes} lanes of {attention.rows} x {attention.columns}, vector {core.lanes}"
    )


def _brief(choice: Choice) -> Mapping[str, Any]:
    return {
        "core": label(choice.config),
        "cycles": choice.cycles,
        "tokens": choice.tokens,
        **{name: getattr(choice.resources, name) for name in COUNTED},
    }
