"""Room for deep recursion on Python's stack of frames."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

STACK_WORDS = (1 << 17) + 1
"""Just over half of a power of two, so that CPython takes as much again for the calls below: a megabyte."""


def with_deep_stack(function: Callable[[], T]) -> T:
    """`function()`, with room for its calls in one piece of memory.

    CPython 3.11 and newer keep frames in chunks of 16 KiB, and map a chunk anew each time that a call crosses the end
    of the one before. Amaranth's conversion recurses over every expression; where that end happened to lie in the
    recursion, it took five times as long, nearly all of it in the kernel. A frame that asks for much gets a chunk with
    room to spare.
    """
    return function()


with_deep_stack.__code__ = with_deep_stack.__code__.replace(co_stacksize=STACK_WORDS)
