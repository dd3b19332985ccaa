"""What is asked for: a model, a board, and what is to be fast."""

from dataclasses import dataclass

from einloom.fpga.boards import Board
from einloom.fpga.design.space import Goal
from einloom.models.decoder_graph import DecoderGraph
from einloom.spec.formats import Format


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes
    ----------
    engines : kinds of engines to choose among.
    share : of what the board leaves, at most, of each resource.
    """

    graph: DecoderGraph
    board: Board
    format: Format
    engines: tuple[str, ...]
    goal: Goal
    context: int
    cache_bits: int = 8
    clock_mhz: float = 300.0
    share: float = 0.7
