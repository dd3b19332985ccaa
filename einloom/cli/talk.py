"""`einloom run --chat` without a prompt: messages from the standard input, answers as they are made."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console

from einloom.running import Accelerator

PROMPT = "> "


class Answer(Protocol):
    """An answer, as tokens."""

    @property
    def continuation(self) -> Sequence[int]: ...


class Talk(Protocol):
    """A conversation that was opened on an accelerator."""

    @property
    def full(self) -> bool: ...

    def answer(self, message: str, on_text: Callable[[str], None]) -> Answer: ...


def talk(opened: Accelerator, conversation: Talk, console: Console) -> None:
    """Answer each line of the standard input, until it ends or the context is full; then check the memory."""
    shown = sys.stdin.isatty()
    while not conversation.full:
        if shown:
            console.print(PROMPT, end="")
        line = sys.stdin.readline()
        if not line:
            break
        if not line.strip():
            continue
        started = time.perf_counter()
        made = conversation.answer(line.strip(), _write)
        _write("\n")
        count, seconds = len(made.continuation), time.perf_counter() - started
        console.print(f"{count} tokens, {count / seconds:.1f} tokens/s", style="dim", highlight=False)
    if conversation.full:
        console.print("the model's context is full: start again for more", highlight=False)
    opened.check_memory()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
