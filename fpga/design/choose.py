"""The choice of a core for a model on a board: bounds of all that fit, and a simulation of the most promising."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from einloom.fpga.boards import Board
from einloom.fpga.design.candidates import Candidate, candidates, shares
from einloom.fpga.design.resource_model import core_resources
from einloom.fpga.design.space import Goal
from einloom.fpga.design.vector_words import with_room
from einloom.fpga.design.wish import Wish
from einloom.fpga.resources import Resources
from einloom.generators.registry import describe
from einloom.mapping.cost.trial import FEW, Trial, layers_alike, shortened
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.config import Config
from einloom.spec.errors import InputError

FINALISTS = 12
"""Cores that are simulated."""
ALIKE = 2
"""Finalists with the same ports and array, at most, so that others come in, too."""
SAME = 0.001
"""Cores within this share of the fastest are as fast; the one with the fewest LUTs is taken."""

Sized = Callable[[Config, DecoderGraph], Config]
"""Gives a config's memories the sizes that a model needs."""
Advance = Callable[[int, int], None]
"""Told (cores simulated, of how many)."""


@dataclass(frozen=True)
class Choice:
    """A core that was simulated.

    Attributes
    ----------
    cycles : of a token, or of the prompt.
    tokens : that these cycles make.
    candidate : its bounds.
    """

    config: Config
    cycles: int
    tokens: int
    resources: Resources
    candidate: Candidate

    @property
    def each(self) -> float:
        """Cycles of a token."""
        return self.cycles / self.tokens

    def binding(self, board: Board) -> tuple[str, float]:
        """The resource of which it takes most, and the share of what the board leaves."""
        found = shares(self.resources, board.room(self.config.memory.channels + 1))
        return max(found.items(), key=lambda item: item[1])


@dataclass(frozen=True)
class Search:
    """What a search has found.

    Attributes
    ----------
    fits : cores within the board's resources.
    tried : those that were simulated, the best first.
    front : (cycles of a token by the bound, resources) of cores than which none is both faster and smaller.
    """

    fits: int
    tried: tuple[Choice, ...]
    front: tuple[Candidate, ...]


def search(wish: Wish, name: str, sized: Sized, advance: Advance = lambda _done, _of: None) -> Search:
    """The fastest cores for a wish; InputError when none fits."""
    found = candidates(wish)
    if not found:
        raise InputError(
            f"no core for this model takes at most {wish.share:.0%} of what the {wish.board.name} leaves: allow more "
            "with --share, or take a larger board"
        )
    tried, problems = list[Choice](), list[InputError]()
    chosen = list(_finalists(found))
    for number, candidate in enumerate(chosen):
        try:
            tried.append(_try(wish, candidate, name, sized))
        except InputError as error:
            problems.append(error)
        advance(number + 1, len(chosen))
    if not tried:
        raise InputError(f"no core takes this model on the {wish.board.name}; of the most promising one: {problems[0]}")
    return Search(len(found), tuple(ranked(tried)), tuple(_front(found)))


def ranked(tried: Iterable[Choice]) -> list[Choice]:
    """The best first: the smallest of those that are as fast as the fastest, and the rest by cycles."""
    by_cycles = sorted(tried, key=lambda choice: (choice.each, choice.resources.lut))
    limit = by_cycles[0].each * (1 + SAME)
    best = min((c for c in by_cycles if c.each <= limit), key=lambda choice: choice.resources.lut)
    return [best, *(choice for choice in by_cycles if choice is not best)]


def trial_of(wish: Wish, config: Config) -> Trial:
    """A wish's model on a config's core."""
    timing = wish.board.timing(config.memory.beat_bits, wish.clock_mhz)
    return Trial(wish.graph, describe(config), wish.format, wish.context, timing)


def cycles_of(wish: Wish, trial: Trial) -> tuple[int, int]:
    """Cycles of a job, and the tokens that they make; InputError when the model doesn't fit the core."""
    if wish.goal is Goal.prefill:
        return trial.prompt_cycles(wish.context), wish.context
    tokens = trial.manifest.gemm.rows if wish.goal is Goal.batch else 1
    return trial.cycles(wish.context - tokens, tokens), tokens


def _finalists(found: list[Candidate]) -> Iterator[Candidate]:
    """The most promising, of which few are alike."""
    alike: dict[object, int] = {}
    count = 0
    for candidate in found:
        key = candidate.ports, candidate.array
        if alike.get(key, 0) < ALIKE:
            alike[key] = alike.get(key, 0) + 1
            yield candidate
            count += 1
        if count == FINALISTS:
            return


def _try(wish: Wish, candidate: Candidate, name: str, sized: Sized) -> Choice:
    """Simulate a candidate; InputError where the model doesn't go onto it, or where its memories make it too large."""
    # Layers that are alike need the same memories.
    few = shortened(wish.graph, FEW) if layers_alike(wish.graph) else wish.graph
    config = with_room(wish, sized(candidate.config(wish, name), few))
    trial = trial_of(wish, config)
    channel, bank = max(trial.image_bytes[1:]), wish.board.weight_bank_bytes
    if channel > bank:
        raise InputError(f"a weight channel needs {channel:,} bytes of a bank of {bank:,}")
    cycles, tokens = cycles_of(wish, trial)
    return Choice(config, cycles, tokens, core_resources(config), candidate)


def _front(found: list[Candidate]) -> Iterator[Candidate]:
    """Of cores by their bounds, those than which none is both faster and smaller, from the fastest on."""
    least = None
    for candidate in found:
        if least is None or candidate.resources.lut < least:
            least = candidate.resources.lut
            yield candidate
