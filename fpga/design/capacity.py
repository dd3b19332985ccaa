"""Whether a model's weights and cache have room in a board's memories, by how much not, and what would mend it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from einloom.fpga.boards import BOARDS, Board
from einloom.fpga.design.wish import Wish
from einloom.spec.formats import FORMATS, SCALE_BITS, SELECTOR_BITS, Format

GROUP = 128
TABLE_BYTES = 2  # an embedding's element is a bfloat16
SMALLER_FORMATS = ("bitmod-fp4", "bitmod-fp3", "int2-2of4")
"""Weight formats that are proposed, the largest first."""
SHORTEST = 1024
"""Tokens of the shortest context that is proposed."""


@dataclass(frozen=True)
class Need:
    """Bytes that a model needs beside weights' padding: of weights, of the cache, and of what is neither."""

    weights: int
    cache: int
    tables: int


def need(wish: Wish) -> Need:
    """The bytes of a wish."""
    graph, bits = wish.graph, stored_bits(wish.format)
    weights = sum(t.shape[0] * t.shape[1] for t in graph.linears())
    attention = graph.attention
    keys = sum(min(wish.context, n.attention.scores.window or wish.context) for n in graph.layers)
    cache = 2 * keys * attention.groups * attention.size * wish.cache_bits // 8
    return Need(round(weights * bits / 8), cache, graph.vocab * graph.hidden * TABLE_BYTES)


def stored_bits(format: Format) -> float:
    """Bits of a weight in memory, with its share of a group's scale."""
    selector = SELECTOR_BITS if format.special_code is not None else 0
    return format.stored_bits + (SCALE_BITS + selector) / GROUP


def missing(wish: Wish, channels: int | None = None) -> int:
    """Bytes by which weights and cache exceed the memory of so many channels, of all if None; 0 if they fit."""
    found = need(wish)
    return max(0, found.weights + found.cache - room(wish.board, found.tables, channels))


def room(board: Board, tables: int, channels: int | None = None) -> int:
    """Bytes of a board's memory behind weight channels; less tables, where all is in one memory."""
    whole = (channels or board.most_channels) * board.weight_bank_bytes
    return whole - (tables if board.one_memory else 0)


def mends(wish: Wish) -> Iterator[str]:
    """Settings with which the model would fit, the fewest changes first."""
    changes = list(_changes(wish))
    single = [(text, one) for text, one in changes if not missing(one)]
    yield from (text for text, _ in single)
    if single:
        return
    for board in BOARDS.values():
        for format in SMALLER_FORMATS:
            for bits in (8, 4):
                changed = replace(wish, board=board, format=FORMATS[format], cache_bits=bits)
                if not missing(changed):
                    yield f"--board {board.name} --weights {format}" + (" --cache-bits 4" if bits == 4 else "")
                    return
    yield "no board that einloom knows has room for it in any of its formats"


def _changes(wish: Wish) -> Iterator[tuple[str, Wish]]:
    """One change each."""
    for format in SMALLER_FORMATS:
        if stored_bits(FORMATS[format]) < stored_bits(wish.format):
            yield f"--weights {format}", replace(wish, format=FORMATS[format])
    if wish.cache_bits > 4:
        yield "--cache-bits 4", replace(wish, cache_bits=4)
    context = wish.context // 2
    while context >= SHORTEST:
        shorter = replace(wish, context=context)
        if not missing(shorter):
            yield f"--context {context}", shorter
            break
        context //= 2
    for board in BOARDS.values():
        if board.name != wish.board.name:
            yield f"--board {board.name}", replace(wish, board=board)


def refusal(wish: Wish, name: str) -> str:
    """Why a model does not fit, and what would mend it."""
    found, graph = need(wish), wish.graph
    whole = room(wish.board, found.tables)
    where = "HBM" if wish.board.hbm_banks else "DDR"
    board, giga = wish.board.name, 1e9
    return (
        f"{name} does not fit the {board}: {found.weights / giga:.1f} GB of weights in {wish.format.name} and "
        f"{found.cache / giga:.2f} GB of keys and values ({wish.context:,} positions, {wish.cache_bits} bits, "
        f"{len(graph.layers)} layers) are {missing(wish) / giga:.1f} GB more than {where} has, {whole / giga:.1f} GB; "
        f"it would fit with: {'; or '.join(mends(wish))}"
    )
