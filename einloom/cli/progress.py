"""The progress bar of commands that make tokens."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class TokenProgress:
    """Tokens made so far, with the cycles that `cycles` says they took; use as a context manager."""

    def __init__(self, console: Console, cycles: Callable[[], int], tokens: int) -> None:
        columns = (
            SpinnerColumn(),
            MofNCompleteColumn(),
            TextColumn("tokens"),
            BarColumn(),
            TextColumn("{task.fields[cycles]}"),
            TimeElapsedColumn(),
        )
        self._cycles = cycles
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=tokens, cycles="")

    def __enter__(self) -> "TokenProgress":
        self._started = time.perf_counter()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, _token: int) -> None:
        """Another token is there."""
        self.advance_by(1)

    def advance_by(self, tokens: int) -> None:
        """So many more tokens are there."""
        cycles = self._cycles()
        rate = cycles / (time.perf_counter() - self._started)
        self._bar.update(
            self._task, advance=tokens, cycles=f"{cycles:,} cycles, {rate:,.0f} cycles/s" if cycles else ""
        )
